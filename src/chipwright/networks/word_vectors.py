"""Pretrained vectors of words from a text file as fastText publishes them (`.vec`).

The first line holds the number of words and the width, every other one a word and its values, all apart by spaces
(Grave et al. 2018, *Learning Word Vectors for 157 Languages*, arXiv:1802.06893).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chipwright.errors import OptionError

_LONGEST_LINE = 1 << 20
"""Characters of a line; a word with a thousand values has some ten thousand."""

_EXPECTED = (
    "expected the text format of fastText, a first line of two whole numbers (words, width) and then a word and its values "
    "a line"
)


def vector_width(path: Path) -> int:
    """Return how many values each word of the file has.

    Raises:
        OptionError: if the file is not there, or is no `.vec` file.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline(200).split()
    except OSError as error:
        raise OptionError(f"The word vectors {path} cannot be read ({error.strerror}); give the path of a .vec file.") from None
    if len(first) != 2 or not all(number.isascii() and number.isdecimal() for number in first) or not int(first[1]):
        raise OptionError(f"{path} is no file of word vectors: {_EXPECTED}.")
    return int(first[1])


def read_vectors(path: Path, words: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """Return the vectors (width,) of those of `words` that the file has, its first entry of a word counting.

    Words are compared in small letters: where a file has no word in small letters, its first other spelling counts.

    Raises:
        OptionError: as `vector_width`, or if the line of a word asked for holds another number of values, or no numbers.
    """
    width = vector_width(path)
    wanted = set(words)
    exact: dict[str, NDArray[np.float32]] = {}
    other: dict[str, NDArray[np.float32]] = {}
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        file.readline(_LONGEST_LINE)
        number = 1
        while line := file.readline(_LONGEST_LINE):
            number += 1
            word, _, values = line.rstrip().partition(" ")
            lower = word.lower()
            if lower not in wanted or word in exact or (word != lower and lower in other):
                continue
            (exact if word == lower else other)[lower] = _vector(values, width, path, number)
    return other | exact


def _vector(values: str, width: int, path: Path, number: int) -> NDArray[np.float32]:
    try:
        vector = np.array(values.split(), np.float32)
    except ValueError:
        raise OptionError(f"Line {number} of {path} holds values that are no numbers; {_EXPECTED}.") from None
    if len(vector) != width or not np.isfinite(vector).all():
        raise OptionError(f"Line {number} of {path} holds {len(vector)} values, but its first line says {width}; {_EXPECTED}.")
    return vector
