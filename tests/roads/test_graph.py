"""Graphs of road masks: junctions, ends, rings, spurs; and their lines on a map."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from chipwright.roads.graph import RoadGraph, measured_graph, pruned, road_graph, trace
from chipwright.roads.lines import road_lines, simplified


def drawn(*rows: str) -> NDArray[np.bool_]:
    return np.array([[character == "#" for character in row] for row in rows])


def degrees(graph: RoadGraph) -> list[int]:
    ends = Counter(node for edge in graph.edges for node in (edge.start, edge.end))
    return sorted(ends.values())


def street(height: int = 120, width: int = 120) -> NDArray[np.bool_]:
    return np.zeros((height, width), bool)


def test_a_straight_line_is_one_edge_from_end_to_end():
    graph = trace(drawn("......", ".####.", "......"))
    (edge,) = graph.edges
    assert edge.length == 3
    np.testing.assert_array_equal(graph.nodes[[edge.start, edge.end]], [[1, 1], [4, 1]])
    np.testing.assert_array_equal(edge.points[[0, -1]], [[1, 1], [4, 1]])


def test_a_cross_has_one_junction_and_four_ends():
    line = np.zeros((11, 11), bool)
    line[5], line[:, 5] = True, True
    graph = trace(line)
    assert degrees(graph) == [1, 1, 1, 1, 4]
    assert sum(edge.length for edge in graph.edges) == pytest.approx(20)
    (junction,) = [node for node, count in Counter(n for e in graph.edges for n in (e.start, e.end)).items() if count == 4]
    np.testing.assert_allclose(graph.nodes[junction], [5, 5])


def test_a_ring_is_a_loop_at_one_of_its_points():
    ring = drawn("......", "..##..", ".#..#.", ".#..#.", "..##..", "......")
    (edge,) = trace(ring).edges
    assert edge.start == edge.end
    assert edge.length == pytest.approx(4 * 1 + 4 * np.sqrt(2))
    np.testing.assert_array_equal(edge.points[0], edge.points[-1])


def test_a_corner_that_is_no_junction_does_not_cut_the_road():
    # the pixel at the inner corner has three neighbours
    bent = drawn("#.......", "#.......", "#.......", "#.......", "##......", ".######.", "........")
    (edge,) = trace(bent).edges
    assert degrees(trace(bent)) == [1, 1]
    np.testing.assert_array_equal(sorted(map(tuple, edge.points[[0, -1]].tolist())), [(0, 0), (6, 5)])


def test_every_pixel_of_random_lines_lies_on_some_edge():
    rng = np.random.default_rng(0)
    from scipy import ndimage

    for _ in range(5):
        blobs = ndimage.gaussian_filter(rng.normal(size=(80, 80)), 2) > 0
        graph = road_graph(blobs, spur=0)
        for edge in graph.edges:
            assert np.linalg.norm(np.diff(edge.points, axis=0), axis=1).max() < 6  # pixels follow each other, to the junction
            np.testing.assert_allclose(edge.points[0], graph.nodes[edge.start])
            np.testing.assert_allclose(edge.points[-1], graph.nodes[edge.end])


def test_spurs_are_pruned_and_their_junctions_with_them():
    mask = street()
    mask[58:63], mask[50:58, 60] = True, True  # a hair of 8 pixels on a street
    assert degrees(road_graph(mask, spur=0)) != [1, 1]
    assert degrees(road_graph(mask, spur=15)) == [1, 1]


def test_side_streets_stay():
    mask = street()
    mask[58:63], mask[:58, 58:63] = True, True
    assert degrees(road_graph(mask)) == [1, 1, 1, 3]


def test_roads_that_hang_together_with_nothing_are_left_out_below_a_length():
    mask = street()
    mask[58:61], mask[20:23, 20:28] = True, True
    assert len(road_graph(mask).edges) == 2
    assert len(road_graph(mask, piece=10).edges) == 1


def test_small_holes_make_no_rings():
    mask = street()
    mask[55:66] = True
    mask[60:62, 60:62] = False
    assert len(measured_graph(mask).edges) == 1
    assert len(road_graph(mask).edges) > 1


def test_a_mask_without_roads_and_one_that_is_all_road():
    assert measured_graph(street()).edges == []
    assert isinstance(measured_graph(~street()), RoadGraph)
    assert pruned(RoadGraph()).edges == []


# -- lines


def test_simplified_lines_keep_their_ends_and_stay_within_the_tolerance():
    wave = np.stack([np.arange(50.0), np.sin(np.arange(50.0) / 3)], axis=1)
    kept = simplified(wave, 2)
    np.testing.assert_array_equal(kept, wave[[0, -1]])
    assert len(simplified(wave, 0.1)) > 10


def test_a_simplified_ring_does_not_vanish():
    angle = np.linspace(0, 2 * np.pi, 60)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ring[-1] = ring[0]
    kept = simplified(ring, 100)
    assert len(kept) == 3
    np.testing.assert_array_equal(kept[0], kept[-1])


def test_lines_lie_on_the_map_at_the_centres_of_pixels():
    mask = street(40, 100)
    mask[19:22, :] = True
    transform = Affine(2, 0, 500_000, 0, -2, 5_000_000)
    (line,) = road_lines(mask, transform)
    (left, bottom, right, top) = line.bounds
    assert bottom == pytest.approx(5_000_000 - 2 * 20.5, abs=2)
    assert top - bottom <= 2
    assert (left, right) == (pytest.approx(500_001, abs=4), pytest.approx(500_199, abs=4))


def test_lines_meet_at_junctions():
    mask = street()
    mask[58:63], mask[:, 58:63] = True, True
    lines = road_lines(mask)
    assert len(lines) == 4
    ends = Counter(end for line in lines for end in (line.coords[0], line.coords[-1]))
    assert max(ends.values()) == 4
