"""pix2pix's generators."""

from __future__ import annotations

import pytest
import torch

from chipwright.networks.pix2pix import Pix2PixGenerator, halvings_for


@pytest.mark.parametrize(("halvings", "parameters"), [(8, 54_413_955), (7, 41_828_995)])
def test_the_generator_is_as_large_as_the_original(halvings: int, parameters: int) -> None:
    network = Pix2PixGenerator(3, 3, halvings=halvings)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(256, 256), (300, 200)])
def test_images_of_any_size_come_out_at_theirs(size: tuple[int, int]) -> None:
    network = Pix2PixGenerator(4, 2, width=4).eval()
    made = network(torch.randn(1, 4, *size))
    assert made.shape == (1, 2, *size)
    assert made.abs().max() <= 1


def test_three_levels_drop_values_in_training_alone() -> None:
    torch.manual_seed(0)
    network = Pix2PixGenerator(3, 3, width=4)
    assert sum(isinstance(module, torch.nn.Dropout) for module in network.modules()) == 3
    images = torch.randn(2, 3, 256, 256)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize(("size", "halvings"), [(32, 5), (128, 7), (200, 7), (256, 8), (512, 8)])
def test_small_chips_are_halved_less_often(size: int, halvings: int) -> None:
    assert halvings_for(size) == halvings
