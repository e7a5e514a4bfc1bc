from __future__ import annotations

from typing import Any

import pytest

from chipwright import catalog
from chipwright.cli.models import _page, describe
from chipwright.models.base import ModelType


def test_every_type_is_listed_with_formats_or_as_not_there_yet(run: Any) -> None:
    rows = {row["keyword"]: row for row in run("models", "--json").data["models"]}
    assert set(rows) == set(catalog.rows())
    assert rows["TOY"] == {
        "keyword": "TOY", "title": "Toy (nothing at all)", "formats": ["Toy_Tiles"], "available": True, "state": "available",
    }  # fmt: skip
    assert (rows["LATER"]["available"], rows["LATER"]["state"]) == (False, "not in this version yet")


def test_the_table_parts_what_can_be_trained_from_what_cannot(run: Any) -> None:
    text = run("models").out
    ready, later = text.split("Not in this version yet:")
    assert "\nTOY " in ready
    assert "Toy_Tiles" in ready
    assert "\n  LATER " in later


def test_a_type_that_cannot_be_loaded_does_not_hide_the_others(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = catalog.rows()
    monkeypatch.setattr(catalog, "rows", lambda: {**own, "BROKEN": catalog.Row("BROKEN", "Broken", "nowhere.at.all:X")})
    rows = {row["keyword"]: row for row in run("models", "--json").data["models"]}
    assert rows["BROKEN"]["state"] == "cannot be loaded: No module named 'nowhere'"
    assert rows["TOY"]["available"]


def test_one_type_is_described_whatever_its_case(run: Any) -> None:
    data = run("models", "toy", "--json").data
    assert data["keyword"] == "TOY"
    assert data["monitors"] == ["valid_loss", "accuracy"]
    assert data["backbones"]["default"] == "RESNET34"
    assert data["aliases"] == {"thresh": "gaussian_thresh"}
    arguments = {row["name"]: row for row in data["arguments"]}
    assert arguments["gaussian_thresh"] == {
        "name": "gaussian_thresh", "default": 0.76, "accepts": "a number from 0 to 1", "help": "Width of the road.",
    }  # fmt: skip
    assert arguments["monitor"]["accepts"] == "one of valid_loss, accuracy"


def test_the_page_of_a_type_names_arguments_formats_and_backbones(run: Any) -> None:
    text = run("models", "TOY").out
    assert text.startswith("TOY: Toy (nothing at all)\n")
    assert "Formats:    Toy_Tiles" in text
    assert "(default: RESNET34)" in text
    assert "Width of the road. Takes a number from 0 to 1." in " ".join(text.split())
    assert "Also accepted: thresh for gaussian_thresh." in text


def test_a_long_default_leaves_the_meanings_their_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwright.models.image_captioner import IMAGECAPTIONER

    monkeypatch.setenv("COLUMNS", "120")
    text = _page(describe(IMAGECAPTIONER))
    assert max(map(len, text.splitlines())) <= 160
    assert "Side in pixels of the crop that is trained on" in text
    assert "Default: {'embed_size': 100," in " ".join(text.split())


def test_an_unknown_type_is_refused_with_the_nearest(run: Any) -> None:
    found = run("models", "TOYS")
    assert found.status == 2
    assert "Did you mean TOY?" in found.err


@pytest.mark.parametrize("keyword", catalog.available())
def test_every_available_type_can_be_described(keyword: str, run: Any) -> None:
    model_type: ModelType = catalog.find(keyword)
    described = describe(model_type)
    assert [row["name"] for row in described["arguments"]] == list(model_type.arguments.model_fields)
    assert all(row["help"] for row in described["arguments"]), "every argument says what it is for"
    assert run("models", keyword).status == 0
