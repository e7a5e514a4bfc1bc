"""What reading one folder gives, before it is united with others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chipwright.chips.chipset import Account, Chip, SecondImages
from chipwright.chips.formats.classes import DraftClass
from chipwright.chips.formats.esri import Export, bands_of, counted
from chipwright.chips.formats.survey import Surveyed, place_of
from chipwright.chips.statistics import Moments, computed, exported
from chipwright.errors import listed


@dataclass(frozen=True, eq=False)
class Part:
    """One folder's share of a `ChipSet`; the fields mean what they mean there.

    Attributes:
        moments: band statistics in the form that can be pooled. Those of `second` need none: formats that have second
            images are read from one folder.
        own_values: whether class values were made up here from names, for want of metadata.
        mixed_sizes: whether chips differ in size.
    """

    root: Path
    format: str
    chips: tuple[Chip, ...]
    classes: tuple[DraftClass, ...]
    bands: tuple[str, ...]
    dtype: str
    tile_size: tuple[int, int]
    moments: Moments
    nodata: float | None
    image_space: str
    metadata: dict[str, Any]
    account: Account
    own_values: bool = False
    mixed_sizes: bool = False
    second: SecondImages | None = None

    def signed(self) -> Account:
        """Return the account with the folder's name in each sentence and before each chip."""
        name = self.root.name
        warnings = [text if str(self.root) in text else f"{name}: {text}" for text in self.account.warnings]
        dropped = {reason: [f"{name}/{chip}" for chip in chips] for reason, chips in self.account.dropped.items()}
        return Account(self.account.kept, dropped, warnings, self.account.evidence)


@dataclass(frozen=True, eq=False)
class _Bands:
    """What all first, or all second, images of a folder share."""

    names: tuple[str, ...]
    dtype: str
    moments: Moments
    nodata: float | None


def assemble(
    export: Export,
    keyword: str,
    surveyed: Sequence[Surveyed],
    chips: Sequence[Chip],
    classes: Sequence[DraftClass],
    own_values: bool = False,
    step: int | None = None,
) -> Part:
    """Return the folder's part: bands, sizes and statistics worked out, the account closed.

    Args:
        export: the folder.
        keyword: its format.
        surveyed: all readable chips, at least one; of one pixel type and band count.
        chips: those of them that are used.
        classes: the folder's classes.
        own_values: whether class values were made up from names.
        step: how many bands belong together, of which each pixel holds data in all or none; all of them unless given.
    """
    account = export.account
    sizes = Counter(facts.images[0].size for facts in surveyed)
    usual = sizes.most_common(1)[0][0]
    pixels = sum(width * height * count for (width, height), count in sizes.items())
    first = _bands(export, surveyed, chips, pixels, 0, step)
    second = None
    if len(surveyed[0].images) > 1:
        other = _bands(export, surveyed, chips, pixels, 1)
        second = SecondImages(
            bands=other.names, dtype=other.dtype, tile_size=usual, statistics=other.moments.statistics(), nodata=other.nodata
        )
    _note_differences(export, len(first.names), usual, len(sizes))
    for reason, names in account.dropped.items():
        total = len(chips) + sum(map(len, account.dropped.values()))
        account.warnings.append(f"Dropped {len(names)} of {counted(total, 'chip')} ({reason}): {listed(names)}.")
    account.kept = len(chips)
    return Part(
        root=export.root,
        format=keyword,
        chips=tuple(chips),
        classes=tuple(classes),
        bands=first.names,
        dtype=first.dtype,
        tile_size=usual,
        moments=first.moments,
        nodata=first.nodata,
        image_space=_image_space(export),
        metadata=export.metadata(),
        account=account,
        own_values=own_values,
        mixed_sizes=len(sizes) > 1,
        second=second,
    )


def _bands(
    export: Export, surveyed: Sequence[Surveyed], chips: Sequence[Chip], pixels: int, index: int, step: int | None = None
) -> _Bands:
    facts, second = surveyed[0].images[index], index > 0
    nodata = _one_nodata(export, surveyed, index)
    moments, fault = exported(export.emd, export.totals, facts.bands, facts.dtype, pixels, nodata, second)
    if moments is None:
        if export.esri:
            export.account.warnings.append(f"{fault[0].upper()}{fault[1:]}; they were computed from the chips.")
        moments = computed([chip.images[index] for chip in chips], nodata, step)
    return _Bands(bands_of(export, facts.bands, facts.band_names, second), facts.dtype, moments, nodata)


def _one_nodata(export: Export, surveyed: Sequence[Surveyed], index: int) -> float | None:
    counts = Counter(facts.images[index].nodata for facts in surveyed)
    declared = Counter({value: count for value, count in counts.items() if value is not None})
    if not declared:
        return None
    value = declared.most_common(1)[0][0]
    if len(counts) > 1:
        where, values = place_of(export, surveyed, index), listed(_shown(one) for one in counts)
        export.account.warnings.append(
            f"Chips in {where} declare different nodata values ({values}); {value:g} is used for all."
        )
    return value


def _shown(nodata: float | None) -> str:
    return "none" if nodata is None else f"{nodata:g}"


def _note_differences(export: Export, bands: int, size: tuple[int, int], sizes: int) -> None:
    said = export.number("NumBands")
    if said is not None and said != bands:
        export.account.warnings.append(
            f"The metadata of {export.root} say {said} bands, the chips have {bands}; the chips count."
        )
    width = export.number("TileSizeX", "ImageWidth")
    height = export.number("TileSizeY", "ImageHeight")
    if sizes > 1:
        export.account.warnings.append(
            f"Chips in {export.root} have {sizes} different sizes; most have {size[0]} x {size[1]} pixels."
        )
    elif width and height and (width, height) != size:
        export.account.warnings.append(
            f"The metadata of {export.root} say {width} x {height} pixels, the chips have {size[0]} x {size[1]}; the chips "
            "count."
        )


def _image_space(export: Export) -> str:
    # the newest exporters say IMAGE_SPACE for what was PIXEL_SPACE
    return "PIXEL_SPACE" if export.text("ImageSpaceUsed").upper() in ("PIXEL_SPACE", "IMAGE_SPACE") else "MAP_SPACE"
