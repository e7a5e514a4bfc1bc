"""Beam search: the likeliest sequences that a network which says one token after another would say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""(tokens (rows,), state) -> (log-probabilities of the next token (rows, vocabulary), state); all of state has rows first."""


def beam_search(
    step: Step, state: State, *, start: int, end: int, width: int, longest: int, shortest: int = 0, never: Sequence[int] = ()
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each sample's likeliest sequence of those found with `width` kept at every step; 1 is greedy search.

    Sequences are ranked by their probability, not by its share a token. Rows that `step` is handed lie sample by sample,
    `width` of each, so that what belongs to a sample is repeated with `repeat_interleave(width)` beforehand.

    Args:
        step: says what comes next.
        state: where the samples start, one row each.
        start, end: tokens that begin and end a sequence.
        width: sequences kept.
        longest: tokens after which a sequence is cut.
        shortest: least tokens before the end.
        never: tokens that are not to be said.

    Returns:
        int64 (samples, up to `longest`) tokens without the start, `end` after the end; their log-probabilities (samples,); and
        how many tokens each has, its end included.
    """
    samples = len(state[0])
    state = tuple(part.repeat_interleave(width, 0) for part in state)
    device = state[0].device
    # one beam at first: copies of the same start would be found over and over
    scores = torch.full((samples, width), -torch.inf, device=device)
    scores[:, 0] = 0
    tokens = torch.full((samples, width, 1), start, dtype=torch.long, device=device)
    for said in range(longest):
        last = tokens[:, :, -1].flatten()
        log_probabilities, state = step(last, state)
        log_probabilities = log_probabilities.float().clone()
        log_probabilities[:, [*never, end] if said < shortest else list(never)] = -torch.inf
        ended = last == end
        log_probabilities[ended] = -torch.inf
        log_probabilities[ended, end] = 0
        size = log_probabilities.shape[1]
        totals = scores[:, :, None] + log_probabilities.view(samples, width, size)
        scores, chosen = totals.flatten(1).topk(width)
        parents = chosen // size
        tokens = torch.cat([tokens.gather(1, parents[:, :, None].expand_as(tokens)), (chosen % size)[:, :, None]], 2)
        rows = (parents + width * torch.arange(samples, device=device)[:, None]).flatten()
        state = tuple(part[rows] for part in state)
        if bool((tokens[:, :, -1] == end).all()):
            break
    best = tokens[:, 0, 1:]  # topk sorts
    lengths = ((best == end).cumsum(1) <= 1).sum(1)
    return best, scores[:, 0], lengths
