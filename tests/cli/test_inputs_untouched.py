"""No command changes what it is given: listing, sizes, times and checksums are the same before and after, read-only or not."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import builders
import pytest
from raster_builders import pixel_box, texture, write_imagery, write_vector

from chipwright.chips.reading import ChipReader
from chipwright.cli import main
from chipwright.errors import ChipwrightError

Facts = dict[str, tuple[Any, ...]]

TRAIN = [
    "--model-type", "UNET", "--backbone-model", "timm:test_resnet", "--backbone-weights", "none", "--unfreeze-model",
    "--max-epochs", "2", "--batch-size", "4", "--learning-rate", "1e-3", "--processor-type", "CPU", "--workers", "0",
]  # fmt: skip

LABELS = ("labels.gpkg", "labels.shp", "labels.geojson", "classes.tif")


def facts(folder: Path) -> Facts:
    """Return what can be told of everything in a folder without reading it, and checksums of the files."""
    found: Facts = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[path.relative_to(folder).as_posix()] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of everything that a command can be given: chips, a raster, labels, and a trained model."""
    folder = tmp_path_factory.mktemp("inputs")
    builders.classified_tiles(folder / "tiles", count=8, size=64, georeferenced=True)
    builders.voc(folder / "boxes", count=4, size=64, image_suffix="jpg", georeferenced=True)
    write_imagery(folder / "raster" / "scene.tif", texture(3, 100, 100))
    for name in LABELS[:3]:
        write_vector(folder / "raster" / name, [pixel_box(10, 10, 30, 30)], {"classvalue": [1]})
    write_imagery(folder / "raster" / "classes.tif", texture(1, 100, 100) % 3)
    assert main(["train", str(folder / "tiles"), "--out", str(folder / "model"), *TRAIN]) == 0
    return folder


def commands(inputs: Path, out: Path) -> dict[str, list[str]]:
    """Return a call of every command that is given something, by what it tries."""
    tiles, boxes, raster, model = (str(inputs / name) for name in ("tiles", "boxes", "raster/scene.tif", "model"))
    cut = ["--tile-size", "50"]
    from_labels = {
        f"export with {name}": ["export", raster, "--labels", str(inputs / "raster" / name), "--out", str(out / name), *cut]
        for name in LABELS
    }
    from_labels["export with classes.tif"] += ["--metadata-format", "Classified_Tiles"]
    pretrained = ["--pretrained-model", str(inputs / "model" / "model.dlpk"), "--max-epochs", "1", "--overwrite"]
    return {
        "train": ["train", tiles, "--out", str(out / "trained"), *TRAIN],
        "train with a pretrained model": ["train", tiles, "--out", str(out / "finetuned"), *TRAIN, *pretrained],
        "evaluate": ["evaluate", model, tiles, "--out", str(out / "checks")],
        "inspect": ["inspect", tiles],
        "inspect boxes": ["inspect", boxes, "--json"],
        "inspect with a preview": ["inspect", boxes, "--preview", str(out / "boxes.png")],
        "inspect a model": ["inspect", model],
        **from_labels,
        "export a folder": ["export", boxes, "--out", str(out / "coco"), "--metadata-format", "COCO_rectangles"],
        "package as dlpk": ["package", model, "--out", str(out / "packed.dlpk")],
        "package as onnx": ["package", str(inputs / "model" / "model.emd"), "--format", "onnx", "--out", str(out / "a.onnx")],
    }


NAMES = list(commands(Path(), Path()))


@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_does_its_work(name: str, inputs: Path, tmp_path: Path) -> None:
    before = facts(inputs)
    assert main(commands(inputs, tmp_path)[name]) == 0
    assert facts(inputs) == before


@pytest.fixture
def when_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Return a function that has something happen when a chip is read for the n-th time in training."""
    read = ChipReader.image

    def arrange(count: int, happen: Callable[[], None]) -> None:
        calls = iter(range(1, 10_000))

        def image(self: ChipReader, *given: Any) -> Any:
            if next(calls) == count:
                happen()
            return read(self, *given)

        monkeypatch.setattr(ChipReader, "image", image)

    return arrange


def test_a_training_that_fails_under_way(inputs: Path, tmp_path: Path, when_reading: Any) -> None:
    def fail() -> None:
        raise ChipwrightError("The disk has gone.")

    before = facts(inputs)
    when_reading(12, fail)
    assert main(commands(inputs, tmp_path)["train"]) == 1
    assert facts(inputs) == before


def test_a_training_that_is_refused(inputs: Path, tmp_path: Path) -> None:
    before = facts(inputs)
    words = commands(inputs, tmp_path)
    assert main([*words["train"], "--batch-size", "64"]) == 2
    assert main(["train", str(inputs / "tiles"), "--out", str(inputs / "tiles" / "model"), *TRAIN]) == 2
    assert main(["inspect", str(inputs / "boxes"), "--preview", str(inputs / "boxes" / "a.png")]) == 2
    assert main(["export", str(inputs / "boxes"), "--out", str(inputs / "boxes" / "chips")]) == 2
    assert facts(inputs) == before


def test_a_training_that_is_interrupted_and_resumed(inputs: Path, tmp_path: Path, when_reading: Any) -> None:
    before = facts(inputs)
    when_reading(12, lambda: os.kill(os.getpid(), signal.SIGINT))
    words = commands(inputs, tmp_path)["train"]
    assert main(words) == 130
    assert (tmp_path / "trained" / "checkpoints").is_dir()
    assert main([*words, "--resume"]) == 0
    assert facts(inputs) == before


# -- read-only


def _obey_permissions() -> None:
    """Make a process of root's obey write permissions: the next program it runs has no CAP_DAC_OVERRIDE."""
    drop_from_bounding_set, override = 24, 1
    if ctypes.CDLL(None, use_errno=True).prctl(drop_from_bounding_set, override, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def child(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that may not write where permissions say so."""
    root = hasattr(os, "getuid") and os.getuid() == 0
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, preexec_fn=_obey_permissions if root else None
    )


@pytest.fixture
def read_only(inputs: Path, tmp_path: Path) -> Iterator[Path]:
    """The inputs once more, with nothing in them to be written to."""
    folder = tmp_path / "inputs"
    shutil.copytree(inputs, folder)
    everything = [folder, *folder.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield folder
    for path in everything:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_every_command_takes_what_is_read_only(read_only: Path, tmp_path: Path) -> None:
    try:
        tried = child(["-c", "import sys; open(sys.argv[1], 'w')", str(read_only / "tiles" / "new")], tmp_path)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"root cannot be made to obey permissions here: {error}")
    if tried.returncode == 0:
        (read_only / "tiles" / "new").unlink()
        pytest.skip("folders cannot be made read-only on this system")
    before = facts(read_only)
    words = commands(read_only, tmp_path / "out")
    (tmp_path / "out").mkdir()
    script = "import json, sys; from chipwright.cli import main; calls = json.loads(sys.argv[1]); "
    script += "json.dump([main(call) for call in calls], open('statuses.json', 'w'))"
    done = child(["-c", script, json.dumps(list(words.values()))], tmp_path)
    assert done.returncode == 0, done.stderr
    statuses = json.loads((tmp_path / "statuses.json").read_text())
    assert dict(zip(words, statuses, strict=True)) == dict.fromkeys(words, 0), done.stderr
    assert facts(read_only) == before
