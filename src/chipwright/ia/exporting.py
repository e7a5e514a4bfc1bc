"""`ExportTrainingDataForDeepLearning`."""

# ruff: noqa: N802 - the reference's names

from __future__ import annotations

from typing import Any

from chipwright.ia.environment import env
from chipwright.ia.results import ExportResult, Folder


def ExportTrainingDataForDeepLearning(
    in_raster: Folder | list[Folder],
    out_folder: Folder,
    in_class_data: Folder | None = None,
    image_chip_format: str | None = "TIFF",
    tile_size_x: int | str | None = 256,
    tile_size_y: int | str | None = 256,
    stride_x: int | str | None = 128,
    stride_y: int | str | None = 128,
    output_nofeature_tiles: str | bool | None = "ONLY_TILES_WITH_FEATURES",
    metadata_format: str | None = "PASCAL_VOC_rectangles",
    start_index: int | str | None = 0,
    class_value_field: str | None = None,
    buffer_radius: float | str | None = 0,
    in_mask_polygons: Folder | None = None,
    rotation_angle: float | str | None = 0,
    reference_system: str | None = "MAP_SPACE",
    processing_mode: str | None = "PROCESS_AS_MOSAICKED_IMAGE",
    blacken_around_feature: str | bool | None = "NO_BLACKEN",
    crop_mode: str | None = "FIXED_SIZE",
    in_raster2: Folder | list[Folder] | None = None,
    in_instance_data: Folder | None = None,
    instance_class_value_field: str | None = None,
    min_polygon_overlap_ratio: float | str | None = 0,
    **beyond: Any,
) -> ExportResult:
    """Cut training chips from a raster and labels.

    Parameters, order, values and defaults are the reference's. None, `""` and `"#"` stand for a default, numbers may be text.
    `env.cellSize` is the cell size of the chips, `env.overwriteOutput` replaces an earlier export.

    Args:
        in_raster: raster that GDAL reads, a folder of rasters, or several as a list or as text with semicolons; or a folder of
            training data to turn into another format.
        out_folder: folder for the chips; one that does not exist or is empty.
        in_class_data: labels: a vector file (`labels.gpkg|layername=trees` for one of several layers), or a raster of class
            values. Not needed for Export_Tiles and CycleGAN.
        image_chip_format: TIFF, PNG, JPEG or MRF.
        tile_size_x, tile_size_y: size of a chip in pixels.
        stride_x, stride_y: pixels from one chip to the next.
        output_nofeature_tiles: ALL_TILES or ONLY_TILES_WITH_FEATURES, or a truth.
        metadata_format: format of the labels.
        start_index: number of the first chip.
        class_value_field: field with the class; classvalue or value if not given.
        buffer_radius: radius of the circles that points become.
        in_mask_polygons: polygons in which chips must lie completely.
        rotation_angle: chips are cut again, turned by this angle in degrees and by its multiples.
        reference_system: MAP_SPACE or PIXEL_SPACE.
        processing_mode: PROCESS_AS_MOSAICKED_IMAGE or PROCESS_ITEMS_SEPARATELY.
        blacken_around_feature: BLACKEN_AROUND_FEATURE or NO_BLACKEN, or a truth; for Labeled_Tiles.
        crop_mode: FIXED_SIZE or BOUNDING_BOX; for Labeled_Tiles and Imagenet.
        in_raster2: second raster, for pairs of images.
        in_instance_data: objects that are counted one by one, for Panoptic_Segmentation.
        instance_class_value_field: field with their class.
        min_polygon_overlap_ratio: least share of an object that must lie in a chip for the chip to have it.
        **beyond: options that the reference has not: `dates`, `cell_size`, `overwrite`.

    Returns:
        The folder and the number of chips.

    Raises:
        OptionError, DataError: for input that cannot be used; nothing is written then.
        ChipwrightError: for a failure under way; nothing is left behind.
    """
    given = dict(locals())
    settings = {"overwrite": env.overwriteOutput, "cell_size": env.cellSize} | given.pop("beyond")

    from chipwright import api

    done = api.export(**given, **settings)
    return ExportResult(done.folder, done.chips, done)
