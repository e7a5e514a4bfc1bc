"""Change detection: what a sample holds, what counts, and what is said of unsuitable data."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders import classified_tiles, write_raster
from pair_builders import change_pairs

import chipwright
from chipwright import catalog, console
from chipwright.chips.chipset import IGNORE, ChipSet, ClassInfo
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.evaluation import _suited
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.base import Normalize
from chipwright.tasks.binary import BinaryMetrics, error_panel
from chipwright.tasks.change import ChangeTask
from chipwright.tasks.pixel_classes import PixelClasses


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def task_of(chips: ChipSet, **changes: Any) -> ChangeTask:
    assert chips.second is not None
    return ChangeTask(
        ModelSpec(
            model_type="CHANGEDETECTOR",
            classes=chips.classes,
            bands=chips.bands,
            dtype=chips.dtype,
            chip_size=chips.tile_size,
            normalization=choose_normalization(chips, None),
            second_normalization=choose_normalization(chips.second, None),
            second=chips.second,
            statistics=chips.statistics,
            metadata_format=chips.format,
            **changes,
        )
    )


def drawn(task: ChangeTask, chips: ChipSet, augment: bool = False, seed: int = 0) -> dict[str, Any]:
    return task.draw(chips.chips[0], ChipReader.of(chips), np.random.default_rng(seed), augment)


def test_a_sample_holds_both_dates_in_the_files_dtype(tmp_path: Path) -> None:
    chips = read_chips([change_pairs(tmp_path, bands=4, dtype="uint16", value=7)])
    sample = drawn(task_of(chips), chips)
    reader = ChipReader(None)
    assert sample["image"].shape == (8, 32, 32)
    assert sample["image"].dtype == np.uint16
    np.testing.assert_array_equal(sample["image"][4:], reader.image(chips.chips[0], 1))
    np.testing.assert_array_equal(sample["mask"] == 1, reader.label(chips.chips[0]) == 7)


@pytest.mark.parametrize("seed", range(4))
def test_both_dates_and_the_change_move_together(seed: int, tmp_path: Path) -> None:
    chips = read_chips([change_pairs(tmp_path)])
    task = task_of(chips, augmentation={"rotation": 0, "zoom": [1, 1], "light_share": 0})
    sample = drawn(task, chips, True, seed)
    brighter = sample["image"][3].astype(int) - sample["image"][0].astype(int) > 60
    np.testing.assert_array_equal(brighter, sample["mask"] == 1)


def test_each_date_has_its_own_scaling(tmp_path: Path) -> None:
    chips = read_chips([change_pairs(tmp_path, dtype="uint16")])
    task = task_of(chips)
    assert len(task.inputs.mean) == 6
    assert task.inputs.mean[:3] == chips.statistics.mean
    assert chips.second is not None
    assert task.inputs.mean[3:] == chips.second.statistics.mean
    assert task.inputs.minimum is not None
    assert len(task.inputs.minimum) == 6


def test_a_date_that_is_not_clipped_stays_so_beside_one_that_is() -> None:
    plain = Normalization(mean=(1.0,), std=(2.0,))
    clipped = Normalization(mean=(5.0,), std=(4.0,), minimum=(3.0,), maximum=(9.0,))
    scaled = Normalize(plain.beside(clipped))(torch.tensor([-99.0, -99.0]).view(2, 1, 1)).flatten()
    assert scaled.tolist() == [-50, -0.5]
    assert plain.beside(plain).minimum is None


def test_ground_without_data_at_either_date_counts_nowhere(tmp_path: Path) -> None:
    folder = change_pairs(tmp_path)
    for name, corner in (("images", (slice(0, 4), slice(0, 4))), ("images2", (slice(8, 12), slice(8, 12)))):
        path = sorted((folder / name).glob("*.tif"))[0]
        reader = ChipReader(None)
        chips = read_chips([folder])
        image = np.array(reader.image(chips.chips[0], 0 if name == "images" else 1))
        image[(slice(None), *corner)] = 0
        write_raster(path, image, nodata=0)
    chips = read_chips([folder])
    mask = drawn(task_of(chips), chips)["mask"]
    assert (mask[:4, :4] == IGNORE).all()
    assert (mask[8:12, 8:12] == IGNORE).all()
    assert (mask == IGNORE).sum() == 32


def test_pixels_beyond_the_threshold_have_changed(tmp_path: Path) -> None:
    task = task_of(read_chips([change_pairs(tmp_path)]))
    assert task.decide(torch.tensor([[[[0.2, 1.5], [1.0, 2.0]]]]))[0].tolist() == [[0, 1], [0, 1]]


def test_figures_are_those_of_the_one_class() -> None:
    metrics = BinaryMetrics(PixelClasses.of([ClassInfo(value=7, name="Change", color=(1, 2, 3))]))
    truth = torch.tensor([[[0, 0, 1, 1, 1, IGNORE]]], dtype=torch.int16)
    metrics.update([torch.tensor([[0, 1, 1, 1, 0, 1]], dtype=torch.uint8)], {"mask": truth})
    found = metrics.compute().scalars
    assert found == pytest.approx({"accuracy": 3 / 5, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "iou": 1 / 2})


def test_the_picture_tells_found_missed_and_false_apart() -> None:
    truth = np.array([[1, 1, 0, 0, IGNORE]], np.int16)
    found = np.array([[True, False, True, False, True]])
    panel = error_panel("Prediction", np.zeros((1, 5, 3), np.uint8), truth, found)
    assert panel.classes is not None
    assert panel.classes.tolist() == [[0, 1, 2, IGNORE, IGNORE]]
    assert panel.text.startswith("F1 0.50")


def test_single_images_are_refused(tmp_path: Path) -> None:
    single = classified_tiles(tmp_path / "single", count=4)
    with pytest.raises(chipwright.UsageError, match=r"holds Classified_Tiles.*images2"):
        chipwright.train(single, tmp_path / "m", model_type="CHANGEDETECTOR", backbone_weights="none")
    assert not (tmp_path / "m").exists()


def test_several_classes_are_one_change(tmp_path: Path) -> None:
    chips = read_chips([change_pairs(tmp_path, value=2, classes=[(1, "Built"), (2, "Felled")])])
    catalog.find("CHANGEDETECTOR").check(chips, catalog.find("CHANGEDETECTOR").arguments())
    assert (drawn(task_of(chips), chips)["mask"] == 1).any()


def test_every_value_but_0_is_change_in_the_mask(tmp_path: Path) -> None:
    change_pairs(tmp_path, classes=[(1, "Built"), (2, "Felled")])
    label = np.zeros((32, 32), np.uint8)
    label[:8], label[8:12], label[12:14] = 1, 2, 200
    write_raster(tmp_path / "labels/000000000000.tif", label)
    chips = read_chips([tmp_path])
    mask = drawn(task_of(chips), chips)["mask"]
    np.testing.assert_array_equal(mask, (label > 0).astype(np.int16))
    assert dict(chips.chips[0].pixels)[1] == int((mask == 1).sum())


def test_values_that_are_declared_to_mean_no_data_are_no_change(tmp_path: Path) -> None:
    change_pairs(tmp_path)
    label = np.zeros((32, 32), np.uint8)
    label[:8], label[8:12], label[12:14] = 1, 255, 2
    write_raster(tmp_path / "labels/000000000000.tif", label, nodata=255)
    chips = read_chips([tmp_path])
    mask = drawn(task_of(chips), chips)["mask"]
    expected = np.select([label == 255, label > 0], [IGNORE, 1], 0)
    np.testing.assert_array_equal(mask, expected)


def test_a_model_is_measured_on_labels_of_another_value(tmp_path: Path) -> None:
    learnt = task_of(read_chips([change_pairs(tmp_path / "learnt", value=1)]))
    others = read_chips([change_pairs(tmp_path / "others", value=255, classes=[(255, "Built")])])
    model: Any = SimpleNamespace(name="change", spec=learnt.spec, type=catalog.find("CHANGEDETECTOR"))
    suited = _suited(others, model)
    assert not any("does not know" in text for text in suited.account.warnings)
    label = ChipReader(None).label(others.chips[0])
    assert (label == 255).any()
    np.testing.assert_array_equal(drawn(learnt, suited)["mask"], (label == 255).astype(np.int16))


def test_dates_of_different_bands_are_refused(tmp_path: Path) -> None:
    folder = change_pairs(tmp_path / "chips")
    for path in (folder / "images2").glob("*.tif"):
        write_raster(path, np.full((4, 32, 32), 7, np.uint8))
    with pytest.raises(chipwright.DataError):
        chipwright.train(folder, tmp_path / "m", model_type="CHANGEDETECTOR", backbone_weights="none")


def test_the_catalog_finds_it() -> None:
    model = catalog.find("ChangeDetector")
    assert model.backbones is not None
    assert model.backbones.default == "RESNET18"
    assert model.arguments(attention_type="bam").model_dump()["attention_type"] == "BAM"
