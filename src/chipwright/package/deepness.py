"""A model as the QGIS plugin Deepness opens it: one ONNX file with everything that the plugin would ask for.

The plugin hands over tiles of 8-bit pixels divided by 255, square and of one size. Of a pixel classifier it wants the classes'
probabilities (1, classes, height, width); of a detector rows of centre, size, score and classes (1, objects, 5 + classes), as
YOLOv5 gives them. What it knows of a model stands in the file's metadata, as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.errors import OptionError
from chipwright.package.onnx import export_onnx
from chipwright.spec import Normalization
from chipwright.tasks.detection import NMS_OVERLAP, DetectionTask
from chipwright.tasks.pixels import PixelTask

if TYPE_CHECKING:
    from chipwright.model import Model

_HIGHEST = 255.0

_OVERLAP = 25
"""Percent of a tile that the next one overlaps: as much as lies around what `chipwright predict` keeps of a chip."""


def export_for_deepness(model: Model, path: Path) -> Path:
    """Write a model for Deepness and return the file's path.

    Raises:
        OptionError: for models that the plugin cannot run: other pixels than 8 bit, two dates, whole chips.
        MissingExtra, ChipwrightError: see `export_onnx`.
    """
    task, spec = model.task, model.spec
    if spec.dtype != "uint8":
        raise OptionError(f"Deepness hands over pixels of 8 bit, but {model.name} was trained on {spec.dtype}.")
    if task.images_taken != 1 or not isinstance(task, (PixelTask, DetectionTask)):
        raise OptionError(f"Deepness has no place for a {spec.model_type}: it segments and detects on one image.")
    side = min(spec.chip_size)
    wrapped = Segmenter(model.network, task) if isinstance(task, PixelTask) else Finder(model.network, len(spec.classes))
    return export_onnx(
        wrapped,
        _of_shares(task.inputs),
        len(task.inputs.mean),
        (side, side),
        path,
        dynamic=False,
        metadata={key: json.dumps(value) for key, value in metadata(model, side).items()},
        highest=1.0,
    )


def metadata(model: Model, side: int) -> dict[str, Any]:
    """Return what the plugin reads from the file."""
    task, spec = model.task, model.spec
    bands = len(task.inputs.mean)
    found: dict[str, Any] = {
        "tile_size": side,
        "tiles_overlap": _OVERLAP,
        "standardization_mean": [0.0] * bands,  # the graph scales by itself
        "standardization_std": [1.0] * bands,
    }
    cell = spec.metadata.get("MinCellSize")
    if isinstance(cell, dict) and isinstance(cell.get("x"), (int, float)) and cell["x"] > 0.001:
        found["resolution"] = round(100 * float(cell["x"]), 3)  # centimetres a pixel; finer than a millimetre are degrees
    if isinstance(task, PixelTask):
        names = task.probability_names
        return found | {
            "model_type": "Segmentor",
            "class_names": {str(index): name for index, name in enumerate(names)},
            "seg_thresh": round(float(task.score_threshold or 0.5), 4) if len(names) == 1 else 0.0,
            "seg_small_segment": 0,
        }
    return found | {
        "model_type": "Detector",
        "class_names": {str(index): info.name for index, info in enumerate(spec.classes)},
        "det_type": "YOLO_v5_or_v7_default",
        "det_conf": round(float(task.score_threshold or 0.5), 4),
        "det_iou_thresh": NMS_OVERLAP,
        "det_remove_overlap": True,
    }


class Segmenter(nn.Module):
    """A pixel classifier that gives probabilities."""

    def __init__(self, network: nn.Module, task: PixelTask) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.unsettled = float(getattr(network, "unsettled", 0.0))

    def forward(self, images: Tensor) -> Tensor:
        """Return the probabilities (batch, classes, height, width)."""
        probabilities = self.task.probabilities(self.task.logits(self.network, images))
        assert probabilities is not None, "distances are refused before"
        return probabilities


class Finder(nn.Module):
    """A detector that gives rows of numbers."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, images: Tensor) -> Tensor:
        """Return (1, objects, 5 + classes): the box's centre, width and height, its score, and 1 for its class."""
        found = self.network([images[0]])[0]
        boxes, scores = found["boxes"], found["scores"][:, None]
        places = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
        return torch.cat([places, scores, F.one_hot(found["labels"] - 1, self.classes).to(boxes.dtype)], 1)[None]


def _of_shares(scaling: Normalization) -> Normalization:
    """Return a scaling for pixels that were divided by 255."""

    def shares(values: tuple[float, ...] | None) -> Any:
        return None if values is None else tuple(value / _HIGHEST for value in values)

    return Normalization(
        mean=shares(scaling.mean),
        std=shares(scaling.std),
        minimum=shares(scaling.minimum),
        maximum=shares(scaling.maximum),
        source=scaling.source,
    )
