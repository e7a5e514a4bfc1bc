"""Toy folders of chips with boxes as labelling tools write them: VOC, KITTI, COCO and YOLO."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from builders import Box, write_raster, write_voc_xml

Labels = Mapping[str, Sequence[tuple[str | int, Box]]]
"""Image stem -> (class as the label has it, box in pixels)."""

SIZE = 64


def write_images(folder: Path, stems: Sequence[str], suffix: str = "png", size: int = SIZE) -> None:
    """Write plain 3-band images."""
    for index, stem in enumerate(stems):
        write_raster(folder / f"{stem}.{suffix}", np.full((3, size, size), 40 + index, np.uint8))


def voc(folder: Path, labels: Labels) -> Path:
    """Write PASCAL_VOC_rectangles without the exporter's metadata."""
    write_images(folder / "images", list(labels))
    for stem, objects in labels.items():
        write_voc_xml(folder / "labels" / f"{stem}.xml", (SIZE, SIZE), [(str(text), box) for text, box in objects])
    return folder


def kitti(folder: Path, labels: Labels) -> Path:
    """Write KITTI_rectangles without the exporter's metadata."""
    write_images(folder / "images", list(labels))
    for stem, objects in labels.items():
        lines = [f"{text} 0.00 0 0 {' '.join(f'{side:.2f}' for side in box)} 0 0 0 0 0 0 0" for text, box in objects]
        _write(folder / "labels" / f"{stem}.txt", lines)
    return folder


def yolo(folder: Path, labels: Labels, names: Sequence[str] = ()) -> Path:
    """Write YOLO_rectangles, with `classes.txt` where names are given."""
    write_images(folder / "images", list(labels))
    for stem, objects in labels.items():
        lines = []
        for text, (left, top, right, bottom) in objects:
            numbers = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            lines.append(f"{text} " + " ".join(f"{number / SIZE:.6f}" for number in numbers))
        _write(folder / "labels" / f"{stem}.txt", lines)
    if names:
        _write(folder / "classes.txt", names)
    return folder


def coco(folder: Path, labels: Labels, categories: Mapping[int, str], name: str = "labels.json") -> Path:
    """Write COCO_rectangles."""
    write_images(folder / "images", list(labels))
    _write(folder / name, [json.dumps(coco_content(labels, categories))])
    return folder


def coco_content(labels: Labels, categories: Mapping[int, str]) -> dict[str, Any]:
    """Return the JSON object of COCO labels."""
    annotations = [
        {"image_id": number, "category_id": value, "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "iscrowd": 0}
        for number, objects in enumerate(labels.values())
        for value, box in objects
    ]
    return {
        "images": [
            {"id": number, "file_name": f"{stem}.png", "width": SIZE, "height": SIZE} for number, stem in enumerate(labels)
        ],
        "annotations": [{"id": number} | annotation for number, annotation in enumerate(annotations)],
        "categories": [{"id": value, "name": name} for value, name in categories.items()],
    }


def move(folder: Path, images: str = ".", labels: str = ".") -> Path:
    """Bring a folder's `images` and `labels` into folders of other names within it, by default into itself; return it."""
    for name, new in (("images", images), ("labels", labels)):
        if (folder / name).is_dir():
            files = list((folder / name).iterdir())
            (folder / new).mkdir(parents=True, exist_ok=True)
            for path in files:
                path.rename(folder / new / path.name)
            if not any((folder / name).iterdir()):
                (folder / name).rmdir()
    return folder


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
