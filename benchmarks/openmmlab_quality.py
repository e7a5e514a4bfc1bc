"""What networks of OpenMMLab reach on chips held back, each trained from random weights for the same number of epochs.

MMSEGMENTATION on `classified_dubai` (mean IoU; a random fifth validates), MMDETECTION on `voc_palm` split by place (AP50).

    python benchmarks/openmmlab_quality.py --model-type MMSEGMENTATION --models deeplabv3 upernet hrnet fastscnn cgnet
    python benchmarks/openmmlab_quality.py --model-type MMDETECTION --models fcos atss regnet
    python benchmarks/openmmlab_quality.py --model-type UNET --models RESNET34         (to compare with)

For other types the models are backbones.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from common import arguments, data_folder, scratch, show

from chipwright import api, catalog

RECTANGLES, PIXELS = ("voc_palm", "block", 38.0, "average_precision"), ("classified_dubai", "random", 20.0, "miou")


def main() -> None:
    """Train each and print a table."""
    options = arguments(
        __doc__.splitlines()[0], model_type="MMSEGMENTATION", models=["deeplabv3"], epochs=10, size=0, batch=4, rate=0.0,
        seed=0, precision="auto", out="",
    )  # fmt: skip
    model_type = catalog.find(options.model_type)
    data, split, percentage, figure = RECTANGLES if "average_precision" in model_type.monitors else PIXELS
    given: dict[str, Any] = {"monitor": figure} | ({"chip_size": options.size} if options.size else {})
    rows = []
    for model in options.models:
        own = given | {"model": model} if model_type.keyword.startswith("MM") else given
        backbone = {} if own is not given else {"backbone_model": model, "backbone_weights": "none"}
        started = time.perf_counter()
        with scratch() as out:
            result = api.train(
                data_folder() / data, Path(out) / "m", model_type=model_type.keyword, arguments=own, max_epochs=options.epochs,
                seed=options.seed, batch_size=options.batch, learning_rate=options.rate or None, split=split,
                validation_percentage=percentage, precision=options.precision, stop_training=False, **backbone,
            )  # fmt: skip
        rows.append({"": model, figure: f"{result.metrics[figure]:.3f}", "seconds": f"{time.perf_counter() - started:.0f}"})
        print(rows[-1], flush=True)
    size = f", {options.size} px" if options.size else ""
    show(
        f"{model_type.keyword}, {data}{size}, {options.epochs} epochs, seed {options.seed}, {options.precision}",
        rows,
        options.out,
    )


if __name__ == "__main__":
    main()
