from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chipwright.temporary import temporary_folder

PREFIX = "chipwright-test-"

RUN = f"""
import sys, tempfile, time
from chipwright.temporary import temporary_folder
tempfile.tempdir = sys.argv[1]
with temporary_folder({PREFIX!r}) as folder:
    (folder / "large").write_bytes(b"0" * 1000)
    print(folder, flush=True)
    time.sleep(300)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def age(folder: Path) -> None:
    """Make a folder look an hour old."""
    then = time.time() - 3600
    os.utime(folder, (then, then))


def test_the_folder_goes_with_its_content(home: Path) -> None:
    with temporary_folder(PREFIX) as folder:
        (folder / "file").touch()
    assert not list(home.iterdir())


def test_what_a_killed_run_left_goes_when_the_next_one_starts_and_not_before(home: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN, str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        left = Path(run.stdout.readline().strip())
        assert (left / "large").is_file()
        age(left)
        with temporary_folder(PREFIX):
            assert (left / "large").is_file()
    finally:
        run.kill()
        run.communicate()
    assert left.is_dir()
    with temporary_folder(PREFIX) as own:
        assert list(home.iterdir()) == [own]


def test_a_folder_that_this_process_uses_stays() -> None:
    with temporary_folder(PREFIX) as first:
        age(first)
        with temporary_folder(PREFIX):
            assert first.is_dir()


def test_a_young_folder_is_left_alone_since_its_run_may_be_about_to_lock_it(home: Path) -> None:
    (home / f"{PREFIX}new").mkdir()
    (home / f"{PREFIX}new" / "lock").touch()
    with temporary_folder(PREFIX):
        assert (home / f"{PREFIX}new").is_dir()


def test_folders_of_other_things_are_left_alone(home: Path) -> None:
    others = [home / f"{PREFIX}without-lock", home / "another"]
    for folder in others:
        folder.mkdir()
    (home / "another" / "lock").touch()
    for folder in others:
        age(folder)
    with temporary_folder(PREFIX):
        assert all(folder.is_dir() for folder in others)
