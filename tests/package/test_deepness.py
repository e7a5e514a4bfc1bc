"""Files for QGIS's plugin Deepness, used as the plugin documents that it uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import builders
import mask_builders
import numpy as np
import pair_builders
import pytest

import chipwright
from chipwright import catalog, console
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader

onnxruntime = pytest.importorskip("onnxruntime")

BUILDERS = {
    "UNET": builders.classified_tiles,
    "FASTERRCNN": builders.voc,
    "YOLOV3": builders.voc,
    "MASKRCNN": mask_builders.discs,
}


def train(folder: Path, keyword: str, dtype: str = "uint8", build: Any = None, **shape: Any) -> tuple[Path, Path]:
    row = catalog.find(keyword)
    size = {"count": 12, "size": row.tiny.chip_size, "bands": 3, "dtype": dtype}
    chips = (build or BUILDERS[keyword])(folder / "chips", **size, **shape)
    with console.quiet():
        chipwright.train(
            chips, folder / "model", model_type=keyword, arguments=row.tiny.arguments, max_epochs=row.tiny.epochs,
            learning_rate=row.tiny.learning_rate, precision="float32", processor_type="CPU", stop_training=False, freeze=False,
            backbone_model=row.tiny.backbone, backbone_weights="none", validation_percentage=25,
        )  # fmt: skip
    return chips, folder / "model"


class Plugin:
    """What the plugin does with a file: metadata as JSON, tiles of 8 bits divided by 255, then standardised."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        written = self.session.get_modelmeta().custom_metadata_map
        self.metadata = {key: json.loads(value) for key, value in written.items()}
        self.shape = self.session.get_inputs()[0].shape
        assert len(self.session.get_inputs()) == len(self.session.get_outputs()) == 1

    def run(self, tile: Any) -> Any:
        assert tile.dtype == np.uint8
        mean, std = (np.array(self.metadata[f"standardization_{name}"], np.float32) for name in ("mean", "std"))
        images = (np.float32(tile[None] * 1.0 / 255.0) - mean) / std
        return self.session.run(None, {self.session.get_inputs()[0].name: np.transpose(images, (0, 3, 1, 2))})[0]


def images(chips: Path) -> list[Any]:
    return [ChipReader(None).image(chip) for chip in read_chips([chips]).chips[:4]]


def test_a_segmenter_opens_without_typing_and_gives_predict_s_classes(tmp_path: Path) -> None:
    chips, model = train(tmp_path, "UNET")
    plugin, loaded = Plugin(chipwright.repackage(model, "qgis")), chipwright.load(model, processor_type="CPU")
    assert plugin.shape == [1, 3, 64, 64]
    assert plugin.metadata["model_type"] == "Segmentor"
    assert plugin.metadata["tile_size"] == 64
    assert list(plugin.metadata["class_names"].values()) == list(loaded.task.probability_names)  # type: ignore[attr-defined]
    for image in images(chips):
        probabilities = plugin.run(np.transpose(image, (1, 2, 0)))
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
        expected = loaded.predict([image])[0].numpy()
        assert (probabilities[0].argmax(0) == expected).mean() >= 0.999


@pytest.mark.parametrize("keyword", ["YOLOV3", "FASTERRCNN", "MASKRCNN"])
def test_a_detector_s_rows_are_predict_s_objects(tmp_path: Path, keyword: str) -> None:
    chips, model = train(tmp_path, keyword)
    plugin, loaded = Plugin(chipwright.repackage(model, "qgis")), chipwright.load(model, processor_type="CPU")
    assert (plugin.metadata["model_type"], plugin.metadata["det_type"]) == ("Detector", "YOLO_v5_or_v7_default")
    assert plugin.metadata["det_conf"] == pytest.approx(loaded.threshold, abs=1e-4)
    for image in images(chips):
        rows = plugin.run(np.transpose(image, (1, 2, 0)))
        assert rows.shape[0] == 1
        assert rows.shape[2] == 5 + len(loaded.spec.classes)
        found, (expected,) = rows[0][rows[0][:, 4] >= 0.3], loaded.predict([image])
        good = expected["scores"].numpy() >= 0.3
        assert len(found) == good.sum()
        order, other = np.argsort(-found[:, 4]), np.argsort(-expected["scores"].numpy()[good])
        corners = np.concatenate([found[:, :2] - found[:, 2:4] / 2, found[:, :2] + found[:, 2:4] / 2], 1)
        np.testing.assert_allclose(corners[order], expected["boxes"].numpy()[good][other], atol=0.05)
        np.testing.assert_array_equal(found[order, 5:].argmax(1) + 1, expected["labels"].numpy()[good][other])


def test_what_the_plugin_cannot_run_is_refused(tmp_path: Path) -> None:
    _, deep = train(tmp_path / "deep", "UNET", dtype="uint16")
    with pytest.raises(chipwright.OptionError, match="pixels of 8 bit, but model was trained on uint16"):
        chipwright.repackage(deep, "qgis")
    _, change = train(tmp_path / "change", "CHANGEDETECTOR", build=pair_builders.change_pairs)
    with pytest.raises(chipwright.OptionError, match="no place for a CHANGEDETECTOR"):
        chipwright.repackage(change, "qgis")
    assert not list(deep.glob("*.onnx"))
