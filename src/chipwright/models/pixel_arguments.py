"""Arguments that the pixel classifiers share (UNET, PSPNET, DEEPLAB, MMSEGMENTATION), and what is fitted for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from chipwright.chips.chipset import BACKGROUND, ChipSet
from chipwright.errors import DataError, OptionError, listed
from chipwright.models.base import Arguments, ModelType
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from chipwright.tasks.base import Task
    from chipwright.tasks.pixel_classes import PixelClasses


class PixelArguments(Arguments):
    """Arguments of every pixel classifier."""

    mixup: bool = Field(False, description="Train on mixtures of two images and their labels, against overfitting.")
    class_balancing: bool = Field(
        False, description="Weigh the cross-entropy by inverse class frequency, measured on the training samples."
    )
    focal_loss: bool = Field(False, description="Weigh down the pixels that are right already (focal loss, gamma 2).")
    ignore_classes: list[int | str] = Field(
        [], description="Values or names of classes to leave unlabelled; 0 is the background. Needs more than 2 classes."
    )
    dice_loss_fraction: float = Field(
        0.0, ge=0, le=1, description="Share of the Dice loss; the rest is cross-entropy or focal loss."
    )
    dice_loss_average: Literal["micro", "macro"] = Field(
        "micro", description="Dice loss over all pixels together (micro) or as the mean over classes (macro)."
    )
    weighted_dice: bool = Field(
        False, description="Weigh the Dice loss by inverse class frequency, measured on the training samples."
    )

    aliases: ClassVar[dict[str, str]] = {"focus_loss": "focal_loss"}

    @field_validator("ignore_classes", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """Take a single value for a list of one."""
        if value is None or value == "":
            return []
        values = list(value) if isinstance(value, (list, tuple, set)) else [value]
        if any(isinstance(item, bool) for item in values):
            raise ValueError("class values or names are expected, such as [0, 3] or ['Road']")
        return values


class PointArguments(PixelArguments):
    """Arguments of the pixel classifiers over a dilated backbone, PSPNET and DEEPLAB."""

    pointrend: bool = Field(
        False, description="Draw the class map anew where classes are in doubt (PointRend); sharper edges of objects."
    )
    keep_dilation: bool = Field(
        False, description="With pointrend, keep the backbone dilated: finer maps, more memory and time."
    )

    @property
    def output_stride(self) -> int:
        """The backbone's coarsest stride: 8, or its own where PointRend does the fine work."""
        return 8 if self.keep_dilation or not self.pointrend else 32


class PixelClassifier(ModelType):
    """What the pixel classifiers share beyond arguments: data, checks, class weights, task and `.emd` keys."""

    formats = ("Classified_Tiles",)
    monitors = ("valid_loss", "accuracy", "miou", "dice")

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `OptionError` for classes that cannot be ignored, `DataError` where labels show no class."""
        from chipwright.chips.reading import ChipReader
        from chipwright.tasks.pixel_classes import require_labels

        if not any(info.value != BACKGROUND for info in chips.classes):
            raise DataError(
                f"{listed(chips.folders)}: the export names no class beside the background (value 0), but "
                f"{self.keyword} needs at least one. Export the training data with a class value field."
            )
        classes = pixel_classes(chips, arguments)
        _check_ignored(classes)
        require_labels(chips, classes, ChipReader.of(chips))

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `class_weights` by class index, and `notes` that name them, where an argument needs them."""
        assert isinstance(arguments, PixelArguments)
        if not (arguments.class_balancing or (arguments.weighted_dice and arguments.dice_loss_fraction > 0)):
            return {}
        from chipwright.chips.reading import ChipReader
        from chipwright.tasks.pixel_classes import balancing_weights, count_pixels

        classes = pixel_classes(chips, arguments)
        weights = balancing_weights(count_pixels(chips, classes, ChipReader.of(chips)), classes)
        figures = listed((f"{classes.names[index]} {weights[index]:.3g}" for index in classes.kept), 100)
        return {"class_weights": weights, "notes": [f"Class weights by inverse frequency in the training samples: {figures}."]}

    def task(self, spec: ModelSpec) -> Task:
        """Return pixel classification."""
        from chipwright.tasks.pixels import PixelTask

        return PixelTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys; `ignore_mapped_class` holds the class indices that are never predicted."""
        from chipwright.tasks.pixel_classes import PixelClasses

        classes = PixelClasses.of(spec.classes, spec.arguments.get("ignore_classes") or ())
        return super().emd_keys(spec) | {"ignore_mapped_class": list(classes.ignored)}


def pixel_classes(chips: ChipSet, arguments: Arguments) -> PixelClasses:
    """Return the class indices that an export's classes get under these arguments."""
    from chipwright.tasks.pixel_classes import PixelClasses

    assert isinstance(arguments, PixelArguments)
    return PixelClasses.of(chips.classes, arguments.ignore_classes)


def _check_ignored(classes: PixelClasses) -> None:
    if not classes.ignored:
        return
    real = len(classes) - classes.first
    ignored = listed((f"{classes.values[index]} ({classes.names[index]})" for index in classes.ignored), 20)
    if real <= 2 and any(index >= classes.first for index in classes.ignored):
        raise OptionError(
            f"ignore_classes {ignored} needs data with more than 2 classes, but there are {real}: "
            f"{listed(classes.names[classes.first :])}. Leave ignore_classes out."
        )
    if not classes.measured or len(classes.kept) < 2:
        left = listed(classes.names[index] for index in classes.kept) or "no class"
        raise OptionError(
            f"ignore_classes {ignored} leaves {left} alone to be learned, but telling classes apart takes two. "
            "Ignore fewer classes."
        )
