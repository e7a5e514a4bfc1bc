from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import builders
import numpy as np
import pytest

from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.statistics import class_pixels, computed
from chipwright.errors import DataError


def listing(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def boxes_of(chips: ChipSet) -> int:
    return sum(len(chip.boxes) for chip in chips.chips if chip.boxes is not None)


@cache
def read_once(folder: Path) -> ChipSet:
    return read_chips([folder])


def refusal(*folders: Path) -> str:
    with pytest.raises(DataError) as found:
        read_chips(folders)
    return str(found.value)


# -- several folders


def test_chips_of_several_folders_stand_in_their_order(tmp_path: Path) -> None:
    for index, name in enumerate(("b", "a")):
        builders.classified_tiles(tmp_path / name, count=2 + index, seed=index)
    chips = read_chips([tmp_path / "b", tmp_path / "a"])
    assert chips.folders == (tmp_path / "b", tmp_path / "a")
    assert [(chip.folder, chip.name[-1]) for chip in chips.chips] == [(0, "0"), (0, "1"), (1, "0"), (1, "1"), (1, "2")]
    assert chips.account.kept == 5


@pytest.mark.parametrize("with_statistics", [(True, True), (False, False), (True, False)])
def test_pooled_statistics_are_those_of_all_chips(tmp_path: Path, with_statistics: tuple[bool, bool]) -> None:
    for index, statistics in enumerate(with_statistics):
        builders.classified_tiles(
            tmp_path / str(index), count=3 + 4 * index, seed=index, background=bool(index), statistics=statistics
        )
    chips = read_chips([tmp_path / "0", tmp_path / "1"])
    expected = computed([chip.image for chip in chips.chips], None).statistics()
    assert chips.statistics.mean == pytest.approx(expected.mean)
    assert chips.statistics.std == pytest.approx(expected.std)
    assert (chips.statistics.minimum, chips.statistics.maximum) == (expected.minimum, expected.maximum)
    assert chips.statistics.source == ("export" if all(with_statistics) else "computed")


def test_classes_are_united_by_value_and_the_first_definition_wins(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path / "a", count=2, class_values=(2, 5))
    builders.classified_tiles(tmp_path / "b", count=2, class_values=(5, 1))
    chips = read_chips([tmp_path / "a", tmp_path / "b"])
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Forest"), (2, "Water"), (5, "Forest")]
    assert any("Class 5 is 'Forest' in one folder and 'Water'" in warning for warning in chips.account.warnings)


def test_sentences_about_one_of_several_folders_say_which(tmp_path: Path) -> None:
    for name in ("a", "b"):
        builders.classified_tiles(tmp_path / name, count=3)
    (tmp_path / "b" / "labels" / "000000000001.tif").unlink()
    account = read_chips([tmp_path / "a", tmp_path / "b"]).account
    assert account.dropped == {"no label file": ["b/000000000001.tif"]}
    assert account.warnings == ["b: Dropped 1 of 3 chips (no label file): 000000000001.tif."]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bands": 4}, r"differ in number of bands: .*a has 3 bands and .*b has 4 bands"),
        ({"size": 96}, r"differ in tile size: .*a has 64 x 64 pixels and .*b has 96 x 96 pixels"),
        ({"dtype": "uint16"}, r"differ in pixel type: .*a has uint8 and .*b has uint16"),
    ],
)
def test_folders_that_do_not_go_together_are_named_with_the_difference(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    builders.classified_tiles(tmp_path / "a", count=2)
    builders.classified_tiles(tmp_path / "b", count=2, **changes)
    with pytest.raises(DataError, match=sentence):
        read_chips([tmp_path / "a", tmp_path / "b"])


def test_folders_of_different_formats_are_refused(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path / "a", count=2)
    builders.voc(tmp_path / "b", count=2)
    assert "differ in format" in refusal(tmp_path / "a", tmp_path / "b")


def test_one_folder_given_twice_is_refused_however_it_is_spelled(tmp_path: Path) -> None:
    builders.voc(tmp_path / "a" / "export", count=2)
    assert "given twice" in refusal(tmp_path / "a", tmp_path / "a" / "export")
    assert "given twice" in refusal(tmp_path / "a", tmp_path / "a" / ".." / "a")


def test_different_band_names_are_only_said(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path / "a", count=2)
    builders.classified_tiles(tmp_path / "b", count=2, extra={"InputRastersProps": {"BandNames": ["NIR", "Red", "Green"]}})
    chips = read_chips([tmp_path / "a", tmp_path / "b"])
    assert chips.bands == ("Red", "Green", "Blue")
    assert any("Band names differ" in warning for warning in chips.account.warnings)


def test_no_folder_at_all_is_refused() -> None:
    assert "name at least one" in refusal()


def test_one_path_or_text_will_do(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=2)
    assert len(read_chips([str(tmp_path)])) == len(read_chips(str(tmp_path))) == len(read_chips(tmp_path)) == 2


# -- hostile and odd folders


def test_paths_of_map_txt_that_leave_the_folder_are_not_followed(tmp_path: Path) -> None:
    builders.voc(tmp_path / "a", count=2)
    builders.write_voc_xml(tmp_path / "secret.xml", (64, 64), [("1", (0, 0, 9, 9))])
    (tmp_path / "a" / "labels" / "000000000001.xml").unlink()
    (tmp_path / "a" / "map.txt").write_text("images\\000000000001.tif  labels\\..\\..\\secret.xml \r\n")
    chips = read_chips([tmp_path / "a"])
    assert [chip.name for chip in chips.chips] == ["000000000000"]
    assert any("leading out of the folder" in warning for warning in chips.account.warnings)


@pytest.mark.parametrize(
    "content", ["[]", '{"Classes": 5}', '{"Classes": [[]], "NumBands": {}, "BandStatsState": [5], "TileSizeX": []}']
)
def test_odd_metadata_give_a_sentence_or_a_set_and_never_another_error(tmp_path: Path, content: str) -> None:
    for name in ("esri_model_definition.emd", "esri_accumulated_stats.json"):
        builders.classified_tiles(tmp_path / name, count=2)
        (tmp_path / name / name).write_text(content)
        try:
            assert len(read_chips([tmp_path / name])) == 2
        except DataError as error:
            assert name in str(error)


def test_nothing_is_written_into_the_folder(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path / "a", count=3, statistics=False, georeferenced=True, image_suffix="jpg")
    before = listing(tmp_path)
    read_chips([tmp_path / "a"])
    assert listing(tmp_path) == before


# -- real folders, with the counts that are known of them


@pytest.mark.parametrize(
    ("folder", "keyword", "count", "size", "bands", "dtype", "values"),
    [
        ("classified_dubai", "Classified_Tiles", 261, 256, 3, "uint8", [1, 2, 3, 4, 5]),
        ("classified_naip4", "Classified_Tiles", 60, 128, 4, "uint8", [1, 2, 3]),
        ("classified_naip4_u16", "Classified_Tiles", 30, 128, 4, "uint16", [1, 2, 3]),
        ("edges_dubai", "Classified_Tiles", 100, 256, 3, "uint8", [1]),
        ("roads_epfl", "Classified_Tiles", 60, 400, 3, "uint8", [1]),
        ("voc_palm", "PASCAL_VOC_rectangles", 200, 448, 3, "uint8", [1]),
        ("labeled_scenes", "Labeled_Tiles", 168, 200, 3, "uint8", [1, 2, 3, 4, 5, 6, 7]),
        ("multilabeled_dubai", "MultiLabeled_Tiles", 160, 128, 3, "uint8", [1, 2, 3, 4, 5]),
    ],
)
def test_real_folders_are_read_whole(
    data: Path, folder: str, keyword: str, count: int, size: int, bands: int, dtype: str, values: list[int]
) -> None:
    before = listing(data / folder)
    chips = read_once(data / folder)
    assert (chips.format, len(chips), chips.tile_size, len(chips.bands), chips.dtype) == (
        keyword,
        count,
        (size, size),
        bands,
        dtype,
    )
    assert [info.value for info in chips.classes] == values
    assert chips.account.dropped == {}
    assert listing(data / folder) == before


def test_real_label_pixels_are_those_the_export_counted(data: Path) -> None:
    chips = read_once(data / "classified_dubai")
    totals = json.loads((data / "classified_dubai" / "esri_accumulated_stats.json").read_text(encoding="utf-8"))
    counted = class_pixels(chips.chips)
    assert [counted[value] for value in range(1, 6)] == totals["ClassPixelStats"]["NumPixelsPerClass"]


def test_real_boxes_are_all_there_but_for_slivers(data: Path) -> None:
    chips = read_once(data / "voc_palm")
    assert boxes_of(chips) == 740 - 4
    assert any("Dropped 4 boxes under a pixel wide or high" in warning for warning in chips.account.warnings)
    assert chips.statistics.source == "computed"
    assert chips.chips[0].georeference is not None


def test_real_scenes_have_24_chips_a_class(data: Path) -> None:
    chips = read_once(data / "labeled_scenes")
    assert np.bincount([chip.values[0] for chip in chips.chips]).tolist() == [0] + [24] * 7


def test_real_folders_of_8_and_16_bit_are_refused_together_for_their_pixel_type(data: Path) -> None:
    sentence = refusal(data / "classified_naip4", data / "classified_naip4_u16")
    assert "differ in pixel type" in sentence
    assert "classified_naip4 has uint8" in sentence
    assert "classified_naip4_u16 has uint16" in sentence


@pytest.mark.parametrize(
    ("folder", "count", "sentence"),
    [
        ("missing_labels", 5, "Dropped 3 of 8 chips (no label file): 000000000001.jpg, 000000000004.jpg and 000000000006.jpg."),
        ("corrupt_chip", 7, "Dropped 1 of 8 chips (cannot be read): 000000000003.jpg."),
        (
            "voc_boxes_outside",
            8,
            "Clipped 2 boxes that reached over the edge of the chip (chips 000000000000 and 000000000001).",
        ),
        ("voc_boxes_outside", 8, "Dropped 2 boxes empty or inverted (chips 000000000002 and 000000000003)."),
        ("voc_boxes_outside", 8, "Dropped 1 box wholly outside the chip (chip 000000000004)."),
        ("class_value_not_in_emd", 8, "Found 4 labels with values that are no class: 9 (000000000000, 000000000002,"),
        ("no_map_txt", 8, "There is no map.txt in"),
        ("crlf_map", 8, "map.txt is irregular (2 blank lines and both kinds of slashes)"),
        ("spaces_in_name", 8, "Found 8 chip names with blanks (my tile 0, my tile 1"),
        ("nested_one_level", 8, "the export in export_1 is used"),
        ("emd_placeholders", 8, "The export holds no band statistics; they were computed from the chips."),
        ("latin1_class_names", 8, "esri_model_definition.emd is not UTF-8; it was read as Latin-1."),
        ("huge_class_value_255", 8, "Found 4 of 8 chips without any class, only background"),
    ],
)
def test_faulty_folders_load_with_a_warning(data: Path, folder: str, count: int, sentence: str) -> None:
    chips = read_chips([data / "broken" / folder])
    assert len(chips) == chips.account.kept == count
    assert any(sentence in warning for warning in chips.account.warnings), chips.account.warnings


@pytest.mark.parametrize(("folder", "count"), [("all_negative", 8), ("masks_background_only", 8), ("one_chip_only", 1)])
def test_folders_that_only_training_refuses_load(data: Path, folder: str, count: int) -> None:
    assert len(read_chips([data / "broken" / folder])) == count


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("wrong_band_count_mix", "5 chips with 4, 3 with 3 (000000000002, 000000000005 and 000000000007)"),
        ("wrong_size_mix", "2 with 96 x 96 (000000000001 and 000000000005), 1 with 100 x 128 (000000000003)"),
        ("voc_entity_bomb", "000000000002.xml defines XML entities"),
        ("empty_folder", "is no training-data folder: it is empty"),
    ],
)
def test_faulty_folders_of_no_use_are_refused_in_one_sentence(data: Path, folder: str, sentence: str) -> None:
    assert sentence in refusal(data / "broken" / folder)


def test_accented_names_are_read_from_latin_1(data: Path) -> None:
    names = [info.name for info in read_chips([data / "broken" / "latin1_class_names"]).classes]
    assert names == ["Mer dégagée", "Sol nu", "Straße", "Bâtiment", "Forêt"]


@pytest.mark.parametrize(
    ("folder", "keyword"),
    [
        ("kitti_phragmites", "KITTI_rectangles"),
        ("imagenet_scenes", "Imagenet"),
        ("export_tiles_naip", "Export_Tiles"),
        ("cyclegan_naip", "CycleGAN"),
        ("change_naip", "ChangeDetection"),
        ("captions_dubai", "ImageCaptioning"),
    ],
)
def test_formats_without_a_reader_yet_are_named(data: Path, folder: str, keyword: str) -> None:
    assert f"is in the format {keyword}" in refusal(data / folder)
