"""Where networks are computed."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from chipwright.engine.devices import place


def gradients(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    made = network(images)
    (made * torch.linspace(-1, 1, made.numel()).view(made.shape)).sum().backward()
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None and parameter.ndim > 1]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("norm", [nn.InstanceNorm2d, nn.BatchNorm2d])
def test_a_placed_network_learns_as_it_would_anywhere(norm: type[nn.Module], count: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), norm(8), nn.Conv2d(8, 4, 3))
    placed = place(deepcopy(network), torch.device("cpu"))
    images = torch.randn(count, 3, 16, 16)
    for found, expected in zip(gradients(placed, images), gradients(network, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_convolutions_are_laid_out_channels_last() -> None:
    network = place(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), torch.device("cpu"))
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index]


@pytest.mark.parametrize(("side", "kernel", "stride"), [((1, 1), 3, 2), ((1, 5), 3, 2), ((3, 2), 7, 4)])
def test_weights_that_only_meet_padding_do_not_learn_what_lay_in_memory(
    side: tuple[int, int], kernel: int, stride: int
) -> None:
    torch.manual_seed(0)
    for _ in range(6):
        network = nn.Sequential(nn.Conv2d(64, 64, kernel, stride=stride, padding=kernel // 2))
        images = torch.randn(2, 64, *side)
        placed = place(deepcopy(network), torch.device("cpu"))
        left_behind = [torch.full((64, 64, kernel, kernel), float("nan"), dtype=torch.bfloat16) for _ in range(4)]
        del left_behind
        with torch.autocast("cpu", torch.bfloat16):
            found = gradients(placed, images)[0]
        torch.testing.assert_close(found, gradients(network, images)[0], rtol=0.1, atol=0.1)


def test_small_maps_give_what_they_gave() -> None:
    torch.manual_seed(0)
    for kernel, padding, stride in ((1, 0, 2), (3, 1, 2), (3, 2, 4), (7, 3, 4), (2, 1, 2)):
        network = nn.Conv2d(4, 4, kernel, stride=stride, padding=padding)
        images = torch.randn(1, 4, 1, 3)
        torch.testing.assert_close(place(deepcopy(network), torch.device("cpu"))(images), network(images))
