"""STANet: the original's parameters, its attention against plain sums, and its loss by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from chipwright.networks.backbones import Backbone, create_backbone
from chipwright.networks.stanet import (
    BasicAttention,
    ChangeNetwork,
    FeatureDecoder,
    PyramidAttention,
    balanced_contrastive,
    feature_distance,
)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_parts_have_the_originals_parameters() -> None:
    decoder = FeatureDecoder((64, 64, 128, 256, 512), (2, 4, 8, 16, 32))
    assert count(decoder) == 994_688
    assert count(BasicAttention(64)) == 5_201 - 1  # the original holds a scalar that it never uses
    assert count(PyramidAttention(64)) == 37_312


def originals_backbone() -> Backbone:
    """The original's ResNet-18: a third block in the last stage, which no published weights fill, and dilations 1, 2, 4."""
    backbone = create_backbone("RESNET18", 3)
    stage = backbone.body.get_submodule("layer4")
    assert isinstance(stage, nn.Sequential)
    stage.append(copy.deepcopy(stage[-1]))
    for block, dilation in zip(stage, (1, 2, 4), strict=True):
        convolution = block.get_submodule("conv1")
        convolution.dilation = convolution.padding = (dilation, dilation)  # type: ignore[assignment]
    return backbone


@pytest.mark.parametrize(("attention", "expected"), [("PAM", 16_929_152), ("BAM", 16_897_041 - 1)])
def test_in_its_original_configuration_it_is_the_original(attention: str, expected: int) -> None:
    network = ChangeNetwork(originals_backbone(), attention).eval()  # type: ignore[arg-type]
    assert count(network.backbone) == 15_897_152
    assert count(network.backbone) + count(network.decoder) == 16_891_840
    assert count(network) == expected
    seen: list[torch.Tensor] = []
    network.attention.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        change = network(torch.rand(1, 6, 256, 256))
    assert seen[0].shape == (1, 64, 2, 64, 64)
    distance = feature_distance(seen[0][:, :, 0], seen[0][:, :, 1])
    assert distance.shape == (1, 1, 64, 64)
    assert change.shape == (1, 1, 256, 256)
    torch.testing.assert_close(change[..., [0, -1]][..., [0, -1], :], distance[..., [0, -1]][..., [0, -1], :])  # corners meet


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_never_holds_all_pairs_of_pixels(dtype: torch.dtype) -> None:
    features = torch.randn(2, 64, 2, 16, 16, requires_grad=True)
    for attention in (BasicAttention(64, residual=True), PyramidAttention(64)):
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            seen = attention(features)  # raises where this kernel cannot serve
        seen.sum().backward()


def test_attention_is_the_softmax_over_both_dates() -> None:
    attention = BasicAttention(8)
    features = torch.randn(2, 8, 2, 3, 4)
    flat = features.flatten(2)  # the dates' pixels one after the other
    query, key, value = (
        F.conv1d(flat, layer.weight[..., 0], layer.bias) for layer in (attention.query, attention.key, attention.value)
    )
    weights = (query.transpose(1, 2) @ key / 8**0.5).softmax(-1)
    expected = (value @ weights.transpose(1, 2)).view_as(features)
    torch.testing.assert_close(attention(features), expected, rtol=1e-4, atol=1e-5)


def test_regions_see_themselves_alone() -> None:
    attention = BasicAttention(4)
    features = torch.randn(1, 4, 2, 4, 4)
    changed = features.clone()
    changed[..., 2:, 2:] += 5
    before, after = attention.attend(features, 2), attention.attend(changed, 2)
    torch.testing.assert_close(before[..., :2, :], after[..., :2, :])
    torch.testing.assert_close(before[..., 2:, :2], after[..., 2:, :2])
    assert not torch.allclose(before[..., 2:, 2:], after[..., 2:, 2:])
    assert torch.equal(attention.attend(features, 1), attention(features))


def test_regions_of_one_pixel_see_both_dates_of_it() -> None:
    attention = BasicAttention(4)
    features = torch.randn(1, 4, 2, 2, 2)
    changed = features.clone()
    changed[:, :, 1, 0, 0] += 5  # the later date
    before, after = attention.attend(features, 2), attention.attend(changed, 2)
    assert not torch.allclose(before[:, :, 0, 0, 0], after[:, :, 0, 0, 0])
    torch.testing.assert_close(before[..., 1, 1], after[..., 1, 1])


def test_distance_is_taken_over_the_channels() -> None:
    before = torch.zeros(1, 2, 1, 1)
    after = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    assert feature_distance(after, before).item() == pytest.approx(5.000001, abs=1e-6)


@pytest.mark.parametrize(("labels", "expected"), [([0, 1, 1], 0.374969), ([0, 0, 1], 1.249938), ([1, 0, 1], 3.374719)])
def test_the_loss_is_the_originals(labels: list[int], expected: float) -> None:
    distances = torch.tensor([0.5, 1.5, 2.5])
    changed = torch.tensor(labels) == 1
    assert balanced_contrastive(distances, changed, torch.ones(3, dtype=torch.bool)).item() == pytest.approx(expected, abs=1e-5)


def test_pixels_that_do_not_count_are_in_no_sum_and_no_batch_is_without_a_loss() -> None:
    distances = torch.tensor([0.5, 1.5, 9.0], requires_grad=True)
    counts = torch.tensor([True, True, False])
    with_it = balanced_contrastive(distances, torch.tensor([False, True, False]), counts)
    without = balanced_contrastive(distances[:2], torch.tensor([False, True]), counts[:2])
    assert with_it.item() == without.item()
    nothing = balanced_contrastive(distances, torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool))
    nothing.backward()
    assert nothing.item() == 0
    assert torch.equal(distances.grad, torch.zeros(3))


@pytest.mark.parametrize("attention", ["PAM", "BAM"])
@pytest.mark.parametrize("size", [(64, 64), (70, 45)])
def test_pairs_of_any_size_and_bands_give_distances_of_theirs(attention: str, size: tuple[int, int]) -> None:
    network = ChangeNetwork(create_backbone("timm:test_resnet", 5), attention).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        assert network(torch.rand(2, 10, *size)).shape == (2, 1, *size)


def test_a_pair_of_one_image_has_not_changed() -> None:
    network = ChangeNetwork(create_backbone("timm:test_resnet", 3), "BAM").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert network(torch.cat([image, image], 1)).max() < 0.1


def test_distances_begin_about_the_margin() -> None:
    torch.manual_seed(0)
    network = ChangeNetwork(create_backbone("timm:test_resnet", 3)).train()
    distances = network(torch.randn(4, 6, 64, 64))
    assert 0.3 < distances.mean() < 3
