"""MASKRCNN as a row of the catalog: its data, what it fits, and the network that a spec builds."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import voc
from detector_builders import chips_of as chips
from detector_builders import spec_of
from mask_builders import discs, rcnn_masks, time_series, tracking

from chipwright import console
from chipwright.catalog import find, pick
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError, OptionError
from chipwright.models.maskrcnn import MASKRCNN, MaskArguments
from chipwright.models.parsing import parse_arguments
from chipwright.networks.fasterrcnn import FasterRCNN
from chipwright.networks.finetune import match_state
from chipwright.networks.maskrcnn import MaskRCNN
from chipwright.options import TrainOptions
from chipwright.package.emd import compose_emd
from chipwright.preparation import prepare
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.instances import InstanceTask


def spec(arguments: MaskArguments | None = None, **changes: Any) -> ModelSpec:
    return spec_of("MASKRCNN", arguments or MaskArguments(), **({"metadata_format": "RCNN_Masks"} | changes))


def test_the_catalog_knows_it_and_picks_it_for_masks() -> None:
    assert find("MaskRCNN") is MASKRCNN
    assert pick("RCNN_Masks") == "MASKRCNN"


def test_defaults_are_the_networks_but_for_the_number_of_objects() -> None:
    network = inspect.signature(FasterRCNN).parameters
    named = {name: value.default for name, value in network.items() if name.startswith(("rpn_", "box_"))}

    assert MaskArguments().network_settings() == named | {"box_detections_per_img": None}
    assert MaskArguments().pointrend is False


def test_every_argument_says_what_it_is() -> None:
    assert all(field.description for field in MaskArguments.model_fields.values())


@pytest.mark.parametrize(
    "given", ["box_score_thresh 1.5", "box_detections_per_img 0", "pointrend perhaps", "rpn_bg_iou_thresh 0.9"]
)
def test_values_out_of_range_are_refused(given: str) -> None:
    with pytest.raises(OptionError):
        parse_arguments(given, MaskArguments, "MASKRCNN", MASKRCNN.monitors)


# -- data


def refusal(folder: Path, out: Path) -> str:
    options = TrainOptions(
        in_folder=[folder], out_folder=out, model_type="MASKRCNN", backbone_model="timm:test_resnet", backbone_weights="none"
    )
    with console.quiet(), pytest.raises(DataError) as error:
        prepare(options, "float32")
    return str(error.value)


@pytest.mark.parametrize(
    ("write", "format_name"), [(voc, "PASCAL_VOC_rectangles"), (time_series, "TimeSeries"), (tracking, "ObjectTracking")]
)
def test_other_formats_are_refused_by_name(write: Any, format_name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "chips")

    assert f"MASKRCNN trains on RCNN_Masks, but {folder} holds {format_name}" in refusal(folder, tmp_path / "out")


def test_class_values_under_1_are_refused(tmp_path: Path) -> None:
    folder = rcnn_masks(tmp_path / "chips", classes=((0, "Tree"),))

    assert "must start at 1" in refusal(folder, tmp_path / "out")


def test_masks_of_background_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    assert "None of the 8 chips has an object in its masks" in refusal(discs(tmp_path / "chips", empty=8), tmp_path / "out")


# -- what is fitted


def test_objects_of_usual_size_keep_the_usual_anchors_and_number() -> None:
    assert MASKRCNN.fit(chips(60), MaskArguments()) == {"box_detections_per_img": 100}


def test_small_objects_get_anchors_of_their_own() -> None:
    assert MASKRCNN.fit(chips(10), MaskArguments())["anchor_sizes"][0] < 16


def test_where_a_chip_holds_many_objects_more_are_returned_and_it_is_said() -> None:
    fitted = MASKRCNN.fit(chips(60, boxes=94), MaskArguments())

    assert fitted["box_detections_per_img"] == 150
    assert fitted["notes"] == [
        "A chip holds 94 objects: 150 at most are returned for an image (box_detections_per_img)."
    ]  # fmt: skip


def test_a_number_that_was_given_stands_and_is_noted_where_it_is_too_small() -> None:
    fitted = MASKRCNN.fit(chips(60, boxes=94), MaskArguments(box_detections_per_img=50))

    assert "box_detections_per_img" not in fitted
    assert fitted["notes"][0].startswith("A chip has 94 boxes, but the model returns 50 at most")


def test_a_fine_tuned_models_anchors_stay() -> None:
    fitted = MASKRCNN.fit(chips(9), MaskArguments(), {"anchor_sizes": [1, 2, 3, 4, 5], "box_detections_per_img": 300})

    assert fitted == {"anchor_sizes": [1, 2, 3, 4, 5], "box_detections_per_img": 100}


# -- the network


@pytest.mark.parametrize("pointrend", [False, True])
def test_the_network_is_built_from_the_spec_alone(pointrend: bool) -> None:
    arguments = MaskArguments(rpn_nms_thresh=0.6, pointrend=pointrend)
    fitted = {"anchor_sizes": [8, 12, 16, 24, 32], "box_detections_per_img": 7}

    network = MASKRCNN.build(spec(arguments, fitted=fitted), None)

    assert isinstance(network, MaskRCNN)
    assert network.roi_heads.detections_per_img == 7
    assert network.rpn.nms_thresh == 0.6
    assert network.rpn.anchor_generator.sizes[0] == (8,)
    assert hasattr(network.roi_heads, "point_head") == pointrend


def test_an_argument_comes_before_what_was_fitted() -> None:
    arguments = MaskArguments(box_detections_per_img=9)

    task = MASKRCNN.task(spec(arguments, fitted={"box_detections_per_img": 7}))

    assert isinstance(task, InstanceTask)
    assert task.max_detections == 9


@pytest.mark.parametrize("pointrend", [False, True])
def test_fine_tuning_keeps_the_masks_of_the_classes_that_stay(pointrend: bool) -> None:
    arguments = MaskArguments(pointrend=pointrend)
    old = spec(arguments)
    new = spec(arguments, classes=tuple(reversed(old.classes)))
    source, target = MASKRCNN.build(old, None), MASKRCNN.build(new, None)

    match_state(target, source.state_dict(), old, new)

    name = "roi_heads.point_head.scores.weight" if pointrend else "roi_heads.mask_predictor.mask_fcn_logits.weight"
    before, after = source.state_dict()[name], target.state_dict()[name]
    torch.testing.assert_close(after, before[[0, 2, 1]])


def test_the_emd_names_what_the_reference_reads() -> None:
    given = spec(MaskArguments(pointrend=True), fitted={"box_detections_per_img": 150})

    emd = compose_emd(given, MASKRCNN.emd_keys(given), {}, {"file": "a.safetensors", "bytes": 1, "sha256": ""})

    assert emd["ModelConfiguration"] == "_maskrcnn_inferencing"
    assert emd["ModelType"] == "InstanceDetection"
    assert emd["ModelName"] == "MaskRCNN"
    assert emd["SupportsVariableTileSize"] is True
    assert emd["pointrend"] is True
    assert emd["MaskRCNNkwargs"]["box_detections_per_img"] == 150
    assert emd["MaskRCNNkwargs"]["rpn_nms_thresh"] == 0.7


@pytest.mark.parametrize(
    ("given", "backbone"), [(None, "RESNET34"), ("resnet50", "RESNET50"), ("MOBILENET_V2",) * 2, ("timm:a",) * 2]
)
def test_backbones(given: str | None, backbone: str) -> None:
    assert MASKRCNN.backbones.resolve(given, "MASKRCNN") == backbone


def test_its_page_names_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models" / "maskrcnn.md").read_text(encoding="utf-8")

    assert [name for name in MaskArguments.model_fields if name not in page] == []


# -- training


@pytest.mark.slow
@pytest.mark.parametrize("pointrend", [False, True])
def test_eight_chips_are_learnt_by_heart(pointrend: bool, tmp_path: Path) -> None:
    found = read_chips([discs(tmp_path, count=8, size=96, objects=4)])
    some = {"box_batch_size_per_image": 48, "rpn_post_nms_top_n_train": 100, "box_detections_per_img": 20}
    arguments = MaskArguments(pointrend=pointrend, **MASKRCNN.tiny.arguments | some)
    statistics = found.statistics
    model = spec_of(
        "MASKRCNN",
        arguments,
        classes=found.classes,
        bands=found.bands,
        chip_size=found.tile_size,
        statistics=statistics,
        normalization=Normalization(mean=statistics.mean, std=statistics.std),
        fitted=MASKRCNN.fit(found, arguments),
    )
    torch.manual_seed(0)
    network, task, reader = MASKRCNN.build(model, None), MASKRCNN.task(model), ChipReader.of(found)
    samples = [task.draw(chip, reader, np.random.default_rng(0), False) for chip in found.chips]
    batch = task.to_device(task.collate(samples), torch.device("cpu"))
    optimizer = task.optimizer(task.parameter_groups([network]), task.phases[0])
    network.train()
    steps = 120
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        torch.manual_seed(step)
        losses = task.losses({"network": network}, batch, task.phases[0])
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    metrics = task.metrics()
    with torch.inference_mode():
        metrics.update(task.predict(network.eval(), batch), batch)

    assert metrics.compute().scalars["average_precision"] > 0.95


@pytest.mark.slow
def test_real_chips_of_many_small_nuclei_are_read_and_fitted(data: Path) -> None:
    fitted = MASKRCNN.fit(read_chips([data / "rcnn_nuclei"]), MaskArguments())

    assert fitted["box_detections_per_img"] == 150
    assert fitted["anchor_sizes"][0] == 12
