"""CYCLEGAN: domains that differ, both directions on a map, what is measured without a truth."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pair_builders
import pytest
import rasterio
import torch

import chipwright
from chipwright import catalog, console
from chipwright.networks.cyclegan import CycleGenerators, CycleJudges
from chipwright.tasks.cycle_metrics import BINS, histograms, movers_distance

SMALL: dict[str, Any] = catalog.find("CYCLEGAN").tiny.arguments


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def train(chips: Path, out: Path, **changes: Any) -> Any:
    options = {
        "model_type": "CYCLEGAN", "max_epochs": 1, "batch_size": 2, "processor_type": "CPU", "precision": "float32",
        "stop_training": False, "validation_percentage": 25, "arguments": SMALL,
    }  # fmt: skip
    return chipwright.train(chips, out, **options | changes)


def differing(folder: Path) -> Path:
    """Write three bands of 8 bits in A, and two of 16 bits in B."""
    pair_builders.export_tiles(folder / "A", 5, 32, 3, seed=1, mode="CycleGAN", level=0.2)
    pair_builders.export_tiles(folder / "B", 8, 48, 2, "uint16", seed=2, mode="CycleGAN", level=0.8)
    return folder


def test_networks_are_as_large_as_the_originals() -> None:
    def size(network: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert size(CycleGenerators((3, 3))) == 2 * 11_378_179
    assert size(CycleGenerators((3, 3), blocks=6)) == 2 * 7_837_699
    assert size(CycleJudges((3, 3))) == 2 * 2_764_737


def test_both_directions_give_the_other_kind_of_raster(tmp_path: Path) -> None:
    chips = differing(tmp_path / "chips")
    train(chips, tmp_path / "model")
    kinds = {"AtoB": ("A", "B", "uint16", 2), "BtoA": ("B", "A", "uint8", 3)}
    for direction, (given, _, dtype, bands) in kinds.items():
        raster = chips / given / "images" / "000000000000.tif"
        done = chipwright.predict(tmp_path / "model", raster, tmp_path / f"{direction}.tif", direction=direction)
        with rasterio.open(done.outputs[0]) as made, rasterio.open(raster) as source:
            assert (made.count, made.dtypes[0]) == (bands, dtype)
            assert (made.width, made.height, made.crs, made.transform) == (
                source.width, source.height, source.crs, source.transform,
            )  # fmt: skip
    with pytest.raises(chipwright.DataError, match="2 bands"):
        chipwright.predict(tmp_path / "model", chips / "B" / "images" / "000000000000.tif", tmp_path / "wrong.tif")


def test_a_model_turned_round_has_the_same_generators(tmp_path: Path) -> None:
    chips = pair_builders.two_kinds(tmp_path / "chips", 8, 32)
    train(chips, tmp_path / "model")
    model = chipwright.load(tmp_path / "model", processor_type="CPU")
    back = model.towards("BtoA")
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(back.network(images), model.network.generator.to_a(images))  # type: ignore[union-attr, operator]
        assert torch.equal(model.network(images), model.network.generator.to_b(images))  # type: ignore[union-attr, operator]
        again = back.towards("AtoB")
        assert torch.equal(again.network(images), model.network(images))
    assert again.spec.bands == model.spec.bands


def test_a_type_of_one_direction_says_so(tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 8, 32)
    row = catalog.find("PIX2PIX")
    chipwright.train(
        chips,
        tmp_path / "m",
        model_type="PIX2PIX",
        max_epochs=1,
        batch_size=4,
        arguments=row.tiny.arguments,
        processor_type="CPU",
    )
    with pytest.raises(chipwright.OptionError, match="one direction alone"):
        chipwright.predict(tmp_path / "m", chips / "images" / "000000000000.tif", tmp_path / "map.tif", direction="BtoA")


def test_where_bands_differ_there_is_no_identity_loss(tmp_path: Path) -> None:
    train(differing(tmp_path / "differing"), tmp_path / "one")
    train(pair_builders.two_kinds(tmp_path / "alike", 8, 32), tmp_path / "other")
    names = []
    for out in ("one", "other"):
        rows = json.loads((tmp_path / out / "model_metrics.json").read_text(encoding="utf-8"))["history"]
        names.append({name for name in rows[0] if name.startswith("train_")})
    assert names[1] - names[0] == {"train_identity"}


def test_translated_images_come_to_look_like_the_other_kind(tmp_path: Path) -> None:
    chips = pair_builders.two_kinds(tmp_path / "chips", 12, 32)
    train(chips, tmp_path / "model", max_epochs=8, learning_rate=3e-3)
    content = json.loads((tmp_path / "model" / "model_metrics.json").read_text(encoding="utf-8"))
    first, last = content["history"][0], content["metrics"]
    # first weights, which make all of one grey, are at half of the untranslated distance
    untranslated = next(float(found[1]) / 100 for note in content["notes"] if (found := re.search(r"([\d.]+) % apart", note)))
    assert last["histogram_distance"] < 0.25 * untranslated
    assert last["cycle_error"] < first["cycle_error"]


def test_the_distance_of_histograms_is_how_far_values_must_be_moved() -> None:
    dark, bright = histograms(torch.full((2, 8, 8), -1.0)), histograms(torch.full((2, 8, 8), 1.0))
    assert dark.shape == (2, BINS)
    assert movers_distance(dark, bright) == pytest.approx((BINS - 1) / BINS)
    assert movers_distance(dark, dark + bright) == pytest.approx((BINS - 1) / BINS / 2)
    assert movers_distance(dark, 7 * dark) == 0
    shifted = histograms(torch.full((2, 8, 8), -0.5))
    assert movers_distance(dark, shifted) == pytest.approx(0.25)
    np.testing.assert_array_equal(histograms(torch.full((1, 4, 4), 3.0))[0].argmax(), BINS - 1)


def test_chips_too_small_to_be_judged_are_refused_and_the_least_train(tmp_path: Path) -> None:
    chips = pair_builders.cyclegan(tmp_path / "chips")
    with pytest.raises(chipwright.OptionError, match="chip_size 24 or more"):
        train(chips, tmp_path / "model", arguments=SMALL | {"chip_size": 23})
    train(chips, tmp_path / "model", arguments=SMALL | {"chip_size": 24}, batch_size=1)


def test_chips_larger_than_the_smaller_tiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(chipwright.OptionError, match="chip_size is 48, but the tiles are 32 x 32 pixels"):
        train(differing(tmp_path / "chips"), tmp_path / "model", arguments=SMALL | {"chip_size": 48})


def test_a_backbone_and_freezing_are_said_to_mean_nothing(tmp_path: Path) -> None:
    train(pair_builders.cyclegan(tmp_path / "chips"), tmp_path / "model", backbone_model="RESNET50", freeze=True)
    said = (tmp_path / "model" / "model_metrics.json").read_text(encoding="utf-8")
    assert "The backbone RESNET50 is not used: CYCLEGAN takes none." in said
    assert "Warning: CYCLEGAN has no backbone to freeze; the whole network is trained." in said
