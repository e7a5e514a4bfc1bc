"""CycleGAN: two folders of unpaired chips, one for each of two kinds of imagery (domains A and B)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chipwright.chips.chipset import DOMAINS, SecondImages
from chipwright.chips.formats.esri import Export, entries_of, open_export
from chipwright.chips.formats.layouts import domain_folders
from chipwright.chips.formats.pairing import holding, unlabelled
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import check_size, check_type, survey
from chipwright.errors import DataError

KEYWORD = "CycleGAN"

_OWN_MODES = ("", "cyclegan", "export_tiles")
"""What the metadata of a domain may call themselves."""


def read_cyclegan(export: Export) -> Part:
    """Return the chips of both domains as one part: A's first, then B's (`Chip.domain` 1), named "A/..." and "B/...".

    The part's bands, sizes and statistics are A's; its `second` are B's, which may differ in all of them.

    Raises:
        DataError: if a domain is missing or empty, or its chips differ among themselves in size, bands or pixel type.
    """
    folders = domain_folders(export.root, export.entries)
    if folders is None:
        raise _incomplete(export)
    first, second = (_domain(folder, number) for number, folder in enumerate(folders))
    account = export.account
    account.merge(first.signed())
    account.merge(second.signed())
    return replace(
        first,
        root=export.root,
        chips=first.chips + second.chips,
        account=account,
        second=SecondImages(
            bands=second.bands,
            dtype=second.dtype,
            tile_size=second.tile_size,
            statistics=second.moments.statistics(),
            nodata=second.nodata,
        ),
    )


def _incomplete(export: Export) -> DataError:
    root, above = export.root, export.root.parent
    if root.name.upper() not in DOMAINS:
        return DataError(
            f"{root} is in the format {KEYWORD} and has not both folders A and B, each an export of one kind of imagery: "
            f"{holding(root, export.entries.values())}. Copy the whole export."
        )
    if domain_folders(above, entries_of(above)):
        return DataError(f"{root} is one domain of {KEYWORD} data; give the folder above it, {above}, which holds both.")
    return DataError(
        f"{root} is one domain of {KEYWORD} data, and there is no export of the other beside it: expected both A and B in "
        f"{above}. Copy the whole export."
    )


def _domain(folder: Path, number: int) -> Part:
    """Return the part of one domain, an export of its own."""
    export = open_export(folder, folder, entries_of(folder))
    mode = export.text("MetaDataMode")
    if mode.casefold() not in _OWN_MODES:
        raise DataError(
            f"{folder} is an export of its own in the format {mode!r:.80}, and no domain of {KEYWORD} data; give its own path."
        )
    samples = unlabelled(export, export.directory("images") or folder)
    found = survey(export, samples)
    check_size(export, found)
    check_type(export, found)
    chips = [replace(one.chip(domain=number), name=f"{DOMAINS[number]}/{one.sample.name}") for one in found]
    return assemble(export, KEYWORD, found, chips, ())
