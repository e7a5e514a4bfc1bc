"""A road network with the rounds that mend its gaps.

    network = RoadNetwork(LinkNetMTL(backbone, orientations=19), refiner(bands=3), rounds=3)
    logits = network.eval()(images)             # (batch, 2, height, width)

Refinement (Batra et al. 2019, section 3.4): a LinkNet is shown the image, a road mask with faults and its own last answer, and
says where the roads are, several rounds over. It learns on true masks with lines erased and lines made up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chipwright.networks.backbones import Backbone, create_backbone
from chipwright.networks.linknet import LinkNet, RoadOutputs, road_probability

REFINER_BACKBONE = "RESNET34"
EXTRA_BANDS = 2
"""Beside the image's: the mask with faults and the last answer."""


class RoadNetwork(nn.Module):
    """A network of both tasks and, with `rounds`, a refiner behind it.

    Args:
        body: `HourglassMTL` or `LinkNetMTL`: normalised images to `RoadOutputs`.
        refiner: takes images with two further bands.
        rounds: how often the refiner looks.

    Attributes:
        scales: strides of the body's outputs, coarse to fine.
    """

    def __init__(self, body: nn.Module, refiner: nn.Module | None = None, rounds: int = 0) -> None:
        super().__init__()
        self.body = body
        self.refiner = refiner
        self.rounds = rounds if refiner is not None else 0
        self.scales: tuple[int, ...] = tuple(body.scales)  # type: ignore[arg-type]

    def forward(self, images: Tensor, drafts: Tensor | None = None) -> Tensor | tuple[RoadOutputs, list[Tensor]]:
        """Return the road logits (batch, 2, height, width); in training everything that is supervised (see `everything`)."""
        outputs, refined = self.everything(images, drafts)
        if self.training:
            return outputs, refined
        return refined[-1] if refined else outputs.roads[-1]

    def everything(self, images: Tensor, drafts: Tensor | None = None) -> tuple[RoadOutputs, list[Tensor]]:
        """Return the body's outputs, and the refiner's logits of every round.

        Args:
            images: (batch, bands, height, width), normalised.
            drafts: road masks with faults (batch, height, width), 0 to 1, negative in samples where the body's own answer is
                to be mended; None mends all of the body's.
        """
        outputs = self.body(images)
        if self.refiner is None or not self.rounds:
            return outputs, []
        draft = road_probability(outputs.roads[-1]).detach()
        if drafts is not None:
            given = drafts.unsqueeze(1).to(draft.dtype)
            draft = torch.where(given >= 0, given, draft)
        answer, refined = draft, []
        for _ in range(self.rounds):
            logits = self.refiner(torch.cat([images, draft.to(images.dtype), answer.to(images.dtype)], dim=1))
            answer = road_probability(logits).detach()
            refined.append(logits)
        return outputs, refined


class ScratchEncoder(nn.Module):
    """A backbone that starts from random weights whatever weights there are, its first convolution with a bias.

    It is no `Backbone`, so that pretrained weights, freezing and resuming pass it by.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.channels, self.strides = backbone.channels, backbone.strides
        self.body = backbone.body
        name, first = next((name, part) for name, part in self.body.named_modules() if isinstance(part, nn.Conv2d))
        again = nn.Conv2d(
            first.in_channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=True  # type: ignore[arg-type]
        )  # fmt: skip
        parent, _, leaf = name.rpartition(".")
        setattr(self.body.get_submodule(parent), leaf, again)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps, finest first."""
        return list(self.body(images))


def refiner(bands: int, backbone: str = REFINER_BACKBONE) -> LinkNet:
    """Return the refinement network for images of `bands`: 21 648 866 parameters for 3."""
    return LinkNet(ScratchEncoder(create_backbone(backbone, bands + EXTRA_BANDS)))
