"""How well captions agree with true ones: BLEU and CIDEr-D, over words.

Papineni et al. 2002, *BLEU: a Method for Automatic Evaluation of Machine Translation* (ACL); Vedantam et al. 2015, *CIDEr:
Consensus-based Image Description Evaluation* (arXiv:1411.5726). Both are figures of a whole corpus, every image having one true
caption or more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Words = Sequence[str]
Grams = Counter[tuple[str, ...]]

ORDERS = 4
"""Most words of a sequence that is compared."""

_SIGMA = 6.0
"""Difference in words at which CIDEr-D takes off 1 - exp(-1/2)."""


def ngrams(words: Words, order: int) -> Grams:
    """Return how often each sequence of `order` words occurs."""
    return Counter(tuple(words[at : at + order]) for at in range(len(words) - order + 1))


def corpus_bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Return BLEU-1 to BLEU-4 over a corpus, 0 to 1: no smoothing, equal weights, one brevity penalty over the corpus.

    A sequence counts at most as often as in the true caption that has it most often; the length to reach is that of the true
    caption nearest in length, the shorter of two as near. NaN for an empty corpus.
    """
    if not candidates:
        return [math.nan] * ORDERS
    said = true = 0
    right, counted = [0] * ORDERS, [0] * ORDERS
    for candidate, captions in zip(candidates, references, strict=True):
        said += len(candidate)
        true += min((len(caption) for caption in captions), key=lambda length: (abs(length - len(candidate)), length))
        for order in range(1, ORDERS + 1):
            found = ngrams(candidate, order)
            most: Grams = Counter()
            for caption in captions:
                most |= ngrams(caption, order)
            right[order - 1] += (found & most).total()
            counted[order - 1] += found.total()
    brevity = 1.0 if said > true else math.exp(1 - true / said) if said else 0.0
    scores, logarithm = [], 0.0
    for order in range(ORDERS):
        share = right[order] / counted[order] if counted[order] else 0.0
        logarithm += math.log(share) if share else -math.inf
        scores.append(brevity * math.exp(logarithm / (order + 1)))
    return scores


def cider(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """Return CIDEr-D over a corpus, 0 to 10, as captions are commonly reported: without stemming.

    A sequence weighs by how few images have it in a true caption, so the figure depends on the corpus; in one of a single image
    no sequence weighs anything, and it is NaN.
    """
    images = len(candidates)
    if images < 2:
        return math.nan
    seen = [Counter[tuple[str, ...]]() for _ in range(ORDERS)]
    for captions in references:
        for order in range(ORDERS):
            seen[order].update(set().union(*(ngrams(caption, order + 1) for caption in captions)))
    rarest = math.log(images)
    total = 0.0
    for order, counts in enumerate(seen, 1):
        rarity = {gram: math.log(images / count) for gram, count in counts.items()}
        for candidate, captions in zip(candidates, references, strict=True):
            found = _weighted(candidate, order, rarity, rarest)
            for caption in captions:
                length = math.exp(-((len(candidate) - len(caption)) ** 2) / (2 * _SIGMA**2))
                total += length * _clipped_cosine(found, _weighted(caption, order, rarity, rarest)) / len(captions)
    return 10 * total / (ORDERS * images)


def _weighted(words: Words, order: int, rarity: dict[tuple[str, ...], float], rarest: float) -> dict[tuple[str, ...], float]:
    return {gram: count * rarity.get(gram, rarest) for gram, count in ngrams(words, order).items()}


def _clipped_cosine(found: dict[tuple[str, ...], float], true: dict[tuple[str, ...], float]) -> float:
    """Return the cosine of two weighted captions, nothing found counting more often than it is true."""
    sizes = math.hypot(*found.values()) * math.hypot(*true.values())
    if not sizes:
        return 0.0
    return sum(min(weight, true.get(gram, 0.0)) * true.get(gram, 0.0) for gram, weight in found.items()) / sizes


def best_overlap(candidate: Words, captions: Sequence[Words], beta: float) -> tuple[int, int, int]:
    """Return (shared, said, true) counts of different words against the true caption that gives the highest F-beta."""
    said = set(candidate)
    overlaps = [(len(said & set(caption)), len(said), len(set(caption))) for caption in captions]
    return max(overlaps, key=lambda found: fbeta(found[0], found[1], found[2], beta))


def fbeta(shared: int, said: int, true: int, beta: float) -> float:
    """Return the F-beta score of counts; 0 where nothing is said nor true."""
    weighted = beta**2 * true + said
    return (1 + beta**2) * shared / weighted if weighted else 0.0
