from __future__ import annotations

from pathlib import Path

import pytest

from chipwright.chips.formats import texts
from chipwright.chips.formats.texts import read_object, read_text
from chipwright.errors import DataError


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Forêt".encode(), "utf-8"),
        ("Forêt".encode("utf-8-sig"), "utf-8"),
        ("Forêt".encode("latin-1"), "latin-1"),
        ("Forêt".encode("utf-16"), "utf-16"),
    ],
)
def test_text_is_read_in_the_encoding_it_has(tmp_path: Path, content: bytes, encoding: str) -> None:
    path = tmp_path / "map.txt"
    path.write_bytes(content)
    assert read_text(path) == ("Forêt", encoding)


def test_json_with_the_not_a_numbers_of_windows_gives_null(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"Min": -nan(ind), "Max": 1.#INF, "Mean": inf, "Name": "nan, inf 1.#QNAN", "Rows": [1, 2,],}')
    assert read_object(path)[0] == {"Min": None, "Max": None, "Mean": None, "Name": "nan, inf 1.#QNAN", "Rows": [1, 2]}


@pytest.mark.parametrize("content", ["{", "", "[1, 2]", "[" * 100_000])
def test_what_is_no_json_object_is_a_data_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "esri_model_definition.emd"
    path.write_text(content)
    with pytest.raises(DataError, match=r"esri_model_definition\.emd"):
        read_object(path)


def test_a_file_too_large_for_metadata_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "LARGEST", 10)
    path = tmp_path / "map.txt"
    path.write_text("images\\0.tif labels\\0.tif")
    with pytest.raises(DataError, match="far less"):
        read_text(path)
