"""What the tools return: like arcpy's results, with more to ask for."""

# ruff: noqa: N802, N815 - the reference's names

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from chipwright.errors import OptionError
from chipwright.files import whole_file

Folder = str | PathLike[str]


class _Output:
    """A tool's one output as text: `result[0]`, `result.getOutput(0)`, `str(result)`, or the result in place of a path."""

    outputCount = 1
    status = 4
    """arcpy's number for a tool that succeeded."""

    def _path(self) -> Path:
        raise NotImplementedError

    def getOutput(self, index: int) -> str:
        """Return an output as text; there is one."""
        return self[index]

    def __getitem__(self, index: int) -> str:
        if index not in (0, -1):
            raise IndexError("the result has one output, number 0")
        return str(self)

    def __len__(self) -> int:
        return self.outputCount

    def __str__(self) -> str:
        return str(self._path())

    def __fspath__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Result(_Output):
    """What training returns; its output is the model file.

    Attributes:
        out_model_file: path of the `.dlpk`.
        metrics: figures on the validation samples by name.
        epochs: epochs trained.
        best_epoch: the epoch whose weights were kept, counted from 1.
        details: the whole result of `chipwright.train`.
    """

    out_model_file: Path
    metrics: dict[str, float]
    epochs: int
    best_epoch: int | None
    details: Any = field(repr=False, compare=False)

    __str__ = _Output.__str__

    def _path(self) -> Path:
        return self.out_model_file

    def getMessages(self, severity: int = 0) -> str:
        """Return the warnings, a line each."""
        return "\n".join(self.details.warnings)


@dataclass(frozen=True)
class FeatureResult(_Output):
    """What a tool that writes features returns; its output is the file.

    Attributes:
        out_features: the file.
        count: features in it.
        details: the whole result of `chipwright.predict`, where a model made them.
    """

    out_features: Path
    count: int
    details: Any = field(repr=False, compare=False)

    __str__ = _Output.__str__

    def _path(self) -> Path:
        return self.out_features


@dataclass(frozen=True)
class RasterResult(_Output):
    """What a tool that makes a raster returns: the raster, to be saved.

    Attributes:
        out_raster: the file, or the folder of rasters that were made one by one.
        details: the whole result of `chipwright.predict`.
    """

    out_raster: Path
    details: Any = field(repr=False, compare=False)
    _folder: Any = field(repr=False, compare=False, default=None)

    __str__ = _Output.__str__

    def _path(self) -> Path:
        return self.out_raster

    def save(self, path: Folder) -> str:
        """Copy the raster, with its statistics and attribute table, to its place and return it.

        Raises:
            OptionError: if the result is a folder of rasters, which lie in their places already.
        """
        target = Path(path)
        if self.out_raster.is_dir():
            raise OptionError(f"The result is a folder of rasters, {self.out_raster}; they need not be saved.")
        beside = self.out_raster.with_name(self.out_raster.name + ".aux.xml")
        with whole_file(target) as part:
            shutil.copyfile(self.out_raster, part)
        if beside.exists():
            with whole_file(target.with_name(target.name + ".aux.xml")) as part:
                shutil.copyfile(beside, part)
        return str(target)


@dataclass(frozen=True)
class TableResult(_Output):
    """What a tool that writes a table returns; its output is the file.

    Attributes:
        out_table: the file.
        rows: what stands in it.
    """

    out_table: Path
    rows: list[dict[str, Any]]

    __str__ = _Output.__str__

    def _path(self) -> Path:
        return self.out_table


@dataclass(frozen=True)
class ExportResult(_Output):
    """What an export returns; its output is the folder.

    Attributes:
        out_folder: with the training data.
        chips: how many there are.
        details: the whole result of `chipwright.export`.
    """

    out_folder: Path
    chips: int
    details: Any = field(repr=False, compare=False)

    __str__ = _Output.__str__

    def _path(self) -> Path:
        return self.out_folder

    def getMessages(self, severity: int = 0) -> str:
        """Return what was left out, a line a reason."""
        return "\n".join(f"{count} tiles {reason}" for reason, count in self.details.left_out.items())
