"""RETINANET as a row of the catalog: its data, what it fits, and the network that a spec builds."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from detector_builders import chips_of, spec_of

from chipwright.catalog import find
from chipwright.errors import DataError, OptionError
from chipwright.models.parsing import parse_arguments
from chipwright.models.retinanet import RETINANET, RetinaArguments
from chipwright.networks.retinanet import RetinaNet
from chipwright.tasks.detection import DetectionTask


def parsed(given: str) -> RetinaArguments:
    return parse_arguments(given, RetinaArguments, "RETINANET", RETINANET.monitors)


def test_the_catalog_knows_it() -> None:
    assert find("RetinaNet") is RETINANET


def test_defaults_but_one_are_the_networks() -> None:
    network = inspect.signature(RetinaNet).parameters
    arguments = RetinaArguments().model_dump()
    shared = [name for name in arguments if name in network]

    assert {"scales", "ratios", "box_score_thresh", "box_nms_thresh", "box_detections_per_img"} == set(shared)
    assert arguments["box_nms_thresh"] == 0.3
    for name in set(shared) - {"box_nms_thresh"}:
        default = network[name].default
        assert arguments[name] == (list(default) if isinstance(default, tuple) else default)


def test_every_argument_says_what_it_is() -> None:
    assert all(field.description for field in RetinaArguments.model_fields.values())


@pytest.mark.parametrize(
    ("given", "scales", "ratios"),
    [
        ("scales [1, 0.8];ratios 0.5,1,2", [1, 0.8], [0.5, 1, 2]),
        ("scales 1;ratios '1 3'", [1], [1, 3]),
        ("", [1, 0.8, 0.63], [0.5, 1, 2]),
    ],
)
def test_scales_and_ratios_are_read_as_the_reference_writes_them(given: str, scales: list[float], ratios: list[float]) -> None:
    arguments = parsed(given)

    assert (arguments.scales, arguments.ratios) == (scales, ratios)


@pytest.mark.parametrize("given", ["scales [0, 1]", "ratios [-1]", "scales []", "ratios wide", "monitor accuracy"])
def test_values_out_of_range_are_refused(given: str) -> None:
    with pytest.raises(OptionError):
        parsed(given)


def test_data_without_any_box_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="None of the 2 chips has a labelled box"):
        RETINANET.check(chips_of(0, 0), RetinaArguments())


def test_boxes_of_usual_size_keep_the_usual_anchors() -> None:
    assert RETINANET.fit(chips_of(40, 60, 100), RetinaArguments()) == {}


def test_small_boxes_get_anchors_of_their_own_and_a_note() -> None:
    fitted = RETINANET.fit(chips_of(9, 10, 11), RetinaArguments())

    assert len(fitted["anchor_sizes"]) == 5
    assert fitted["anchor_sizes"][0] < 20
    assert "32, 64, 128, 256, 512 px match them badly" in fitted["notes"][0]


def test_scales_that_suit_small_boxes_need_no_fitting() -> None:
    assert RETINANET.fit(chips_of(15, 16, 17), RetinaArguments(scales=[1, 0.5])) == {}


def test_a_pretrained_models_anchors_stay() -> None:
    earlier = {"anchor_sizes": [8, 16, 32, 64, 128], "notes": ["of then"]}

    assert RETINANET.fit(chips_of(60), RetinaArguments(), earlier) == {"anchor_sizes": [8, 16, 32, 64, 128]}
    assert RETINANET.fit(chips_of(9), RetinaArguments(), {}) == {}


def test_more_boxes_than_the_model_returns_are_noted() -> None:
    fitted = RETINANET.fit(chips_of(60, boxes=130), RetinaArguments(box_detections_per_img=100))

    assert fitted["notes"] == [
        "A chip has 130 boxes, but the model returns 100 at most (box_detections_per_img); raise that to find them all."
    ]


def test_the_network_is_built_from_the_spec_alone() -> None:
    arguments = RetinaArguments(scales=[1, 0.5], ratios=[1], box_nms_thresh=0.6, box_score_thresh=0.2)
    fitted = {"anchor_sizes": [8, 12, 16, 24, 32]}

    network = RETINANET.build(spec_of("RETINANET", arguments, fitted=fitted), None)

    assert isinstance(network, RetinaNet)
    assert (network.box_nms_thresh, network.box_score_thresh) == (0.6, 0.2)
    assert network.head.classification_head.num_classes == 2
    assert network.anchor_generator.sizes[0] == (8, 4)
    assert len(network.eval()([torch.randn(4, 64, 64)])) == 1


def test_its_task_is_detection_of_as_many_boxes_as_asked_for_with_gradients_clipped() -> None:
    task = RETINANET.task(spec_of("RETINANET", RetinaArguments(box_detections_per_img=7)))

    assert isinstance(task, DetectionTask)
    assert task.max_detections == 7
    assert task.gradient_clip == 1.0


def test_the_package_says_what_the_references_does() -> None:
    keys = RETINANET.emd_keys(spec_of("RETINANET", RetinaArguments()))

    assert (keys["ModelConfiguration"], keys["ModelType"]) == ("_RetinaNet_Inference", "ObjectDetection")


@pytest.mark.parametrize(
    ("given", "backbone"), [(None, "RESNET34"), ("resnet50", "RESNET50"), ("MOBILENET_V2",) * 2, ("timm:a",) * 2]
)
def test_backbones(given: str | None, backbone: str) -> None:
    assert RETINANET.backbones.resolve(given, "RETINANET") == backbone


def test_its_page_names_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models" / "retinanet.md").read_text(encoding="utf-8")

    assert [name for name in RetinaArguments.model_fields if name not in page] == []
