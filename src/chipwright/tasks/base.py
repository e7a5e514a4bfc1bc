"""The Task interface: what a sample, a batch, a loss, a metric, a prediction and a picture mean for one kind of work.

A Task holds plain data only (the `ModelSpec`), never the network, so that it travels to loader processes for nothing; every
method that computes is handed the network. The engine knows this interface and no model type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.recipe import Recipe, Tones, training_recipe
from chipwright.chips.chipset import Chip
from chipwright.chips.display import Panel
from chipwright.spec import ModelSpec, Normalization

Sample = dict[str, Any]
"""One drawn sample: arrays and tensors on the CPU, images still in the file's dtype under the task's `image_keys`."""

Batch = dict[str, Any]
"""Collated samples. After `Task.to_device` images are normalised float32 on the device."""

Networks = Mapping[str, nn.Module]
"""The parts named by `Task.parts`, wrapped for the device and the number of processes; call these, not the bare network."""


class Reader(Protocol):
    """Reads chips as arrays in the file's own dtype; see `chipwright.chips.reading`."""

    def image(self, chip: Chip, index: int = 0) -> NDArray[Any]:
        """Return image `index` of the chip as (bands, height, width)."""

    def valid(self, chip: Chip, index: int = 0) -> NDArray[np.bool_] | None:
        """Return which pixels hold data as (height, width), or None where all do."""

    def label(self, chip: Chip) -> NDArray[Any]:
        """Return the chip's class values as (height, width)."""

    def instances(self, chip: Chip) -> dict[int, NDArray[np.int32]]:
        """Return the chip's objects by class value as (bands, height, width), numbered from 1 in the order of its boxes."""

    def has(self, chip: Chip) -> bool:
        """Return whether everything of the chip is at hand."""

    def read_ahead(self, chip: Chip) -> None:
        """Decode what is not at hand of a chip that will be asked for soon; called in threads."""


@dataclass(frozen=True)
class RasterTaken:
    """One of the rasters that a model is applied to.

    Attributes:
        bands: their names.
        dtype: pixel type of the training data; None where it does not matter.
        categorical: whether pixels are class values.
        sparse: whether some bands of a pixel may hold data and others none. The task then knows those without by `nodata` or by
            NaN, whatever the raster declares.
        nodata: of the training data.
    """

    bands: tuple[str, ...]
    dtype: str | None
    categorical: bool = False
    sparse: bool = False
    nodata: float | None = None


@dataclass(frozen=True)
class Phase:
    """One part of a training step: a loss and the optimizer that lowers it.

    Attributes:
        name: handed to `Task.losses`.
        parts: names of the network parts (see `Task.parts`) whose parameters this phase's optimizer steps.
    """

    name: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate: `factor` times the run's rate."""

    parameters: list[nn.Parameter]
    factor: float = 1.0


@dataclass(frozen=True)
class Evaluation:
    """What was measured, as plain data.

    Attributes:
        scalars: metric name -> value; the names are what `monitor` accepts.
        per_class: one row a class, column name -> value.
        confusion: counts (true class, predicted class) with their class names, where the task has them.
        curves: name -> {"x": [...], "y": [...], "x_label": ..., "y_label": ...} for the report; "low" and "high" [...] beside
            them shade a spread about y.
        notes: sentences that a reader of the figures must know.
    """

    scalars: dict[str, float] = field(default_factory=dict)
    per_class: list[dict[str, Any]] = field(default_factory=list)
    confusion: tuple[list[str], list[list[int]]] | None = None
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Metrics(ABC):
    """Accumulates over batches; one object per process, merged before it is computed. Must be picklable."""

    @abstractmethod
    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        """Take in one batch's predictions and truth."""

    @abstractmethod
    def merge(self, other: Metrics) -> None:
        """Take in what another process accumulated."""

    @abstractmethod
    def compute(self) -> Evaluation:
        """Return the figures over everything taken in."""


class Normalize(nn.Module):
    """Scale raw pixels of any dtype to what the network eats: `(clip(x, minimum, maximum) - mean) / std`, float32.

    Input (batch, bands, height, width) or (bands, height, width). NaN becomes 0, the mean.
    """

    mean: Tensor
    scale: Tensor
    minimum: Tensor | None
    maximum: Tensor | None

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()

        def column(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)

        limits = normalization.minimum, normalization.maximum
        self.register_buffer("mean", column(normalization.mean), persistent=False)
        self.register_buffer("scale", 1 / column(normalization.std), persistent=False)
        self.register_buffer("minimum", None if limits[0] is None else column(limits[0]), persistent=False)
        self.register_buffer("maximum", None if limits[1] is None else column(limits[1]), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images as float32 of the same shape."""
        floating = images.dtype.is_floating_point
        images = images.to(torch.float32)
        if self.minimum is not None or self.maximum is not None:
            images = torch.clamp(images, self.minimum, self.maximum)
        images = (images - self.mean).mul_(self.scale)
        return images.nan_to_num_() if floating else images


class Task(ABC):
    """One kind of work over one `ModelSpec`. Subclasses say what everything means; the engine runs it.

    Attributes:
        recipes: how samples are changed, by whether they are augmented; empty where they never are.
    """

    augmentation: str | None = None
    """Kind of work whose default augmentation samples get (see `chipwright.chips.augmentation.settings`), if any."""

    image_keys: tuple[str, ...] = ("image",)
    """Sample keys that hold raw images, normalised by `to_device`."""

    images_taken = 1
    """Images of one place that a prediction is made from: two where dates are compared."""

    phases: tuple[Phase, ...] = (Phase("train", ("network",)),)
    """The ordered phases of a training step."""

    range_test = True
    """Whether a learning-rate range test makes sense; where not, `default_learning_rate` is used."""

    default_learning_rate = 1e-3

    gradient_clip: float | None = None
    """Largest norm of a phase's gradients, if they are clipped."""

    weight_average: float | None = None
    """Share of the weights' running mean that stays in a step, where it is the mean that is measured and kept."""

    schedule = "one_cycle"
    """Name of the learning-rate schedule in `chipwright.engine.schedules`."""

    score_threshold: float | None = None
    """Least score of the predictions that are shown, and by default put on maps, of kinds of work with scores. Once a model is
    measured, its `best_threshold`."""

    higher_is_better: frozenset[str] = frozenset()
    """Metrics to be maximised by `monitor`; all others are minimised."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.recipes: dict[bool, Recipe] = {}
        if self.augmentation is not None:
            size, tones = spec.chip_size, self.tones()
            training = training_recipe(self.augmentation, spec.image_space, size, tones, spec.augmentation)
            self.recipes = {True: training, False: Recipe(size, tones)}
        self._normalizers: dict[tuple[str, torch.device], Normalize] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_normalizers": {}}  # loader processes must not inherit tensors of a GPU

    def tones(self) -> tuple[Tones, ...]:
        """Return what the values of each of a sample's images mean. To be overridden where an image holds classes."""
        first, second = Tones.of(self.spec.statistics, self.spec.dtype), self.spec.second
        return (first, Tones.of(second.statistics, second.dtype)) if second else (first,)

    @property
    def inputs(self) -> Normalization:
        """The scaling of what the network takes, band by band: the chips', unless a sample's image is made of several."""
        return self.spec.normalization

    @property
    def rasters(self) -> tuple[RasterTaken, ...]:
        """What a prediction is made from: rasters like the chips' images."""
        spec, second = self.spec, self.spec.second
        first = RasterTaken(spec.bands, spec.dtype)
        if self.images_taken == 1:
            return (first,)
        return first, RasterTaken(second.bands, second.dtype) if second else first

    def scaling(self, key: str) -> Normalization:
        """Return the scaling of the images under a sample key: the second images', unless it is the first of `image_keys`."""
        second = key != self.image_keys[0] and self.spec.second_normalization
        return second or self.inputs

    def normalizer(self, key: str, device: torch.device) -> Normalize:
        """Return the scaling of one image key on a device."""
        if (key, device) not in self._normalizers:
            self._normalizers[key, device] = Normalize(self.scaling(key)).to(device)
        return self._normalizers[key, device]

    # -- samples and batches

    def units(self, chips: Sequence[Chip]) -> Sequence[Any]:
        """Return what one sample is drawn from: a chip each, unless a kind of work needs pairs, sequences or pixel sets."""
        return chips

    def chips_of(self, unit: Any) -> Sequence[Chip]:
        """Return the chips that a unit is drawn from, which are decoded before its turn comes."""
        return (unit,)

    def training_units(self, chips: Sequence[Chip]) -> Sequence[Any]:
        """Return the units of one training epoch: `units`, unless some are to be seen more often than others."""
        return self.units(chips)

    @abstractmethod
    def draw(self, unit: Any, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return one sample; random only through `rng`, and only when `augment`. Runs in loader processes."""

    def sample(self, images: Sequence[NDArray[Any]], valids: Sequence[NDArray[np.bool_] | None]) -> Sample:
        """Return what `predict` needs of unlabelled images, as they are: pixels without data get the mean, as in training.

        Args:
            images: `images_taken` of them, (bands, height, width).
            valids: which pixels of each hold data, (height, width); None where all do.
        """
        return {self.image_keys[0]: fill_invalid(images[0], valids[0], self.tones()[0].fill)}

    def fill(self) -> tuple[float | None, ...]:
        """Return what pixels without data are filled with in `sample`, band by band of what the network takes; None for NaN."""
        return self.tones()[0].fill

    def host_facts(self) -> dict[str, Any] | None:
        """Return what a program must know to make results of the exported network's outputs, as JSON data.

        The raster function's name stands under "function" (see `chipwright.package.raster_function`); None where there is none.
        """
        return None

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Stack samples: arrays and tensors of one shape become one tensor, everything else a list."""
        batch: Batch = {}
        for key in samples[0]:
            values = [sample[key] for sample in samples]
            if isinstance(values[0], np.ndarray):
                values = [torch.from_numpy(np.ascontiguousarray(value)) for value in values]
            stackable = isinstance(values[0], Tensor) and all(value.shape == values[0].shape for value in values)
            batch[key] = torch.stack(values) if stackable and key not in self.listed_keys else values
        return batch

    listed_keys: frozenset[str] = frozenset()
    """Sample keys that stay a list in a batch even where shapes agree (boxes, for instance)."""

    def to_device(self, batch: Batch, device: torch.device) -> Batch:
        """Move a batch to the device and normalise its images there."""

        def move(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=True)
            if isinstance(value, list):
                return [move(item) for item in value]
            if isinstance(value, dict):
                return {key: move(item) for key, item in value.items()}
            return value

        moved = {key: move(value) for key, value in batch.items()}
        for key in self.image_keys:
            if key not in batch:
                continue  # of what is to be predicted there is no truth
            normalizer, images = self.normalizer(key, device), moved[key]
            moved[key] = [normalizer(image) for image in images] if isinstance(images, list) else normalizer(images)
        return moved

    # -- learning

    def parts(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return the parts of the network that are wrapped and stepped on their own; one, unless optimizers are several."""
        return {"network": network}

    def parameter_groups(self, parts: Sequence[nn.Module]) -> list[ParameterGroup]:
        """Return a phase's parameters with their rates: a tenth for those that came pretrained, the full rate for new ones."""
        from chipwright.networks.pretrained import loaded_parameters

        pretrained = [parameter for part in parts for parameter in loaded_parameters(part) if parameter.requires_grad]
        known = {id(parameter) for parameter in pretrained}
        new = [p for part in parts for p in part.parameters() if p.requires_grad and id(p) not in known]
        groups = [ParameterGroup(pretrained, 0.1), ParameterGroup(new, 1.0)]
        return [group for group in groups if group.parameters]

    def optimizer(self, groups: Sequence[ParameterGroup], phase: Phase) -> torch.optim.Optimizer:
        """Return the optimizer of one phase, each group's rate set to its factor (the engine multiplies by the run's rate).

        AdamW as the reference, unless a kind of work needs another.
        """
        settings = [{"params": group.parameters, "lr": group.factor} for group in groups]
        return torch.optim.AdamW(settings, lr=1.0, betas=(0.9, 0.99), weight_decay=0.01, fused=True)

    @abstractmethod
    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the named losses of one phase; their sum is stepped. Networks are in training mode, `batch` on the device."""

    def state_dict(self) -> dict[str, Any]:
        """Return state of its own that a resume needs (an image history, say); tensors and plain data only."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""

    # -- measuring

    @abstractmethod
    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Any]]:
        """Return (losses, predictions) of one batch without gradients; `network` is bare and in evaluation mode."""

    @abstractmethod
    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Any]:
        """Return one prediction a sample, from one forward pass with all that belongs to it (NMS, beam search, ...)."""

    @abstractmethod
    def metrics(self) -> Metrics:
        """Return a fresh accumulator."""

    def thorough_metrics(self) -> Metrics:
        """Return a fresh accumulator for a trained model, of what would take too long after every epoch as well."""
        return self.metrics()

    # -- showing

    @abstractmethod
    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        """Return the pictures of one drawn sample and its prediction, in the order they stand side by side."""


TaskFactory = Callable[[ModelSpec], Task]
