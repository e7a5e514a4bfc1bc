"""MMSegmentation's networks as pixel classifiers: the same logits and losses as under their own roof, for chips of any size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from extras import require_openmmlab
from torch import Tensor, nn

from chipwright.chips.chipset import IGNORE
from chipwright.errors import OptionError
from chipwright.networks.losses import ClassPresence, cross_entropy, presence
from chipwright.openmmlab import configs, descriptions
from chipwright.openmmlab.segmenters import CONFIGS

require_openmmlab()

CLASSES = 4


def segmenter(name: str, bands: int = 3, **changes: Any) -> Any:
    from chipwright.openmmlab.segmentation import Segmenter

    torch.manual_seed(0)
    description = descriptions.adapted(configs.read_model(configs.shipped("mmseg", CONFIGS[name])), CLASSES)
    description["decode_head"] = description["decode_head"] | changes if changes else description["decode_head"]
    return Segmenter(description, bands, 1)


def images(size: tuple[int, int] = (64, 96)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, *size, generator=generator), torch.randint(0, CLASSES, (2, *size), generator=generator)


def settled(network: nn.Module) -> nn.Module:
    """Return a network whose batch normalisation has statistics, in evaluation mode."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images()[0])
    return network.eval()


@pytest.mark.parametrize("name", ["cgnet", "fastscnn", "danet", "encnet", "ocrnet", "pointrend", "unet"])
def test_logits_are_those_of_mmsegmentation(name: str) -> None:
    network = settled(segmenter(name))
    pixels = images()[0]
    with torch.no_grad():
        theirs = network.model.encode_decode(pixels, [{"img_shape": pixels.shape[2:]}] * 2)
        torch.testing.assert_close(network(pixels), theirs)


@pytest.mark.parametrize("name", ["hrnet", "danet", "encnet", "ocrnet"])
def test_losses_are_those_of_mmsegmentation(name: str) -> None:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    network = segmenter(name).train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout2d):
            layer.p = 0.0
    pixels, target = images()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=truth[None])) for truth in target]
    theirs = sum(value for key, value in network.model.loss(pixels, samples).items() if "loss" in key)
    outputs = network(pixels)
    outputs = {"out": outputs} if isinstance(outputs, Tensor) else outputs
    weights = {"out": 1.0} | network.aux_weight
    ours = torch.zeros(())
    for key, found in outputs.items():
        loss = presence(found.logits, target) if isinstance(found, ClassPresence) else cross_entropy(found, target)
        ours = ours + weights.get(key, 1.0) * loss
    torch.testing.assert_close(ours, theirs)


def test_pointrend_learns_the_labels_at_the_points_that_it_draws() -> None:
    from mmcv.ops import point_sample

    network = segmenter("pointrend").train()
    pixels, target = images((64, 96))
    drawn = []
    draw = network.heads[1].get_points_train
    network.heads[1].get_points_train = lambda *given, **named: drawn.append(draw(*given, **named)) or drawn[-1]
    found = network(pixels)["points"]
    theirs = point_sample(target[:, None].float(), drawn[0], mode="nearest", align_corners=False)[:, 0].long()
    assert torch.equal(target.flatten(1).gather(1, found.pixels), theirs)
    narrow = network(pixels[..., :50, :70])["points"].pixels
    assert 0 <= int(narrow.min()) <= int(narrow.max()) < 50 * 70


@pytest.mark.parametrize("name", ["mobilenet_v3", "unet", "fastscnn", "hrnet"])
def test_any_image_size_is_taken(name: str) -> None:
    network = segmenter(name)
    pixels = images((45, 70))[0]
    assert network.eval()(pixels).shape == (2, CLASSES, 45, 70)
    found = network.train()(pixels)
    assert (found if isinstance(found, Tensor) else found["out"]).shape == (2, CLASSES, 45, 70)


def test_pools_are_what_they_were_where_the_map_is_large_enough() -> None:
    from chipwright.openmmlab.segmentation import FittingPool, GridPool

    values = torch.randn(2, 3, 65, 70)
    torch.testing.assert_close(FittingPool(49, (16, 20))(values), nn.AvgPool2d(49, (16, 20))(values))
    torch.testing.assert_close(FittingPool(49, (16, 20))(values[..., :8, :9]), values[..., :8, :9].mean((2, 3), keepdim=True))
    torch.testing.assert_close(GridPool(6)(values), nn.AdaptiveAvgPool2d(6)(values))


def test_the_rows_of_classes_are_named() -> None:
    for name, count in {"danet": 8, "encnet": 6, "ocrnet": 4, "pointrend": 4}.items():
        network = segmenter(name)
        state = network.state_dict()
        assert len(network.class_tensors()) == count
        assert all(state[tensor].shape[0] == CLASSES for tensor in network.class_tensors())


def test_presence_leaves_out_what_is_not_labelled() -> None:
    logits = torch.tensor([[3.0, -3.0], [0.0, 0.0]])
    target = torch.tensor([[[0, IGNORE]], [[IGNORE, IGNORE]]])
    expected = nn.functional.binary_cross_entropy_with_logits(logits[:1], torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(presence(logits, target, IGNORE), expected)
    assert presence(logits, torch.full_like(target, IGNORE), IGNORE) == 0


def test_networks_that_learn_otherwise_are_refused() -> None:
    from chipwright.openmmlab.segmentation import Segmenter

    model = configs.read_model(configs.shipped("mmseg", "stdc/stdc1_4xb12-80k_cityscapes-512x1024"))
    with pytest.raises(OptionError, match="STDCHead learns by a loss of its own"):
        Segmenter(descriptions.adapted(model, CLASSES), 3, 1)
