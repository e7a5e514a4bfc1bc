"""Which chips a model can be measured on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pair_builders import export_tiles

from chipwright import catalog
from chipwright.chips.folders import read_chips
from chipwright.errors import DataError
from chipwright.evaluation import _suited


def translator(chips: Any) -> Any:
    """Return what is asked of a model that was trained on chips."""
    facts = {"bands": chips.bands, "dtype": chips.dtype, "second": chips.second, "classes": chips.classes}
    return SimpleNamespace(
        name="toy", spec=SimpleNamespace(model_type="PIX2PIX", **facts), type=catalog.find("PIX2PIX")
    )  # fmt: skip


def test_second_images_must_be_like_those_learnt_from(tmp_path: Path) -> None:
    chips = read_chips([export_tiles(tmp_path / "chips", second_bands=1)])
    assert _suited(chips, translator(chips)).chips == chips.chips
    for name, changes, told in (
        ("bands", {"second_bands": 4}, "4 bands of uint8"),
        ("type", {"second_bands": 1, "second_dtype": "uint16"}, "1 bands of uint16"),
    ):
        others = read_chips([export_tiles(tmp_path / name, **changes)])
        with pytest.raises(
            DataError, match=f"trained on second images of 1 bands of uint8, but those of the chips have {told}"
        ):
            _suited(others, translator(chips))
