"""FEATURE_CLASSIFIER as a row of the catalog: arguments, checks, what is fitted, and a network that learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import labeled_tiles, multilabeled_tiles

from chipwright import catalog, console
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError, OptionError
from chipwright.models.feature_classifier import FEATURE_CLASSIFIER, FeatureClassifierArguments
from chipwright.models.parsing import parse_arguments
from chipwright.networks.pretrained import train_mode
from chipwright.spec import ModelSpec, Normalization

TINY = "timm:test_resnet"


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def arguments(text: str = "") -> FeatureClassifierArguments:
    return parse_arguments(text, FeatureClassifierArguments, "FEATURE_CLASSIFIER", FEATURE_CLASSIFIER.monitors)


def spec_of(chips: ChipSet, text: str = "", **changes: Any) -> ModelSpec:
    given = arguments(text)
    return ModelSpec(
        model_type="FEATURE_CLASSIFIER",
        arguments=given.model_dump(),
        backbone=TINY,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        normalization=Normalization(mean=chips.statistics.mean, std=chips.statistics.std),
        statistics=chips.statistics,
        metadata_format=chips.format,
        image_space=chips.image_space,
        metadata=chips.metadata,
        fitted=FEATURE_CLASSIFIER.fit(chips, given),
    ).model_copy(update=changes)


def uneven(chips: ChipSet, counts: Sequence[int]) -> ChipSet:
    """Return a set with so many chips of each class."""
    groups = [[chip for chip in chips.chips if chip.values == (info.value,)] for info in chips.classes]
    kept = [chip for group, count in zip(groups, counts, strict=True) for chip in group[:count]]
    return replace(chips, chips=tuple(kept))


def learnt(chips: ChipSet, text: str = "", steps: int = 40) -> dict[str, float]:
    """Train on all chips, in batches of six, and return the figures on the same chips."""
    torch.manual_seed(0)
    spec = spec_of(chips, text)
    network, task = FEATURE_CLASSIFIER.build(spec, None), FEATURE_CLASSIFIER.task(spec)
    units, reader, rng = task.training_units(chips.chips), ChipReader(chips.nodata), np.random.default_rng(0)
    phase = task.phases[0]
    optimizer = task.optimizer(task.parameter_groups([network]), phase)
    for group in optimizer.param_groups:
        group["lr"] *= 3e-3
    train_mode(network)
    for _ in range(steps):
        samples = [task.draw(units[at], reader, rng, True) for at in rng.choice(len(units), 6, replace=False)]
        batch = task.to_device(task.collate(samples), torch.device("cpu"))
        optimizer.zero_grad()
        torch.stack(list(task.losses({"network": network}, batch, phase).values())).sum().backward()
        optimizer.step()
    network.eval()
    metrics = task.metrics()
    with torch.inference_mode():
        samples = [task.draw(unit, reader, rng, False) for unit in chips.chips]
        batch = task.to_device(task.collate(samples), torch.device("cpu"))
        metrics.update(task.validate(network, batch)[1], batch)
    return metrics.compute().scalars


def test_the_catalog_finds_it() -> None:
    assert catalog.find("feature_classifier") is FEATURE_CLASSIFIER


def test_the_defaults_are_those_of_the_reference() -> None:
    assert arguments().model_dump() == {
        "chip_size": None,
        "monitor": "valid_loss",
        "weight_init_scheme": "random",
        "mixup": False,
        "oversample": False,
        "class_balancing": False,
    }
    assert FEATURE_CLASSIFIER.backbones.default == "RESNET34"
    assert FEATURE_CLASSIFIER.smallest_batch == 2
    assert FEATURE_CLASSIFIER.default_batch_size(4096) == 2


# -- checks


def test_oversampling_chips_of_several_classes_is_refused(tmp_path: Path) -> None:
    chips = read_chips([multilabeled_tiles(tmp_path)])
    with pytest.raises(OptionError, match="chips of MultiLabeled_Tiles have several"):
        FEATURE_CLASSIFIER.check(chips, arguments("oversample True"))


def test_balancing_twice_is_refused(tmp_path: Path) -> None:
    chips = read_chips([labeled_tiles(tmp_path)])
    with pytest.raises(OptionError, match="give one of them"):
        FEATURE_CLASSIFIER.check(chips, arguments("oversample True;class_balancing True"))


def test_monitoring_fbeta_needs_chips_of_several_classes(tmp_path: Path) -> None:
    given = arguments("monitor multi_label_fbeta")
    FEATURE_CLASSIFIER.check(read_chips([multilabeled_tiles(tmp_path / "several")]), given)
    with pytest.raises(OptionError, match="and these are Labeled_Tiles"):
        FEATURE_CLASSIFIER.check(read_chips([labeled_tiles(tmp_path / "one")]), given)


def test_a_single_class_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    chips = uneven(read_chips([labeled_tiles(tmp_path)]), (4, 0, 0))
    with pytest.raises(DataError, match=r"show 1 class \(Water\), but FEATURE_CLASSIFIER needs at least 2"):
        FEATURE_CLASSIFIER.check(chips, arguments())


# -- what is fitted


def test_class_weights_are_inverse_to_the_number_of_chips(tmp_path: Path) -> None:
    chips = uneven(read_chips([labeled_tiles(tmp_path, count=24)]), (8, 4, 2))
    fitted = FEATURE_CLASSIFIER.fit(chips, arguments("class_balancing True"))
    weights = fitted["class_weights"]
    assert weights[1] / weights[0] == pytest.approx(2, rel=1e-5) and weights[2] / weights[0] == pytest.approx(4, rel=1e-5)
    assert np.mean(weights) == pytest.approx(1)
    assert fitted["notes"] == [
        "Class weights by inverse frequency in the training samples: Water 0.429, Forest 0.857 and Road 1.71."
    ]


def test_a_class_without_a_training_chip_keeps_weight_one(tmp_path: Path) -> None:
    chips = uneven(read_chips([labeled_tiles(tmp_path)]), (4, 2, 0))
    assert FEATURE_CLASSIFIER.fit(chips, arguments("class_balancing True"))["class_weights"][2] == 1


def test_weights_of_several_classes_are_chips_without_over_chips_with(tmp_path: Path) -> None:
    chips = read_chips([multilabeled_tiles(tmp_path, count=20)])
    weights = FEATURE_CLASSIFIER.fit(chips, arguments("class_balancing True"))["class_weights"]
    for info, weight in zip(chips.classes, weights, strict=True):
        having = sum(info.value in chip.values for chip in chips.chips)
        assert weight == pytest.approx((20 - having) / having)


def test_oversampling_says_how_often_chips_are_shown(tmp_path: Path) -> None:
    chips = uneven(read_chips([labeled_tiles(tmp_path, count=24)]), (8, 4, 2))
    assert FEATURE_CLASSIFIER.fit(chips, arguments("oversample True")) == {
        "notes": ["Chips shown several times an epoch: Forest x 2 and Road x 4."]
    }


# -- the .emd


def test_the_emd_tells_classify_objects_how_to_cut_chips(tmp_path: Path) -> None:
    fixed = spec_of(read_chips([labeled_tiles(tmp_path / "fixed")]))
    assert FEATURE_CLASSIFIER.emd_keys(fixed) == {
        "ModelConfiguration": "_FeatureClassifier",
        "ModelType": "ObjectClassification",
        "ModelName": "FeatureClassifier",
        "SupportsVariableTileSize": False,
        "MetaDataMode": "Labeled_Tiles",
        "CropSizeFixed": 1,
        "BlackenAroundFeature": 0,
        "ImageSpaceUsed": "PIXEL_SPACE",
    }
    other = labeled_tiles(tmp_path / "varying", variable=True, extra={"BlackenAroundFeature": True})
    varying = FEATURE_CLASSIFIER.emd_keys(spec_of(read_chips([other])))
    assert (varying["CropSizeFixed"], varying["BlackenAroundFeature"]) == (0, 1)


# -- learning


@pytest.mark.parametrize("text", ["", "mixup True", "class_balancing True", "oversample True"])
def test_it_learns_to_tell_colours_apart(tmp_path: Path, text: str) -> None:
    assert learnt(read_chips([labeled_tiles(tmp_path, class_values=(2, 5, 9))]), text)["accuracy"] == 1


def test_it_learns_from_four_bands_of_16_bits_and_chips_of_any_size(tmp_path: Path) -> None:
    chips = read_chips([labeled_tiles(tmp_path, bands=4, dtype="uint16", variable=True)])
    assert learnt(chips)["accuracy"] == 1


def test_it_learns_chips_of_several_classes(tmp_path: Path) -> None:
    figures = learnt(read_chips([multilabeled_tiles(tmp_path, count=24)]), steps=80)
    assert figures["multi_label_fbeta"] > 0.9 and figures["accuracy"] > 0.9


# -- real data


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_real_scenes_are_told_apart_with_a_frozen_pretrained_backbone(data: Path, tmp_path: Path) -> None:
    import chipwright

    weights = next((data / "weights").glob("*.safetensors"))
    reached = [
        chipwright.train(
            data / "labeled_scenes",
            tmp_path / f"scenes_{seed}",
            model_type="FEATURE_CLASSIFIER",
            backbone_model="MOBILENET_V2",
            backbone_weights=str(weights),
            validation_percentage=30,
            max_epochs=20,
            stop_training=False,
            seed=seed,
        ).metrics["accuracy"]
        for seed in (1, 2, 3)
    ]
    assert np.mean(reached) >= 0.85
