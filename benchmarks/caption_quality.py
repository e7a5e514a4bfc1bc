"""IMAGECAPTIONER on `captions_dubai` beside the most frequent caption: MobileNetV2 with the given ImageNet weights, frozen.

The baseline says the caption that is most frequent among the training chips of every validation chip; the model is the epoch
of the highest BLEU-4. Training and validation chips overlap on the ground, which flatters the model and not the baseline.

    python benchmarks/caption_quality.py --epochs 30 --seeds 0 1
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from common import arguments, data_folder, mean_and_spread, scratch, show

from chipwright import api
from chipwright.chips.folders import read_chips
from chipwright.chips.split import split_chips
from chipwright.tasks.caption_metrics import Caption, CaptionMetrics

WEIGHTS, PERCENTAGE = "weights/mobilenet_v2_imagenet_from_quant.safetensors", 20.0
FIGURES = ("bleu_1", "bleu_2", "bleu_3", "corpus_bleu", "cider", "multi_label_fbeta", "accuracy")


def most_frequent(folder: Path, seed: int) -> dict[str, float]:
    """Return the figures of the most frequent training caption (of several as frequent the first in the alphabet)."""
    chips = read_chips([folder])
    split = split_chips(chips, PERCENTAGE, None, seed)
    counts = Counter(text for chip in chips.subset(split.training).chips for text in chip.texts)
    text = min(counts, key=lambda text: (-counts[text], text))
    metrics, held_back = CaptionMetrics(), chips.subset(split.validation).chips
    metrics.update([Caption(text, 1.0)] * len(held_back), {"references": [chip.texts for chip in held_back]})
    return metrics.compute().scalars


def main() -> None:
    """Run every seed and print the table."""
    options = arguments(__doc__.splitlines()[0], seeds=[0, 1], epochs=30, out="")
    folder, found, seconds = data_folder() / "captions_dubai", dict[str, list[dict[str, float]]](), []
    for seed in options.seeds:
        found.setdefault("most frequent caption", []).append(most_frequent(folder, seed))
        with scratch() as out:
            result = api.train(
                folder, Path(out) / "m", model_type="IMAGECAPTIONER", seed=seed, backbone_model="MOBILENET_V2",
                backbone_weights=str(data_folder() / WEIGHTS), validation_percentage=PERCENTAGE, max_epochs=options.epochs,
                arguments={"monitor": "corpus_bleu"}, stop_training=False,
            )  # fmt: skip
        found.setdefault("IMAGECAPTIONER", []).append(result.metrics)
        seconds.append(result.seconds)
        print(seed, found, flush=True)
    rows = [
        {"": name}
        | {figure: mean_and_spread([one[figure] for one in runs]) for figure in FIGURES if not math.isnan(runs[0][figure])}
        | {"seconds": f"{sum(seconds) / len(seconds):.0f}" if name == "IMAGECAPTIONER" else ""}
        for name, runs in found.items()
    ]
    title = f"Captions of captions_dubai, MOBILENET_V2 frozen, {options.epochs} epochs, seeds {options.seeds}"
    show(title, rows, options.out)


if __name__ == "__main__":
    main()
