"""What the hunts found, and what an attacker would try first: each folder loads with its warning, or gets its sentence.

Every case is read with little time and memory, writes nothing into the folder, and reads nothing outside it.
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from builders import write_raster
from fuzz.readers import FOLDERS, HUNGRY, content_of, memory

from chipwright import inspection
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.formats.classes import MOST
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError

SECONDS = 10.0
"""Of processor time, for any case."""

SECRET = 77
"""Pixels of an image outside the folder that nobody may read."""

EMD = "esri_model_definition.emd"

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def documented() -> dict[str, str]:
    """Return the sentences that the page shows, by case."""
    lines = [line.strip("|").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `").replace(" ", "_"): cells[1].strip() for cells in lines if len(cells) == 2}


DOCUMENTED = documented()

Case = Callable[[Path], Any]

CASES: dict[str, tuple[str, Case, str]] = {}
"""Name -> (folder to begin with, what is done to it, what is said: the beginning of a warning, or of the sentence)."""


def case(base: str, said: str = "") -> Callable[[Case], Case]:
    def add(damage: Case) -> Case:
        CASES[damage.__name__] = (base, damage, said)
        return damage

    return add


def first(folder: Path, pattern: str) -> Path:
    """Return the first of the files that match."""
    return sorted(folder.glob(pattern))[0]


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def secret(folder: Path) -> Path:
    """Write an image beside the folder."""
    return write_raster(folder.parent / "secret.tif", np.full((4, 32, 32), SECRET, np.uint16))


# -- XML


@case("voc", "FOLDER/labels/000000000000.xml defines XML entities")
def entities(folder: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><annotation>&b;</annotation>'
    first(folder, "labels/*").write_text(bomb)


@case("voc", "FOLDER/labels/000000000000.xml defines XML entities")
def entity_of_a_file(folder: Path) -> None:
    prolog = f'<!DOCTYPE a [<!ENTITY a SYSTEM "{secret(folder).as_uri()}">]>'
    first(folder, "labels/*").write_text(f"{prolog}<annotation><object><name>&a;</name></object></annotation>")


@case("voc", "FOLDER/labels/000000000000.xml nests XML elements more than 64 deep")
def a_million_nested_tags(folder: Path) -> None:
    first(folder, "labels/*").write_text("<a>" * 1_000_000)


@case("voc", "FOLDER/labels/000000000000.xml nests XML elements more than 64 deep")
def nested_tags_in_latin_1(folder: Path) -> None:
    first(folder, "labels/*").write_bytes(b"<annotation>\xe9" + b"<a>" * 100)


@case("voc", "Dropped 1 of 6 chips (too many objects for a label): 000000000000.xml.")
def a_label_of_half_a_million_objects(folder: Path) -> None:
    first(folder, "labels/*").write_text("<annotation>" + "<object></object>" * 500_000 + "</annotation>")


@case("voc")
def a_file_name_that_leaves_the_folder(folder: Path) -> None:
    path = first(folder, "labels/*")
    path.write_text(re.sub("<filename>.*</filename>", "<filename>../../secret.tif</filename>", path.read_text()))


# -- JSON


@case("voc", f"FOLDER/{EMD} is not valid JSON (maximum recursion depth exceeded")
def deep_json(folder: Path) -> None:
    (folder / EMD).write_text("[" * 1_000_000)


@case("voc", f"FOLDER/{EMD} is not valid JSON (Unterminated string")
def a_string_that_never_ends(folder: Path) -> None:
    (folder / EMD).write_text('{"a": "' + '\\"' * 500_000)


@case("voc", f"FOLDER/{EMD} is not valid JSON (Exceeds the limit")
def a_number_of_a_million_digits(folder: Path) -> None:
    (folder / EMD).write_text('{"NumBands": ' + "9" * 1_000_000 + "}")


@case("voc")
def keys_given_twice(folder: Path) -> None:
    (folder / EMD).write_text((folder / EMD).read_text().replace("{", '{"Classes": [], "MetaDataMode": 7, ', 1))


@case("voc", "The exported band statistics are not finite; they were computed from the chips.")
def statistics_that_are_no_numbers(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for row in content["BandStatsState"]:
            row |= {"Min": float("-inf"), "M1": float("nan")}

    change_json(folder / "esri_accumulated_stats.json", change)
    change_json(folder / EMD, lambda content: content.pop("AllTilesStats"))


@case("voc")
def half_of_a_surrogate_pair_in_a_class_name(folder: Path) -> None:
    change_json(folder / EMD, lambda content: content["Classes"][0].update(Name="a\ud800b"))


# -- paths


@case("voc", "map.txt has 2 rows leading out of the folder (../secret.tif and /etc/passwd.txt)")
def rows_that_leave_the_folder(folder: Path) -> None:
    rows = f"..\\{secret(folder).name} labels\\000000000000.xml\nimages\\000000000001.png /etc/passwd.txt\n"
    (folder / "map.txt").write_text(rows.replace("\\", "/") + (folder / "map.txt").read_text())


@case("voc", "map.txt is irregular (")
def rows_of_two_thousand_words(folder: Path) -> None:
    (folder / "map.txt").write_text(("images/a" + " a" * 2000 + "\n") * 2000)


@case("coco", "The labels list 2 images missing from the folder (../secret.tif and /secret.tif)")
def images_that_leave_the_folder(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][0]["file_name"] = f"../{secret(folder).name}"
        content["images"][1]["file_name"] = "/secret.tif"

    change_json(folder / "labels.json", change)


@case("coco", "The labels list 1 image missing from the folder")
def a_file_name_longer_than_any(folder: Path) -> None:
    change_json(folder / "labels.json", lambda content: content["images"][0].update(file_name="a" * 300 + ".png"))


@case("voc")
def links_in_circles(folder: Path) -> None:
    for place in (folder, folder / "images", folder / "labels"):
        (place / "loop").symlink_to("loop")
        (place / "up").symlink_to(folder)
    (folder / "images" / "loop.png").symlink_to("loop.png")
    (folder / "labels" / "loop.xml").symlink_to("loop.xml")


@case("masks", "FOLDER/labels holds 1 link to folders elsewhere (up)")
def folders_of_masks_in_circles(folder: Path) -> None:
    (folder / "labels" / "loop").symlink_to("loop")
    (folder / "labels" / "up").symlink_to(folder)


@case("voc", "map.txt lists 1 chip whose image is missing")
def an_image_that_is_a_link_to_nowhere(folder: Path) -> None:
    path = first(folder, "images/*.png")
    path.unlink()
    path.symlink_to("nowhere.png")


@case("voc", "map.txt lists 1 chip whose image is missing")
def a_pipe_for_an_image(folder: Path) -> None:
    replace_by_pipe(first(folder, "images/*.png"))


@case("voc", "Dropped 1 of 6 chips (no label file)")
def a_pipe_for_a_label(folder: Path) -> None:
    replace_by_pipe(first(folder, "labels/*"))


@case("voc", "FOLDER/map.txt is no file")
def a_pipe_for_the_map(folder: Path) -> None:
    replace_by_pipe(folder / "map.txt")


@case("voc")
def a_pipe_for_a_world_file(folder: Path) -> None:
    replace_by_pipe(first(folder, "images/*.pgw"))


def replace_by_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes in folders on this system")
    path.unlink()
    os.mkfifo(path)


@case("yolo")
def a_folder_for_a_label(folder: Path) -> None:
    path = first(folder, "labels/*")
    path.unlink()
    path.mkdir()


@case("voc", "Found 1 chip name with blanks")
def names_that_are_no_text(folder: Path) -> None:
    for number, name in enumerate((b"caf\xe9", b"two\nlines", b"\x1b[31m a")):
        for place, suffix in (("images", b".png"), ("labels", b".xml")):
            old = folder / place / f"{number:012}{suffix.decode()}"
            old.rename(old.with_name(os.fsdecode(name + suffix)))


# -- images


@case("classified_jpg", "Dropped 1 of 6 chips (cannot be read): 000000000000.jpg.")
def half_a_jpeg(folder: Path) -> None:
    path = first(folder, "images/*.jpg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@case("classified_jpg", "Dropped 1 of 6 chips (cannot be read): 000000000000.jpg.")
def a_text_called_jpg(folder: Path) -> None:
    first(folder, "images/*.jpg").write_text("Dear Sir")


@case("classified_jpg", "Dropped 1 of 6 chips (cannot be read): 000000000000.jpg.")
def an_empty_image(folder: Path) -> None:
    first(folder, "images/*.jpg").write_bytes(b"")


@case("classified")
def a_png_called_tif(folder: Path) -> None:
    called_otherwise(first(folder, "images/*.tif"), 1.0)


@case("classified", "Dropped 1 of 6 chips (cannot be read): 000000000000.tif.")
def half_a_png_called_tif(folder: Path) -> None:
    called_otherwise(first(folder, "images/*.tif"), 0.5)


def called_otherwise(path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 9000, (4, 32, 32)).astype(np.uint16)
    png = write_raster(path.with_suffix(".png"), noise)
    path.write_bytes(png.read_bytes()[: int(png.stat().st_size * share)])
    png.unlink()


@case("voc", "Chips in FOLDER have 2 different sizes; most have 64 x 64 pixels.")
def an_image_of_one_pixel(folder: Path) -> None:
    write_raster(first(folder, "images/*.png"), np.zeros((3, 1, 1), np.uint8))


@case("voc", "Dropped 1 of 6 chips (cannot be read): 000000000000.png.")
def a_png_that_claims_to_be_huge(folder: Path) -> None:
    path = first(folder, "images/*.png")
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


@case("classified", "6 of 6 chips in FOLDER cannot be read")
def tiny_files_that_claim_a_gigabyte(folder: Path) -> None:
    sparse = {"driver": "GTiff", "width": 11_000, "height": 11_000, "count": 4, "dtype": "uint16", "sparse_ok": True}
    for path in folder.glob("images/*.tif"):
        rasterio.open(path, "w", tiled=True, **sparse).close()


@case("panoptic", "Dropped 1 of 6 chips (cannot be read)")
def a_mask_of_fifty_thousand_bands(folder: Path) -> None:
    path = next(iter(sorted(folder.glob("labels2/*/*.tif"))))
    with rasterio.open(path) as file:
        size = {"width": file.width, "height": file.height}
    rasterio.open(path, "w", driver="GTiff", count=50_000, dtype="uint8", interleave="pixel", **size).close()


@case("classified", "Dropped 1 of 6 chips (cannot be read): 000000000000.tif.")
def a_virtual_raster_called_tif(folder: Path) -> None:
    source = secret(folder)
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename>{source}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in range(1, 5)
    )
    first(folder, "images/*.tif").write_text(f'<VRTDataset rasterXSize="32" rasterYSize="32">{bands}</VRTDataset>')


@case("classified", "Dropped 1 of 6 chips (cannot be read): 000000000000.tif.")
def an_mrf_that_copies_another_file(folder: Path) -> None:
    header = '<Raster><Size x="32" y="32" c="4"/><PageSize x="32" y="32" c="4"/><DataType>UInt16</DataType></Raster>'
    source = f"<CachedSource><Source>{secret(folder)}</Source></CachedSource>"
    first(folder, "images/*.tif").write_text(f"<MRF_META>{source}{header}</MRF_META>")


@case("classified", "FOLDER/images/000000000000.tif has complex_int16 pixels")
def complex_pixels(folder: Path) -> None:
    write_empty(first(folder, "images/*.tif"), 4, "complex_int16")


@case("classified", "Dropped 1 of 6 chips (cannot be read): 000000000000.tif.")
def a_label_of_complex_pixels(folder: Path) -> None:
    write_empty(first(folder, "labels/*.tif"), 1, "complex64")


def write_empty(path: Path, count: int, dtype: str) -> None:
    rasterio.open(path, "w", driver="GTiff", width=32, height=32, count=count, dtype=dtype).close()


@case("classified", "FOLDER has 1 label raster of another size than the image (000000000000; ")
def a_label_of_another_size(folder: Path) -> None:
    write_raster(first(folder, "labels/*.tif"), np.zeros((16, 16), np.uint8))


# -- boxes and classes


@case("voc", "Dropped 2 boxes without numbers for corners (chips 000000000000 and 000000000001).")
def voc_boxes_without_numbers(folder: Path) -> None:
    for path, word in zip(sorted(folder.glob("labels/*")), ("nan", "inf"), strict=False):
        box = f"<bndbox><xmin>{word}</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        path.write_text(path.read_text().replace("</annotation>", f"<object><name>1</name>{box}</object></annotation>"))


@case("kitti", "Dropped 2 boxes without numbers for corners (chip 0).")
def kitti_boxes_without_numbers(folder: Path) -> None:
    first(folder, "labels/*").write_text("a 0 0 0 nan 1 9 9 0 0 0 0 0 0 0\na 0 0 0 1 1 Infinity 9 0 0 0 0 0 0 0\n")


@case("yolo", "Dropped 2 boxes without numbers for corners (chip 0).")
def yolo_boxes_without_numbers(folder: Path) -> None:
    first(folder, "labels/*").write_text("0 nan .5 .1 .1\n0 .5 1e999 .1 .1\n")


@case("coco", "Dropped 2 boxes without numbers for corners (chips 0 and 1).")
def coco_boxes_without_numbers(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"][0] = float("nan")
        content["annotations"][1]["bbox"][2] = float("inf")

    change_json(folder / "labels.json", change)


@case("yolo", "Dropped 1 of 6 chips (too many objects for a label): 0.txt.")
def a_label_of_a_million_lines(folder: Path) -> None:
    first(folder, "labels/*").write_text("0 .5 .5 .1 .1\n" * 1_000_000)


@case("kitti", "Skipped 800000 lines of label files that are no object")
def a_label_of_a_million_lines_that_are_no_objects(folder: Path) -> None:
    first(folder, "labels/*").write_text("a 0 0 0 1 1 9 9 0 0\n" * 800_000)


@case("voc")
def a_class_value_of_thirty_digits(folder: Path) -> None:
    for path in folder.glob("labels/*"):
        path.write_text(re.sub("<name>.*?</name>", f"<name>{'9' * 30}</name>", path.read_text()))
    for name in (EMD, "esri_accumulated_stats.json"):
        change_json(folder / name, lambda content: content.pop("Classes", None))


@case("voc")
def ten_thousand_classes(folder: Path) -> None:
    rows = [{"Value": value, "Name": f"class {value}"} for value in range(100, 10_000)]
    change_json(folder / EMD, lambda content: content["Classes"].extend(rows))


@case("voc", "The training data have 99902 classes, and a model at most 65536.")
def a_hundred_thousand_classes(folder: Path) -> None:
    assert MOST == 65_536
    rows = [{"Value": value, "Name": f"class {value}"} for value in range(100, 100_000)]
    change_json(folder / EMD, lambda content: content["Classes"].extend(rows))


@case("yolo")
def names_that_refer_to_each_other(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    rows = "".join(f"{chr(at)}: &{chr(at)} [{', '.join([f'*{chr(at - 1)}'] * 9)}]\n" for at in range(98, 122))
    (folder / "data.yaml").write_text(f"a: &a [x, x]\n{rows}names: [*y, *z]\n".replace(", *z", ""))


@case("yolo")
def maps_that_hold_each_other(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    rows = "".join(f"{chr(at)}: &{chr(at)} {{<<: [{', '.join([f'*{chr(at - 1)}'] * 9)}]}}\n" for at in range(98, 110))
    (folder / "data.yaml").write_text(f"a: &a {{x: 1}}\n{rows}names: [a, b]\n")


@case("yolo")
def names_of_odd_kinds(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    (folder / "data.yaml").write_text("names: [!!int '', !!bool perhaps, !!python/object:os.system {}]\n")


def read_whole(folder: Path) -> ChipSet:
    """Read a folder and every chip in it."""
    chips = read_chips([folder])
    inspection.facts_of(chips)
    reader = ChipReader.of(chips)
    for chip in chips.chips:
        for index in range(len(chip.images)):
            assert not (reader.image(chip, index) == SECRET).all()
        if chip.label is not None:
            reader.label(chip)
        reader.instances(chip)
    return chips


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_folder_loads_or_gets_its_sentence(name: str, tmp_path: Path) -> None:
    base, damage, said = CASES[name]
    folder = FOLDERS[base](tmp_path / "chips")
    damage(folder)
    before, held, started = content_of(folder), memory(reset=True), time.process_time()
    try:
        found = read_whole(folder).account.warnings
    except DataError as error:
        found = [str(error)]
    assert time.process_time() - started < SECONDS
    assert memory() - held < HUNGRY
    assert content_of(folder) == before
    assert all(text.isprintable() for text in found)
    found = [text.replace(str(folder), "FOLDER").replace("\\", "/") for text in found]
    assert any(text.startswith(said) for text in found) or not said, found
    assert name not in DOCUMENTED or DOCUMENTED[name] in found, found


def test_the_documented_cases_are_tested() -> None:
    assert DOCUMENTED and DOCUMENTED.keys() <= CASES.keys()
