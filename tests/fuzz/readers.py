"""Damage folders of every format and read them: only a `DataError` may come out, soon, and nothing may be written.

python tests/fuzz/readers.py --minutes 30
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import box_builders
import builders
import mask_builders
import pair_builders
from fuzz.mutations import damage

from chipwright import console, inspection
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError
from chipwright.preview import preview

SLOW = 20.0
"""Seconds of processor time after which reading a folder of six small chips counts as hanging."""

HUNGRY = 500
"""MB of memory beyond which reading such a folder counts as a finding."""

HUNG = 300.0
"""Seconds after which the hunt ends and says where it hung."""

_BOX = (4.0, 4.0, 30.0, 30.0)

FOLDERS: dict[str, Callable[[Path], Path]] = {
    "classified": lambda folder: builders.classified_tiles(
        folder, count=6, size=32, bands=4, dtype="uint16", georeferenced=True
    ),
    "classified_jpg": lambda folder: builders.classified_tiles(
        folder, count=6, size=32, image_suffix="jpg", label_suffix="png"
    ),
    "voc": lambda folder: builders.voc(folder, count=6, size=64, image_suffix="png", georeferenced=True),
    "labeled": lambda folder: builders.labeled_tiles(folder, count=6, size=32),
    "multilabeled": lambda folder: builders.multilabeled_tiles(folder, count=6, size=32),
    "kitti": lambda folder: box_builders.kitti(folder, {f"{index}": [("a", _BOX), ("b", _BOX)] for index in range(6)}),
    "yolo": lambda folder: box_builders.yolo(folder, {f"{index}": [(0, _BOX), (1, _BOX)] for index in range(6)}, ["a", "b"]),
    "coco": lambda folder: box_builders.coco(folder, {f"{index}": [(1, _BOX)] for index in range(6)}, {1: "a", 2: "b"}),
    "masks": lambda folder: mask_builders.rcnn_masks(folder, 6),
    "panoptic": lambda folder: mask_builders.panoptic(folder, 6),
    "tracking": lambda folder: mask_builders.tracking(folder),
    "videos": lambda folder: mask_builders.youtube_vos(folder),
    "series": lambda folder: mask_builders.time_series(folder, 6),
    "pairs": lambda folder: pair_builders.export_tiles(folder, 6, second_bands=2, second_dtype="uint16"),
    "thematic": lambda folder: pair_builders.thematic_tiles(folder, 6),
    "domains": lambda folder: pair_builders.cyclegan(folder, (4, 4)),
    "change": lambda folder: pair_builders.change_pairs(folder, 6),
    "classes": lambda folder: pair_builders.imagenet(folder, (3, 3)),
    "captions": lambda folder: pair_builders.caption_tiles(folder, [["a"], ["b", "c"]] * 3),
    "sentences": lambda folder: pair_builders.caption_listing(folder, {f"{index}.jpg": ["a text", "b"] for index in range(6)}),
}


class Finding(Exception):  # noqa: N818 - what the hunt is for
    """Something other than chips or a sentence came out."""


def attempt(whole: Path, seed: int) -> str:
    """Damage a copy of the folder `whole` and read it; return "loaded" or the beginning of the sentence.

    Raises:
        Finding: where anything else happened.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(whole, Path(scratch) / "chips")
        done = damage(folder, rng)
        before = content_of(folder)
        held = memory(reset=True)
        started = time.process_time()
        try:
            outcome = _read(folder)
        except DataError as error:
            outcome = str(error).replace(str(folder), "FOLDER")[:60]
            if "\n" in str(error) or len(str(error)) > 2000:
                raise Finding(f"seed {seed} ({done}): no single sentence: {str(error)[:3000]!r}") from error
        except Exception as error:
            raise Finding(f"seed {seed} ({done}):\n{traceback.format_exc()}") from error
        if time.process_time() - started > SLOW:
            raise Finding(f"seed {seed} ({done}): took {time.process_time() - started:.0f} s")
        if (more := memory() - held) > HUNGRY:
            raise Finding(f"seed {seed} ({done}): took {more} MB")
        if before != content_of(folder):
            raise Finding(f"seed {seed} ({done}): the folder was written to")
    return outcome


def content_of(folder: Path) -> dict[Path, bytes | None]:
    """Return what each file of a folder holds; None for what is no file."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def memory(reset: bool = False) -> int:
    """Return the most memory in MB that the process held since it was last asked to `reset`; 0 where nobody counts."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _read(folder: Path) -> str:
    """Do what a user does with a folder: open it, have it inspected, look at it, read every chip."""
    chips = read_chips([folder])
    inspection.facts_of(chips)
    preview(chips, 2)
    reader = ChipReader.of(chips)
    for chip in chips.chips:
        for index in range(len(chip.images)):
            reader.image(chip, index)
            reader.valid(chip, index)
        if chip.label is not None:
            reader.label(chip)
        reader.instances(chip)
    return "loaded"


def main() -> None:
    """Hunt for as long as asked and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(FOLDERS))
    parser.add_argument("--log", type=Path, help="file to which each seed and what came of it are written")
    options = parser.parse_args()
    names = [options.only] if options.only else sorted(FOLDERS)
    outcomes: Counter[str] = Counter()
    findings = 0
    log = options.log.open("a") if options.log else None
    with tempfile.TemporaryDirectory() as scratch, console.quiet():
        wholes = {name: FOLDERS[name](Path(scratch) / name) for name in names}
        seed, end = options.seed, time.process_time() + 60 * options.minutes
        while time.process_time() < end:
            name = names[seed % len(names)]
            if log:
                print(f"{name} {seed}", end=" ", file=log, flush=True)
            faulthandler.dump_traceback_later(HUNG, exit=True)
            try:
                outcome = attempt(wholes[name], seed)
                outcomes[outcome] += 1
            except Finding as finding:
                outcome = "FINDING"
                findings += 1
                print(f"{name}, {finding}", flush=True)
            faulthandler.cancel_dump_traceback_later()
            if log:
                print(outcome, file=log)
            seed += 1
    print(f"{seed - options.seed} folders read, {findings} findings; {len(outcomes)} outcomes, of them:")
    for outcome, count in outcomes.most_common(40):
        print(f"{count:7d}  {outcome}")


if __name__ == "__main__":
    main()
