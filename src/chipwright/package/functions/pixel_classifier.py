"""Pixel classifiers: a class for every pixel; changed ground between two dates; thin edges; roads; time series."""

from __future__ import annotations

import json

import numpy as np

from chipwright.package.functions.shared import RasterFunction


class ChipwrightPixelClassifier(RasterFunction):
    """Gives class values."""

    title = "Classify pixels"

    def own_parameters(self):
        """Return the model's arguments."""
        more = []
        if getattr(self, "facts", {}).get("decision") == "edges":
            more = [self.parameter("threshold", "numeric", self.facts["threshold"], "Least probability of an edge, 0 to 1")]
        return [*super().own_parameters(), *more]

    def updateRasterInfo(self, **kwargs):
        """Say that the result is one band of class values, and which there are."""
        info = kwargs["output_info"]
        info["bandCount"] = 1
        info["pixelType"] = "i4"
        names = {"OID": "esriFieldTypeOID", "Value": "esriFieldTypeInteger", "Class": "esriFieldTypeString"}
        names.update(dict.fromkeys(("Red", "Green", "Blue"), "esriFieldTypeInteger"))
        rows = [
            {"attributes": dict(zip(names, (number, one["Value"], one["Name"], *one["Color"])))}
            for number, one in enumerate(self.classes, 1)
        ]
        fields = [{"name": name, "type": kind, "alias": name} for name, kind in names.items()]
        info["rasterAttributeTable"] = json.dumps({"fields": fields, "features": rows})
        return kwargs

    def updatePixels(self, tlc, shape, props, **pixelBlocks):
        """Return the class values of a block without its padding."""
        found = self.painted(pixelBlocks, 1, lambda numbers: self.decide(numbers)[None])
        pixelBlocks["output_pixels"] = found.astype(props["pixelType"], copy=False)
        return pixelBlocks

    def filled(self, pixels, held):
        """Return pixels as the network takes them; of a time series, dates without data are NaN, which the network knows."""
        found, missing = super().filled(pixels, held), self.facts.get("missing")
        if missing:
            series = found.reshape(-1, missing["bands"], *found.shape[1:])
            nothing = (series == np.float32(missing["value"])).all(1, keepdims=True)
            found = np.where(nothing, np.float32(np.nan), series).reshape(found.shape)
        return found

    def decide(self, numbers):
        """Return class values (height, width) from the network's numbers (channels, height, width)."""
        values, decision = np.array(self.facts["values"], np.int64), self.facts["decision"]
        if decision == "distance":
            return values[(numbers[0] > self.facts["limit"]).astype(np.intp)]
        if decision == "edges":
            strength = thinned(1 / (1 + np.exp(-numbers[0].astype(np.float64))).astype(np.float32))
            return values[(strength >= self.number("threshold", self.facts["threshold"])).astype(np.intp)]
        numbers = numbers.copy()
        numbers[self.facts["ignored"]] = -np.inf
        return values[numbers.argmax(0)]


def thinned(probabilities):
    """Return edge probabilities (height, width) with 0 wherever a neighbour across the edge has more."""
    ridge, smooth = smoothed(probabilities, 1.0), smoothed(probabilities, 2.0)
    down, across = np.gradient(smooth)
    (down_down, down_across), (_, across_across) = np.gradient(down), np.gradient(across)
    angle = np.arctan2(2 * down_across, across_across - down_down) / 2 + np.where(across_across + down_down < 0, np.pi / 2, 0)
    rows, columns = np.indices(probabilities.shape, np.float32)
    kept = probabilities.copy()
    for side in (-1, 1):
        kept[between(ridge, rows + side * np.sin(angle), columns + side * np.cos(angle)) > ridge] = 0
    return kept


def smoothed(values, deviation):
    """Return values (height, width) under a Gaussian filter that repeats the border."""
    reach = int(4 * deviation + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        sides = [(reach, reach) if axis == at else (0, 0) for at in (0, 1)]
        padded, length = np.pad(values.astype(np.float64), sides, mode="edge"), values.shape[axis]
        parts = [weight * np.take(padded, range(at, at + length), axis) for at, weight in enumerate(weights)]
        values = np.sum(parts, axis=0).astype(np.float32)
    return values


def between(values, rows, columns):
    """Return values (height, width) at places between pixels; beyond the border those of the border."""
    height, width = values.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = rows - top, columns - left
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[below, left] * (1 - across) + values[below, right] * across
    return upper * (1 - down) + lower * down
