"""Whether an MMDetection network learns 8 chips by heart: AP50 on the chips that it is trained on.

Random weights, no augmentation, the type's own task, optimizer and losses.

    python benchmarks/openmmlab_overfit.py --model fcos --size 128 --seconds 300
"""

from __future__ import annotations

import time

import numpy as np
import torch
from common import arguments, data_folder, show

RATE = 3e-4
CHIPS = 8


def main() -> None:
    """Train and print AP50 as it rises, until it is above 0.95 or time is up."""
    from chipwright.chips.folders import read_chips
    from chipwright.chips.reading import ChipReader
    from chipwright.engine.seeds import seed_build
    from chipwright.models.mmdetection import MMDETECTION, MMDetectionArguments
    from chipwright.spec import ModelSpec
    from chipwright.tasks.base import Phase

    options = arguments(__doc__.splitlines()[0], model="fcos", size=128, batch=4, seconds=300, every=10, out="")
    chips = read_chips([data_folder() / "voc_palm"])
    given = MMDetectionArguments(model=options.model, chip_size=options.size)
    spec = ModelSpec(
        model_type=MMDETECTION.keyword, arguments=given.model_dump(), backbone=None, classes=chips.classes, bands=chips.bands,
        dtype=chips.dtype, chip_size=(options.size, options.size), normalization=MMDETECTION.normalization(chips, given, None),
        statistics=chips.statistics, metadata_format=chips.format, fitted=MMDETECTION.fit(chips, given),
    )  # fmt: skip
    seed_build(0)
    task, network = MMDETECTION.task(spec), MMDETECTION.build(spec, None)
    reader, rng = ChipReader(chips.nodata), np.random.default_rng(0)
    drawn = (task.draw(unit, reader, rng, False) for unit in task.units(chips.chips))
    samples = [sample for sample, _ in zip((one for one in drawn if len(one["boxes"])), range(CHIPS), strict=False)]
    batches = [samples[start : start + options.batch] for start in range(0, CHIPS, options.batch)]
    optimizer = task.optimizer(task.parameter_groups([network]), Phase("train", ("network",)))
    for group in optimizer.param_groups:
        group["lr"] = RATE
    rows: list[dict[str, str]] = []
    started, epoch, best = time.perf_counter(), 0, 0.0
    while best <= 0.95 and time.perf_counter() - started < options.seconds:
        epoch += 1
        network.train()
        for samples_of in batches:
            batch = task.to_device(task.collate(samples_of), torch.device("cpu"))
            losses = task.losses({"network": network}, batch, Phase("train", ("network",)))
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), task.gradient_clip)
            optimizer.step()
        if epoch % options.every == 0:
            network.eval()
            metrics = task.metrics()
            with torch.no_grad():
                for samples_of in batches:
                    batch = task.to_device(task.collate(samples_of), torch.device("cpu"))
                    metrics.update(task.predict(network, batch), batch)
            best = float(metrics.compute().scalars["average_precision"])
            seconds = f"{time.perf_counter() - started:.0f}"
            rows.append({"epoch": str(epoch), "AP50": f"{best:.3f}", "seconds": seconds})
            print(rows[-1], flush=True)
    boxes = sum(len(sample["boxes"]) for sample in samples)
    title = f"{options.model}, {CHIPS} chips of {options.size} px with {boxes} boxes, rate {RATE}"
    show(title, rows, options.out)


if __name__ == "__main__":
    main()
