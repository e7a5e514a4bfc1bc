"""AP50 of FASTERRCNN on `voc_palm`, split by place, beside torchvision's own detection loop over the same network.

The plain loop follows torchvision's detection reference: SGD, a warm-up over the first epoch, the rate cut by ten at 60 % and
85 % of the epochs, random horizontal flips. Network, weights, frozen layers, split, epochs, chip size, precision and measure
are the same.

    python benchmarks/fasterrcnn_quality.py --seeds 0 1 2
    python benchmarks/fasterrcnn_quality.py --type RETINANET --only torchvision      (its defaults: suppression at 0.5)
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, data_folder, mean_and_spread, scratch, show

from chipwright import api, catalog, console
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.engine.devices import choose_device, choose_precision, place, start_accelerator
from chipwright.engine.feed import Feed
from chipwright.engine.seeds import seed_build, seed_step
from chipwright.networks.pretrained import freeze_loaded, train_mode
from chipwright.networks.weights import find_weights
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec

RATES = {"FASTERRCNN": 0.02, "RETINANET": 0.01}
"""Of torchvision's detection reference, for 16 images a batch."""
TORCHVISION: dict[str, dict[str, Any]] = {"RETINANET": {"box_nms_thresh": 0.5, "scales": [1.0, 2 ** (1 / 3), 2 ** (2 / 3)]}}
"""Arguments with which a type's defaults are torchvision's."""
WEIGHTS = "weights/mobilenet_v2_imagenet_from_quant.safetensors"
PERCENTAGE, BACKBONE = 38.0, "MOBILENET_V2"


def ours(
    folder: Path, seed: int, epochs: int, batch: int, freeze: bool, precision: str, keyword: str = "FASTERRCNN"
) -> tuple[float, float]:
    """Return (AP50 of the kept epoch, seconds)."""
    with scratch() as out:
        result = api.train(
            folder, Path(out) / "m", model_type=keyword, backbone_model=BACKBONE, max_epochs=epochs, seed=seed,
            backbone_weights=str(data_folder() / WEIGHTS), split="block", validation_percentage=PERCENTAGE, batch_size=batch,
            freeze=freeze, precision=precision,
        )  # fmt: skip
        return result.metrics["average_precision"], result.seconds


def plain(
    folder: Path, seed: int, epochs: int, batch: int, freeze: bool, precision: str, keyword: str = "FASTERRCNN"
) -> tuple[float, float]:
    """Return (AP50 after the last epoch, seconds with measuring after each) of torchvision's own recipe."""
    started, device = time.perf_counter(), choose_device(None)
    accelerator = start_accelerator(device, choose_precision(precision, device))
    chips = read_chips([folder])
    split = split_chips(chips, PERCENTAGE, "block", seed)
    model: Any = catalog.find(keyword)
    arguments = model.arguments(**TORCHVISION.get(keyword, {}))
    weights = find_weights(BACKBONE, str(data_folder() / WEIGHTS))
    spec = ModelSpec(
        model_type=keyword, arguments=arguments.model_dump(), backbone=BACKBONE, classes=chips.classes,
        bands=chips.bands, dtype=chips.dtype, chip_size=chips.tile_size, statistics=chips.statistics,
        normalization=choose_normalization(chips, (weights.mean, weights.std)), metadata_format=chips.format,
        fitted=model.fit(chips.subset(split.training), arguments),
    )  # fmt: skip
    task, reader = model.task(spec), ChipReader(chips.nodata, cache_bytes=2**31)
    training = Feed(task, chips.subset(split.training).chips, reader, batch, seed=seed, shuffle=True)
    validation = Feed(task, chips.subset(split.validation).chips, reader, batch)
    seed_build(seed)
    network = place(model.build(spec, weights), device)
    if freeze:
        freeze_loaded(network)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate = RATES[keyword] * batch / 16
    optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=1e-4)
    for epoch in range(epochs):
        train_mode(network)
        factor = 0.1 ** sum(epoch >= epochs * share for share in (0.6, 0.85))
        for step, data in enumerate(training.batches(epoch)):
            warm = min(1.0, 0.001 + step / len(training)) if epoch == 0 else 1.0
            for group in optimizer.param_groups:
                group["lr"] = rate * factor * warm
            seed_step(seed, epoch, step)
            data = flipped(task.to_device(data, device))
            with accelerator.autocast():
                loss = sum(task.losses({"network": network}, data, task.phases[0]).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with accelerator.autocast():
            score = measured(network, task, validation, device)
        value = float(loss.detach())
        console.say(f"torchvision's loop, seed {seed}: epoch {epoch + 1} of {epochs}, loss {value:.3f}, AP50 {score:.3f}")
    return score, time.perf_counter() - started


def measured(network: torch.nn.Module, task: Any, validation: Feed, device: torch.device) -> float:
    """Return the AP50 of a network on the validation chips."""
    network.eval()
    metrics = task.metrics()
    with torch.inference_mode():
        for data in validation.batches():
            data = task.to_device(data, device)
            metrics.update(task.predict(network, data), data)
    return metrics.compute().scalars["average_precision"]


def flipped(batch: dict[str, Any]) -> dict[str, Any]:
    """Flip half of the images and their boxes left to right."""
    images, boxes = list(batch["image"]), list(batch["boxes"])
    for index, image in enumerate(images):
        if torch.rand(()) < 0.5:
            width = image.shape[-1]
            images[index] = image.flip(-1)
            boxes[index] = torch.stack(
                [width - boxes[index][:, 2], boxes[index][:, 1], width - boxes[index][:, 0], boxes[index][:, 3]], 1
            )
    return batch | {"image": torch.stack(images), "boxes": boxes}


def main() -> None:
    """Run both, or the one asked for, for every seed and print means and spreads."""
    options = arguments(
        __doc__.splitlines()[0],
        seeds=[0, 1, 2],
        epochs=6,
        batch=4,
        freeze=1,
        precision="auto",
        only="",
        type="FASTERRCNN",
        out="",
    )
    folder, freeze = data_folder() / "voc_palm", bool(options.freeze)
    contestants = {"chipwright": ours, "torchvision": plain}
    if options.only:
        contestants = {options.only: contestants[options.only]}
    scores: dict[str, list[float]] = {name: [] for name in contestants}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for seed in options.seeds:
        for name, run in contestants.items():
            score, seconds = run(folder, seed, options.epochs, options.batch, freeze, options.precision, options.type)
            scores[name].append(score)
            times[name].append(seconds)
            print(f"seed {seed}: {name} AP50 {score:.3f} in {seconds:.0f} s", flush=True)
    rows = [{"": name, "AP50": mean_and_spread(scores[name]), "seconds, all": f"{np.mean(times[name]):.0f}"} for name in scores]
    show(
        f"{options.type} {BACKBONE} ({'frozen' if freeze else 'unfrozen'}) on voc_palm by place, {options.epochs} epochs, "
        f"precision {options.precision}, seeds {options.seeds}",
        rows,
        options.out,
    )


if __name__ == "__main__":
    main()
