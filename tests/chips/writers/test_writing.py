from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from new_chips import CLASSES, chip_for, facts_for, picture, square, write_some

from chipwright.chips.chipset import ClassInfo
from chipwright.chips.formats.table import FORMATS
from chipwright.chips.writers.new_chip import NewObject
from chipwright.chips.writers.table import WRITERS
from chipwright.chips.writers.writing import open_writer
from chipwright.errors import DataError, OptionError


def test_every_format_has_a_writer() -> None:
    assert set(WRITERS) == set(FORMATS)


@pytest.mark.parametrize("keyword", WRITERS)
def test_an_export_is_complete(tmp_path: Path, keyword: str) -> None:
    folder = write_some(tmp_path / "chips", keyword)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chips"]
    roots = [folder / "A", folder / "B"] if keyword == "CycleGAN" else [folder]
    for root in roots:
        totals = json.loads((root / "esri_accumulated_stats.json").read_text(encoding="utf-8"))
        emd = json.loads((root / "esri_model_definition.emd").read_text(encoding="utf-8"))
        rows = (root / "map.txt").read_text(encoding="utf-8").splitlines()
        assert totals["MetaDataMode"] == emd["MetaDataMode"] == (FORMATS[keyword].mode or keyword)
        assert totals["NumTiles"] == len(rows) == 2
        assert (root / "stats.txt").read_text(encoding="utf-8").startswith("images = 2 *3*16*16\n")
        for row in rows:
            assert all((root / path.replace("\\", "/")).is_file() for path in re.findall(r"\S.*?\.\w{3}(?= )", row))
        assert not list(root.rglob(".*"))


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("keyword", ["Classified_Tiles", "COCO_rectangles", "CycleGAN"])
def test_an_interruption_leaves_nothing(tmp_path: Path, keyword: str, fault: type[BaseException]) -> None:
    with pytest.raises(fault), open_writer(tmp_path / "new" / "chips", keyword, facts_for(keyword)) as writer:
        writer.write(chip_for(keyword))
        raise fault
    assert not list(tmp_path.iterdir())


def test_a_chip_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="9"):
        write_some(tmp_path / "chips", "PASCAL_VOC_rectangles", objects=(square(9, 0, 0),))
    assert not list(tmp_path.iterdir())


def test_no_chip_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no chip to write"):
        write_some(tmp_path / "chips", "Classified_Tiles", count=0)
    with (
        pytest.raises(DataError, match="no chip to write"),
        open_writer(tmp_path / "chips", "CycleGAN", facts_for("CycleGAN")) as writer,
    ):
        writer.write(chip_for("CycleGAN", domain=1))
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "chips").mkdir()
    assert (write_some(tmp_path / "chips", "Classified_Tiles") / "map.txt").is_file()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OptionError, match=r"is not empty\. Name another folder"):
        write_some(tmp_path, "Classified_Tiles")
    with pytest.raises(OptionError, match="is a file"):
        write_some(tmp_path / "note.txt", "Classified_Tiles")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def overwrite(folder: Path, fault: Exception | None = None) -> None:
    with open_writer(folder, "CycleGAN", facts_for("CycleGAN"), overwrite=True) as writer:
        for domain in range(2):
            writer.write(chip_for("CycleGAN", domain=domain))
        if fault:
            raise fault


def test_overwriting_replaces_an_export_of_ours(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "Classified_Tiles")
    with pytest.raises(RuntimeError):
        overwrite(folder, RuntimeError())
    assert (folder / "labels" / "000000000001.tif").is_file()
    overwrite(folder)
    overwrite(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["A", "B"]
    assert [path.name for path in tmp_path.iterdir()] == ["chips"]


def test_overwriting_deletes_nothing_else(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "Classified_Tiles")
    (folder / "models").mkdir()
    with pytest.raises(OptionError, match=r"holds more than an export \(models\)"):
        overwrite(folder)
    (folder / "models").rmdir()
    emd = folder / "esri_model_definition.emd"
    content = json.loads(emd.read_text(encoding="utf-8"))
    del content["WrittenBy"]  # as if the reference had written it
    emd.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(OptionError, match="no export that chipwright wrote"):
        overwrite(folder)
    assert (folder / "labels" / "000000000001.tif").is_file()


def test_an_unknown_keyword_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean PASCAL_VOC_rectangles"):
        write_some(tmp_path / "chips", "PASCAL_VOC_rectangle", facts=facts_for("PASCAL_VOC_rectangles"))


def test_chips_are_numbered_from_the_start_index_or_keep_their_names(tmp_path: Path) -> None:
    facts = facts_for("Labeled_Tiles", start_index=41)
    with open_writer(tmp_path / "chips", "Labeled_Tiles", facts) as writer:
        names = [writer.write(chip_for("Labeled_Tiles", name=name)) for name in (None, "my.tile", None)]
    assert names == ["000000000041", "my.tile", "000000000043"]
    assert (tmp_path / "chips" / "images" / "my.tile.tif").is_file()
    totals = json.loads((tmp_path / "chips" / "esri_accumulated_stats.json").read_text(encoding="utf-8"))
    assert totals["NextTileIndex"] == 44


def test_names_that_are_taken_or_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"Two chips would have the name one\.tif"):
        write_some(tmp_path / "chips", "Labeled_Tiles", name="one")
    for name in ("../one", "..", "a\\b", "C:one", ""):
        with pytest.raises(ValueError, match="is no file stem"):
            write_some(tmp_path / "chips", "Labeled_Tiles", name=name)


def test_chips_that_contradict_the_facts_are_refused(tmp_path: Path) -> None:
    for changes, words in (
        ({"images": (picture(bands=4),)}, r"images of \[4\] bands"),
        ({"images": (picture(), picture())}, r"images of \[3, 3\] bands"),
        ({"label": np.zeros((8, 16), int)}, "differ in size"),
        ({"domain": 1}, "no domain 1"),
    ):
        with pytest.raises(ValueError, match=words):
            write_some(tmp_path / "chips", "Classified_Tiles", **changes)


def test_what_a_format_needs_is_asked_for(tmp_path: Path) -> None:
    boxes = (square(2, 1, 1), NewObject(2, (1, 1, 4, 4)))
    for keyword, changes, words in (
        ("Labeled_Tiles", {"values": (2, 7)}, "one class each; chip 000000000000 has 2"),
        ("Imagenet", {"values": ()}, "has none"),
        ("Classified_Tiles", {"label": None}, "rasters of class values; chip 000000000000 has none"),
        ("RCNN_Masks", {"objects": boxes}, "outlines of objects; chip 000000000000"),
        ("ImageCaptioning", {"texts": ()}, "at least one caption"),
        ("ObjectTracking", {"sequence": None}, "belong to a video"),
        ("ObjectTracking", {"sequence": "a/b"}, "belong to a video"),
    ):
        with pytest.raises(OptionError, match=words):
            write_some(tmp_path / "chips", keyword, **changes)


def test_a_time_series_needs_its_dates(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs the dates"):
        write_some(tmp_path / "chips", "TimeSeries", facts=facts_for("TimeSeries", metadata={}))
    with pytest.raises(OptionError, match="3 bands of a time series are not a multiple of its 2 dates"):
        write_some(tmp_path / "chips", "TimeSeries", facts=facts_for("TimeSeries", metadata={"DimensionValues": [1, 2]}))
    assert not list(tmp_path.iterdir())


def test_folders_of_classes_that_cannot_be_folders_are_their_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = (CLASSES[0], ClassInfo(value=7, name="a/b?", color=(1, 2, 3)))
    folder = write_some(tmp_path / "chips", "RCNN_Masks", facts=facts_for("RCNN_Masks", classes=classes))
    assert sorted(path.name for path in (folder / "labels").iterdir()) == ["7", "Palm"]
    assert "'a/b?' (7). The folders of these classes are called by their values" in capsys.readouterr().err
