"""Captions as words: taken apart, numbered, and put together again. Imports no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from chipwright.errors import PackageError

PAD, START, END, UNKNOWN = range(4)
"""Numbers of the tokens that are no words: filling, the beginning and the end of a caption, and a word that is not known."""

SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
"""How these tokens are spelled in a vocabulary."""

LENGTHS = (20, 100)
"""Words that a caption may have in any case, and at most; between them it may be as long as the longest one learnt from."""

_LEAST = 2
"""Occurrences that make a word known; those seen once teach what an unknown word is."""

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # kana and Han, which are written without spaces
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+(?:['’-](?:(?![{_UNSPACED}])[^\W_])+)*")
_BETWEEN_UNSPACED = re.compile(rf"(?<=[{_UNSPACED}]) (?=[{_UNSPACED}])")


def words_of(caption: str) -> list[str]:
    """Return a caption's words in small letters, punctuation left out; each Han or kana character is one."""
    return _WORD.findall(caption.lower())


class Vocabulary:
    """The words that a captioner can say, by number.

    Args:
        tokens: `SPECIAL`, then the words.

    Raises:
        PackageError: for anything else.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        texts = all(isinstance(token, str) for token in self.tokens)
        if not texts or self.tokens[: len(SPECIAL)] != SPECIAL or len(set(self.tokens)) != len(self.tokens):
            raise PackageError(f"A vocabulary begins with {', '.join(SPECIAL)} and names each word once; this one does not.")
        self._numbers = {token: number for number, token in enumerate(self.tokens)}

    @classmethod
    def fit(cls, captions: Iterable[str]) -> Vocabulary:
        """Return the words that occur at least twice in the captions, the most frequent first; all where none does."""
        counts = Counter(word for caption in captions for word in words_of(caption))
        known = [word for word, count in counts.items() if count >= _LEAST] or list(counts)
        return cls((*SPECIAL, *sorted(known, key=lambda word: (-counts[word], word))))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, word: str) -> bool:
        return word in self._numbers

    def encode(self, caption: str) -> list[int]:
        """Return the numbers of a caption's words between `START` and `END`."""
        return [START, *(self._numbers.get(word, UNKNOWN) for word in words_of(caption)), END]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the caption that numbers spell, up to the first `END`."""
        words = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, START):
                words.append(self.tokens[number])
        return _BETWEEN_UNSPACED.sub("", " ".join(words))
