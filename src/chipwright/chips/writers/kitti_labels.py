"""KITTI_rectangles: a line of fifteen columns an object, of which the exporter fills the class value and the corners."""

from __future__ import annotations

from chipwright.chips.writers.labels import Labels, Written, boxed
from chipwright.chips.writers.new_chip import NewChip, NewObject


class KittiLabels(Labels):
    """KITTI_rectangles."""

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        text, path = self.path("labels", f"{stem}.txt")
        path.write_text("".join(map(_line, chip.objects)), encoding="ascii", newline="\r\n")
        return Written((text,), boxed(chip.objects))


def _line(one: NewObject) -> str:
    # class, truncated, occluded, alpha; corners; height, width, length, x, y, z and rotation in space
    corners = " ".join(f"{at:7.2f}" for at in one.box)
    return f"{one.value:3d} 0.00 0 0 {corners} 0 0 0 0 0 0 0\n"
