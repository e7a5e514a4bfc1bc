"""What detectors share: losses of a network in evaluation mode, and batches of images of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chipwright.networks.detection import loss_branch, losses_and_detections, padded_batch


class DropPath(nn.Identity):
    """Drops at random in training, under a name of timm's."""


class Toy(nn.Module):
    """Keeps torchvision's contract."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), DropPath())
        self.head = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 1), DropPath())

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> object:
        maps = self.head(self.backbone(torch.stack(images)))
        if self.training:
            assert targets is not None
            return {"loss": maps.mean()}
        return [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0), "scores": one.mean()[None]} for one in maps]


def test_only_what_computes_the_same_is_put_in_training_mode() -> None:
    network = Toy().eval()

    with loss_branch(network):
        up = {name for name, module in network.named_modules() if module.training}

    assert up == {"", "head", "head.2"}
    assert not any(module.training for module in network.modules())


def test_flags_are_put_back_after_an_error() -> None:
    network = Toy().eval()

    try:
        with loss_branch(network):
            raise ArithmeticError
    except ArithmeticError:
        pass

    assert not network.training


def test_losses_are_of_the_network_that_predicts_and_leave_it_as_it_was() -> None:
    torch.manual_seed(0)
    network = Toy().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = [torch.randn(3, 8, 8) for _ in range(2)]

    losses, detections = losses_and_detections(network, images, [{}, {}])

    scores = torch.cat([one["scores"] for one in detections])
    torch.testing.assert_close(losses["loss"], scores.mean())
    torch.testing.assert_close(network.state_dict(), before)


def test_a_batch_is_padded_at_the_right_and_below_with_zeros() -> None:
    images = [torch.ones(2, 70, 40), torch.ones(2, 30, 65)]

    batch = padded_batch(images)

    assert batch.tensors.shape == (2, 2, 96, 96)
    assert batch.image_sizes == [(70, 40), (30, 65)]
    assert [float(one.sum()) for one in batch.tensors] == [2 * 70 * 40, 2 * 30 * 65]
    assert batch.tensors[1, :, :30, :65].min() == 1


def test_a_single_small_image_is_padded_to_what_normalisation_needs() -> None:
    assert padded_batch([torch.ones(1, 20, 33)]).tensors.shape == (1, 1, 64, 64)
