"""What each format's labels look like on disk; that readers understand them is tested in test_round_trip.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from new_chips import CLASSES, SIZE, chip_for, facts_for, square, write_some

from chipwright.chips.chipset import ClassInfo
from chipwright.chips.folders import read_chips
from chipwright.chips.writers.mask_labels import instance_bands
from chipwright.chips.writers.new_chip import NewObject
from chipwright.chips.writers.writing import open_writer
from chipwright.errors import OptionError

STEM = "000000000000"


def layers(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


METADATA = ["esri_accumulated_stats.json", "esri_model_definition.emd", "map.txt", "stats.txt"]


@pytest.mark.parametrize(
    ("keyword", "files"),
    [
        ("Classified_Tiles", ["images/0.tif", "labels/0.tif"]),
        ("PASCAL_VOC_rectangles", ["images/0.tif", "labels/0.xml"]),
        ("KITTI_rectangles", ["images/0.tif", "labels/0.txt"]),
        ("COCO_rectangles", ["images/0.tif", "labels.json"]),
        ("YOLO_rectangles", ["data.yaml", "images/0.tif", "labels/0.txt"]),
        ("RCNN_Masks", ["images/0.tif", "labels/Palm/0.tif", "labels/Reed & rush/0.tif"]),
        ("Imagenet", ["images/Reed & rush/0.tif"]),
        ("Export_Tiles", ["images/0.tif"]),
        ("CycleGAN", []),
        ("Panoptic_Segmentation", ["images/0.tif", "labels/0.tif", "labels2/Palm/0.tif"]),
        ("ChangeDetection", ["images/0.tif", "images2/0.tif", "labels/0.tif"]),
        ("ImageCaptioning", ["images/0.tif", "labels/0.xml"]),
        ("ObjectTracking", ["images/0.tif", "labels/pond/0.png"]),
        ("TimeSeries", ["images/0.tif", "labels/2/0.tif", "labels/7/0.tif"]),
    ],
)
def test_files_lie_where_the_exporter_puts_them(tmp_path: Path, keyword: str, files: list[str]) -> None:
    folder = write_some(tmp_path / "chips", keyword, count=1)
    if keyword == "CycleGAN":
        expected = [f"{domain}/{name}" for domain in "AB" for name in [*METADATA, f"images/{STEM}.tif"]]
    else:
        expected = METADATA + [name.replace("/0.", f"/{STEM}.") for name in files]
    assert tree(folder) == sorted(expected)


def test_pascal_voc_names_values_and_has_two_decimals(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "PASCAL_VOC_rectangles", objects=(NewObject(7, (1.256, 2, 3.5, 16)),))
    text = (folder / "labels" / f"{STEM}.xml").read_text(encoding="utf-8")
    assert text == (
        '<?xml version="1.0"?>\n<annotation>\n'
        f"    <filename>{STEM}.tif</filename>\n"
        "    <source>\n        <annotation>chipwright</annotation>\n    </source>\n"
        "    <size>\n        <width>16</width>\n        <height>16</height>\n        <depth>3</depth>\n    </size>\n"
        "    <object>\n        <name>7</name>\n        <bndbox>\n"
        "            <xmin>1.26</xmin>\n            <ymin>2.00</ymin>\n"
        "            <xmax>3.50</xmax>\n            <ymax>16.00</ymax>\n"
        "        </bndbox>\n    </object>\n</annotation>\n"
    )


def test_kitti_has_the_exporters_columns(tmp_path: Path, data: Path) -> None:
    objects = (NewObject(7, (19.02, 4.71, 32, 32)),)
    folder = write_some(tmp_path / "chips", "KITTI_rectangles", objects=objects)
    written = (folder / "labels" / f"{STEM}.txt").read_bytes()
    real = (data / "kitti_phragmites" / "labels" / "000000000.txt").read_bytes()
    assert written == real.replace(b"  1 ", b"  7 ")


def test_coco_counts_from_one_and_its_categories_are_class_values(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "COCO_rectangles", objects=(NewObject(7, (1.256, 2, 3.5, 16)), square(2, 4, 4)))
    content = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    assert [row["file_name"] for row in content["images"]] == [f"{STEM}.tif", "000000000001.tif"]
    rows = content["annotations"]
    assert [(row["id"], row["image_id"], row["category_id"]) for row in rows] == [(1, 1, 7), (2, 1, 2), (3, 2, 7), (4, 2, 2)]
    assert (rows[0]["bbox"], rows[0]["area"]) == ([1.26, 2, 2.24, 14], 31.42)
    assert [(row["id"], row["name"]) for row in content["categories"]] == [(2, "Palm"), (7, "Reed & rush")]


def test_coco_without_objects_is_json_too(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "COCO_rectangles", objects=())
    content = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    assert (len(content["images"]), content["annotations"]) == (2, [])


def test_yolo_has_indices_and_shares(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "YOLO_rectangles", objects=(NewObject(7, (0, 4, 8, 16)),))
    assert (folder / "labels" / f"{STEM}.txt").read_text() == "1 0.25000000 0.62500000 0.50000000 0.75000000\n"
    about = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert about["names"] == {0: "Palm", 1: "Reed & rush"}


def test_instances_that_overlap_share_no_band(tmp_path: Path) -> None:
    objects = (
        square(2, 0, 0),
        square(2, 3, 3),
        square(2, 8, 8),
        square(7, 0, 0),
        NewObject(7, (0, 0, 1, 1), np.zeros((16, 16), bool)),
    )
    folder = write_some(tmp_path / "chips", "RCNN_Masks", objects=objects)
    palms, reeds = (layers(folder / "labels" / name / f"{STEM}.tif") for name in ("Palm", "Reed & rush"))
    assert (palms.shape, reeds.shape, palms.dtype) == ((2, 16, 16), (1, 16, 16), np.uint8)
    assert [np.unique(band).tolist() for band in palms] == [[0, 1, 3], [0, 2]]
    for number, (band, one) in enumerate(zip((0, 1, 0), objects, strict=False), 1):
        np.testing.assert_array_equal(palms[band] == number, one.mask)
    np.testing.assert_array_equal(reeds[0] == 1, objects[3].mask)
    totals = json.loads((folder / "esri_accumulated_stats.json").read_text(encoding="utf-8"))
    assert totals["FeatureStats"]["NumFeaturesPerClass"] == [6, 2]


@pytest.mark.parametrize(("count", "dtype"), [(255, np.uint8), (256, np.uint16), (65_536, np.uint32)])
def test_instance_numbers_fit_their_pixel_type(count: int, dtype: type) -> None:
    places = np.arange(256 * 256).reshape(256, 256)
    objects = [NewObject(1, (0, 0, 1, 1), places == place) for place in range(min(count, 256))]
    if count > 256:
        objects[-1] = NewObject(1, (0, 0, 1, 1), objects[-1].mask, identity=count)
    found = instance_bands(objects, (256, 256))
    assert (found.shape, found.dtype, found.max()) == ((1, 256, 256), dtype, count)


def test_a_chip_without_instances_gets_an_empty_raster(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "RCNN_Masks", objects=())
    assert not layers(folder / "labels" / "Palm" / f"{STEM}.tif").any()


def test_objects_keep_their_numbers_through_a_video(tmp_path: Path) -> None:
    one = square(2, 3, 3)
    objects = (NewObject(2, one.box, one.mask, identity=4), NewObject(2, one.box, one.mask, identity=2))
    folder = write_some(tmp_path / "chips", "ObjectTracking", count=1, objects=objects, frame=12)
    bands = layers(folder / "labels" / "pond" / "000000000012.png")
    assert [np.unique(band).tolist() for band in bands] == [[0, 4], [0, 2]]
    assert (folder / "images" / "000000000012.tif").is_file()


@pytest.mark.parametrize(
    ("values", "dtype"), [((1, 255), "uint8"), ((1, 256), "uint16"), ((-3, 4), "int16"), ((1, 70_000), "uint32")]
)
def test_label_rasters_have_the_smallest_type_for_all_classes(tmp_path: Path, values: tuple[int, ...], dtype: str) -> None:
    classes = tuple(ClassInfo(value=value, name=f"c{value}", color=(0, 0, 0)) for value in values)
    label = np.full((SIZE, SIZE), values[0])
    facts = facts_for("Classified_Tiles", classes=classes)
    folder = write_some(tmp_path / "chips", "Classified_Tiles", facts=facts, label=label, objects=(), values=())
    assert layers(folder / "labels" / f"{STEM}.tif").dtype == dtype


def test_labels_beyond_the_classes_are_written_all_the_same(tmp_path: Path) -> None:
    label = np.full((SIZE, SIZE), -100)
    folder = write_some(tmp_path / "chips", "Classified_Tiles", label=label)
    assert (layers(folder / "labels" / f"{STEM}.tif") == -100).all()


def test_multi_labels_are_names_and_values_where_names_would_be_misread(tmp_path: Path) -> None:
    names = {1: "Sand, dry", 2: "Palm", 3: "2", 4: "a<b>&c", 5: "Palm"}
    classes = tuple(ClassInfo(value=value, name=name, color=(0, 0, 0)) for value, name in names.items())
    facts = facts_for("MultiLabeled_Tiles", classes=classes)
    folder = write_some(tmp_path / "chips", "MultiLabeled_Tiles", facts=facts, values=(1, 2, 3, 4, 5), objects=(), label=None)
    text = (folder / "labels" / f"{STEM}.xml").read_text(encoding="utf-8")
    assert "<name>1,Palm,3,a&lt;b&gt;&amp;c,5</name>" in text


def test_multi_labels_are_values_where_names_together_are_another_name(tmp_path: Path) -> None:
    classes = tuple(ClassInfo(value=value, name=name, color=(0, 0, 0)) for value, name in ((1, "a"), (2, "b"), (3, "a,b")))
    facts = facts_for("MultiLabeled_Tiles", classes=classes)
    folder = write_some(tmp_path / "chips", "MultiLabeled_Tiles", facts=facts, values=(1, 2), objects=())
    assert "<name>1,2</name>" in (folder / "labels" / f"{STEM}.xml").read_text(encoding="utf-8")


def test_a_chip_with_none_of_the_labels_has_no_object(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "MultiLabeled_Tiles", values=())
    assert "<object>" not in (folder / "labels" / f"{STEM}.xml").read_text(encoding="utf-8")


def test_pairs_and_thematic_rasters_of_export_tiles(tmp_path: Path) -> None:
    pair = facts_for("Export_Tiles", second_bands=("NearInfrared",))
    images = (chip_for("Export_Tiles").images[0], chip_for("Export_Tiles").images[0][:1])
    folder = write_some(tmp_path / "pairs", "Export_Tiles", facts=pair, images=images)
    assert (folder / "images2" / f"{STEM}.tif").is_file()
    assert (folder / "map.txt").read_text().splitlines()[0] == f"images\\{STEM}.tif images2\\{STEM}.tif "
    thematic = facts_for("Export_Tiles", classes=CLASSES)
    folder = write_some(tmp_path / "thematic", "Export_Tiles", facts=thematic, label=chip_for("Classified_Tiles").label)
    assert layers(folder / "labels" / f"{STEM}.tif").max() == 7


def test_a_chip_without_objects_has_its_empty_mask_where_readers_look(tmp_path: Path) -> None:
    classes = (ClassInfo(value=0, name="Ground", color=(1, 1, 1)), *CLASSES)
    facts = facts_for("RCNN_Masks", classes=classes)
    with open_writer(tmp_path / "chips", "RCNN_Masks", facts) as writer:
        writer.write(replace(chip_for("RCNN_Masks"), objects=()))
    assert f"labels/Palm/{STEM}.tif" in tree(tmp_path / "chips")
    assert len(read_chips(tmp_path / "chips")) == 1


def test_objects_of_background_are_refused(tmp_path: Path) -> None:
    classes = (ClassInfo(value=0, name="Ground", color=(1, 1, 1)), *CLASSES)
    with (
        pytest.raises(OptionError, match="objects of the class values 0; the values of classes with instances must start at 1"),
        open_writer(tmp_path / "chips", "RCNN_Masks", facts_for("RCNN_Masks", classes=classes)) as writer,
    ):
        writer.write(replace(chip_for("RCNN_Masks"), objects=(square(0, 2, 2),)))
