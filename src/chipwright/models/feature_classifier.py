"""FEATURE_CLASSIFIER: what a whole chip, or the object in it, is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError, OptionError, listed
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task

_SEVERAL = "MultiLabeled_Tiles"

_MOST_WEIGHT = 50.0
"""Largest class weight against the mean chip's: a class of a few chips must not drown all others."""


class FeatureClassifierArguments(BackboneArguments):
    """Arguments of FEATURE_CLASSIFIER."""

    mixup: bool = Field(False, description="Train on mixtures of two chips and their classes, against overfitting.")
    oversample: bool = Field(
        False, description="Show chips of rarer classes several times an epoch, so that all classes are as frequent."
    )
    class_balancing: bool = Field(
        False, description="Weigh the loss by inverse class frequency, measured on the training samples."
    )


class FeatureClassifierModel(ModelType):
    """A backbone with fastai's classification head."""

    keyword = "FEATURE_CLASSIFIER"
    title = "Feature classifier (object or image classification)"
    paper = "He et al.: Deep Residual Learning for Image Recognition. CVPR 2016, arXiv:1512.03385"
    formats = ("Labeled_Tiles", _SEVERAL, "Imagenet")
    arguments = FeatureClassifierArguments
    monitors = ("valid_loss", "accuracy", "multi_label_fbeta")
    backbones = BackboneRule("RESNET34", ("resnet", "densenet", "vgg", "mobilenet"))
    smallest_batch = 2
    tiny = Tiny()
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_FeatureClassifier",
        "ModelType": "ObjectClassification",
        "ModelName": "FeatureClassifier",
        "SupportsVariableTileSize": False,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where there is nothing to tell apart, `OptionError` for arguments that do not go together."""
        assert isinstance(arguments, FeatureClassifierArguments)
        several = chips.format == _SEVERAL
        needed = 1 if several else 2
        present = {value for chip in chips.chips for value in chip.values}
        if len(present) < needed:
            names = listed(info.name for info in chips.classes if info.value in present) or "none"
            raise DataError(
                f"The chips of {listed(chips.folders)} show {len(present)} {'class' if len(present) == 1 else 'classes'} "
                f"({names}), but {self.keyword} needs at least {needed}. Export chips of more classes."
            )
        if arguments.oversample and several:
            raise OptionError(
                f"oversample needs chips of one class each, and the chips of {_SEVERAL} have several. "
                "Use class_balancing instead."
            )
        if arguments.oversample and arguments.class_balancing:
            raise OptionError("oversample and class_balancing both make up for rare classes; give one of them.")
        if arguments.monitor == "multi_label_fbeta" and not several:
            raise OptionError(
                f"multi_label_fbeta is a figure of chips with several classes ({_SEVERAL}), and these are {chips.format}. "
                "Monitor valid_loss or accuracy."
            )

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `class_weights` by class where an argument asks for them, and `notes` that say what is balanced."""
        assert isinstance(arguments, FeatureClassifierArguments)
        counts = Counter(value for chip in chips.chips for value in chip.values)
        frequencies = [counts[info.value] for info in chips.classes]
        if arguments.oversample:
            most = max(frequencies)
            times = ((info.name, most / count) for info, count in zip(chips.classes, frequencies, strict=True) if count)
            repeated = listed((f"{name} x {factor:.3g}" for name, factor in times if factor > 1), 100)
            return {"notes": [f"Chips shown several times an epoch: {repeated or 'none, the classes are balanced'}."]}
        if not arguments.class_balancing:
            return {}
        several = chips.format == _SEVERAL
        weights = _positive_weights(frequencies, len(chips)) if several else _class_weights(frequencies)
        figures = listed((f"{info.name} {weight:.3g}" for info, weight in zip(chips.classes, weights, strict=True)), 100)
        return {"class_weights": weights, "notes": [f"Class weights by inverse frequency in the training samples: {figures}."]}

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with one logit a class."""
        from chipwright.networks.backbones import create_backbone
        from chipwright.networks.classifier import ImageClassifier

        assert spec.backbone, "FEATURE_CLASSIFIER has a backbone"
        scheme = spec.arguments.get("weight_init_scheme", "random")
        backbone = create_backbone(spec.backbone, len(spec.bands), weights, weight_init_scheme=scheme)
        return ImageClassifier(backbone, len(spec.classes))

    def task(self, spec: ModelSpec) -> Task:
        """Return classification of whole chips."""
        from chipwright.tasks.classification import ClassificationTask

        return ClassificationTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys, which tell Classify Objects how to cut its chips."""
        from chipwright.tasks.classification import has_variable_size

        return super().emd_keys(spec) | {
            "MetaDataMode": spec.metadata_format,
            "CropSizeFixed": int(not has_variable_size(spec)),
            "BlackenAroundFeature": int(bool(spec.metadata.get("BlackenAroundFeature", False))),
            "ImageSpaceUsed": spec.image_space,
        }


def _class_weights(counts: list[int]) -> list[float]:
    """Return a weight by class: the inverse of its share of the chips, at most 50 times the mean chip's, mean 1.

    A class without a training chip keeps weight 1; it never acts.
    """
    seen = [count for count in counts if count]
    inverse = [min(sum(seen) / (len(seen) * count), _MOST_WEIGHT) if count else 0.0 for count in counts]
    mean = sum(inverse) / len(seen)
    return [round(weight / mean, 6) if weight else 1.0 for weight in inverse]


def _positive_weights(counts: list[int], chips: int) -> list[float]:
    """Return a weight by class for chips that have it: chips without over chips with it, at most 50."""
    return [round(min((chips - count) / count, _MOST_WEIGHT), 6) if 0 < count < chips else 1.0 for count in counts]


FEATURE_CLASSIFIER = FeatureClassifierModel()
