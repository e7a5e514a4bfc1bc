"""Grids of cells: places, resampling, anchors and decoding, against hand-computed cases."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from chipwright.networks.grids import Axis, cell_anchors, decoded, resampled

CPU = torch.device("cpu")


def over(length: float, spacing: float) -> Axis:
    return Axis.over(length, spacing, CPU)


@pytest.mark.parametrize("grid", range(1, 129))
def test_a_chip_has_as_many_cells_as_its_grid_says(grid: int) -> None:
    """448 / 12 px is no float32 number: cells must not be counted by what rounding leaves over."""
    assert [len(over(side, side / grid).centers) for side in (448, 256, 100, 333)] == [grid] * 4


def test_cells_cover_an_image_of_another_size() -> None:
    axis = over(250, 100)

    assert axis.centers.tolist() == [50, 150, 250]


def test_an_image_smaller_than_a_cell_has_one() -> None:
    assert over(10, 100).centers.tolist() == [50]


def test_halved_cells_lie_within_the_whole_ones() -> None:
    halved = over(64, 32).halved()

    assert halved.centers.tolist() == [8, 24, 40, 56]
    assert halved.spacing == 16


def test_a_map_stays_what_it_is_at_its_own_places() -> None:
    x = torch.randn(2, 3, 4, 5)
    place = Axis.of_map(4, 16, CPU), Axis.of_map(5, 16, CPU)

    torch.testing.assert_close(resampled(x, place, place), x)


@pytest.mark.parametrize("grid", [3, 7, 10, 14, 20, 28, 33])
def test_a_chips_map_is_resampled_as_an_image_is(grid: int) -> None:
    """PyTorch's own, which knows whole images alone."""
    x = torch.randn(1, 2, 14, 14)
    place, wanted = (Axis.of_map(14, 32, CPU),) * 2, (over(448, 448 / grid),) * 2

    expected = F.interpolate(x, size=(grid, grid), mode="bilinear", antialias=True)

    torch.testing.assert_close(resampled(x, place, wanted), expected, rtol=1e-4, atol=1e-4)


def test_cells_beyond_a_map_take_its_edge() -> None:
    x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    row = Axis.of_map(1, 8, CPU)

    beyond = resampled(x, (row, Axis.of_map(3, 8, CPU)), (row, Axis(torch.tensor([-20.0, 50.0]), 8.0)))

    assert beyond.flatten().tolist() == [1, 3]


def test_anchors_lie_in_the_middle_of_their_cells_row_by_row() -> None:
    anchors = cell_anchors(over(20, 10), over(60, 30), [(30, 10), (15, 20)])

    assert anchors.tolist() == [
        [15, 5, 30, 10],
        [15, 5, 15, 20],
        [45, 5, 30, 10],
        [45, 5, 15, 20],
        [15, 15, 30, 10],
        [15, 15, 15, 20],
        [45, 15, 30, 10],
        [45, 15, 15, 20],
    ]


def test_no_offset_gives_the_anchor() -> None:
    anchors = torch.tensor([[15.0, 5, 30, 10], [45, 15, 15, 20]])

    assert decoded(torch.zeros(2, 4), anchors, (30, 10)).tolist() == [[0, 0, 30, 10], [37.5, 5, 52.5, 25]]


def test_offsets_move_by_shares_of_the_cell_and_stretch_by_shares_of_the_anchor() -> None:
    """tanh(offset) / 2 is 0.25 and -0.25 here."""
    offset = torch.atanh(torch.tensor([0.5, -0.5, 0.5, -0.5]))

    box = decoded(offset[None], torch.tensor([[50.0, 50, 40, 20]]), (100, 60))[0]

    center, sides = (50 + 25, 50 - 15), (40 * 1.25, 20 * 0.75)
    expected = [center[0] - sides[0] / 2, center[1] - sides[1] / 2, center[0] + sides[0] / 2, center[1] + sides[1] / 2]
    torch.testing.assert_close(box, torch.tensor(expected))


def test_no_box_leaves_its_reach() -> None:
    anchors = torch.tensor([[50.0, 50, 40, 40]])

    largest, smallest = (decoded(torch.full((1, 4), sign * 1e4), anchors, (40, 40))[0] for sign in (1, -1))

    assert largest.tolist() == [40, 40, 100, 100]
    assert smallest.tolist() == [20, 20, 40, 40]


def test_boxes_are_float32_in_reduced_precision() -> None:
    anchors = torch.tensor([[301.0, 50, 40, 40]])

    assert decoded(torch.zeros(1, 4, dtype=torch.bfloat16), anchors, (40, 40)).tolist() == [[281, 30, 321, 70]]
