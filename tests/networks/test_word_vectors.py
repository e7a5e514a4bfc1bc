"""Word vectors in fastText's text format, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chipwright.errors import OptionError
from chipwright.networks.word_vectors import read_vectors, vector_width


def written(folder: Path, *lines: str) -> Path:
    path = folder / "words.vec"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_words_asked_for_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "4 2", "road 1 2", "Pool 3 4", "pool 5 6 ", "Dubai -7 8e-1", "other x y")
    assert vector_width(path) == 2
    found = read_vectors(path, ["road", "pool", "dubai", "field"])
    assert set(found) == {"road", "pool", "dubai"}
    np.testing.assert_array_equal(found["road"], [1, 2])
    np.testing.assert_array_equal(found["pool"], [5, 6])
    np.testing.assert_array_equal(found["dubai"], np.array([-7, 0.8], np.float32))


@pytest.mark.parametrize("first", ["road 1 2", "4", "", "4 0", "4 x"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, first: str) -> None:
    with pytest.raises(OptionError, match="is no file of word vectors: expected the text format of fastText"):
        vector_width(written(tmp_path, first, "road 1 2"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.vec cannot be read .* give the path of a \.vec file"):
        vector_width(tmp_path / "none.vec")


@pytest.mark.parametrize(
    ("line", "message"), [("road 1 2 3", "holds 3 values, but its first line says 2"), ("road 1 x", "no numbers")]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(OptionError, match=f"Line 3 of .*{message}"):
        read_vectors(written(tmp_path, "2 2", "pool 1 2", line), ["road"])
