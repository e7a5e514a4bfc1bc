"""One meaning of "unlabelled" from the files to the figures, whatever made a pixel so, in every task that has pixels.

A pixel is unlabelled where its class is ignored or unknown, where the image holds no data, and beyond the chip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from builders import classified_tiles, labeled_tiles, voc
from mask_builders import discs
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright import catalog
from chipwright.chips.chipset import IGNORE, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.statistics import measured
from chipwright.spec import ModelSpec, Normalization

SIZE = 32
TYPES = ["UNET"]
"""Model types whose tasks learn from label rasters."""

HOLE = np.s_[:, 2:9, 20:30]
"""Where the test's own images hold no data."""


@dataclass(frozen=True)
class Case:
    """Chips of which some pixels are unlabelled, and the options that make them so."""

    write: Callable[[Path], None]
    expected: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]
    """From (image, label) of a chip to its unlabelled pixels."""
    arguments: tuple[tuple[str, Any], ...] = ()
    margin: int = 0
    hidden: bool = True
    """Whether the image's own values are hidden from the network there."""


def plain(folder: Path) -> None:
    classified_tiles(folder, count=2, size=SIZE, class_values=(1, 5, 9))


def declared(folder: Path) -> None:
    classified_tiles(folder, count=2, size=SIZE, class_values=(1, 5, 9), nodata=7)


def not_numbers(folder: Path) -> None:
    classified_tiles(folder, count=2, size=SIZE, class_values=(1, 5, 9), dtype="float32")
    for path in (folder / "images").glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            pixels = file.read()
            pixels[HOLE] = np.nan
            file.write(pixels)


def own_mask(folder: Path) -> None:
    classified_tiles(folder, count=2, size=SIZE, class_values=(1, 5, 9))
    for path in (folder / "images").glob("*.tif"):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            mask = np.full((SIZE, SIZE), 255, np.uint8)
            mask[HOLE[1:]] = 0
            file.write_mask(mask)


def unknown_value(folder: Path) -> None:
    plain(folder)
    for path in (folder / "labels").glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            label = file.read()
            label[HOLE] = 77
            file.write(label)


def hole(image: NDArray[Any], label: NDArray[Any]) -> NDArray[np.bool_]:
    found = np.zeros(label.shape, bool)
    found[HOLE[1:]] = True
    return found


CASES = {
    "value 0 ignored": Case(plain, lambda _, label: label == 0, (("ignore_classes", [0]),), hidden=False),
    "a class ignored": Case(plain, lambda _, label: label == 5, (("ignore_classes", [5]),), hidden=False),
    "a value of no class": Case(unknown_value, hole, hidden=False),
    "declared nodata": Case(declared, lambda image, _: (image == 7).all(axis=0)),
    "NaN": Case(not_numbers, hole),
    "the file's own mask": Case(own_mask, hole),
    "beyond the chip": Case(plain, lambda _, label: np.zeros(label.shape, bool), margin=8),
}

LOSSES: dict[str, dict[str, Any]] = {
    "cross-entropy": {},
    "balanced": {"class_balancing": True},
    "focal": {"focal_loss": True},
    "dice": {"dice_loss_fraction": 1.0, "dice_loss_average": "macro"},
    "weighted dice and focal": {"dice_loss_fraction": 0.5, "weighted_dice": True, "focal_loss": True},
    "mixup": {"mixup": True},
}


@dataclass
class Drawn:
    """A task, a batch of two samples of one chip as the network gets it, and its unlabelled pixels (height, width)."""

    task: Any
    batch: dict[str, Any]
    unlabelled: NDArray[np.bool_]


def spec_of(chips: ChipSet, keyword: str, arguments: dict[str, Any], margin: int = 0) -> ModelSpec:
    statistics = chips.statistics
    return ModelSpec(
        model_type=keyword,
        arguments=arguments,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=(chips.tile_size[0] + 2 * margin, chips.tile_size[1] + 2 * margin),
        normalization=Normalization(mean=statistics.mean, std=statistics.std),
        statistics=statistics,
        metadata_format=chips.format,
        image_space=chips.image_space,
        nodata=chips.nodata,
        fitted={"class_weights": [0.5, 1.0, 2.0, 4.0]},
    )


def drawn(folder: Path, keyword: str, case: Case, loss: dict[str, Any] | None = None) -> Drawn:
    case.write(folder)
    chips = read_chips([folder])
    reader, chip = ChipReader.of(chips), chips.chips[0]
    task: Any = catalog.find(keyword).task(spec_of(chips, keyword, dict(case.arguments) | (loss or {}), case.margin))
    sample = task.draw(chip, reader, np.random.default_rng(0), False)
    batch = task.to_device(task.collate([sample, sample]), torch.device("cpu"))
    inside = case.expected(reader.image(chip), np.asarray(reader.label(chip)))
    return Drawn(task, batch, np.pad(inside, case.margin, constant_values=True))


class Free(nn.Module):
    """A network whose output is a parameter: every pixel's answer has a gradient of its own."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def answers(found: Drawn, elsewhere: float) -> Tensor:
    """Return logits that differ in unlabelled pixels alone."""
    torch.manual_seed(1)
    logits = torch.randn(2, 4, *found.unlabelled.shape)
    logits[:, :2, torch.from_numpy(found.unlabelled)] = elsewhere
    return logits


@pytest.mark.parametrize("keyword", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_the_unlabelled_pixels_are_those_and_no_others(keyword: str, name: str, tmp_path: Path) -> None:
    found = drawn(tmp_path, keyword, CASES[name])
    assert 0 < found.unlabelled.sum() < found.unlabelled.size
    for mask in found.batch["mask"]:
        np.testing.assert_array_equal(mask.numpy() == IGNORE, found.unlabelled)


@pytest.mark.parametrize("keyword", TYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", CASES)
def test_answers_there_change_neither_loss_nor_gradient(keyword: str, name: str, loss: str, tmp_path: Path) -> None:
    found = drawn(tmp_path, keyword, CASES[name], LOSSES[loss])
    results = []
    for elsewhere in (-3.0, 8.0):
        network = Free(answers(found, elsewhere))
        torch.manual_seed(0)  # of the mixture
        total = torch.stack(list(found.task.losses({"network": network}, found.batch, found.task.phases[0]).values())).sum()
        total.backward()
        results.append((total.detach(), network.logits.grad))
    torch.testing.assert_close(*(total for total, _ in results))
    torch.testing.assert_close(*(gradient for _, gradient in results))
    gradient = results[0][1]
    assert gradient is not None and gradient.any()
    assert not gradient[:, :, torch.from_numpy(found.unlabelled)].any()


@pytest.mark.parametrize("keyword", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_answers_there_change_no_figure(keyword: str, name: str, tmp_path: Path) -> None:
    found = drawn(tmp_path, keyword, CASES[name])
    figures = []
    for elsewhere in (-3.0, 8.0):
        network = Free(answers(found, elsewhere)).eval()
        metrics = found.task.metrics()
        with torch.inference_mode():
            losses, predictions = found.task.validate(network, found.batch)
        metrics.update(predictions, found.batch)
        measured_now = metrics.compute()
        figures.append((measured_now.scalars, metrics.counts.sum(), {key: float(loss) for key, loss in losses.items()}))
    np.testing.assert_equal(figures[0][0], figures[1][0])
    assert figures[0][2] == pytest.approx(figures[1][2])
    assert figures[0][1] == figures[1][1] == 2 * (~found.unlabelled).sum()


@pytest.mark.parametrize("keyword", TYPES)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.hidden])
def test_the_network_sees_the_mean_where_there_is_no_data(keyword: str, name: str, tmp_path: Path) -> None:
    found = drawn(tmp_path, keyword, CASES[name])
    image = found.batch["image"][0]
    assert image.isfinite().all()
    assert image[:, torch.from_numpy(found.unlabelled)].abs().max() < 0.02  # whole numbers: up to half a grey level
    assert image[:, torch.from_numpy(~found.unlabelled)].abs().max() > 0.1


@pytest.mark.parametrize("keyword", TYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_of_nothing_trains_nothing(keyword: str, loss: str, tmp_path: Path) -> None:
    found = drawn(tmp_path, keyword, CASES["declared nodata"], LOSSES[loss])
    found.batch["mask"] = torch.full_like(found.batch["mask"], IGNORE)
    network = Free(answers(found, 0.0))
    total = torch.stack(list(found.task.losses({"network": network}, found.batch, found.task.phases[0]).values())).sum()
    total.backward()
    assert total.item() == 0
    assert network.logits.grad is not None and not network.logits.grad.any()


@pytest.mark.parametrize("keyword", TYPES)
@pytest.mark.parametrize("write", [declared, not_numbers, own_mask], ids=["declared", "NaN", "mask"])
def test_no_random_change_brings_a_label_to_ground_without_data(keyword: str, write: Any, tmp_path: Path) -> None:
    write(tmp_path)
    chips = read_chips([tmp_path])
    reader, chip = ChipReader.of(chips), chips.chips[0]
    task: Any = catalog.find(keyword).task(spec_of(chips, keyword, {}))
    fill = np.asarray(task.recipes[True].tones[0].fill)[:, None]
    valid = reader.valid(chip)
    assert valid is not None
    for seed in range(20):
        sample = task.draw(chip, reader, np.random.default_rng(seed), True)
        image, labelled = sample["image"].astype(float), sample["mask"] != IGNORE
        assert np.isfinite(image).all()
        # ground without data keeps the mean exactly, wherever it is moved and however light changes; edges are mixed
        void = (np.abs(image - fill.reshape(-1, 1, 1)) < 1e-3).all(axis=0)
        assert (void & labelled).sum() <= 0.02 * labelled.size


@pytest.mark.parametrize(
    ("keyword", "write"), [("FASTERRCNN", voc), ("MASKRCNN", discs), ("FEATURE_CLASSIFIER", labeled_tiles)]
)
def test_other_tasks_see_the_mean_too(keyword: str, write: Any, tmp_path: Path) -> None:
    write(tmp_path, count=2, size=SIZE)
    for path in (tmp_path / "images").glob("*.tif"):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            mask = np.full((SIZE, SIZE), 255, np.uint8)
            mask[HOLE[1:]] = 0
            file.write_mask(mask)
    chips = read_chips([tmp_path])
    task: Any = catalog.find(keyword).task(spec_of(chips, keyword, {}))
    sample = task.draw(chips.chips[0], ChipReader.of(chips), np.random.default_rng(0), False)
    np.testing.assert_array_equal(np.asarray(sample["image"])[HOLE].reshape(3, -1).T, [task.recipes[False].tones[0].fill] * 70)


def test_statistics_leave_pixels_without_data_out() -> None:
    image = np.random.default_rng(0).normal(100, 5, (2, SIZE, SIZE)).astype(np.float32)
    valid = np.ones((SIZE, SIZE), bool)
    valid[HOLE[1:]] = False
    spoilt = image.copy()
    spoilt[HOLE] = -9999
    found, expected = measured(spoilt, valid).statistics(), image[:, valid].reshape(2, -1).astype(float)
    np.testing.assert_allclose(found.mean, expected.mean(axis=1))
    np.testing.assert_allclose(found.minimum, expected.min(axis=1))
