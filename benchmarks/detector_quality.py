"""AP50 of SSD, RETINANET and YOLOV3 on `voc_palm`, split by place, in the time that torchvision's Faster R-CNN loop takes.

torchvision's loop (see `fasterrcnn_quality.py`) trains for the epochs given; every type then trains for as many epochs as fit
into its time, validation included, told by one epoch beforehand. All have MOBILENET_V2 with the same weights, frozen.

    python benchmarks/detector_quality.py --seeds 0 1 2
    python benchmarks/detector_quality.py --types YOLOV3 --seconds 600        (without torchvision's loop)
    python benchmarks/detector_quality.py --epochs 6 --fixed SSD=20 RETINANET=7 YOLOV3=9   (epochs told by a probe elsewhere)
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, data_folder, mean_and_spread, scratch, show
from fasterrcnn_quality import BACKBONE, PERCENTAGE, WEIGHTS, plain

from chipwright import api

TYPES = ["SSD", "RETINANET", "YOLOV3"]
AUGMENTATIONS = {
    "LOOP": {"vertical_flip": False, "quarter_turn": False, "zoom": [1.0, 1.0], "light_share": 0.0},
    "DEFAULT": "DEFAULT",
    "NONE": "NONE",
}
"""Random changes to samples: LOOP those of torchvision's recipe, flips from left to right, which all are given unless asked."""
LOOP = "torchvision's Faster R-CNN loop"


def trained(folder: Path, keyword: str, seed: int, epochs: int, options: Any) -> tuple[float, float]:
    """Return (AP50 of the kept epoch, seconds) of `chipwright train`."""
    with scratch() as out:
        result = api.train(
            folder, Path(out) / "m", model_type=keyword, backbone_model=BACKBONE, max_epochs=epochs, seed=seed,
            backbone_weights=str(data_folder() / WEIGHTS), split="block", validation_percentage=PERCENTAGE,
            batch_size=options.batch, precision=options.precision, stop_training=False, learning_rate=options.rate or None,
            augmentation=AUGMENTATIONS[options.augmentation],
        )  # fmt: skip
        return result.metrics["average_precision"], result.seconds


def main() -> None:
    """Train all for every seed and print means and spreads, and their shares of the loop's."""
    options = arguments(
        __doc__.splitlines()[0], types=TYPES, seeds=[0, 1, 2], epochs=6, batch=4, seconds=0.0, precision="auto", rate=0.0,
        fixed=[""], augmentation="LOOP", out="",
    )  # fmt: skip
    folder = data_folder() / "voc_palm"
    scores: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}
    epochs = {name: int(count) for name, _, count in (word.partition("=") for word in options.fixed if word)}

    def keep(name: str, score: float, seconds: float) -> None:
        scores.setdefault(name, []).append(score)
        times.setdefault(name, []).append(seconds)
        print(f"{name}: AP50 {score:.3f} in {seconds:.0f} s", flush=True)

    for seed in options.seeds:
        time = options.seconds
        if not time:
            score, time = plain(folder, seed, options.epochs, options.batch, True, options.precision)
            keep(LOOP, score, time)
            epochs[LOOP] = options.epochs
        for keyword in options.types:
            if keyword not in epochs:
                _, once = trained(folder, keyword, seed, 1, options)
                epochs[keyword] = max(1, math.floor(time / once))
            keep(keyword, *trained(folder, keyword, seed, epochs[keyword], options))
    base = np.mean(scores[LOOP]) if LOOP in scores else math.nan
    rows = [
        {
            "": name,
            "epochs": epochs[name],
            "AP50": mean_and_spread(scores[name]),
            "of the loop's": f"{np.mean(scores[name]) / base:.2f}",
            "seconds": f"{np.mean(times[name]):.0f}",
        }
        for name in scores
    ]
    show(f"{BACKBONE}, frozen, on voc_palm by place, precision {options.precision}, seeds {options.seeds}", rows, options.out)


if __name__ == "__main__":
    main()
