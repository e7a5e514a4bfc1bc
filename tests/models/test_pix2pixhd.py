"""PIX2PIXHD: pairs of differing images, label maps, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pair_builders
import pytest
import rasterio
import torch
from torchvision import models

import chipwright
from chipwright import catalog, console

SMALL: dict[str, Any] = catalog.find("PIX2PIXHD").tiny.arguments


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def train(chips: Path, out: Path, arguments: dict[str, Any] | None = None, **changes: Any) -> Any:
    options = {
        "model_type": "PIX2PIXHD", "max_epochs": 1, "batch_size": 4, "processor_type": "CPU", "precision": "float32",
        "stop_training": False, "validation_percentage": 25, "arguments": SMALL | (arguments or {}),
    }  # fmt: skip
    return chipwright.train(chips, out, **options | changes)


def pixels(path: Path) -> Any:
    with rasterio.open(path) as file:
        return file.read()


def test_bands_and_pixel_types_of_both_sides_may_differ(tmp_path: Path) -> None:
    chips = pair_builders.export_tiles(tmp_path / "chips", 8, 40, bands=2, dtype="uint8", second_bands=5, second_dtype="uint16")
    train(chips, tmp_path / "model")
    first = chips / "images" / "000000000000.tif"
    loaded = chipwright.load(tmp_path / "model", processor_type="CPU")
    made = loaded.predict([pixels(first)])[0].numpy()
    assert (made.dtype, made.shape) == (np.uint16, (5, 40, 40))
    done = chipwright.predict(loaded, first, tmp_path / "map.tif")
    np.testing.assert_array_equal(pixels(done.outputs[0]), made)


def test_a_label_map_becomes_an_image(tmp_path: Path) -> None:
    chips = pair_builders.painted_labels(tmp_path / "chips", 12, 32, bands=4, values=(3, 200))
    train(chips, tmp_path / "model", max_epochs=12)
    history = json.loads((tmp_path / "model" / "model_metrics.json").read_text(encoding="utf-8"))["history"]
    assert history[-1]["psnr"] > history[0]["psnr"] + 3
    loaded = chipwright.load(tmp_path / "model", processor_type="CPU")
    label = chips / "labels" / "000000000000.tif"
    made = loaded.predict([pixels(label)])[0].numpy()
    assert made.shape == (4, 32, 32)
    done = chipwright.predict(loaded, label, tmp_path / "map.tif")
    np.testing.assert_array_equal(pixels(done.outputs[0]), made)
    with rasterio.open(label) as source, rasterio.open(done.outputs[0]) as result:
        assert (result.crs, result.transform) == (source.crs, source.transform)
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = onnxruntime.InferenceSession(chipwright.repackage(tmp_path / "model", "onnx", tmp_path / "model.onnx"))
    values = torch.from_numpy(graph.run(None, {"input": pixels(label)[None].astype(np.float32)})[0])
    assert (loaded.task.restored(values)[0].int() - torch.from_numpy(made).int()).abs().max() <= 1  # type: ignore[attr-defined]
    with pytest.raises(chipwright.DataError, match="4 bands"):
        chipwright.predict(loaded, chips / "images" / "000000000000.tif", tmp_path / "wrong.tif")


def test_class_values_beyond_label_nc_are_refused(tmp_path: Path) -> None:
    chips = pair_builders.painted_labels(tmp_path / "chips", 8, 32, values=(1, 6))
    with pytest.raises(chipwright.OptionError, match="Give 7 or more"):
        train(chips, tmp_path / "model", {"label_nc": 6})
    train(chips, tmp_path / "model", {"label_nc": 9})
    assert json.loads((tmp_path / "model" / "model.emd").read_text(encoding="utf-8"))["label_nc"] == 9


def test_single_images_are_refused(tmp_path: Path) -> None:
    chips = pair_builders.sharp_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.DataError, match="additional input raster"):
        train(chips, tmp_path / "model")


def test_without_weights_of_a_vgg_training_stops_before_it_starts(tmp_path: Path) -> None:
    chips = pair_builders.export_tiles(tmp_path / "chips", second_bands=3)
    with pytest.raises(chipwright.OptionError, match="vgg_loss=False"):
        train(chips, tmp_path / "model", {"vgg_loss": True, "perceptual_weights": "none"})
    assert not (tmp_path / "model").exists()


def test_the_vgg_loss_takes_a_file_and_stays_out_of_the_model(tmp_path: Path) -> None:
    file = tmp_path / "vgg19.pth"
    torch.manual_seed(0)
    features = models.vgg19(weights=None).features
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, file)
    chips = pair_builders.export_tiles(tmp_path / "chips", 8, 32, second_bands=3)
    train(chips, tmp_path / "with", {"vgg_loss": True, "perceptual_weights": str(file)})
    train(chips, tmp_path / "without")
    weights = [(tmp_path / name / f"{name}.safetensors").read_bytes() for name in ("with", "without")]
    assert abs(len(weights[0]) - len(weights[1])) < 200
    assert weights[0] != weights[1]
    file.unlink()
    assert chipwright.evaluate(tmp_path / "with", chips, tmp_path / "again", processor_type="CPU").metrics["psnr"] > 0


@pytest.mark.parametrize("arguments", [{"gen_network": "global"}, {"norm": "batch"}, {"lsgan": False, "feat_loss": False}])
def test_it_learns_in_each_form(arguments: dict[str, Any], tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 12, 32)
    train(chips, tmp_path / "model", arguments, max_epochs=4, learning_rate=1e-3)
    history = json.loads((tmp_path / "model" / "model_metrics.json").read_text(encoding="utf-8"))["history"]
    assert history[-1]["valid_loss"] < 0.9 * history[0]["valid_loss"]


def test_a_global_generator_is_what_an_enhanced_one_can_start_from(tmp_path: Path) -> None:
    chips = pair_builders.export_tiles(tmp_path / "chips", 8, 32, second_bands=2)
    train(chips, tmp_path / "coarse", {"gen_network": "global", "n_gen_filters": 16})
    result = train(chips, tmp_path / "fine", {"n_gen_filters": 8}, pretrained_model=tmp_path / "coarse", learning_rate=1e-12)
    assert result.out_model_file.exists()
    coarse, fine = (chipwright.load(tmp_path / name, processor_type="CPU").network for name in ("coarse", "fine"))
    trunk = {name: value for name, value in coarse.state_dict().items() if ".trunk." in name}
    assert trunk
    assert all(torch.allclose(fine.state_dict()[name], value, atol=1e-6) for name, value in trunk.items())


def test_it_is_picked_for_maps_of_classes(tmp_path: Path) -> None:
    assert catalog.pick("Export_Tiles") == "SUPERRESOLUTION"
    assert catalog.pick("Export_Tiles", labelled=True) == "PIX2PIXHD"
    assert catalog.pick("Export_Tiles", paired=True).startswith("PIX2PIX")
    chips = pair_builders.painted_labels(tmp_path / "chips", 8, 32)
    result = train(chips, tmp_path / "model", model_type=None)
    assert chipwright.load(result.out_model_file, processor_type="CPU").spec.model_type == "PIX2PIXHD"


def test_the_emd_says_what_goes_in_and_what_comes_out(tmp_path: Path) -> None:
    pairs = pair_builders.export_tiles(tmp_path / "pairs", 8, 32, bands=2, second_bands=5, second_dtype="uint16")
    labels = pair_builders.painted_labels(tmp_path / "labels", 8, 32, bands=4, values=(3, 200))
    emds = []
    for name, chips in (("of_pairs", pairs), ("of_labels", labels)):
        train(chips, tmp_path / name)
        emds.append(json.loads((tmp_path / name / f"{name}.emd").read_text(encoding="utf-8")))
    assert [(emd["ModelConfiguration"], emd["ModelType"]) for emd in emds] == [("_pix2pix_hd", "Pix2PixHD")] * 2
    assert [(emd["n_intput_channel"], emd["n_channel"]) for emd in emds] == [(2, 5), (3, 4)]
    assert [emd["ExtractBands"] for emd in emds] == [[0, 1], [0]]
    assert [len(emd["NormalizationStats_b"]["band_min_values"]) for emd in emds] == [5, 4]
    assert "label_nc" not in emds[0]
    assert (emds[1]["label_nc"], emds[1]["mask_map"]) == (3, {"0": 0, "3": 1, "200": 2})


def test_larger_maps_of_classes_go_by_windows_and_keep_their_nodata(tmp_path: Path) -> None:
    chips = pair_builders.painted_labels(tmp_path / "chips", 8, 32, values=(1, 6))
    train(chips, tmp_path / "model")
    classes = np.random.default_rng(0).choice(np.array([0, 1, 6], np.uint8), (1, 90, 70))
    classes[0, :20] = 255
    raster = builders.write_raster(tmp_path / "classes.tif", classes, nodata=255, **builders.place(0, 90))
    done = chipwright.predict(tmp_path / "model", raster, tmp_path / "map.tif", processor_type="CPU")
    assert done.windows > 1
    with rasterio.open(raster) as source, rasterio.open(done.outputs[0]) as made:
        assert (made.shape, made.count, made.transform, made.crs) == (source.shape, 3, source.transform, source.crs)
    halved = chipwright.predict(tmp_path / "model", raster, tmp_path / "half.tif", processor_type="CPU", cell_size=20.0)
    with rasterio.open(halved.outputs[0]) as made:
        assert made.shape == (45, 35)


def test_chips_too_small_for_the_last_discriminator_are_refused_and_the_least_train(tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 4, 32)
    with pytest.raises(chipwright.OptionError, match="chip_size 17 or more"):
        train(chips, tmp_path / "model", {"chip_size": 16, "n_dscr": 5})
    train(chips, tmp_path / "model", {"chip_size": 17, "n_dscr": 5}, batch_size=1)


def test_chips_of_another_kind_than_learnt_from_are_refused_in_measuring(tmp_path: Path) -> None:
    pairs = pair_builders.translated_scenes(tmp_path / "pairs", 4, 32)
    other = pair_builders.export_tiles(tmp_path / "other", 4, 32, second_bands=1)
    alone = pair_builders.sharp_scenes(tmp_path / "alone", 4, 32)
    labels = pair_builders.painted_labels(tmp_path / "labels", 4, 32)
    train(pairs, tmp_path / "paired", batch_size=1)
    train(labels, tmp_path / "thematic", batch_size=1)
    for model, chips, said in (
        ("paired", alone, "was trained on pairs of images, but the chips are single images"),
        ("paired", labels, "was trained on pairs of images, but the chips are single images"),
        ("paired", other, "second images of 3 bands of uint8, but those of the chips have 1 bands of uint8"),
        ("thematic", pairs, "was trained on images with maps of classes, but the chips are pairs of images"),
        ("thematic", alone, "was trained on images with maps of classes, but the chips are single images"),
    ):
        with pytest.raises(chipwright.DataError, match=said):
            chipwright.evaluate(tmp_path / model, chips, tmp_path / "measured", processor_type="CPU")
