"""PIX2PIX: pairs of differing images, over a backbone too, and with a perceptual loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pair_builders
import pytest
import rasterio
import torch
from torchvision import models

import chipwright
from chipwright import catalog, console

SMALL: dict[str, Any] = catalog.find("PIX2PIX").tiny.arguments


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def train(chips: Path, out: Path, arguments: dict[str, Any] | None = None, **changes: Any) -> Any:
    options = {
        "model_type": "PIX2PIX", "max_epochs": 1, "batch_size": 4, "processor_type": "CPU", "precision": "float32",
        "stop_training": False, "validation_percentage": 25, "arguments": SMALL | (arguments or {}),
    }  # fmt: skip
    return chipwright.train(chips, out, **options | changes)


def history(out: Path) -> Any:
    return json.loads((out / "model_metrics.json").read_text(encoding="utf-8"))["history"]


def test_bands_and_pixel_types_of_both_sides_may_differ(tmp_path: Path) -> None:
    chips = pair_builders.export_tiles(tmp_path / "chips", 8, 40, bands=2, dtype="uint8", second_bands=5, second_dtype="uint16")
    train(chips, tmp_path / "model")
    first = chips / "images" / "000000000000.tif"
    loaded = chipwright.load(tmp_path / "model", processor_type="CPU")
    with rasterio.open(first) as file:
        made = loaded.predict([file.read()])[0].numpy()
    assert (made.dtype, made.shape) == (np.uint16, (5, 40, 40))
    done = chipwright.predict(loaded, first, tmp_path / "map.tif")
    with rasterio.open(done.outputs[0]) as result, rasterio.open(first) as source:
        np.testing.assert_array_equal(result.read(), made)
        assert (result.crs, result.transform) == (source.crs, source.transform)


def test_it_learns_over_a_backbone(tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 12, 64)
    train(
        chips, tmp_path / "first", backbone_model="timm:test_resnet", backbone_weights="none", max_epochs=4, learning_rate=1e-3
    )
    rows = history(tmp_path / "first")
    assert rows[-1]["valid_loss"] < 0.9 * rows[0]["valid_loss"]


def test_the_usual_generator_takes_no_weights_of_a_backbone(tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 8, 32)
    train(chips, tmp_path / "model")
    emd = json.loads((tmp_path / "model" / "model.emd").read_text(encoding="utf-8"))
    assert emd["ModelParameters"]["backbone"] == "unet"
    assert (emd["n_channel"], emd["n_intput_channel"]) == (3, 3)
    report = json.loads((tmp_path / "model" / "model_metrics.json").read_text(encoding="utf-8"))
    assert report["settings"]["Backbone weights"] == "none"


@pytest.mark.parametrize("builder", [pair_builders.sharp_scenes, pair_builders.thematic_tiles])
def test_chips_that_are_no_pairs_are_refused(builder: Any, tmp_path: Path) -> None:
    chips = builder(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.DataError, match="additional input raster"):
        train(chips, tmp_path / "model")


def test_without_weights_of_a_vgg_the_perceptual_loss_stops_before_training(tmp_path: Path) -> None:
    chips = pair_builders.export_tiles(tmp_path / "chips", second_bands=3)
    with pytest.raises(chipwright.OptionError, match="perceptual_loss=False"):
        train(chips, tmp_path / "model", {"perceptual_loss": True, "perceptual_weights": "none"})
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("bands", [3, 4])
def test_the_perceptual_loss_takes_a_file(bands: int, tmp_path: Path) -> None:
    file = tmp_path / "vgg19.pth"
    torch.manual_seed(0)
    features = models.vgg19(weights=None).features
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, file)
    chips = pair_builders.export_tiles(tmp_path / "chips", 8, 32, second_bands=bands)
    train(chips, tmp_path / "model", {"perceptual_loss": True, "perceptual_weights": str(file)})
    assert history(tmp_path / "model")[0]["train_perceptual"] > 0


def test_chips_too_small_to_be_judged_are_refused_and_the_least_train(tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="chip_size 24 or more"):
        train(chips, tmp_path / "model", {"chip_size": 23})
    train(chips, tmp_path / "model", {"chip_size": 24}, batch_size=1)


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint16")])
def test_fine_tuning_towards_other_images_scales_them_anew(bands: int, dtype: str, tmp_path: Path) -> None:
    first = pair_builders.export_tiles(tmp_path / "first", 4, 32, second_bands=3)
    other = pair_builders.export_tiles(tmp_path / "other", 4, 32, second_bands=bands, second_dtype=dtype)
    train(first, tmp_path / "model", batch_size=2)
    train(other, tmp_path / "tuned", pretrained_model=tmp_path / "model", batch_size=2)
    train(other, tmp_path / "anew", batch_size=2)
    tuned, anew = (chipwright.load(tmp_path / name, processor_type="CPU").spec for name in ("tuned", "anew"))
    assert tuned.second_normalization == anew.second_normalization


def test_fine_tuning_keeps_the_scaling_of_images_that_stay_the_same(tmp_path: Path) -> None:
    first = pair_builders.export_tiles(tmp_path / "first", 4, 32, second_bands=3, second_dtype="uint16", seed=1)
    other = pair_builders.export_tiles(tmp_path / "other", 4, 32, second_bands=3, second_dtype="uint16", seed=2)
    train(first, tmp_path / "model", batch_size=2)
    train(other, tmp_path / "tuned", pretrained_model=tmp_path / "model", batch_size=2)
    before, after = (chipwright.load(tmp_path / name, processor_type="CPU").spec for name in ("model", "tuned"))
    assert after.second_normalization == before.second_normalization
    assert after.second != before.second


def test_chips_larger_than_the_tiles_are_refused(tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="chip_size is 33, but the tiles are 32 x 32 pixels"):
        train(chips, tmp_path / "model", {"chip_size": 33})


def test_a_missing_file_of_perceptual_weights_is_not_taken_for_a_backbones(tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="The weights of VGG19 are 'gone"):
        train(chips, tmp_path / "model", {"perceptual_loss": True, "perceptual_weights": "gone.pth"})
