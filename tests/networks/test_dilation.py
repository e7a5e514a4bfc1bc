"""Dilation in place of downsampling, against timm's and torchvision's own dilated networks and the à trous property."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from chipwright.networks.dilation import dilate, trace


def dilated(network: nn.Module, output_stride: int) -> nn.Module:
    dilate(network, trace(network), output_stride)
    return network.eval()


def features(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, features_only=True, **options).eval().double()


def maps_of(network: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return list(network(images))


class Listed(nn.Module):
    """A toy network that returns its layers' outputs as maps."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            images = layer(images)
            maps.append(images)
        return maps


def test_trace_reads_strides_through_convolutions_without_padding() -> None:
    network = Listed(nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 5, 3), nn.MaxPool2d(3, stride=2))
    found = trace(network)
    assert (found.channels, found.strides) == ((4, 5, 5), (2, 2, 4))
    assert found.inputs == {"layers.0": (1,), "layers.1": (2,), "layers.2": (2,)}


def test_trace_leaves_the_network_in_the_mode_it_was_in() -> None:
    network = Listed(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network.layers[1].eval()
    trace(network)
    assert network.layers[0].training
    assert not network.layers[1].training


def test_trace_refuses_maps_that_do_not_grow_with_the_image() -> None:
    with pytest.raises(ValueError, match="not \\(batch, channels, height, width\\)"):
        trace(Listed(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)))


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "test_convnext", "test_efficientnet"])
def test_maps_equal_those_of_timms_own_dilated_network(name: str, output_stride: int) -> None:
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    theirs = features(name, output_stride=output_stride)
    ours = features(name)
    ours.load_state_dict(theirs.state_dict())
    for own, their in zip(maps_of(dilated(ours, output_stride), images), maps_of(theirs, images), strict=True):
        torch.testing.assert_close(own, their)


def test_the_deepest_map_equals_that_of_torchvisions_dilated_resnet50() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, True, True]).eval().double()
    ours = features("resnet50")
    ours.load_state_dict(theirs.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    trunk = nn.Sequential(*list(theirs.children())[:-2])
    with torch.no_grad():
        torch.testing.assert_close(dilated(ours, 8)(images)[-1], trunk(images))


@pytest.mark.parametrize("name", ["darknet17", "regnetx_002", "resnet18", "ghostnet_050"])
def test_a_dilated_map_holds_the_plain_one_at_every_fourth_pixel(name: str) -> None:
    # Skipped samples of the dense map are the coarse map, whatever lies between them.
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    plain = maps_of(features(name), images)[-1]
    dense = maps_of(dilated(features(name), 8), images)[-1]
    torch.testing.assert_close(dense[..., ::4, ::4], plain)


def test_small_pools_vanish_and_later_convolutions_spread() -> None:
    network = dilated(features("vgg11", mlp_ratio=1 / 4096), 8)
    assert isinstance(network.get_submodule("features_15"), nn.Identity)
    assert isinstance(network.get_submodule("features_20"), nn.Identity)
    assert network.get_submodule("features_13").dilation == (1, 1)
    assert network.get_submodule("features_16").dilation == (2, 2)
    assert [tuple(feature.shape[-2:]) for feature in maps_of(network, torch.zeros(1, 3, 40, 24, dtype=torch.float64))] == [
        (40, 24), (20, 12), (10, 6), (5, 3), (5, 3), (5, 3),
    ]  # fmt: skip


def test_a_larger_pool_keeps_its_window_and_the_size() -> None:
    network = dilated(Listed(nn.Conv2d(3, 4, 8, stride=8), nn.MaxPool2d(3, stride=2, padding=1)), 8)
    pool = network.get_submodule("layers.1")
    assert (pool.kernel_size, pool.stride, pool.padding) == (3, (1, 1), (1, 1))
    assert maps_of(network, torch.zeros(1, 3, 64, 64))[-1].shape[-2:] == (8, 8)


def test_a_large_stride_is_cut_to_what_is_left() -> None:
    network = dilated(Listed(nn.Conv2d(3, 4, 4, stride=4), nn.Conv2d(4, 4, 4, stride=4)), 8)
    assert network.get_submodule("layers.1").stride == (2, 2)


def test_an_even_kernel_keeps_the_size() -> None:
    network = dilated(Listed(nn.Conv2d(3, 4, 8, stride=8), nn.Conv2d(4, 4, 2, stride=2), nn.Conv2d(4, 4, 2, stride=2)), 8)
    assert [feature.shape[-1] for feature in maps_of(network, torch.zeros(1, 3, 64, 64))] == [8, 8, 8]


def test_a_layer_used_at_two_strides_is_refused() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Conv2d(3, 3, 3, stride=4, padding=1)

        def forward(self, images: Tensor) -> list[Tensor]:
            once = self.down(images)
            return [once, self.down(once)]

    network = Shared()
    with pytest.raises(ValueError, match=r"down is used at strides \[1, 4\]"):
        dilate(network, trace(network), 8)


def test_reflected_padding_grows_with_the_dilation() -> None:
    network = Listed(
        nn.Conv2d(3, 4, 16, stride=16), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3, 2, 1)
    )
    # The first layer's own stride of 16 is cut to 8, so the second reads at twice its old resolution.
    sizes = [feature.shape[-1] for feature in maps_of(dilated(network, 8), torch.zeros(1, 3, 128, 128))]
    assert sizes[1] == sizes[0]
