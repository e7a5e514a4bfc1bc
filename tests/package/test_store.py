from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy_package import KEYS, Saver, make_spec, make_state

from chipwright.errors import PackageError
from chipwright.package import open_package, pack, save_package
from chipwright.spec import Normalization


def edit(folder: Path, **changes: Any) -> Path:
    """Change keys of the .emd in a folder ("Chipwright__version" for nested ones; None removes) and return its path."""
    (path,) = folder.glob("*.emd")
    emd = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split("__")
        target = emd
        for key in outer:
            target = target[key]
        if value is None:
            del target[last]
        else:
            target[last] = value
    path.write_text(json.dumps(emd))
    return path


# -- what is saved comes back


@pytest.mark.parametrize("form", ["folder", ".emd", ".dlpk", ".zip"])
def test_every_form_gives_the_same_model(saved: Saver, form: str) -> None:
    folder = saved()
    pack(folder, "trees")
    shutil.copy(folder / "trees.dlpk", folder / "trees.zip")

    package = open_package(folder if form == "folder" else folder / f"trees{form}")

    assert (package.name, package.spec) == ("trees", make_spec())
    state, expected = package.state(), make_state()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)


def test_a_moved_package_loads_in_a_fresh_process(saved: Saver, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "Wälder 2024"
    moved.parent.mkdir()
    shutil.move(saved(), moved)
    script = (
        "import sys, torch; from chipwright.package import open_package\n"
        "torch.save(open_package(sys.argv[1]).state(), sys.argv[2])"
    )

    subprocess.run([sys.executable, "-c", script, str(moved), str(tmp_path / "state.pt")], check=True)

    for name, tensor in torch.load(tmp_path / "state.pt", weights_only=True).items():
        assert torch.equal(tensor, make_state()[name])


def test_numbers_that_json_has_not_come_back(saved: Saver) -> None:
    limits = Normalization(mean=(1.0,) * 3, std=(2.0,) * 3, minimum=(-math.inf,) * 3, maximum=(math.inf,) * 3)
    folder = saved(spec=make_spec(nodata=math.nan, normalization=limits), metrics={"dice": math.nan})

    package = open_package(folder)

    assert package.spec.nodata is not None and math.isnan(package.spec.nodata)
    assert package.spec.normalization == limits
    assert math.isnan(package.metrics["dice"])


def test_metrics_and_facts_come_back(saved: Saver) -> None:
    package = open_package(saved(metrics={"accuracy": 0.9}, precision="bfloat16", learning_rate=0.001))

    assert package.metrics == {"accuracy": 0.9}
    assert package.facts == {"precision": "bfloat16", "learning_rate": 0.001}


def test_tensors_that_share_memory_come_back_whole(tmp_path: Path) -> None:
    base = torch.rand(4, 4)
    save_package(tmp_path, "m", make_spec(), {"a": base, "b": base, "row": base[1]}, KEYS, {})

    state = open_package(tmp_path).state()

    assert torch.equal(state["a"], base)
    assert torch.equal(state["b"], base)
    assert torch.equal(state["row"], base[1])


def test_weights_are_loaded_into_a_network(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    save_package(tmp_path, "m", make_spec(), network.state_dict(), KEYS, {})
    other = nn.Linear(3, 2)

    open_package(tmp_path).load_into(other)

    assert torch.equal(other.weight, network.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_package(tmp_path, "m", make_spec(), nn.Linear(3, 2).state_dict(), KEYS, {})

    with pytest.raises(PackageError, match="does not fit the UNET"):
        open_package(tmp_path).load_into(nn.Linear(4, 2))


# -- how it is written


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_package(tmp_path / name, "m", make_spec(), make_state(), KEYS, {"metrics": {"accuracy": 0.5}})

    for file in ("m.emd", "m.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_failed_save_leaves_the_model_that_was_there(saved: Saver) -> None:
    folder = saved()

    with pytest.raises(AttributeError):
        save_package(folder, "trees", make_spec(), {"not a tensor": 1}, KEYS, {})  # type: ignore[dict-item]

    assert sorted(path.name for path in folder.iterdir()) == ["trees.emd", "trees.safetensors"]
    assert open_package(folder).state().keys() == make_state().keys()


def test_saving_removes_the_archive_of_the_model_before(saved: Saver) -> None:
    folder = saved()
    pack(folder, "trees")

    save_package(folder, "trees", make_spec(), make_state(1), KEYS, {})

    assert not (folder / "trees.dlpk").exists()


@pytest.mark.parametrize("keys", [{}, {"ChipwrightFunction": {"onnx": "trees.onnx"}}])
def test_saving_removes_what_other_programs_had_of_the_model_before(saved: Saver, keys: dict[str, Any]) -> None:
    folder = saved()
    made = ("trees.onnx", "trees_qgis.onnx", "ChipwrightPixelClassifier.py")
    for name in (*made, "mine.onnx", "notes.py"):
        (folder / name).write_text("of the model before, or the function that was just written")
    save_package(folder, "trees", make_spec(), make_state(1), KEYS | keys, {})
    left = {name for name in made if (folder / name).exists()}
    assert left == ({"trees.onnx", "ChipwrightPixelClassifier.py"} if keys else set())
    assert (folder / "mine.onnx").exists()
    assert (folder / "notes.py").exists()


@pytest.mark.parametrize("name", ["", "a/b", "..", "C:model", "a\\b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match="no name for a model"):
        save_package(tmp_path, name, make_spec(), make_state(), KEYS, {})


def test_no_file_stays_open_behind_the_tensors(saved: Saver) -> None:
    folder = saved()
    state = open_package(folder).state()

    (folder / "trees.safetensors").write_bytes(b"overwritten")

    assert torch.equal(state["head.bias"], make_state()["head.bias"])


# -- what is refused


def refusal(path: Path) -> str:
    """Return why a package cannot be opened and read."""
    with pytest.raises(PackageError) as caught:
        open_package(path).state()
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_a_missing_path(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nothing")


def test_a_folder_without_emd(tmp_path: Path) -> None:
    assert "holds no .emd" in refusal(tmp_path)


def test_a_folder_that_holds_only_the_archive(saved: Saver) -> None:
    folder = saved()
    pack(folder, "trees")
    (folder / "trees.emd").unlink()

    assert "It holds trees.dlpk: give that file" in refusal(folder)


def test_a_folder_whose_training_has_not_finished(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()

    assert "--resume" in refusal(tmp_path)


def test_a_folder_with_two_emds(saved: Saver) -> None:
    folder = saved()
    shutil.copy(folder / "trees.emd", folder / "copy.EMD")

    assert "2 .emd files (copy.EMD and trees.emd)" in refusal(folder)


def test_an_emd_is_opened_though_another_lies_beside_it(saved: Saver) -> None:
    folder = saved()
    shutil.copy(folder / "trees.emd", folder / "copy.emd")

    assert open_package(folder / "trees.emd").name == "trees"


def test_files_that_macos_leaves_do_not_count(saved: Saver) -> None:
    folder = saved()
    (folder / "._trees.emd").write_bytes(b"\0")

    assert open_package(folder).name == "trees"


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"x")

    assert "no model package" in refusal(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not json", "not JSON"),
        (b"", "not JSON"),
        (b"[1, 2]", "JSON list"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
        (b'{"Chipwright": ' + b"[" * 80 + b"]" * 80 + b"}", "nested deeper"),
        (b'{"ImageHeight": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"{}", "not written by chipwright"),
    ],
)
def test_an_emd_that_is_not_one(saved: Saver, content: bytes, reason: str) -> None:
    folder = saved()
    (folder / "trees.emd").write_bytes(content)

    assert reason in refusal(folder)


def test_an_emd_with_a_byte_order_mark_is_read(saved: Saver) -> None:
    folder = saved()
    path = folder / "trees.emd"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert open_package(folder).spec == make_spec()


def test_a_huge_emd(saved: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chipwright.package.emd_reading.EMD_BYTES", 100)

    assert "is not read" in refusal(saved())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ModelFile": None}, '"ModelFile"'),
        ({"ModelFile": 3}, '"ModelFile"'),
        ({"Chipwright": 3}, "without a version"),
        ({"Chipwright__version": True}, "without a version"),
        ({"Chipwright__version": 2}, "newer chipwright"),
        ({"Chipwright__spec": None}, '"Chipwright.spec"'),
        ({"Chipwright__weights__sha256": None}, "sha256"),
        ({"Chipwright__spec__bands": None}, "Chipwright.spec.bands"),
        ({"Chipwright__spec__chip_size": "big"}, "Chipwright.spec.chip_size"),
        ({"Chipwright__spec__classes": [{"value": "x"}]}, "Chipwright.spec.classes.0"),
    ],
)
def test_an_emd_with_keys_missing_or_wrong(saved: Saver, changes: dict[str, Any], reason: str) -> None:
    folder = saved()
    edit(folder, **changes)

    assert reason in refusal(folder)


def test_a_newer_package_says_update(saved: Saver) -> None:
    folder = saved()
    edit(folder, Chipwright__version=99)

    assert "pip install -U chipwright" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "C:\\weights.safetensors", "a\\..\\b", "a/../../b", "", "\0"]
)
def test_a_weights_file_outside_the_package(saved: Saver, name: str) -> None:
    folder = saved()
    edit(folder, ModelFile=name)

    assert "weights must lie beside the .emd" in refusal(folder)


def test_missing_weights(saved: Saver) -> None:
    folder = saved()
    (folder / "trees.safetensors").unlink()

    assert "are missing" in refusal(folder)


def test_a_device_in_place_of_weights(saved: Saver) -> None:
    folder = saved()
    (folder / "trees.safetensors").unlink()
    (folder / "trees.safetensors").mkdir()

    assert "are missing" in refusal(folder)


def test_weights_cut_short(saved: Saver) -> None:
    folder = saved()
    path = folder / "trees.safetensors"
    path.write_bytes(path.read_bytes()[:-10])

    assert "cut short" in refusal(folder)


def test_weights_of_another_model_of_the_same_size(saved: Saver, tmp_path: Path) -> None:
    folder = saved()
    save_package(tmp_path / "other", "trees", make_spec(), make_state(seed=1), KEYS, {})
    shutil.copy(tmp_path / "other" / "trees.safetensors", folder)

    assert "not the file that trees.emd was written with" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x10\0\0\0\0\0\0\0{not a header}!!", b"\x80\x04K\x01."])
def test_weights_that_are_no_safetensors(saved: Saver, content: bytes) -> None:
    import hashlib

    folder = saved()
    (folder / "trees.safetensors").write_bytes(content)
    edit(folder, Chipwright__weights={"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})

    assert "holds no weights that can be read" in refusal(folder)


def test_importing_the_package_costs_no_torch() -> None:
    script = "import sys, chipwright.package; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"normalization__mean": [1.0]}, r"Chipwright\.spec\.normalization: it is for 1 and 3 bands, the model has 3"),
        ({"normalization__minimum": []}, r"Chipwright\.spec\.normalization: it is for 0 and 3 bands, the model has 3"),
        ({"bands": ["a"] * 20_000}, r"Chipwright\.spec\.bands: it lists 20000, and a model has at most 10000"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(saved: Saver, changes: dict[str, Any], sentence: str) -> None:
    folder = saved()
    edit(folder, **{f"Chipwright__spec__{key}": value for key, value in changes.items()})

    with pytest.raises(PackageError, match=sentence):
        open_package(folder)
