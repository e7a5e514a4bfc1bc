"""Pixels a second and peak memory of `chipwright predict` over a large raster, beside the bare forward pass on its windows.

A small U-Net over 4 bands of 16 bits. The bare pass runs scaling, network and argmax over the same windows from memory and
keeps nothing; chipwright reads the raster, and writes classes as a Cloud Optimized GeoTIFF. Each runs in a process of its own;
rounds alternate, and the medians are compared. Memory beside the network is chipwright's peak less the bare pass's.

    python benchmarks/map_rate.py --size 20000 --rounds 1
    python benchmarks/map_rate.py --size 6000 --rounds 3 --backbone timm:test_resnet
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from common import arguments, scratch, show
from export_rate import BANDS, draw

from chipwright import catalog
from chipwright.chips.chipset import BandStatistics, ClassInfo
from chipwright.engine.devices import choose_device, choose_precision, place, start_accelerator
from chipwright.prediction.windows import Plan
from chipwright.spec import ModelSpec, Normalization

CLASSES = tuple(ClassInfo(value=value, name=f"Class {value}", color=(40 * value, 90, 0)) for value in range(1, 6))


def small_model(backbone: str, precision: str) -> Any:
    """Return a small U-Net with random weights, as `Model` is."""
    mean, std = (3000.0,) * BANDS, (2500.0,) * BANDS
    spec = ModelSpec(
        model_type="UNET", backbone=backbone, classes=CLASSES, bands=tuple(f"Band_{at}" for at in range(1, BANDS + 1)),
        dtype="uint16", chip_size=(256, 256), metadata_format="Classified_Tiles",
        normalization=Normalization(mean=mean, std=std),
        statistics=BandStatistics(minimum=(0.0,) * BANDS, maximum=(16383.0,) * BANDS, mean=mean, std=std, source="computed"),
    )  # fmt: skip
    row = catalog.find("UNET")
    device = choose_device(None)
    torch.manual_seed(0)
    network = place(row.build(spec, None), device).eval()
    accelerator = start_accelerator(device, choose_precision(precision, device))
    return SimpleNamespace(name="small", spec=spec, task=row.task(spec), network=network, accelerator=accelerator, type=row)


def bare(model: Any, plan: Plan, batch_size: int) -> float:
    """Return the seconds of the forward pass over every window of a plan, from memory."""
    size = plan.size
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 6000, (batch_size, BANDS, size, size)).astype(np.uint16))
    task, device = model.task, model.accelerator.device
    sizes = [window.shape for row in range(len(plan.rows)) for window in plan.row(row)]
    started = time.perf_counter()
    with torch.inference_mode(), model.accelerator.autocast():
        for first in range(0, len(sizes), batch_size):
            height, width = sizes[first]
            batch = images[: min(batch_size, len(sizes) - first), :, :height, :width]
            task.decide(task.logits(model.network, task.normalizer("image", device)(batch.to(device))))
    return time.perf_counter() - started


def contestant(folder: Path, who: str, options: dict[str, Any]) -> dict[str, float]:
    """Run one contestant in this process and return its figures."""
    model = small_model(options["backbone"], options["precision"])
    size, tile, margin, batch = (options[name] for name in ("size", "tile", "margin", "batch"))
    if who == "bare":
        seconds = bare(model, Plan.over(size, size, tile, margin, 32), batch)
    else:
        from chipwright import api

        started = time.perf_counter()
        windows = {"tile_size": tile, "padding": margin, "batch_size": batch}
        api.predict(model, folder / "scene.tif", folder / "classes.tif", overwrite=True, **windows)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    """Draw the raster, run the contestants in turn and print their figures."""
    options = arguments(
        __doc__.splitlines()[0], size=20000, rounds=1, tile=512, margin=64, batch=4, backbone="timm:test_resnet",
        precision="auto", contestant="", folder="", out="",
    )  # fmt: skip
    given = {name: getattr(options, name) for name in ("size", "tile", "margin", "batch", "backbone", "precision")}
    if options.contestant:
        print(json.dumps(contestant(Path(options.folder), options.contestant, given)))
        return
    found: dict[str, list[dict[str, float]]] = {"bare": [], "chipwright predict": []}
    with scratch() as folder:
        draw(Path(folder), options.size)
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        for _ in range(options.rounds):
            for who, kept in found.items():
                line = [sys.executable, __file__, "--contestant", who, "--folder", folder, *words]
                done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
                kept.append(json.loads(done.stdout.splitlines()[-1]))
                print(who, kept[-1], flush=True)
    middle = {who: {key: statistics.median(one[key] for one in kept) for key in kept[0]} for who, kept in found.items()}
    rows = [
        {
            "": who,
            "million pixels/s": f"{options.size**2 / figures['seconds'] / 1e6:.2f}",
            "of bare": f"{middle['bare']['seconds'] / figures['seconds']:.2f}",
            "peak MiB": f"{figures['memory']:.0f}",
            "beside the network": f"{figures['memory'] - middle['bare']['memory']:.0f}",
        }
        for who, figures in middle.items()
    ]
    show(f"{options.size} x {options.size} pixels, windows of {options.tile} with {options.margin} around", rows, options.out)


if __name__ == "__main__":
    main()
