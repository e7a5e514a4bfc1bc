"""Training data are written through one door: chips go in one by one, and the folder appears whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chipwright.chips.formats.esri import EMD, MAP, TOTALS
from chipwright.chips.formats.table import FORMATS
from chipwright.chips.formats.texts import read_object
from chipwright.chips.writers.coco_labels import LABELS as COCO_LABELS
from chipwright.chips.writers.export_folder import ExportFolder, domains
from chipwright.chips.writers.metadata import STATS, WRITTEN_BY
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.chips.writers.table import CYCLEGAN, WRITERS
from chipwright.errors import DataError, OptionError, listed, suggestion

_OURS = {EMD, MAP, TOTALS, STATS, COCO_LABELS, "data.yaml", "images", "images2", "labels", "labels2", "A", "B"}
"""Everything an export of ours holds at its top level."""


class ChipWriter:
    """Takes the chips of one export, in any order, one at a time; `open_writer` makes it."""

    def __init__(self, folder: Path, keyword: str, facts: ExportFacts) -> None:
        mode, kind = FORMATS[keyword].mode or keyword, WRITERS[keyword]
        if keyword == CYCLEGAN:
            places = zip("AB", domains(facts), strict=True)
            self._folders = [ExportFolder(folder / name, mode, kind, one) for name, one in places]
        else:
            self._folders = [ExportFolder(folder, mode, kind, facts)]

    @property
    def count(self) -> int:
        """Chips written so far."""
        return sum(folder.count for folder in self._folders)

    def write(self, chip: NewChip) -> str:
        """Write one chip and return its file stem.

        Raises:
            OptionError: if the format or the chip format cannot hold it, or its name is taken.
            ValueError: if it contradicts the facts of the export: other bands, sizes or classes.
            ChipwrightError: if a file cannot be written.
        """
        if not 0 <= chip.domain < len(self._folders):
            raise ValueError(f"there is no domain {chip.domain}; CycleGAN has 0 and 1, other formats only 0")
        return self._folders[chip.domain].write(chip)

    def close(self) -> None:
        """Write the metadata.

        Raises:
            DataError: if there is no chip.
        """
        if any(folder.count == 0 for folder in self._folders):
            raise DataError("There is no chip to write, so no training data were made.")
        for folder in self._folders:
            folder.close()

    def abandon(self) -> None:
        """Close open files."""
        for folder in self._folders:
            folder.abandon()


@contextmanager
def open_writer(folder: Path, keyword: str, facts: ExportFacts, *, overwrite: bool = False) -> Iterator[ChipWriter]:
    """Write training data into `folder`; it appears, complete, when the block is left.

    Everything is written into a hidden folder beside it first. If the block raises, whatever it be, nothing is left behind and
    an earlier export stands as it was.

    Args:
        folder: one that does not exist or is empty.
        keyword: of the format, as in `FORMATS`.
        facts: what all chips share.
        overwrite: replace an earlier export of chipwright, and nothing else.

    Raises:
        OptionError: if the folder or the keyword cannot be used, or the facts lack what the format needs.
        DataError: at the end, if no chip was written.
        OSError: if the folder cannot be made.
    """
    if keyword not in WRITERS:
        raise OptionError(f"{keyword!r} is no metadata format.{suggestion(keyword, WRITERS)} There are {listed(WRITERS, 20)}.")
    folder = Path(folder).resolve()
    check_free(folder, overwrite)
    made = [parent for parent in folder.parents if not parent.exists()]
    staging = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    writer = None
    try:
        staging.mkdir(parents=True)
        writer = ChipWriter(staging, keyword, facts)
        yield writer
        writer.close()
        _put_in_place(staging, folder, overwrite)
    except BaseException:
        if writer is not None:
            with suppress(OSError):  # what could not be flushed goes anyway
                writer.abandon()
        shutil.rmtree(staging, ignore_errors=True)
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def check_free(folder: Path, overwrite: bool) -> None:
    """Raise `OptionError` unless an export may be written into `folder`.

    To be overwritten, a folder must hold an export that chipwright wrote and nothing beside it: what someone added (a model
    trained into it, say) is not ours to delete.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OptionError(f"{folder} is a file. Name a folder for the training data.")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    if not overwrite:
        raise OptionError(f"{folder} is not empty. Name another folder, or allow overwriting to replace an earlier export.")
    if not _is_ours(folder):
        raise OptionError(f"{folder} holds no export that chipwright wrote, so it is not overwritten. Name another folder.")
    if foreign := sorted(names - _OURS):
        raise OptionError(
            f"{folder} holds more than an export ({listed(foreign)}), so it is not overwritten. Move that away, or name "
            "another folder."
        )


def _is_ours(folder: Path) -> bool:
    for place in (folder, folder / "A"):
        with suppress(DataError):
            if WRITTEN_BY in read_object(place / EMD)[0]:
                return True
    return False


def _put_in_place(staging: Path, folder: Path, overwrite: bool) -> None:
    """Give the finished export its name; what an earlier one held goes only when the new one is in its place."""
    check_free(folder, overwrite)  # much may have happened since
    if not folder.exists() or not any(folder.iterdir()):
        with suppress(FileNotFoundError):
            folder.rmdir()  # Windows renames onto nothing
        staging.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    folder.rename(old)
    try:
        staging.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
