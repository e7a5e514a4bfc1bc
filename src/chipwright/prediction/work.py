"""Work that is kept while a prediction runs, so that it goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from chipwright import console
from chipwright.errors import ChipwrightError, OptionError
from chipwright.files import write_json

if TYPE_CHECKING:
    from chipwright.model import Model

_JOB = "job.json"


class Work:
    """A hidden folder beside the output, with one piece for every finished row of windows.

    Pieces that another job left there, with another model, raster or option, are removed.

    Args:
        out: the output, which the folder is named after.
        job: everything that decides what the pieces hold, as JSON data.
    """

    def __init__(self, out: Path, job: Mapping[str, Any]) -> None:
        self.folder = out.parent / f".{out.name}.unfinished"
        job = json.loads(json.dumps(job))
        if self._job() != job:
            self.clear()
            self.folder.mkdir(parents=True)
            write_json(self.folder / _JOB, job)

    def _job(self) -> Any:
        try:
            return json.loads((self.folder / _JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def piece(self, row: int, name: str) -> Path:
        """Return the path of a part of a row's piece."""
        return self.folder / f"{row:06d}.{name}"

    def finish(self, row: int) -> None:
        """Note that a row's piece is complete."""
        self.piece(row, "done").touch()

    def missing(self, rows: int) -> list[int]:
        """Return the rows without a piece, and say so where some have one."""
        left = [row for row in range(rows) if not self.piece(row, "done").exists()]
        if len(left) < rows:
            console.say(f"Going on with interrupted work: {rows - len(left)} of {rows} rows of windows are there.")
        return left

    def clear(self) -> None:
        """Remove the folder and everything in it."""
        if self.folder.exists():
            shutil.rmtree(self.folder)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other predictions from writing the same output meanwhile; a process that is killed keeps nobody out.

    Raises:
        OptionError: if another one is at it.
        ChipwrightError: if the output's folder cannot be written to.
    """
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OptionError(f"Another prediction is writing {out}. Wait for it, or choose another name.") from error
    except OSError as error:
        raise ChipwrightError(f"The folder {out.parent} cannot be written to: {error.strerror}.") from error
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # Windows keeps a file that another prediction has taken up meanwhile
            Path(lock.lock_file).unlink()


def check_output(out: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Check that an output can be written.

    Raises:
        OptionError: if it exists and is not to be replaced, or is one of the inputs.
        ChipwrightError: if its folder cannot be made.
    """
    if any(out.resolve() == path.resolve() for path in inputs):
        raise OptionError(f"{out} is an input, which is never written to. Choose another name for the output.")
    if out.is_dir():
        raise OptionError(f"{out} is a folder; the output is one file, such as {out / 'result.tif'}.")
    if out.exists() and not overwrite:
        raise OptionError(f"{out} exists. Choose another name, or replace it with --overwrite.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ChipwrightError(f"The folder {out.parent} cannot be made: {error.strerror}.") from error


def digest(model: Model) -> str:
    """Return a fingerprint of a model's weights and of everything it was built from."""
    found = hashlib.sha256(model.spec.model_dump_json().encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return found.hexdigest()


def identity(path: Path) -> list[Any]:
    """Return what tells whether a file has changed: name, size and time of the last change. It may name a layer of a file."""
    try:
        facts = Path(str(path).partition("|")[0]).stat()
    except OSError:  # GDAL's own names, as of subdatasets, are no files
        return [str(path)]
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns]
