"""The files of a package, whether they lie in a folder or in a `.dlpk`, under one small interface.

Nothing is ever unpacked to disk and no file stays open: every read opens, reads and closes, so that Windows lets the user
move or replace a package that is in use.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from chipwright.errors import PackageError, listed

ARCHIVE_BYTES = 8 * 2**30
"""Most bytes that the entries of an archive may unpack to, all together."""

ARCHIVE_ENTRIES = 10_000
"""Most entries of an archive."""

ARCHIVE_RATIO = 200
"""Most bytes unpacked for one byte stored. Trained weights barely shrink; only a bomb shrinks like this."""

_RATIO_FLOOR = 16 * 2**20
"""Archives that unpack to less than this are harmless, however well they shrink."""

_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods accepted: those whose output zipfile bounds while unpacking."""


class Members(Protocol):
    """The files that belong to one package."""

    where: str
    """How errors name the package."""

    def emd_names(self) -> list[str]:
        """Return the names of all `.emd` files."""

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes, or None if there is no such file."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""


def unsafe_part(name: str) -> str | None:
    """Return what makes a relative name leave its folder (or mean another file on Windows), or None if it is safe."""
    if not name or "\0" in name:
        return "is empty or holds a null character"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/"):
        return "is absolute"
    if ":" in name:
        return "holds a drive letter or a stream name"
    if ".." in PurePosixPath(name).parts:
        return 'leaves its folder by ".."'
    return None


class FolderMembers:
    """A package that lies in a folder as loose files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)

    def emd_names(self) -> list[str]:
        """Return the names of the `.emd` files right in the folder; files that macOS leaves beside them do not count."""
        try:
            paths = list(self.folder.iterdir())
        except OSError as error:
            raise PackageError(f"{self.folder} cannot be listed: {error.strerror or error}.") from error
        return sorted(path.name for path in paths if _is_emd(path.name) and path.is_file())

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes, or None if there is no such (regular) file."""
        path = self.folder / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            PackageError: if the file cannot be read.
        """
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise PackageError(f"{self.folder / name} cannot be read: {error.strerror or error}.") from error


class ArchiveMembers:
    """A package in a `.dlpk` or `.zip`, checked as a whole before anything of it is read.

    Names are relative to `base`, the folder inside the archive that holds the `.emd` ("" where there is no wrapper folder).

    Raises:
        PackageError: if the file is no zip archive, or one that is broken, hostile or encrypted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, zlib.error) as error:
            raise PackageError(
                f"{path} is not a zip archive that can be read ({error}). A .dlpk is one; copy or download it again."
            ) from error
        self._check(entries)
        self._sizes = {entry.filename: entry.file_size for entry in entries if not entry.is_dir()}
        self.base = self._find_base()

    def emd_names(self) -> list[str]:
        """Return the names of the `.emd` files, wherever in the archive they lie (relative to `base` if that is known)."""
        return sorted(name.removeprefix(self.base) for name in self._sizes if _is_emd(name))

    def size(self, name: str) -> int | None:
        """Return the unpacked size of an entry in bytes, or None if there is no such entry."""
        return self._sizes.get(self.base + str(PurePosixPath(name)))

    def read(self, name: str) -> bytes:
        """Return an entry's unpacked bytes; never more than the archive declares for it.

        Raises:
            PackageError: if the entry is damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.base + str(PurePosixPath(name))) as file:
                data = file.read()
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
            raise PackageError(f"{name} in {self.path} is damaged ({error}). Copy or download the package again.") from error
        if len(data) != self._sizes[self.base + str(PurePosixPath(name))]:
            raise PackageError(f"{name} in {self.path} is cut short. Copy or download the package again.")
        return data

    def _find_base(self) -> str:
        emds = [name for name in self._sizes if _is_emd(name)]
        folder = str(PurePosixPath(emds[0]).parent) if len(emds) == 1 else "."
        return "" if folder == "." else f"{folder}/"

    def _check(self, entries: list[zipfile.ZipInfo]) -> None:
        if len(entries) > ARCHIVE_ENTRIES:
            raise PackageError(
                f"{self.path} holds {len(entries)} entries; a model package holds at most {ARCHIVE_ENTRIES}. It was not opened."
            )
        seen: set[str] = set()
        for entry in entries:
            self._check_entry(entry)
            # Windows and macOS take names that differ in case for one file
            if entry.filename.casefold() in seen:
                raise PackageError(f"{self.path} holds {entry.filename} more than once; pack the model again.")
            seen.add(entry.filename.casefold())
        total = sum(entry.file_size for entry in entries)
        if total > ARCHIVE_BYTES:
            raise PackageError(
                f"{self.path} would unpack to {total / 2**30:.1f} GiB; at most {ARCHIVE_BYTES / 2**30:.0f} GiB are opened."
            )
        # against the file's own size, so that entries which share their stored bytes count too
        if total > _RATIO_FLOOR and total > ARCHIVE_RATIO * self.path.stat().st_size:
            raise PackageError(
                f"{self.path} would unpack to more than {ARCHIVE_RATIO} times its size, as no model does. It was not opened."
            )

    def _check_entry(self, entry: zipfile.ZipInfo) -> None:
        # zipfile cuts `filename` at a null character and turns backslashes on Windows; the original name tells
        fault = unsafe_part(entry.orig_filename)
        if fault:
            raise PackageError(
                f"{self.path} holds the entry {entry.orig_filename!r}, whose name {fault}. "
                "Such an archive is unsafe and was not opened; pack the model again with `chipwright package`."
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise PackageError(f"{self.path} holds the link {entry.filename!r}; a package holds files only. Pack it again.")
        if entry.flag_bits & 0x41:
            raise PackageError(f"{self.path} is encrypted ({entry.filename}). Unpack it with its password and give the folder.")
        if entry.compress_type not in _READ_METHODS:
            raise PackageError(
                f"{self.path} is packed with an unusual method ({entry.filename}); only stored and deflated entries are read. "
                "Unpack it and give the folder."
            )


def single_emd(members: Members) -> str:
    """Return the name of the package's only `.emd`.

    Raises:
        PackageError: if there is none, or more than one.
    """
    names = members.emd_names()
    if len(names) > 1:
        raise PackageError(
            f"{members.where} holds {len(names)} .emd files ({listed(names)}); a model package has exactly one. "
            "Give the path of the .emd itself, or move the others away."
        )
    if not names:
        raise PackageError(f"{members.where} holds no .emd file, so it is no trained model.{_hint(members)}")
    return names[0]


def _hint(members: Members) -> str:
    if not isinstance(members, FolderMembers):
        return " A model package holds exactly one .emd beside its weights."
    packed = sorted(path.name for path in members.folder.iterdir() if path.suffix.lower() == ".dlpk")
    if packed:
        return f" It holds {listed(packed)}: give that file."
    if (members.folder / "checkpoints").is_dir():
        return " It holds checkpoints of a training run that has not finished: train on with --resume."
    return " Give the folder that training wrote, its .emd or its .dlpk."


def _is_emd(name: str) -> bool:
    path = PurePosixPath(name)
    of_macos = path.name.startswith("._") or path.parts[0] == "__MACOSX"
    return path.suffix.lower() == ".emd" and not of_macos
