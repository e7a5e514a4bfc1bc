"""DeepLabV3 and PSPNet: the networks that torchvision and the papers have."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101

from chipwright.networks.backbones import create_backbone
from chipwright.networks.point_refinement import PointAnswers, PointRefinement, certainty
from chipwright.networks.pointrend import PointHead
from chipwright.networks.pyramid_pooling import PyramidPooling, averages
from chipwright.networks.segmenter import AtrousHead, PyramidHead, PyramidUnetHead, Segmenter, SpreadConvolution
from chipwright.networks.unet import UnetDecoder
from chipwright.spec import Normalization

TINY = "timm:test_resnet"


def deeplab(backbone: str, outputs: int, **settings: bool) -> Segmenter:
    bone = create_backbone(backbone, 3, output_stride=8)
    head = AtrousHead(bone.channels, outputs)
    return Segmenter(bone, head, head.last, outputs, **settings)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "without", "with_auxiliary"), [("RESNET50", 39_638_869, 42_004_074), ("RESNET101", 58_630_997, 60_996_202)]
)
def test_deeplab_has_torchvisions_parameters(name: str, without: int, with_auxiliary: int) -> None:
    with torch.device("meta"):
        theirs = {"RESNET50": deeplabv3_resnet50, "RESNET101": deeplabv3_resnet101}[name](
            weights=None, weights_backbone=None, aux_loss=True, num_classes=21
        )
    network = deeplab(name, 21)
    assert count(network) == count(theirs) == with_auxiliary
    assert count(deeplab(name, 21, auxiliary=False)) == without


def test_deeplab_gives_torchvisions_logits() -> None:
    theirs = deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=True, num_classes=4)
    ours = deeplab("RESNET50", 4)
    own, given = ours.state_dict(), theirs.state_dict()
    assert len(own) == len(given)
    # both list the backbone's tensors, then the head's, then the auxiliary's, each in the order of its layers
    ours.load_state_dict(dict(zip(own, given.values(), strict=True)))
    images = torch.rand(2, 3, 65, 97)
    theirs.train().classifier[0].project[3].eval()
    ours.train()
    for network in (theirs, ours):
        for layer in network.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
    with torch.no_grad():
        found, expected = ours(images), theirs(images)
    torch.testing.assert_close(found["out"], expected["out"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["aux"], expected["aux"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(6, 6), (7, 10), (3, 2), (1, 13)])
def test_averages_are_those_of_adaptive_pooling(size: tuple[int, int]) -> None:
    features, sizes = torch.rand(2, 3, *size), (1, 2, 3, 6)
    for cells, found in zip(sizes, averages(features, sizes), strict=True):
        torch.testing.assert_close(found, F.adaptive_avg_pool2d(features, cells))


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (2, 3)])
def test_the_pyramid_is_the_3x3_convolution_of_map_and_enlarged_averages(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    pooling = PyramidPooling(8, (1, 2, 3, 6), 16, dropout=0).double()
    features = torch.rand(3, 8, *size, dtype=torch.float64, requires_grad=True)

    found = pooling(features)

    pooled = [level(F.adaptive_avg_pool2d(features, cells)) for level, cells in zip(pooling.levels, (1, 2, 3, 6), strict=True)]
    enlarged = [F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in pooled]
    expected = pooling.join(torch.cat([features, *enlarged], 1))
    torch.testing.assert_close(found, expected)
    weights = (features, pooling.join[0].weight, pooling.levels[2][0].weight)
    for mine, plain in zip(
        torch.autograd.grad(found.square().sum(), weights), torch.autograd.grad(expected.square().sum(), weights), strict=True
    ):
        torch.testing.assert_close(mine, plain)


@pytest.mark.parametrize("size", [(40, 40), (40, 9), (7, 6), (12, 13), (13, 12)])
def test_weights_beyond_the_map_are_left_out_without_a_trace(size: tuple[int, int]) -> None:
    layer = SpreadConvolution(3, 4, 12)
    images = torch.rand(2, 3, *size)
    torch.testing.assert_close(layer(images), F.conv2d(images, layer.weight, padding=12, dilation=12))


@pytest.mark.parametrize(("stride", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18]), (32, [3, 6, 9])])
def test_spread_filters_look_as_far_at_every_stride(stride: int, rates: list[int]) -> None:
    head = AtrousHead((8, 16), 2, stride)
    assert [layer.dilation[0] for layer in head.modules() if isinstance(layer, SpreadConvolution)] == rates


def test_pyramid_pooling_has_the_papers_layers() -> None:
    pooling = PyramidPooling(2048)
    narrow = 4 * 2048 * 512 + 3 * 2 * 512 + 512  # three levels normalised, that of one cell with a bias
    assert count(pooling) == narrow + 4096 * 512 * 9 + 2 * 512
    assert pooling(torch.rand(1, 2048, 8, 9)).shape == (1, 512, 8, 9)


def test_pooling_sees_the_whole_map() -> None:
    pooling = PyramidPooling(4, (1,), 64).eval()
    features = torch.rand(1, 4, 12, 12)
    changed = features.clone()
    changed[:, :, 11, 11] += 100
    with torch.no_grad():
        assert not torch.equal(pooling(features)[..., 0, 0], pooling(changed)[..., 0, 0])


def heads(outputs: int = 3, points: bool = False) -> dict[str, Segmenter]:
    plain, dilated = create_backbone(TINY, 4), create_backbone(TINY, 4, output_stride=8)
    finest = 4 if points else 1
    unet = PyramidUnetHead(plain.channels, plain.strides, outputs, (1, 2), finest)
    pyramid = PyramidHead(dilated.channels, outputs, (1, 3))
    return {
        "unet": Segmenter(plain, unet, unet.last, outputs, auxiliary=False, points=points, stride=finest, multiple=32),
        "pyramid": Segmenter(dilated, pyramid, pyramid.last, outputs, points=points),
    }


@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("name", ["unet", "pyramid"])
def test_images_of_any_size_give_logits_of_theirs(name: str, points: bool) -> None:
    network = heads(points=points)[name].eval()
    for size in [(64, 64), (33, 70), (97, 41)]:
        with torch.no_grad():
            assert network(torch.rand(2, 4, *size)).shape == (2, 3, *size)


def test_training_gives_what_is_learnt_from() -> None:
    assert isinstance(heads()["unet"].train()(torch.rand(2, 4, 64, 64)), torch.Tensor)
    outputs = heads(points=True)["pyramid"].train()(torch.rand(2, 4, 64, 48))
    assert set(outputs) == {"out", "aux", "points"}
    assert outputs["aux"].shape == outputs["out"].shape == (2, 3, 64, 48)
    answers = outputs["points"]
    assert isinstance(answers, PointAnswers)
    assert answers.logits.shape[:2] == (2, 3)
    assert answers.pixels.min() >= 0
    assert answers.pixels.max() < 64 * 48


def test_certainty_is_the_lead_of_the_likeliest_class() -> None:
    assert certainty(torch.tensor([[[3.0, 0.0], [1.0, -1.0], [0.5, 0.0]]])).tolist() == [[2.0, 0.0]]


def test_refinement_changes_only_what_is_in_doubt() -> None:
    refinement = PointRefinement(2, 2, stride=4)
    with torch.no_grad():
        refinement.head.scores.weight.zero_()
        refinement.head.scores.bias.copy_(torch.tensor([7.0, -7.0]))  # every answer is class 0
    coarse = torch.zeros(1, 2, 8, 8)
    coarse[:, 0], coarse[:, 1] = -5.0, 5.0  # class 1 everywhere, for sure
    coarse[:, :, 3:5] = 0.0  # but for two rows
    with torch.no_grad():
        refined = refinement(coarse, torch.rand(1, 2, 16, 16), (32, 32))
    first = refined.argmax(1)[0] == 0
    assert first.any()
    assert not first[:10].any()
    assert not first[22:].any()


def test_class_tensors_are_the_last_layers() -> None:
    state = heads(outputs=5)["pyramid"]
    for name in state.class_tensors():
        assert state.state_dict()[name].shape[0] == 5
    assert len(state.class_tensors()) == 4
    assert "points.head.scores.weight" in heads(points=True)["pyramid"].class_tensors()


def test_points_of_a_widened_image_are_learnt_from_its_own_pixels() -> None:
    """The maps of a 40 x 50 image cover 64 x 64 pixels; labels exist for 40 x 50."""
    refinement = PointRefinement(2, 2, stride=4)
    across = (torch.arange(64) + 0.5).expand(64, -1)
    fine = torch.stack([across, across.T])[None]  # a map that holds its own coordinates
    with torch.no_grad():
        refinement.head = _Echo()
        found = refinement.answers(torch.rand(1, 2, 16, 16), fine, (64, 64), (40, 50))
    assert found.pixels.min() >= 0
    assert found.pixels.max() < 40 * 50
    torch.testing.assert_close(found.logits[:, 0], found.pixels % 50 + 0.5)
    torch.testing.assert_close(found.logits[:, 1], found.pixels // 50 + 0.5)


class _Echo(PointHead):
    """Answers with what it sees in the fine map."""

    def __init__(self) -> None:
        super().__init__(2, 2)

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        return fine


@pytest.mark.parametrize(
    ("strides", "finest", "widths"),
    [((2, 4, 8, 16, 32), 4, [256, 128, 64]), ((4, 8, 16, 32), 4, [256, 128, 64]), ((1, 2, 4, 8, 8, 8), 4, [128, 128, 64])],
)
def test_a_decoder_may_end_at_a_coarser_stride(strides: tuple[int, ...], finest: int, widths: list[int]) -> None:
    decoder = UnetDecoder([3] * len(strides), strides, finest)
    assert [block.convolution2.out_channels for block in decoder.blocks] == widths
    assert decoder([torch.rand(1, 3, 64 // stride, 64 // stride) for stride in strides]).shape[-1] == 64 // finest


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["unet", "pyramid"])
def test_exported_with_points_it_gives_the_same_at_the_size_of_real_chips(name: str, tmp_path: Path) -> None:
    """Where places are asked by rank, rounding now and then picks others; the comparison bears with a few."""
    pytest.importorskip("onnxruntime")
    from chipwright.package.onnx import export_onnx

    torch.manual_seed(0)
    network = heads(points=True)[name]
    assert 0 < network.unsettled < 0.01
    assert heads()[name].unsettled == 0
    scaling = Normalization(mean=(120.0,) * 4, std=(60.0,) * 4)
    assert export_onnx(network, scaling, 4, (288, 256), tmp_path / "network.onnx").is_file()  # it compares the two
