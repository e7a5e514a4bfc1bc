"""PSETAE: classes of pixels by their course through the year, from multidimensional chips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from chipwright.chips.chipset import BACKGROUND, ChipSet
from chipwright.chips.formats.time_series import dates_of, variables_of
from chipwright.chips.series import shared_over_dates
from chipwright.errors import DataError, OptionError, listed, suggestion
from chipwright.models.base import Arguments, ModelType, Tiny
from chipwright.spec import ModelSpec, Normalization

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task

Width = Annotated[int, Field(ge=1, le=4096)]
Widths = Annotated[list[Width], Field(min_length=1, max_length=8)]


class PsetaeArguments(Arguments):
    """Arguments of PSETAE."""

    mlp1: Widths = Field([32, 64], description="Widths of the layers that every pixel goes through.")
    pooling: Literal["mean", "std", "max", "min", "mean_std"] = Field(
        "mean_std", description="What is taken over a set of pixels; mean_std takes both."
    )
    mlp2: Annotated[list[Width], Field(min_length=2, max_length=8)] = Field(
        [128, 128],
        description="Widths after the pooling; the first is what it gives: mlp1's last, twice for mean_std. "
        "Left out, the first fits by itself.",
    )
    n_head: int = Field(4, ge=1, le=64, description="Heads of the attention over dates.")
    d_k: int = Field(32, ge=1, le=1024, description="Width of their keys and queries.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of the series' encoding that training leaves out.")
    T: float = Field(1000, gt=1, description="Period of the dates' places, in days; a year and more.")
    mlp4: Widths = Field([64, 32], description="Widths of the decoder before the classes.")
    gamma: float = Field(1, ge=0, le=10, description="How much the focal loss weighs down what is right already; 0 not at all.")
    min_points: int = Field(64, ge=1, le=4096, description="Pixels of a set that is learnt from.")
    n_temporal: int | None = Field(
        None, ge=1, description="Number of dates, where the export does not say; else it must agree."
    )
    n_temporal_dates: list[str] = Field(
        [], description="Dates as 2021-05-30, where the export does not say; without any they are taken to be evenly spread."
    )
    channels_of_interest: list[int | str] = Field([], description="Variables to use, by name or number from 0; default all.")
    timesteps_of_interest: list[int | str] = Field([], description="Dates to use, as 2021-05-30 or number from 0; default all.")
    classes_of_interest: list[int | str] = Field([], description="Values or names of the classes to learn; default all.")

    @field_validator("channels_of_interest", "timesteps_of_interest", "classes_of_interest", "n_temporal_dates", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """Take a single value for a list of one, and nothing for an empty list."""
        if value is None or value == "":
            return []
        return list(value) if isinstance(value, (list, tuple, set)) else [value]

    @model_validator(mode="after")
    def _fits_pooling(self) -> PsetaeArguments:
        """Let mlp2 begin with what the pooling gives, unless it was given itself (see `PseTaeModel.check`)."""
        if "mlp2" not in self.model_fields_set:
            self.mlp2 = [self.pooled, *self.mlp2[1:]]
        return self

    @property
    def pooled(self) -> int:
        """Width of what the pooling gives."""
        return self.mlp1[-1] * (2 if self.pooling == "mean_std" else 1)


class PseTaeModel(ModelType):
    """Pixel-set encoder and temporal attention encoder (Garnot et al. 2020)."""

    keyword = "PSETAE"
    title = "Pixel-Set Encoder and Temporal Attention Encoder (time-series classification)"
    paper = (
        "Garnot et al.: Satellite Image Time Series Classification with Pixel-Set Encoders and Temporal Self-Attention. "
        "CVPR 2020, arXiv:1911.07757"
    )
    formats = ("TimeSeries",)
    data_hint = "TimeSeries are RCNN Masks of a multidimensional raster; their .emd says IsMultidimensional true."
    arguments: ClassVar[type[Arguments]] = PsetaeArguments
    monitors = ("valid_loss", "accuracy", "miou", "dice")
    smallest_batch = 2  # a set has one encoding a date, of which one set has few statistics
    tiny = Tiny(backbone=None, chip_size=16, arguments={"min_points": 16}, epochs=6)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_psetae_inferencing",
        "ModelType": "ImageClassification",
        "ModelName": "PSETAE",
        "SupportsVariableTileSize": True,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` or `OptionError` where dates, variables, classes or widths do not agree."""
        assert isinstance(arguments, PsetaeArguments)
        if arguments.mlp2[0] != arguments.pooled:
            raise OptionError(
                f"mlp2 begins with {arguments.mlp2[0]}, but pooling {arguments.pooling} over mlp1 {arguments.mlp1} gives "
                f"{arguments.pooled} values. Let mlp2 begin with {arguments.pooled}."
            )
        ignored = selected_series(chips, arguments)["ignored"]
        learnt = {info.value for info in chips.classes} - set(ignored)
        seen = {value for chip in chips.chips for value, count in chip.pixels if count and value in learnt}
        if not seen:
            raise DataError(
                f"{listed(chips.folders)}: no mask holds a pixel of a class, so there is nothing to learn from. Export the "
                "training data with features that lie within the raster."
            )
        if len(seen) < 2:
            names = listed(info.name for info in chips.classes if info.value in seen)
            raise DataError(
                f"{listed(chips.folders)}: the masks hold pixels of one class alone ({names}), but telling classes apart takes "
                "two. Export features of more classes, or name more in classes_of_interest."
            )

    def normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization:
        """Return the scaling of each variable, alike on all its dates."""
        assert isinstance(arguments, PsetaeArguments)
        statistics = shared_over_dates(chips.statistics, len(_dates(chips, arguments)))
        return Normalization(
            mean=statistics.mean,
            std=tuple(value if value > 0 else 1.0 for value in statistics.std),
            minimum=statistics.minimum,
            maximum=statistics.maximum,
        )

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `selected`, the bands of each date and variable used, `days` from the first date, and `ignored` classes.

        Beside them `dates` of the images, how many there are, `axis`, what `days` count, and `notes`.
        """
        assert isinstance(arguments, PsetaeArguments)
        found, dates = selected_series(chips, arguments), _dates(chips, arguments)
        depth = len(chips.bands) // len(dates)
        steps = [row[0] // depth for row in found["selected"]]
        known = not dates[0].isdigit()
        span = f"{dates[steps[0]][:10]} to {dates[steps[-1]][:10]}" if known else "days not known, taken to be evenly spread"
        note = f"Time series: {len(steps)} of {len(dates)} dates ({span}), {len(found['selected'][0])} of {depth} variables."
        axis = f"days since {dates[steps[0]][:10]}" if known else "number of the date"
        return found | {"dates": len(dates), "axis": axis, "notes": [note]}

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        from chipwright.networks.pse_tae import PseTae
        from chipwright.tasks.pixel_classes import PixelClasses

        arguments = PsetaeArguments.model_validate(spec.arguments)
        classes = PixelClasses.of(spec.classes)
        return PseTae(
            spec.fitted["selected"],
            spec.fitted["days"],
            len(classes),
            classes.first,
            mlp1=arguments.mlp1,
            pooling=arguments.pooling,
            mlp2=arguments.mlp2,
            heads=arguments.n_head,
            key_width=arguments.d_k,
            dropout=arguments.dropout,
            period=arguments.T,
            mlp4=arguments.mlp4,
        )

    def task(self, spec: ModelSpec) -> Task:
        """Return the classification of time series."""
        from chipwright.tasks.time_series import TimeSeriesTask

        return TimeSeriesTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys: what the bands are, which of them are used and on what days, and how they are scaled."""
        selected, dates = spec.fitted["selected"], spec.fitted["dates"]
        depth = len(spec.bands) // dates
        values = [info.value for info in spec.classes]
        names = ("mlp1", "pooling", "mlp2", "n_head", "d_k", "dropout", "T", "mlp4", "gamma", "min_points")
        return super().emd_keys(spec) | {
            "IsMultidimensional": True,
            "n_temporal": len(selected),
            "n_channel": len(selected[0]),
            "date_positions": list(spec.fitted["days"]),
            "bandindex": list(range(depth)),
            "timeindex": list(range(dates)),
            "channels_infer": [band % depth for band in selected[0]],
            "timestep_infer": [row[0] // depth for row in selected],
            "mean_norm_stats": list(spec.normalization.mean[:depth]),
            "std_norm_stats": list(spec.normalization.std[:depth]),
            "Class_mapping": {str(info.value): info.name for info in spec.classes},
            "Num_class_mapping": {str(number): value for number, value in enumerate(values)},
            "Kwargs": {name: spec.arguments[name] for name in names},
        }

    def default_batch_size(self, chip_size: int) -> int:
        """Return a batch of sets, whatever the chip's size."""
        return 32


def selected_series(chips: ChipSet, arguments: PsetaeArguments) -> dict[str, Any]:
    """Return which bands, days and classes are used, as `PseTaeModel.fit` keeps them.

    Raises:
        OptionError: if dates are not known, do not go with the bands, or something is asked for that the chips have not.
    """
    dates = _dates(chips, arguments)
    depth = len(chips.bands) // len(dates)
    known = variables_of(chips.bands, chips.metadata)
    variables = known if len(known) == depth else tuple(str(at) for at in range(depth))
    channels = _chosen("channels_of_interest", arguments.channels_of_interest, variables)
    steps = _chosen("timesteps_of_interest", arguments.timesteps_of_interest, dates)
    rows = [(info.value, info.name) for info in chips.classes]
    wanted = {_class(word, rows) for word in arguments.classes_of_interest} or {value for value, _ in rows}
    days = _days([dates[step] for step in steps])
    return {
        "selected": [[step * depth + channel for channel in channels] for step in steps],
        "days": days,
        # ground without a sample is no class of its own
        "ignored": sorted({BACKGROUND, *(value for value, _ in rows)} - (wanted - {BACKGROUND})),
    }


def _dates(chips: ChipSet, arguments: PsetaeArguments) -> list[str]:
    """Return the dates of the chips, oldest first as the bands are; their numbers where no day is known."""
    dates = list(dates_of(chips.metadata))
    given = [_day(text) for text in arguments.n_temporal_dates]
    bands = len(chips.bands)
    if given and dates and len(given) != len(dates):
        raise OptionError(f"n_temporal_dates names {len(given)} dates, but the export has {len(dates)}. Leave it out.")
    for own, other in zip(dates, given, strict=False):
        if own[:10] != other:
            raise OptionError(
                f"n_temporal_dates names {other} where the export says {own[:10]}. Leave it out, or correct DimensionValues in "
                "the .emd."
            )
    dates = dates or given
    count = arguments.n_temporal or len(dates)
    if not count:
        raise OptionError(
            f"The export names no dates, so it is not known how its {bands} bands are dates and variables. Give n_temporal, "
            "the number of dates, and n_temporal_dates if the days are known."
        )
    if dates and count != len(dates):
        raise OptionError(f"n_temporal is {count}, but there are {len(dates)} dates. Leave it out, or correct the dates.")
    if bands % count:
        raise OptionError(f"{count} dates do not go with {bands} bands: every date has the same variables.")
    return dates or [str(at) for at in range(count)]


def _day(text: str) -> str:
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except (TypeError, ValueError):
        raise OptionError(f"n_temporal_dates holds {text!r:.40}, which is no date such as 2021-05-30.") from None


def _days(dates: Sequence[str]) -> list[float]:
    """Return days from the first date; one after the other where no date is known."""
    if any(date.isdigit() for date in dates):
        return [float(int(date) - int(dates[0])) for date in dates]
    times = [datetime.fromisoformat(date) for date in dates]
    return [round((time - times[0]).total_seconds() / 86_400, 4) for time in times]


def _chosen(name: str, words: Sequence[int | str], known: Sequence[str]) -> list[int]:
    """Return the numbers of those asked for, by name or number, in the order of the chips; all unless any is."""
    found = set()
    for word in words:
        text = str(word).strip()
        matches = [at for at, have in enumerate(known) if have.casefold() == text.casefold()]
        if not matches and text.isdigit() and int(text) < len(known):
            matches = [int(text)]
        if not matches:
            hint = suggestion(text, known)
            raise OptionError(f"{name} names {text!r}, which the chips have not.{hint} They have {listed(known, 10)}.")
        found.update(matches)
    return sorted(found) or list(range(len(known)))


def _class(word: int | str, rows: Sequence[tuple[int, str]]) -> int:
    text = str(word).strip().casefold()
    for value, name in rows:
        if text in (str(value), name.casefold()):
            return value
    known = listed((f"{value} ({name})" for value, name in rows), 20)
    raise OptionError(f"classes_of_interest names {word!r}, but there is no such class. Classes: {known}.")


PSETAE = PseTaeModel()
