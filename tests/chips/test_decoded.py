"""Chips decoded once for all loader processes are the chips that the files hold."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import classified_tiles
from mask_builders import rcnn_masks

from chipwright.chips import decoded
from chipwright.chips.chipset import ChipSet
from chipwright.chips.decoded import DecodedFile, reader_for, shared_reader
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader


@pytest.fixture
def chips(tmp_path: Path) -> ChipSet:
    return read_chips([classified_tiles(tmp_path / "chips", count=3, size=32, nodata=0)])


def remove_files(chips: ChipSet) -> None:
    """Take the files away: whoever still reads a chip has it from elsewhere."""
    for chip in chips.chips:
        chip.images[0].unlink()


def sums(reader: ChipReader, chips: ChipSet) -> list[int]:
    return [int(reader.image(chip).sum()) + int(reader.label(chip).sum()) for chip in chips.chips]


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    file = DecodedFile(tmp_path / "file", 10**6)
    rng = np.random.default_rng(0)
    arrays = {
        "bytes": rng.integers(0, 255, (3, 7, 5)).astype(np.uint8),
        "view": rng.normal(size=(4, 6)).astype(np.float32).T,
        "truths": rng.random((5, 5)) < 0.5,
        "none": np.zeros((0, 4), np.int32),
    }
    for key, array in arrays.items():
        assert file.add(key, array)
    file.seal()
    for key, array in arrays.items():
        found = file.get(key)
        assert found is not None and found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert file.get("other") is None


def test_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    file = DecodedFile(tmp_path / "file", 100)
    assert file.add("small", np.zeros(60, np.uint8))
    assert not file.add("large", np.zeros(60, np.uint8))
    file.seal()
    assert len(file) == 1 and file.get("large") is None


def test_every_array_of_a_chip_is_the_file_s(chips: ChipSet, tmp_path: Path) -> None:
    plain, shared = ChipReader.of(chips), shared_reader(chips, DecodedFile(tmp_path / "file", 10**9))
    for chip in chips.chips:
        np.testing.assert_array_equal(shared.image(chip), plain.image(chip))
        np.testing.assert_array_equal(shared.label(chip), plain.label(chip))
        valid, expected = shared.valid(chip), plain.valid(chip)
        assert valid is not None and expected is not None
        np.testing.assert_array_equal(valid, expected)


def test_instances_too(tmp_path: Path) -> None:
    chips = read_chips([rcnn_masks(tmp_path / "chips")])
    plain, shared = ChipReader.of(chips), shared_reader(chips, DecodedFile(tmp_path / "file", 10**9))
    for chip in chips.chips:
        for value, array in plain.instances(chip).items():
            np.testing.assert_array_equal(shared.instances(chip)[value], array)


def test_another_process_reads_what_this_one_decoded(chips: ChipSet, tmp_path: Path) -> None:
    with reader_for(chips, 1) as reader:
        expected = sums(ChipReader.of(chips), chips)
        remove_files(chips)
        (tmp_path / "reader").write_bytes(pickle.dumps((reader, chips.chips)))
        code = (
            "import pickle, sys\n"
            "reader, chips = pickle.load(open(sys.argv[1], 'rb'))\n"
            "print([int(reader.image(chip).sum()) + int(reader.label(chip).sum()) for chip in chips])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "reader")], capture_output=True, text=True, check=True, timeout=120
        )
        assert json.loads(done.stdout) == expected
        assert sums(pickle.loads(pickle.dumps(reader)), chips) == expected


def test_a_full_file_leaves_the_rest_to_the_files(chips: ChipSet, tmp_path: Path) -> None:
    file = DecodedFile(tmp_path / "file", 3 * 32 * 32 + 32 * 32 + 200)
    reader = shared_reader(chips, file)
    assert 0 < len(file) < 6
    assert sums(reader, chips) == sums(ChipReader.of(chips), chips)


def test_nothing_is_left_behind_and_nothing_lies_in_the_input(
    chips: ChipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = sorted((tmp_path / "chips").rglob("*"))
    with reader_for(chips, 2) as reader:
        assert reader.decoded is not None
        assert list((tmp_path / "temporary").iterdir())
        assert sorted((tmp_path / "chips").rglob("*")) == before
    assert not list((tmp_path / "temporary").iterdir())


def test_without_processes_chips_are_kept_in_memory(chips: ChipSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise AssertionError("no file is wanted")

    monkeypatch.setattr(decoded, "DecodedFile", none)
    with reader_for(chips, 0) as reader:
        expected = sums(reader, chips)
        remove_files(chips)
        assert sums(reader, chips) == expected
