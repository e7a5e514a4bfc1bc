from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from chipwright.sentences import choices, expectation, option_error, takes_lists, takes_truths


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    share: float = Field(0.5, ge=0, le=1)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int | None = Field(None, ge=16)
    inner: Inner = Inner()
    word: str = ""
    needed: int = Field(description="How many.")

    @field_validator("word")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value) > 3:
            raise ValueError("three letters are the most")
        return value


@pytest.mark.parametrize(
    ("annotation", "constraints", "expected"),
    [
        (int, (), "a whole number"),
        (bool, (), "True or False"),
        (str, (), "text"),
        (Path, (), "a path"),
        (int | None, (Field(ge=16),), "a whole number of at least 16"),
        (float, (Field(ge=0, le=1),), "a number from 0 to 1"),
        (float, (Field(gt=0, lt=100),), "a number above 0 and below 100"),
        (float, (Field(le=5),), "a number of at most 5"),
        (int, (Field(ge=32, multiple_of=32),), "a whole number of at least 32, a multiple of 32"),
        (Literal["PAM", "BAM"], (), "one of PAM, BAM"),
        (Color, (), "one of red, blue"),
        (bool | str, (), "True or False or text"),
        (list[Annotated[int, Field(ge=1)]], (), "a list of whole numbers of at least 1"),
        (list[float], (Field(min_length=2),), "a list of numbers, at least 2"),
        (tuple[float, float], (), "a pair of numbers"),
        (list[tuple[float, float]], (), "a list of pairs of numbers"),
        (tuple[int, ...], (), "a list of whole numbers"),
        (dict[str, Any], (), "a dictionary"),
        (Inner, (), "a dictionary with share"),
    ],
)
def test_an_expectation_reads_as_words(annotation: Any, constraints: Any, expected: str) -> None:
    assert expectation(annotation, constraints) == expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"size": 8, "needed": 1}, "size is 8; expected a whole number of at least 16."),
        ({"size": "x", "needed": 1}, "size is 'x'; expected a whole number of at least 16."),
        ({}, "needed is missing: how many."),
        ({"inner": {"share": 2}, "needed": 1}, "inner.share is 2; expected a number from 0 to 1."),
        ({"inner": {"shares": 2}, "needed": 1}, "inner has no entry 'shares'. Did you mean share? It takes share."),
        ({"inner": 5, "needed": 1}, "inner is 5; expected a dictionary with share."),
        ({"word": "long", "needed": 1}, "word is 'long': three letters are the most."),
        ({"size": 8}, "size is 8; expected a whole number of at least 16. needed is missing: how many."),
    ],
)
def test_a_refusal_names_what_was_found_and_what_was_expected(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Shape.model_validate(given)
    assert str(option_error(caught.value, Shape, given)) == sentence


def test_a_field_is_spelled_as_the_user_knows_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Shape.model_validate({"needed": "x"})
    assert str(option_error(caught.value, Shape, {"needed": "x"}, lambda name: "--" + name)).startswith("--needed is 'x'")


def test_a_long_value_is_cut() -> None:
    given = {"needed": "x" * 500}
    with pytest.raises(ValidationError) as caught:
        Shape.model_validate(given)
    assert len(str(option_error(caught.value, Shape, given))) < 130


def test_choices_are_found_within_unions() -> None:
    assert choices(Literal["a", "b"] | None) == ("a", "b")


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(bool, True), (bool | str, True), (float, False), (int | None, False), (Literal[True, "x"], True)],
)
def test_truths_are_told_from_numbers(annotation: Any, expected: bool) -> None:
    assert takes_truths(annotation) is expected


@pytest.mark.parametrize(
    ("annotation", "expected"), [(list[int] | None, True), (tuple[int, ...], True), (dict[str, list[int]], False), (str, False)]
)
def test_list_types_are_known(annotation: Any, expected: bool) -> None:
    assert takes_lists(annotation) is expected
