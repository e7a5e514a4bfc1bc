"""Makers of images: finer cells, another sensor, another season."""

from __future__ import annotations

import numpy as np

from chipwright.package.functions.shared import RasterFunction

PIXEL_TYPES = {
    "uint8": "u1", "int8": "i1", "uint16": "u2", "int16": "i2", "uint32": "u4", "int32": "i4", "float32": "f4", "float64": "f8",
}  # fmt: skip


class ChipwrightImageTranslator(RasterFunction):
    """Gives an image in the pixel type of those that the model learnt to make."""

    title = "Translate images"

    def updateRasterInfo(self, **kwargs):
        """Say how many bands the result has, and of which type."""
        info = kwargs["output_info"]
        info["bandCount"] = len(self.facts["mean"])
        info["pixelType"] = PIXEL_TYPES[self.facts["dtype"]]
        return kwargs

    def updatePixels(self, tlc, shape, props, **pixelBlocks):
        """Return the image of a block without its padding."""
        mean, std = (np.array(self.facts[name], np.float32)[:, None, None] for name in ("mean", "std"))
        dtype = np.dtype(self.facts["dtype"])

        def restored(numbers):
            values = numbers * std + mean
            if dtype.kind in "iu":
                limits = np.iinfo(dtype)
                values = np.clip(np.rint(values), limits.min, limits.max)
            return values.astype(dtype)

        found = self.painted(pixelBlocks, len(mean), restored)
        pixelBlocks["output_pixels"] = found.astype(props["pixelType"], copy=False)
        return pixelBlocks
