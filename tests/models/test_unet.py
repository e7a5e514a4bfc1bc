"""UNET as a row of the catalog: arguments, checks, what is fitted, and a network that learns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import classified_tiles
from pydantic import ValidationError

from chipwright import catalog, console
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError, OptionError
from chipwright.models.parsing import parse_arguments
from chipwright.models.unet import UNET, UnetArguments
from chipwright.spec import ModelSpec, Normalization

TINY = "timm:test_resnet"


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def chips_of(folder: Path, values: tuple[int, ...] = (1, 5, 9), **settings: Any) -> ChipSet:
    return read_chips([classified_tiles(folder, class_values=values, **({"count": 4, "size": 32} | settings))])


def spec_of(chips: ChipSet, **changes: Any) -> ModelSpec:
    return ModelSpec(
        model_type="UNET",
        arguments=UnetArguments().model_dump(),
        backbone=TINY,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        normalization=Normalization(mean=chips.statistics.mean, std=chips.statistics.std),
        statistics=chips.statistics,
        metadata_format=chips.format,
    ).model_copy(update=changes)


def arguments(text: str) -> UnetArguments:
    return parse_arguments(text, UnetArguments, "UNET", UNET.monitors)


def test_the_catalog_finds_it():
    assert catalog.find("unet") is UNET


def test_the_defaults_are_those_of_the_reference():
    assert UnetArguments().model_dump() == {
        "chip_size": None,
        "monitor": "valid_loss",
        "mixup": False,
        "class_balancing": False,
        "focal_loss": False,
        "ignore_classes": [],
        "dice_loss_fraction": 0.0,
        "dice_loss_average": "micro",
        "weighted_dice": False,
        "weight_init_scheme": "random",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class_balancing True;mixup true", {"class_balancing": True, "mixup": True}),
        ("focus_loss True", {"focal_loss": True}),
        ("ignore_classes [1, 2]", {"ignore_classes": [1, 2]}),
        ("ignore_classes 1", {"ignore_classes": [1]}),
        ("ignore_classes Road", {"ignore_classes": ["Road"]}),
        ("dice_loss_fraction 0.3;dice_loss_average MACRO", {"dice_loss_fraction": 0.3, "dice_loss_average": "macro"}),
        ("monitor miou", {"monitor": "miou"}),
    ],
)
def test_arguments_are_taken_as_the_reference_writes_them(text, expected):
    found = arguments(text).model_dump()
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("text", ["dice_loss_fraction 1.5", "dice_loss_average mean", "monitor f1", "chip_size 8"])
def test_values_out_of_range_are_refused(text):
    with pytest.raises(OptionError, match=text.split()[0] if "monitor" not in text else "cannot monitor"):
        arguments(text)


def test_a_truth_value_is_no_class():
    with pytest.raises(ValidationError, match="class values or names"):
        UnetArguments(ignore_classes=True)


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "VGG11_BN", "mobilenet_v2", "timm:convnext_atto"])
def test_it_takes_every_family_of_backbones(backbone):
    assert UNET.backbones.resolve(backbone, "UNET")


# -- checks


def test_labels_of_background_alone_are_refused(tmp_path):
    from builders import write_raster

    folder = classified_tiles(tmp_path, count=2, size=32)
    for label in (folder / "labels").glob("*.tif"):
        write_raster(label, np.zeros((32, 32), np.uint8))
    with pytest.raises(DataError, match="No pixel of the 2 labels belongs to a class"):
        UNET.check(read_chips([folder]), UnetArguments())


def test_an_unknown_class_to_ignore_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(OptionError, match=r"no such class.*1 \(Water\), 5 \(Forest\) and 9 \(Road\)"):
        UNET.check(chips_of(tmp_path), UnetArguments(ignore_classes=[7]))


def test_ignoring_a_class_needs_more_than_two(tmp_path):
    with pytest.raises(OptionError, match=r"needs data with more than 2 classes, but there are 2"):
        UNET.check(chips_of(tmp_path, values=(1, 2)), UnetArguments(ignore_classes=[1]))


@pytest.mark.parametrize("ignored", [[1, 5, 9], [0, 1, 5]])
def test_fewer_than_two_classes_left_are_refused(tmp_path, ignored):
    with pytest.raises(OptionError, match="takes two"):
        UNET.check(chips_of(tmp_path), UnetArguments(ignore_classes=ignored))


@pytest.mark.parametrize("ignored", [[], [0], [5], ["Road", 0]])
def test_sound_data_passes(tmp_path, ignored):
    UNET.check(chips_of(tmp_path), UnetArguments(ignore_classes=ignored))


def test_the_background_of_two_classes_may_be_ignored(tmp_path):
    UNET.check(chips_of(tmp_path, values=(1, 2)), UnetArguments(ignore_classes=[0]))


# -- what is fitted


def test_nothing_is_fitted_unless_asked_for(tmp_path):
    assert UNET.fit(chips_of(tmp_path), UnetArguments(weighted_dice=True)) == {}


@pytest.mark.parametrize("settings", [{"class_balancing": True}, {"weighted_dice": True, "dice_loss_fraction": 0.5}])
def test_class_weights_are_inverse_frequencies_and_are_told(tmp_path, settings):
    chips = chips_of(tmp_path)
    fitted = UNET.fit(chips, UnetArguments(**settings))
    labels = np.stack([ChipReader(None).label(chip) for chip in chips.chips])
    shares = np.array([(labels == value).mean() for value in (0, 1, 5, 9)])
    assert fitted["class_weights"] == pytest.approx((1 / shares) / (1 / shares).mean(), rel=1e-4)
    (note,) = fitted["notes"]
    assert f"Road {fitted['class_weights'][3]:.3g}" in note


# -- the network


def test_the_network_has_an_output_for_the_background_and_every_class(tmp_path):
    chips = chips_of(tmp_path, bands=4)
    network = UNET.build(spec_of(chips), None).eval()
    assert network(torch.zeros(1, 4, 32, 32)).shape == (1, 4, 32, 32)
    assert network.class_tensors() == {"head.weight": (1, 1), "head.bias": (1, 1)}


def test_a_named_value_0_is_the_first_class_of_the_network(tmp_path):
    spec = spec_of(chips_of(tmp_path, values=(0, 3)))
    network = UNET.build(spec, None)
    assert network.head.out_channels == 2
    assert network.class_tensors()["head.weight"] == (1, 0)


def test_emd_keys_name_the_ignored_indices(tmp_path):
    spec = spec_of(chips_of(tmp_path), arguments=UnetArguments(ignore_classes=["Forest", 0]).model_dump())
    keys = UNET.emd_keys(spec)
    assert keys["ignore_mapped_class"] == [0, 2]
    assert (keys["ModelConfiguration"], keys["ModelName"]) == ("_unet", "UnetClassifier")
    assert "IsEdgeDetection" not in keys


def test_the_published_spec_is_plain_json(tmp_path):
    chips = chips_of(tmp_path)
    fitted = UNET.fit(chips, UnetArguments(class_balancing=True))
    spec = spec_of(chips, fitted=fitted)
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


def test_it_learns_to_tell_the_classes_apart(tmp_path):
    chips = chips_of(tmp_path)
    spec = spec_of(chips, arguments=UnetArguments(class_balancing=True, dice_loss_fraction=0.3).model_dump())
    spec = spec.model_copy(update={"fitted": UNET.fit(chips, UnetArguments(class_balancing=True))})
    torch.manual_seed(0)
    network, task, reader = UNET.build(spec, None), UNET.task(spec), ChipReader(None)
    samples = [task.draw(chip, reader, np.random.default_rng(0), False) for chip in chips.chips]
    batch = task.to_device(task.collate(samples), torch.device("cpu"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(30):
        optimizer.zero_grad()
        task.losses(task.parts(network), batch, task.phases[0])["pixel"].backward()
        optimizer.step()
    network.eval()
    metrics = task.metrics()
    with torch.inference_mode():
        metrics.update(task.validate(network, batch)[1], batch)
    assert metrics.compute().scalars["miou"] > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["RESNET18", "DENSENET121", "VGG11_BN", "MOBILENET_V2", "timm:convnext_atto"])
def test_every_family_trains_at_an_odd_size(tmp_path, backbone):
    spec = spec_of(chips_of(tmp_path), backbone=backbone)
    network = UNET.build(spec, None).train()
    logits = network(torch.randn(2, 3, 75, 90))
    assert logits.shape == (2, 4, 75, 90)
    logits.square().mean().backward()
    trained = [parameter.grad is not None for parameter in network.decoder.parameters()]
    assert all(trained)
