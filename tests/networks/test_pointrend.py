"""PointRend's points: where they lie, what is read there, and how a mask grows from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detector_builders import Convolutions
from torch import Tensor, nn

from chipwright.networks import pointrend
from chipwright.networks.maskrcnn import MaskRCNN
from chipwright.networks.pointrend import (
    ASKED_POINTS,
    TRAINED_POINTS,
    CoarseHead,
    PointHead,
    box_grid,
    fine_features,
    grid,
    in_pixels,
    mask_certainty,
    point_losses,
    sampled,
    subdivided,
    training_points,
)

BOXES = torch.tensor([[8.0, 16, 40, 32], [0, 0, 64, 64]])


def coordinates(stride: int, side: int = 64) -> Tensor:
    """Return a level whose two channels hold x and y of the cells' middles, pixel i lying at i."""
    middles = (torch.arange(side // stride) + 0.5) * stride - 0.5
    return torch.stack([middles.expand(len(middles), -1), middles[:, None].expand(-1, len(middles))])[None]


def test_values_between_the_middles_of_cells_are_interpolated() -> None:
    maps = torch.tensor([[[[1.0, 2], [3, 4]]]])
    points = torch.tensor([[[0.25, 0.25], [0.5, 0.25], [0.75, 0.5], [0.5, 0.5], [0, 0], [1, 1]]])

    torch.testing.assert_close(sampled(maps, points), torch.tensor([[[1, 1.5, 3, 2.5, 1, 4]]]))


def test_points_of_a_box_in_pixels() -> None:
    points = torch.tensor([[[0.5, 0.25]], [[1.0, 0.0]]])

    assert in_pixels(BOXES, points).tolist() == [[[24, 20]], [[64, 0]]]


def test_a_grid_goes_row_by_row() -> None:
    assert grid(2, torch.device("cpu")).tolist() == [[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]]


@pytest.mark.parametrize("stride", [4, 8])
def test_a_level_is_read_where_the_points_lie(stride: int) -> None:
    level = coordinates(stride).expand(2, -1, -1, -1)
    points = torch.rand(3, 50, 2) * 0.5 + 0.25

    found = fine_features(level, stride, [BOXES, BOXES[:1]], points)

    torch.testing.assert_close(found.transpose(1, 2), in_pixels(BOXES[[0, 1, 0]], points))


def test_each_image_is_read_for_its_own_boxes() -> None:
    level = torch.arange(3.0)[:, None, None, None].expand(-1, 1, 16, 16)

    found = box_grid(level, 4, [BOXES, BOXES[:0], BOXES[:1]], side=2)

    assert found[:, 0, 0, 0].tolist() == [0, 0, 2]
    assert found.shape == (3, 1, 2, 2)


def test_most_points_learnt_from_lie_where_the_guess_is_in_doubt() -> None:
    guess = torch.linspace(-9, 9, 7).expand(2, 7, 7)  # decided at the left and right, in doubt in the middle

    torch.manual_seed(0)
    points = training_points(guess[:, None], mask_certainty)

    away = (points[..., 0] - 0.5).abs()
    doubtful = int(0.75 * TRAINED_POINTS)
    assert points.shape == (2, TRAINED_POINTS, 2)
    # a quarter of the candidates are taken: those of the middle quarter of the box
    assert away[:, :doubtful].max() < 0.17
    assert away[:, doubtful:].max() > 0.4


class Answers(nn.Module):
    """A point head that knows a disc: logits fall with the distance from its middle. Its `fine` input are coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        self.asked.append(fine.shape[2])
        return (20 - (fine - 31.5).square().sum(1, keepdim=True).sqrt()).expand(-1, 2, -1)


def test_a_mask_grows_to_the_outline_that_the_points_know() -> None:
    head, box = Answers(), torch.tensor([[8.0, 8, 56, 56]])

    logits = subdivided(head, coordinates(4), 4, torch.zeros(1, 2, 7, 7), box, torch.tensor([1]))  # type: ignore[arg-type]

    middles = in_pixels(box, grid(224, torch.device("cpu")))[0].view(224, 224, 2)
    disc = (middles - 31.5).square().sum(2).sqrt() < 20
    assert logits.shape == (1, 224, 224)
    assert head.asked == [ASKED_POINTS] * 4
    assert ((logits[0] > 0) != disc).float().mean() < 0.002


def test_steps_that_leave_no_trace_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head = PointHead(2, 3)
    arguments = head, coordinates(4), 4, torch.randn(2, 3, 7, 7), BOXES, torch.tensor([1, 2])
    with torch.no_grad():
        short = subdivided(*arguments)
        monkeypatch.setattr(pointrend, "STEPS", 2)
        first = subdivided(*arguments)
        monkeypatch.setattr(pointrend, "STEPS", 1)
        unskipped = subdivided(*arguments)

    # at 28 cells a side every point is asked, so whatever stood there before is gone
    expected = head(
        fine_features(arguments[1], 4, [BOXES], grid(28, torch.device("cpu")).expand(2, -1, -1)),
        sampled(arguments[3], grid(28, torch.device("cpu")).expand(2, -1, -1)),
    )[[0, 1], [1, 2]].view(2, 28, 28)
    torch.testing.assert_close(first, expected)
    assert unskipped.shape == (2, 14, 14)
    assert short.shape == (2, 224, 224)


def test_the_loss_is_the_mean_cross_entropy_at_the_points() -> None:
    """A head that says 0 everywhere costs ln 2; one that is sure and right costs nothing."""

    class Says(nn.Module):
        def __init__(self, logit: float) -> None:
            super().__init__()
            self.logit = logit

        def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
            return torch.full((len(fine), 2, fine.shape[2]), self.logit)

    box, everywhere = torch.tensor([[8.0, 8, 40, 40]]), torch.ones(1, 64, 64, dtype=torch.bool)
    rest = coordinates(4), 4, torch.zeros(1, 2, 7, 7), [box], torch.tensor([1]), [everywhere], [torch.tensor([0])]

    losses = [point_losses(Says(logit), *rest)["loss_mask_points"].item() for logit in (0.0, 30.0)]  # type: ignore[arg-type]

    assert losses == pytest.approx([0.6931, 0], abs=1e-4)


def test_heads_have_the_papers_shapes() -> None:
    coarse, points = CoarseHead(256, 81), PointHead(256, 81)

    assert coarse(torch.zeros(2, 256, 14, 14)).shape == (2, 81, 7, 7)
    assert [tuple(layer.weight.shape[:2]) for layer in points.layers] == [(256, 337)] * 3
    assert tuple(points.scores.weight.shape[:2]) == (81, 337)


@pytest.mark.filterwarnings("ignore")
def test_exported_to_onnx_it_draws_the_same_masks(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from chipwright.package.onnx import export_onnx
    from chipwright.spec import Normalization

    torch.manual_seed(0)
    limits = {"box_detections_per_img": 4, "rpn_post_nms_top_n_test": 20, "box_score_thresh": 0.34}
    network = MaskRCNN(Convolutions(), 3, pointrend=True, pyramid_channels=16, representation=32, **limits)
    scaling = Normalization(mean=(120.0,) * 3, std=(60.0,) * 3)

    assert export_onnx(network, scaling, 3, (64, 64), tmp_path / "network.onnx").is_file()  # it compares the two
