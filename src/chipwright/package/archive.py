"""Packing a trained model's folder into a `.dlpk`."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from chipwright.errors import PackageError
from chipwright.files import whole_file
from chipwright.package.store import Package, open_package

CHARACTERISTICS = "ModelCharacteristics"
FUNCTION = "ChipwrightFunction"
"""Key of the `.emd` that the raster function reads."""

REPORTS = ("model_metrics.html", "model_metrics.json")

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: the same files give the same archive, whenever they were written."""


def pack(folder: Path, name: str, target: Path | None = None) -> Path:
    """Write a `.dlpk` from `NAME.emd`, its weights, the report and `ModelCharacteristics/`; return its path.

    It becomes `NAME.dlpk` in the folder unless `target` says otherwise.

    A deflated zip without a wrapper folder, written whole. Checkpoints, events and logs stay behind. The same files give the
    same bytes.

    Raises:
        PackageError: if the folder holds no model of that name, or its weights are not those of the `.emd`.
    """
    package = open_package(folder / f"{name}.emd")
    weights = package.weights_name
    expected = package.weights["sha256"]
    target = target or folder / f"{name}.dlpk"
    with whole_file(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in packed_files(folder, package):
            digest = _add(archive, file, file.relative_to(folder).as_posix())
            if file.name == weights and digest != expected:
                raise PackageError(
                    f"{file} is not the weights file that {name}.emd was written with (checksum {digest[:12]}, "
                    f"expected {expected[:12]}), so nothing was packed. Copy both files again."
                )
    return target


def packed_files(folder: Path, package: Package) -> Iterator[Path]:
    """Yield the paths of the files of a model's folder that belong into its archive.

    Raises:
        PackageError: if the weights are missing.
    """
    yield folder / f"{package.name}.emd"
    weights = folder / package.weights_name
    if not weights.is_file():
        raise PackageError(f"The weights {weights} are missing, so nothing was packed. Copy the whole folder again.")
    yield weights
    facts = package.emd.get(FUNCTION)
    for part in (package.emd.get("InferenceFunction"), facts.get("onnx") if isinstance(facts, dict) else None):
        if isinstance(part, str) and Path(part).name == part and (folder / part).is_file():  # nothing outside the folder
            yield folder / part
    yield from (folder / report for report in REPORTS if (folder / report).is_file())
    pictures = (folder / CHARACTERISTICS).rglob("*")
    yield from sorted((path for path in pictures if path.is_file() and not path.name.startswith(".")), key=Path.as_posix)


def _add(archive: zipfile.ZipFile, file: Path, entry: str) -> str:
    """Add one file and return its SHA-256."""
    info = zipfile.ZipInfo(entry, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, on every system, for the permissions below and for equal bytes
    info.external_attr = 0o100644 << 16
    info.file_size = file.stat().st_size  # lets zipfile choose 64-bit sizes where they are needed
    digest = hashlib.sha256()
    with file.open("rb") as source, archive.open(info, "w") as sink:
        while block := source.read(2**20):
            digest.update(block)
            sink.write(block)
    return digest.hexdigest()
