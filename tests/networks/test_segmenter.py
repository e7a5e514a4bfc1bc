"""DeepLabV3 and PSPNet: the networks that torchvision and the papers have."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101

from chipwright.networks import pyramid_pooling
from chipwright.networks.backbones import create_backbone
from chipwright.networks.point_refinement import PointAnswers, PointRefinement, certainty
from chipwright.networks.pyramid_pooling import PyramidPooling, averages
from chipwright.networks.segmenter import AtrousHead, PyramidHead, PyramidUnetHead, Segmenter

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
def test_averages_for_onnx_are_those_of_adaptive_pooling(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.rand(2, 3, *size)
    monkeypatch.setattr(pyramid_pooling.torch.compiler, "is_exporting", lambda: True)
    for cells in (1, 2, 3, 6):
        torch.testing.assert_close(averages(features, cells), F.adaptive_avg_pool2d(features, cells))


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
    unet = PyramidUnetHead(plain.channels, plain.strides, outputs, (1, 2))
    pyramid = PyramidHead(dilated.channels, outputs, (1, 3))
    return {
        "unet": Segmenter(plain, unet, unet.last, outputs, auxiliary=False, points=points, stride=1, multiple=32),
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
