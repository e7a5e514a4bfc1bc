from __future__ import annotations

import json
from pathlib import Path

import builders
import mask_builders
import pytest

from chipwright.chips.formats.locating import locate_export
from chipwright.chips.formats.sniffing import format_of
from chipwright.errors import DataError


def set_mode(folder: Path, totals: object, emd: object = ...) -> None:
    for name, mode in (("esri_accumulated_stats.json", totals), ("esri_model_definition.emd", totals if emd is ... else emd)):
        path = folder / name
        content = json.loads(path.read_text())
        content.pop("MetaDataMode", None)
        path.write_text(json.dumps(content | ({} if mode is None else {"MetaDataMode": mode})))


def sniffed(folder: Path) -> str:
    return format_of(locate_export(folder)).keyword


@pytest.mark.parametrize(
    ("totals", "emd"), [("Labeled_Tiles", None), (None, "Labeled_Tiles"), ("labeled tiles", "e.g. x"), ("Labeled_Tiles", 7)]
)
def test_either_metadata_file_may_name_the_format(tmp_path: Path, totals: object, emd: object) -> None:
    builders.labeled_tiles(tmp_path, count=3)
    set_mode(tmp_path, totals, emd)
    assert sniffed(tmp_path) == "Labeled_Tiles"


def test_contradicting_metadata_are_said(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=2)
    set_mode(tmp_path, "PASCAL_VOC_rectangles", "Labeled_Tiles")
    export = locate_export(tmp_path)
    assert format_of(export).keyword == "PASCAL_VOC_rectangles"
    assert any("contradict" in warning for warning in export.account.warnings)


def test_an_unknown_format_is_named_with_the_nearest(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=2)
    set_mode(tmp_path, "Clasified_Tile")
    with pytest.raises(DataError, match=r"'Clasified_Tile', which is no known format\. Did you mean Classified_Tiles\?"):
        sniffed(tmp_path)


@pytest.mark.parametrize(
    ("build", "keyword"),
    [
        (builders.voc, "PASCAL_VOC_rectangles"),
        (builders.labeled_tiles, "PASCAL_VOC_rectangles"),
        (builders.classified_tiles, "Classified_Tiles"),
    ],
)
def test_where_the_metadata_are_silent_content_tells_and_it_is_said(tmp_path: Path, build: object, keyword: str) -> None:
    build(tmp_path, count=2)
    set_mode(tmp_path, None)
    export = locate_export(tmp_path)
    assert format_of(export).keyword == keyword
    assert any(f"read as {keyword}, since it holds 2" in warning for warning in export.account.warnings)


@pytest.mark.parametrize(
    ("files", "keyword"),
    [
        (["A/images/0.tif", "B/images/0.tif"], "CycleGAN"),
        (["images/0.tif", "images2/0.tif", "labels/0.tif"], "ChangeDetection"),
        (["images/0.tif", "images2/0.tif"], "Export_Tiles"),
        (["images/0.tif"], "Export_Tiles"),
        (["images/0.tif", "labels.json"], "COCO_rectangles"),
        (["images/Forest/0.jpg"], "Imagenet"),
        (["images/0.tif", "labels/0.tif", "labels2/R/0.tif"], "Panoptic_Segmentation"),
        (["images/0.tif", "labels/R/0.tif"], "RCNN_Masks"),
        (["images/0.tif", "images/1.tif", "labels/R/0.tif", "labels/S/1.tif"], "RCNN_Masks"),
        (["JPEGImages/v/0.jpg", "Annotations/v/0.png"], "ObjectTracking"),
        (["JPEGImages/0.jpg", "Annotations/0.xml"], "PASCAL_VOC_rectangles"),
    ],
)
def test_formats_are_told_by_what_the_folder_holds(tmp_path: Path, files: list[str], keyword: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sniffed(tmp_path) == keyword


@pytest.mark.parametrize(
    ("files", "keyword"),
    [
        (["A/images/0.tif", "B/images/0.tif"], "CycleGAN"),
        (["Images/train_a/0.jpg", "Images/train_b/0.jpg"], "CycleGAN"),
        (["images/0.tif", "images2/0.tif", "labels/0.tif"], "ChangeDetection"),
        (["images_before/0.tif", "images_after/0.tif", "labels/0.tif"], "ChangeDetection"),
        (["train/images/0.tif", "train/images2/0.tif", "val/images/0.tif", "val/images2/0.tif"], "ChangeDetection"),
        (["images/0.tif", "images2/0.tif"], "Export_Tiles"),
        (["images/0.tif"], "Export_Tiles"),
        (["images/0.tif", "images/1.tif", "images/thumbs/0.jpg"], "Export_Tiles"),
        (["images/Forest/0.jpg"], "Imagenet"),
        (["images/Forest/0.jpg", "images/Road/0.jpg", "images/0.jpg"], "Imagenet"),
        (["Forest/0.jpg", "Road/0.jpg", "notes/0.txt"], "Imagenet"),
    ],
)
def test_layouts_of_several_images_and_of_no_labels_are_recognised(tmp_path: Path, files: list[str], keyword: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sniffed(tmp_path) == keyword


@pytest.mark.parametrize(
    ("line", "keyword"), [("1 0.0 0 0.0 1 2 3 4 0 0 0 0 0 0 0", "KITTI_rectangles"), ("0 .5 .5 .1 .1", "YOLO_rectangles")]
)
def test_text_labels_are_told_apart_by_their_columns(tmp_path: Path, line: str, keyword: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.tif").touch()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "0.txt").write_text(line)
    assert sniffed(tmp_path) == keyword


def test_a_second_image_folder_makes_change_pairs_of_classified_tiles(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    (tmp_path / "images2").mkdir()
    assert sniffed(tmp_path) == "ChangeDetection"


def test_a_caption_field_makes_captions_of_multi_labelled_tiles(tmp_path: Path) -> None:
    builders.multilabeled_tiles(tmp_path, count=2, extra={"SingleLabelFieldFound": "Caption"})
    assert sniffed(tmp_path) == "ImageCaptioning"


def test_a_time_series_is_told_by_its_metadata(tmp_path: Path) -> None:
    for flag, keyword in ((True, "TimeSeries"), ("true", "TimeSeries"), (False, "RCNN_Masks")):
        folder = mask_builders.rcnn_masks(tmp_path / str(flag), 2, metadata={"IsMultidimensional": flag})
        assert sniffed(folder) == keyword
