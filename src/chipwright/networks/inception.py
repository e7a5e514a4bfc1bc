"""The Inception network by which made images are told from true ones: that of the FID (Heusel et al. 2017, arXiv:1706.08500).

Its layers are torch-fidelity's (the extra `fid`), its weights those that TensorFlow published on 2015-12-05, by which FID is
defined; others give other figures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chipwright.errors import MissingExtra, OptionError
from chipwright.networks.state_dicts import read_weights_file
from chipwright.networks.weight_sources import published_file

CHANNELS = 2048
"""Numbers by which an image is described."""

_AT_ONCE = 16
_NAMES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
_ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_NAMES[0]}"


class Inception:
    """Describes images.

    Raises:
        MissingExtra: if torch-fidelity is not installed.
        OptionError: if the weights are not to be had, or are no such network's.
    """

    def __init__(self, device: torch.device) -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise MissingExtra("fid", "The FID of made images") from error
        path = published_file(_ADDRESS, "the weights of FID's Inception network", _NAMES)
        tensors, _ = read_weights_file(path)
        with tempfile.TemporaryDirectory(prefix="chipwright-") as folder:
            # torch-fidelity unpickles whatever a file holds: it is given one with nothing but tensors in it
            clean = Path(folder) / "inception.pth"
            torch.save(tensors, clean)
            try:
                network: Any = FeatureExtractorInceptionV3("inception", [str(CHANNELS)], str(clean))
            except RuntimeError as error:
                raise OptionError(f"{path} does not hold the weights of FID's Inception network; fetch {_ADDRESS}.") from error
        self.device = device
        self._network: nn.Module = network.to(device)

    def __call__(self, images: Sequence[Tensor]) -> Tensor:
        """Return the description (count, CHANNELS), float32 on the CPU, of images (3, height, width) of 8 bits."""
        found = []
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            for _, alike in groupby(images, lambda image: image.shape):
                for part in torch.split(torch.stack(list(alike)), _AT_ONCE):
                    found.append(self._network(part.to(self.device))[0].float().cpu())
        return torch.cat(found)
