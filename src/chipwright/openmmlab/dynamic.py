"""Dynamic R-CNN's head, whose thresholds follow the training: what it has gathered travels with the network's weights.

MMDetection keeps it beside them, so that a run that is resumed would begin again with the first thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

_GATHERED = "gathered"


def keep_gathered(model: nn.Module) -> None:
    """Give every such head of a network a buffer for its thresholds and last steps, which saving fills and loading reads."""
    head: Any
    for head in model.modules():
        if hasattr(head, "iou_history") and hasattr(head, "beta_history"):
            steps = int(head.train_cfg.dynamic_rcnn.update_iter_interval)
            head.register_buffer(_GATHERED, torch.zeros(2, 2 + steps, dtype=torch.float64))
            _write(head)
            head.register_state_dict_pre_hook(lambda part, prefix, keep: _write(part))
            head.register_load_state_dict_post_hook(lambda part, keys: _read(part))


def _write(head: Any) -> None:
    """Fill the buffer: for overlaps and for errors the threshold in force, how many were gathered since, and these."""
    rows: Sequence[tuple[float, list[float]]] = (
        (head.bbox_assigner.pos_iou_thr, head.iou_history), (head.bbox_head.loss_bbox.beta, head.beta_history),
    )  # fmt: skip
    buffer = head.get_buffer(_GATHERED)
    for row, (threshold, history) in zip(buffer.zero_(), rows, strict=True):
        row[0], row[1] = float(threshold), len(history)
        row[2 : 2 + len(history)] = torch.tensor(history, dtype=row.dtype)


def _read(head: Any) -> None:
    (threshold, *overlaps), (beta, *errors) = (
        [row[0], *row[2 : 2 + int(row[1])]] for row in head.get_buffer(_GATHERED).tolist()
    )
    assigner = head.bbox_assigner
    assigner.pos_iou_thr = assigner.neg_iou_thr = assigner.min_pos_iou = threshold
    head.bbox_head.loss_bbox.beta = beta
    head.iou_history, head.beta_history = overlaps, errors
