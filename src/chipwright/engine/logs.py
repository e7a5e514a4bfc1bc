"""What a run writes down for the user: `training_log.csv`, a row an epoch, and TensorBoard events where it is installed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from chipwright.files import write_text


def write_log(folder: Path, history: list[dict[str, float]]) -> None:
    """Write `training_log.csv` with every epoch so far; written whole, so that a resumed run leaves no double rows."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(folder / "training_log.csv", text.getvalue())


class Events:
    """TensorBoard scalars under `events/`; does nothing where the extra "tensorboard" is not installed."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.writer = None
        else:
            self.writer = SummaryWriter(str(folder / "events"), purge_step=first_epoch + 1)

    def write(self, row: dict[str, float]) -> None:
        """Add one epoch's row."""
        if self.writer:
            for name, value in row.items():
                self.writer.add_scalar(name, value, int(row["epoch"]))
            self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self.writer:
            self.writer.close()
