"""Captioners on maps: a sentence for every feature or tile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import torch
from map_builders import model_of, raster_file, spec_for
from torch import Tensor, nn

from chipwright import api
from chipwright.errors import DataError, OptionError
from chipwright.tasks.captions import CaptionTask
from chipwright.tasks.words import END, SPECIAL


class Brightest(nn.Module):
    """Says the word whose number is the brightest pixel's value, surely."""

    @property
    def decoder(self) -> Brightest:
        """Itself."""
        return self

    def encode(self, images: Tensor) -> Tensor:
        """Return the brightest value of each image."""
        return images.amax((1, 2, 3))

    def search(self, features: Tensor, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return the word and the end."""
        words = features.round().long() - 1 + len(SPECIAL)
        return torch.stack([words, torch.full_like(words, END)], 1), features * 0, torch.full_like(words, 2)


def captioner() -> Any:
    fitted = {"vocabulary": [*SPECIAL, "field", "road", "house"], "longest": 5}
    spec = spec_for((1,), metadata_format="ImageCaptioning", chip_size=(32, 32), classes=(), fitted=fitted)
    return model_of(Brightest(), CaptionTask(spec), "IMAGECAPTIONER")


def test_every_tile_gets_a_caption_and_its_score(tmp_path: Path) -> None:
    pixels = np.ones((32, 64), np.uint8)
    pixels[10, 40] = 3
    raster = raster_file(tmp_path / "in.tif", pixels)
    done = api.predict(captioner(), raster, tmp_path / "out.gpkg")
    _, _, _, (captions, confidence) = pyogrio.raw.read(tmp_path / "out.gpkg")
    assert captions.tolist() == ["field", "house"]
    assert confidence.tolist() == [100, 100]
    assert done.counts == {"captions": 2}
    assert list(pyogrio.read_info(tmp_path / "out.gpkg")["fields"]) == ["Caption", "Confidence"]


def test_a_threshold_is_refused(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.ones((32, 32), np.uint8))
    with pytest.raises(OptionError, match="gives every tile a caption; leave the threshold out"):
        api.predict(captioner(), raster, tmp_path / "out.gpkg", threshold=0.5)


def test_a_raster_without_data_has_nothing_to_describe(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.zeros((32, 32), np.uint8), nodata=0)
    with pytest.raises(DataError, match="None of the places to describe holds data"):
        api.predict(captioner(), raster, tmp_path / "out.gpkg")
