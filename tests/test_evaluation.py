"""Which chips a model can be measured on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import classified_tiles
from pair_builders import export_tiles, imagenet

from chipwright import catalog
from chipwright.chips.chipset import ClassInfo
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


def known(*named: tuple[int, str]) -> tuple[ClassInfo, ...]:
    return tuple(ClassInfo(value=value, name=name, color=(0, 0, 0)) for value, name in named)


def model_of(chips: Any, keyword: str, classes: tuple[ClassInfo, ...]) -> Any:
    facts = {"bands": chips.bands, "dtype": chips.dtype, "second": None, "classes": classes}
    return SimpleNamespace(name="toy", spec=SimpleNamespace(model_type=keyword, **facts), type=catalog.find(keyword))


def test_classes_that_a_folder_numbered_itself_are_the_models_of_that_name(tmp_path: Path) -> None:
    folder = imagenet(tmp_path, {"forest": 2, "water": 3, "marsh": 1}, esri=False)
    chips = read_chips([folder])
    assert [(info.value, info.name) for info in chips.classes] == [(1, "forest"), (2, "marsh"), (3, "water")]
    classes = known((1, "Beach"), (2, "Forest"), (3, "Water"))
    suited = _suited(chips, model_of(chips, "FEATURE_CLASSIFIER", classes))
    found = {chip.image.parent.name: chip.values for chip in suited.chips}
    assert (found["forest"], found["water"]) == ((2,), (3,))
    assert found["marsh"][0] not in (1, 2, 3)
    assert any(
        "does not know these classes, which are left out of the figures: marsh" in text for text in suited.account.warnings
    )


def test_classes_of_other_names_are_known_by_their_values(tmp_path: Path) -> None:
    chips = read_chips([imagenet(tmp_path, {"forest": 1, "water": 1}, esri=False)])
    suited = _suited(chips, model_of(chips, "FEATURE_CLASSIFIER", known((1, "Wald"), (2, "Wasser"))))
    assert [chip.values for chip in suited.chips] == [chip.values for chip in chips.chips]


def test_values_in_label_rasters_count_and_other_names_are_told(tmp_path: Path) -> None:
    chips = read_chips([classified_tiles(tmp_path, count=3)])
    first, second = chips.classes[:2]
    classes = known((first.value, second.name), (second.value, first.name))
    suited = _suited(chips, model_of(chips, "UNET", classes))
    assert suited.chips == chips.chips
    assert any(f"{first.name} is {first.value} in the labels" in text for text in suited.account.warnings)
