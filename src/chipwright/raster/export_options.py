"""`ExportOptions`: the parameters of *Export Training Data For Deep Learning*, validated early; `Exported`: what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chipwright.chips.chipset import ClassInfo
from chipwright.errors import OptionError, listed, suggestion
from chipwright.option_reading import read_folders, read_option
from chipwright.sentences import option_error
from chipwright.text_values import is_empty

MetadataFormat = Literal[
    "PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles", "RCNN_Masks", "Classified_Tiles",
    "Labeled_Tiles", "MultiLabeled_Tiles", "Imagenet", "ImageCaptioning", "Export_Tiles", "CycleGAN", "Panoptic_Segmentation",
    "ChangeDetection", "TimeSeries", "ObjectTracking",
]  # fmt: skip

UNLABELLED = ("Export_Tiles", "CycleGAN")
"""Formats that need no labels."""

PER_FEATURE = ("Labeled_Tiles", "Imagenet", "ImageCaptioning")
"""Formats with a chip for each feature."""

PAIRS = ("Classified_Tiles", "ChangeDetection", "Export_Tiles", "CycleGAN")
"""Formats that a second raster goes with."""


class ExportOptions(BaseModel):
    """Options of one export; field descriptions are the help text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    in_raster: tuple[Path, ...] = Field(min_length=1, description="Raster that GDAL reads, a folder of rasters, or several.")
    out_folder: Path = Field(description="Folder for the chips; one that does not exist or is empty.")
    in_class_data: Path | None = Field(None, description="Labels: vector file, or raster of class values.")
    image_chip_format: Literal["TIFF", "PNG", "JPEG", "MRF"] = Field("TIFF", description="File format of the chips.")
    tile_size_x: int = Field(256, ge=1, le=16384, description="Width of a chip in pixels.")
    tile_size_y: int = Field(256, ge=1, le=16384, description="Height of a chip in pixels.")
    stride_x: int | None = Field(None, ge=1, description="Pixels from one chip to the next; half the tile size if not given.")
    stride_y: int | None = Field(None, ge=1, description="The same downwards.")
    output_nofeature_tiles: bool = Field(False, description="Whether chips without a feature are written.")
    metadata_format: MetadataFormat = Field("PASCAL_VOC_rectangles", description="Format of the labels.")
    start_index: int = Field(0, ge=0, lt=10**12, description="Number of the first chip.")
    class_value_field: str | None = Field(None, description="Field with the class; classvalue or value if not given.")
    buffer_radius: float = Field(0, ge=0, description="Radius of the circles that points become, in the labels' unit.")
    in_mask_polygons: Path | None = Field(None, description="Polygons in which chips must lie completely.")
    rotation_angle: float = Field(
        0, ge=0, lt=360, description="Chips are cut again, turned by this many degrees and its multiples."
    )
    reference_system: Literal["MAP_SPACE", "PIXEL_SPACE"] = Field("MAP_SPACE", description="Whether the imagery is a map.")
    processing_mode: Literal["PROCESS_AS_MOSAICKED_IMAGE", "PROCESS_ITEMS_SEPARATELY"] = Field(
        "PROCESS_AS_MOSAICKED_IMAGE", description="Several rasters as one, or one after the other."
    )
    blacken_around_feature: bool = Field(False, description="Whether pixels around the feature become 0 (Labeled_Tiles).")
    crop_mode: Literal["FIXED_SIZE", "BOUNDING_BOX"] = Field(
        "FIXED_SIZE", description="Chips of the tile size, or as large as the feature (Labeled_Tiles, Imagenet)."
    )
    in_raster2: tuple[Path, ...] = Field((), description="Second raster, for pairs of images.")
    in_instance_data: Path | None = Field(None, description="Objects that are counted one by one (Panoptic_Segmentation).")
    instance_class_value_field: str | None = Field(None, description="Field with the class of those objects.")
    min_polygon_overlap_ratio: float = Field(0, ge=0, le=1, description="Least share of an object that must lie in a chip.")
    cell_size: float | None = Field(None, gt=0, description="Cell size of the chips in map units; the raster's if not given.")
    dates: tuple[str, ...] = Field((), description="Dates of the bands (TimeSeries), as 2024-05-31.")
    overwrite: bool = Field(False, description="Replace an earlier export.")

    @property
    def tile_size(self) -> tuple[int, int]:
        """Return (width, height) of a chip."""
        return self.tile_size_x, self.tile_size_y

    @property
    def stride(self) -> tuple[int, int]:
        """Return (x, y) from chip to chip."""
        return self.stride_x or max(1, self.tile_size_x // 2), self.stride_y or max(1, self.tile_size_y // 2)

    @property
    def keyword(self) -> str:
        """Return the format that is written: two dates with classified tiles are change detection."""
        return "ChangeDetection" if self.metadata_format == "Classified_Tiles" and self.in_raster2 else self.metadata_format


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        folder: with the training data.
        metadata_format: their format.
        chips: how many.
        classes: sorted by value.
        left_out: how many tiles were not written, by reason.
    """

    folder: Path
    metadata_format: str
    chips: int
    classes: tuple[ClassInfo, ...]
    left_out: dict[str, int] = field(default_factory=dict)


_SWITCHES = {
    "output_nofeature_tiles": {"ALL_TILES": True, "ONLY_TILES_WITH_FEATURES": False},
    "blacken_around_feature": {"BLACKEN_AROUND_FEATURE": True, "NO_BLACKEN": False},
}
"""The reference's keywords for two of its parameters; True and False are accepted for them too."""


def make_export_options(values: Mapping[str, Any], spell: Callable[[str], str] = str) -> ExportOptions:
    """Return validated options from raw values: numbers, truths and paths as text, keywords in any case, `""` for the default.

    Args:
        values: option name -> raw value.
        spell: how the user knows an option ("--metadata-format" for "metadata_format").

    Raises:
        OptionError: for an unknown option, or a value that does not fit.
    """
    fields = ExportOptions.model_fields
    given = {name: value for name, value in values.items() if not is_empty(value)}
    ready: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            raise OptionError(f"There is no option {name!r}.{suggestion(name, fields)} Options: {listed(fields, 60)}.")
        if name in ("in_raster", "in_raster2"):
            ready[name] = read_folders(value, spell(name))
        elif name == "dates":
            ready[name] = tuple(value.replace(";", ",").split(",")) if isinstance(value, str) else tuple(map(str, value))
        else:
            ready[name] = read_option(name, fields[name], value, spell, _SWITCHES.get(name))
    try:
        return ExportOptions.model_validate(ready)
    except ValidationError as error:
        raise option_error(error, ExportOptions, given, spell) from None


def check_together(options: ExportOptions) -> None:
    """Raise `OptionError` for options of which each is right and that do not go together."""
    for problem in _problems(options):
        raise OptionError(problem)


def _problems(options: ExportOptions) -> list[str]:
    """Return what does not go together, as sentences."""
    found, keyword = [], options.keyword
    if keyword == "ObjectTracking":
        found.append("ObjectTracking data are frames of videos, which cannot be cut from a raster. Choose another format.")
    if options.in_class_data is None and keyword not in UNLABELLED:
        found.append(f"{keyword} needs labels: a vector file, or a raster of class values.")
    if keyword == "ChangeDetection" and not options.in_raster2:
        found.append("ChangeDetection needs a second raster: the same ground at the later date.")
    if keyword == "CycleGAN" and not options.in_raster2:
        found.append("CycleGAN needs a second raster: imagery of the other kind.")
    if options.in_raster2 and keyword not in PAIRS:
        found.append(f"A second raster goes with Classified_Tiles, Export_Tiles and CycleGAN; {keyword} has one image a chip.")
    if keyword == "Panoptic_Segmentation" and options.in_instance_data is None:
        found.append("Panoptic_Segmentation needs instance data beside the class data: the objects that are counted.")
    if options.in_instance_data is not None and keyword != "Panoptic_Segmentation":
        found.append(f"Instance data go with Panoptic_Segmentation; {keyword} has no place for them.")
    if options.crop_mode == "BOUNDING_BOX" and keyword not in PER_FEATURE:
        found.append(
            f"BOUNDING_BOX cuts a chip for each feature, as Labeled_Tiles and Imagenet have; {keyword} has a grid of chips."
        )
    if keyword == "TimeSeries" and not options.dates:
        found.append("A time series needs the dates of its bands, as 2024-05-31,2024-06-10.")
    return found
