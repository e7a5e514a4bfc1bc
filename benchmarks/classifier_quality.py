"""Accuracy of FEATURE_CLASSIFIER on `labeled_scenes`: MobileNetV2 with the given ImageNet weights, frozen, validation 30 %.

python benchmarks/classifier_quality.py --seeds 0 1 2
"""

from __future__ import annotations

from pathlib import Path

from common import arguments, data_folder, mean_and_spread, scratch, show

from chipwright import api


def main() -> None:
    """Run every seed and print mean and spread."""
    options = arguments(__doc__.splitlines()[0], seeds=[0, 1, 2], epochs=20, out="")
    weights = data_folder() / "weights/mobilenet_v2_imagenet_from_quant.safetensors"
    scores, seconds = [], []
    for seed in options.seeds:
        with scratch() as out:
            result = api.train(
                data_folder() / "labeled_scenes", Path(out) / "m", model_type="FEATURE_CLASSIFIER", seed=seed,
                backbone_model="MOBILENET_V2", backbone_weights=str(weights), validation_percentage=30,
                max_epochs=options.epochs,
            )  # fmt: skip
        scores.append(result.metrics["accuracy"])
        seconds.append(result.seconds)
        print(seed, result.metrics["accuracy"], flush=True)
    rows = [{"": "chipwright", "accuracy": mean_and_spread(scores), "seconds": f"{sum(seconds) / len(seconds):.0f}"}]
    title = f"FEATURE_CLASSIFIER MOBILENET_V2, frozen, on labeled_scenes, {options.epochs} epochs, seeds {options.seeds}"
    show(title, rows, options.out)


if __name__ == "__main__":
    main()
