"""Figures of captions: BLEU, CIDEr-D, the words' F-beta, and how often the next word was guessed right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chipwright.tasks.base import Batch, Evaluation, Metrics
from chipwright.tasks.caption_scores import best_overlap, cider, corpus_bleu, fbeta
from chipwright.tasks.words import words_of

_BETA = 2.0


@dataclass(frozen=True)
class Caption:
    """What was said of one chip.

    Attributes:
        text: the caption, in small letters and without punctuation.
        score: 0 to 1, the geometric mean of its words' probabilities, its end included.
        right, counted: next words guessed right after the true ones before them, of how many; 0 where the truth is not known.
    """

    text: str
    score: float
    right: int = 0
    counted: int = 0


class CaptionMetrics(Metrics):
    """Accumulates captions and true ones; the truth is `batch["references"]`, a tuple of captions for each chip.

    `corpus_bleu` (BLEU-4) and `bleu_1` to `bleu_3` against all captions of a chip, `cider` (CIDEr-D, 0 to 10), `accuracy`
    of the next word after true ones, over all true captions, and `multi_label_fbeta` (beta 2): the different words said
    against those of the true caption that they fit best, counts summed over all chips.
    """

    def __init__(self) -> None:
        self._said: list[Caption] = []
        self._references: list[tuple[str, ...]] = []

    def update(self, predictions: Sequence[Caption], batch: Batch) -> None:
        """Take in one batch."""
        self._said += predictions
        self._references += batch["references"]

    def merge(self, other: Metrics) -> None:
        """Add another process's chips."""
        assert isinstance(other, CaptionMetrics)
        self._said += other._said
        self._references += other._references

    def compute(self) -> Evaluation:
        """Return the figures."""
        candidates = [words_of(caption.text) for caption in self._said]
        references = [[words_of(text) for text in texts] for texts in self._references]
        bleu = corpus_bleu(candidates, references)
        counted = sum(caption.counted for caption in self._said)
        overlaps = [best_overlap(said, true, _BETA) for said, true in zip(candidates, references, strict=True)]
        shared, said, true = (sum(column) for column in zip(*overlaps, strict=True)) if overlaps else (0, 0, 0)
        scalars = {
            "corpus_bleu": bleu[3],
            **{f"bleu_{order}": bleu[order - 1] for order in (1, 2, 3)},
            "cider": cider(candidates, references),
            "accuracy": sum(caption.right for caption in self._said) / counted if counted else math.nan,
            "multi_label_fbeta": fbeta(shared, said, true, _BETA) if overlaps else math.nan,
        }
        different = len({caption.text for caption in self._said})
        note = f"{different} different captions were given to {len(self._said)} chips."
        return Evaluation(scalars, notes=[note])
