"""Metadata in the words, order, spacing and number style of real exports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from new_chips import chip_for, facts_for, picture, place, square, write_some

from chipwright.chips.writers.convert import convert
from chipwright.chips.writers.exporter_json import exporter_json
from chipwright.chips.writers.new_chip import ExportFacts
from chipwright.chips.writers.writing import open_writer

EMD = "esri_model_definition.emd"
TOTALS = "esri_accumulated_stats.json"


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["voc_palm", "kitti_phragmites"])
@pytest.mark.parametrize("file", [EMD, TOTALS])
def test_json_is_spelled_as_in_real_exports(data: Path, name: str, file: str) -> None:
    text = (data / name / file).read_bytes().decode()
    assert exporter_json(json.loads(text)) == text


def test_json_keeps_accents_and_refuses_what_is_no_number() -> None:
    assert exporter_json({"é": [], "n": 0.1}) == '{\n  "é" : [\n  ],\n  "n" : 0.10000000000000001\n}'
    with pytest.raises(ValueError, match="cannot be written into JSON"):
        exporter_json({"n": float("nan")})


def test_an_export_in_the_3x_dialect_is_written_alike(data: Path, tmp_path: Path) -> None:
    real, ours = data / "classified_naip4", tmp_path / "chips"
    convert(real, ours, "Classified_Tiles")
    for name in ("map.txt", "stats.txt"):
        assert (ours / name).read_bytes() == (real / name).read_bytes()
    for name in (EMD, TOTALS):
        texts = [(folder / name).read_text(encoding="utf-8") for folder in (real, ours)]
        texts[1] = re.sub(r',\n  "WrittenBy" : "chipwright [^"]*"', "", texts[1])
        numbers = [np.array(re.findall(r"-?\d[\d.e+-]*", text), float) for text in texts]
        np.testing.assert_allclose(*numbers, rtol=1e-14)  # sums differ in their last digit with the order of the pixels
        shapes = [re.sub(r"\d\.\d{9,}", "decimal", re.sub(r"\d+(?=\.\d{7,})", "0", text)) for text in texts]
        assert re.sub(r"\d", "", shapes[0]) == re.sub(r"\d", "", shapes[1])


def test_a_table_of_features_has_the_columns_of_real_exports(data: Path, tmp_path: Path) -> None:
    real = (data / "kitti_phragmites" / "stats.txt").read_text(encoding="utf-8").splitlines()
    ours = (write_some(tmp_path / "chips", "KITTI_rectangles") / "stats.txt").read_text(encoding="utf-8").splitlines()
    assert ours == [
        "images = 2 *3*16*16",
        "",
        "Class feature statistics:",
        "features = 6",
        "features per image = [min = 3, mean = 3.00, max = 3]",
        "classes = 2",
        # 3.x has a wider column of names than 2.x, and is alike otherwise
        real[4].replace("cls name", "cls name" + " " * 20),
        "Palm                                              2          2          4       25.00       25.00       25.00",
        "Reed & rush                                       7          2          2       25.00       25.00       25.00",
    ]
    assert len(ours[-1]) == len(real[-1]) + 20
    assert re.sub(r"\d+", "", ours[4]) == re.sub(r"\d+", "", real[2])
    assert real[0].split("*")[0].split(" = ")[0] == "images"


def test_lines_end_as_in_real_exports(data: Path, tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "KITTI_rectangles")
    for root in (data / "kitti_phragmites", folder):
        for name in ("map.txt", "stats.txt", "labels/000000000.txt" if root != folder else "labels/000000000000.txt"):
            content = (root / name).read_bytes()
            assert content.count(b"\n") == content.count(b"\r\n") > 0
        for name in (EMD, TOTALS):
            content = (root / name).read_bytes()
            assert b"\r" not in content
            assert content.endswith(b"}")


def test_rows_of_the_map_have_the_exporters_blanks(data: Path, tmp_path: Path) -> None:
    row = (data / "voc_palm" / "map.txt").read_text(encoding="utf-8").splitlines()[0]
    facts = facts_for("PASCAL_VOC_rectangles", start_index=282, chip_format="JPEG")
    folder = write_some(tmp_path / "chips", "PASCAL_VOC_rectangles", facts=facts)
    ours = (folder / "map.txt").read_text(encoding="utf-8").splitlines()[0]
    assert ours == row.replace("000000282", "000000000282")


def test_the_definition_says_what_the_facts_say(tmp_path: Path) -> None:
    facts = facts_for(
        "Panoptic_Segmentation",
        cell_size=(2, 2),
        wkid=32633,
        image_space="PIXEL_SPACE",
        metadata={"CropTileMode": "Variable_Size", "BlackenAroundFeature": True, "Note": "ours"},
    )
    emd = load(write_some(tmp_path / "chips", "Panoptic_Segmentation", facts=facts) / EMD)
    assert list(emd)[12:24] == [
        "MetaDataMode",
        "BlackenAroundFeature",
        "IsMultidimensional",
        "CropTileMode",
        "ImageSpaceUsed",
        "Note",
        "Panoptic_Segmentation_Instance_Classes",
        "MinCellSize",
        "MaxCellSize",
        "InputRastersProps",
        "AllTilesStats",
        "Classes",
    ]
    assert (emd["CropTileMode"], emd["BlackenAroundFeature"], emd["ImageSpaceUsed"]) == ("Variable_Size", True, "PIXEL_SPACE")
    assert emd["MinCellSize"] == {"x": 2, "y": 2, "spatialReference": {"wkid": 32633, "latestWkid": 32633}}
    assert emd["Panoptic_Segmentation_Instance_Classes"] == [{"Value": 2, "Name": "Palm"}]
    assert emd["Classes"][0] == {"Value": 2, "Name": "Palm", "Color": [10, 200, 30]}


def test_formats_without_classes_list_none(tmp_path: Path) -> None:
    assert "Classes" not in load(write_some(tmp_path / "tiles", "Export_Tiles") / EMD)
    captions = load(write_some(tmp_path / "captions", "ImageCaptioning") / EMD)
    assert (captions["Classes"], captions["SingleLabelFieldFound"]) == ([], "Caption")


def test_dates_of_a_time_series(tmp_path: Path) -> None:
    facts = facts_for("TimeSeries", bands=("NDVI", "CLP") * 3)
    folder = write_some(tmp_path / "chips", "TimeSeries", facts=facts, images=(picture(bands=6),))
    emd, totals = load(folder / EMD), load(folder / TOTALS)
    assert (emd["IsMultidimensional"], emd["DimensionValues"]) == (True, [42000, 42010, 42020])
    assert (emd["InputRastersProps"]["BandNames"], totals["NumBands"]) == (["NDVI", "CLP"], 6)
    assert [row["BandName"] for row in emd["AllTilesStats"]] == ["NDVI", "CLP"] * 3


def test_areas_are_in_map_units_and_empty_chips_count_apart(tmp_path: Path) -> None:
    with open_writer(tmp_path / "chips", "RCNN_Masks", facts_for("RCNN_Masks")) as writer:
        writer.write(chip_for("RCNN_Masks", objects=(square(2, 0, 0, 3), square(2, 4, 4, 5)), georeference=place()))
        writer.write(chip_for("RCNN_Masks", objects=(), georeference=place(1)))
    stats = load(tmp_path / "chips" / TOTALS)["FeatureStats"]
    assert stats["FeatureAreaPerClass"][0] == {"Min": 36, "Max": 100, "Mean": 68, "Sum": 136, "Count": 2}
    assert (stats["NumImagesTotal"], stats["NumImagesPerClass"]) == (1, [1, 0])
    assert stats["NumFeaturesPerImage"] == {"Min": 2, "Max": 2, "Mean": 2, "Sum": 2, "Count": 1}


def test_pixels_are_counted_in_all_chips(tmp_path: Path) -> None:
    with open_writer(tmp_path / "chips", "Classified_Tiles", facts_for("Classified_Tiles")) as writer:
        for rows in (2, 0):
            label = np.zeros((16, 16), np.uint8)
            label[:rows] = 7
            label[15] = 99  # no class
            writer.write(chip_for("Classified_Tiles", label=label))
    stats = load(tmp_path / "chips" / TOTALS)["ClassPixelStats"]
    assert (stats["NumImagesPerClass"], stats["NumPixelsPerClass"], stats["NumImagesTotal"]) == ([0, 1], [0, 32], 2)
    assert stats["PixelsPerClass"][1] == {"Min": 0, "Max": 32, "Mean": 16, "Sum": 32, "Count": 2}
    assert stats["NumClassesPerImage"] == {"Min": 0, "Max": 1, "Mean": 0.5, "Sum": 1, "Count": 2}


def band_states(folder: Path, facts: ExportFacts, **changes: object) -> dict:
    write_some(folder, "Export_Tiles", facts=facts, **changes)
    return load(folder / TOTALS)


def test_nodata_nan_and_masks_are_left_out_of_statistics(tmp_path: Path) -> None:
    image = picture(dtype="float32")
    image[:, :2] = -9999
    image[1, 3, 3] = np.nan
    mask = np.ones((16, 16), bool)
    mask[10:] = False
    totals = band_states(
        tmp_path / "chips", facts_for("Export_Tiles", nodata=-9999), images=(image,), valid=(mask,), label=None
    )
    mask[:2] = mask[3, 3] = False
    for band, state in zip(image[:, mask].astype(float), totals["BandStatsState"], strict=True):
        assert (state["Min"], state["Max"], state["Num"]) == (band.min(), band.max(), 2 * band.size)
        assert state["M1"] == pytest.approx(band.mean())
        assert state["M2"] == pytest.approx(2 * ((band - band.mean()) ** 2).sum())


def test_second_images_have_figures_of_their_own(tmp_path: Path) -> None:
    second = np.full((1, 16, 16), 5, np.uint16)
    second[0, 0] = 9
    facts = facts_for("Export_Tiles", second_bands=("Thermal",), second_nodata=9)
    totals = band_states(tmp_path / "chips", facts, images=(picture(), second))
    assert (totals["BandStatsState2"][0]["Max"], totals["BandStatsState2"][0]["Num"]) == (5, 2 * 240)
    emd = load(tmp_path / "chips" / EMD)
    assert emd["InputRastersProps2"]["BandNames"] == ["Thermal"]
    assert emd["AllTilesStats2"] == [{"BandName": "Thermal", "Min": 5, "Max": 5, "Mean": 5, "StdDev": 0}]
