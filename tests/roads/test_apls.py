"""Average path length similarity against hand-computed graphs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chipwright.roads.apls import MOST_POINTS, apls, control_points, located, path_lengths, similarity
from chipwright.roads.graph import Edge, RoadGraph


def graph(nodes: list[tuple[float, float]], *pairs: tuple[int, int]) -> RoadGraph:
    places = np.array(nodes, float)
    return RoadGraph(places, [Edge(one, other, places[[one, other]]) for one, other in pairs])


LINE = graph([(0, 0), (100, 0)], (0, 1))


def test_the_same_graph_is_wholly_similar():
    assert apls(LINE, LINE) == 1
    square = graph([(0, 0), (100, 0), (100, 100), (0, 100)], (0, 1), (1, 2), (2, 3), (3, 0))
    assert apls(square, square) == pytest.approx(1)


def test_points_are_every_fifty_pixels_and_nodes_count_once():
    _, along = control_points(LINE)
    assert sorted(along.tolist()) == [0, 50, 100]
    cross = graph([(0, 0), (60, 0), (120, 0), (60, 60)], (0, 1), (1, 2), (1, 3))
    assert len(control_points(cross)[0]) == 4
    assert len(control_points(graph([(0, 0), (50_000, 0)], (0, 1)))[0]) == MOST_POINTS


def test_ways_take_the_shorter_side_of_a_ring():
    ring = graph([(0, 0), (100, 0), (100, 50), (0, 50)], (0, 1), (1, 2), (2, 3), (3, 0))
    lengths = path_lengths(ring, (np.array([0, 2]), np.array([0.0, 100.0])))  # the corners (0, 0) and (0, 50)
    np.testing.assert_allclose(lengths, [[0, 50], [50, 0]], atol=1e-4)


def test_two_roads_between_the_same_junctions_stay_two():
    places = np.array([(0.0, 0.0), (10.0, 0.0)])
    bow = np.array([(0.0, 0.0), (5.0, 50.0), (10.0, 0.0)])
    both = RoadGraph(places, [Edge(0, 1, bow), Edge(0, 1, places)])
    lengths = path_lengths(both, (np.array([1, 1]), np.array([0.0, 10.0])))
    assert lengths[0, 1] == pytest.approx(10, abs=1e-4)


def test_a_gap_cuts_the_ways_across_it():
    broken = graph([(0, 0), (45, 0), (55, 0), (100, 0)], (0, 1), (2, 3))
    # points of the whole road at 0, 50 and 100: the middle one is not found within 4 px, and 0 and 100 no longer meet
    assert similarity(LINE, broken) == 0
    # its own points 0, 45, 55 and 100: ways 0-45 and 55-100 are the same on the whole road
    assert similarity(broken, LINE) == pytest.approx(1)
    assert apls(LINE, broken) == 0


def test_a_detour_counts_by_its_share_of_the_way():
    # 100 px straight against 50 + 20 + 50 = 120 px: the only way there is, between the ends
    straight = graph([(0, 0), (40, 0)], (0, 1))
    places = np.array([(0.0, 0.0), (0.0, 3.0), (40.0, 3.0), (40.0, 0.0)])
    detour = RoadGraph(places[[0, 3]], [Edge(0, 1, places)])
    assert similarity(straight, detour) == pytest.approx(1 - 6 / 40)
    assert similarity(detour, straight) == pytest.approx(1 - 6 / 46)


def test_both_directions_are_joined_by_their_harmonic_mean():
    # half of the road is missing: of the ways between 0, 50 and 100 one of three is found; what there is, is right
    half = graph([(0, 0), (50, 0)], (0, 1))
    assert similarity(LINE, half) == pytest.approx(1 / 3)
    assert similarity(half, LINE) == pytest.approx(1)
    assert apls(LINE, half) == pytest.approx(2 * (1 / 3) / (1 + 1 / 3))


def test_points_are_looked_up_within_four_pixels():
    edges, along = located(LINE, np.array([(30.0, 3.9), (30.0, 4.1), (104.5, 0.0), (-3.0, 0.0)]))
    assert edges.tolist() == [0, -1, -1, 0]
    assert along[[0, 3]].tolist() == [30, 0]


def test_without_roads_there_is_no_figure_and_with_roads_on_one_side_none_is_right():
    assert math.isnan(apls(RoadGraph(), RoadGraph()))
    assert apls(LINE, RoadGraph()) == apls(RoadGraph(), LINE) == 0
