"""What the tools return: like arcpy's results, with more to ask for."""

# ruff: noqa: N802, N815 - the reference's names

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

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
