"""Object detectors: a box for every object."""

from __future__ import annotations

import numpy as np

from chipwright.package.functions.shared import RasterFunction, feature_set, field


class ChipwrightObjectDetector(RasterFunction):
    """Gives polygons with class and confidence."""

    title = "Detect objects"
    fields = [field("OID", "OID"), field("Class", "String"), field("Confidence", "Double"), field("Shape", "Geometry")]

    def own_parameters(self):
        """Return the model's arguments."""
        facts = getattr(self, "facts", {"threshold": 0.5, "nms_overlap": 0.3})
        return [
            *super().own_parameters(),
            self.parameter("threshold", "numeric", facts["threshold"], "Least score of an object, 0 to 1"),
            self.parameter("nms_overlap", "numeric", facts["nms_overlap"], "IoU above which two windows saw one object"),
            self.parameter(
                "exclude_pad_detections",
                "string",
                "True",
                "Leave objects in the padding to the request beside",
                domain=("True", "False"),
            ),
        ]

    def getFields(self):
        """Return the fields of the features."""
        import json

        return json.dumps({"fields": self.fields})

    def getGeometryType(self):
        """Return the number of polygons."""
        return 4

    def vectorize(self, **pixelBlocks):
        """Return the objects of a block, in pixels from the first one that lies in no padding."""
        pixels = np.asarray(pixelBlocks["raster_pixels"])
        mask = np.asarray(pixelBlocks.get("raster_mask", np.ones(pixels.shape[-2:], "u1")))
        held = mask.reshape(pixels.shape[-2:]) != 0
        found = [one for window in self.windows(pixels, mask) for one in self.objects(window, held.shape)]
        found = [one for one in found if on_data(one["box"], held)]
        features = [
            {
                "attributes": {
                    "OID": number,
                    "Class": self.classes[one["label"] - 1]["Name"],
                    "Confidence": round(100 * one["score"], 2),
                },
                "geometry": {"rings": one["rings"]},
            }
            for number, one in enumerate(self.merged(found), 1)
        ]
        return {"output_vectors": feature_set(self.fields, features)}

    def objects(self, window, size):
        """Yield the objects whose middle lies in what is kept of a window, in pixels of the block without padding."""
        top, left, pixels, ((first_row, last_row), (first_column, last_column)) = window
        outputs, least = self.run(pixels), self.number("threshold", self.facts["threshold"])
        everything = not self.truth("exclude_pad_detections", "True")
        # at the borders of a request everything is kept if asked for, between its windows never
        low_row = 0 if everything and first_row <= self.padding else first_row
        low_column = 0 if everything and first_column <= self.padding else first_column
        high_row = size[0] if everything and last_row >= size[0] - self.padding else last_row
        high_column = size[1] if everything and last_column >= size[1] - self.padding else last_column
        for place in np.flatnonzero(outputs["scores"] >= least):
            box = outputs["boxes"][place].astype(np.float64) + np.array([left, top, left, top])
            middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            if not (low_column <= middle[0] < high_column and low_row <= middle[1] < high_row):
                continue
            if box[2] <= self.padding or box[3] <= self.padding:
                continue
            if box[0] >= size[1] - self.padding or box[1] >= size[0] - self.padding:
                continue
            rings = self.rings(outputs, place, box, pixels.shape[-2:], left, top)
            if rings:
                yield {
                    "label": int(outputs["labels"][place]), "score": float(outputs["scores"][place]), "window": (top, left),
                    "box": box, "rings": rings,
                }  # fmt: skip

    def rings(self, outputs, place, box, size, left, top):
        """Return the outline of an object, clockwise, [column, row] from the first pixel without padding."""
        x1, y1, x2, y2 = (float(value - self.padding) for value in box)
        return [[[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]]]

    def merged(self, objects):
        """Return the objects without those that another window saw with a higher score."""
        objects = sorted(objects, key=lambda one: -one["score"])
        overlap, kept = self.number("nms_overlap", self.facts["nms_overlap"]), []
        for one in objects:
            rivals = (o for o in kept if o["label"] == one["label"] and o["window"] != one["window"])
            if all(box_iou(one["box"], other["box"]) <= overlap for other in rivals):
                kept.append(one)
        return kept


def on_data(box, held):
    """Return whether the middle of a box lies on ground with data: elsewhere is nothing, whatever the network makes of it."""
    column, row = (
        min(max(int((box[at] + box[at + 2]) / 2), 0), side - 1) for at, side in ((0, held.shape[1]), (1, held.shape[0]))
    )
    return bool(held[row, column])


def box_iou(first, second):
    """Return the IoU of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)
