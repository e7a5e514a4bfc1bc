"""SR3 against figures measured on the original implementation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from chipwright.networks.sr3 import SCHEDULES, Diffusion, Sr3Unet, betas, level_embedding


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_parameters_are_the_originals() -> None:
    with torch.device("meta"):
        network = Sr3Unet(3, 128, multipliers=(1, 2, 4, 8, 8), blocks=2, dropout=0.2)
        large = Sr3Unet(3, 512, groups=16, multipliers=(1, 2, 4, 8, 16), attention_at=(), blocks=1)
    parts = [network.embedding, network.down, network.middle, network.up, network.head]
    assert [parameters(part) for part in parts] == [33_088, 26_041_856, 10_560_000, 61_170_688, 1_859]
    assert parameters(network) == 97_807_491
    assert parameters(large) == 155_334_339


def test_the_worked_noise_levels() -> None:
    levels = Diffusion("linear", 2000, 1e-6, 1e-2).levels
    assert len(levels) == 2001
    assert levels[0] == 1
    found = (levels[[1, 2, 1000, 2000]] ** 2).tolist()
    assert found == pytest.approx([0.999999, 0.999993, 0.0817838, 4.38598e-5], rel=1e-5)


def test_the_worked_embeddings() -> None:
    found = level_embedding(torch.tensor([0.5, 1.0]), 4)
    expected = [[0.479426, 0.005, 0.877583, 0.999988], [0.841471, 0.01, 0.540302, 0.999950]]
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-6, rtol=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_adds_noise_until_little_is_left(schedule: str) -> None:
    found = betas(schedule, 1000, 1e-6, 1e-2)
    assert len(found) == 1000
    assert ((found > 0) & (found <= 1)).all()
    levels = Diffusion(schedule, 1000, 1e-6, 1e-2).levels
    assert levels.diff().max() < 0
    assert levels[-1] < 0.1


def test_levels_are_drawn_between_neighbours() -> None:
    diffusion = Diffusion("linear", 10, 1e-2, 0.5)
    drawn = diffusion.drawn_levels(500, torch.device("cpu"))
    assert drawn.min() >= diffusion.levels[-1] - 1e-6
    assert drawn.max() <= 1
    assert len(drawn.unique()) > 400


def test_any_size_goes_through() -> None:
    network = Sr3Unet(2, 32, width=8, groups=4, multipliers=(1, 2, 2), attention_at=(16,), blocks=1)
    assert network(torch.rand(2, 4, 30, 21), torch.tensor([0.3, 0.9])).shape == (2, 2, 30, 21)


class Knowing(nn.Module):
    """Estimates the noise of an image that it knows: the condition itself."""

    def forward(self, images: Tensor, level: Tensor) -> Tensor:
        condition, noisy = images.chunk(2, 1)
        level = level.view(-1, 1, 1, 1)
        return (noisy - level * condition) / (1 - level**2).sqrt()


@pytest.mark.parametrize("steps", [5, 50, 1000])
def test_who_knows_the_noise_finds_the_image(steps: int) -> None:
    condition = torch.rand(2, 3, 8, 8) * 2 - 1
    found = Diffusion("linear", 50, 1e-4, 0.2).sample(Knowing(), condition, steps, seed=0)
    torch.testing.assert_close(found, condition, atol=1e-3, rtol=0)


def test_a_seed_draws_the_same_whatever_the_batch() -> None:
    network = Sr3Unet(1, 16, width=8, groups=4, multipliers=(1, 2), attention_at=(), blocks=1).eval()
    diffusion, condition = Diffusion("linear", 20, 1e-4, 0.2), torch.rand(3, 1, 16, 16)
    with torch.inference_mode():
        whole = diffusion.sample(network, condition, 20, seed=1)
        torch.rand(7)
        torch.testing.assert_close(diffusion.sample(network, condition[1:2], 20, seed=1), whole[1:2], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(diffusion.sample(network, condition, 20, seed=2), whole)
