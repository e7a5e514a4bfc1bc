"""Perceptual losses, with random weights in a file: what is computed does not depend on what was learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torchvision import models

from chipwright.errors import OptionError
from chipwright.networks.perceptual import (
    VggFeatures,
    color_images,
    find_perceptual_weights,
    gram,
    pix2pixhd_loss,
    superresolution_loss,
)

WITHOUT = "train without it: --argument perceptual_loss=False"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return files of random weights with torchvision's names, without its classifier."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    kept = {}
    for keyword in ("vgg16_bn", "vgg19"):
        features = getattr(models, keyword)(weights=None).features
        kept[keyword] = folder / f"{keyword}.pth"
        torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, kept[keyword])
    return kept


def test_the_super_resolution_loss_by_hand(files: dict[str, Path]) -> None:
    loss = superresolution_loss(find_perceptual_weights("VGG16_BN", str(files["vgg16_bn"]), WITHOUT))
    vgg = models.vgg16_bn(weights=None).eval()
    vgg.load_state_dict(torch.load(files["vgg16_bn"]), strict=False)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = torch.rand(2, 2, 3, 32, 48)

    def seen(pictures: torch.Tensor) -> list[torch.Tensor]:
        scaled = (pictures - mean[:, None, None]) / std[:, None, None]
        return [vgg.features[: last + 1](scaled) for last in (22, 32, 42)]  # what is pooled third, fourth and fifth

    with torch.no_grad():
        pairs = list(zip((5, 15, 2), seen(images[0]), seen(images[1]), strict=True))
        found = loss(*images)
        feature = sum(weight * F.l1_loss(left, right) for weight, left, right in pairs)
        style = sum(5e3 * weight**2 * F.l1_loss(gram(left), gram(right)) for weight, left, right in pairs)
    torch.testing.assert_close(found["feature"], feature)
    torch.testing.assert_close(found["style"], style)


def test_pix2pixhd_takes_the_first_activation_of_each_block(files: dict[str, Path]) -> None:
    loss = pix2pixhd_loss(find_perceptual_weights("VGG19", str(files["vgg19"]), WITHOUT))
    assert loss.features.positions == [1, 6, 11, 20, 29]
    assert loss.layer_weights == (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    assert set(loss(*torch.rand(2, 1, 3, 32, 32))) == {"feature"}


def test_gradients_reach_the_prediction_and_not_the_vgg(files: dict[str, Path]) -> None:
    loss = pix2pixhd_loss(find_perceptual_weights("VGG19", str(files["vgg19"]), WITHOUT)).train()
    predicted, truth = torch.rand(2, 1, 3, 32, 32)
    predicted.requires_grad_()
    loss(predicted, truth)["feature"].backward()
    assert predicted.grad is not None
    assert predicted.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert not any(module.training for module in loss.features.modules())


def test_gram_matrices_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    torch.testing.assert_close(gram(features), torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4)


def test_other_bands_are_seen_as_colour_or_as_grey() -> None:
    images = torch.rand(1, 4, 5, 5)
    torch.testing.assert_close(color_images(images, [2, 1, 0]), images[:, [2, 1, 0]])
    assert torch.equal(color_images(images, [3]), images[:, [3, 3, 3]])


def test_a_layer_that_is_not_there_is_refused(files: dict[str, Path]) -> None:
    weights = find_perceptual_weights("VGG19", str(files["vgg19"]), WITHOUT)
    with pytest.raises(ValueError, match="relu3_9"):
        VggFeatures("VGG19", weights, ["relu3_9"])


def test_without_weights_the_way_without_them_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("CHIPWRIGHT_WEIGHTS", raising=False)
    with pytest.raises(OptionError, match=r"weights fetch VGG16_BN .*perceptual_weights=FILE; or train without it: .*False\."):
        find_perceptual_weights("VGG16_BN", "imagenet", WITHOUT)
    with pytest.raises(OptionError, match="needs weights; or train without it"):
        find_perceptual_weights("VGG16_BN", "none", WITHOUT)
