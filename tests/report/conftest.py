"""Records of made-up runs: pixel classification, object detection and tile classification."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from chipwright.chips.chipset import IGNORE, BandStatistics, ClassInfo
from chipwright.chips.display import Panel
from chipwright.report.record import DataSummary, RunRecord
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.base import Evaluation

COLORS = [(0, 107, 61), (214, 39, 40), (31, 119, 180), (255, 187, 51), (148, 103, 189)]
CREATED = datetime(2025, 3, 4, 15, 30, tzinfo=UTC)


def make_classes(names: list[str]) -> tuple[ClassInfo, ...]:
    return tuple(ClassInfo(value=index + 1, name=name, color=COLORS[index % len(COLORS)]) for index, name in enumerate(names))


def make_spec(model_type: str, names: list[str], metadata_format: str = "Classified_Tiles") -> ModelSpec:
    three = (100.0, 100.0, 100.0)
    return ModelSpec(
        model_type=model_type,
        backbone="RESNET34",
        classes=make_classes(names),
        bands=("Red", "Green", "Blue"),
        dtype="uint8",
        chip_size=(64, 64),
        normalization=Normalization(mean=three, std=three),
        statistics=BandStatistics(minimum=(0,) * 3, maximum=(255,) * 3, mean=three, std=three, source="computed"),
        metadata_format=metadata_format,
    )


def make_history(epochs: int, metrics: dict[str, float]) -> list[dict[str, float]]:
    """Return rows as the engine writes them: losses that fall, metrics that rise to the values given."""
    rows = []
    for epoch in range(1, epochs + 1):
        progress = epoch / epochs
        rows.append(
            {"epoch": epoch, "train_loss": 1.6 * 0.8**epoch + 0.1, "valid_loss": 1.5 * 0.82**epoch + 0.2}
            | {name: value * (0.3 + 0.7 * progress) for name, value in metrics.items()}
            | {"learning_rate": 0.001 * (1 - progress), "seconds": 31.25 + epoch, "samples_per_second": 8.5}
        )
    return rows


def make_range_test(steps: int = 40) -> dict[str, Any]:
    rates = np.logspace(-6, 0, steps)
    losses = 1.6 - 1.1 / (1 + np.exp(-(np.log10(rates) + 3.2) * 2)) + np.where(rates > 0.05, (rates * 8) ** 2, 0)
    return {"learning_rate": rates.tolist(), "loss": losses.tolist(), "chosen": 0.00083}


def make_image(seed: int, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 200, (size // 8, size // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)


def make_mask(seed: int, classes: int, size: int = 64) -> np.ndarray:
    mask = np.kron(np.random.default_rng(seed).integers(0, classes, (4, 4)), np.ones((size // 4, size // 4)))
    mask[:8] = IGNORE
    return mask.astype(np.int16)


def balance(names: list[str]) -> list[dict[str, Any]]:
    return [
        {"class": name, "value": index + 1, "training": 9000 // (index + 1), "validation": 1000 // (index + 1)}
        for index, name in enumerate(names)
    ]


def pixel_record(**changes: Any) -> RunRecord:
    names = ["Building", "Land", "Road", "Vegetation", "Water"]
    counts = np.random.default_rng(5).integers(50, 4000, (5, 5)) + np.diag([250000, 91000, 43000, 1200000, 8000])
    ious = [0.8123, 0.6431, 0.3217, 0.5555, 0.9]
    evaluation = Evaluation(
        scalars={"valid_loss": 0.48123, "accuracy": 0.871234, "miou": 0.64652, "dice": 0.7731},
        per_class=[
            {"class": name, "precision": iou + 0.05, "recall": iou + 0.01, "f1": iou + 0.03, "iou": iou, "pixels": 10**5}
            for name, iou in zip(names, ious, strict=True)
        ],
        confusion=(names, counts.tolist()),
        notes=["Pixels without data are left out."],
    )
    samples = [
        [
            Panel("Image", make_image(seed)),
            Panel("Truth", make_image(seed), classes=make_mask(seed, 5), palette=COLORS),
            Panel("Prediction", make_image(seed), classes=make_mask(seed + 1, 5), palette=COLORS),
        ]
        for seed in range(4)
    ]
    data = DataSummary(
        folders=["/data/landcover/north", "/data/landcover/south"],
        chips=120,
        training=104,
        validation=12,
        dropped={"label raster is missing": 3, "chip touches validation ground": 4},
        warnings=["2 chips hold no class at all and are kept as background."],
        split="Blocks of neighbouring chips, 10 % for validation, seed 42.",
        balance=balance(names),
        unit="pixels",
    )
    record: dict[str, Any] = {
        "name": "landcover",
        "spec": make_spec("UNET", names),
        "title": "U-Net (pixel classification)",
        "settings": {"Model type": "UNET", "Batch size": 8, "Class balancing": False, "Learning rate": None},
        "data": data,
        "evaluation": evaluation,
        "history": make_history(8, {"accuracy": 0.871234, "miou": 0.64652}),
        "best_epoch": 7,
        "range_test": make_range_test(),
        "samples": samples,
        "log": ["Learning rate 0.00083, read off a range test of 40 steps."],
        "schedule": "one_cycle",
        "created": CREATED,
    }
    return RunRecord(**(record | changes))


def detection_record(**changes: Any) -> RunRecord:
    names = ["Palm", "Shrub"]
    x = np.linspace(0, 1, 101)
    curve = {"x_label": "recall", "y_label": "precision"}
    evaluation = Evaluation(
        scalars={"average_precision": 0.71239, "average_precision_coco": 0.4021, "precision": 0.81, "recall": 0.765},
        per_class=[
            {"class": "Palm", "average_precision": 0.81, "precision": 0.9, "recall": 0.8, "boxes": 1204},
            {"class": "Shrub", "average_precision": float("nan"), "precision": 0.7, "recall": 0.6, "boxes": 0},
        ],
        curves={
            "Palm": curve | {"x": x.tolist(), "y": (1 - x**4).tolist()},
            "Shrub": curve | {"x": x.tolist(), "y": (0.9 - 0.8 * x).tolist()},
        },
    )
    boxes = np.array([[5, 12, 24, 33], [30, 30, 60, 63]], np.float32)
    samples = [
        [
            Panel("Truth", make_image(seed), boxes=boxes, box_texts=names, box_colors=COLORS[:2]),
            Panel(
                "Prediction",
                make_image(seed),
                boxes=boxes + 2,
                box_texts=["Palm 0.93", "Shrub 0.41"],
                box_colors=COLORS[:2],
            ),
        ]
        for seed in range(4)
    ]
    record: dict[str, Any] = {
        "name": "palms",
        "spec": make_spec("FASTERRCNN", names, "PASCAL_VOC_rectangles"),
        "title": "Faster R-CNN (object detection)",
        "settings": {"Model type": "FASTERRCNN"},
        "data": DataSummary(["/data/palms"], 80, 72, 8, balance=balance(names), unit="boxes"),
        "evaluation": evaluation,
        "monitor": "average_precision",
        "history": make_history(5, {"average_precision": 0.71239}),
        "best_epoch": 5,
        "samples": samples,
        "created": CREATED,
    }
    return RunRecord(**(record | changes))


def tile_record(**changes: Any) -> RunRecord:
    """An evaluation: no training in it."""
    names = ["Damaged", "Intact"]
    evaluation = Evaluation(
        scalars={"accuracy": 0.905},
        per_class=[
            {"class": "Damaged", "precision": 0.88, "recall": 0.92, "f1": 0.9, "support": 100},
            {"class": "Intact", "precision": 0.93, "recall": 0.89, "f1": 0.91, "support": 110},
        ],
        confusion=(names, [[92, 8], [12, 98]]),
    )
    samples = [
        [
            Panel(
                "Chip",
                make_image(seed),
                text=f"Truth Damaged, said {'Damaged' if seed % 2 else 'Intact'} 0.87",
                good=bool(seed % 2),
            )
        ]
        for seed in range(8)
    ]
    record: dict[str, Any] = {
        "name": "damage",
        "spec": make_spec("FEATURE_CLASSIFIER", names, "Labeled_Tiles"),
        "title": "Feature classifier (object or image classification)",
        "settings": {"Model": "damage.dlpk"},
        "data": DataSummary(["/data/storm"], 210, 0, 210, balance=balance(names), unit="chips"),
        "evaluation": evaluation,
        "samples": samples,
        "created": CREATED,
    }
    return RunRecord(**(record | changes))


Maker = Callable[..., RunRecord]


@pytest.fixture(scope="session")
def pixels() -> Maker:
    return pixel_record


@pytest.fixture(scope="session")
def detection() -> Maker:
    return detection_record


@pytest.fixture(scope="session")
def tiles() -> Maker:
    return tile_record
