"""COCO_rectangles: one labels.json for all chips, written along the way and put together at the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import IO, Any

from chipwright.chips.writers.labels import Labels, Written, boxed
from chipwright.chips.writers.new_chip import ChipBox, ExportFacts, NewChip

LABELS = "labels.json"


class CocoLabels(Labels):
    """COCO_rectangles: category ids are class values, boxes (left, top, width, height) in pixels with two decimals."""

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        super().__init__(folder, facts)
        self.parts = {part: folder / f".{part}.part" for part in ("images", "annotations")}
        self.counts = dict.fromkeys(self.parts, 0)
        self.files: dict[str, IO[str]] = {}

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        _, height, width = chip.images[0].shape
        self._append("images", {"file_name": image, "width": width, "height": height})
        for one, (_, area) in zip(chip.objects, boxed(chip.objects), strict=True):
            box = _left_top_size(one.box)
            about = {"image_id": self.counts["images"], "category_id": one.value, "bbox": box, "area": round(area, 2)}
            self._append("annotations", {**about, "iscrowd": 0, "segmentation": []})
        return Written((), boxed(chip.objects))

    def _append(self, part: str, row: dict[str, Any]) -> None:
        if part not in self.files:
            self.files[part] = self.parts[part].open("w", encoding="utf-8", newline="\n")
        self.counts[part] += 1
        text = json.dumps({"id": self.counts[part], **row}, ensure_ascii=False, allow_nan=False)
        self.files[part].write(("" if self.counts[part] == 1 else ",") + f"\n    {text}")

    def abandon(self) -> None:
        for file in self.files.values():
            file.close()

    def close(self) -> None:
        self.abandon()
        categories = [{"id": info.value, "name": info.name, "supercategory": ""} for info in self.facts.classes]
        with (self.folder / LABELS).open("w", encoding="utf-8", newline="\n") as out:
            out.write('{\n  "info": {"description": "written by chipwright"}')
            for part, path in self.parts.items():
                out.write(f',\n  "{part}": [')
                if path.exists():
                    with path.open(encoding="utf-8") as rows:
                        shutil.copyfileobj(rows, out)
                    path.unlink()
                out.write("\n  ]")
            out.write(f',\n  "categories": {json.dumps(categories, ensure_ascii=False)}\n}}\n')


def _left_top_size(box: ChipBox) -> list[float]:
    left, top, right, bottom = (round(at, 2) for at in box)
    return [left, top, round(right - left, 2), round(bottom - top, 2)]
