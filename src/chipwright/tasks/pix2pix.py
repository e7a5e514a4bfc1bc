"""pix2pix: pairs, the adversarial loss by cross-entropy, pixels by L1, and what a VGG sees where that is asked for."""

from __future__ import annotations

from torch import Tensor, nn

from chipwright.networks.perceptual import PIX2PIXHD_NETWORK, PerceptualOnDevice, pix2pixhd_loss
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch
from chipwright.tasks.translation import PairTask

WITHOUT = "train without it: --argument perceptual_loss=False"
"""How to train where there are no weights of a VGG."""

PERCEPTUAL_WEIGHT = 10.0
"""Of what the VGG sees, as in pix2pixHD."""


class Pix2PixTask(PairTask):
    """Reads from `ModelSpec.arguments`: perceptual_loss, perceptual_weights."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.perceptual: PerceptualOnDevice | None = None
        if spec.arguments["perceptual_loss"]:
            weights = spec.arguments["perceptual_weights"]
            self.perceptual = PerceptualOnDevice(PIX2PIXHD_NETWORK, pix2pixhd_loss, weights, WITHOUT)

    def generator_losses(self, judge: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the generator's images."""
        losses = super().generator_losses(judge, batch)
        if self.perceptual is not None:
            colors = self.as_color(batch["made"]), self.as_color(self.truth(batch))
            losses["perceptual"] = PERCEPTUAL_WEIGHT * self.perceptual(*colors)["feature"]
        return losses
