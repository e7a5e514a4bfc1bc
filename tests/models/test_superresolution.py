"""SUPERRESOLUTION: what it learns from, its two networks, and what comes out."""

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
from chipwright import console
from chipwright.tasks.images import degraded

SR3: dict[str, Any] = {
    "inner_channel": 8, "norm_groups": 4, "channel_mults": [1, 2], "res_blocks": 1, "n_timestep": 20, "linear_end": 0.3,
    "sampling_steps": 5,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def train(chips: Path, out: Path, **changes: Any) -> Any:
    options = {
        "model_type": "SUPERRESOLUTION", "backbone_model": "timm:test_resnet", "backbone_weights": "none", "max_epochs": 1,
        "batch_size": 4, "learning_rate": 1e-3, "processor_type": "CPU", "precision": "float32", "stop_training": False,
        "validation_percentage": 25, "arguments": {"perceptual_loss": False},
    }  # fmt: skip
    return chipwright.train(chips, out, **options | changes)


def first_image(chips: Path) -> Path:
    return min((chips / "images").glob("*.tif"))


def test_what_is_left_of_an_image_is_its_mean_at_coarse_cells() -> None:
    flat = np.full((2, 16, 12), 700, np.uint16)
    assert np.array_equal(degraded(flat, 4), flat)
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (3, 64, 64), dtype=np.uint8)
    blurred = degraded(noisy, 4)
    assert (blurred.dtype, blurred.shape) == (noisy.dtype, noisy.shape)
    assert blurred.std() < 0.4 * noisy.std()
    assert blurred.mean() == pytest.approx(noisy.mean(), abs=2)


@pytest.mark.parametrize(("backbone", "arguments"), [("timm:test_resnet", {}), ("SR3", SR3)])
def test_images_come_back_in_the_chips_dtype_and_the_same_every_time(
    backbone: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    chips = pair_builders.sharp_scenes(tmp_path / "chips", 8, 32, bands=4, dtype="uint16")
    out = tmp_path / "model"
    train(chips, out, backbone_model=backbone, arguments={"perceptual_loss": False} | arguments)
    with rasterio.open(first_image(chips)) as source:
        image = source.read()
    loaded = chipwright.load(out, processor_type="CPU")
    found = loaded.predict([image])[0].numpy()
    assert (found.dtype, found.shape) == (image.dtype, image.shape)
    torch.rand(5)
    again = chipwright.load(out, processor_type="CPU").predict([image])[0].numpy()
    np.testing.assert_array_equal(found, again)
    done = chipwright.predict(loaded, first_image(chips), tmp_path / "map.tif")
    with rasterio.open(done.outputs[0]) as made:
        assert made.dtypes == ("uint16",) * 4
        np.testing.assert_array_equal(made.read(), found)
    assert (tmp_path / "model" / "model_metrics.html").is_file()


def test_sr3_learns_from_noise_and_says_why_it_does_not_export(tmp_path: Path) -> None:
    chips, out = pair_builders.sharp_scenes(tmp_path / "chips", 12, 32), tmp_path / "model"
    train(chips, out, backbone_model="SR3", arguments=SR3, max_epochs=6)
    history = json.loads((out / "model_metrics.json").read_text(encoding="utf-8"))["history"]
    losses = [row["train_loss"] for row in history]
    assert losses[-1] < 0.9 * losses[0]
    with pytest.raises(chipwright.OptionError, match="SR3 draws an image in many passes"):
        chipwright.repackage(out, "onnx", tmp_path / "model.onnx")


def test_the_perceptual_loss_takes_a_file_and_stays_out_of_the_model(tmp_path: Path) -> None:
    file = tmp_path / "vgg16_bn.pth"
    torch.manual_seed(0)
    features = models.vgg16_bn(weights=None).features
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, file)
    chips = pair_builders.sharp_scenes(tmp_path / "chips", 8, 32, bands=4)
    train(chips, tmp_path / "with", arguments={"perceptual_weights": str(file)})
    train(chips, tmp_path / "without")
    sizes = [(tmp_path / name / f"{name}.safetensors").stat().st_size for name in ("with", "without")]
    assert sizes[0] == pytest.approx(sizes[1], abs=200)
    weights = [(tmp_path / name / f"{name}.safetensors").read_bytes() for name in ("with", "without")]
    assert weights[0] != weights[1]
    file.unlink()
    assert chipwright.evaluate(tmp_path / "with", chips, tmp_path / "again", processor_type="CPU").metrics["psnr"] > 0


def test_without_weights_of_a_vgg_training_stops_before_it_starts(tmp_path: Path) -> None:
    chips = pair_builders.sharp_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="perceptual_loss=False"):
        train(chips, tmp_path / "model", arguments={"perceptual_weights": "none"})
    assert not (tmp_path / "model").exists()


def test_pairs_are_refused(tmp_path: Path) -> None:
    chips = pair_builders.export_tiles(tmp_path / "chips", second_bands=3)
    with pytest.raises(chipwright.DataError, match="take PIX2PIX for pairs"):
        train(chips, tmp_path / "model")


def test_groups_that_do_not_divide_the_channels_are_refused(tmp_path: Path) -> None:
    chips = pair_builders.sharp_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="orm_groups 3 does not divide inner_channel 8"):
        train(chips, tmp_path / "model", backbone_model="SR3", arguments=SR3 | {"norm_groups": 3})


def test_an_odd_number_of_channels_is_refused(tmp_path: Path) -> None:
    chips = pair_builders.sharp_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="even inner_channel is needed, not 9"):
        train(chips, tmp_path / "model", backbone_model="SR3", arguments=SR3 | {"inner_channel": 9, "norm_groups": 3})


def test_it_is_said_that_sr3_gets_no_raster_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as loud:  # left again before the silence of all tests here is
        loud.setattr(console, "_quiet", False)
        train(pair_builders.sharp_scenes(tmp_path / "chips", 8, 32), tmp_path / "model", backbone_model="SR3", arguments=SR3)
    said = capsys.readouterr().err
    assert "no raster function for ArcGIS Pro: SUPERRESOLUTION does not export to ONNX: SR3 draws an image" in said


def test_chips_larger_than_the_tiles_are_refused(tmp_path: Path) -> None:
    chips = pair_builders.sharp_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="chip_size is 33, but the tiles are 32 x 32 pixels"):
        train(chips, tmp_path / "model", arguments={"perceptual_loss": False, "chip_size": 33})
