"""The captioner's parameters, its decoder and beam search."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from chipwright.networks.backbones import create_backbone
from chipwright.networks.beam_search import State, Step, beam_search
from chipwright.networks.captioner import AttentionDecoder, Captioner

START, END = 1, 2


def linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def decoder(seed: int = 0, dropout: float = 0.0) -> AttentionDecoder:
    torch.manual_seed(seed)
    return AttentionDecoder(9, 6, 5, 4, dropout)


def test_parameters_are_those_of_the_papers_equations() -> None:
    backbone = create_backbone("RESNET18", 3)
    network = Captioner(backbone, 50, embed_size=10, hidden_size=12, attention_size=7)
    lstm = 4 * 12 * (2 * 10 + 12 + 2)
    attention = linear(10, 7) + linear(12, 7) + linear(7, 1)
    start = 2 * linear(10, 12)
    told = linear(12, 10) + linear(10, 10) + linear(10, 50)
    expected = linear(512, 10) + 50 * 10 + attention + start + lstm + told
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert counted - sum(parameter.numel() for parameter in backbone.parameters()) == expected


def test_what_is_looked_at_sums_to_one_and_moves_with_the_cells() -> None:
    network, features = decoder(), torch.randn(2, 7, 6)
    order = torch.randperm(7)
    words = torch.tensor([3, 4])
    _, _, weights = network.step(words, network.start(features), features, network.keys(features))
    moved = features[:, order]
    logits, _, after = network.step(words, network.start(moved), moved, network.keys(moved))
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    torch.testing.assert_close(after, weights[:, order])
    assert logits.shape == (2, 9)


def test_with_teacher_forcing_a_word_depends_on_the_true_ones_before_it_alone() -> None:
    network, features = decoder(), torch.randn(1, 4, 6)
    logits = network(features, torch.tensor([[1, 3, 4, 5]]))
    other = network(features, torch.tensor([[1, 3, 7, 8]]))
    torch.testing.assert_close(logits[:, :2], other[:, :2])
    assert not torch.allclose(logits[:, 2], other[:, 2])


def test_without_teacher_forcing_the_network_hears_itself() -> None:
    network, features = decoder(), torch.randn(1, 4, 6)
    logits = network(features, torch.tensor([[1, 3, 4, 5]]), teacher_forcing=0.0)
    own = [1, *logits.argmax(2)[0, :-1].tolist()]
    torch.testing.assert_close(logits, network(features, torch.tensor([own])))
    torch.testing.assert_close(logits, network(features, torch.tensor([[1, 8, 8, 8]]), teacher_forcing=0.0))


def test_teacher_forcing_is_drawn_word_by_word_from_the_seed() -> None:
    network, features, words = decoder(), torch.randn(1, 4, 6), torch.tensor([[1, 3, 4, 5, 6, 7]])
    torch.manual_seed(5)
    first = network(features, words, teacher_forcing=0.5)
    torch.manual_seed(5)
    torch.testing.assert_close(first, network(features, words, teacher_forcing=0.5), rtol=0, atol=0)


def table(rows: dict[int, dict[int, float]], size: int = 6) -> tuple[State, Step]:
    """Return a first state and a step of a chain whose next token depends on the last one alone."""

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        out = torch.full((len(tokens), size), -torch.inf)
        for row, token in enumerate(tokens.tolist()):
            for following, probability in rows.get(token, {END: 1.0}).items():
                out[row, following] = math.log(probability)
        return out, state

    return (torch.zeros(1, 1),), step


TREE = {START: {3: 0.6, 4: 0.4}, 3: {3: 0.5, 5: 0.5}, 4: {END: 1.0}, 5: {END: 1.0}}
"""Greedy takes 3, after which nothing is sure; 4 and the end are likelier together."""


def search(width: int, longest: int = 6, never: tuple[int, ...] = ()) -> tuple[list[int], float, int]:
    state, step = table(TREE)
    tokens, scores, lengths = beam_search(step, state, start=START, end=END, width=width, longest=longest, never=never)
    return tokens[0].tolist(), scores[0].item(), int(lengths[0])


def test_a_wider_beam_finds_what_greedy_misses() -> None:
    greedy, probability, _ = search(1)
    assert greedy[0] == 3
    assert probability < math.log(0.4)
    tokens, probability, length = search(2)
    assert tokens[:2] == [4, END]
    assert probability == pytest.approx(math.log(0.4))
    assert length == 2


def test_a_sequence_is_cut_at_the_longest_and_avoids_what_is_never_said() -> None:
    tokens, _, length = search(1, longest=2)
    assert (len(tokens), length) == (2, 2)
    assert 4 not in search(2, never=(4,))[0]


def test_an_end_before_the_shortest_is_not_taken() -> None:
    state, step = table({START: {END: 0.9, 3: 0.1}})
    tokens, scores, _ = beam_search(step, state, start=START, end=END, width=2, longest=4)
    assert tokens[0, 0] == END
    tokens, scores, _ = beam_search(step, state, start=START, end=END, width=2, longest=4, shortest=1)
    assert tokens[0, :2].tolist() == [3, END]
    assert scores.item() == pytest.approx(math.log(0.1))


def test_samples_do_not_mix() -> None:
    network = decoder().eval()
    features = torch.randn(3, 4, 6)
    together, scores, lengths = network.search(features, start=START, end=END, longest=8)
    for row in range(3):
        alone, score, length = network.search(features[row : row + 1], start=START, end=END, longest=8)
        assert alone[0, : int(length[0])].tolist() == together[row, : int(lengths[row])].tolist()
        assert score[0].item() == pytest.approx(scores[row].item(), abs=1e-5)


def test_the_score_is_the_log_probability_of_what_is_said() -> None:
    network = decoder(3).eval()
    features = torch.randn(1, 4, 6)
    tokens, scores, lengths = network.search(features, start=START, end=END, longest=8)
    said = tokens[0, : int(lengths[0])]
    logits = network(features, torch.cat([torch.tensor([START]), said[:-1]])[None])
    expected = logits.log_softmax(2)[0].gather(1, said[:, None]).sum()
    assert scores[0].item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_widest_beam_finds_the_likeliest_of_all() -> None:
    network = decoder(1).eval()
    features = torch.randn(1, 4, 6)
    tokens, scores, _ = network.search(features, start=START, end=END, longest=2, width=9)
    first = network(features, torch.tensor([[START]]))[0, 0].log_softmax(0)
    best = -math.inf
    for word in set(range(9)) - {END}:
        second = network(features, torch.tensor([[START, word]]))[0, 1].log_softmax(0)
        best = max(best, (first[word] + second.max()).item())
    assert scores[0].item() == pytest.approx(best, abs=1e-5)
    assert tokens.shape[1] <= 2
