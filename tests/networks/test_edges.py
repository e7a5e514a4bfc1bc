"""HED and BDCN: the originals' parameters, cascade and losses."""

import pytest
import torch
from torch import nn

from chipwright.networks.backbones import create_backbone
from chipwright.networks.edges import Bdcn, Hed, ScaleEnhancement, balanced_cross_entropy, cascade


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_they_have_the_originals_parameters() -> None:
    assert count(Hed(create_backbone("VGG16", 3))) == 14_716_171
    # the original's enlargements are 592 numbers that its learning rate of 0 leaves as they are
    assert count(Bdcn(create_backbone("VGG16", 3, output_stride=8))) == 16_302_120 - 592
    assert [count(ScaleEnhancement(width)) for width in (64, 128, 256, 512)] == [46_208, 64_640, 101_504, 175_232]


def test_bdcn_looks_at_every_layer_of_vgg() -> None:
    network = Bdcn(create_backbone("VGG16", 3, output_stride=8))
    assert [len(looks) for looks in network.looks] == [2, 2, 3, 3, 3]  # type: ignore[arg-type]
    assert network.backbone.strides[4] == 8


@pytest.mark.parametrize("backbone", ["VGG11_BN", "RESNET18", "timm:test_resnet"])
@pytest.mark.parametrize(("kind", "sides"), [(Hed, 1), (Bdcn, 2)])
def test_images_of_any_size_give_maps_of_theirs(kind: type, sides: int, backbone: str) -> None:
    network = kind(create_backbone(backbone, 4))
    outputs = network.train()(torch.rand(2, 4, 45, 70))
    assert len(outputs) == sides * 5 + 1
    assert all(one.shape == (2, 1, 45, 70) for one in outputs)
    with torch.no_grad():
        assert network.eval()(torch.rand(1, 4, 64, 64)).shape == (1, 1, 64, 64)


def test_a_cascade_adds_what_came_before_without_its_gradient() -> None:
    own = [torch.tensor([float(10**at)], requires_grad=True) for at in range(3)]
    found = cascade(own)
    assert [one.item() for one in found] == [1.0, 11.0, 111.0]
    found[2].backward()
    assert [one.grad is None or one.grad.item() == 0 for one in own] == [True, True, False]


@pytest.mark.parametrize(("negative", "expected"), [(1.1, 1.091707), (1.0, 1.039721)])
def test_the_loss_is_the_originals(negative: float, expected: float) -> None:
    target = torch.tensor([[[1, 0], [0, 0]]])
    found = balanced_cross_entropy(torch.zeros(1, 1, 2, 2), target, negative)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_unknown_pixels_count_nowhere() -> None:
    target = torch.tensor([[[1, 0], [0, -100]]])
    found = balanced_cross_entropy(torch.zeros(1, 1, 2, 2), target, 1.1)
    assert found.item() == pytest.approx(0.970406, abs=1e-6)
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    balanced_cross_entropy(logits, torch.full((1, 2, 2), -100)).sum().backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_each_image_has_its_own_weights() -> None:
    logits = torch.randn(2, 1, 4, 4)
    target = (torch.rand(2, 4, 4) > 0.7).long()
    together = balanced_cross_entropy(logits, target)
    apart = torch.cat([balanced_cross_entropy(logits[at : at + 1], target[at : at + 1]) for at in range(2)])
    torch.testing.assert_close(together, apart)
