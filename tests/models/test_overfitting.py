"""A model that cannot learn eight real chips by heart has a fault in its targets, its losses or its answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extras import require_openmmlab

from chipwright import catalog
from chipwright.chips.chipset import Chip, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.engine.devices import choose_precision, start_accelerator
from chipwright.engine.feed import Feed
from chipwright.engine.seeds import seed_build, seed_step
from chipwright.networks.pretrained import freeze_loaded, train_mode
from chipwright.networks.weights import find_weights
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Task
from chipwright.tasks.road_metrics import relaxed_counts

BACKBONE, WEIGHTS = "MOBILENET_V2", "weights/mobilenet_v2_imagenet_from_quant.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(("keyword", "steps"), [("SSD", 480), ("RETINANET", 160), ("YOLOV3", 160)])
def test_detectors_learn_eight_chips_by_heart(keyword: str, steps: int, data: Path) -> None:
    chips = read_chips([data / "voc_palm"])
    assert learnt(keyword, chips.subset(range(0, 200, 25)), steps, data)["average_precision"] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["PAM", "BAM"])
def test_change_of_eight_pairs_is_learnt_by_heart(attention: str, data: Path) -> None:
    chips = read_chips([data / "change_levir"])
    scalars = learnt("CHANGEDETECTOR", chips.subset(range(0, 24, 3)), 120, data, attention_type=attention)
    assert scalars["f1"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keyword", "steps", "given"),
    [
        ("PSPNET", 200, {}),
        ("PSPNET", 200, {"use_unet": False, "pointrend": True, "keep_dilation": True}),
        ("DEEPLAB", 320, {"chip_size": 128}),
    ],
)
def test_classes_of_eight_chips_are_learnt_by_heart(keyword: str, steps: int, given: dict[str, Any], data: Path) -> None:
    chips = read_chips([data / "classified_dubai"])
    assert learnt(keyword, chips.subset(range(0, 200, 25)), steps, data, frozen=False, **given)["miou"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplabv3", "upernet", "pspnet"])
def test_classes_of_eight_chips_are_learnt_by_heart_by_openmmlabs_networks(name: str, data: Path) -> None:
    require_openmmlab()
    chips = read_chips([data / "classified_dubai"])
    # from random weights, on the middle of the chips: a whole one takes one core four times as long
    scalars = learnt("MMSEGMENTATION", chips.subset(range(0, 200, 25)), 160, data, model=name, chip_size=128)
    assert scalars["miou"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("cascade_rcnn", 80), ("fcos", 120), ("vfnet", 80)])
def test_objects_in_the_middle_of_eight_chips_are_learnt_by_heart_by_openmmlabs_networks(
    name: str, steps: int, data: Path
) -> None:
    require_openmmlab()
    chips, size = read_chips([data / "voc_palm"]), 128
    filled = [index for index, chip in enumerate(chips.chips) if whole_in_the_middle(chip, size)]
    chips = chips.subset(filled[:: len(filled) // 8][:8])
    # from random weights: a whole chip takes one core twelve times as long
    assert learnt("MMDETECTION", chips, steps, data, model=name, chip_size=size)["average_precision"] > 0.95


def whole_in_the_middle(chip: Chip, size: int) -> bool:
    """Return whether the middle `size` x `size` pixels show an object, and none in part: a sliver may hold no cell."""
    assert chip.boxes is not None
    low = (np.array([chip.width, chip.height]) - size) / 2
    first, last = chip.boxes[:, :2], chip.boxes[:, 2:]
    seen = (last > low).all(1) & (first < low + size).all(1)
    whole = (first >= low).all(1) & (last <= low + size).all(1)
    return bool(seen.any() and (whole == seen).all())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keyword", "steps", "size", "given"),
    [("HED_EDGEDETECTOR", 600, 2, {}), ("BDCN_EDGEDETECTOR", 360, 4, {"chip_size": 128})],
)
def test_edges_of_eight_chips_are_learnt_by_heart(
    keyword: str, steps: int, size: int, given: dict[str, Any], data: Path
) -> None:
    chips = read_chips([data / "edges_dubai"])
    # over a network whose finest map has the chips' size, as in the papers; MOBILENET_V2's, of half of it, is only stretched
    options: dict[str, Any] = {"backbone": "VGG11_BN", "rate": 4e-3, "size": size}
    assert learnt(keyword, chips.subset(range(0, 96, 12)), steps, data, frozen=False, **options, **given)["ods"] > 0.9


@pytest.mark.slow
def test_series_of_six_chips_are_learnt_by_heart(data: Path) -> None:
    chips = read_chips([data / "timeseries_eolearn"])
    # labels end at coarse steps, of which spectra know nothing: every pixel's neighbourhood has to be known by itself
    given = {"min_points": 9, "dropout": 0.0}
    assert learnt("PSETAE", chips.subset([0, 1, 2, 5, 14, 17]), 700, data, frozen=False, size=128, **given)["dice"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "backbone", "size", "steps", "apls"),
    [("linknet", BACKBONE, 160, 120, 0.6), ("hourglass", None, 96, 140, 0.5)],
)
def test_roads_of_eight_chips_are_learnt_by_heart(
    network: str, backbone: str | None, size: int, steps: int, apls: float, data: Path
) -> None:
    chips = read_chips([data / "roads_epfl"]).subset(range(8))
    given = {"mtl_model": network, "chip_size": size}
    task, answered = answers("CONNECTNET", chips, steps, data, frozen=False, backbone=backbone, **given)
    metrics, relaxed = task.metrics(), np.zeros(3, np.int64)
    for found, batch in answered:
        metrics.update(found, batch)
        for one, true in zip(found, batch["mask"], strict=True):
            relaxed += relaxed_counts(true.numpy() == 1, one.mask.numpy() == 1, 3)
    scalars = metrics.compute().scalars
    assert scalars["iou"] > 0.85
    assert relaxed[0] / relaxed.sum() > 0.9
    assert scalars["apls"] > apls


def learnt(keyword: str, chips: ChipSet, steps: int, data: Path, **options: Any) -> dict[str, float]:
    """Return the figures over the chips that a type was trained on, unchanged; for the options see `answers`."""
    task, answered = answers(keyword, chips, steps, data, **options)
    metrics = task.metrics()
    for found, batch in answered:
        metrics.update(found, batch)
    return metrics.compute().scalars


def answers(
    keyword: str,
    chips: ChipSet,
    steps: int,
    data: Path,
    *,
    frozen: bool = True,
    size: int = 4,
    backbone: str | None = BACKBONE,
    rate: float | None = None,
    **given: Any,
) -> tuple[Task, list[tuple[Sequence[Any], Batch]]]:
    """Return a task, and its predictions with their batches over the chips that it was trained on.

    The backbone is frozen unless told. Another backbone than the one whose weights are at hand begins from random ones.
    """
    model = catalog.find(keyword)
    weights = find_weights(BACKBONE, str(data / WEIGHTS)) if model.backbones and backbone == BACKBONE else None
    arguments = model.arguments(**given)
    scale = (weights.mean, weights.std) if weights else None
    spec = ModelSpec(
        model_type=keyword,
        arguments=arguments.model_dump(),
        backbone=backbone if model.backbones else None,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=model.chip_size(chips, arguments),
        normalization=model.normalization(chips, arguments, scale),
        second_normalization=choose_normalization(chips.second, scale) if chips.second else None,
        second=chips.second,
        statistics=chips.statistics,
        metadata_format=chips.format,
        metadata=chips.metadata,
        fitted=model.fit(chips, arguments),
    )
    task = model.task(spec)
    seed_build(0)
    network = model.build(spec, weights)
    if frozen:
        freeze_loaded(network)
    reader = ChipReader(None, cache_bytes=2**28)
    feed = Feed(task, task.training_units(chips.chips), reader, size, shuffle=True)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate = rate or task.default_learning_rate
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    device = torch.device("cpu")
    accelerator = start_accelerator(device, choose_precision("auto", device))
    for step in range(steps):
        epoch, start = divmod(step, len(feed))
        train_mode(network)
        seed_step(0, epoch, start)
        batch = task.to_device(next(iter(feed.batches(epoch, start))), device)
        with accelerator.autocast():
            losses = task.losses({"network": network}, batch, task.phases[0])
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        if task.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, task.gradient_clip)
        optimizer.step()
        schedule.step()
    network.eval()
    measured = Feed(task, task.units(chips.chips), reader, size).batches()
    with torch.inference_mode():
        return task, [(task.predict(network, batch), batch) for batch in (task.to_device(one, device) for one in measured)]
