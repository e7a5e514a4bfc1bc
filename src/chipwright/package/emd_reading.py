"""Reading an `.emd` that anybody may have written: every fault becomes one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from chipwright.errors import PackageError, listed
from chipwright.package.emd import KEY, VERSION
from chipwright.package.members import Members, unsafe_part
from chipwright.package.plain import decode, deeper_than
from chipwright.spec import ModelSpec, Normalization

EMD_BYTES = 64 * 2**20
"""Largest `.emd` that is read; real ones hold some kilobytes."""

EMD_DEPTH = 64
"""Deepest nesting of an `.emd` that is read; real ones have a few levels."""

_MOST_BANDS = 10_000

_MOST_CLASSES = 2**16

_PARTS = ("spec", "weights", "metrics", "facts")
"""What stands under `KEY` beside the version."""


def read_emd(members: Members, name: str) -> dict[str, Any]:
    """Return an `.emd` as a dictionary.

    Raises:
        PackageError: if it is missing, larger than any `.emd` is, or not a JSON object.
    """
    where = f"{name} in {members.where}"
    size = members.size(name)
    if size is None:
        raise PackageError(f"There is no {where}.")
    if size > EMD_BYTES:
        raise PackageError(f"{where} is {size / 2**20:.0f} MiB large; an .emd of more than {EMD_BYTES >> 20} MiB is not read.")
    try:
        emd = json.loads(members.read(name).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise PackageError(f"{where} is not UTF-8 text, as an .emd must be ({error.reason} at byte {error.start}).") from error
    except RecursionError as error:
        raise PackageError(_too_deep(where)) from error
    except ValueError as error:
        raise PackageError(f"{where} is not JSON, as an .emd must be ({error}). Copy or export the package again.") from error
    if not isinstance(emd, dict):
        raise PackageError(f"{where} holds a JSON {type(emd).__name__}; an .emd is a JSON object.")
    if deeper_than(emd, EMD_DEPTH):
        raise PackageError(_too_deep(where))
    return emd


def own_part(emd: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """Return what stands under "Chipwright", decoded: "spec", "weights", "metrics" and "facts".

    None where another program wrote the `.emd`.

    Raises:
        PackageError: if a newer chipwright wrote it, or it is damaged.
    """
    if KEY not in emd:
        return None
    own = decode(emd[KEY])
    version = own.get("version") if isinstance(own, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PackageError(f'{where} holds a key "{KEY}" without a version number; the package is damaged. Export it again.')
    if version > VERSION:
        raise PackageError(
            f"{where} was written by a newer chipwright (package version {version}, this one reads up to {VERSION}). "
            "Update: pip install -U chipwright"
        )
    missing = [part for part in _PARTS if not isinstance(own.get(part), dict)]
    if missing or not isinstance(own["weights"].get("sha256"), str):
        named = f"{KEY}.{missing[0] if missing else 'weights.sha256'}"
        raise PackageError(f'{where} lacks the key "{named}"; the package is damaged. Export it again.')
    return own


def read_spec(own: Mapping[str, Any], where: str) -> ModelSpec:
    """Return the model as it stands in `own_part`.

    Raises:
        PackageError: if it does not hold what a model needs.
    """
    try:
        spec = ModelSpec.model_validate(own["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (KEY, "spec", *first["loc"]))
        raise PackageError(f"{where} is damaged at {key}: {first['msg']}. Export the package again.") from error
    for key, count, most in (("bands", len(spec.bands), _MOST_BANDS), ("classes", len(spec.classes), _MOST_CLASSES)):
        if count > most:
            raise PackageError(f"{where} is damaged at {KEY}.spec.{key}: it lists {count}, and a model has at most {most}.")
    _check_scaling(spec.normalization, len(spec.bands), f"{where} is damaged at {KEY}.spec.normalization")
    return spec


def _check_scaling(scaling: Normalization, bands: int, fault: str) -> None:
    given = (scaling.mean, scaling.std, scaling.minimum, scaling.maximum)
    counts = sorted({len(values) for values in given if values is not None})
    if counts != [bands]:
        raise PackageError(f"{fault}: it is for {listed(counts)} bands, the model has {bands}. Export the package again.")


def model_file(emd: Mapping[str, Any], where: str) -> str:
    """Return the name of the weights file, relative to the `.emd`.

    Raises:
        PackageError: if it is missing, or would lead out of the package.
    """
    name = emd.get("ModelFile")
    if not isinstance(name, str):
        raise PackageError(f'{where} lacks the key "ModelFile", the name of the weights; it is damaged. Export it again.')
    fault = unsafe_part(name)
    if fault:
        raise PackageError(f"{where} names the weights file {name!r}, which {fault}; weights must lie beside the .emd.")
    return name


def _too_deep(where: str) -> str:
    return f"{where} is nested deeper than any .emd is, so it was not read. Copy or export the package again."
