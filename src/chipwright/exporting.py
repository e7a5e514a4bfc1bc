"""The way of an export, from options to training data: cut from rasters, or converted from training data in another format."""

from __future__ import annotations

from chipwright.chips.formats.esri import EMD
from chipwright.errors import OptionError, listed
from chipwright.raster.export_options import UNLABELLED, Exported, ExportOptions

_CONVERTED = {"in_raster", "out_folder", "metadata_format", "image_chip_format", "start_index", "overwrite"}
"""Options that mean something for training data that are converted."""


def export(options: ExportOptions) -> Exported:
    """Write training data.

    Raises:
        OptionError, DataError: for options, rasters, labels or training data that cannot be used.
        ChipwrightError: if a file cannot be read or written under way. Nothing is left behind then.
    """
    if _is_conversion(options):
        return _converted(options)
    from chipwright.raster.export import export as cut

    return cut(options)


def _is_conversion(options: ExportOptions) -> bool:
    """Return whether the input is training data rather than rasters."""
    if options.in_class_data is not None or not all(path.is_dir() for path in options.in_raster):
        return False
    if options.metadata_format not in UNLABELLED:
        return True  # without labels, nothing else can be meant
    return all((path / EMD).exists() or (path / "images").is_dir() for path in options.in_raster)


def _converted(options: ExportOptions) -> Exported:
    idle = sorted(options.model_fields_set - _CONVERTED)
    if idle:
        raise OptionError(
            f"Training data are converted chip by chip: {listed(idle)} means nothing then. To cut rasters, name labels."
        )
    from chipwright.chips.writers.convert import convert

    done = convert(
        options.in_raster,
        options.out_folder,
        options.metadata_format,
        chip_format=options.image_chip_format if "image_chip_format" in options.model_fields_set else None,
        start_index=options.start_index,
        overwrite=options.overwrite,
    )
    left_out = {reason: len(names) for reason, names in done.account.dropped.items()}
    return Exported(done.folder, options.metadata_format, done.chips, done.classes, left_out)
