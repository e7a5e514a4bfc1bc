"""YOLOV3 as a row of the catalog: its anchors, backbones and arguments, and the network that a spec builds."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import voc

from chipwright.catalog import find
from chipwright.chips.chipset import BandStatistics, Chip, ChipSet, ClassInfo
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.engine import schedules
from chipwright.engine.seeds import seed_build
from chipwright.errors import DataError, OptionError
from chipwright.models.parsing import parse_arguments
from chipwright.models.yolov3 import YOLOV3, YoloArguments
from chipwright.networks.pretrained import train_mode
from chipwright.networks.yolov3 import COCO_ANCHORS, YOLOv3
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.detection import DetectionTask

STATISTICS = BandStatistics(minimum=(0.0,) * 4, maximum=(255.0,) * 4, mean=(90.0,) * 4, std=(40.0,) * 4, source="export")
OWN_ANCHORS = [[float(side), 2.0 * side] for side in range(4, 13)]
CLASSES = (ClassInfo(value=1, name="Palm", color=(0, 255, 0)), ClassInfo(value=4, name="Roof", color=(9, 9, 9)))


def chips(*counts: int, sides: tuple[float, float] = (20.0, 60.0)) -> ChipSet:
    """Return a set with a chip a count, holding that many boxes with sides in a range."""
    rng = np.random.default_rng(0)
    made = []
    for index, count in enumerate(counts):
        corner = rng.uniform(0, 100, (count, 2))
        made.append(
            Chip(
                name=str(index),
                folder=0,
                images=(Path(f"{index}.tif"),),
                width=256,
                height=256,
                boxes=np.concatenate([corner, corner + rng.uniform(*sides, (count, 2))], 1).astype(np.float32),
                box_values=np.ones(count, np.int64),
            )
        )
    return ChipSet(
        folders=(Path("chips"),),
        format="PASCAL_VOC_rectangles",
        chips=tuple(made),
        classes=CLASSES,
        bands=("Red", "Green", "Blue", "NearInfrared"),
        dtype="uint8",
        tile_size=(256, 256),
        statistics=STATISTICS,
    )


def spec(**changes: object) -> ModelSpec:
    settings = {
        "model_type": "YOLOV3",
        "arguments": YoloArguments().model_dump(),
        "backbone": "timm:test_resnet",
        "classes": CLASSES,
        "bands": ("Red", "Green", "Blue", "NearInfrared"),
        "dtype": "uint8",
        "chip_size": (64, 64),
        "normalization": Normalization(mean=STATISTICS.mean, std=STATISTICS.std),
        "statistics": STATISTICS,
        "metadata_format": "PASCAL_VOC_rectangles",
        "fitted": {"anchors": OWN_ANCHORS},
    }
    return ModelSpec.model_validate(settings | changes)


def test_the_catalog_knows_it() -> None:
    assert find("YoloV3") is YOLOV3


@pytest.mark.parametrize(
    ("given", "backbone"), [(None, "DARKNET53"), ("darknet53", "DARKNET53"), ("MOBILENET_V2",) * 2, ("timm:a",) * 2]
)
def test_backbones(given: str | None, backbone: str) -> None:
    assert YOLOV3.backbones.resolve(given, "YOLOV3") == backbone


def test_a_backbone_of_another_family_is_refused() -> None:
    with pytest.raises(OptionError, match="does not take the backbone RESNET34; it takes DARKNET53 and MOBILENET_V2"):
        YOLOV3.backbones.resolve("RESNET34", "YOLOV3")


def test_data_without_any_box_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="None of the 2 chips has a labelled box"):
        YOLOV3.check(chips(0, 0), YoloArguments())


def test_each_scales_anchors_are_clustered_from_boxes_of_its_sizes_and_said() -> None:
    fitted = YOLOV3.fit(chips(60, 0, 60, sides=(20.0, 60.0)), YoloArguments())

    anchors = np.array(fitted["anchors"]).reshape(3, 3, 2)
    sides = np.sqrt(anchors.prod(2))
    assert (np.diff(sides[:2].ravel()) > 0).all()
    assert 20 <= sides[0].min() <= sides[0].max() <= 34.5 <= sides[1].min() <= sides[1].max() <= 60
    assert anchors[2].tolist() == [list(size) for size in COCO_ANCHORS[6:]]  # no box is that large
    assert fitted["notes"][0].startswith("Anchors clustered from 120 boxes (")
    assert "those of stride 32 are the paper's" in fitted["notes"][0]


def test_objects_of_one_size_are_all_of_the_stride_that_suits_them() -> None:
    fitted = YOLOV3.fit(chips(100, sides=(48.0, 58.0)), YoloArguments())

    assert "(0 of stride 8, 100 of stride 16, 0 of stride 32)" in fitted["notes"][0]
    assert np.array(fitted["anchors"])[3:6].min() >= 48
    assert np.array(fitted["anchors"])[3:6].max() <= 58


def test_chips_without_boxes_take_the_papers_anchors_and_a_note() -> None:
    fitted = YOLOV3.fit(chips(0, 0), YoloArguments())

    assert fitted["anchors"] == [list(size) for size in COCO_ANCHORS]
    assert "those of stride 8 and 16 and 32 are the paper's" in fitted["notes"][0]


def test_a_pretrained_models_anchors_stay() -> None:
    assert YOLOV3.fit(chips(40), YoloArguments(), {"anchors": OWN_ANCHORS, "notes": ["old"]}) == {"anchors": OWN_ANCHORS}


def test_anchors_given_come_first_and_are_sorted() -> None:
    arguments = parse_arguments(f"anchors {OWN_ANCHORS[::-1]}", YoloArguments, "YOLOV3", YOLOV3.monitors)

    assert YOLOV3.fit(chips(40), arguments, {"anchors": [[1, 1]] * 9}) == {"anchors": OWN_ANCHORS}


@pytest.mark.parametrize("given", ["anchors [[10, 20]]", f"anchors {[[0, 5]] * 9}", "monitor accuracy", "grids 4"])
def test_arguments_that_do_not_fit_are_refused(given: str) -> None:
    with pytest.raises(OptionError):
        parse_arguments(given, YoloArguments, "YOLOV3", YOLOV3.monitors)


def test_more_boxes_than_the_model_returns_are_noted() -> None:
    notes = YOLOV3.fit(chips(310), YoloArguments())["notes"]

    assert notes[-1].startswith("A chip has 310 boxes, but the model returns 300 at most (box_detections_per_img)")


def test_the_network_is_built_from_the_spec_alone() -> None:
    arguments = YoloArguments(box_nms_thresh=0.6, box_score_thresh=0.3)

    network = YOLOV3.build(spec(arguments=arguments.model_dump()), None)

    assert isinstance(network, YOLOv3)
    assert (network.nms_threshold, network.score_threshold) == (0.6, 0.3)
    assert network.anchors.view(9, 2).tolist() == OWN_ANCHORS
    assert [head.output.out_channels for head in network.heads] == [3 * (5 + 2)] * 3
    assert len(network.eval()([torch.randn(4, 64, 64)])) == 1


def test_defaults_are_the_networks() -> None:
    network = inspect.signature(YOLOv3).parameters

    arguments = YoloArguments()

    assert arguments.box_settings() | {"match_iou_thresh": arguments.match_iou_thresh} == {
        name: parameter.default for name, parameter in network.items() if name.endswith(("_thresh", "_img"))
    }


def test_its_task_is_detection_of_as_many_boxes_as_asked_for() -> None:
    task = YOLOV3.task(spec(arguments=YoloArguments(box_detections_per_img=7).model_dump()))

    assert isinstance(task, DetectionTask)
    assert task.max_detections == 7


def test_the_emd_names_anchors_and_bands() -> None:
    keys = YOLOV3.emd_keys(spec())

    assert keys["anchors"] == OWN_ANCHORS
    assert keys["n_bands"] == 4


def test_its_page_names_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models" / "yolov3.md").read_text(encoding="utf-8")

    assert [name for name in YoloArguments.model_fields if name not in page] == []


def learnt_by_heart(chips: ChipSet, backbone: str, rate: float, steps: int) -> float:
    """Train on all chips in every step, undisturbed, and return the AP50 over them."""
    arguments = YoloArguments()
    spec_of_chips = spec(
        backbone=backbone,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        statistics=chips.statistics,
        normalization=choose_normalization(chips, None),
        fitted=YOLOV3.fit(chips, arguments),
    )
    seed_build(0)
    network, task = YOLOV3.build(spec_of_chips, None), YOLOV3.task(spec_of_chips)
    reader = ChipReader(chips.nodata)
    samples = [task.draw(chip, reader, np.random.default_rng(0), False) for chip in chips.chips]
    batch = task.to_device(task.collate(samples), torch.device("cpu"))
    optimizer = task.optimizer(task.parameter_groups([network]), task.phases[0])
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    for step in range(steps):
        schedules.apply(optimizer, schedules.one_cycle, rate, step / steps)
        train_mode(network)
        optimizer.zero_grad()
        torch.stack(list(task.losses({"network": network}, batch, task.phases[0]).values())).sum().backward()
        optimizer.step()
    network.eval()
    metrics = task.metrics()
    with torch.inference_mode():
        metrics.update(task.predict(network, batch), batch)
    return metrics.compute().scalars["average_precision"]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "steps"), [("timm:test_resnet", 100), ("DARKNET53", 100)])
def test_it_learns_eight_chips_by_heart(backbone: str, steps: int, tmp_path: Path) -> None:
    eight = read_chips([voc(tmp_path, count=8, objects=4, empty=1)])

    assert learnt_by_heart(eight, backbone, 2e-3, steps) > 0.95
