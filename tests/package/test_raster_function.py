"""The raster function in a package, driven as ArcGIS Pro drives it, gives what chipwright gives."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import mask_builders
import numpy as np
import pair_builders
import pro_host
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter

import chipwright
from chipwright import catalog, console
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.package.functions.instance_detector import outlines
from chipwright.package.functions.object_classifier import squeezed
from chipwright.package.functions.pixel_classifier import thinned
from chipwright.package.raster_function import PARTS, function_if_possible, function_source
from chipwright.tasks.edge_metrics import thinned as thinned_by_scipy

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.raster_function

LINES = {"class_values": (1,), "shape": "lines"}
KINDS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "UNET": ("ChipwrightPixelClassifier", builders.classified_tiles, {}),
    "HED_EDGEDETECTOR": ("ChipwrightPixelClassifier", builders.classified_tiles, LINES),
    "MULTITASK_ROADEXTRACTOR": (
        "ChipwrightPixelClassifier",
        builders.classified_tiles,
        {"class_values": (1,), "shape": "lines"},
    ),
    "CHANGEDETECTOR": ("ChipwrightPixelClassifier", pair_builders.change_pairs, {}),
    "PSETAE": ("ChipwrightPixelClassifier", mask_builders.seasons, {}),
    "SSD": ("ChipwrightObjectDetector", builders.voc, {}),
    "FASTERRCNN": ("ChipwrightObjectDetector", builders.voc, {}),
    "MASKRCNN": ("ChipwrightInstanceDetector", mask_builders.discs, {}),
    "SUPERRESOLUTION": ("ChipwrightImageTranslator", pair_builders.sharp_scenes, {}),
    "PIX2PIX": ("ChipwrightImageTranslator", pair_builders.translated_scenes, {}),
    "PIX2PIXHD": ("ChipwrightImageTranslator", pair_builders.translated_scenes, {}),
    "CYCLEGAN": ("ChipwrightImageTranslator", pair_builders.two_kinds, {}),
    "FEATURE_CLASSIFIER": ("ChipwrightObjectClassifier", builders.labeled_tiles, {}),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train a type once and return (its chips, its folder)."""
    kept: dict[str, tuple[Path, Path]] = {}

    def get(keyword: str) -> tuple[Path, Path]:
        if keyword not in kept:
            row, base = catalog.find(keyword), tmp_path_factory.mktemp(keyword)
            _, build, shape = KINDS[keyword]
            chips = build(base / "chips", count=12, size=row.tiny.chip_size, bands=3, dtype="uint8", **shape)
            backbone = {"backbone_model": row.tiny.backbone, "backbone_weights": "none"} if row.tiny.backbone else {}
            with console.quiet():
                chipwright.train(
                    chips, base / "model", model_type=keyword, arguments=row.tiny.arguments, max_epochs=row.tiny.epochs,
                    learning_rate=row.tiny.learning_rate, precision="float32", processor_type="CPU", stop_training=False,
                    validation_percentage=25, **({} if not backbone else {"freeze": False}), **backbone,
                )  # fmt: skip
            kept[keyword] = chips, base / "model"
        return kept[keyword]

    return get


def image_of(chips: Path, place: int = 0, keyword: str = "") -> np.ndarray[Any, Any]:
    reader, chip = ChipReader(None), read_chips([chips]).chips[place]
    images = 1 if keyword in KINDS and "Translator" in KINDS[keyword][0] else len(chip.images)
    return np.concatenate([reader.image(chip, at) for at in range(images)])


def run_here(model: Path, keyword: str, pixels: Any, mask: Any = None, **scalars: Any) -> Any:
    """Return what the host makes of a raster with a model's raster function."""
    function = pro_host.load(model / f"{KINDS[keyword][0]}.py", model / "model.emd")
    mask = np.ones(pixels.shape[-2:], "u1") if mask is None else mask
    if "Pixel" in KINDS[keyword][0]:
        return pro_host.classify(function, pixels, mask, scalars)
    return pro_host.detect(function, pixels, mask, scalars)


@pytest.mark.parametrize("keyword", [name for name, kind in KINDS.items() if "Pixel" in kind[0]])
def test_pixels_get_the_classes_that_predict_gives(keyword: str, trained: Any) -> None:
    chips, model = trained(keyword)
    loaded = chipwright.load(model, processor_type="CPU")
    pixels = image_of(chips)
    found, table = run_here(model, keyword, pixels, padding=0, batch_size=1)
    expected = loaded.task.class_values(loaded.predict([pixels])[0])  # type: ignore[attr-defined]
    assert (found == expected).mean() >= 0.999
    emd = json.loads((model / "model.emd").read_text())
    assert [row["attributes"]["Value"] for row in table["features"]] == [one["Value"] for one in emd["Classes"]]


@pytest.mark.parametrize("keyword", [name for name, kind in KINDS.items() if "Translator" in kind[0]])
def test_images_are_those_that_predict_makes(keyword: str, trained: Any) -> None:
    chips, model = trained(keyword)
    loaded = chipwright.load(model, processor_type="CPU")
    pixels = image_of(chips, 0, keyword)
    function = pro_host.load(model / "ChipwrightImageTranslator.py", model / "model.emd")
    mask = np.ones(pixels.shape[-2:], "u1")
    mask[:3] = 0
    found = pro_host.translate(function, pixels, mask, {"padding": 0, "batch_size": 1})
    assert found.dtype == np.uint8 and found.shape == pixels.shape
    assert not found[:, :3].any()
    whole = pro_host.translate(function, pixels, np.ones_like(mask), {"padding": 0, "batch_size": 1})
    expected = loaded.predict([pixels])[0].numpy()
    assert np.abs(whole.astype(int) - expected).max() <= 1
    assert (whole == expected).mean() > 0.99


@pytest.mark.parametrize("keyword", ["SSD", "FASTERRCNN", "MASKRCNN"])
def test_objects_are_those_that_predict_gives(keyword: str, trained: Any) -> None:
    chips, model = trained(keyword)
    loaded = chipwright.load(model, processor_type="CPU")
    pixels = image_of(chips, 1)
    found = run_here(model, keyword, pixels, padding=0, batch_size=1, threshold=0.3)
    (expected,) = loaded.predict([pixels])
    good = expected["scores"].numpy() >= 0.3
    assert len(found) == good.sum() > 0
    names = [info.name for info in loaded.spec.classes]
    order = np.argsort(-expected["scores"].numpy()[good], kind="stable")
    for one, place in zip(found, np.flatnonzero(good)[order], strict=True):
        assert one["Class"] == names[int(expected["labels"][place]) - 1]
        assert one["Confidence"] == pytest.approx(100 * float(expected["scores"][place]), abs=0.02)
        if keyword == "MASKRCNN":
            drawn = sum(_drawn(ring, pixels.shape[-2:]).astype(int) for ring in one["rings"]) % 2
            assert (drawn == expected["masks"][place].numpy()).mean() > 0.999
        else:
            left, top, right, bottom = shapely.Polygon(one["rings"][0]).bounds
            np.testing.assert_allclose([left, top, right, bottom], expected["boxes"][place].numpy(), atol=0.05)


def _drawn(ring: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.asarray(rasterize([shapely.Polygon(ring)], shape, dtype="uint8"))


def test_chips_get_the_labels_that_predict_gives(trained: Any) -> None:
    chips, model = trained("FEATURE_CLASSIFIER")
    loaded = chipwright.load(model, processor_type="CPU")
    images = [image_of(chips, place) for place in range(4)]
    function = pro_host.load(model / "ChipwrightObjectClassifier.py", (model / "model.emd").read_text())
    function.session = pro_host.load(model / "ChipwrightObjectClassifier.py", model / "model.emd").session
    names = {info.value: info.name for info in loaded.spec.classes}
    for one, expected in zip(pro_host.label(function, images, {}), loaded.predict(images), strict=True):
        assert one["Label"] == names[expected.values[0]]
        assert float(one["Confidence"]) == pytest.approx(100 * expected.probabilities.max(), abs=0.02)


def test_over_a_raster_the_classes_are_those_of_chipwright_predict(trained: Any, tmp_path: Path) -> None:
    chips, model = trained("UNET")
    pixels = np.tile(image_of(chips), (1, 3, 3))[:, :170, :150]
    pixels[:, :20, :30] = 0
    mask = (pixels != 0).any(0).astype("u1")
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", count=3, height=170, width=150, dtype="uint8", nodata=0
    ) as file:
        file.write(pixels)
    for batch_size in (1, 6):
        found, _ = run_here(model, "UNET", pixels, mask, padding=24, batch_size=batch_size)
        chipwright.predict(
            model, tmp_path / "in.tif", tmp_path / "out.tif", tile_size=64, padding=24, precision="float32", overwrite=True
        )
        with rasterio.open(tmp_path / "out.tif") as file:
            expected = file.read(1)
        assert (found[mask == 0] == 0).all()
        assert (found[mask == 1] == expected[mask == 1]).mean() >= 0.95  # windows begin elsewhere: a tiny margin shows


def test_what_two_windows_saw_is_one_object(trained: Any) -> None:
    _, model = trained("SSD")
    function = pro_host.load(model / "ChipwrightObjectDetector.py", model / "model.emd")
    function.getConfiguration(nms_overlap="0.5")

    def seen(score: float, left: float, window: int, label: int = 1) -> dict[str, Any]:
        return {"label": label, "score": score, "window": (window, 0), "box": (left, 0, left + 10, 10), "rings": []}

    objects = [seen(0.6, 0, 1), seen(0.8, 1, 2), seen(0.7, 0, 2, label=2), seen(0.5, 1, 2), seen(0.4, 5, 1)]
    assert [one["score"] for one in function.merged(objects)] == [0.8, 0.7, 0.5, 0.4]


def test_without_data_nothing_is_found(trained: Any) -> None:
    chips, model = trained("FASTERRCNN")
    pixels = image_of(chips, 1)
    assert run_here(model, "FASTERRCNN", pixels, np.zeros(pixels.shape[-2:], "u1")) == []
    found, _ = run_here(trained("UNET")[1], "UNET", pixels, np.zeros(pixels.shape[-2:], "u1"))
    assert not found.any()


def test_the_package_carries_function_and_network(trained: Any) -> None:
    _, model = trained("UNET")
    emd = json.loads((model / "model.emd").read_text())
    assert emd["InferenceFunction"] == "ChipwrightPixelClassifier.py"
    names = zipfile.ZipFile(model / "model.dlpk").namelist()
    assert {"ChipwrightPixelClassifier.py", "model.onnx", "model.emd", "model.safetensors"} <= set(names)
    assert chipwright.load(model / "model.dlpk").name == "model"


def test_packing_adds_the_function_that_a_model_lacks(trained: Any, tmp_path: Path) -> None:
    _, model = trained("UNET")
    bare = tmp_path / "model"
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("*.dlpk", "*.onnx", "*.py"))
    whole = json.loads((bare / "model.emd").read_text())
    lacking = {key: value for key, value in whole.items() if key not in ("InferenceFunction", "ChipwrightFunction")}
    (bare / "model.emd").write_text(json.dumps(lacking))
    before = {path: path.read_bytes() for path in bare.rglob("*") if path.is_file()}
    with zipfile.ZipFile(chipwright.repackage(bare, "dlpk", tmp_path / "packed.dlpk")) as archive:
        assert {"ChipwrightPixelClassifier.py", "model.onnx", "model.safetensors"} <= set(archive.namelist())
        assert json.loads(archive.read("model.emd")) == whole
    assert chipwright.load(tmp_path / "packed.dlpk").name == "model"
    assert {path: path.read_bytes() for path in bare.rglob("*") if path.is_file()} == before


def test_parameters_name_what_the_tool_asks_for(trained: Any) -> None:
    model = trained("SSD")[1]
    function = pro_host.load(model / "ChipwrightObjectDetector.py", model / "model.emd", device=-2)
    names = [one["name"] for one in function.getParameterInfo()]
    assert names == ["raster", "model", "device", "padding", "batch_size", "threshold", "nms_overlap", "exclude_pad_detections"]
    emd = json.loads((model / "model.emd").read_text())
    asked = {one["name"]: one["value"] for one in function.getParameterInfo()}
    assert asked["threshold"] == chipwright.load(model).threshold
    wanted = function.getConfiguration(padding="8", batch_size="6")
    side = emd["ImageWidth"] - 16
    assert (wanted["tx"], wanted["ty"], wanted["padding"], wanted["fixedTileSize"]) == (3 * side, 2 * side, 8, 1)


@pytest.mark.parametrize("name", PARTS)
def test_a_function_is_one_file_that_needs_numpy_alone(name: str) -> None:
    tree = ast.parse(function_source(name))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert imported <= {"json", "os", "math", "numpy", "onnxruntime", "__future__"}
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def test_outlines_go_around_masks_and_their_holes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = gaussian_filter(rng.normal(size=(23, 31)), 1.2) > 0.1
        rings = outlines(mask)
        area = sum(shapely.Polygon(ring).area * (1 if shapely.is_ccw(shapely.LinearRing(ring)) else -1) for ring in rings)
        assert area == mask.sum()  # in pixels with rows downwards clockwise is counter-clockwise
        drawn = sum(_drawn(ring, mask.shape).astype(int) for ring in rings)
        np.testing.assert_array_equal(drawn % 2 == 1, mask)
    assert outlines(np.array([[True, False], [False, True]])) and len(outlines(np.array([[True, False], [False, True]]))) == 2


def test_thinning_without_scipy_is_that_with_it() -> None:
    map_ = gaussian_filter(np.random.default_rng(0).random((60, 50)), 2).astype(np.float32)
    map_ = (map_ - map_.min()) / (map_.max() - map_.min())
    mine, theirs = thinned(map_), thinned_by_scipy(map_)
    assert ((mine > 0) == (theirs > 0)).mean() > 0.995


def test_squeezing_without_torch_is_that_with_it() -> None:
    from chipwright.chips.augmentation.pixels import squish

    pixels = np.random.default_rng(0).random((3, 50, 70)).astype(np.float32)
    for size in ((20, 30), (64, 64), (90, 100)):
        np.testing.assert_allclose(squeezed(pixels, size[::-1]), squish(pixels, size), atol=1e-4)


@pytest.mark.slow
def test_numpy_and_an_old_onnxruntime_are_enough(trained: Any, tmp_path: Path) -> None:
    """As in Pro 3.3: onnxruntime 1.17.1."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    packages = ["onnxruntime==1.17.1", "numpy<2"]
    if subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *packages]).returncode:
        pytest.skip("onnxruntime 1.17.1 cannot be installed here")
    host = Path(pro_host.__file__)
    for keyword in KINDS:
        chips, model = trained(keyword)
        kinds = {"Pixel": "classes", "Detector": "objects", "Translator": "image", "ObjectClassifier": "labels"}
        kind = next(kind for word, kind in kinds.items() if word in KINDS[keyword][0])
        pixels = np.stack([image_of(chips, at) for at in range(3)]) if kind == "labels" else image_of(chips, 1, keyword)
        scalars = {"padding": 0, "batch_size": 1, "threshold": 0.3}
        np.savez(
            tmp_path / "task.npz", pixels=pixels, mask=np.ones(pixels.shape[-2:], "u1"), scalars=json.dumps(scalars), kind=kind
        )
        function, emd, out = model / f"{KINDS[keyword][0]}.py", model / "model.emd", tmp_path / "result.json"
        subprocess.run([python, host, function, emd, tmp_path / "task.npz", out], check=True, env={"PATH": ""})
        there = json.loads(out.read_text())
        here = pro_host.load(function, emd)
        if kind == "classes":
            expected, _ = pro_host.classify(here, pixels, np.ones(pixels.shape[-2:], "u1"), scalars)
            assert (np.array(there["values"]) == expected).mean() >= 0.999
        elif kind == "image":
            image = pro_host.translate(here, pixels, np.ones(pixels.shape[-2:], "u1"), scalars)
            assert np.abs(np.array(there["pixels"]) - image.astype(int)).max() <= 1
        elif kind == "objects":
            expected = pro_host.detect(here, pixels, np.ones(pixels.shape[-2:], "u1"), scalars)
            assert [one["Class"] for one in there] == [one["Class"] for one in expected]
            assert [one["Confidence"] for one in there] == pytest.approx([one["Confidence"] for one in expected], abs=0.05)
        else:
            assert [one["Label"] for one in there] == [one["Label"] for one in pro_host.label(here, list(pixels), scalars)]


def test_a_network_that_does_not_export_is_not_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec: Any = SimpleNamespace(model_type="TOY")
    nothing: Any = None  # whoever tried would fail
    assert function_if_possible(tmp_path, "toy", spec, nothing, nothing, "its boxes are chosen by a loop.") == {}
    assert capsys.readouterr().err == (
        "The package gets no raster function for ArcGIS Pro: TOY does not export to ONNX: its boxes are chosen by a loop.\n"
    )
