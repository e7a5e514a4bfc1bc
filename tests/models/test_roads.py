"""MULTITASK_ROADEXTRACTOR and CONNECTNET as rows of the catalog."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import classified_tiles, write_raster

import chipwright
from chipwright import catalog, console
from chipwright.chips.folders import read_chips
from chipwright.errors import DataError, MissingExtra, OptionError
from chipwright.models.parsing import parse_arguments
from chipwright.models.roads import CONNECTNET, MULTITASK_ROADEXTRACTOR, RoadArguments
from chipwright.networks.backbones import Backbone
from chipwright.networks.hourglass import HourglassMTL
from chipwright.networks.linknet import LinkNetMTL
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec

TINY = "timm:test_resnet"


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def arguments(text: str) -> RoadArguments:
    return parse_arguments(text, RoadArguments, "CONNECTNET", CONNECTNET.monitors)


def roads(folder: Path, **settings: Any) -> Path:
    return classified_tiles(folder, **({"count": 8, "size": 64, "class_values": (1,), "shape": "lines"} | settings))


def spec_of(folder: Path, backbone: str | None = TINY, **given: Any) -> ModelSpec:
    chips = read_chips([folder])
    return ModelSpec(
        model_type="CONNECTNET",
        arguments=RoadArguments(**given).model_dump(),
        backbone=backbone,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        normalization=choose_normalization(chips, None),
        statistics=chips.statistics,
        metadata_format=chips.format,
        fitted={},
    )


def test_the_defaults_are_those_of_the_reference():
    found = RoadArguments().model_dump()
    expected = {"gaussian_thresh": 0.76, "orient_bin_size": 20, "orient_theta": 8, "mtl_model": "hourglass"}
    assert {name: found[name] for name in expected} == expected
    beyond = {"road_loss": "cross_entropy", "refinement": 0, "hourglass_stacks": 2, "hourglass_blocks": 3}
    assert {name: found[name] for name in beyond} == beyond


def test_both_names_mean_the_same():
    assert catalog.find("connectnet") is CONNECTNET
    assert catalog.find("MultiTask_RoadExtractor") is MULTITASK_ROADEXTRACTOR
    assert CONNECTNET.arguments is MULTITASK_ROADEXTRACTOR.arguments
    assert type(CONNECTNET).build is type(MULTITASK_ROADEXTRACTOR).build


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("MTL_Model LinkNet", "mtl_model", "linknet"),
        ("mtl_model hourglass", "mtl_model", "hourglass"),
        ("gaussian_thresh 1.0", "gaussian_thresh", 1.0),
        ("orient_bin_size 359;orient_theta 1", "orient_bin_size", 359),
        ("monitor apls", "monitor", "apls"),
        ("monitor mIoU", "monitor", "miou"),
        ("refinement 3", "refinement", 3),
    ],
)
def test_arguments_are_taken_as_the_reference_writes_them(text, name, value):
    assert getattr(arguments(text), name) == value


@pytest.mark.parametrize(
    "text",
    ["gaussian_thresh 1.1", "gaussian_thresh -0.1", "orient_bin_size 0", "orient_bin_size 360", "orient_theta 0",
     "mtl_model unet", "refinement 11", "road_loss dice"],
)  # fmt: skip
def test_values_out_of_range_are_refused(text):
    with pytest.raises(OptionError, match=text.split()[0]):
        arguments(text)


def test_more_classes_than_roads_are_refused(tmp_path):
    folder = classified_tiles(tmp_path, count=2, size=32, class_values=(1, 2))
    with pytest.raises(DataError, match=r"tells roads from everything else.*has 2: 1 \(Water\) and 2 \(Forest\)"):
        CONNECTNET.check(read_chips([folder]), RoadArguments())


def test_labels_without_a_road_are_refused(tmp_path):
    folder = roads(tmp_path, count=2)
    for label in (folder / "labels").glob("*.tif"):
        write_raster(label, np.zeros((64, 64), np.uint8))
    with pytest.raises(DataError, match="No pixel of the 2 labels"):
        CONNECTNET.check(read_chips([folder]), RoadArguments())


def test_without_scikit_image_the_extra_is_named(tmp_path, monkeypatch):
    plain = builtins.__import__

    def without(name: str, *given: Any, **more: Any) -> Any:
        if name.startswith("skimage"):
            raise ImportError(name)
        return plain(name, *given, **more)

    chips = read_chips([roads(tmp_path, count=2)])
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r'CONNECTNET needs the extra "roads"'):
        CONNECTNET.check(chips, RoadArguments())


# -- networks


def test_the_hourglass_has_a_direction_for_every_bin_and_no_backbone(tmp_path):
    network = CONNECTNET.build(spec_of(roads(tmp_path, bands=4), None, orient_bin_size=10), None)
    assert isinstance(network.body, HourglassMTL)
    assert network.body.orientations.score_half.out_channels == 37
    assert network.body.stem[0].in_channels == 4
    assert not any(isinstance(part, Backbone) for part in network.modules())
    assert network.refiner is None


def test_linknet_stands_on_the_backbone(tmp_path):
    network = CONNECTNET.build(spec_of(roads(tmp_path), mtl_model="linknet"), None)
    assert isinstance(network.body, LinkNetMTL)
    assert isinstance(network.body.encoder, Backbone)
    assert network.body.orientations.head.score.out_channels == 19


def test_refinement_adds_a_network_with_two_more_bands(tmp_path):
    network = CONNECTNET.build(spec_of(roads(tmp_path, bands=4), mtl_model="linknet", refinement=3), None).eval()
    assert network.rounds == 3
    assert network(torch.zeros(1, 4, 64, 64)).shape == (1, 2, 64, 64)


def test_emd_keys_hold_what_directions_were_learnt_with(tmp_path):
    keys = CONNECTNET.emd_keys(spec_of(roads(tmp_path)))
    assert keys["RoadOrientation"] == {"orient_bin_size": 20, "orient_theta": 8, "gaussian_thresh": 0.76}
    assert (keys["ModelConfiguration"], keys["ModelName"]) == ("_road_infrencing", "ConnectNet")


# -- training


def options(**changes: Any) -> dict[str, Any]:
    return {
        "max_epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "validation_percentage": 25, "processor_type": "CPU",
        "precision": "float32", "stop_training": False,
    } | changes  # fmt: skip


SMALL = {"hourglass_stacks": 1, "hourglass_blocks": 1}


def test_a_backbone_for_the_hourglass_is_said_not_to_be_used(tmp_path):
    with console.quiet():
        out = tmp_path / "out"
        chipwright.train(
            roads(tmp_path / "chips"), out, model_type="CONNECTNET", backbone_model="RESNET50", **options(arguments=SMALL)
        )
    loaded = chipwright.load(out, processor_type="CPU")
    assert loaded.spec.backbone is None
    assert (
        "The backbone RESNET50 is not used: the hourglass starts from random weights."
        in (out / "model_metrics.json").read_text()
    )


def test_an_unknown_backbone_is_refused_all_the_same(tmp_path):
    with pytest.raises(OptionError, match="RESNET99"):
        chipwright.train(
            roads(tmp_path / "chips"), tmp_path / "out", model_type="CONNECTNET", backbone_model="RESNET99", **options()
        )


def test_a_refined_network_resumes_to_the_very_weights_with_pretrained_ones(tmp_path, monkeypatch):
    from chipwright.engine import fit

    chips = roads(tmp_path / "chips")
    small = {"mtl_model": "linknet", "refinement": 1}
    first = tmp_path / "first"
    changes = options(model_type="CONNECTNET", backbone_model=TINY, backbone_weights="none", arguments=small)
    chipwright.train(chips, first, **changes)
    tuned = options(model_type="CONNECTNET", backbone_model=TINY, arguments=small, pretrained_model=first, max_epochs=3)
    chipwright.train(chips, tmp_path / "whole", **tuned)
    kept, steps = fit._Run._step, []

    def breaks(self: Any, *everything: Any) -> Any:
        steps.append(1)
        if len(steps) == 4:
            raise OSError("killed")
        return kept(self, *everything)

    monkeypatch.setattr(fit._Run, "_step", breaks)
    with pytest.raises(OSError, match="killed"):
        chipwright.train(chips, tmp_path / "cut", **tuned)
    monkeypatch.undo()
    chipwright.train(chips, tmp_path / "cut", **tuned | {"resume": True})
    whole, cut = (tmp_path / name / f"{name}.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_a_refined_network_exports_to_onnx(tmp_path):
    pytest.importorskip("onnxruntime")
    chips, small = roads(tmp_path / "chips"), {"mtl_model": "linknet", "refinement": 2}
    changes = options(model_type="CONNECTNET", backbone_model=TINY, backbone_weights="none", arguments=small)
    chipwright.train(chips, tmp_path / "model", **changes)
    assert chipwright.repackage(tmp_path / "model", "onnx", tmp_path / "model.onnx").is_file()
