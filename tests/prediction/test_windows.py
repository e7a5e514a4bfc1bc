import numpy as np
import pytest

from chipwright.prediction.windows import Plan


@pytest.mark.parametrize(("size", "margin"), [(16, 0), (16, 5), (48, 0), (48, 16), (64, 5), (64, 16), (200, 0), (200, 40)])
@pytest.mark.parametrize("shape", [(64, 64), (65, 130), (200, 33), (17, 300), (256, 191)])
@pytest.mark.parametrize("stride", [1, 16])
def test_kept_parts_tile_the_raster_and_are_seen_with_their_margin(
    size: int, margin: int, shape: tuple[int, int], stride: int
) -> None:
    plan = Plan.over(shape[1], shape[0], size, margin, stride)
    times = np.zeros(shape, int)
    windows = [window for row in range(len(plan.rows)) for window in plan.row(row)]
    assert len(windows) == len(plan)
    for window in windows:
        (left, top, right, bottom), kept = window.seen, window.kept
        times[kept[1] : kept[3], kept[0] : kept[2]] += 1
        assert left % plan.stride == top % plan.stride == 0
        assert 0 <= left < right <= shape[1]
        assert 0 <= top < bottom <= shape[0]
        assert kept[0] - left >= margin or left == 0
        assert kept[1] - top >= margin or top == 0
        assert right - kept[2] >= margin or right == shape[1]
        assert bottom - kept[3] >= margin or bottom == shape[0]
    assert (times == 1).all()


def test_an_area_is_covered_by_the_windows_of_the_whole() -> None:
    whole, part = Plan.over(500, 400, 96, 16, 32), Plan.over(500, 400, 96, 16, 32, (130, 90, 300, 111))
    times = np.zeros((400, 500), int)
    seen = {window.seen for row in range(len(whole.rows)) for window in whole.row(row)}
    for row in range(len(part.rows)):
        for window in part.row(row):
            assert window.seen in seen
            times[window.kept[1] : window.kept[3], window.kept[0] : window.kept[2]] += 1
    expected = np.zeros((400, 500), int)
    expected[90:111, 130:300] = 1
    np.testing.assert_array_equal(times, expected)
