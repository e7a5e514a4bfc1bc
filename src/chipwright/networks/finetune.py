"""Carrying a trained model's weights over to a network for the same, more, fewer or other classes.

Most tensors have nothing to do with classes and are copied. Those that hold rows for each class are named by the network:

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        return {"head.weight": (1, 1), "head.bias": (1, 1)}     # name -> (rows a class, row of the first class)

and are carried over class by class. Where anchors repeat the classes a third number says how often, and a fourth how many rows
follow the classes (see `ClassRows`). Of a
network without the method only tensors of equal shape are copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from chipwright.chips.chipset import BACKGROUND, ClassInfo
from chipwright.errors import PackageError, listed
from chipwright.networks.pretrained import hold_statistics
from chipwright.spec import ModelSpec


class ClassRows(NamedTuple):
    """Where a tensor's rows (along its first dimension) for each class lie, the classes in the order of the spec.

    Attributes:
        width: rows of one class (4 for its box offsets).
        first: row of the first class; those before belong to the background, or to none (objectness).
        groups: how often the whole repeats, one after the other (once an anchor).
        after: rows after the last class (a background's, where it comes last).
    """

    width: int
    first: int = 0
    groups: int = 1
    after: int = 0


@dataclass(frozen=True)
class MatchReport:
    """What became of the network's tensors and classes.

    Attributes:
        kept: tensors copied whole.
        carried: tensors copied class by class.
        new: tensors that keep their fresh values, since the package has none that fits.
        unused: tensors of the package that the network has no place for.
        classes_kept, classes_new: names of the network's classes with and without trained weights.
        classes_dropped: names of the package's classes that the network no longer has.
        statistics_held: whether the package's batch normalisation is folded into its convolutions, so that its statistics
            were marked to be held.
    """

    kept: tuple[str, ...]
    carried: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    classes_kept: tuple[str, ...]
    classes_new: tuple[str, ...]
    classes_dropped: tuple[str, ...]
    statistics_held: bool = False

    @property
    def sentences(self) -> list[str]:
        """What the log says about it."""
        total = len(self.kept) + len(self.carried) + len(self.new)
        said = [f"Fine-tuning: {len(self.kept) + len(self.carried)} of {total} tensors come from the pretrained model."]
        if self.new:
            said.append(f"These start fresh: {listed(self.new)}.")
        if self.carried and self.classes_kept:
            said.append(f"Classes that keep what was learnt: {listed(self.classes_kept, 10)}.")
        if self.classes_new:
            said.append(f"New classes: {listed(self.classes_new, 10)}.")
        if self.classes_dropped:
            said.append(f"Classes of the pretrained model that are left out: {listed(self.classes_dropped, 10)}.")
        return said


def match_state(
    network: nn.Module, package_state: Mapping[str, Tensor], spec_old: ModelSpec, spec_new: ModelSpec
) -> MatchReport:
    """Copy what fits from a package's state into `network`, in place, and say what did.

    Tensors of equal name and shape are copied. Tensors that the network's `class_tensors` names are copied row by row for the
    classes that both models have: those of one name and value, else those of one name. Everything else stays as it is.
    Batch-normalisation layers whose statistics are folded away in the package are marked to hold them.

    Args:
        network: built for `spec_new`.
        package_state: of the pretrained model, as `Package.state` returns it.
        spec_old: the pretrained model.
        spec_new: the model to be trained.

    Raises:
        PackageError: if no tensor fits at all.
    """
    own = network.state_dict()
    pairs = match_classes(spec_old.classes, spec_new.classes)
    rows = _class_rows(network)
    kept: list[str] = []
    carried: list[str] = []
    new: list[str] = []
    with torch.no_grad():
        for name, target in own.items():
            source = package_state.get(name)
            if source is None:
                new.append(name)
            elif name in rows and (target.shape != source.shape or not _same_classes(spec_old, spec_new)):
                done = _carry(source, target, rows[name], spec_old.classes, spec_new.classes, pairs)
                (carried if done else new).append(name)
            elif source.shape == target.shape:
                target.copy_(source)
                kept.append(name)
            else:
                new.append(name)
    if not kept and not carried:
        raise PackageError(
            f"No tensor of the pretrained {spec_old.model_type} fits the {spec_new.model_type} to be trained; "
            "they must be of one model type and backbone."
        )
    stay = set(pairs.values())
    return MatchReport(
        kept=tuple(kept),
        carried=tuple(carried),
        new=tuple(new),
        unused=tuple(name for name in package_state if name not in own),
        classes_kept=tuple(item.name for place, item in enumerate(spec_new.classes) if place in pairs),
        classes_new=tuple(item.name for place, item in enumerate(spec_new.classes) if place not in pairs),
        classes_dropped=tuple(item.name for place, item in enumerate(spec_old.classes) if place not in stay),
        statistics_held=_hold_folded(network, kept),
    )


def match_classes(old: Sequence[ClassInfo], new: Sequence[ClassInfo]) -> dict[int, int]:
    """Return new place -> old place of the classes that are the same: of one name and value, else of one name in any case."""
    pairs: dict[int, int] = {}
    by_both = {(_key(item), item.value): place for place, item in enumerate(old)}
    for place, item in enumerate(new):
        if (_key(item), item.value) in by_both:
            pairs[place] = by_both[_key(item), item.value]
    for place, item in enumerate(new):
        free = (at for at, other in enumerate(old) if _key(other) == _key(item) and at not in pairs.values())
        match = next(free, None) if place not in pairs else None
        if match is not None:
            pairs[place] = match
    return pairs


def _carry(
    source: Tensor,
    target: Tensor,
    rows: ClassRows,
    old: Sequence[ClassInfo],
    new: Sequence[ClassInfo],
    pairs: Mapping[int, int],
) -> bool:
    """Copy the rows of the classes that stay, and those before the first class; return whether the layouts allowed it."""
    if source.shape[1:] != target.shape[1:] or source.shape[0] % rows.groups:
        return False
    old_end, new_end = source.shape[0] // rows.groups - rows.after, rows.first + len(new) * rows.width
    if target.shape[0] != rows.groups * (new_end + rows.after):
        return False
    moves = _moves(old_end - len(old) * rows.width, rows, old, new, pairs)
    if moves is None:
        return False
    if rows.after:
        moves.append((old_end, new_end, rows.after))
    given, taken = (tensor.view(rows.groups, -1, *tensor.shape[1:]) for tensor in (source, target))
    for start, end, length in moves:
        taken[:, end : end + length].copy_(given[:, start : start + length])
    return bool(moves)


def _moves(
    before: int, rows: ClassRows, old: Sequence[ClassInfo], new: Sequence[ClassInfo], pairs: Mapping[int, int]
) -> list[tuple[int, int, int]] | None:
    """Return (old row, new row, rows) to copy within a group, or None where the two layouts do not belong together.

    `before` are the rows before the package's first class. They may differ by the background's: where an export names
    class value 0, the background is a class of its own, where it does not, it lies before the first class.
    """
    width, first = rows.width, rows.first
    moves = [(before + width * pairs[place], first + width * place, width) for place in pairs]
    if before == first:
        return [(0, 0, first), *moves] if first else moves
    if before == first + width and (named := _background(new)) is not None:
        return [(0, 0, first), (first, first + width * named, width), *moves]
    if before == first - width >= 0 and (named := _background(old)) is not None:
        return [(0, 0, before), (before + width * named, before, width), *moves]
    return None


def _background(classes: Sequence[ClassInfo]) -> int | None:
    return next((place for place, item in enumerate(classes) if item.value == BACKGROUND), None)


def _class_rows(network: nn.Module) -> dict[str, ClassRows]:
    declared = getattr(network, "class_tensors", None)
    return {name: ClassRows(*rows) for name, rows in declared().items()} if declared else {}


def _same_classes(old: ModelSpec, new: ModelSpec) -> bool:
    return [(_key(item), item.value) for item in old.classes] == [(_key(item), item.value) for item in new.classes]


def _key(item: ClassInfo) -> str:
    return item.name.strip().casefold()


def _hold_folded(network: nn.Module, kept: Sequence[str]) -> bool:
    """Hold the statistics of the layers that came with mean 0 and variance 1, exactly: no trained layer has those."""
    copied = set(kept)
    held = False
    for prefix, layer in network.named_modules():
        if not isinstance(layer, _BatchNorm) or f"{prefix}.running_mean" not in copied:
            continue
        mean, variance = layer.running_mean, layer.running_var
        if mean is not None and variance is not None and not mean.any() and bool((variance == 1).all()):
            hold_statistics(layer)
            held = True
    return held
