"""`PredictOptions`: what a model is put to work on, and how; `Predicted`: what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chipwright.errors import OptionError, listed, suggestion
from chipwright.option_reading import read_folders, read_option
from chipwright.sentences import option_error
from chipwright.text_values import is_empty


class PredictOptions(BaseModel):
    """Options of one prediction; field descriptions are the help text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Path = Field(description="Trained model: folder, .emd or .dlpk.")
    in_raster: tuple[Path, ...] = Field(min_length=1, description="Raster that GDAL reads, a folder of rasters, or several.")
    out: Path = Field(description="File of the results: .tif for pixels, .gpkg or .geojson for objects, labels and polygons.")
    second: tuple[Path, ...] = Field((), description="Raster of the later date, for models that compare two.")
    direction: Literal["AtoB", "BtoA"] | None = Field(
        None, description="What is made of what, for models that translate both ways; images of B of those of A if not given."
    )
    features: Path | None = Field(None, description="Polygons that are labelled one by one (classifiers).")
    probabilities: Path | None = Field(None, description="Raster of the classes' probabilities (pixel classifiers).")
    polygons: Path | None = Field(None, description="Polygons or, of roads, lines beside the raster (pixel classifiers).")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Least score of objects and edges; the model's own if not given."
    )
    label_field: str = Field("Label", min_length=1, description="Field of the labels (classifiers).")
    nms_overlap: float = Field(0.3, ge=0, le=1, description="IoU above which the weaker of two objects of a class goes.")
    tile_size: int | None = Field(None, ge=16, le=16384, description="Side of a window in pixels; picked if not given.")
    padding: int | None = Field(
        None, ge=0, le=4096, description="Pixels around what is kept of a window; measured on the network if not given."
    )
    batch_size: int | None = Field(None, ge=1, description="Windows at once; picked if not given.")
    cell_size: float | None = Field(None, gt=0, description="Cell size in map units to resample to; the raster's if not given.")
    extent: tuple[float, float, float, float] | None = Field(
        None, description="xmin,ymin,xmax,ymax in map units: nothing else is predicted."
    )
    mask: Path | None = Field(None, description="Polygons; nothing outside is predicted.")
    processor_type: Literal["CPU", "GPU"] | None = Field(None, description="Where to compute; a GPU if there is one.")
    gpu_id: int = Field(0, ge=0, description="Which GPU.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="Arithmetic.")
    overwrite: bool = Field(False, description="Replace an earlier result.")


@dataclass(frozen=True)
class Predicted:
    """What came of a prediction.

    Attributes:
        model, model_type: that was applied.
        outputs: files written, the main one first.
        kind: "classes", "objects", "labels" or "image".
        counts: pixels, objects or labels by class name.
        windows: windows through the network.
        tile_size, padding: of a window in pixels.
        threshold: least score asked for, where there are scores.
        pixels: of the raster that were predicted.
        seconds: that it took.
    """

    model: str
    model_type: str
    outputs: tuple[Path, ...]
    kind: str
    counts: dict[str, int] = field(default_factory=dict)
    windows: int = 0
    tile_size: int = 0
    padding: int = 0
    threshold: float | None = None
    pixels: int = 0
    seconds: float = 0.0


def make_predict_options(values: Mapping[str, Any], spell: Callable[[str], str] = str) -> PredictOptions:
    """Return validated options from raw values: numbers, truths and paths as text, keywords in any case, `""` for the default.

    Raises:
        OptionError: for an unknown option, or a value that does not fit.
    """
    fields = PredictOptions.model_fields
    given = {name: value for name, value in values.items() if not is_empty(value)}
    ready: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            raise OptionError(f"There is no option {name!r}.{suggestion(name, fields)} Options: {listed(fields, 60)}.")
        if name in ("in_raster", "second"):
            ready[name] = read_folders(value, spell(name))
        elif name == "extent" and isinstance(value, str):
            ready[name] = tuple(value.replace(",", " ").split())
        else:
            ready[name] = read_option(name, fields[name], value, spell)
    try:
        return PredictOptions.model_validate(ready)
    except ValidationError as error:
        raise option_error(error, PredictOptions, given, spell) from None
