"""`RunRecord`: everything the report shows, as plain data, so that the page, the pictures and the JSON say the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from chipwright.chips.display import Panel
    from chipwright.tasks.base import Evaluation


@dataclass(frozen=True)
class DataSummary:
    """What was trained or measured on.

    Attributes:
        folders: paths as given.
        chips, training, validation: counts.
        dropped: reason -> count.
        warnings: sentences.
        split: one sentence: method, percentage, seed, chips dropped because they touch validation ground.
        balance: one row a class: {"class", "value", "training", "validation"} counts of objects, pixels or chips.
        unit: what `balance` counts: "boxes", "pixels", "chips".
    """

    folders: list[str]
    chips: int
    training: int = 0
    validation: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    split: str = ""
    balance: list[dict[str, Any]] = field(default_factory=list)
    unit: str = "chips"


@dataclass(frozen=True)
class RunRecord:
    """One training run or one evaluation.

    Attributes:
        name: the model's name.
        spec: the model as plain data.
        title: the model type's title.
        settings: label -> value of every option and argument, in the order to be shown.
        data: what was trained on.
        evaluation: figures on the validation samples (or on the labelled folder of an evaluation).
        monitor: metric that picked the epoch; `history` holds it.
        history: one row an epoch: epoch, train_loss, valid_loss, metrics, learning_rate, seconds, samples_per_second.
        best_epoch: 1-based; None for an evaluation.
        range_test: {"learning_rate": [...], "loss": [...], "chosen": rate} or None where a rate was given.
        samples: rows of panels: sample results beside truth.
        log: sentences about what was decided under way (batch halved, layers trained though frozen, early stop, ...).
        schedule: keyword of the learning-rate schedule ("one_cycle"), or a sentence about it; empty where none was used.
        created: when the run ended; the time of writing where None.
    """

    name: str
    spec: ModelSpec
    title: str
    settings: dict[str, Any]
    data: DataSummary
    evaluation: Evaluation
    monitor: str = "valid_loss"
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    range_test: dict[str, Any] | None = None
    samples: list[list[Panel]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    schedule: str = ""
    created: datetime | None = None
