from __future__ import annotations

import base64
import html
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chipwright.report import write_report
from chipwright.report.page import embedded
from chipwright.report.record import RunRecord

Maker = Callable[..., RunRecord]
HOSTILE = '<script>alert("x")</script>&{{ 7 * 7 }}'


class Page(HTMLParser):
    """What a browser would find: texts, tags, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace("\u00a0", " ").split())


def written(folder: Path, record: RunRecord) -> tuple[Page, dict]:
    write_report(folder, record)
    return read(folder)


def read(folder: Path) -> tuple[Page, dict]:
    return Page(source(folder)), json.loads((folder / "model_metrics.json").read_text(encoding="utf-8"))


def source(folder: Path) -> str:
    return (folder / "model_metrics.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, pixels: Maker, detection: Maker, tiles: Maker) -> dict[str, Path]:
    """The three reports, written once."""
    folder = tmp_path_factory.mktemp("reports")
    for kind, maker in (("pixels", pixels), ("detection", detection), ("tiles", tiles)):
        write_report(folder / kind, maker())
    return {kind: folder / kind for kind in ("pixels", "detection", "tiles")}


def test_a_training_run_leaves_page_numbers_and_pictures(reports: dict[str, Path]) -> None:
    folder = reports["pixels"]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "model_metrics.html",
        "model_metrics.json",
        "ModelCharacteristics/loss_graph.png",
        "ModelCharacteristics/show_results.png",
        "ModelCharacteristics/confusion_matrix.png",
    }
    for path in folder.glob("*/*.png"):
        assert len(Image.open(path).convert("RGB").getcolors(1 << 24)) > 60


def test_page_says_what_the_json_says(reports: dict[str, Path], pixels: Maker) -> None:
    record = pixels()
    page, numbers = read(reports["pixels"])
    assert numbers["metrics"] == record.evaluation.scalars
    for figure in ("87.1 %", "64.7 %", "77.3 %", "0.481", "32.2 %", "100,000", "U-Net (pixel classification)", "4 March 2025"):
        assert figure in page.text
    for word in (*record.data.folders, *record.data.warnings, record.data.split, *record.log, *record.evaluation.notes):
        assert word in page.text
    for row in record.data.balance:
        assert f"{row['class']} {row['value']} {row['training']:,} {row['validation']:,}" in page.text


def test_exact_figures_stand_in_the_tooltips(reports: dict[str, Path]) -> None:
    assert 'title="0.871234"' in source(reports["pixels"])


@pytest.mark.parametrize("kind", ["pixels", "detection", "tiles"])
def test_page_stands_alone(reports: dict[str, Path], kind: str) -> None:
    page, _ = read(reports[kind])
    assert "http" not in re.sub(r"http-equiv|base64,[^\"]*", "", source(reports[kind]))
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_links_within_the_page_lead_somewhere(reports: dict[str, Path]) -> None:
    text = source(reports["pixels"])
    links = [address for address in Page(text).addresses if address.startswith("#")]
    assert len(links) == 6
    assert all(f'id="{link[1:]}"' in text for link in links)


def test_hostile_names_are_shown_as_text(tmp_path: Path, pixels: Maker) -> None:
    record = pixels(samples=[], range_test=None, name=HOSTILE, log=[HOSTILE], settings={HOSTILE: HOSTILE})
    names = [HOSTILE, *record.evaluation.confusion[0][1:]]
    rows = [row | {"class": name} for row, name in zip(record.evaluation.per_class, names, strict=True)]
    evaluation = replace(record.evaluation, per_class=rows, confusion=(names, record.evaluation.confusion[1]), notes=[HOSTILE])
    data = replace(
        record.data,
        folders=[HOSTILE], warnings=[HOSTILE], dropped={HOSTILE: 1}, split=HOSTILE,
        balance=[{"class": HOSTILE, "value": 1, "training": 5, "validation": 1}],
    )  # fmt: skip
    page, numbers = written(tmp_path, replace(record, evaluation=evaluation, data=data))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) > 9
    assert html.escape("<script>") in source(tmp_path)
    assert numbers["name"] == HOSTILE


def test_an_evaluation_has_no_training_in_it(reports: dict[str, Path]) -> None:
    page, numbers = read(reports["tiles"])
    assert "Evaluation report" in page.text
    assert "epoch" not in page.text.lower()
    assert "held back" not in page.text
    assert numbers["history"] == [] and numbers["best_epoch"] is None
    assert not (reports["tiles"] / "ModelCharacteristics" / "loss_graph.png").exists()


def test_what_is_no_number_is_a_dash_and_null(tmp_path: Path, detection: Maker) -> None:
    record = detection(samples=[])
    record.evaluation.scalars["recall"] = math.nan
    record.history[1]["valid_loss"] = math.nan
    page, numbers = written(tmp_path, record)
    assert numbers["metrics"]["recall"] is None
    assert numbers["history"][1]["valid_loss"] is None
    assert numbers["per_class"][1]["average_precision"] is None
    assert "Shrub –" in page.text
    assert "nan" not in re.sub(r"base64,[^\"]*", "", source(tmp_path)).lower()


def test_a_run_of_one_epoch(tmp_path: Path, pixels: Maker) -> None:
    record = pixels()
    page, _ = written(tmp_path, replace(record, history=record.history[:1], best_epoch=1, range_test=None, samples=[]))
    assert "Training ran for one epoch." in page.text


def test_thirty_classes(tmp_path: Path, pixels: Maker) -> None:
    record = pixels()
    names = [f"Class {index}" for index in range(30)]
    evaluation = replace(
        record.evaluation,
        per_class=[{"class": name, "iou": index / 29} for index, name in enumerate(names)],
        confusion=(names, np.diag(np.arange(30) * 4321 + 1).tolist()),
    )
    page, numbers = written(tmp_path, replace(record, evaluation=evaluation, samples=[], history=[]))
    assert len(numbers["confusion_matrix"]["counts"]) == 30
    assert f"{numbers['confusion_matrix']['counts'][29][29]:,}" in page.text


def test_detection_shows_its_curves(reports: dict[str, Path]) -> None:
    page, numbers = read(reports["detection"])
    assert numbers["curves"]["Palm"]["y"][0] == 1.0
    assert "Curves" in page.text
    assert "precision over recall" in page.text
    assert not (reports["detection"] / "ModelCharacteristics" / "confusion_matrix.png").exists()


def test_curves_without_scores_are_not_explained_as_such(tmp_path: Path, pixels: Maker) -> None:
    course = {"x": [0, 10], "y": [0.2, 0.3], "low": [0.1, 0.2], "high": [0.3, 0.4], "x_label": "days", "y_label": "NDVI"}
    record = pixels()
    page, numbers = written(tmp_path, replace(record, evaluation=replace(record.evaluation, curves={"NDVI: Palm": course})))
    assert "one standard deviation to either side" in page.text
    assert "precision over recall" not in page.text
    assert numbers["curves"]["NDVI: Palm"]["high"] == [0.3, 0.4]


def test_pictures_of_an_earlier_report_do_not_stay(tmp_path: Path, pixels: Maker, tiles: Maker) -> None:
    write_report(tmp_path, pixels(samples=[], range_test=None))
    write_report(tmp_path, tiles(samples=[]))
    assert not (tmp_path / "ModelCharacteristics" / "loss_graph.png").exists()


def test_a_large_photographic_picture_is_made_light() -> None:
    noise = np.random.default_rng(0).normal(120, 25, (2400, 1200, 3)).clip(0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=1, dpi=(100, 100))
    parts = embedded(buffer.getvalue(), [800, 2400])
    assert sum(len(part["uri"]) for part in parts) < 2_400_000
    assert [part["height"] for part in parts] == [768, 1536]
    first = Image.open(BytesIO(base64.b64decode(parts[0]["uri"].removeprefix("data:image/jpeg;base64,"))))
    assert first.size == (1200, 800)


def test_naming_the_report_loads_no_drawing_library() -> None:
    code = "import sys, chipwright.report; print([n for n in ('matplotlib', 'jinja2', 'PIL', 'torch') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
