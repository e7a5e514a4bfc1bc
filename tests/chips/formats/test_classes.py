from __future__ import annotations

from pathlib import Path

from chipwright.chips.formats.classes import DraftClass, Lookup, declared, finished, named
from chipwright.chips.formats.colors import PALETTE, color_at
from chipwright.chips.formats.esri import Export


def export(emd: dict[str, object], totals: dict[str, object]) -> Export:
    return Export(Path("x"), Path("x"), {}, emd, totals)


def test_both_spellings_are_read_and_the_emd_wins() -> None:
    found = declared(
        export(
            {
                "Classes": [
                    {"Value": 3, "Name": "Road", "Color": [1, 2, 3]},
                    {"Value": 1, "Name": "Water", "Color": [-1, -1, -1]},
                ]
            },
            {"Classes": [{"ClassValue": 1, "ClassName": "Lake"}, {"ClassValue": "2", "ClassName": "Land"}]},
        )
    )
    assert found == (DraftClass(1, "Water"), DraftClass(2, "Land"), DraftClass(3, "Road", (1, 2, 3)))


def test_a_class_without_a_usable_value_is_left_out_and_said() -> None:
    source = export({"Classes": [{"Name": "Road"}, {"Value": 1}, "x"]}, {})
    assert declared(source) == (DraftClass(1, "1"),)
    assert len(source.account.warnings) == 2


def test_labels_may_say_the_value_or_the_name() -> None:
    lookup = Lookup([DraftClass(1, "Palm"), DraftClass(7, "Road"), DraftClass(9, "7")])
    assert [lookup(text) for text in ("1", " 1.0 ", "palm", "Road", "7", "2", "weed", "")] == [1, 1, 1, 7, 7, None, None, None]


def test_names_without_metadata_count_from_one_in_sorted_order_and_numbers_stay_values() -> None:
    assert named(["dog", "cat", "dog", " "]) == (DraftClass(1, "cat"), DraftClass(2, "dog"))
    assert named(["10", "2"]) == (DraftClass(2, "2"), DraftClass(10, "10"))


def test_missing_colours_come_by_position_and_never_twice() -> None:
    drafts = {5: DraftClass(5, "e"), 1: DraftClass(1, "a", PALETTE[2]), 2: DraftClass(2, "b"), 3: DraftClass(3, "c")}
    classes = finished(drafts)
    assert [info.value for info in classes] == [1, 2, 3, 5]
    assert [info.color for info in classes] == [PALETTE[2], PALETTE[1], PALETTE[3], color_at(4)]


def test_a_hundred_classes_have_colours_of_their_own() -> None:
    colors = {info.color for info in finished({value: DraftClass(value, str(value)) for value in range(1, 101)})}
    assert len(colors) == 100
