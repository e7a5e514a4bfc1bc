"""What object detectors of every architecture share as rows of the catalog: data, checks, the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError
from chipwright.models.base import Arguments, BackboneArguments, ModelType
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from chipwright.tasks.base import Task


LeastScore = Annotated[float, Field(ge=0, lt=1, description="Least score of the boxes returned in inference.")]
MostOverlap = Annotated[
    float, Field(ge=0, le=1, description="IoU above which the weaker of two boxes of a class is suppressed.")
]


class DetectorArguments(BackboneArguments):
    """Arguments of every detector."""

    # the validation loss of a detector rises as it grows sure of objects that nobody labelled, while it still learns to find
    monitor: str = Field(
        "average_precision",
        description="Metric that picks the best epoch and stops training early; the reference's is valid_loss.",
    )


class BoxArguments(DetectorArguments):
    """Arguments about the boxes that a one-stage detector returns, named as FASTERRCNN's."""

    box_score_thresh: LeastScore = 0.05
    box_nms_thresh: MostOverlap = 0.5
    box_detections_per_img: int = Field(300, ge=1, description="Most boxes returned for an image, all classes together.")

    def box_settings(self) -> dict[str, Any]:
        """Return these arguments by name, for the network."""
        return self.model_dump(include=set(BoxArguments.model_fields) - set(BackboneArguments.model_fields))


class DetectorType(ModelType):
    """A model type that finds objects as boxes. Subclasses add the network and what it fits.

    Attributes:
        max_detections: most boxes an image is given, the best first, where no argument of the type says so.
        labelled: what some chip must have.
        learning_rate: where neither the user nor a range test says one.
        gradient_clip: largest norm of the gradients of a step, where they are clipped.
    """

    formats: ClassVar[tuple[str, ...]] = ("PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles")
    monitors = ("valid_loss", "average_precision")
    max_detections: ClassVar[int] = 100
    labelled: ClassVar[str] = "a labelled box"
    learning_rate: ClassVar[float] = 3e-4
    gradient_clip: ClassVar[float | None] = None

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where no chip has a box."""
        if not len(boxes_of(chips)):
            raise DataError(
                f"None of the {len(chips)} chips has {self.labelled}; object detection needs some. Check that the labels "
                "belong to the images, and that the features of the export lay within its rasters."
            )

    def detections(self, arguments: dict[str, Any]) -> int:
        """Return the most boxes an image is given, from the type's validated arguments."""
        return int(arguments.get("box_detections_per_img", self.max_detections))

    def task(self, spec: ModelSpec) -> Task:
        """Return the detection task."""
        from chipwright.tasks.detection import DetectionTask

        return self.tuned(DetectionTask(spec, self.detections(spec.arguments)))

    def tuned(self, task: Task) -> Task:
        """Return a task at the type's learning rate and with its gradients clipped as the type says."""
        task.default_learning_rate, task.gradient_clip = self.learning_rate, self.gradient_clip
        return task

    def crowded(
        self,
        chips: ChipSet,
        arguments: dict[str, Any],
        remedy: str = " (box_detections_per_img); raise that to find them all",
    ) -> list[str]:
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


def fitted_sizes(
    chips: ChipSet, earlier: Mapping[str, Any] | None, strides: Sequence[int], **layout: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return {"anchor_sizes": sides in pixels} where the usual anchors match the boxes badly, and what to say of it.

    A pretrained model's own, `earlier`, are kept: its heads know no others.

    Args:
        chips: to train on.
        earlier: what the pretrained model had fitted, when one is fine-tuned.
        strides: of the levels that have anchors.
        layout: `ratios`, `scales` and `per_stride` of `chipwright.networks.anchors.fit_sizes`.
    """
    from chipwright.networks.anchors import default_sizes, fit_sizes

    if earlier is not None:
        return {name: value for name, value in earlier.items() if name == "anchor_sizes"}, []
    fit = fit_sizes(boxes_of(chips), strides, **layout)
    if fit is None:
        return {}, []
    usual = default_sizes(strides, **{name: value for name, value in layout.items() if name == "per_stride"})
    return {"anchor_sizes": list(fit.sizes)}, [
        f"Anchors of {_sides(fit.sizes)} px were fitted to the boxes: the usual {_sides(usual)} px match them badly "
        f"(median best IoU {fit.before:.2f}, now {fit.after:.2f})."
    ]


def _sides(sizes: Sequence[float]) -> str:
    return ", ".join(f"{size:g}" for size in sizes)
