"""Arrays handed over directly give what COCO's own interface gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from chipwright.tasks.coco_evaluation import Compared, precision_and_recall
from chipwright.tasks.detection_metrics import box_overlaps

Boxes = np.ndarray
Image = tuple[Boxes, np.ndarray, Boxes, np.ndarray, np.ndarray]


def scene(rng: np.random.Generator, classes: int) -> Image:
    """Return truth and labels, detections with labels and falling scores, some of them equal; any may be none at all."""
    count, false = rng.integers(0, 9, 2)
    corner = rng.uniform(0, 100, (count, 2))
    truth = np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], 1)
    stray = rng.uniform(0, 60, (false, 2))
    found = np.concatenate([truth + rng.normal(0, 2, truth.shape), np.concatenate([stray, stray + 30], 1)])
    scores = -np.sort(-rng.random(len(found)).round(1))
    return truth, rng.integers(1, classes + 1, count), found, rng.integers(1, classes + 1, len(found)), scores


def by_annotations(images: list[Image], classes: int, most: int) -> tuple[Any, Any]:
    """Return precision and recall through COCO's own interface."""

    def dataset(parts: list[tuple[Boxes, np.ndarray, np.ndarray]]) -> Any:
        annotations: list[dict[str, Any]] = []
        for number, (boxes, labels, scores) in enumerate(parts, 1):
            for (left, top, right, bottom), label, score in zip(boxes.tolist(), labels.tolist(), scores.tolist(), strict=True):
                width, height = right - left, bottom - top
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": label,
                        "bbox": [left, top, width, height],
                        "area": width * height,
                        "score": score,
                        "iscrowd": 0,
                    }
                )
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in range(1, len(parts) + 1)],
            "categories": [{"id": label} for label in range(1, classes + 1)],
            "annotations": annotations,
        }
        coco.createIndex()
        return coco

    truth = dataset([(boxes, labels, np.zeros(len(boxes))) for boxes, labels, *_ in images])
    evaluation = COCOeval_faster(truth, dataset([image[2:] for image in images]), iouType="bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [most]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 0], evaluation.eval["recall"][:, :, 0, 0]


@pytest.mark.parametrize(("classes", "most"), [(1, 100), (3, 100), (2, 4)])
def test_figures_are_those_of_cocos_own_interface(classes: int, most: int) -> None:
    rng = np.random.default_rng(classes * most)
    images = [scene(rng, classes) for _ in range(60)]
    compared = [
        Compared(labels, found_labels, scores, box_overlaps(found, truth))
        for truth, labels, found, found_labels, scores in images
    ]

    ours, theirs = precision_and_recall(compared, classes, most), by_annotations(images, classes, most)

    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-12)
    assert 0 < theirs[1].mean() < 1
