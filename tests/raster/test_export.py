"""Chips are cut, read back, and compared with the scene that they were cut from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from raster_builders import CELL, pixel_box, texture, to_map, write_imagery, write_vector
from rasterio.enums import ColorInterp
from rasterio.features import rasterize
from rasterio.transform import Affine
from rasterio.warp import transform as warped

from chipwright import api
from chipwright.chips.chipset import Chip, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError, OptionError
from chipwright.raster.scene import CLASSES, draw_scene

BOXES = ((10, 12, 30, 40), (50, 20, 70, 35), (88, 70, 118, 100), (5, 80, 25, 95))
VALUES = (1, 3, 1, 3)
"""Four rectangles, in pixels of a scene of 120 x 110."""


@pytest.fixture
def scene(tmp_path: Path) -> dict[str, Any]:
    """A raster of 120 x 110 pixels, four rectangles of two classes, and its pixels."""
    pixels = texture(3, 110, 120)
    truth = np.zeros((110, 120), np.uint8)
    for (left, top, right, bottom), value in zip(BOXES, VALUES, strict=True):
        truth[top:bottom, left:right] = value
    fields = {"classvalue": VALUES, "classname": ["Roof", "Pond", "Roof", "Pond"], "owner": ["a", "b", "b", "c"]}
    return {
        "raster": write_imagery(tmp_path / "in" / "scene.tif", pixels),
        "labels": write_vector(tmp_path / "in" / "labels.gpkg", [pixel_box(*box) for box in BOXES], fields),
        "pixels": pixels,
        "truth": truth,
        "out": tmp_path / "out",
    }


def cut(scene: dict[str, Any], keyword: str, **options: Any) -> ChipSet:
    """Export tiles of 40 pixels, or of other sizes, side by side, and read them back."""
    settings: dict[str, Any] = sides(40) | options
    labels = settings.pop("labels", scene["labels"])
    api.export(settings.pop("raster", scene["raster"]), scene["out"], labels, metadata_format=keyword, **settings)
    return read_chips([scene["out"]])


def sides(width: int, height: int | None = None) -> dict[str, int]:
    """Return the options for tiles of a size, side by side."""
    height = height or width
    return {"tile_size_x": width, "tile_size_y": height, "stride_x": width, "stride_y": height}


def offset(chip: Chip, cell: float = CELL) -> tuple[int, int]:
    """Return the (column, row) of the scene at which an upright chip begins."""
    assert chip.georeference is not None
    left, _, _, top = chip.georeference.bounds
    x, y = to_map(0, 0)
    return round((left - x) / cell), round((y - top) / cell)


def part(array: NDArray[Any], chip: Chip) -> NDArray[Any]:
    """Return what the scene holds where a chip lies."""
    column, row = offset(chip)
    return array[..., row : row + chip.height, column : column + chip.width]


def listing(folder: Path) -> dict[str, str]:
    """Return the checksum of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# -- real scenes, there and back


def test_boxes_of_the_palms_lie_where_they_were_drawn(data: Path, tmp_path: Path) -> None:
    raster, labels = data / "scene_palm" / "palm.tif", data / "scene_palm" / "labels.geojson"
    api.export(raster, tmp_path / "out", labels, tile_size_x=448, tile_size_y=448, stride_x=200, stride_y=200)
    with rasterio.open(raster) as source:
        inverse, crs = ~source.transform, source.crs
    _, _, wkb, _ = pyogrio.raw.read(labels)
    drawn = []
    for shape in shapely.from_wkb(wkb):
        x, y = shapely.get_coordinates(shape).T
        points = [inverse * point for point in zip(*warped("EPSG:4326", crs, x, y), strict=True)]
        columns, rows = zip(*points, strict=True)
        drawn.append((min(columns), min(rows), max(columns), max(rows)))
    seen = set()
    for chip in read_chips([tmp_path / "out"]).chips:
        assert chip.georeference is not None and chip.boxes is not None
        left, _, _, top = chip.georeference.bounds
        column, row = inverse * (left, top)
        expected = {}
        for number, box in enumerate(drawn):
            moved = np.array(box) - [column, row, column, row]
            inside = np.clip(moved, 0, 448)
            if (inside[2:] - inside[:2] >= 1).all():
                expected[number] = inside
        found = chip.boxes[np.lexsort(chip.boxes.T)]
        wanted = np.array(list(expected.values()))
        np.testing.assert_allclose(found, wanted[np.lexsort(wanted.T)], atol=0.5)
        seen |= expected.keys()
    assert len(seen) == len(drawn) == 44


def test_classes_of_a_scene_come_back_exactly(data: Path, tmp_path: Path) -> None:
    raster, labels = data / "scene_naip" / "naip_20160816.tif", data / "scene_naip" / "classes.gpkg"
    done = api.export(raster, tmp_path / "out", labels, metadata_format="Classified_Tiles", output_nofeature_tiles=True)
    with rasterio.open(raster) as source:
        pixels, transform = source.read(), source.transform
    _, _, wkb, columns = pyogrio.raw.read(labels, columns=["classvalue"])
    shapes = zip(shapely.from_wkb(wkb), columns[0].tolist(), strict=True)
    truth = rasterize(shapes, pixels.shape[1:], transform=transform)
    chips, reader, back = read_chips([tmp_path / "out"]), ChipReader(None), np.full(truth.shape, 255, np.uint8)
    assert [info.name for info in chips.classes] == ["Water", "Vegetation"]
    assert len(chips) == done.chips
    for chip in chips.chips:
        assert chip.georeference is not None
        left, _, _, top = chip.georeference.bounds
        column, row = (round(at) for at in ~transform * (left, top))
        place = np.s_[row : row + 256, column : column + 256]
        np.testing.assert_array_equal(reader.image(chip), pixels[:, *place])
        back[place] = reader.label(chip)
    np.testing.assert_array_equal(back, truth)


# -- every format


@pytest.mark.parametrize("keyword", ["PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles"])
def test_rectangles_are_cut_at_the_chip_s_edge(scene: dict[str, Any], keyword: str) -> None:
    chips = cut(scene, keyword)
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Roof"), (3, "Pond")]
    for chip in chips.chips:
        column, row = offset(chip)
        assert chip.boxes is not None and chip.box_values is not None
        expected = []
        for box, value in zip(BOXES, VALUES, strict=True):
            left, top, right, bottom = np.clip(np.array(box) - [column, row, column, row], 0, 40).tolist()
            if right > left and bottom > top:
                expected.append((value, left, top, right, bottom))
        found = [(value, *box) for value, box in zip(chip.box_values.tolist(), chip.boxes.tolist(), strict=True)]
        np.testing.assert_allclose(sorted(found), sorted(expected), atol=0.01)
        np.testing.assert_array_equal(ChipReader(None).image(chip), part(scene["pixels"], chip))


@pytest.mark.parametrize("keyword", ["Classified_Tiles", "Panoptic_Segmentation", "Export_Tiles"])
def test_class_values_stand_where_the_polygons_are(scene: dict[str, Any], keyword: str) -> None:
    more = {"in_instance_data": scene["labels"]} if keyword == "Panoptic_Segmentation" else {}
    for chip in cut(scene, keyword, **more).chips:
        np.testing.assert_array_equal(ChipReader(None).label(chip), part(scene["truth"], chip))


def test_masks_number_the_objects(scene: dict[str, Any]) -> None:
    chips = cut(scene, "RCNN_Masks", output_nofeature_tiles=True)
    assert len(chips) == 9
    for chip in chips.chips:
        truth = part(scene["truth"], chip)
        for value, layers in ChipReader(None).instances(chip).items():
            np.testing.assert_array_equal(layers.max(axis=0) > 0, truth == value)


def test_chips_without_a_feature_are_left_out_unless_wanted(scene: dict[str, Any]) -> None:
    def count(**options: Any) -> int:
        return len(cut(scene, "PASCAL_VOC_rectangles", overwrite=True, **options))

    assert (count(), count(output_nofeature_tiles="ALL_TILES")) == (5, 9)


def test_labelled_tiles_have_their_feature_in_the_centre(scene: dict[str, Any]) -> None:
    chips = cut(scene, "Labeled_Tiles", **sides(20))
    assert [chip.values for chip in chips.chips] == [(1,), (3,), (1,), (3,)]
    assert [offset(chip) for chip in chips.chips] == [(10, 16), (50, 18), (93, 75), (5, 78)]


def test_labelled_tiles_as_large_as_their_feature_and_black_around_it(scene: dict[str, Any], tmp_path: Path) -> None:
    triangle = shapely.Polygon([to_map(50, 20), to_map(70, 20), to_map(50, 40)])
    labels = write_vector(tmp_path / "in" / "one.geojson", [triangle], {"classvalue": [2]})
    options = {"crop_mode": "BOUNDING_BOX", "blacken_around_feature": "BLACKEN_AROUND_FEATURE", "labels": labels}
    chip = cut(scene, "Labeled_Tiles", **options).chips[0]
    assert (chip.width, chip.height, offset(chip)) == (20, 20, (50, 20))
    image = ChipReader(None).image(chip)
    assert (image[:, 0, 0] == scene["pixels"][:, 20, 50]).all()
    assert not image[:, -1, -1].any()


def test_imagenet_sorts_chips_into_folders_of_classes(scene: dict[str, Any]) -> None:
    chips = cut(scene, "Imagenet", **sides(20))
    assert sorted(chip.images[0].parent.name for chip in chips.chips) == ["Pond", "Pond", "Roof", "Roof"]


def test_several_classes_in_one_tile(scene: dict[str, Any]) -> None:
    chips = cut(scene, "MultiLabeled_Tiles", **sides(100))
    assert {chip.values for chip in chips.chips} == {(1, 3)}


def test_captions_are_a_field_of_text(scene: dict[str, Any]) -> None:
    chips = cut(scene, "ImageCaptioning", class_value_field="Owner", **sides(20))
    assert sorted(text for chip in chips.chips for text in chip.texts) == ["a", "b", "b", "c"]


def test_a_second_date_makes_pairs_of_change(scene: dict[str, Any], tmp_path: Path) -> None:
    later = write_imagery(tmp_path / "in" / "later.tif", texture(3, 110, 120, seed=1))
    chips = cut(scene, "Classified_Tiles", in_raster2=later)
    assert chips.format == "ChangeDetection"
    chip, reader = chips.chips[0], ChipReader.of(chips)
    with rasterio.open(later) as file:
        np.testing.assert_array_equal(reader.image(chip, 1), part(file.read(), chip))


def test_pairs_of_images_need_no_labels(scene: dict[str, Any], tmp_path: Path) -> None:
    other = write_imagery(tmp_path / "in" / "other.tif", texture(1, 110, 120, "uint16", seed=1))
    chips = cut(scene, "Export_Tiles", labels=None, in_raster2=other)
    assert len(chips) == 9
    assert chips.second is not None and chips.second.dtype == "uint16"


def test_unpaired_imagery_of_another_size(scene: dict[str, Any], tmp_path: Path) -> None:
    other = write_imagery(tmp_path / "in" / "other.tif", texture(3, 40, 80, seed=1))
    api.export(
        scene["raster"],
        scene["out"],
        metadata_format="CycleGAN",
        in_raster2=other,
        tile_size_x=40,
        tile_size_y=40,
        stride_x=40,
        stride_y=40,
    )
    chips = read_chips([scene["out"]])
    assert [sum(chip.domain == domain for chip in chips.chips) for domain in (0, 1)] == [9, 2]


def test_a_time_series_keeps_its_dates(scene: dict[str, Any], tmp_path: Path) -> None:
    raster = write_imagery(tmp_path / "in" / "series.tif", texture(6, 110, 120, "uint16"))
    chips = cut(scene, "TimeSeries", raster=raster, dates="2024-01-01,2024-02-01,1900-01-01")
    assert chips.metadata["DimensionValues"] == [45292, 45323, 2]


# -- labels of other kinds


def test_labels_in_another_reference_system_and_file(scene: dict[str, Any], tmp_path: Path) -> None:
    degrees = []
    for box in BOXES:
        x, y = shapely.get_coordinates(pixel_box(*box)).T
        degrees.append(shapely.Polygon(zip(*warped("EPSG:32633", "EPSG:4326", x, y), strict=True)))
    labels = write_vector(tmp_path / "in" / "labels.geojson", degrees, {"classvalue": VALUES}, "EPSG:4326")
    for chip in cut(scene, "Classified_Tiles", labels=labels).chips:
        np.testing.assert_array_equal(ChipReader(None).label(chip), part(scene["truth"], chip))


def test_points_become_circles(scene: dict[str, Any], tmp_path: Path) -> None:
    labels = write_vector(tmp_path / "in" / "points.gpkg", [shapely.Point(to_map(20, 20))], {"value": [4]})
    with pytest.raises(OptionError, match=r"no area\. Give a buffer radius"):
        cut(scene, "PASCAL_VOC_rectangles", labels=labels)
    chip = cut(scene, "PASCAL_VOC_rectangles", labels=labels, buffer_radius=10).chips[0]
    assert chip.boxes is not None
    np.testing.assert_allclose(chip.boxes, [[15, 15, 25, 25]], atol=0.02)


def test_texts_are_numbered_in_alphabetical_order(scene: dict[str, Any], tmp_path: Path) -> None:
    fields = {"kind": ["pond", "birch", "pond", "oak"]}
    labels = write_vector(tmp_path / "in" / "text.gpkg", [pixel_box(*box) for box in BOXES], fields)
    chips = cut(scene, "PASCAL_VOC_rectangles", labels=labels, class_value_field="KIND")
    assert [(info.value, info.name) for info in chips.classes] == [(1, "birch"), (2, "oak"), (3, "pond")]


def test_features_without_a_class_field_are_of_one_class(scene: dict[str, Any], tmp_path: Path) -> None:
    labels = write_vector(tmp_path / "in" / "plain.shp", [pixel_box(*box) for box in BOXES], {"id": [7, 8, 9, 0]})
    assert [info.value for info in cut(scene, "KITTI_rectangles", labels=labels).classes] == [1]


def test_objects_that_hardly_show_are_left_out(scene: dict[str, Any]) -> None:
    chips = cut(scene, "PASCAL_VOC_rectangles", min_polygon_overlap_ratio=0.5)
    shown = sum(0 if chip.boxes is None else len(chip.boxes) for chip in chips.chips)
    assert shown == 4  # each in the chip that holds most of it


def test_a_raster_of_class_values_on_a_grid_of_its_own(scene: dict[str, Any], tmp_path: Path) -> None:
    fine = scene["truth"].repeat(2, 0).repeat(2, 1)[None]
    labels = write_imagery(tmp_path / "in" / "classes.tif", fine, cell=CELL / 2)
    with rasterio.open(labels, "r+") as file:
        file.write_colormap(1, {1: (200, 10, 10), 3: (10, 10, 200)})
    chips = cut(scene, "Classified_Tiles", labels=labels)
    assert [(info.value, info.color) for info in chips.classes] == [(1, (200, 10, 10)), (3, (10, 10, 200))]
    for chip in chips.chips:
        np.testing.assert_array_equal(ChipReader(None).label(chip), part(scene["truth"], chip))


def test_connected_areas_of_a_label_raster_are_objects(scene: dict[str, Any], tmp_path: Path) -> None:
    labels = write_imagery(tmp_path / "in" / "classes.tif", scene["truth"][None])
    chips = cut(scene, "PASCAL_VOC_rectangles", labels=labels, **sides(120, 110))
    assert chips.chips[0].boxes is not None
    assert sorted(map(tuple, chips.chips[0].boxes.tolist())) == sorted(BOXES)


def test_a_name_table_beside_a_label_raster(scene: dict[str, Any], tmp_path: Path) -> None:
    labels = write_imagery(tmp_path / "in" / "classes.tif", scene["truth"][None])
    columns = {"Value": np.array([1, 3], np.int32), "ClassName": np.array(["Roof", "Pond"], object)}
    pyogrio.raw.write(
        labels.with_name("classes.tif.vat.dbf"),
        None,
        list(columns.values()),
        np.array(list(columns), object),
        driver="ESRI Shapefile",
    )
    assert [info.name for info in cut(scene, "Classified_Tiles", labels=labels).classes] == ["Roof", "Pond"]


# -- where tiles lie


def test_turned_tiles_turn_everything(tmp_path: Path) -> None:
    pixels = np.full((1, 200, 200), 20, np.uint8)
    pixels[:, 80:100, 90:130] = 220
    raster = write_imagery(tmp_path / "in" / "scene.tif", pixels)
    labels = write_vector(tmp_path / "in" / "labels.gpkg", [pixel_box(90, 80, 130, 100)], {"classvalue": [1]})
    size = sides(90) | {"stride_x": 55, "stride_y": 55}
    api.export(raster, tmp_path / "out", labels, metadata_format="Classified_Tiles", rotation_angle=30, **size)
    chips, reader = read_chips([tmp_path / "out"]), ChipReader(None)
    turned = 0
    for chip in chips.chips:
        assert chip.georeference is not None
        turned += abs(chip.georeference.transform[1]) > 0.1
        bright = reader.image(chip)[0] > 120
        label = reader.label(chip) == 1
        assert (bright != label).mean() < 0.005
        x, y = Affine(*chip.georeference.transform) * np.argwhere(label).mean(axis=0)[::-1]
        assert shapely.distance(pixel_box(90, 80, 130, 100), shapely.Point(x, y)) < 2 * CELL
    assert turned > len(chips) / 2


def test_chips_lie_completely_in_the_mask_polygons(scene: dict[str, Any], tmp_path: Path) -> None:
    mask = write_vector(tmp_path / "in" / "mask.gpkg", [pixel_box(0, 0, 80, 80)])
    chips = cut(scene, "Classified_Tiles", in_mask_polygons=mask, output_nofeature_tiles=True)
    assert {offset(chip) for chip in chips.chips} == {(0, 0), (40, 0), (0, 40), (40, 40)}


def test_the_last_tiles_are_moved_inward(scene: dict[str, Any]) -> None:
    chips = cut(scene, "Classified_Tiles", **sides(50), output_nofeature_tiles=True)
    assert {offset(chip) for chip in chips.chips} == {(x, y) for x in (0, 50, 70) for y in (0, 50, 60)}


def test_a_coarser_cell_size(scene: dict[str, Any]) -> None:
    chips = cut(scene, "Classified_Tiles", cell_size=2 * CELL, **sides(30), output_nofeature_tiles=True)
    for chip in chips.chips:
        column, row = offset(chip, 2 * CELL)
        block = scene["pixels"][:, 2 * row : 2 * row + 60, 2 * column : 2 * column + 60]
        mean = block.reshape(3, 30, 2, 30, 2).mean(axis=(2, 4))
        assert np.abs(ChipReader(None).image(chip) - mean).max() <= 1
        fine = scene["truth"][2 * row : 2 * row + 60, 2 * column : 2 * column + 60]
        assert (ChipReader(None).label(chip) == fine[1::2, 1::2]).mean() > 0.9


# -- several rasters


def test_a_mosaic_has_no_seam(scene: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "in" / "parts"
    write_imagery(folder / "left.tif", scene["pixels"][:, :, :70])
    write_imagery(folder / "right.tif", scene["pixels"][:, :, 60:], shift=(60, 0))
    for chip in cut(scene, "Classified_Tiles", raster=folder, output_nofeature_tiles=True).chips:
        np.testing.assert_array_equal(ChipReader(None).image(chip), part(scene["pixels"], chip))
        np.testing.assert_array_equal(ChipReader(None).label(chip), part(scene["truth"], chip))


def test_holes_of_a_mosaic_hold_no_data(scene: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "in" / "parts"
    write_imagery(folder / "a.tif", scene["pixels"][:, :60, :60])
    write_imagery(folder / "b.tif", scene["pixels"][:, 60:, 60:], shift=(60, 60))
    chips = cut(scene, "Export_Tiles", raster=folder, labels=None)
    reader, inside = ChipReader.of(chips), np.zeros((110, 120), bool)
    inside[:60, :60] = inside[60:, 60:] = True
    for chip in chips.chips:
        valid, expected = reader.valid(chip), part(inside, chip)
        np.testing.assert_array_equal(np.ones_like(expected) if valid is None else valid, expected)
        np.testing.assert_array_equal(reader.image(chip)[:, expected], part(scene["pixels"], chip)[:, expected])


def test_rasters_one_after_the_other(scene: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "in" / "parts"
    write_imagery(folder / "a.tif", scene["pixels"][:, :, :60])
    write_imagery(folder / "b.tif", scene["pixels"][:, :, 60:], shift=(60, 0))
    write_imagery(folder / "far.tif", scene["pixels"], shift=(1000, 0))
    chips = cut(scene, "Classified_Tiles", raster=folder, processing_mode="PROCESS_ITEMS_SEPARATELY")
    assert {offset(chip)[0] for chip in chips.chips} == {0, 20, 60, 80}
    for chip in chips.chips:
        np.testing.assert_array_equal(ChipReader(None).label(chip), part(scene["truth"], chip))


# -- imagery of every kind


def test_pictures_without_a_place_and_labels_drawn_below_zero(tmp_path: Path) -> None:
    pixels = texture(3, 60, 80)
    (tmp_path / "in").mkdir()
    with rasterio.open(tmp_path / "in" / "photo.png", "w", driver="PNG", count=3, height=60, width=80, dtype="uint8") as file:
        file.write(pixels)
    labels = write_vector(tmp_path / "in" / "labels.geojson", [shapely.box(10, -30, 25, -20)], {"classvalue": [1]}, None)
    api.export(
        tmp_path / "in" / "photo.png", tmp_path / "out", labels, tile_size_x=40, tile_size_y=40, stride_x=40, stride_y=40
    )
    chip = read_chips([tmp_path / "out"]).chips[0]
    assert chip.boxes is not None
    assert chip.boxes.tolist() == [[10, 20, 25, 30]]


def test_a_transparent_band_is_a_mask_and_near_infrared_is_not(scene: dict[str, Any], tmp_path: Path) -> None:
    alpha = np.full((1, 110, 120), 255, np.uint8)
    alpha[:, :, 100:] = 0
    clear = write_imagery(tmp_path / "in" / "rgba.tif", np.concatenate([scene["pixels"], alpha]))
    four = write_imagery(tmp_path / "in" / "rgbn.tif", texture(4, 110, 120))
    for path in (clear, four):
        with rasterio.open(path, "r+") as file:
            file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    chips = cut(scene, "Classified_Tiles", raster=clear)
    last = next(chip for chip in chips.chips if offset(chip) == (80, 70))
    valid = ChipReader.of(chips).valid(last)
    assert len(chips.bands) == 3 and valid is not None
    assert valid[:, :20].all() and not valid[:, 20:].any()
    assert len(cut(scene, "Classified_Tiles", raster=four, overwrite=True).bands) == 4


def test_tiles_of_nodata_alone_are_left_out(scene: dict[str, Any], tmp_path: Path) -> None:
    pixels = scene["pixels"].copy()
    pixels[:, :40, :40] = 0
    raster = write_imagery(tmp_path / "in" / "holes.tif", pixels, nodata=0)
    chips = cut(scene, "Classified_Tiles", raster=raster, output_nofeature_tiles=True)
    assert (0, 0) not in {offset(chip) for chip in chips.chips}
    assert chips.nodata == 0


@pytest.mark.parametrize(("chip_format", "ending"), [("PNG", ".png"), ("JPEG", ".jpg"), ("MRF", ".mrf")])
def test_chip_formats(scene: dict[str, Any], chip_format: str, ending: str) -> None:
    chips = cut(scene, "Classified_Tiles", image_chip_format=chip_format.lower(), start_index=7)
    assert chips.chips[0].images[0].name == f"000000000007{ending}"


def test_decimal_pixels_of_many_bands(scene: dict[str, Any], tmp_path: Path) -> None:
    pixels = texture(13, 110, 120).astype("float32") / 7
    raster = write_imagery(tmp_path / "in" / "reflectance.tif", pixels)
    chip = cut(scene, "RCNN_Masks", raster=raster).chips[0]
    np.testing.assert_array_equal(ChipReader(None).image(chip), part(pixels, chip))


def test_the_drawn_scene_gives_its_own_colours(tmp_path: Path) -> None:
    scene = draw_scene(tmp_path / "scene", size=300, seed=1)
    api.export(scene.image, tmp_path / "out", scene.labels, metadata_format="Classified_Tiles", tile_size_x=96, tile_size_y=96)
    chips = read_chips([tmp_path / "out"])
    assert list(chips.classes) == [info for info in CLASSES if info in chips.classes]


# -- training data into another format


def test_training_data_are_converted(scene: dict[str, Any]) -> None:
    before = cut(scene, "PASCAL_VOC_rectangles")
    out = scene["out"].with_name("coco")
    done = api.export(scene["out"], out, metadata_format="COCO_rectangles")
    after = read_chips([out])
    assert (done.chips, after.format) == (len(before), "COCO_rectangles")
    with pytest.raises(OptionError, match="tile_size_x means nothing"):
        api.export(scene["out"], out, metadata_format="COCO_rectangles", tile_size_x=64)


# -- nothing lost, nothing half-written


def test_inputs_stay_as_they_are(scene: dict[str, Any]) -> None:
    before = listing(scene["raster"].parent)
    cut(scene, "RCNN_Masks", rotation_angle=45)
    assert listing(scene["raster"].parent) == before


def test_a_failure_leaves_nothing(scene: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwright.raster.imagery import Imagery

    reads = iter(range(10**6))
    real = Imagery.read

    def broken(self: Imagery, tile: Any) -> Any:
        if next(reads) > 3:
            raise DataError("the disk is gone")
        return real(self, tile)

    monkeypatch.setattr(Imagery, "read", broken)
    with pytest.raises(DataError, match="the disk is gone"):
        cut(scene, "PASCAL_VOC_rectangles")
    assert [path.name for path in scene["out"].parent.iterdir()] == ["in"]


def refusals() -> Iterator[tuple[dict[str, Any], type[Exception], str]]:
    """Yield options, the error that they are answered with, and words of its sentence."""
    yield {"labels": None}, OptionError, "needs labels"
    yield {"metadata_format": "PASCAL"}, OptionError, "metadata_format is 'PASCAL'; expected one of"
    yield {"metadata_format": "CycleGAN"}, OptionError, "needs a second raster"
    yield {"metadata_format": "Panoptic_Segmentation"}, OptionError, "needs instance data"
    yield {"metadata_format": "ObjectTracking"}, OptionError, "frames of videos"
    yield {"metadata_format": "TimeSeries"}, OptionError, "needs the dates"
    yield {"crop_mode": "BOUNDING_BOX"}, OptionError, "cuts a chip for each feature"
    yield {"tile_size_x": 0}, OptionError, "tile_size_x is 0; expected a whole number"
    yield {"tile_size_x": 500, "tile_size_y": 500}, DataError, "120 x 110 pixels, less than a tile of 500 x 500"
    yield {"class_value_field": "ownr"}, OptionError, "no field 'ownr'. Did you mean owner?"
    yield {"raster": "nowhere.tif"}, DataError, "no file or folder nowhere.tif"
    yield {"labels": "nowhere.gpkg"}, DataError, "no file nowhere.gpkg"
    yield {"tile_size": 5}, OptionError, "no option 'tile_size'"
    yield {"image_chip_format": "BMP"}, OptionError, "image_chip_format is 'BMP'"


@pytest.mark.parametrize(("options", "kind", "words"), refusals())
def test_what_cannot_be_exported_is_refused(
    scene: dict[str, Any], options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    options = dict(options)
    keyword = options.pop("metadata_format", "PASCAL_VOC_rectangles")
    with pytest.raises(kind, match=re.escape(words)):
        cut(scene, keyword, **options)
    assert not scene["out"].exists()


def test_labels_of_another_place(scene: dict[str, Any], tmp_path: Path) -> None:
    labels = write_vector(tmp_path / "in" / "far.gpkg", [pixel_box(5000, 5000, 5020, 5020)], {"classvalue": [1]})
    with pytest.raises(DataError, match=r"None of the 1 features in far\.gpkg lies on the raster"):
        cut(scene, "PASCAL_VOC_rectangles", labels=labels)


def test_layers_are_named(scene: dict[str, Any], tmp_path: Path) -> None:
    labels = tmp_path / "in" / "two.gpkg"
    write_vector(labels, [pixel_box(*BOXES[0])], {"classvalue": [1]}, layer="roofs")
    write_vector(labels, [pixel_box(*BOXES[1])], {"classvalue": [3]}, layer="ponds", append=True)
    with pytest.raises(DataError, match=r"layers roofs and ponds. Name one: two.gpkg\|layername=roofs"):
        cut(scene, "PASCAL_VOC_rectangles", labels=labels)
    chips = cut(scene, "PASCAL_VOC_rectangles", labels=f"{labels}|layername=ponds")
    assert [info.value for info in chips.classes] == [3]


def test_imagery_in_place_of_labels(scene: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 3 bands; labels have one"):
        cut(scene, "Classified_Tiles", labels=scene["raster"])
    many = write_imagery(tmp_path / "in" / "many.tif", np.arange(110 * 120, dtype="uint16").reshape(1, 110, 120))
    with pytest.raises(DataError, match="distinct values: imagery"):
        cut(scene, "Classified_Tiles", labels=many)


def test_rasters_that_do_not_go_together(scene: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "in" / "parts"
    write_imagery(folder / "a.tif", texture(3, 60, 60))
    write_imagery(folder / "b.tif", texture(4, 60, 60), shift=(60, 0))
    for mode in ("PROCESS_AS_MOSAICKED_IMAGE", "PROCESS_ITEMS_SEPARATELY"):
        with pytest.raises(DataError, match=r"do not go together: bands 4 in b\.tif, 3 in a\.tif"):
            cut(scene, "Export_Tiles", raster=folder, labels=None, processing_mode=mode)


def test_a_file_s_own_mask_lasts_at_another_cell_size(scene: dict[str, Any]) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(scene["raster"], "r+") as file:
        mask = np.full((110, 120), 255, np.uint8)
        mask[:, 60:] = 0
        file.write_mask(mask)
    chips = cut(scene, "Export_Tiles", labels=None, cell_size=2 * CELL, **sides(60, 55))
    valid = ChipReader.of(chips).valid(chips.chips[0])
    assert valid is not None
    assert valid[:, :29].all() and not valid[:, 31:].any()
