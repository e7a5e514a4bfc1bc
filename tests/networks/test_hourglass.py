"""The stacked hourglass of two tasks: the original's counts and shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chipwright.networks.hourglass import HourglassMTL


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 29_002_012), ({"stacks": 1}, 14_744_821), ({"bands": 8}, 29_017_692), ({"classes": 1}, 29_001_368)],
)
def test_parameters_are_those_of_the_original(options, parameters):
    with torch.device("meta"):
        network = HourglassMTL(**{"bands": 3, "orientations": 37} | options)
    assert count(network) == parameters


def test_so_are_those_of_its_parts():
    with torch.device("meta"):
        network = HourglassMTL(bands=3, orientations=37)
    assert count(network.stem) == 387_584
    assert [count(part) for part in network.hourglasses] == [12_407_808] * 2
    assert (count(network.roads), count(network.orientations)) == (1_888_136, 1_910_676)


@pytest.mark.parametrize(("size", "sides"), [(256, [64, 64, 128, 256]), (250, [63, 63, 125, 250]), (64, [16, 16, 32, 64])])
def test_outputs_are_of_the_originals_sizes(size, sides):
    network = HourglassMTL(bands=3, orientations=37, blocks=1).eval()
    with torch.inference_mode():
        roads, orientations = network(torch.zeros(1, 3, size, size))
    assert [tuple(logits.shape) for logits in roads] == [(1, 2, side, side) for side in sides]
    assert [tuple(logits.shape) for logits in orientations] == [(1, 37, side, side) for side in sides]
    assert network.scales == (4, 4, 2, 1)


@pytest.mark.slow
def test_a_large_image_of_the_full_network():
    network = HourglassMTL(bands=3, orientations=37).eval()
    with torch.inference_mode():
        roads, _ = network(torch.zeros(1, 3, 512, 512))
    assert [logits.shape[-1] for logits in roads] == [128, 128, 256, 512]


def test_the_second_stack_sees_what_the_first_said_of_both_tasks():
    torch.manual_seed(0)
    network = HourglassMTL(bands=1, orientations=5, blocks=1).eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        before = network(images)
        network.orientations.scores[0].bias.add_(5.0)
        after = network(images)
    assert torch.equal(before.roads[0], after.roads[0])
    assert not torch.allclose(before.roads[1], after.roads[1])


def test_every_parameter_learns():
    network = HourglassMTL(bands=2, orientations=5, blocks=1)
    outputs = network(torch.randn(2, 2, 32, 32))
    torch.stack([logits.square().mean() for logits in (*outputs.roads, *outputs.orientations)]).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
