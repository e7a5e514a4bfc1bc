from __future__ import annotations

from chipwright.chips.formats.colors import PALETTE, color_at, free_color


def test_the_first_classes_get_the_palette() -> None:
    assert [color_at(position) for position in range(len(PALETTE))] == list(PALETTE)


def test_a_colour_that_another_class_has_is_passed_over() -> None:
    assert free_color(0, PALETTE[:3]) == PALETTE[3]


def test_where_all_colours_are_taken_a_class_still_gets_one() -> None:
    taken = {color_at(position) for position in range(5000)}
    assert free_color(4999, taken) == color_at(4999)
