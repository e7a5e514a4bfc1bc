"""Training chips from rasters and labels: *Export Training Data For Deep Learning*, in every format that the readers know.

Chips are cut one by one and written as they are cut: memory does not grow with the raster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import date
from typing import Any

import rasterio

from chipwright import console
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.chips.writers.writing import check_free, open_writer
from chipwright.errors import DataError, OptionError, listed
from chipwright.raster.background import ahead
from chipwright.raster.cutting import Cut, Labels, check_alike
from chipwright.raster.export_options import Exported, ExportOptions, check_together
from chipwright.raster.imagery import CACHE, rasters_in
from chipwright.raster.truth import PolygonTruth
from chipwright.raster.vector_files import read_features

_AHEAD = 4
"""Chips read while others are written."""

_DAY_ZERO = date(1899, 12, 30)
"""The reference counts days from here: 1900-01-01 is 2."""


def export(options: ExportOptions) -> Exported:
    """Cut training chips from a raster.

    Raises:
        OptionError: for options that do not fit the data, or an output folder in use.
        DataError: for rasters or labels that cannot be used, or where no chip comes of them.
        ChipwrightError: if a file cannot be read or written under way. Nothing is left behind then.
    """
    check_together(options)
    check_free(options.out_folder, options.overwrite)
    if options.blacken_around_feature and options.keyword != "Labeled_Tiles":
        console.warn(f"Blackening around features is for Labeled_Tiles; {options.keyword} chips stay whole.")
        options = options.model_copy(update={"blacken_around_feature": False})
    left_out: Counter[str] = Counter()
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE))
        cuts = [stack.enter_context(closing(cut)) for cut in _cuts(options, left_out)]
        facts = _facts(options, cuts)
        with open_writer(options.out_folder, options.keyword, facts, overwrite=options.overwrite) as writer:
            for chip in console.track(_chips(cuts), "Cutting chips", sum(cut.total for cut in cuts)):
                if chip is not None:
                    writer.write(chip)
            if not writer.count:
                reasons = listed(f"{count} tiles {reason}" for reason, count in left_out.items())
                raise DataError(
                    f"No chip was written: {reasons or 'there is no tile'}. See the tile size, the labels and the mask."
                )
    return Exported(options.out_folder, options.keyword, writer.count, facts.classes, dict(left_out))


def _chips(cuts: Sequence[Cut]) -> Iterator[NewChip | None]:
    for cut in cuts:
        with closing(cut), ahead(cut.chips, _AHEAD) as chips:
            yield from chips


def _cuts(options: ExportOptions, left_out: Counter[str]) -> list[Cut]:
    """Open everything."""
    labels = Labels.read(options.in_class_data, options.class_value_field) if options.in_class_data else None
    instances = Labels.read(options.in_instance_data, options.instance_class_value_field) if options.in_instance_data else None
    mask = read_features(options.in_mask_polygons, classes=False) if options.in_mask_polygons else None
    first, second = ([file for path in paths for file in rasters_in(path)] for paths in (options.in_raster, options.in_raster2))
    common: dict[str, Any] = {"labels": labels, "instances": instances, "mask": mask, "left_out": left_out}
    if options.processing_mode == "PROCESS_AS_MOSAICKED_IMAGE":
        groups, pairs = [first], [second]
    else:
        groups, pairs = [[path] for path in first], [[path] for path in second]
    if options.keyword == "CycleGAN":
        return [Cut(options, group, **common) for group in groups] + [
            Cut(options, group, **common, domain=1) for group in pairs
        ]
    if not second:
        pairs = [[] for _ in groups]
    if len(pairs) != len(groups):
        raise OptionError(
            f"There are {len(groups)} rasters and {len(pairs)} second rasters; processed one by one, each needs a partner: the "
            "one of the same place in the order of names."
        )
    cuts = [Cut(options, group, pair, **common) for group, pair in zip(groups, pairs, strict=True)]
    for given, placed in ((labels, [cut.truth for cut in cuts]), (instances, [cut.instances for cut in cuts])):
        if given and given.features and not any(isinstance(truth, PolygonTruth) and len(truth.features) for truth in placed):
            raise given.features.elsewhere(cuts[0].grid)
    return cuts


def _facts(options: ExportOptions, cuts: Sequence[Cut]) -> ExportFacts:
    """Return what all chips share.

    Raises:
        DataError: if the rasters do not go together.
        OptionError: if the dates do not go with the bands.
    """
    first = cuts[0]
    for other in cuts[1:]:
        if other.domain == first.domain:
            check_alike(first, other)
    partner = next((cut.imagery for cut in cuts if cut.domain == 1), first.second)
    known = {info.value: info for truth in (first.instances, first.truth) if truth for info in truth.classes}
    return ExportFacts(
        classes=tuple(known[value] for value in sorted(known)),
        bands=first.imagery.bands,
        tile_size=options.tile_size,
        second_bands=partner.bands if partner else (),
        chip_format=options.image_chip_format,
        start_index=options.start_index,
        nodata=first.imagery.nodata,
        second_nodata=None if partner is None else float("nan") if partner.nodata is None else partner.nodata,
        cell_size=first.grid.cell,
        wkid=first.grid.crs.to_epsg() if first.grid.crs else None,
        image_space=options.reference_system,
        instance_classes=tuple(info.value for info in first.instances.classes) if first.instances else (),
        metadata=_metadata(options),
    )


def _metadata(options: ExportOptions) -> dict[str, Any]:
    if options.dates:
        return {"DimensionValues": [(_date(text) - _DAY_ZERO).days for text in options.dates]}
    if options.keyword in ("Labeled_Tiles", "Imagenet"):
        mode = "Variable_Size" if options.crop_mode == "BOUNDING_BOX" else "Fixed_Size"
        return {"CropTileMode": mode, "BlackenAroundFeature": options.blacken_around_feature}
    return {}


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise OptionError(f"{text!r} is no date. Dates are written as 2024-05-31.") from None
