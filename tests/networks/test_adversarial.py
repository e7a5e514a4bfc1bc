"""What adversarial training is made of, against the originals' figures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chipwright.networks.adversarial import ImagePool, PatchDiscriminator, adversarial_loss, held, initialize


@pytest.mark.parametrize(
    ("bands", "norm", "padding", "parameters"),
    [(3, "instance", 1, 2_764_737), (6, "batch", 1, 2_768_705), (6, "instance", 1, 2_767_809), (3, "batch", 1, 2_765_633),
     (6, "instance", 2, 2_767_809)],
)  # fmt: skip
def test_a_patch_discriminator_is_as_large_as_the_originals(bands: int, norm: str, padding: int, parameters: int) -> None:
    network = PatchDiscriminator(bands, norm=norm, padding=padding)  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_scores_are_of_patches() -> None:
    features = PatchDiscriminator(3, width=8)(torch.zeros(1, 3, 256, 256))
    assert [tuple(one.shape[1:]) for one in features] == [(8, 128, 128), (16, 64, 64), (32, 32, 32), (64, 31, 31), (1, 30, 30)]
    wide = PatchDiscriminator(6, width=8, padding=2, norm="instance")(torch.zeros(1, 6, 512, 1024))
    assert [tuple(one.shape[2:]) for one in wide] == [(257, 513), (129, 257), (65, 129), (66, 130), (67, 131)]


def test_a_patch_is_70_pixels_wide() -> None:
    network = PatchDiscriminator(1, width=4, norm="instance")
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.forward = lambda features: features  # type: ignore[method-assign]  # it would look at all of the image
    images = torch.randn(1, 1, 256, 256, requires_grad=True)
    network(images)[-1][0, 0, 15, 15].backward()
    assert images.grad is not None
    rows, columns = torch.nonzero(images.grad[0, 0], as_tuple=True)
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (70, 70)


@pytest.mark.parametrize(
    ("least_squares", "real", "loss"),
    [(True, True, 0.25), (True, False, 0.25), (False, True, 0.474077), (False, False, 0.974077)],
)
def test_losses_are_the_originals(least_squares: bool, real: bool, loss: float) -> None:
    assert float(adversarial_loss(torch.full((1, 1, 2, 2), 0.5), real, least_squares)) == pytest.approx(loss, abs=1e-6)


def test_weights_start_as_in_the_papers() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(3)
    initialize(network)
    convolution, norm = network.stages[2][0], network.stages[2][1]
    assert float(convolution.weight.detach().mean()) == pytest.approx(0, abs=1e-3)
    assert float(convolution.weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    assert float(norm.weight.detach().mean()) == pytest.approx(1, abs=0.01)
    assert float(norm.weight.detach().std()) == pytest.approx(0.02, rel=0.2)
    last = network.stages[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None and not last.bias.any()


def test_what_is_held_passes_gradients_and_gathers_none() -> None:
    made, judge = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
    judge.bias.requires_grad_(False)  # type: ignore[union-attr]
    with held(judge):
        judge(made(torch.ones(1, 1, 2, 2))).sum().backward()
    assert made.weight.grad is not None and made.weight.grad.any()
    assert judge.weight.grad is None
    assert judge.weight.requires_grad and not judge.bias.requires_grad  # type: ignore[union-attr]


def test_a_pool_shows_earlier_images_half_of_the_time() -> None:
    torch.manual_seed(0)
    pool = ImagePool(size=3)
    numbers = [float(pool.exchanged(torch.full((1, 1, 1, 1), float(step)))) for step in range(203)]
    assert numbers[:3] == [0, 1, 2]
    newest = [number == step for step, number in enumerate(numbers)][3:]
    assert 80 <= sum(newest) <= 120
    assert len(set(numbers)) > 100  # what was kept is shown once and gone


def test_a_pool_comes_back_as_it_was() -> None:
    pool, other = ImagePool(size=4), ImagePool(size=4)
    for step in range(6):
        pool.exchanged(torch.full((1, 1, 1, 1), float(step)))
    other.restore(pool.state())
    results = []
    for one in (pool, other):
        torch.manual_seed(5)
        results.append([float(one.exchanged(torch.full((1, 1, 1, 1), 100.0 + step))) for step in range(20)])
    assert results[0] == results[1]


def test_without_a_pool_the_newest_is_shown() -> None:
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(ImagePool(size=0).exchanged(images), images)
