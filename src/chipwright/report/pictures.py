"""The report's diagrams: losses and metrics by epoch, the learning rate, the confusion matrix, precision-recall curves.

Every function takes plain data and returns a PNG file's bytes, or None where there is nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chipwright.report.drawing import (
    BAD,
    COLORS,
    FAINT,
    INK,
    LINE_STYLES,
    add_legend,
    fonts,
    label_text,
    new_figure,
    style,
    to_png,
    whole_epochs,
)
from chipwright.report.wording import canonical, capital, metric, number, short_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[Mapping[str, Any]]

_NOT_DRAWN = frozenset({"epoch", "learning_rate", "seconds", "samples_per_second"})
_MOST_LINES = 6
_MOST_DIAGRAMS = 4
_MOST_CELLS_WITH_TEXT = 40
"""Classes up to which a confusion matrix writes its figures; beyond, colour alone can be read."""


def columns(history: History) -> list[str]:
    """Return the names that occur in the rows of a history, in order of appearance."""
    return list(dict.fromkeys(name for row in history for name in row))


def series(history: History, name: str) -> NDArray[np.float64]:
    """Return one column of a history as floats, NaN where a row has no finite value."""
    values = [row.get(name) for row in history]
    numbers = np.array([math.nan if value is None else float(value) for value in values])
    return np.where(np.isfinite(numbers), numbers, math.nan)


def loss_graph(history: History, best_epoch: int | None = None, monitor: str = "valid_loss") -> bytes | None:
    """Draw losses and metrics by epoch, the epoch that was kept marked."""
    groups = _diagrams(history, monitor)
    if not groups:
        return None
    across = min(2, len(groups))
    down = math.ceil(len(groups) / across)
    figure = new_figure(5.6 * across if across > 1 else 7.5, 3.5 * down)
    grid = figure.subplots(down, across, squeeze=False)
    for axes, (title, names) in zip(grid.flat, groups, strict=False):
        _draw_lines(axes, history, title, names, best_epoch)
    for axes in list(grid.flat)[len(groups) :]:
        axes.set_axis_off()
    return to_png(figure)


def _diagrams(history: History, monitor: str) -> list[tuple[str, list[str]]]:
    """Return (title, columns) of each diagram: losses, shares together, other metrics, then the parts of the loss."""
    names = [name for name in columns(history) if name not in _NOT_DRAWN and np.isfinite(series(history, name)).any()]
    names.sort(key=lambda name: name != monitor)  # the monitored one is drawn, however many there are
    first_names = {canonical(name): name for name in reversed(names)}
    names = [name for name in names if first_names[canonical(name)] == name]  # not one metric twice, under two names
    both: tuple[str, ...] = ("train_loss", "valid_loss")
    totals = [name for name in both if name in names]
    others = [name for name in names if name not in totals]
    parts = [name for name in others if is_loss_part(name)]
    metrics = [name for name in others if name not in parts]
    shares = [name for name in metrics if metric(name).kind == "share"]
    errors = [name for name in shares if metric(name).higher_is_better is False]
    groups: list[tuple[str, list[str]]] = [("Loss: lower is better", totals)] if totals else []
    for title, of_it in (
        ("Metrics: higher is better", [name for name in shares if name not in errors]),
        ("Errors: lower is better", errors),
    ):
        if of_it:
            groups.append((title, of_it[:_MOST_LINES]))
    for name in metrics:
        if name not in shares:
            kind = metric(name)
            better = {True: ": higher is better", False: ": lower is better", None: ""}[kind.higher_is_better]
            groups.append((capital(kind.label) + better, [name]))
    for prefix, title in (("train_", "Parts of the training loss"), ("valid_", "Parts of the validation loss")):
        of_it = [name for name in parts if name.startswith(prefix)]
        if of_it:
            groups.append((title, of_it[:_MOST_LINES]))
    return groups[:_MOST_DIAGRAMS]


def is_loss_part(name: str) -> bool:
    """Return whether a history's column is one of several losses that add up to the training or validation loss."""
    return name.startswith(("train_", "valid_")) and not metric(name).explanation


def _draw_lines(axes: Axes, history: History, title: str, names: Sequence[str], best_epoch: int | None) -> None:
    from matplotlib.ticker import PercentFormatter

    epochs = _epochs(history)
    lines = [series(history, name) for name in names]
    marker = "o" if len(history) <= 40 else ""
    for index, (name, values) in enumerate(zip(names, lines, strict=True)):
        text = name.split("_", 1)[1].replace("_", " ") if is_loss_part(name) else metric(name).label
        axes.plot(
            epochs, values, label=label_text(text), color=COLORS[index % len(COLORS)],
            linewidth=1.8, marker=marker, markersize=3.5,
        )  # fmt: skip
    every = np.concatenate(lines)
    every = every[np.isfinite(every)]
    if metric(names[0]).kind == "share" and every.min() >= 0 and every.max() <= 1:
        # a tenth of the scale at the least: a flat line must look flat
        middle, span = (every.max() + every.min()) / 2, max(1.2 * (every.max() - every.min()), 0.1)
        axes.set_ylim(max(-0.02, middle - span / 2), min(1.02, middle + span / 2))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    elif metric(names[0]).kind == "loss" and every.min() > 0 and every.max() / every.min() > 40:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: number(value, trim=True))
        title += ", logarithmic scale"
    if best_epoch is not None:
        axes.axvline(best_epoch, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"epoch {best_epoch}, kept")
        chosen = [index for index, epoch in enumerate(epochs) if epoch == best_epoch]
        for values, color in zip(lines, COLORS, strict=False):
            for index in chosen:
                axes.plot(best_epoch, values[index], "o", markersize=7.5, color=color, markeredgecolor="white", zorder=5)
    whole_epochs(axes, min(epochs), max(epochs))
    style(axes, title, "epoch")
    add_legend(axes)


def _epochs(history: History) -> list[float]:
    return [float(row.get("epoch") or index) for index, row in enumerate(history, 1)]


def rate_graph(history: History, range_test: Mapping[str, Any] | None) -> bytes | None:
    """Draw the range test with the chosen rate, and the rate by epoch; whichever there is."""
    tested = range_test is not None and len(range_test.get("loss") or ()) > 1
    rates = series(history, "learning_rate")
    scheduled = int(np.isfinite(rates).sum()) > 1
    if not tested and not scheduled:
        return None
    figure = new_figure(11.2 if tested and scheduled else 7.5, 3.3)
    grid = list(figure.subplots(1, tested + scheduled, squeeze=False).flat)
    if tested and range_test is not None:
        _draw_range_test(grid[0], range_test)
    if scheduled:
        axes, epochs = grid[-1], _epochs(history)
        axes.plot(epochs, rates, color=COLORS[2], linewidth=1.8, marker="o" if len(history) <= 40 else "", markersize=3.5)
        axes.yaxis.set_major_formatter(lambda value, _: number(value, trim=True))
        axes.set_ylim(bottom=0)
        whole_epochs(axes, min(epochs), max(epochs))
        style(axes, "Learning rate at the end of each epoch", "epoch")
    return to_png(figure)


def _draw_range_test(axes: Axes, range_test: Mapping[str, Any]) -> None:
    rates = np.array([math.nan if rate is None else rate for rate in range_test["learning_rate"]], dtype=float)
    losses = np.array([math.nan if loss is None else loss for loss in range_test["loss"]], dtype=float)
    known = np.isfinite(rates) & np.isfinite(losses) & (rates > 0)
    rates, losses = rates[known], losses[known]
    axes.set_xscale("log")
    if len(losses):
        smooth = _running_mean(losses)
        axes.plot(rates, losses, color=COLORS[5], linewidth=0.9, alpha=0.7, label="loss of each step")
        axes.plot(rates, smooth, color=COLORS[0], linewidth=2, label="smoothed")
        # the loss blows up at the end; what matters is the slope before
        lowest = int(smooth.argmin())
        low, high = float(smooth[lowest]), float(smooth[: lowest + 1].max())
        span = max(high - low, 1e-3 * abs(high), 1e-9)
        axes.set_ylim(low - 0.25 * span, high + 0.6 * span)
    chosen = range_test.get("chosen")
    if chosen:
        axes.axvline(chosen, color=BAD, linewidth=1.4, linestyle=(0, (4, 3)), label=f"chosen: {number(chosen, trim=True)}")
    style(axes, "Range test: loss while the rate rises", "learning rate", "loss")
    add_legend(axes)


def _running_mean(values: NDArray[np.float64], width: int = 2) -> NDArray[np.float64]:
    windows = (values[max(0, index - width) : index + width + 1] for index in range(len(values)))
    return np.array([window.mean() for window in windows])


def confusion_picture(classes: Sequence[str], counts: Sequence[Sequence[float]]) -> bytes:
    """Draw the confusion matrix: rows are the truth, columns what the model said, colour the share of the row.

    Each cell holds the share in per cent and the count beneath it, up to 40 classes; beyond, colour alone.
    """
    matrix = np.asarray(counts, dtype=float).reshape(len(classes), len(classes))
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full_like(matrix, math.nan), where=totals > 0)
    size = len(classes)
    cell = 0.95 if size <= 4 else 0.72 if size <= 8 else 0.52 if size <= 15 else 0.33
    if size > _MOST_CELLS_WITH_TEXT:
        cell = max(0.04, 14 / size)
    names = [label_text(name, 22) for name in classes]
    longest = max((len(name) for name in names), default=0)
    side = cell * size + 0.0075 * (9.5 if size <= 15 else 8) * longest
    figure = new_figure(max(side + 1.5, 4.6), max(side + 0.9, 3.6))
    axes = figure.subplots()
    colored = axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1, aspect="equal")
    step = max(1, math.ceil(size / 60))
    ticks = list(range(0, size, step))
    label_size = 9.5 if size <= 15 else 8 if size <= _MOST_CELLS_WITH_TEXT else 7
    axes.set_xticks(ticks, [names[tick] for tick in ticks], rotation=40 if size <= 8 else 90)
    axes.set_yticks(ticks, [names[tick] for tick in ticks])
    for text in axes.get_xticklabels():
        text.set(family=fonts(), fontsize=label_size, color=INK)
        if size <= 8:
            text.set(ha="right", rotation_mode="anchor")
    for text in axes.get_yticklabels():
        text.set(family=fonts(), fontsize=label_size, color=INK)
    axes.tick_params(length=0)
    if size <= _MOST_CELLS_WITH_TEXT:
        _write_cells(axes, matrix, shares)
        axes.set_xticks(np.arange(-0.5, size), minor=True)
        axes.set_yticks(np.arange(-0.5, size), minor=True)
        axes.grid(which="minor", color="white", linewidth=1.2)
        axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("what the model said", fontsize=10, color=INK, labelpad=8)
    axes.set_ylabel("truth", fontsize=10, color=INK, labelpad=8)
    if not 15 < size <= _MOST_CELLS_WITH_TEXT:  # where cells are many, the figures in them say enough
        bar = figure.colorbar(colored, ax=axes, shrink=0.8, aspect=30, pad=0.02)
        bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        bar.set_label("share of the true class", fontsize=9, color=INK)
        bar.ax.tick_params(labelsize=8.5, colors=FAINT, labelcolor=INK, length=2)
        bar.outline.set_visible(False)
    return to_png(figure)


def _write_cells(axes: Axes, matrix: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    """Write share and count into every cell that is not empty."""
    size = len(matrix)
    large, small = (12, 9) if size <= 4 else (10, 7.5) if size <= 8 else (8, 6) if size <= 15 else (6.8, 4.8)

    def write(column: int, row: float, text: str, points: float, color: str) -> None:
        written = axes.text(column, row, text, ha="center", va="center", fontsize=points, color=color)
        written.set_in_layout(False)  # it lies within the axes anyhow, and hundreds of them take seconds to be measured

    for row in range(size):
        for column in range(size):
            count, part = matrix[row, column], shares[row, column]
            if count:
                color = "white" if part > 0.6 else INK
                percent = cell_percent(part) if size <= 15 else cell_percent(part).replace(" ", "").removesuffix("%")
                write(column, row - 0.14, percent, large, color)
                write(column, row + 0.24, short_count(count), small, color)
            elif row == column or size <= 8:
                write(column, row, "0", small, FAINT)


def cell_percent(share: float) -> str:
    """Return a share in whole per cent; a little is not shown as nothing, nor nearly all as all."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{100 * share:.0f} %"


def curves_picture(curves: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    """Draw the evaluation's curves (precision-recall and the like), those of one kind in one diagram, with their spread."""
    kinds: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for name, curve in curves.items():
        if len(curve.get("x") or ()) and len(curve["x"]) == len(curve.get("y") or ()):
            kinds.setdefault((str(curve.get("x_label", "")), str(curve.get("y_label", ""))), {})[name] = curve
    if not kinds:
        return None
    most = max(len(members) for members in kinds.values())
    down = len(kinds)
    figure = new_figure(6.4 if most == 1 else 8.4 if most <= 16 else 11, 4.2 * down)
    grid = figure.subplots(down, 1, squeeze=False)
    for axes, ((x_label, y_label), members) in zip(grid.flat, kinds.items(), strict=True):
        shares = all(_within_one(curve["x"]) and _within_one(curve["y"]) for curve in members.values())
        title, names = _common_title(list(members))
        for index, (name, curve) in enumerate(zip(names, members.values(), strict=True)):
            if "low" in curve:
                axes.fill_between(
                    curve["x"], curve["low"], curve["high"], color=COLORS[index % len(COLORS)], alpha=0.15, linewidth=0
                )
            axes.plot(
                [math.nan if value is None else value for value in curve["x"]],
                [math.nan if value is None else value for value in curve["y"]],
                color=COLORS[index % len(COLORS)],
                linestyle=LINE_STYLES[index // len(COLORS) % len(LINE_STYLES)],
                linewidth=1.8,
                label=label_text(name, 32),
            )
        if shares:
            from matplotlib.ticker import PercentFormatter

            axes.set_xlim(-0.01, 1.02)
            axes.set_ylim(-0.01, 1.03)
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        style(axes, label_text(title, 60), label_text(x_label, 60), label_text(y_label, 60))
        if len(members) > 1:
            add_legend(axes, outside=True, columns=1 if len(members) <= 16 else 2)
    return to_png(figure)


def _common_title(names: Sequence[str]) -> tuple[str, list[str]]:
    """Return a diagram's title and its curves' names, less what all share before a colon ("Precision and recall: Palm")."""
    if len(names) == 1:
        return names[0], list(names)
    title = names[0].split(": ", 1)[0]
    if all(name.startswith(f"{title}: ") for name in names):
        return title, [name[len(title) + 2 :] for name in names]
    return "", list(names)


def _within_one(values: Sequence[float | None]) -> bool:
    return all(value is None or not math.isfinite(value) or 0 <= value <= 1 for value in values)
