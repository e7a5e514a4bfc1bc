from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from toy_package import KEYS, Saver, make_spec, make_state

from chipwright.errors import PackageError
from chipwright.package import open_package, pack, save_package


def fill(folder: Path) -> None:
    """Put into a folder what training leaves beside the model."""
    for name in (
        "model_metrics.html",
        "model_metrics.json",
        "ModelCharacteristics/show_results.png",
        "ModelCharacteristics/loss_graph.png",
        "ModelCharacteristics/.loss_graph.png.1234.part",
        "training_log.csv",
        "checkpoints/last/state.pt",
        "events/events.out.tfevents.1",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_an_archive_holds_the_model_and_its_report_only(saved: Saver) -> None:
    folder = saved()
    fill(folder)

    with zipfile.ZipFile(pack(folder, "trees")) as archive:
        assert archive.namelist() == [
            "trees.emd",
            "trees.safetensors",
            "model_metrics.html",
            "model_metrics.json",
            "ModelCharacteristics/loss_graph.png",
            "ModelCharacteristics/show_results.png",
        ]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        assert archive.testzip() is None


def test_a_model_without_report_is_packed(saved: Saver) -> None:
    with zipfile.ZipFile(pack(saved(), "trees")) as archive:
        assert archive.namelist() == ["trees.emd", "trees.safetensors"]


def test_the_archive_lies_in_the_folder_unless_told_otherwise(saved: Saver, tmp_path: Path) -> None:
    folder = saved()

    assert pack(folder, "trees") == folder / "trees.dlpk"
    assert pack(folder, "trees", tmp_path / "out" / "best.dlpk") == tmp_path / "out" / "best.dlpk"
    assert open_package(tmp_path / "out" / "best.dlpk").name == "trees"


def test_the_same_files_give_the_same_archive_whenever_they_were_written(saved: Saver, tmp_path: Path) -> None:
    folder = saved()
    fill(folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)

    assert pack(folder, "trees").read_bytes() == pack(copy, "trees").read_bytes()


def test_packing_again_replaces_the_archive(saved: Saver) -> None:
    folder = saved()
    first = pack(folder, "trees").read_bytes()
    fill(folder)

    assert len(pack(folder, "trees").read_bytes()) > len(first)


def test_missing_weights_are_not_packed(saved: Saver) -> None:
    folder = saved()
    (folder / "trees.safetensors").unlink()

    with pytest.raises(PackageError, match="are missing"):
        pack(folder, "trees")
    assert [path.name for path in folder.iterdir()] == ["trees.emd"]


def test_weights_of_another_model_are_not_packed(saved: Saver, tmp_path: Path) -> None:
    folder = saved()
    save_package(tmp_path / "other", "trees", make_spec(), make_state(seed=1), KEYS, {})
    shutil.copy(tmp_path / "other" / "trees.safetensors", folder)

    with pytest.raises(PackageError, match="nothing was packed"):
        pack(folder, "trees")
    assert not (folder / "trees.dlpk").exists()


def test_a_folder_without_that_model_is_refused(saved: Saver) -> None:
    with pytest.raises(PackageError, match="does not exist"):
        pack(saved(), "shrubs")


def test_a_raster_function_outside_the_folder_is_not_packed(saved: Saver) -> None:
    folder = saved()
    (folder.parent / "secret.py").write_text("x = 1")
    (folder / "Mine.py").write_text("y = 2")
    emd = folder / "trees.emd"
    content = json.loads(emd.read_text())
    emd.write_text(json.dumps(content | {"InferenceFunction": "../secret.py", "ChipwrightFunction": {"onnx": "Mine.py"}}))
    with zipfile.ZipFile(pack(folder, "trees")) as archive:
        assert "Mine.py" in archive.namelist()
        assert not any("secret" in name for name in archive.namelist())
