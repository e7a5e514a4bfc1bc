"""The accuracy of detected objects as one page of PDF: the table, and precision over recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from chipwright.accuracy.objects import Comparison

_PAGE = (8.27, 11.69)
"""Inches of a page of A4."""


def write_pdf(out: Path, found: Comparison, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the page.

    Args:
        out: the file.
        found: what was compared.
        rows: of the table, the columns' names as keys.
    """
    figure = Figure(figsize=_PAGE, layout="constrained")
    FigureCanvasPdf(figure)
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 1.4))
    title = f"{found.predicted.source.name} against {found.reference.source.name}"
    top.set_title(f"{title}\nright from IoU {found.least_iou:.2g}", fontsize=11)
    top.axis("off")
    cells = [[_cell(value) for value in row.values()] for row in rows]
    table = top.table(cells, colLabels=[name.replace("_", " ") for name in rows[0]], loc="upper center")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    for info in found.classes:
        own = found.predicted.values == info.value
        truth = int((found.reference.values == info.value).sum())
        if not truth or not own.any():
            continue
        order = np.argsort(-found.scores[own], kind="stable")
        right = np.cumsum((found.matched[own] >= 0)[order])
        bottom.plot(right / truth, right / np.arange(1, len(right) + 1), label=info.name)
    bottom.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1.02), ylim=(0, 1.02))
    if bottom.get_legend_handles_labels()[1]:
        bottom.legend(fontsize=8)
    figure.savefig(out, format="pdf", metadata={"Creator": "chipwright", "CreationDate": None})


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
