"""What object detectors of every architecture share as rows of the catalog: data, checks, the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError
from chipwright.models.base import Arguments, ModelType
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from chipwright.tasks.base import Task


class DetectorType(ModelType):
    """A model type that finds objects as boxes. Subclasses add the network and what it fits.

    Attributes:
        max_detections: most boxes an image is given, the best first, where no argument of the type says so.
        labelled: what some chip must have.
    """

    formats: ClassVar[tuple[str, ...]] = ("PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles")
    monitors = ("valid_loss", "average_precision")
    max_detections: ClassVar[int] = 100
    labelled: ClassVar[str] = "a labelled box"

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where no chip has a box."""
        if not len(boxes_of(chips)):
            raise DataError(
                f"None of the {len(chips)} chips has {self.labelled}; object detection needs some. Check that the labels "
                "belong to the images, and that the features of the export lay within its rasters."
            )

    def detections(self, arguments: dict[str, Any]) -> int:
        """Return the most boxes an image is given, from the type's validated arguments."""
        return self.max_detections

    def task(self, spec: ModelSpec) -> Task:
        """Return the detection task."""
        from chipwright.tasks.detection import DetectionTask

        return DetectionTask(spec, self.detections(spec.arguments))

    def crowded(self, chips: ChipSet, arguments: dict[str, Any], remedy: str) -> list[str]:
        """Return a sentence where a chip holds more boxes than an image is given, else nothing."""
        given, most = self.detections(arguments), most_boxes(chips)
        return [f"A chip has {most} boxes, but the model returns {given} at most{remedy}."] if most > given else []


def boxes_of(chips: ChipSet) -> NDArray[np.float64]:
    """Return the boxes of all chips as (count, 4): xmin, ymin, xmax, ymax in pixels of their chip."""
    found = [chip.boxes for chip in chips.chips if chip.boxes is not None]
    return np.concatenate([*found, np.zeros((0, 4))])


def most_boxes(chips: ChipSet) -> int:
    """Return how many boxes the fullest chip has."""
    return max((len(chip.boxes) for chip in chips.chips if chip.boxes is not None), default=0)
