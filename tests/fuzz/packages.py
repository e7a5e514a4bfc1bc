"""Damage model packages and load them: only a `ChipwrightError` may come out, soon, or a model that predicts.

python tests/fuzz/packages.py --minutes 5
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz.mutations import BINARY, TEXT, retype
from fuzz.readers import HUNG, HUNGRY, SLOW, Finding, memory
from toy_package import make_spec

import chipwright
from chipwright import catalog, console
from chipwright.errors import ChipwrightError
from chipwright.package import describe_package, pack, save_package

FORMS = ("emd", "own part", "member", "archive", "weights")
"""What of a package is damaged."""


def whole_package(folder: Path) -> Path:
    """Write the package of a small untrained U-Net, as folder and as .dlpk."""
    spec = make_spec(backbone="timm:test_resnet", chip_size=(64, 64), arguments={"monitor": "valid_loss"})
    model_type = catalog.find("UNET")
    save_package(folder, "trees", spec, model_type.build(spec, None).state_dict(), model_type.emd_keys(spec), {})
    pack(folder, "trees")
    return folder


def attempt(whole: Path, seed: int) -> str:
    """Damage a copy of the package and load it; return "loaded" or the beginning of the sentence.

    Raises:
        Finding: where anything else happened.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(whole, Path(scratch) / "trees")
        form = rng.choice(FORMS)
        path = _damage(folder, form, rng)
        held, started = memory(reset=True), time.process_time()
        try:
            describe_package(path)
            model = chipwright.load(path, processor_type="CPU")
            model.predict(np.zeros((1, len(model.spec.bands), 64, 64), np.uint8))
            outcome = "loaded"
        except ChipwrightError as error:
            outcome = str(error).replace(scratch, "")[:60]
        except Exception as error:
            raise Finding(f"seed {seed} ({form}):\n{traceback.format_exc()}") from error
        if time.process_time() - started > SLOW:
            raise Finding(f"seed {seed} ({form}): took {time.process_time() - started:.0f} s")
        if (more := memory() - held) > HUNGRY:
            raise Finding(f"seed {seed} ({form}): took {more} MB")
    return outcome


def _damage(folder: Path, form: str, rng: random.Random) -> Path:
    """Damage one part of the package; return what to load."""
    emd, weights, archive = (folder / f"trees.{suffix}" for suffix in ("emd", "safetensors", "dlpk"))
    if form == "emd":
        emd.write_bytes(rng.choice(TEXT)(emd.read_bytes(), rng))
    elif form == "own part":
        content = json.loads(emd.read_bytes())
        spec = content["Chipwright"]["spec"]
        key = rng.choice(sorted(spec))
        spec[key] = json.loads(retype(json.dumps({"a": spec[key]}).encode(), random.Random(rng.random())) or b"{}").get("a")
        emd.write_text(json.dumps(content))
    elif form == "weights":
        content = json.loads(emd.read_bytes())
        changed = rng.choice(BINARY)(weights.read_bytes(), rng)
        content["Chipwright"]["weights"] |= {"bytes": len(changed), "sha256": hashlib.sha256(changed).hexdigest()}
        emd.write_text(json.dumps(content))
        weights.write_bytes(changed)
    elif form == "archive":
        archive.write_bytes(rng.choice(BINARY)(archive.read_bytes(), rng))
    else:
        archive.write_bytes(_with_damaged_member(archive, rng))
    return archive if form in ("archive", "member") else emd


def _with_damaged_member(path: Path, rng: random.Random) -> bytes:
    """Return an archive with one of its members damaged, renamed, or there twice."""
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        chosen = rng.choice(source.namelist())
        for name in source.namelist():
            content = source.read(name)
            if name == chosen:
                name = rng.choice(
                    (name, name, f"a/{name}", f"../{name}", f"/{name}", f"C:\\{name}", name.upper(), "\u202e.emd")
                )
                content = rng.choice(TEXT if name.endswith(".emd") else BINARY)(content, rng)
            target.writestr(name, content)
    return packed.getvalue()


def main() -> None:
    """Hunt for as long as asked and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    findings = 0
    with tempfile.TemporaryDirectory() as scratch, console.quiet():
        whole = whole_package(Path(scratch) / "whole")
        seed, end = options.seed, time.process_time() + 60 * options.minutes
        while time.process_time() < end:
            faulthandler.dump_traceback_later(HUNG, exit=True)
            try:
                outcomes[attempt(whole, seed)] += 1
            except Finding as finding:
                findings += 1
                print(finding, flush=True)
            faulthandler.cancel_dump_traceback_later()
            seed += 1
    print(f"{seed - options.seed} packages loaded, {findings} findings; {len(outcomes)} outcomes, of them:")
    for outcome, count in outcomes.most_common(40):
        print(f"{count:7d}  {outcome}")


if __name__ == "__main__":
    main()
