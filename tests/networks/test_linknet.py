"""LinkNet with one task and two: the original's counts and shapes, any size, any backbone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chipwright.networks.backbones import create_backbone
from chipwright.networks.linknet import LinkDecoder, LinkNet, LinkNetMTL, road_probability


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_are_those_of_the_original():
    network = LinkNetMTL(create_backbone("RESNET34", bands=3), orientations=37)
    assert count(network) == 22_004_903
    assert count(network.encoder) == 21_284_672
    assert count(network.roads) == 357_858
    assert count(network.orientations) == 362_373
    assert count(LinkNet(create_backbone("RESNET34", bands=3))) == 21_642_530


def test_outputs_are_of_full_size_alone():
    network = LinkNetMTL(create_backbone("RESNET34", bands=3), orientations=37).eval()
    with torch.inference_mode():
        roads, orientations = network(torch.zeros(1, 3, 256, 256))
    assert [tuple(logits.shape) for logits in (*roads, *orientations)] == [(1, 2, 256, 256), (1, 37, 256, 256)]
    assert network.scales == (1,)


@pytest.mark.parametrize("backbone", ["MOBILENET_V2", "RESNET50", "timm:test_resnet", "timm:convnext_atto"])
@pytest.mark.parametrize("size", [(64, 64), (75, 90)])
def test_any_backbone_takes_any_size(backbone, size):
    network = LinkNetMTL(create_backbone(backbone, bands=4), orientations=19).eval()
    with torch.inference_mode():
        roads, orientations = network(torch.randn(1, 4, *size))
    assert roads[0].shape == (1, 2, *size)
    assert orientations[0].shape == (1, 19, *size)


def test_maps_that_are_narrow_are_widened_and_those_of_resnet34_are_not():
    assert not LinkDecoder((64, 64, 128, 256, 512), (2, 4, 8, 16, 32), 2).widening
    narrow = LinkDecoder((16, 24, 32, 96, 320), (2, 4, 8, 16, 32), 2)
    assert [block.squeeze.out_channels for block in narrow.blocks] == [128, 64, 32, 16]


def test_every_parameter_learns():
    network = LinkNetMTL(create_backbone("timm:test_resnet", bands=3), orientations=5).train()
    roads, orientations = network(torch.randn(2, 3, 64, 64))
    (roads[0].square().mean() + orientations[0].square().mean()).backward()
    # the last rectifiers may be off for a whole channel: a gradient of 0 is one
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_coarse_maps_are_added_at_their_strides():
    decoder = LinkDecoder((64, 64, 128, 256, 512), (2, 4, 8, 16, 32), 2).eval()
    maps = [
        torch.randn(1, width, 64 // stride, 64 // stride)
        for width, stride in zip((64, 64, 128, 256, 512), (2, 4, 8, 16, 32), strict=True)
    ]
    with torch.inference_mode():
        whole = decoder(maps)
        for place, used in enumerate((False, True, True, True, True)):
            without = [torch.zeros_like(own) if at == place else own for at, own in enumerate(maps)]
            assert torch.equal(decoder(without), whole) != used


def test_the_probability_of_road_is_that_of_the_second_class():
    logits = torch.tensor([0.0, 2.0]).view(1, 2, 1, 1)
    assert road_probability(logits).item() == pytest.approx(0.880797)
