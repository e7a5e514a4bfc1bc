"""The one door to backbones: every keyword and timm network, any bands, any size, any output stride."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from chipwright.errors import OptionError
from chipwright.networks.architectures import KEYWORDS
from chipwright.networks.backbones import Backbone, create_backbone
from chipwright.networks.dilation import dry_run
from chipwright.networks.pretrained import loaded_names
from chipwright.networks.weights import BackboneWeights

TINY = "timm:test_resnet"
FIRST = "conv1.0.weight"


def tiny_weights(bands: int = 3) -> BackboneWeights:
    torch.manual_seed(1)
    return BackboneWeights(create_backbone(TINY, bands).body.state_dict(), (0.5,) * 3, (0.5,) * 3, False, "made up")


def tiny(bands: int, weights: BackboneWeights | None, scheme: str = "random") -> Backbone:
    torch.manual_seed(2)
    return create_backbone(TINY, bands, weights, weight_init_scheme=scheme).eval()


def first_convolution(backbone: Backbone) -> Tensor:
    return backbone.body.state_dict()[FIRST]


def parameter_count(backbone: Backbone) -> int:
    return sum(parameter.numel() for parameter in backbone.parameters())


def check_maps(keyword: str, bands: int) -> None:
    with torch.device("meta"):
        backbone = create_backbone(keyword, bands)
    maps = dry_run(backbone, bands, (128, 192)).maps
    assert backbone.strides[-5:] == (2, 4, 8, 16, 32)
    stated = zip(backbone.channels, backbone.strides, strict=True)
    assert [tuple(shape) for shape in maps] == [(1, c, 128 // s, 192 // s) for c, s in stated]


LARGE = ("DENSENET161", "DENSENET169", "DENSENET201", "RESNET152")


@pytest.mark.parametrize("keyword", [pytest.param(k, marks=pytest.mark.slow) if k in LARGE else k for k in KEYWORDS])
def test_every_keyword_gives_maps_of_the_channels_and_strides_it_states(keyword: str) -> None:
    check_maps(keyword, 13)


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("keyword", ["RESNET18", "DENSENET121", "VGG11", "MOBILENET_V2", "DARKNET53"])
def test_every_family_takes_any_number_of_bands(keyword: str, bands: int) -> None:
    check_maps(keyword, bands)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("keyword", ["RESNET34", "VGG16_BN", "DENSENET121", "MOBILENET_V2", "DARKNET53", "timm:test_convnext"])
def test_every_family_can_be_dilated(keyword: str, output_stride: int) -> None:
    with torch.device("meta"):
        backbone = create_backbone(keyword, 3, output_stride=output_stride)
    maps = dry_run(backbone, 3, (128, 192)).maps
    assert max(backbone.strides) == output_stride
    assert list(backbone.strides) == sorted(backbone.strides)
    assert [shape[-2:] for shape in maps] == [(128 // stride, 192 // stride) for stride in backbone.strides]


@pytest.mark.parametrize(
    ("keyword", "count"), [("RESNET34", 21_284_672), ("VGG16", 14_714_688), ("RESNET50", 23_508_032), ("DARKNET53", 40_584_928)]
)
def test_a_backbone_has_the_parameters_of_the_published_network_without_its_head(keyword: str, count: int) -> None:
    with torch.device("meta"):
        assert parameter_count(create_backbone(keyword, 3)) == count


@pytest.mark.parametrize("size", [(1, 1), (16, 40), (33, 65), (47, 31)])
@pytest.mark.parametrize("name", ["RESNET18", "VGG11", "DENSENET121", "MOBILENET_V2", TINY, "timm:test_convnext", "timm:dla34"])
def test_any_image_size_passes(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name, 3)
    for shape, stride in zip(dry_run(backbone, 3, size).maps, backbone.strides, strict=True):
        for side, given in zip(shape[-2:], size, strict=True):
            assert max(1, given // stride) <= side <= -(-given // stride)


def test_a_network_that_needs_even_sides_sees_the_same_pixels_as_without_padding() -> None:
    torch.manual_seed(0)
    backbone = create_backbone("timm:dla34", 3).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        whole, cut = backbone(images), backbone(images[..., :63, :63])
    # Far from the lower and right edge the repeated row and column cannot be seen.
    torch.testing.assert_close(cut[1][..., :8, :8], whole[1][..., :8, :8])


def test_a_network_with_channels_last_maps_gives_them_first() -> None:
    backbone = create_backbone("timm:test_mambaout", 3).eval()
    with torch.no_grad():
        assert [feature.shape[1] for feature in backbone(torch.zeros(1, 3, 64, 64))] == list(backbone.channels)


def test_maps_behind_the_fifth_are_returned_too() -> None:
    with torch.device("meta"):
        assert create_backbone("timm:selecsls42", 3).strides == (2, 4, 8, 16, 32, 32)


def test_random_weights_follow_torchs_generator() -> None:
    first, again = tiny(4, None), tiny(4, None)
    other = create_backbone(TINY, 4)
    assert torch.equal(first_convolution(first), first_convolution(again))
    assert not torch.equal(first_convolution(first), first_convolution(other))


def test_what_is_asked_before_does_not_change_random_weights() -> None:
    torch.manual_seed(2)
    create_backbone("timm:test_byobnet", 3)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    create_backbone("timm:test_byobnet", 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_three_bands_take_the_weights_as_they_are() -> None:
    weights = tiny_weights()
    backbone = tiny(3, weights)
    state = backbone.body.state_dict()
    assert all(torch.equal(state[name], weights.state[name]) for name in state)
    assert {name.removeprefix("body.") for name in loaded_names(backbone)} == {
        name for name in state if not name.endswith("num_batches_tracked")
    }


def test_random_keeps_the_first_three_bands_and_draws_the_others() -> None:
    weights = tiny_weights()
    adapted = first_convolution(tiny(5, weights))
    assert torch.equal(adapted[:, :3], weights.state[FIRST])
    assert torch.equal(adapted[:, 3:], first_convolution(tiny(5, None))[:, 3:])


def test_red_band_copies_the_first_band() -> None:
    weights = tiny_weights()
    adapted = first_convolution(tiny(5, weights, "red_band"))
    assert torch.equal(adapted, weights.state[FIRST][:, [0, 1, 2, 0, 0]])


def test_all_random_takes_nothing_of_the_first_convolution() -> None:
    assert torch.equal(first_convolution(tiny(5, tiny_weights(), "all_random")), first_convolution(tiny(5, None)))


def test_one_band_gives_what_a_grey_image_gives_the_pretrained_network() -> None:
    weights = tiny_weights()
    grey = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        for own, pretrained in zip(tiny(1, weights)(grey), tiny(3, weights)(grey.expand(1, 3, 32, 32)), strict=True):
            torch.testing.assert_close(own, pretrained)


def test_two_bands_keep_the_scale_of_three() -> None:
    weights = tiny_weights()
    assert torch.equal(first_convolution(tiny(2, weights)), weights.state[FIRST][:, :2] * 1.5)


@pytest.mark.parametrize("scheme", ["random", "red_band", "all_random"])
def test_an_adapted_first_convolution_does_not_count_as_loaded(scheme: str) -> None:
    backbone = tiny(4, tiny_weights(), scheme)
    missing = {name for name, _ in backbone.named_parameters()} - loaded_names(backbone)
    assert missing == {f"body.{FIRST}"}


def test_the_bias_of_an_adapted_first_convolution_is_trained_with_it() -> None:
    torch.manual_seed(0)
    weights = BackboneWeights(create_backbone("timm:test_convnext", 3).body.state_dict(), (0.5,), (0.5,), False, "made up")
    backbone = create_backbone("timm:test_convnext", 4, weights)
    missing = {name for name, _ in backbone.named_parameters()} - loaded_names(backbone)
    assert missing == {"body.stem_0.weight", "body.stem_0.bias"}


def test_weights_for_the_very_bands_are_taken_whole() -> None:
    weights = tiny_weights(bands=13)
    backbone = tiny(13, weights)
    assert torch.equal(first_convolution(backbone), weights.state[FIRST])
    assert f"body.{FIRST}" in loaded_names(backbone)


def test_weights_for_other_bands_than_three_are_not_adapted() -> None:
    with pytest.raises(OptionError, match="for images of 13 bands and the chips have 4"):
        tiny(4, tiny_weights(bands=13))


def test_weights_of_another_network_are_refused() -> None:
    weights = BackboneWeights(create_backbone("timm:test_resnet", 3).body.state_dict(), (0.5,), (0.5,), False, "X.pth")
    with pytest.raises(OptionError, match=r"X\.pth do not fit RESNET18"):
        create_backbone("RESNET18", 3, weights)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RESNET33", "There is no backbone 'RESNET33'. Did you mean RESNET34?"),
        ("timm:resnet5O", "no network 'resnet5O'. Did you mean resnet50?"),
        ("timm:resnet18.nope", "no weights 'nope' for resnet18; it has a1_in1k"),
        ("timm:hf-hub:someone/something", "no network"),
        ("timm:vit_tiny_patch16_224", "no feature pyramid: its maps all have stride 16"),
        ("timm:tresnet_m", "no feature pyramid"),
        ("timm:swin_tiny_patch4_window7_224", "no convolutional network for images of any size"),
        ("REID_V2", "REID_V2 is a network of DeepSORT"),
    ],
)
def test_a_backbone_that_cannot_serve_is_refused_in_words(name: str, words: str) -> None:
    with pytest.raises(OptionError, match=words.replace("?", r"\?")):
        create_backbone(name, 3)


def test_a_network_for_three_bands_alone_is_refused_for_others() -> None:
    with pytest.raises(OptionError, match="csatv2 takes images of 3 bands alone; the chips have 4"):
        create_backbone("timm:csatv2", 4)


def test_a_network_that_cannot_be_dilated_says_so() -> None:
    with pytest.raises(OptionError, match="hrnet_w18_small cannot be brought to output stride 8: its layers do not meet"):
        create_backbone("timm:hrnet_w18_small", 3, output_stride=8)


def test_an_output_stride_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="output stride is 4; it must be 8, 16 or 32"):
        create_backbone(TINY, 3, output_stride=4)


def test_an_unknown_init_scheme_is_refused() -> None:
    with pytest.raises(OptionError, match="must be random, red_band or all_random"):
        create_backbone(TINY, 4, weight_init_scheme="blue_band")


def test_names_are_taken_in_any_case() -> None:
    with torch.device("meta"):
        assert create_backbone("mobilenet-v2", 3).name == "MOBILENET_V2"


@pytest.mark.slow
@pytest.mark.parametrize("keyword", ["RESNET152", "DENSENET201", "VGG19_BN", "DARKNET53"])
def test_the_large_ones_run_on_real_numbers_dilated_and_odd(keyword: str) -> None:
    backbone = create_backbone(keyword, 4, output_stride=8).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 4, 65, 71))
    assert all(feature.isfinite().all() for feature in maps)
    assert set(maps[-1].shape[-2:]) <= {8, 9}
