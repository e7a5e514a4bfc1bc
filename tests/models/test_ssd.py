"""SSD as a row of the catalog: its arguments, its data, what it fits, and the network that a spec builds."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detector_builders import chips_of, spec_of

from chipwright import catalog
from chipwright.errors import DataError, OptionError
from chipwright.models.parsing import parse_arguments
from chipwright.models.ssd import SSD, SsdArguments
from chipwright.networks import ssd
from chipwright.tasks.detection import DetectionTask


def parsed(given: Any) -> SsdArguments:
    return parse_arguments(given, SsdArguments, "SSD", SSD.monitors)


def test_the_catalog_knows_it() -> None:
    assert catalog.find("ssd") is SSD


@pytest.mark.parametrize("format_name", SSD.formats)
def test_it_is_picked_for_rectangles(format_name: str) -> None:
    assert catalog.pick(format_name) == "SSD"


def test_defaults_are_the_networks() -> None:
    network = inspect.signature(ssd.SSD).parameters
    arguments = SsdArguments().model_dump()
    shared = [name for name in arguments if name in network]

    assert len(shared) == 9
    for name in shared:
        default = network[name].default
        assert arguments[name] == (list(default) if isinstance(default, tuple) else default)


def test_every_argument_says_what_it_is() -> None:
    assert all(field.description for field in SsdArguments.model_fields.values())


@pytest.mark.parametrize(
    ("given", "grids", "zooms", "ratios"),
    [
        ("", None, [1.0], [(1.0, 1.0)]),
        ("grids 4;zooms 1.0;ratios [1.0, 1.0]", [4], [1.0], [(1.0, 1.0)]),
        ("grid '4 2 1';zoom '0.7 1 1.3';ratios [[1, 1], [1, 0.5]]", [4, 2, 1], [0.7, 1, 1.3], [(1, 1), (1, 0.5)]),
        ({"grids": [4, 2], "zooms": 1, "ratios": [[1, 2]]}, [4, 2], [1], [(1, 2)]),
        ("grids None", None, [1.0], [(1.0, 1.0)]),
    ],
)
def test_grids_zooms_and_ratios_are_read_as_the_reference_writes_them(
    given: Any, grids: list[int] | None, zooms: list[float], ratios: list[tuple[float, float]]
) -> None:
    arguments = parsed(given)

    assert (arguments.grids, arguments.zooms, arguments.ratios) == (grids, zooms, ratios)


@pytest.mark.parametrize(
    "given",
    ["grids 0", "grids 2.5", "zooms [0]", "ratios [1, 2, 3]", "ratios [[1, -1]]", "drop 1", "location_loss_factor 1"],
)
def test_values_out_of_range_are_refused(given: str) -> None:
    with pytest.raises(OptionError):
        parsed(given)


def test_data_without_any_box_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="None of the 2 chips has a labelled box"):
        SSD.check(chips_of(0, 0), SsdArguments())


@pytest.mark.parametrize(("chip_size", "most"), [(None, 128), (64, 32)])
def test_grids_finer_than_two_pixels_are_refused(chip_size: int | None, most: int) -> None:
    SSD.check(chips_of(40), SsdArguments(grids=[most], chip_size=chip_size))
    with pytest.raises(OptionError, match=f"Give grids of {most} at most"):
        SSD.check(chips_of(40), SsdArguments(grids=[4, most + 1], chip_size=chip_size))


def test_grids_are_picked_from_the_boxes_and_said() -> None:
    fitted = SSD.fit(chips_of(16, 18, 62, 64, 66), SsdArguments())

    assert fitted["cells"] == pytest.approx(np.array([[256 / 30] * 2, [32, 32]]))
    assert fitted["zooms"] == [2.0]
    assert fitted["notes"] == [
        "Grids of 30, 8 cells a side, with anchors of 2 times a cell's side, were picked from the boxes."
    ]


def test_zooms_given_are_kept_and_cells_are_as_large_as_the_boxes_then() -> None:
    fitted = SSD.fit(chips_of(16, 18, 62, 64, 66), SsdArguments(zooms=[0.7, 1.3]))

    assert fitted["cells"] == pytest.approx(np.array([[256 / 15] * 2, [64, 64]]))
    assert "zooms" not in fitted


def test_picked_cells_have_the_boxes_sizes_on_crops_too() -> None:
    fitted = SSD.fit(chips_of(16, 64), SsdArguments(chip_size=128))

    assert fitted["cells"] == [[8, 8], [32, 32]]


def test_grids_given_are_kept() -> None:
    fitted = SSD.fit(chips_of(30, 70), SsdArguments(grids=[8, 4]))

    assert fitted == {"cells": [[32, 32], [64, 64]]}


def test_boxes_beyond_the_reach_of_given_grids_are_noted() -> None:
    fitted = SSD.fit(chips_of(10, 60), SsdArguments(grids=[4]))

    assert fitted["notes"] == [
        "50% of the boxes are smaller or larger than any anchor can become: leave grids out to have them picked, or add zooms."
    ]


def test_long_boxes_get_ratios_unless_some_are_given() -> None:
    long = chips_of((80, 16), (16, 80))

    assert len(SSD.fit(long, SsdArguments())["ratios"]) == 3
    assert "ratios" not in SSD.fit(long, SsdArguments(ratios=[(1, 0.2), (0.2, 1)]))
    assert "ratios" not in SSD.fit(chips_of(30, 70), SsdArguments())


def test_a_pretrained_models_cells_stay_unless_grids_are_given() -> None:
    earlier = {"cells": [[20, 20]], "ratios": [[1, 1], [2, 0.5], [0.5, 2]], "notes": ["of then"]}

    assert SSD.fit(chips_of(60), SsdArguments(), earlier) == {name: earlier[name] for name in ("cells", "ratios")}
    assert SSD.fit(chips_of(60), SsdArguments(grids=[4]), earlier) == {"cells": [[64, 64]]}


def test_more_boxes_than_the_model_returns_are_noted() -> None:
    fitted = SSD.fit(chips_of(60, boxes=130), SsdArguments(grids=[4], box_detections_per_img=100))

    assert fitted["notes"] == [
        "A chip has 130 boxes, but the model returns 100 at most (box_detections_per_img); raise that to find them all."
    ]


def test_the_network_is_built_from_the_spec_alone() -> None:
    arguments = SsdArguments(zooms=[1, 0.5], location_loss_factor=0.3, focal_loss=True, drop=0.1, bias=-3)
    fitted = {"cells": [[32, 32], [16, 16]], "ratios": [[1, 1], [2, 0.5]]}

    network = SSD.build(spec_of("SSD", arguments, fitted=fitted), None)

    assert isinstance(network, ssd.SSD)
    assert network.cells == [(16, 16), (32, 32)]
    assert network.shapes == [(1, 1), (2, 0.5), (0.5, 0.5), (1, 0.25)]
    assert (network.location_loss_factor, network.focal_loss, network.box_nms_thresh) == (0.3, True, 0.45)
    assert network.class_heads[0].out_channels == 4 * 2
    assert network.class_heads[0].bias.tolist() == [-3] * 8
    assert len(network.eval()([torch.randn(4, 64, 64)])) == 1


def test_its_task_is_detection_of_as_many_boxes_as_asked_for() -> None:
    task = SSD.task(spec_of("SSD", SsdArguments(box_detections_per_img=7)))

    assert isinstance(task, DetectionTask)
    assert task.max_detections == 7


def test_the_package_says_what_the_references_does() -> None:
    arguments = SsdArguments(zooms=[1, 0.5], ratios=[(1, 1), (1, 2)])

    keys = SSD.emd_keys(spec_of("SSD", arguments, fitted={"cells": [[16, 16], [32, 32]]}))

    assert (keys["ModelConfiguration"], keys["ModelType"], keys["SSDVersion"]) == ("_DynamicSSD", "ObjectDetection", 2)
    assert (keys["Grids"], keys["Zooms"], keys["Ratios"]) == ([4, 2], [1, 0.5], [[1, 1], [1, 2]])


@pytest.mark.parametrize(
    ("given", "backbone"),
    [(None, "RESNET34"), ("vgg16_bn", "VGG16_BN"), ("densenet121", "DENSENET121"), ("MOBILENET_V2",) * 2, ("timm:a",) * 2],
)
def test_backbones(given: str | None, backbone: str) -> None:
    assert SSD.backbones.resolve(given, "SSD") == backbone


def test_its_page_names_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models" / "ssd.md").read_text(encoding="utf-8")

    assert [name for name in SsdArguments.model_fields if name not in page] == []
