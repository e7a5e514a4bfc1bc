"""ImageCaptioning: texts that say what a chip shows; in a label file each, or all in one JSON file as RSICD has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chipwright.chips.formats.esri import Export, counted, file_within, inside
from chipwright.chips.formats.layouts import CAPTION_FOLDERS, captions_file, is_captioned
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, Sample, images_folder, paired, stems
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import Surveyed, check_type, survey
from chipwright.chips.formats.texts import read_object
from chipwright.chips.formats.voc_xml import LABEL_SUFFIXES, read_annotations
from chipwright.errors import DataError, listed

KEYWORD = "ImageCaptioning"

LONGEST = 2000
"""Characters of a caption; real ones have some tens or hundreds."""

NO_CAPTION = "no caption"
NO_IMAGE = "its image is missing"


def read_captions(export: Export) -> Part:
    """Return the folder's chips with their captions, of which a chip may have several; chips may differ in size.

    Raises:
        DataError: if a caption is longer than `LONGEST`, no chip has one, a label file is hostile, or chips differ in bands or
            pixel type.
    """
    listing = None if is_captioned(export) else captions_file(export.root, export.entries)
    captioned = _from_labels(export) if listing is None else _from_listing(export, listing)
    chips = []
    empty: list[str] = []
    for one, texts in captioned:
        kept = [text for text in texts if text]
        empty += [one.sample.name] * (len(texts) - len(kept))
        if kept:
            chips.append(one.chip(texts=tuple(kept)))
        else:
            export.account.drop(NO_CAPTION, f"{one.sample.name}{one.sample.images[0].suffix}")
    if empty:
        export.account.warnings.append(f"Left out {counted(len(empty), 'empty caption')} ({listed(dict.fromkeys(empty))}).")
    if not chips:
        raise DataError(
            f"None of the {counted(len(captioned), 'chip')} in {export.root} has a caption; expected a text in the name of an "
            "object in each label, or in the sentences of each image in the JSON file."
        )
    return assemble(export, KEYWORD, [one for one, _ in captioned], chips, ())


def _from_labels(export: Export) -> list[tuple[Surveyed, list[str]]]:
    """Return the chips and the texts of their label files, one an object."""
    samples = paired(export, images_folder(export), export.directory("labels"), LABEL_SUFFIXES)
    found = survey(export, samples)
    check_type(export, found)
    return [
        (one, [_caption(marked.name, one.sample.label) for marked in label.objects])
        for one, label in read_annotations(export, found)
    ]


def _from_listing(export: Export, path: Path) -> list[tuple[Surveyed, list[str]]]:
    """Return the chips that a JSON file lists and that are there, and their texts."""
    folder = export.directory(*CAPTION_FOLDERS) or export.root
    listing = _read_listing(path)
    account = export.account
    texts: dict[str, list[str]] = {}
    samples: list[Sample] = []
    for parts, captions in listing.captions.items():
        filename = "/".join(parts)
        image = file_within(folder, parts) if Path(filename).suffix.lower() in IMAGE_SUFFIXES else None
        if image is None:
            account.drop(NO_IMAGE, filename)
            continue
        stem = filename.removesuffix(image.suffix)
        sample = Sample(filename if stem in texts else stem, (image,))
        samples.append(sample)
        texts[sample.name] = captions
    if not samples:
        names = listed("/".join(parts) for parts in listing.captions)
        raise DataError(
            f"{path.name} in {export.root} lists {counted(len(listing.captions), 'image')}{f' ({names})' if names else ''}, "
            f"and none of them is in {folder}; expected the images there, under the names listed."
        )
    used = {sample.images[0] for sample in samples}
    for image in stems(folder, IMAGE_SUFFIXES)[0].values():
        if image not in used:
            account.drop(NO_CAPTION, image.name)
    listing.report(export, path)
    found = survey(export, samples)
    check_type(export, found)
    return [(one, texts[one.sample.name]) for one in found]


@dataclass
class _Listing:
    """What a JSON file of captions holds: captions by the image's path within the folder, and what was odd."""

    captions: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    odd: int = 0
    split: bool = False
    outside: list[str] = field(default_factory=list)

    def report(self, export: Export, path: Path) -> None:
        """Say in the account what was not used."""
        warnings = export.account.warnings
        if self.outside:
            warnings.append(
                f"{path.name} names {counted(len(self.outside), 'image')} outside the folder ({listed(self.outside)}); "
                "these were ignored."
            )
        if self.odd:
            entries = "1 entry" if self.odd == 1 else f"{self.odd} entries"
            warnings.append(f"{path.name} has {entries} without a filename or a list of sentences, ignored.")
        if self.split:
            warnings.append(f"The split that {path.name} lists is not used; which chips validate is chosen anew.")


def _read_listing(path: Path) -> _Listing:
    """Return what a JSON file lists: `images` of objects with a `filename` and `sentences` of objects with a `raw` text."""
    rows = read_object(path)[0].get("images")
    if not isinstance(rows, list):
        raise DataError(f'{path} holds no list "images" of objects with filename and sentences, as captions in JSON have it.')
    listing = _Listing()
    for row in rows:
        filename, sentences = (row.get("filename"), row.get("sentences")) if isinstance(row, dict) else (None, None)
        if not isinstance(filename, str) or not filename.strip() or not isinstance(sentences, list):
            listing.odd += 1
            continue
        listing.split = listing.split or "split" in row
        parts = inside(filename.strip())
        if not parts:
            listing.outside.append(filename.strip())
            continue
        captions = listing.captions.setdefault(parts, [])
        captions += [_caption(one.get("raw") if isinstance(one, dict) else None, path) for one in sentences]
    return listing


def _caption(text: Any, path: Path | None) -> str:
    """Return a caption in one line; an empty text where there is none.

    Raises:
        DataError: if it is longer than `LONGEST`.
    """
    caption = " ".join(text.split()) if isinstance(text, str) else ""
    if len(caption) > LONGEST:
        raise DataError(
            f"{path} has a caption of {len(caption)} characters ({caption[:40]!r}...); captions have at most {LONGEST}. "
            "Shorten it, or leave it out."
        )
    return caption
