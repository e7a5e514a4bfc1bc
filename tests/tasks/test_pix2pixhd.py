"""pix2pixHD's losses, and maps of classes as input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pair_builders
import pytest
import rasterio
import torch

from chipwright import catalog
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.engine.seeds import seed_build
from chipwright.spec import ModelSpec
from chipwright.tasks.pix2pixhd import LabelsToImagesTask, Pix2PixHDTask

HD = catalog.find("PIX2PIXHD")


def assembled(folder: Path, **changes: Any) -> tuple[ChipSet, Pix2PixHDTask, Any, Any]:
    """Return chips, task, network and a batch of all chips."""
    chips = read_chips([folder])
    arguments = HD.arguments(**HD.tiny.arguments | changes)
    spec = ModelSpec(
        model_type=HD.keyword, arguments=arguments.model_dump(), classes=chips.classes, bands=chips.bands, dtype=chips.dtype,
        chip_size=chips.tile_size, normalization=HD.normalization(chips, arguments, None), statistics=chips.statistics,
        second=chips.second, second_normalization=HD.second_normalization(chips, arguments, None),
        metadata_format=chips.format, fitted=HD.fit(chips, arguments),
    )  # fmt: skip
    seed_build(0)
    task, reader = HD.task(spec), ChipReader.of(chips)
    assert isinstance(task, Pix2PixHDTask)
    samples = [task.draw(chip, reader, np.random.default_rng(0), False) for chip in chips.chips]
    return chips, task, HD.build(spec, None), task.to_device(task.collate(samples), torch.device("cpu"))


def losses(task: Pix2PixHDTask, network: Any, batch: Any) -> dict[str, float]:
    found = {name: loss for phase in task.phases for name, loss in task.losses(task.parts(network), batch, phase).items()}
    return {name: float(loss.detach()) for name, loss in found.items()}


@pytest.mark.parametrize(
    ("bands", "changes", "expected"),
    [
        (3, {"lambda_l1": None}, {"features"}),
        (4, {"lambda_l1": None}, {"features", "pixel"}),
        (4, {"lambda_l1": 0}, {"features"}),
        (3, {"lambda_l1": 5}, {"features", "pixel"}),
        (3, {"feat_loss": False, "lambda_l1": None}, set()),
    ],
)
def test_what_teaches_follows_bands_and_arguments(bands: int, changes: Any, expected: set[str], tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, 2, second_bands=bands)
    _, task, network, batch = assembled(tmp_path, **changes)
    assert set(losses(task, network, batch)) == {"adversarial", "discriminator"} | expected


def test_other_bands_than_three_take_pixels_for_the_vgg_loss_and_it_is_said(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, 2, second_bands=4)
    chips = read_chips([tmp_path])
    fitted = HD.fit(chips, HD.arguments())
    assert (fitted["vgg_loss"], fitted["lambda_l1"]) == (False, 100)
    assert "three bands; these have 4" in fitted["notes"][0]


@pytest.mark.parametrize("lsgan", [True, False])
def test_every_discriminator_counts(lsgan: bool, tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, 2, second_bands=3)
    found = {}
    for scales in (1, 3):
        _, task, network, batch = assembled(tmp_path, n_dscr=scales, lsgan=lsgan)
        for judge in network.discriminator.scales:
            torch.nn.init.zeros_(judge.stages[-1].weight)  # scores of 0
        found[scales] = losses(task, network, batch)
    one = 1.0 if lsgan else np.log(2)
    assert found[1]["adversarial"] == pytest.approx(one)
    assert found[3]["adversarial"] == pytest.approx(3 * one)
    assert found[3]["discriminator"] == pytest.approx(3 * one * (0.5 if lsgan else 1))


def test_each_phase_teaches_its_own_part(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, 2, second_bands=3)
    _, task, network, batch = assembled(tmp_path)
    for phase, learning, resting in zip(
        task.phases, ("generator", "discriminator"), ("discriminator", "generator"), strict=True
    ):
        network.zero_grad(set_to_none=True)
        torch.stack(list(task.losses(task.parts(network), batch, phase).values())).sum().backward()
        parts = task.parts(network)
        assert all(parameter.grad is not None for parameter in parts[learning].parameters())
        assert all(parameter.grad is None for parameter in parts[resting].parameters())


def test_values_without_a_class_have_no_plane(tmp_path: Path) -> None:
    pair_builders.painted_labels(tmp_path, 4, 32, values=(1, 6))
    path = tmp_path / "labels" / "000000000000.tif"
    with rasterio.open(path) as file:
        label, profile = file.read(1), file.profile
    label[:4, :4] = 77
    with rasterio.open(path, "w", **profile) as file:
        file.write(label, 1)
    _, task, network, batch = assembled(tmp_path)
    assert isinstance(task, LabelsToImagesTask)
    assert task.labels == [0, 1, 6]
    planes = network.generator.encode(batch["image"])
    assert planes.shape[1] == 3
    assert not planes[0, :, :4, :4].any()
    assert planes[1].sum(0).eq(1).all()


def test_ground_without_data_has_no_plane_on_a_map_either(tmp_path: Path) -> None:
    pair_builders.painted_labels(tmp_path, 4, 32, values=(1, 6))
    _, task, network, _ = assembled(tmp_path)
    valid = np.ones((8, 8), bool)
    valid[0] = False
    for dtype in (np.uint8, np.float32):
        image = np.full((1, 8, 8), 6, dtype)
        sample = task.sample([image], [valid])
        planes = network.generator.encode(torch.from_numpy(sample["image"][None]).float())
        assert not planes[0, :, 0].any()
        assert planes[0, 2, 1:].all()
        assert (image == 6).all()


def test_the_map_of_classes_is_shown_in_its_colours(tmp_path: Path) -> None:
    pair_builders.painted_labels(tmp_path, 4, 32, values=(1, 6))
    chips, task, _, _ = assembled(tmp_path)
    sample = task.draw(chips.chips[0], ChipReader.of(chips), np.random.default_rng(0), False)
    panels = task.panels(sample, torch.from_numpy(sample["target"]))
    assert [panel.title for panel in panels] == ["Input", "Output", "Truth"]
    assert panels[0].classes is not None and set(np.unique(panels[0].classes)) <= {0, 1, 2}
    assert panels[1].text == "PSNR 100.0 dB"


def test_a_fine_tuned_model_keeps_its_planes_unless_classes_were_added(tmp_path: Path) -> None:
    pair_builders.painted_labels(tmp_path, 4, 32, values=(1, 6))
    chips = read_chips([tmp_path])
    assert HD.fit(chips, HD.arguments())["labels"] == [0, 1, 6]
    assert HD.fit(chips, HD.arguments(), {"labels": [0, 1, 5, 6]})["labels"] == [0, 1, 5, 6]
    assert HD.fit(chips, HD.arguments(), {"labels": [0, 1]})["labels"] == [0, 1, 6]
    assert HD.fit(chips, HD.arguments(label_nc=8))["labels"] == list(range(8))
