from __future__ import annotations

import json
from pathlib import Path

import builders
import numpy as np
import pair_builders
import pytest

from chipwright.chips.folders import read_chips
from chipwright.errors import DataError

TEXTS = [["a lake", "water in a field"], ["two roads"], ["a wood"]]
LISTED = {"park_1.jpg": ["a park", "trees and a path"], "port_2.jpg": ["ships in a port"]}


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as found:
        read_chips(folder)
    return str(found.value)


def write_label(folder: Path, index: int, *texts: str) -> None:
    builders.write_voc_xml(folder / "labels" / f"{index:012d}.xml", (32, 32), [(text, (0, 0, 32, 32)) for text in texts])


# -- labels


def test_every_object_of_a_label_is_a_caption(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.caption_tiles(tmp_path, TEXTS))
    assert (chips.format, chips.classes, chips.metadata["SingleLabelFieldFound"]) == ("ImageCaptioning", (), "Caption")
    assert [list(chip.texts) for chip in chips.chips] == TEXTS
    assert chips.account.warnings == []


def test_a_caption_is_one_line(tmp_path: Path) -> None:
    pair_builders.caption_tiles(tmp_path, [["  two\n   roads "]])
    assert read_chips(tmp_path).chips[0].texts == ("two roads",)


def test_labels_without_an_object_drop_their_chip(tmp_path: Path) -> None:
    pair_builders.caption_tiles(tmp_path, TEXTS)
    write_label(tmp_path, 1)
    account = read_chips(tmp_path).account
    assert account.dropped == {"no caption": ["000000000001.tif"]}


def test_empty_captions_are_left_out_and_counted(tmp_path: Path) -> None:
    pair_builders.caption_tiles(tmp_path, TEXTS)
    write_label(tmp_path, 0, "", "a lake")
    write_label(tmp_path, 1, " ")
    chips = read_chips(tmp_path)
    assert [chip.texts for chip in chips.chips] == [("a lake",), ("a wood",)]
    assert "Left out 2 empty captions (000000000000 and 000000000001)." in chips.account.warnings


def test_no_caption_at_all_is_refused(tmp_path: Path) -> None:
    pair_builders.caption_tiles(tmp_path, [[], []])
    assert "None of the 2 chips in" in refusal(tmp_path)


def test_a_missing_label_drops_its_chip(tmp_path: Path) -> None:
    pair_builders.caption_tiles(tmp_path, TEXTS)
    (tmp_path / "labels" / "000000000002.xml").unlink()
    assert read_chips(tmp_path).account.dropped == {"no label file": ["000000000002.tif"]}


def test_a_text_too_long_for_a_caption_is_refused(tmp_path: Path) -> None:
    pair_builders.caption_tiles(tmp_path, [["a" * 2000], ["b" * 2001]])
    assert "000000000001.xml has a caption of 2001 characters ('bbbb" in refusal(tmp_path)


# -- listed in JSON


@pytest.mark.parametrize("images", ["images", "RSICD_images", "."])
@pytest.mark.parametrize("name", ["annotations.json", "dataset_rsicd.json", "mine.json"])
def test_captions_listed_in_json_are_found_by_content(tmp_path: Path, images: str, name: str) -> None:
    chips = read_chips(pair_builders.caption_listing(tmp_path, LISTED, images=images, name=name))
    assert (chips.format, chips.classes) == ("ImageCaptioning", ())
    assert {chip.name: list(chip.texts) for chip in chips.chips} == {
        "park_1": ["a park", "trees and a path"],
        "port_2": ["ships in a port"],
    }
    assert chips.account.warnings == []


def test_files_that_are_not_there_and_files_without_a_caption_are_counted(tmp_path: Path) -> None:
    pair_builders.caption_listing(
        tmp_path, LISTED | {"gone.jpg": ["a hill"]}, present=["park_1.jpg", "port_2.jpg", "extra.jpg"]
    )
    account = read_chips(tmp_path).account
    assert account.dropped == {"its image is missing": ["gone.jpg"], "no caption": ["extra.jpg"]}
    assert "Dropped 1 of 4 chips (its image is missing): gone.jpg." in account.warnings


def test_json_that_names_only_missing_files_is_refused(tmp_path: Path) -> None:
    pair_builders.caption_listing(tmp_path, LISTED, present=["other.jpg"])
    assert "lists 2 images (park_1.jpg and port_2.jpg), and none of them is in" in refusal(tmp_path)


def test_file_names_that_lead_out_of_the_folder_are_ignored_and_counted(tmp_path: Path) -> None:
    builders.write_raster(tmp_path / "secret.jpg", np.zeros((3, 32, 32), "uint8"))
    names = ["../../secret.jpg", str(tmp_path / "secret.jpg"), "C:\\secret.jpg"]
    folder = pair_builders.caption_listing(
        tmp_path / "set", LISTED | {name: ["a secret"] for name in names}, present=list(LISTED)
    )
    chips = read_chips(folder)
    assert len(chips) == 2
    assert any("names 3 images outside the folder (../../secret.jpg" in warning for warning in chips.account.warnings)


def test_one_file_listed_twice_has_all_its_captions(tmp_path: Path) -> None:
    pair_builders.caption_listing(tmp_path, {"a.jpg": ["one"], "./a.jpg": ["two"]}, present=["a.jpg"])
    assert [chip.texts for chip in read_chips(tmp_path).chips] == [("one", "two")]


def test_files_of_one_stem_are_two_chips(tmp_path: Path) -> None:
    pair_builders.caption_listing(tmp_path, {"a.jpg": ["one"], "a.png": ["two"]})
    assert [chip.name for chip in read_chips(tmp_path).chips] == ["a", "a.png"]


def test_a_split_in_the_json_is_not_used_and_it_is_said(tmp_path: Path) -> None:
    pair_builders.caption_listing(tmp_path, LISTED, split=True)
    assert any("The split that dataset_rsicd.json lists is not used" in text for text in read_chips(tmp_path).account.warnings)


def test_odd_entries_are_ignored_and_counted(tmp_path: Path) -> None:
    pair_builders.caption_listing(tmp_path, LISTED | {"c.jpg": [None, 5, "a \ud800 hill"]})
    path = tmp_path / "dataset_rsicd.json"
    content = json.loads(path.read_text())
    content["images"] += [7, {"filename": 3, "sentences": []}, {"filename": "park_1.jpg"}]
    content["images"][0]["sentences"].append("bare")
    path.write_text(json.dumps(content))
    chips = read_chips(tmp_path)
    assert chips.chips[-1].texts == ("a \ufffd hill",)
    assert "dataset_rsicd.json has 3 entries without a filename or a list of sentences, ignored." in chips.account.warnings
    assert "Left out 3 empty captions (park_1 and c)." in chips.account.warnings


@pytest.mark.parametrize("name", ["a" * 5000 + ".jpg", "nul\0.jpg", "half \ud800.jpg", ""])
def test_names_no_file_can_have_are_survived(tmp_path: Path, name: str) -> None:
    chips = read_chips(pair_builders.caption_listing(tmp_path, LISTED | {name: ["a text"]}, present=list(LISTED)))
    assert len(chips) == 2
    assert "\ud800" not in " ".join(chips.account.warnings)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not valid JSON"),
        (', "a": ' + "[" * 100_000, "is not valid JSON"),
        (', "a": ' + '{"b":' * 100_000, "is not valid JSON"),
        (', "images": ' + "9" * 10_000 + "}", "is not valid JSON"),
        ("}", 'holds no list "images"'),
        (', "images": {"a": 1}}', 'holds no list "images"'),
        (', "images": []}', "lists 0 images, and none of them is in"),
    ],
)
def test_json_that_is_no_listing_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "a.json").write_text('{"keys": {"filename": 0, "sentences": 0, "raw": 0}' + content)
    assert sentence in refusal(tmp_path)


def test_json_without_captions_is_left_to_other_formats(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path)
    (tmp_path / "labels.json").write_text('{"images": [{"filename": "a"}]}')
    assert read_chips(tmp_path).format == "Export_Tiles"


def test_real_captions(data: Path) -> None:
    chips = read_chips(data / "captions_dubai")
    assert (chips.format, len(chips), chips.tile_size) == ("ImageCaptioning", 200, (224, 224))
    assert all(len(chip.texts) == 1 for chip in chips.chips)
    assert len({chip.texts for chip in chips.chips}) == 190
    assert (chips.account.dropped, chips.account.warnings) == ({}, [])
