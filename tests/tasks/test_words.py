"""Captions as words."""

from __future__ import annotations

import pytest

from chipwright.errors import PackageError
from chipwright.tasks.words import END, SPECIAL, START, UNKNOWN, Vocabulary, words_of


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A wide road, and 12 houses.", ["a", "wide", "road", "and", "12", "houses"]),
        ("The owner's well-kept garden", ["the", "owner's", "well-kept", "garden"]),
        ("Große Äcker", ["große", "äcker"]),
        ("一条road。", ["一", "条", "road"]),
        (" -- ... _ ", []),
    ],
)
def test_captions_are_taken_apart(caption: str, words: list[str]) -> None:
    assert words_of(caption) == words


def test_words_are_numbered_by_frequency_and_rare_ones_are_unknown() -> None:
    vocabulary = Vocabulary.fit(["a road and a pool", "a pool and a house", "a field"])
    assert vocabulary.tokens == (*SPECIAL, "a", "and", "pool")
    first = len(SPECIAL)
    assert vocabulary.encode("A pool and a field") == [START, first, first + 2, first + 1, first, UNKNOWN, END]


def test_all_words_are_known_where_none_is_frequent() -> None:
    assert set(Vocabulary.fit(["wide road"]).tokens) == {*SPECIAL, "wide", "road"}


def test_a_caption_is_put_together_up_to_its_end() -> None:
    vocabulary = Vocabulary([*SPECIAL, "road", "一", "条"])
    assert vocabulary.decode([START, 4, 4, END, 4]) == "road road"
    assert vocabulary.decode([5, 6, 4]) == "一条 road"


def test_a_damaged_vocabulary_is_refused() -> None:
    with pytest.raises(PackageError, match="A vocabulary begins with"):
        Vocabulary(["road"])
    with pytest.raises(PackageError, match="A vocabulary begins with"):
        Vocabulary([*SPECIAL, 5])  # type: ignore[list-item]
    with pytest.raises(PackageError, match="each word once"):
        Vocabulary([*SPECIAL, "road", "road"])
