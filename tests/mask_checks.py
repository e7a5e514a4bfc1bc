"""What tests of formats with instance masks have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chipwright.chips.chipset import Chip, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError


def refusal(*folders: Path) -> str:
    with pytest.raises(DataError) as found:
        read_chips(list(folders))
    return str(found.value)


def warned(chips: ChipSet, text: str) -> bool:
    return any(text in warning for warning in chips.account.warnings)


def edit(folder: Path, **changes: Any) -> None:
    for name in ("esri_model_definition.emd", "esri_accumulated_stats.json"):
        content = json.loads((folder / name).read_text(encoding="utf-8")) | changes
        kept = {key: value for key, value in content.items() if value is not ...}
        (folder / name).write_text(json.dumps(kept), encoding="utf-8")


def objects(chip: Chip) -> list[tuple[int, list[float]]]:
    assert chip.boxes is not None
    assert chip.box_values is not None
    return list(zip(chip.box_values.tolist(), chip.boxes.tolist(), strict=True))


def assert_boxes_are_those_of_the_instances(chips: ChipSet) -> None:
    """Box i of a class is drawn around instance i."""
    reader = ChipReader(chips.nodata)
    for chip in chips.chips:
        assert chip.boxes is not None
        instances = reader.instances(chip)
        assert set(chip.box_values.tolist()) <= set(instances)
        for value, layers in instances.items():
            boxes = chip.boxes[chip.box_values == value]
            assert layers.max(initial=0) == len(boxes)
            for number, box in enumerate(boxes.tolist(), 1):
                _, rows, columns = np.nonzero(layers == number)
                assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
