"""Which chips train and which validate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import DOMAINS, Chip, ChipSet
from chipwright.chips.ground import Ground
from chipwright.errors import DataError, OptionError, listed, suggestion
from chipwright.options import SplitMethod

METHODS: tuple[str, ...] = get_args(SplitMethod)

_STRATIFIED_FORMATS = frozenset({"Labeled_Tiles", "Imagenet"})
"""Formats stratified where no method is asked for: whole chips of one class each (the reference does it for the first)."""

Chosen = tuple[NDArray[np.int64], NDArray[np.int64], str]
"""Validation indices, indices dropped because they touch validation ground, and how they were chosen."""

_NEAR_ENOUGH = 0.2
"""Whole places are taken if they come this near (relative) to the share asked for; else one of them is cut."""

_BLOCK_CHIPS = 16
"""Ground of one validation block at least, in chips: smaller blocks are all border, and their neighbours are lost."""

_MOST_BLOCKS = 8
"""Validation blocks cut from one place at most."""

_STRIP_SHARE = 0.25
"""From this share on a strip across the place has the shorter border, below it a corner."""

_EXACT_PLACES = 1000
"""Up to so many places the best combination is computed; with more, filling up at random comes as near."""


@dataclass(frozen=True)
class Split:
    """Indices into `ChipSet.chips`, each ascending.

    Attributes:
        training, validation: disjoint, neither empty.
        dropped: in neither, since they would show training the ground of validation chips.
        method: "random", "stratified", "block" or "folder".
        sentence: what was done, for the log and the report.
    """

    training: tuple[int, ...]
    validation: tuple[int, ...]
    dropped: tuple[int, ...]
    method: str
    sentence: str


def split_chips(chips: ChipSet, percentage: float, method: str | None, seed: int) -> Split:
    """Hold back `percentage` of the chips for validation: at least one, and at least one is left for training.

    Methods:
        random: each chip for itself (the reference's way).
        stratified: each class keeps its share; the default for Labeled_Tiles and Imagenet. Chips of several classes count
            for the rarest of them.
        block: by place. Chips that lie together stay together where whole places come near the percentage; otherwise a
            place is cut straight, and training chips that touch validation ground are dropped.
        folder: whole source folders.

    Unpaired data (CycleGAN) are split domain by domain, each by the method.

    Raises:
        DataError: for fewer than two chips, in all or of a domain.
        OptionError: where the chips do not allow the method.
    """
    method = method or ("stratified" if chips.format in _STRATIFIED_FORMATS else "random")
    if method not in METHODS:
        raise OptionError(f"There is no split {method!r}.{suggestion(method, METHODS)} Splits: {listed(METHODS)}.")
    rng = np.random.default_rng(seed)
    count, paired = len(chips), len({chip.domain for chip in chips.chips}) < 2
    hold_back = _held_back if paired else _each_domain
    validation, dropped, how = hold_back(chips, percentage, method, rng)
    training = np.setdiff1d(np.arange(count), np.concatenate([validation, dropped]))
    sentence = (
        f"{len(training)} chips train and {len(validation)} validate ({100 * len(validation) / count:.1f} %, "
        f"{percentage:g} % asked), chosen {how}, seed {seed}."
    )
    if method == "block":
        sentence += f" {len(dropped)} more are left out because they touch validation ground."
    return Split(_indices(training), _indices(validation), _indices(dropped), method, sentence)


def _each_domain(chips: ChipSet, percentage: float, method: str, rng: np.random.Generator) -> Chosen:
    """Hold back the percentage of each domain, so that neither lacks training or validation chips."""
    parts: list[Chosen] = []
    domains = np.array([chip.domain for chip in chips.chips])
    for domain in np.unique(domains):
        own = np.flatnonzero(domains == domain)
        where = f" in {DOMAINS[domain]}"
        validation, dropped, how = _held_back(chips.subset(own.tolist()), percentage, method, rng, where)
        parts.append((own[validation], own[dropped], how))
    validations, drops, hows = zip(*parts, strict=True)
    return np.concatenate(validations), np.concatenate(drops), f"{listed(dict.fromkeys(hows))} within each domain"


def _held_back(chips: ChipSet, percentage: float, method: str, rng: np.random.Generator, where: str = "") -> Chosen:
    """Hold back the percentage of chips that are all of one domain; `where` they are stands in the error."""
    count = len(chips)
    if count < 2:
        found = f"{'1 chip' if count else 'no chip'}{where}"
        raise DataError(f"There is {found}, so no sample is left for validation; at least 2 are needed. Export more chips.")
    target = min(max(_rounded(count * percentage / 100), 1), count - 1)
    dropped: NDArray[np.int64] = np.empty(0, np.int64)
    if method == "random":
        validation, how = rng.permutation(count)[:target], "at random"
    elif method == "stratified":
        validation, how = _stratified(chips, target, rng), "at random within each class"
    elif method == "folder":
        validation, how = _folders(chips, target, rng)
    else:
        validation, dropped, how = _blocks(chips, target, rng)
    if len(validation) + len(dropped) == count:
        raise OptionError(
            f'The split "block" leaves no training chip: all chips beside the {len(validation)} for validation touch '
            "their ground. Ask for a smaller validation percentage, export chips of more places, or use the split "
            '"random".'
        )
    return validation, dropped, how


def shared_ground(chips: ChipSet, split: Split) -> float | None:
    """Return the share (0 to 1) of validation chips that show ground of a training chip too.

    None where the chips have no georeference. A large share means that the validation figures are flattering.
    """
    both = (*split.training, *split.validation)
    known = [index for index in both if chips.chips[index].georeference is not None]
    held_back = set(split.validation)
    is_held_back = np.array([index in held_back for index in known], bool)
    if not is_held_back.any():
        return None
    ground = Ground([chips.chips[index] for index in known])
    validation, training = np.flatnonzero(is_held_back), np.flatnonzero(~is_held_back)
    return len(ground.touching(validation, training)) / len(validation)


# -- stratified


def _stratified(chips: ChipSet, target: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return validation indices in which each class has its share."""
    classes = [_classes_of(chip) for chip in chips.chips]
    if not any(classes):
        raise OptionError(
            f'The split "stratified" needs classes of whole chips, and {chips.format} has none. '
            f'Use the split "random"{" or block" if chips.chips[0].georeference else ""}.'
        )
    frequency = Counter(value for values in classes for value in values)
    strata = [min(values, key=lambda value: (frequency[value], value)) if values else None for values in classes]
    members: dict[Hashable, list[int]] = {}
    for index, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(index)
    groups = [members[stratum] for stratum in sorted(members, key=str)]
    quotas = _quotas([len(group) for group in groups], target)
    chosen = [rng.permutation(group)[:quota] for group, quota in zip(groups, quotas, strict=True)]
    return np.concatenate(chosen).astype(np.int64)


def _classes_of(chip: Chip) -> list[int]:
    """Return the different class values known of a whole chip, its objects or its masks."""
    boxes = () if chip.box_values is None else chip.box_values.tolist()
    return sorted({*chip.values, *boxes, *(value for value, _ in chip.masks)})


def _quotas(sizes: Sequence[int], target: int) -> list[int]:
    """Return how many of each group validate: `target` in all, in proportion.

    Where `target` allows, each group of two or more has at least one on either side, and a group of one trains.
    """
    size = np.array(sizes)
    wanted = size * target / size.sum()
    least, most = np.minimum(size - 1, 1), size - 1
    if least.sum() > target:
        least = np.zeros_like(size)
    if most.sum() < target:
        most = size
    quotas = np.clip(np.floor(wanted).astype(int), least, most)
    while quotas.sum() < target:
        quotas[np.argmax(np.where(quotas < most, wanted - quotas, -np.inf))] += 1
    while quotas.sum() > target:
        quotas[np.argmax(np.where(quotas > least, quotas - wanted, -np.inf))] -= 1
    return [int(quota) for quota in quotas]


# -- folders and blocks


def _folders(chips: ChipSet, target: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], str]:
    """Return the indices of whole folders that come nearest to `target`."""
    folder = np.array([chip.folder for chip in chips.chips])
    present = np.unique(folder)
    if len(present) < 2:
        raise OptionError(
            'The split "folder" needs chips from at least two folders, and all chips are from '
            f'{chips.folders[present[0]]}. Give more folders, or use the split "random" or "block".'
        )
    present = rng.permutation(present)
    chosen = _nearest_sum([int((folder == number).sum()) for number in present], target)
    names = [chips.folders[number].name for number in np.sort(present[chosen])]
    whole = f"as {'folder' if len(names) == 1 else 'folders'} {listed(names)}"
    return np.flatnonzero(np.isin(folder, present[chosen])), whole


def _blocks(chips: ChipSet, target: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Return validation indices, the indices dropped since they touch validation ground, and how they were chosen."""
    nowhere = [chip.name for chip in chips.chips if chip.georeference is None]
    if nowhere:
        raise OptionError(
            f'The split "block" needs to know where chips lie, and {len(nowhere)} of {len(chips)} chips have no '
            f'georeference ({listed(nowhere, 3)}). Use the split "random", or export with georeferenced images.'
        )
    ground = Ground(chips.chips)
    places = _grouped(ground.places(), rng)
    sizes = [len(place) for place in places]
    whole = _nearest_sum(sizes, target)
    if abs(sum(sizes[place] for place in whole) - target) <= _NEAR_ENOUGH * target:
        chosen = np.concatenate([places[place] for place in whole])
        return chosen, np.empty(0, np.int64), f"by place ({len(whole)} of {len(places)} whole)"
    whole = _nearest_sum(sizes, target, at_most=True)
    left = [place for place in range(len(places)) if place not in set(whole)]
    largest = max(left, key=lambda place: sizes[place])
    missing = target - sum(sizes[place] for place in whole)
    pieces = _cut(ground, places[largest], missing, rng)
    chosen = np.concatenate([*(places[place] for place in whole), *pieces])
    others = np.setdiff1d(np.arange(len(chips)), chosen)
    blocks = f"{len(pieces)} straight {'block' if len(pieces) == 1 else 'blocks'}"
    some = f"{len(whole)} whole and " if whole else ""
    return chosen, ground.touching(others, chosen), f"by place ({some}{blocks})"


def _grouped(numbers: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the indices of each number, the numbers in random order."""
    order = np.argsort(numbers, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(numbers))[:-1])
    return [groups[number] for number in rng.permutation(len(groups))]


def _cut(ground: Ground, place: NDArray[np.int64], quota: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return `quota` chips of one place as compact blocks: one of each of several equal sections, if the place is large."""
    blocks = int(np.clip(ground.extent(place) * quota / len(place) / _BLOCK_CHIPS, 1, min(_MOST_BLOCKS, quota)))
    sections = _bisected(ground, place, blocks)
    pieces = []
    for section, share in zip(sections, _quotas([len(section) for section in sections], quota), strict=True):
        ends = rng.choice((-1, 1), 2)
        along, across = _axes(ground, section)
        kept = section
        if share < _STRIP_SHARE * len(section):  # a corner: first a strip as wide as the block is to be high
            strip = _rounded(math.sqrt(share * len(section)))
            kept = _first(ground, kept, along, ends[0], strip)
            along = across
        pieces.append(_first(ground, kept, along, ends[1], share))
    return [piece for piece in pieces if len(piece)]


def _bisected(ground: Ground, place: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    """Return the place in `parts` sections of nearly equal numbers of chips, always cut across the longer side."""
    if parts < 2:
        return [place]
    half = parts // 2
    ordered = _first(ground, place, _axes(ground, place)[0], 1, len(place))
    at = len(place) * half // parts
    return _bisected(ground, ordered[:at], half) + _bisected(ground, ordered[at:], parts - half)


def _axes(ground: Ground, indices: NDArray[np.int64]) -> tuple[int, int]:
    """Return the axis of the longer extent of the chips' centres, and the other."""
    longer = int(np.argmax(np.ptp(ground.centers[indices], axis=0)))
    return longer, 1 - longer


def _first(ground: Ground, indices: NDArray[np.int64], axis: int, end: int, count: int) -> NDArray[np.int64]:
    """Return the `count` chips that come first along an axis, from its lower (1) or upper (-1) end."""
    centers = ground.centers[indices] * end
    return indices[np.lexsort((indices, centers[:, 1 - axis], centers[:, axis]))[:count]]


def _nearest_sum(sizes: Sequence[int], target: int, at_most: bool = False) -> list[int]:
    """Return positions of sizes whose sum is nearest to `target`, neither none (unless `at_most`) nor all of them."""
    if len(sizes) > _EXACT_PLACES:
        return _filled(sizes, target)
    reachable = [1]  # bit s of entry k: the first k sizes can make the sum s
    for size in sizes:
        reachable.append(reachable[-1] | reachable[-1] << size)
    total = sum(sizes)
    lowest, highest = (0, min(target, total - 1)) if at_most else (1, total - 1)
    sums = [value for value in range(lowest, highest + 1) if reachable[-1] >> value & 1]
    if not sums:
        return []
    value = min(sums, key=lambda value: abs(value - target))
    chosen = []
    for position in range(len(sizes) - 1, -1, -1):
        if not reachable[position] >> value & 1:
            chosen.append(position)
            value -= sizes[position]
    return chosen[::-1]


def _filled(sizes: Sequence[int], target: int) -> list[int]:
    """Return positions, in order, of sizes that still fit under `target`."""
    chosen, left = [], target
    for position, size in enumerate(sizes):
        if size <= left:
            chosen.append(position)
            left -= size
    return chosen


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def _indices(values: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.sort(values))
