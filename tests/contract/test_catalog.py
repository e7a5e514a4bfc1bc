"""One suite over every row of the catalog that this version can train: what a model type promises, it keeps."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import builders
import mask_builders
import numpy as np
import pair_builders
import pytest
import rasterio
import torch
from extras import require_openmmlab

import chipwright
from chipwright import catalog, console
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.engine.seeds import seed_build
from chipwright.models.base import ModelType
from chipwright.networks.pretrained import freeze_loaded, loaded_names, mark_loaded, train_mode
from chipwright.options import TrainOptions
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Task
from chipwright.tasks.images import ImageTask

KEYWORDS = catalog.available()
TOYS = {
    "Classified_Tiles": builders.classified_tiles,
    "PASCAL_VOC_rectangles": builders.voc,
    "Labeled_Tiles": builders.labeled_tiles,
    "MultiLabeled_Tiles": builders.multilabeled_tiles,
    "RCNN_Masks": mask_builders.discs,
    "ChangeDetection": pair_builders.change_pairs,
    "TimeSeries": mask_builders.seasons,
    "ImageCaptioning": pair_builders.captioned_scenes,
    "Export_Tiles": pair_builders.sharp_scenes,
    "CycleGAN": pair_builders.two_kinds,
}
PAIRS = {"PIX2PIX": pair_builders.translated_scenes, "PIX2PIXHD": pair_builders.translated_scenes}
"""Toys of types that need other ones of their format."""
VECTORS = ("PASCAL_VOC_rectangles", "RCNN_Masks", "Labeled_Tiles", "ImageCaptioning")
"""Formats whose types put outlines on a map, not pixels."""
OPENMMLAB = ("MMDETECTION", "MMSEGMENTATION")
"""Types that need the extra of this name."""
LINES = ("HED_EDGEDETECTOR", "BDCN_EDGEDETECTOR", "MULTITASK_ROADEXTRACTOR", "CONNECTNET")
"""Types of one class that lies in lines."""


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def toy(folder: Path, model: ModelType, bands: int = 3, count: int = 12, dtype: str = "uint8") -> Path:
    """Write a toy export in the type's most usual format."""
    shape: dict[str, Any] = {"class_values": (1,), "shape": "lines"} if model.keyword in LINES else {}
    write = PAIRS.get(model.keyword) or TOYS[model.formats[0]]
    return write(folder, count=count, size=model.tiny.chip_size, bands=bands, dtype=dtype, **shape)


def assemble(folder: Path, model: ModelType) -> tuple[ModelSpec, torch.nn.Module, Task, Sequence[Any], ChipReader]:
    """Return everything but the engine: spec, network, task, units and reader of a toy export."""
    chips = read_chips([folder])
    arguments = model.arguments(**model.tiny.arguments)
    spec = ModelSpec(
        model_type=model.keyword,
        arguments=arguments.model_dump(),
        backbone=model.tiny.backbone,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=model.chip_size(chips, arguments),
        normalization=model.normalization(chips, arguments, None),
        statistics=chips.statistics,
        second=chips.second,
        second_normalization=model.second_normalization(chips, arguments, None),
        metadata_format=chips.format,
        fitted=model.fit(chips, arguments),
    )
    seed_build(0)
    task = model.task(spec)
    return spec, model.build(spec, None), task, task.units(chips.chips), ChipReader(chips.nodata)


def batch_of(task: Task, units: Sequence[Any], reader: ChipReader, count: int = 2) -> Any:
    samples = [task.draw(unit, reader, np.random.default_rng(0), False) for unit in units[:count]]
    return task.to_device(task.collate(samples), torch.device("cpu"))


def options(model: ModelType, **changes: Any) -> dict[str, Any]:
    """Return the options of a tiny run."""
    tiny = model.tiny
    backbone = {"backbone_model": tiny.backbone, "backbone_weights": "none"} if tiny.backbone else {}
    return (
        {
            "model_type": model.keyword,
            "max_epochs": tiny.epochs,
            "batch_size": 4,
            "learning_rate": tiny.learning_rate,
            "arguments": tiny.arguments,
            "validation_percentage": 25,
            "processor_type": "CPU",
            "precision": "float32",
            "stop_training": False,
            "augmentation": "NONE",
        }
        | backbone
        | changes
    )


def alike(left: Any, right: Any) -> bool:
    """Return whether two predictions are identical."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(alike(a, b) for a, b in zip(left, right, strict=True))
    if hasattr(left, "__dataclass_fields__"):
        return all(alike(getattr(left, name), getattr(right, name)) for name in left.__dataclass_fields__)
    return bool(left == right)


def history(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "model_metrics.json").read_text(encoding="utf-8"))["history"]


@pytest.fixture(params=KEYWORDS)
def model(request: pytest.FixtureRequest) -> ModelType:
    if request.param in OPENMMLAB:
        require_openmmlab()
    return catalog.find(request.param)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train each type once for all tests that need a trained one."""
    kept: dict[str, tuple[Path, Path]] = {}

    def get(model: ModelType) -> tuple[Path, Path]:
        if model.keyword not in kept:
            base = tmp_path_factory.mktemp(model.keyword)
            chips, out = toy(base / "chips", model), base / "model"
            chipwright.train(chips, out, **options(model))
            kept[model.keyword] = chips, out
        return kept[model.keyword]

    return get


def test_the_row_says_what_it_is(model: ModelType) -> None:
    assert catalog.rows()[model.keyword].title == model.title
    assert set(model.formats) & set(TOYS)
    assert "valid_loss" in model.monitors
    fields = model.arguments.model_fields
    assert {"chip_size", "monitor"} <= set(fields)
    assert all(field.description for field in fields.values())
    assert {"ModelConfiguration", "ModelType", "ModelName"} <= set(model.emd)


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_it_takes_any_number_of_bands(model: ModelType, bands: int, tmp_path: Path) -> None:
    dtype = "uint16" if bands > 3 else "uint8"
    _, network, task, units, reader = assemble(toy(tmp_path / "chips", model, bands, count=2, dtype=dtype), model)
    batch = batch_of(task, units, reader)
    train_mode(network)
    losses = task.losses(task.parts(network), batch, task.phases[0])
    total = torch.stack(list(losses.values())).sum()
    assert torch.isfinite(total)
    total.backward()
    network.eval()
    with torch.inference_mode():
        validated, predictions = task.validate(network, batch)
        assert len(task.predict(network, batch)) == len(predictions) == 2
    assert all(torch.isfinite(loss) for loss in validated.values())


def test_the_loss_falls(model: ModelType, trained: Any) -> None:
    rows = history(trained(model)[1])
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]
    assert min(row["valid_loss"] for row in rows) < rows[0]["valid_loss"]


def test_the_folder_holds_what_it_should(model: ModelType, trained: Any) -> None:
    out = trained(model)[1]
    names = {path.name for path in out.iterdir()}
    expected = {"model.emd", "model.dlpk", "model.safetensors", "model_metrics.html", "model_metrics.json", "training_log.csv"}
    assert expected <= names
    assert "checkpoints" not in names
    assert {"loss_graph.png", "show_results.png"} <= {path.name for path in (out / "ModelCharacteristics").iterdir()}


def test_saved_moved_and_loaded_elsewhere_it_predicts_identically(model: ModelType, trained: Any, tmp_path: Path) -> None:
    chips, out = trained(model)
    loaded = chipwright.load(out, processor_type="CPU")
    reader = ChipReader(None)
    images = [
        np.concatenate([reader.image(chip, at) for at in range(loaded.task.images_taken)])
        for chip in read_chips([chips]).chips[:3]
    ]
    here = loaded.predict(images)
    moved = tmp_path / "elsewhere.dlpk"
    moved.write_bytes((out / "model.dlpk").read_bytes())
    np.savez(tmp_path / "images.npz", *images)
    script = (
        "import sys, numpy as np, torch, chipwright\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "images = list(np.load(sys.argv[2]).values())\n"
        "predictions = chipwright.load(sys.argv[1], processor_type='CPU').predict(images)\n"
        "import pickle; pickle.dump(predictions, open(sys.argv[3], 'wb'))\n"
    )
    subprocess.run([sys.executable, "-c", script, moved, tmp_path / "images.npz", tmp_path / "there.pkl"], check=True)
    import pickle

    there = pickle.loads((tmp_path / "there.pkl").read_bytes())
    assert alike(list(here), list(there))


def test_it_goes_onto_a_map(model: ModelType, trained: Any, tmp_path: Path) -> None:
    chips, out = trained(model)
    chip = read_chips([chips]).chips[0]
    loaded = chipwright.load(out, processor_type="CPU")
    images = chip.images[: loaded.task.images_taken]
    given: dict[str, Any] = {"second": images[1]} if len(images) > 1 else {}
    kind = "gpkg" if loaded.type.formats[0] in VECTORS else "tif"
    kind = "tif" if model.keyword == "PSETAE" else kind
    done = chipwright.predict(loaded, chip.images[0], tmp_path / f"map.{kind}", **given)
    assert [path.name for path in done.outputs] == [f"map.{kind}"]
    with rasterio.open(chip.images[0]) as source:
        pixels = source.width * source.height
        if kind == "tif":
            with rasterio.open(done.outputs[0]) as made:
                assert (made.width, made.height, made.crs, made.transform) == (
                    source.width, source.height, source.crs, source.transform,
                )  # fmt: skip
                values = made.read(1)
                whole = loaded.predict([np.concatenate([rasterio.open(image).read() for image in images])])[0]
                made_image = isinstance(loaded.task, ImageTask)
                expected = whole[0].numpy() if made_image else loaded.task.class_values(whole)  # type: ignore[attr-defined]
                np.testing.assert_array_equal(values, expected)
    assert done.pixels == pixels


def test_a_model_with_scores_asks_for_the_score_of_the_best_f1(model: ModelType, trained: Any) -> None:
    _, out = trained(model)
    best = json.loads((out / "model_metrics.json").read_text(encoding="utf-8"))["metrics"].get("best_threshold")
    loaded = chipwright.load(out, processor_type="CPU")
    assert loaded.threshold == loaded.task.score_threshold == best


def test_an_evaluation_of_the_validation_chips_gives_trainings_figures_and_a_report(
    model: ModelType, trained: Any, tmp_path: Path
) -> None:
    chips, out = trained(model)
    found = read_chips([chips])
    held_back = shutil.copytree(chips, tmp_path / "validation")
    for index in split_chips(found, 25, None, TrainOptions.model_fields["seed"].default).training:
        for image in found.chips[index].images:
            (held_back / image.relative_to(chips)).unlink()
    result = chipwright.evaluate(out, held_back, tmp_path / "evaluation", processor_type="CPU", precision="float32")
    assert (tmp_path / "evaluation" / "model_metrics.html").is_file()
    then = json.loads((out / "model_metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert {name: result.metrics[name] for name in then} == pytest.approx(then, rel=1e-4)


def test_frozen_means_frozen(model: ModelType, tmp_path: Path) -> None:
    from chipwright.networks.backbones import Backbone

    if model.tiny.backbone is None or model.tiny.backbone in model.whole_networks:
        pytest.skip("no backbone")
    _, network, task, units, reader = assemble(toy(tmp_path / "chips", model, count=4), model)
    bone = next(module for module in network.modules() if isinstance(module, Backbone))
    mark_loaded(bone, bone.state_dict().keys())
    freeze_loaded(network)
    before = {name: value.clone() for name, value in bone.state_dict().items()}
    optimizer = task.optimizer(task.parameter_groups(list(task.parts(network).values())), task.phases[0])
    for _ in range(2):
        train_mode(network)
        losses = task.losses(task.parts(network), batch_of(task, units, reader, 4), task.phases[0])
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    after = bone.state_dict()
    assert loaded_names(bone)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_run_cut_short_and_resumed_reaches_the_very_weights(model: ModelType, tmp_path: Path, monkeypatch: Any) -> None:
    from chipwright.engine import fit

    chips = toy(tmp_path / "chips", model)
    changes = options(model, max_epochs=3, augmentation="DEFAULT")
    chipwright.train(chips, tmp_path / "whole", **changes)
    kept, steps = fit._Run._step, []

    def breaks(self: Any, *everything: Any) -> Any:
        steps.append(1)
        if len(steps) == 5:
            raise OSError("killed")
        return kept(self, *everything)

    monkeypatch.setattr(fit._Run, "_step", breaks)
    with pytest.raises(OSError, match="killed"):
        chipwright.train(chips, tmp_path / "cut", **changes)
    monkeypatch.undo()
    assert not list((tmp_path / "cut").glob("*.emd"))
    chipwright.train(chips, tmp_path / "cut", **changes | {"resume": True})
    whole, cut = (tmp_path / name / f"{name}.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def same_numbers(loaded: Any, path: Path) -> None:
    """Compare a graph with its network on random pixels: numbers as they are, detections whatever their order."""
    import onnxruntime
    import torch

    from chipwright.package.onnx import INPUT, Scaled

    scaling, (width, height) = loaded.task.inputs, loaded.spec.chip_size
    pixels = np.random.default_rng(0).integers(0, 255, (1, len(scaling.mean), height, width)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with torch.inference_mode():
        expected = Scaled(scaling, loaded.network, "boxes" in names)(torch.from_numpy(pixels))
    results = session.run(None, {INPUT: pixels})
    if "boxes" in names:
        same_objects(*(dict(zip(names, map(torch.as_tensor, found), strict=True)) for found in (expected, results)))
        return
    for name, ours, theirs in zip(names, expected, results, strict=True):
        largest = max(1.0, float(ours.float().abs().max())) if ours.numel() else 1.0
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=0, atol=1e-4 * largest, err_msg=name)


def same_objects(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Ask that detections of each have a partner of the same class in the other, at IoU 0.99, its score within 1e-3.

    One in fifty may have none: of boxes that overlap by the very share that suppression asks for, or that score as the last of
    those that are kept, another may be left.
    """
    from torchvision.ops import box_iou

    for some, others in ((ours, theirs), (theirs, ours)):
        if not len(some["boxes"]):
            continue
        partners = box_iou(some["boxes"], others["boxes"]) >= 0.99
        partners &= some["labels"][:, None] == others["labels"]
        partners &= (some["scores"][:, None] - others["scores"]).abs() <= 1e-3
        alone = int((~partners.any(1)).sum())
        assert alone <= 1 + len(partners) // 50, f"{alone} of {len(partners)} detections have no partner"


def nothing_found(loaded: Any, model: ModelType, path: Path) -> None:
    """Export a detector that finds nothing worth its least score: the graph gives tables without rows."""
    import onnxruntime

    from chipwright.package.onnx import INPUT, export_onnx

    spec = loaded.spec.model_copy(update={"arguments": loaded.spec.arguments | {"box_score_thresh": 0.9999}})
    network = model.build(spec, None).eval()
    network.load_state_dict(loaded.network.state_dict())
    scaling, (width, height) = loaded.task.inputs, spec.chip_size
    bands = len(scaling.mean)
    export_onnx(network, scaling, bands, spec.chip_size, path)
    blank = np.zeros((1, bands, height, width), np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = dict(zip((output.name for output in session.get_outputs()), session.run(None, {INPUT: blank}), strict=True))
    assert found["boxes"].shape == (0, 4)
    assert found["labels"].shape == found["scores"].shape == (0,)


def test_it_exports_to_onnx_or_says_why_not(model: ModelType, trained: Any, tmp_path: Path) -> None:
    _, out = trained(model)
    if model.no_onnx:
        with pytest.raises(chipwright.OptionError, match=r"does not export to ONNX: .{20,}"):
            chipwright.repackage(out, "onnx", tmp_path / "model.onnx")
        return
    pytest.importorskip("onnxruntime")
    path = chipwright.repackage(out, "onnx", tmp_path / "model.onnx")
    import onnx

    graph = onnx.load(path)
    assert graph.ir_version <= 9
    assert max(entry.version for entry in graph.opset_import if not entry.domain) <= 18
    loaded = chipwright.load(out, processor_type="CPU")
    same_numbers(loaded, path)
    if "boxes" in [output.name for output in graph.graph.output]:
        nothing_found(loaded, model, tmp_path / "nothing.onnx")


def test_fine_tuning_starts_from_the_package(model: ModelType, trained: Any, tmp_path: Path) -> None:
    chips, out = trained(model)
    first = history(out)[0]["valid_loss"]
    changes = options(model, max_epochs=1, learning_rate=1e-5, pretrained_model=out)
    changes.pop("backbone_weights", None)
    chipwright.train(chips, tmp_path / "tuned", **changes)
    assert history(tmp_path / "tuned")[0]["valid_loss"] < first


def test_another_type_or_backbone_is_refused_for_fine_tuning(model: ModelType, trained: Any, tmp_path: Path) -> None:
    if model.tiny.backbone is None or model.tiny.backbone in model.whole_networks:
        pytest.skip("no backbone")
    chips, out = trained(model)
    changes = options(model, pretrained_model=out, backbone_model="RESNET18")
    with pytest.raises(chipwright.OptionError, match="backbone"):
        chipwright.train(chips, tmp_path / "tuned", **changes)
    assert not (tmp_path / "tuned").exists()
