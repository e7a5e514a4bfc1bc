"""`chipwright export`: training chips from a raster and labels, or from training data in another format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit, quoted

if TYPE_CHECKING:
    from chipwright.raster.export_options import Exported

_SPELLINGS = {
    "in_raster": "IN_RASTER",
    "out_folder": "--out",
    "in_class_data": "--labels",
    "tile_size_x": "--tile-size",
    "tile_size_y": "--tile-size",
    "stride_x": "--stride",
    "stride_y": "--stride",
}


def _option(name: str, metavar: str | None, help: str, default: str = "") -> Any:
    return typer.Option(name, metavar=metavar, help=help + (f" Default: {default}." if default else ""), show_default=False)


def export(
    in_raster: Annotated[
        list[str],
        typer.Argument(metavar="IN_RASTER...", help="Raster(s) or a folder of them; or a folder of training data to convert."),
    ],
    out_folder: Annotated[str, _option("--out", "OUT_FOLDER", "Folder for the chips.")],
    in_class_data: Annotated[
        str | None, _option("--labels", "LABELS", "Vector file (labels.gpkg|layername=trees), or raster of class values.")
    ] = None,
    metadata_format: Annotated[
        str | None, _option("--metadata-format", "FORMAT", "Format of the labels.", "PASCAL_VOC_rectangles")
    ] = None,
    tile_size: Annotated[str | None, _option("--tile-size", "PIXELS", "Size of a chip: 256, or 320,256.", "256")] = None,
    stride: Annotated[
        str | None, _option("--stride", "PIXELS", "From one chip to the next: 128, or 160,128.", "half the tile size")
    ] = None,
    image_chip_format: Annotated[
        str | None, _option("--image-chip-format", "TIFF|PNG|JPEG|MRF", "File format of the chips.", "TIFF")
    ] = None,
    output_nofeature_tiles: Annotated[
        bool, _option("--output-nofeature-tiles", None, "Write chips without any feature, too.")
    ] = False,
    class_value_field: Annotated[
        str | None, _option("--class-value-field", "FIELD", "Field with the class.", "classvalue or value")
    ] = None,
    buffer_radius: Annotated[
        str | None, _option("--buffer-radius", "LENGTH", "Radius of the circles that points become, in the labels' unit.")
    ] = None,
    min_polygon_overlap_ratio: Annotated[
        str | None, _option("--min-polygon-overlap-ratio", "SHARE", "Least share of an object that must lie in a chip.", "0")
    ] = None,
    in_mask_polygons: Annotated[
        str | None, _option("--in-mask-polygons", "FILE", "Polygons in which chips must lie completely.")
    ] = None,
    rotation_angle: Annotated[
        str | None, _option("--rotation-angle", "DEGREES", "Cut chips again, turned by this and its multiples.", "0")
    ] = None,
    cell_size: Annotated[
        str | None, _option("--cell-size", "LENGTH", "Cell size of the chips in map units.", "the raster's")
    ] = None,
    crop_mode: Annotated[
        str | None,
        _option("--crop-mode", "FIXED_SIZE|BOUNDING_BOX", "Labelled tiles: all of one size, or as large as the feature."),
    ] = None,
    blacken_around_feature: Annotated[
        bool, _option("--blacken-around-feature", None, "Labelled tiles: make pixels around the feature 0.")
    ] = False,
    in_raster2: Annotated[
        list[str] | None, _option("--in-raster2", "RASTER", "Second raster, for pairs: a later date, another kind of imagery.")
    ] = None,
    in_instance_data: Annotated[
        str | None, _option("--in-instance-data", "LABELS", "Panoptic_Segmentation: the objects that are counted.")
    ] = None,
    instance_class_value_field: Annotated[
        str | None, _option("--instance-class-value-field", "FIELD", "Field with the class of those objects.")
    ] = None,
    dates: Annotated[str | None, _option("--dates", "DATE,DATE,...", "TimeSeries: dates of the bands, as 2024-05-31.")] = None,
    processing_mode: Annotated[
        str | None,
        _option(
            "--processing-mode",
            "PROCESS_AS_MOSAICKED_IMAGE|PROCESS_ITEMS_SEPARATELY",
            "Several rasters as one, or one after the other.",
            "PROCESS_AS_MOSAICKED_IMAGE",
        ),
    ] = None,
    reference_system: Annotated[
        str | None, _option("--reference-system", "MAP_SPACE|PIXEL_SPACE", "Whether the imagery is a map.", "MAP_SPACE")
    ] = None,
    start_index: Annotated[str | None, _option("--start-index", "NUMBER", "Number of the first chip.", "0")] = None,
    overwrite: Annotated[bool, _option("--overwrite", None, "Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Cut training chips from a raster and labels.

    Given a folder of training data instead of a raster, and no labels, turns it into another format.

    Example: chipwright export ortho.tif --labels trees.gpkg --out chips --metadata-format PASCAL_VOC_rectangles
    """
    given = dict(locals())
    del given["as_json"]
    for name in ("tile_size", "stride"):
        given |= _pair(name, given.pop(name))

    from chipwright.exporting import export as run
    from chipwright.raster.export_options import make_export_options

    options = make_export_options({name: value for name, value in given.items() if value not in (None, False, [])}, spell)
    done = run(options)
    emit(done, summary(done), as_json)


def spell(name: str) -> str:
    """Return an option as the command line spells it."""
    return _SPELLINGS.get(name, "--" + name.replace("_", "-"))


def _pair(name: str, text: str | None) -> dict[str, str | None]:
    """Return "256" or "320,256" as the two options that it stands for."""
    first, comma, second = (text or "").replace("x", ",").partition(",")
    return {f"{name}_x": first or None, f"{name}_y": (second if comma else first) or None}


def summary(done: Exported) -> str:
    """Return what a user reads after an export."""
    classes = f", {len(done.classes)} {'class' if len(done.classes) == 1 else 'classes'}" if done.classes else ""
    rows = [
        *((f"{count} tiles", f"left out: they {reason}") for reason, count in done.left_out.items()),
        ("Chips:", str(done.folder)),
        ("Next:", f"chipwright inspect {quoted(done.folder)} --preview samples.png   shows what was made"),
    ]
    return f"{done.chips} chips of {done.metadata_format}{classes}.\n" + columns(rows, indent=2)
