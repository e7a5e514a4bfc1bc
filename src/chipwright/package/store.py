"""Saving a trained model and opening it again, from its folder, its `.emd` or its `.dlpk`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright.errors import PackageError
from chipwright.files import whole_file
from chipwright.package.emd import compose_emd, emd_text
from chipwright.package.emd_reading import model_file, own_part, read_emd, read_spec
from chipwright.package.members import ArchiveMembers, FolderMembers, Members, single_emd, unsafe_part
from chipwright.package.reference import refuse_foreign
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

ARCHIVE_SUFFIXES = (".dlpk", ".zip")


@dataclass(frozen=True)
class Package:
    """A trained model on disk, opened. Its weights are read when `state` is called.

    Attributes:
        name: the model's name, the stem of its `.emd`.
        source: what was opened: the `.emd`, or the archive.
        spec: the model as plain data.
        metrics: figures on the validation samples, by name; NaN where there was nothing to measure.
        facts: what else was written down of the training run (learning rate, monitor, versions, ...).
        weights: size and SHA-256 of the weights file as it was written.
        emd: everything that stands in the `.emd`.
    """

    name: str
    source: Path
    spec: ModelSpec
    metrics: dict[str, float]
    facts: dict[str, Any] = field(repr=False)
    weights: dict[str, Any] = field(repr=False)
    emd: dict[str, Any] = field(repr=False)
    members: Members = field(repr=False)

    @property
    def weights_name(self) -> str:
        """Name of the weights file, relative to the `.emd`."""
        return model_file(self.emd, f"{self.name}.emd in {self.members.where}")

    def state(self) -> dict[str, Tensor]:
        """Return the network's state on the CPU. No file stays open behind the tensors.

        Raises:
            PackageError: if the weights are missing, cut short, damaged, or not those that the `.emd` was written with.
        """
        import safetensors
        import safetensors.torch

        name = self.weights_name
        data = self._checked_weights(name)
        try:
            return safetensors.torch.load(data)
        except (safetensors.SafetensorError, ValueError, AssertionError, KeyError) as error:
            raise PackageError(
                f"{name} in {self.members.where} holds no weights that can be read ({error}). Copy or export the package again."
            ) from error

    def load_into(self, network: nn.Module) -> None:
        """Give `network` the package's weights, every one of them.

        Raises:
            PackageError: if the weights are damaged, or are not those of this network.
        """
        state = self.state()
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            wrong = len(str(error).splitlines()) - 1
            raise PackageError(
                f"{self.weights_name} in {self.members.where} does not fit the {self.spec.model_type} network it describes "
                f"({wrong} tensors or groups of them differ). It comes from another version of chipwright, or is damaged."
            ) from error

    def _checked_weights(self, name: str) -> bytes:
        where = f"{name} in {self.members.where}"
        size = self.members.size(name)
        if size is None:
            raise PackageError(f"The weights {where} are missing. Copy the whole package again.")
        expected = self.weights.get("bytes", size)
        if size != expected:
            raise PackageError(
                f"{where} has {size} bytes, but {self.name}.emd was written with one of {expected}: "
                "it is cut short, or another model's. Copy both files again."
            )
        data = self.members.read(name)
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.weights["sha256"]:
            raise PackageError(
                f"{where} is not the file that {self.name}.emd was written with (checksum {digest[:12]}, "
                f"expected {self.weights['sha256'][:12]}). Copy both files again."
            )
        return data


def save_package(
    folder: Path,
    name: str,
    spec: ModelSpec,
    state: Mapping[str, Tensor],
    emd_keys: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Path:
    """Write `NAME.safetensors` and `NAME.emd` into `folder` and return the path of the `.emd`.

    What the folder still holds of an earlier model of that name goes: its archive, its ONNX files and its raster function,
    unless `emd_keys` name a new one.

    Both are written aside first and take their places together at the end, so that a failure leaves what was there before.
    The same state gives the same bytes.

    Args:
        folder: made if it is not there.
        name: the model's name.
        spec: the model as plain data.
        state: the network's state, on any device.
        emd_keys: keys of the model type's family, from `ModelType.emd_keys`.
        facts: of the training run; see `chipwright.package.emd.compose_emd`.

    Raises:
        PackageError: if `name` is no plain file name.
    """
    from chipwright.package.archive import FUNCTION

    if not name.strip(".") or unsafe_part(name) or "/" in name:
        raise PackageError(f"{name!r} is no name for a model: it becomes a file name, so it must hold no slash or colon.")
    emd_path = folder / f"{name}.emd"
    weights_path = folder / f"{name}.safetensors"
    with whole_file(emd_path) as emd_part, whole_file(weights_path) as weights_part:
        write_weights(weights_part, state)
        with weights_part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        weights = {"file": weights_path.name, "bytes": weights_part.stat().st_size, "sha256": digest}
        emd = compose_emd(spec, emd_keys, facts, weights)
        emd_part.write_text(emd_text(emd), encoding="ascii", newline="\n")
    # what was made of the model that was here before would be taken for this one's
    stale = [folder / f"{name}.dlpk", folder / f"{name}_qgis.onnx"]
    if FUNCTION not in emd_keys:
        stale += [folder / f"{name}.onnx", *folder.glob("Chipwright*.py")]
    for old in stale:
        old.unlink(missing_ok=True)
    return emd_path


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state as safetensors; tensors that share memory are written once each, since the format shares nothing."""
    from safetensors.torch import save_file

    seen: set[int] = set()
    tensors: dict[str, Tensor] = {}
    for key, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        # a view of a larger storage, or one already taken, needs memory of its own
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        tensors[key] = tensor
    # a single entry: safetensors writes several in random order, and the same weights shall give the same file
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o666 & ~_umask())  # safetensors writes for the owner alone


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def open_package(path: Path | str) -> Package:
    """Open a trained model, given its folder, its `.emd`, its `.dlpk`, or a `.zip` of the folder.

    Raises:
        PackageError: if there is nothing, it is no model package, it is broken or unsafe, another program trained it, or a
            newer chipwright wrote it. Each says which, and what to do.
    """
    source, members, name = locate(Path(path))
    emd = read_emd(members, name)
    where = f"{name} in {members.where}"
    own = own_part(emd, where)
    if own is None:
        refuse_foreign(emd, where)
    spec = read_spec(own, where)
    model_file(emd, where)
    return Package(Path(name).stem, source, spec, own["metrics"], own["facts"], own["weights"], emd, members)


def locate(path: Path) -> tuple[Path, Members, str]:
    """Return (what to call the source, its files, the name of its `.emd`).

    Raises:
        PackageError: if there is nothing, or nothing that can be a model package.
    """
    suffix = path.suffix.lower()
    members: Members
    if not path.exists():
        raise PackageError(f"{path} does not exist. Give a trained model: its folder, its .emd or its .dlpk.")
    if path.is_dir():
        members = FolderMembers(path)
        name = single_emd(members)
        return path / name, members, name
    if suffix == ".emd":
        return path, FolderMembers(path.parent), path.name
    if suffix in ARCHIVE_SUFFIXES:
        members = ArchiveMembers(path)
        return path, members, single_emd(members)
    raise PackageError(f"{path} is no model package. Give the model's folder, its .emd or its .dlpk.")
