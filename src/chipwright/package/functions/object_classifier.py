"""Object classifiers: a label for every chip that the tool cuts around a feature."""

from __future__ import annotations

import json

import numpy as np

from chipwright.package.functions.shared import RasterFunction, feature_set, field


class ChipwrightObjectClassifier(RasterFunction):
    """Gives each chip's label."""

    title = "Classify objects"
    fields = [field("OID", "OID"), field("Confidence", "String"), field("Label", "String"), field("Shape", "Geometry")]

    def getParameterInfo(self):
        """Return what the tool asks for."""
        first, *others = super().getParameterInfo()
        return [dict(first, name="rasters", dataType="rasters", displayName="rasters"), *others]

    def own_parameters(self):
        """Return the model's arguments."""
        facts = getattr(self, "facts", {"batch_size": 4})
        return [self.parameter("batch_size", "numeric", facts["batch_size"], "Chips of a request")]

    def getConfiguration(self, **scalars):
        """Take the arguments and return which pixels are wanted."""
        wanted = super().getConfiguration(**dict(scalars, padding=0))
        return dict(wanted, padding=0, tx=self.width, ty=self.height, batch_size=self.batch_size)

    def getFields(self):
        """Return the fields of the features."""
        return json.dumps({"fields": self.fields})

    def getGeometryType(self):
        """Return the number of polygons."""
        return 4

    def vectorize(self, **pixelBlocks):
        """Return a feature for each chip: its own rectangle, its label and how sure the model is."""
        features = []
        blocks = pixelBlocks["rasters_pixels"]
        masks = pixelBlocks.get("rasters_mask", [None] * len(blocks))
        for number, (pixels, mask) in enumerate(zip(blocks, masks), 1):
            pixels = np.asarray(pixels)
            height, width = pixels.shape[-2:]
            held = np.ones((height, width), bool) if mask is None else np.asarray(mask).reshape(height, width) != 0
            label, confidence = self.label(self.filled(pixels, held))
            corners = [[0, 0], [0, width - 1], [height - 1, width - 1], [height - 1, 0]]
            attributes = {"OID": number, "Confidence": confidence, "Label": label}
            features.append({"attributes": attributes, "geometry": {"rings": [corners]}})
        return {"output_vectors": feature_set(self.fields, features)}

    def label(self, pixels):
        """Return a chip's label and its confidence in percent as texts; several, with semicolons, where it may have many."""
        if self.facts["squeezed"] and pixels.shape[-2:] != (self.height, self.width):
            pixels = squeezed(pixels, (self.height, self.width))
        logits = self.run(pixels)["output"][0].astype(np.float64)
        names = [one["Name"] for one in self.classes]
        if self.facts["several"]:
            probabilities = 1 / (1 + np.exp(-logits))
            chosen = np.flatnonzero(probabilities >= 0.5)
        else:
            shifted = np.exp(logits - logits.max())
            probabilities = shifted / shifted.sum()
            chosen = [int(probabilities.argmax())]
        return ";".join(names[at] for at in chosen), ";".join("%.2f" % (100 * probabilities[at]) for at in chosen)


def squeezed(pixels, size):
    """Return pixels (bands, height, width) in another size (height, width), smoothed where they shrink."""
    for axis, length in ((1, size[0]), (2, size[1])):
        pixels = np.moveaxis(np.tensordot(weights(pixels.shape[axis], length), pixels, (1, axis)), 0, axis)
    return pixels.astype(np.float32)


def weights(before, after):
    """Return what of `before` pixels goes into each of `after` pixels: a triangle as wide as a new pixel, or an old one."""
    scale = before / after
    support = max(scale, 1.0)
    centers = (np.arange(after) + 0.5) * scale
    distance = np.abs(np.arange(before)[None] + 0.5 - centers[:, None])
    found = np.maximum(0, 1 - distance / support)
    return found / found.sum(1, keepdims=True)
