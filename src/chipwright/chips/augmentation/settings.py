"""What may happen to a training sample, as numbers that a user may set: the defaults of each kind of work, and files of them.

Imports no torch: options are checked before anything heavy starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from chipwright.errors import OptionError, listed, suggestion
from chipwright.files import read_mapping
from chipwright.sentences import option_error, shown

Level = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0.1, le=10)]


class Augmentation(BaseModel):
    """What may happen to a sample. As it stands nothing does: the sample is cropped in its centre."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    random_crop: bool = Field(False, description="Crop anywhere instead of in the centre.")
    horizontal_flip: bool = Field(False, description="Mirror half of the samples left to right.")
    vertical_flip: bool = Field(False, description="Turn half of the samples upside down, mirrored.")
    quarter_turn: bool = Field(
        False, description="Mirror half of the samples at the diagonal; with both flips all eight symmetries of the square."
    )
    rotation: float = Field(0.0, ge=0, le=180, description="Most degrees to either side.")
    rotation_share: Level = Field(0.5, description="Share of the samples that are rotated.")
    zoom: tuple[Factor, Factor] = Field((1.0, 1.0), description="Least and most enlargement.")
    zoom_share: Level = Field(0.5, description="Share of the samples that are enlarged.")
    brightness: tuple[Level, Level] = Field(
        (0.5, 0.5), description="Least and most grey level that mid grey goes to; 0.5 changes nothing."
    )
    contrast: tuple[Factor, Factor] = Field(
        (1.0, 1.0), description="Least and most factor about the band's mean, log-uniform; 1 changes nothing."
    )
    light_share: Level = Field(0.75, description="Share of the samples whose brightness changes, and whose contrast does.")
    visible: Level = Field(0.25, description="Least share of an object's area that must stay in the crop for it to stay.")

    @field_validator("zoom", "brightness", "contrast")
    @classmethod
    def _ascending(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if pair[0] > pair[1]:
            raise ValueError("the lower number comes first")
        return pair


_LIGHT: dict[str, Any] = {"brightness": (0.4, 0.6), "contrast": (0.75, 1.5)}
_KINDS: dict[str, dict[str, Any]] = {
    "boxes": {
        "brightness": (0.45, 0.55),
        "contrast": (0.85, 1.2),
        "light_share": 0.5,
        "zoom": (1.0, 1.1),
        "zoom_share": 0.25,
    },
    "instances": {**_LIGHT, "contrast": (1.0, 1.5), "zoom": (1.0, 1.2)},
    "pixels": {**_LIGHT, "rotation": 45.0, "zoom": (1.0, 1.5)},
    "change": {"brightness": (0.35, 0.65), "contrast": (0.7, 1.43), "rotation": 10.0, "zoom": (1.0, 1.1)},
    "tiles": {**_LIGHT, "rotation": 30.0},
    "captions": {**_LIGHT, "horizontal_flip": False, "vertical_flip": False, "quarter_turn": False},
    "translation": {},
}
_ORIENTED_ROTATION = 10.0


def default_augmentation(kind: str, image_space: str, square: bool = True) -> Augmentation:
    """Return what happens by default to the training samples of one kind of work.

    Where we follow the reference, and where not:

    - "boxes", "instances": its random crop, the eight symmetries, brightness, contrast and zoom. No rotation between the
      quarter turns: the upright hull of a turned box is larger than the object. Boxes have milder light and zoom than the
      reference's (contrast 0.75 to 1.5, zoom to 1.5): these cost all detectors more than they gave (docs/performance.md).
    - "pixels": the reference takes fastai's `get_transforms(flip_vert=True, max_rotate=90, max_zoom=3,
      max_lighting=0.5)`. The eight symmetries with up to 45 degrees give the same angles as 90. Map chips have one cell
      size, so a threefold zoom shows objects that inference never meets: 1.5 at most. A turned chip's corners have no
      ground (the reference mirrors it), so half of the samples stay upright. Light is changed as for boxes: it is
      linear here, where fastai's squeezing curve tames 0.5.
    - "change": `get_transforms(max_lighting=0.3)` without its warp: rotation to 10 degrees, zoom to 1.1. Each date has
      its own light.
    - "tiles": rotation up to 30 degrees in half of the samples, crop, symmetries, light as for boxes.
    - "captions": crop and light. Captions say left, right and top: a mirrored or turned chip makes them false.
    - "translation" (one image is made from the other): crop and symmetries, which move pixels whole. Light would change
      what is to be learnt, and interpolation would teach smooth images, so neither is changed, where the reference
      takes the defaults of `get_transforms` for some.

    In image space (oriented imagery, anything but "MAP_SPACE") up is up: only the left-right flip stays, and up to 10
    degrees of rotation.

    Args:
        kind: one of those above.
        square: whether the result is; quarter turns of others would lose ground.
    """
    if kind not in _KINDS:
        raise ValueError(f"no augmentation for {kind!r}; known: {', '.join(_KINDS)}")
    upright = image_space != "MAP_SPACE"
    symmetries = {"horizontal_flip": True, "vertical_flip": not upright, "quarter_turn": not upright and square}
    found = Augmentation(random_crop=True, **(symmetries | _KINDS[kind]))
    return found.model_copy(update={"rotation": min(found.rotation, _ORIENTED_ROTATION)}) if upright else found


def changed(augmentation: Augmentation, given: Mapping[str, Any]) -> Augmentation:
    """Return the augmentation with the values `given` by a user (see `checked`) in place of its own."""
    return Augmentation(**augmentation.model_dump() | _tuples(given))


def checked(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return what a user gave, name -> value, as JSON data.

    Args:
        given: names of `Augmentation` with their values.
        source: what holds them, for sentences ("augmentation", "aug.yaml").

    Raises:
        OptionError: for unknown names and values that do not fit.
    """
    known = Augmentation.model_fields
    for name in given:
        if name not in known:
            raise OptionError(
                f"{source} names {shown(name)}, which is no part of augmentation.{suggestion(str(name), known)} "
                f"Its parts are {listed(known, 20)}."
            )
    try:
        return Augmentation(**_tuples(given)).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        raise option_error(error, Augmentation, given, lambda name: f"{name} in {source}") from None


def read_augmentation(path: Path) -> dict[str, Any]:
    """Return what a YAML or JSON file says about augmentation (see `checked`).

    Raises:
        OptionError: if it cannot be read or used.
    """
    return checked(read_mapping(path, "augmentation file", "rotation: 20"), str(path))


def _tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with lists as tuples: pydantic's strict mode, which keeps "1" and True from being numbers, asks so."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
