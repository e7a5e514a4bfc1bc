"""FASTERRCNN as a row of the catalog: its data, what it fits, and the network that a spec builds."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from detector_builders import chips_of as chips
from detector_builders import spec_of

from chipwright.catalog import find
from chipwright.errors import DataError, OptionError
from chipwright.models.fasterrcnn import FASTERRCNN, RegionArguments
from chipwright.models.parsing import parse_arguments
from chipwright.networks.fasterrcnn import FasterRCNN
from chipwright.tasks.detection import DetectionTask


def test_the_catalog_knows_it() -> None:
    assert find("FasterRCNN") is FASTERRCNN


def test_defaults_are_the_networks() -> None:
    network = inspect.signature(FasterRCNN).parameters

    assert RegionArguments().network_settings() == {
        name: parameter.default for name, parameter in network.items() if name.startswith(("rpn_", "box_"))
    }


def test_every_argument_says_what_it_is() -> None:
    assert all(field.description for field in RegionArguments.model_fields.values())


@pytest.mark.parametrize(
    "given", ["box_score_thresh 1.5", "rpn_batch_size_per_image 0", "monitor accuracy", "rpn_bg_iou_thresh 0.9"]
)
def test_values_out_of_range_are_refused(given: str) -> None:
    with pytest.raises(OptionError):
        parse_arguments(given, RegionArguments, "FASTERRCNN", FASTERRCNN.monitors)


def test_data_without_any_box_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="None of the 2 chips has a labelled box"):
        FASTERRCNN.check(chips(0, 0), RegionArguments())


def test_some_chips_without_boxes_are_welcome() -> None:
    FASTERRCNN.check(chips(0, 40, 0), RegionArguments())


def test_boxes_of_usual_size_keep_the_usual_anchors() -> None:
    assert FASTERRCNN.fit(chips(40, 60, 100), RegionArguments()) == {}


def test_small_boxes_get_anchors_of_their_own_and_a_note() -> None:
    fitted = FASTERRCNN.fit(chips(9, 10, 11), RegionArguments())

    assert len(fitted["anchor_sizes"]) == 5
    assert fitted["anchor_sizes"][0] < 16
    assert "32, 64, 128, 256, 512 px match them badly" in fitted["notes"][0]


def test_more_boxes_than_the_model_returns_are_noted() -> None:
    fitted = FASTERRCNN.fit(chips(60, boxes=130), RegionArguments())

    assert fitted["notes"] == [
        "A chip has 130 boxes, but the model returns 100 at most (box_detections_per_img); raise that to find them all."
    ]


def test_nothing_is_fitted_without_boxes() -> None:
    assert FASTERRCNN.fit(chips(0), RegionArguments()) == {}


def test_the_network_is_built_from_the_spec_alone() -> None:
    arguments = RegionArguments(box_detections_per_img=7, rpn_nms_thresh=0.6)
    fitted = {"anchor_sizes": [8, 12, 16, 24, 32]}

    network = FASTERRCNN.build(spec_of("FASTERRCNN", arguments, fitted=fitted), None)

    assert isinstance(network, FasterRCNN)
    assert network.roi_heads.detections_per_img == 7
    assert network.rpn.nms_thresh == 0.6
    assert network.roi_heads.box_predictor.cls_score.out_features == 3
    assert network.rpn.anchor_generator.sizes[0] == (8,)
    assert len(network.eval()([torch.randn(4, 64, 64)])) == 1


def test_its_task_is_detection_of_as_many_boxes_as_asked_for() -> None:
    task = FASTERRCNN.task(spec_of("FASTERRCNN", RegionArguments(box_detections_per_img=7)))

    assert isinstance(task, DetectionTask)
    assert task.max_detections == 7


@pytest.mark.parametrize(
    ("given", "backbone"), [(None, "RESNET34"), ("resnet50", "RESNET50"), ("MOBILENET_V2",) * 2, ("timm:a",) * 2]
)
def test_backbones(given: str | None, backbone: str) -> None:
    assert FASTERRCNN.backbones.resolve(given, "FASTERRCNN") == backbone


def test_a_backbone_of_another_family_is_refused() -> None:
    with pytest.raises(OptionError, match="does not take the backbone VGG16"):
        FASTERRCNN.backbones.resolve("VGG16", "FASTERRCNN")


def test_its_page_names_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models" / "fasterrcnn.md").read_text(encoding="utf-8")

    assert [name for name in RegionArguments.model_fields if name not in page] == []
