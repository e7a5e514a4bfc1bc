"""U-Net against segmentation_models_pytorch's, over encoders of every layout, at any size, and as ONNX."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from chipwright.networks.backbones import create_backbone
from chipwright.networks.padding import pad_to_multiple
from chipwright.networks.unet import Unet, UnetDecoder
from chipwright.spec import Normalization

TINY = "timm:test_resnet"


class FakeBackbone(nn.Module):
    """Maps of any strides, made by strided convolutions."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], bands: int = 3) -> None:
        super().__init__()
        self.channels, self.strides = channels, strides
        self.layers = nn.ModuleList(
            nn.Conv2d(bands, width, kernel_size=stride, stride=stride) for width, stride in zip(channels, strides, strict=True)
        )

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [layer(images) for layer in self.layers]


def test_the_decoder_with_resnet34_has_the_tensors_of_segmentation_models_in_order():
    ours = UnetDecoder((64, 64, 128, 256, 512), (2, 4, 8, 16, 32))
    theirs = smp.Unet("resnet34", encoder_weights=None).decoder
    assert [tensor.shape for tensor in ours.state_dict().values()] == [t.shape for t in theirs.state_dict().values()]


def _pair() -> tuple[Unet, nn.Module]:
    """Return our U-Net and segmentation_models_pytorch's with the same weights and normalisation statistics."""
    torch.manual_seed(0)
    theirs = smp.Unet("resnet34", encoder_weights=None, classes=5).train()
    with torch.no_grad():
        theirs(torch.randn(2, 3, 64, 64))  # statistics that are not 0 and 1
    ours = Unet(create_backbone("RESNET34", 3), outputs=5)
    for mine, other in ((ours.decoder, theirs.decoder), (ours.head, theirs.segmentation_head)):
        mine.load_state_dict(dict(zip(mine.state_dict(), other.state_dict().values(), strict=True)))
    kept = {f"body.{name}": tensor for name, tensor in theirs.encoder.state_dict().items()}
    ours.backbone.load_state_dict(kept)
    return ours, theirs


@pytest.mark.parametrize("training", [False, True])
def test_with_the_same_weights_it_gives_what_segmentation_models_gives(training):
    ours, theirs = (network.train(training) for network in _pair())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-3, atol=1e-4)


def test_with_the_same_weights_its_gradients_are_those_of_segmentation_models():
    ours, theirs = (network.train() for network in _pair())
    images = torch.randn(2, 3, 64, 64)
    for network in (ours, theirs):
        network(images).square().mean().backward()
    for mine, other in zip(ours.decoder.parameters(), theirs.decoder.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("skip_channels", [0, 7])
def test_enlarging_and_convolving_at_once_equals_doing_one_after_the_other(skip_channels):
    from chipwright.networks.unet import _convolve_enlarged

    generator = torch.Generator().manual_seed(3)
    coarse = torch.randn(2, 5, 6, 9, generator=generator, dtype=torch.float64)
    skip = torch.randn(2, skip_channels, 12, 18, generator=generator, dtype=torch.float64) if skip_channels else None
    weight = torch.randn(4, 5 + skip_channels, 3, 3, generator=generator, dtype=torch.float64)
    fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = nn.functional.conv2d(fine if skip is None else torch.cat([fine, skip], 1), weight, padding=1)
    torch.testing.assert_close(_convolve_enlarged(coarse, skip, weight), expected)


@pytest.mark.parametrize(
    ("strides", "widths"),
    [
        ((2, 4, 8, 16, 32), [256, 128, 64, 32, 16]),
        ((4, 8, 16, 32), [256, 128, 64, 32, 16]),
        ((1, 2, 4, 8, 16), [128, 64, 32, 16]),
        ((1, 2, 4, 8, 16, 32), [256, 128, 64, 32, 16]),
        ((2, 4, 8, 8, 8), [128, 128, 64, 32, 16]),
        ((8, 16), [128, 64, 32, 16]),
    ],
)
def test_every_layout_of_encoder_is_decoded_to_full_size(strides, widths):
    network = Unet(FakeBackbone(tuple(range(3, 3 + len(strides))), strides), outputs=4)
    assert [block.convolution2.out_channels for block in network.decoder.blocks] == widths
    assert network(torch.randn(1, 3, 64, 96)).shape == (1, 4, 64, 96)


def test_every_map_of_the_encoder_reaches_the_result():
    network = Unet(FakeBackbone((4, 5, 6, 7), (1, 4, 8, 32)), outputs=2)
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in network.backbone.layers)


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (31, 17), (1, 1), (100, 3)])
def test_any_image_size_comes_back(size):
    network = Unet(create_backbone(TINY, 4), outputs=3).eval()
    assert network(torch.randn(2, 4, *size)).shape == (2, 3, *size)


def test_an_image_of_odd_size_is_seen_as_if_its_edge_went_on():
    network = Unet(create_backbone(TINY, 3), outputs=3).eval()
    images = torch.randn(1, 3, 50, 61)
    wide = torch.cat([images, images[..., -1:].expand(-1, -1, -1, 3)], 3)
    wide = torch.cat([wide, wide[:, :, -1:].expand(-1, -1, 14, -1)], 2)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(wide)[..., :50, :61])


def test_padding_leaves_fitting_images_alone():
    images = torch.randn(1, 3, 64, 32)
    assert pad_to_multiple(images, 32) is images


def test_class_tensors_have_a_row_for_every_class():
    network = Unet(create_backbone(TINY, 3), outputs=6, first_class=1)
    state = network.state_dict()
    for name, (rows, first) in network.class_tensors().items():
        assert len(state[name]) == first + rows * 5


def test_enlarging_and_convolving_at_once_is_as_exact_in_bfloat16():
    from chipwright.networks.unet import _convolve_enlarged

    generator = torch.Generator().manual_seed(4)
    coarse, skip = torch.randn(2, 32, 8, 8, generator=generator), torch.randn(2, 16, 16, 16, generator=generator)
    weight = torch.randn(24, 48, 3, 3, generator=generator)

    def plainly() -> torch.Tensor:
        fine = nn.functional.interpolate(coarse, scale_factor=2.0)
        return nn.functional.conv2d(torch.cat([fine, skip], 1), weight, padding=1)

    exact = plainly()
    with torch.autocast("cpu", torch.bfloat16):
        plain, merged = plainly(), _convolve_enlarged(coarse, skip, weight)
    assert merged.dtype == torch.bfloat16
    assert (merged.float() - exact).std() < 1.5 * (plain.float() - exact).std()


def test_the_onnx_export_gives_the_same_logits_at_any_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from chipwright.package.onnx import export_onnx

    torch.manual_seed(0)
    network = Unet(create_backbone(TINY, 3), outputs=3).eval()
    unscaled = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    path = export_onnx(network, unscaled, 3, (64, 64), tmp_path / "unet.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in ((64, 64), (96, 128), (70, 45), (20, 33)):
        images = torch.randn(2, 3, *size)
        (logits,) = session.run(None, {"input": images.numpy()})
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(logits), network(images), rtol=1e-3, atol=1e-4)
