"""What an export counts while it is written: features and pixels by class. Sums only, whatever the number of chips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chipwright.chips.chipset import ClassInfo


@dataclass
class Figures:
    """Least, most, sum and count of numbers that go by."""

    least: float = math.inf
    most: float = -math.inf
    total: float = 0
    count: int = 0

    def add(self, number: float) -> None:
        """Take one number in."""
        self.least, self.most = min(self.least, number), max(self.most, number)
        self.total += number
        self.count += 1

    def row(self) -> dict[str, float]:
        """Return them under the exporter's names; zeros where there was no number."""
        if not self.count:
            return dict.fromkeys(("Min", "Max", "Mean", "Sum", "Count"), 0)
        return {
            "Min": self.least,
            "Max": self.most,
            "Mean": self.total / self.count,
            "Sum": self.total,
            "Count": self.count,
        }

    def span(self) -> str:
        """Return them as stats.txt shows them."""
        row = self.row()
        return f"[min = {row['Min']:.0f}, mean = {row['Mean']:.2f}, max = {row['Max']:.0f}]"


class FeatureTally:
    """Counts features: boxes, instances, or labels of whole chips. Chips without any do not count."""

    key = "FeatureStats"

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self.classes = classes
        self.images = {info.value: 0 for info in classes}
        self.areas = {info.value: Figures() for info in classes}
        self.per_image = Figures()

    def add(self, features: Iterable[tuple[int, float]]) -> None:
        """Count the (class value, area in map units) of one chip's features.

        Raises:
            ValueError: if a value is none of the classes'.
        """
        found = list(features)
        for value, area in found:
            if value not in self.areas:
                raise ValueError(f"{value} is not the value of a class of the export ({sorted(self.areas)})")
            self.areas[value].add(area)
        for value in {value for value, _ in found}:
            self.images[value] += 1
        if found:
            self.per_image.add(len(found))

    def state(self) -> dict[str, Any]:
        """Return what esri_accumulated_stats.json says."""
        return {
            "NumClasses": len(self.classes),
            "NumImagesTotal": self.per_image.count,
            "NumFeaturesTotal": self.per_image.total,
            "NumImagesPerClass": list(self.images.values()),
            "NumFeaturesPerClass": [area.count for area in self.areas.values()],
            "NumFeaturesPerImage": self.per_image.row(),
            "FeatureAreaPerClass": [area.row() for area in self.areas.values()],
        }

    def lines(self) -> list[str]:
        """Return what stats.txt says."""
        table = [
            _row(info, 40, self.images[info.value], self.areas[info.value].count, self.areas[info.value])
            for info in self.classes
        ]
        head = f"{'cls name':<40}  cls value     images   features    min size   mean size    max size"
        return [
            "",
            "Class feature statistics:",
            f"features = {self.per_image.total}",
            f"features per image = {self.per_image.span()}",
            f"classes = {len(self.classes)}",
            *([head] if table else []),
            *table,
        ]


class PixelTally:
    """Counts pixels of label rasters. Every chip counts, with zeros for the classes that it lacks."""

    key = "ClassPixelStats"

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self.classes = classes
        self.images = {info.value: 0 for info in classes}
        self.pixels = {info.value: Figures() for info in classes}
        self.per_image = Figures()

    def add(self, counts: Mapping[int, int]) -> None:
        """Count one chip's pixels by value; values that are no class do not count."""
        for value, figures in self.pixels.items():
            figures.add(counts.get(value, 0))
            self.images[value] += value in counts
        self.per_image.add(len(counts.keys() & self.pixels.keys()))

    def state(self) -> dict[str, Any]:
        """Return what esri_accumulated_stats.json says."""
        return {
            "NumClasses": len(self.classes),
            "NumImagesTotal": self.per_image.count,
            "NumImagesPerClass": list(self.images.values()),
            "NumPixelsPerClass": [pixels.total for pixels in self.pixels.values()],
            "NumClassesPerImage": self.per_image.row(),
            "PixelsPerClass": [pixels.row() for pixels in self.pixels.values()],
        }

    def lines(self) -> list[str]:
        """Return what stats.txt says."""
        return [
            f"classes = {len(self.classes)}",
            f"classes per image = {self.per_image.span()}",
            "cls name              cls value     images   pixels      min size   mean size    max size",
            *(
                _row(info, 20, self.images[info.value], self.pixels[info.value].total, self.pixels[info.value])
                for info in self.classes
            ),
        ]


def _row(info: ClassInfo, width: int, images: int, count: float, size: Figures) -> str:
    row = size.row()
    sizes = "".join(f"{row[key]:>12.2f}" for key in ("Min", "Mean", "Max"))
    return f"{info.name:<{width}}{info.value:>11}{images:>11}{count:>11}{sizes}"
