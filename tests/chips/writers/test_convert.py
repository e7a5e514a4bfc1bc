from __future__ import annotations

from pathlib import Path

import builders
import mask_builders
import numpy as np
import pytest
from new_chips import chip_for, facts_for, place, write_some

from chipwright.chips.folders import read_chips
from chipwright.chips.formats.table import FORMATS
from chipwright.chips.reading import ChipReader
from chipwright.chips.writers.convert import TARGETS, convert
from chipwright.chips.writers.table import WRITERS
from chipwright.errors import OptionError

RECTANGLES = ("PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles")
PAIRS = [(source, target) for source in WRITERS if FORMATS[source].read for target in TARGETS[source]]


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_format_has_its_targets() -> None:
    assert set(TARGETS) == set(WRITERS)
    assert all(keyword in targets for keyword, targets in TARGETS.items())


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_conversion_that_is_offered_works(tmp_path: Path, source: str, target: str) -> None:
    folder = write_some(tmp_path / "source", source, georeference=place())
    before = listing(folder)
    done = convert(folder, tmp_path / "target", target)
    assert listing(folder) == before
    assert done.chips == (4 if source == "CycleGAN" else 2)
    if FORMATS[target].read is None:
        return
    chips = read_chips(tmp_path / "target")
    assert (chips.format, len(chips)) == (target, done.chips)
    new = chip_for(source)
    chip = chips.chips[0]
    np.testing.assert_array_equal(ChipReader(None).image(chip), new.images[0])
    assert chip.georeference == place()
    if target in RECTANGLES:
        counted = facts_for(source).instance_classes or (2, 7)
        expected = sorted(one.box for one in new.objects if one.value in counted)
        assert chip.boxes is not None
        np.testing.assert_allclose(sorted(map(tuple, chip.boxes.tolist())), expected, atol=0.01)
    if target in ("Labeled_Tiles", "MultiLabeled_Tiles", "Imagenet"):
        assert chip.values == (7,)
    if target == "Classified_Tiles":
        np.testing.assert_array_equal(ChipReader(None).label(chip), new.label)


@pytest.mark.parametrize(
    ("source", "target", "needs"),
    [
        ("Classified_Tiles", "PASCAL_VOC_rectangles", "boxes of objects"),
        ("PASCAL_VOC_rectangles", "RCNN_Masks", "outlines of objects"),
        ("Labeled_Tiles", "Classified_Tiles", "a class for each pixel"),
    ],
)
def test_labels_that_cannot_be_had_are_refused(tmp_path: Path, source: str, target: str, needs: str) -> None:
    folder = write_some(tmp_path / "source", source)
    with pytest.raises(
        OptionError, match=f"holds {source} data, which cannot be turned into {target}: that needs {needs}. They"
    ):
        convert(folder, tmp_path / "target", target)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_chips_of_several_classes_cannot_be_labelled_with_one(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "source", "MultiLabeled_Tiles", values=(2, 7))
    with pytest.raises(OptionError, match=r"2 of the 2 chips in .* have none or several .* Choose MultiLabeled_Tiles"):
        convert(folder, tmp_path / "target", "Labeled_Tiles")


def test_nothing_is_written_where_data_are_read(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "source", "Classified_Tiles")
    before = listing(folder)
    for out, words in ((folder, "is not empty"), (folder / "new", "into which nothing is written")):
        with pytest.raises(OptionError, match=words):
            convert(folder, out, "Classified_Tiles")
    assert listing(folder) == before


def test_images_and_what_lies_beside_them_are_copied_byte_for_byte(tmp_path: Path) -> None:
    builders.voc(tmp_path / "source", count=3, image_suffix="jpg", georeferenced=True)
    convert(tmp_path / "source", tmp_path / "target", "YOLO_rectangles")
    assert listing(tmp_path / "target" / "images") == listing(tmp_path / "source" / "images")


def test_another_chip_format_is_encoded_anew(tmp_path: Path) -> None:
    builders.voc(tmp_path / "source", count=2, image_suffix="png", georeferenced=True)
    convert(tmp_path / "source", tmp_path / "target", "PASCAL_VOC_rectangles", chip_format="TIFF")
    left, right = (read_chips(tmp_path / name).chips[1] for name in ("source", "target"))
    assert right.image.suffix == ".tif"
    np.testing.assert_array_equal(ChipReader(None).image(left), ChipReader(None).image(right))
    assert left.georeference is not None and right.georeference is not None
    assert right.georeference.transform == pytest.approx(left.georeference.transform)


def test_names_stay_in_one_folder_and_are_numbers_in_several(tmp_path: Path) -> None:
    folders = [builders.classified_tiles(tmp_path / name, count=2, class_values=(1, 9)) for name in ("a", "b")]
    (tmp_path / "a" / "images" / "000000000001.tif").rename(tmp_path / "a" / "images" / "odd one.tif")
    (tmp_path / "a" / "labels" / "000000000001.tif").rename(tmp_path / "a" / "labels" / "odd one.tif")
    convert(folders[0], tmp_path / "one", "Classified_Tiles")
    assert [chip.name for chip in read_chips(tmp_path / "one").chips] == ["000000000000", "odd one"]
    done = convert(folders, tmp_path / "both", "Classified_Tiles", start_index=5)
    chips = read_chips(tmp_path / "both")
    assert [chip.name for chip in chips.chips] == [f"{number:012d}" for number in range(5, 9)]
    assert (done.chips, chips.account.warnings) == (4, [])
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Water"), (9, "Forest")]


def test_a_real_export_is_written_anew(data: Path, tmp_path: Path) -> None:
    source, target = data / "voc_palm", tmp_path / "palm"
    assert convert(source, target, "PASCAL_VOC_rectangles").chips == 200
    same = [path for path in sorted((source / "images").iterdir()) if path.suffix != ".ovr"]
    assert [path.name for path in sorted((target / "images").iterdir())] == [path.name for path in same]
    assert all((target / "images" / path.name).read_bytes() == path.read_bytes() for path in same)
    name = "000000282.xml"
    real = (source / "labels" / name).read_text(encoding="utf-8").replace("ArcGIS Pro 2.1", "chipwright")
    assert (target / "labels" / name).read_text(encoding="utf-8") == real


def boxes_of(folder: Path) -> list[list[list[float]]]:
    return [sorted(chip.boxes.tolist()) for chip in read_chips(folder).chips if chip.boxes is not None]


def test_nodata_of_a_mask_is_no_object(tmp_path: Path) -> None:
    folder = mask_builders.rcnn_masks(tmp_path / "source", [{"Tree": [mask_builders.LOW]}] * 2)
    mask = mask_builders.painted([mask_builders.LOW])
    mask[-4:] = 255
    builders.write_raster(mask_builders.mask_path(folder, 0, "Tree"), mask, nodata=255)
    convert(folder, tmp_path / "target", "PASCAL_VOC_rectangles")
    assert boxes_of(tmp_path / "target") == [[list(mask_builders.LOW)]] * 2


def test_a_mask_stored_as_a_grey_picture_of_three_bands_holds_each_object_once(tmp_path: Path) -> None:
    boxes = [mask_builders.LOW, mask_builders.HIGH]
    folder = mask_builders.rcnn_masks(tmp_path / "source", [{"Tree": boxes}] * 2, suffix="png")
    for index in range(2):
        grey = np.stack([mask_builders.painted(boxes)] * 3)
        builders.write_raster(mask_builders.mask_path(folder, index, "Tree", suffix="png"), grey)
    convert(folder, tmp_path / "target", "PASCAL_VOC_rectangles")
    assert boxes_of(tmp_path / "target") == [[list(box) for box in boxes]] * 2


@pytest.mark.parametrize("target", ["RCNN_Masks", "COCO_rectangles", "Classified_Tiles"])
def test_of_panoptic_data_objects_take_the_classes_that_are_counted(tmp_path: Path, target: str) -> None:
    done = convert(mask_builders.panoptic(tmp_path / "source"), tmp_path / "target", target)
    chips = read_chips(tmp_path / "target")
    names = ["Field", "Roof"] if target == "Classified_Tiles" else ["Roof"]
    assert [info.name for info in done.classes] == [info.name for info in chips.classes] == names
    assert len(chips) == 4
    assert "Panoptic_Segmentation_Instance_Classes" not in chips.metadata
