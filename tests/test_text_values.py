from __future__ import annotations

import pytest

from chipwright.errors import OptionError
from chipwright.text_values import is_empty, literal, readings, split_outside, unquoted


@pytest.mark.parametrize("value", [None, "", "  ", "#", " # ", "''", '""'])
def test_values_that_say_nothing_are_empty(value: object) -> None:
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, False, "0", "None", [], {}])
def test_values_that_say_something_are_not_empty(value: object) -> None:
    assert not is_empty(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("'a b'", "a b"), ('"a"', "a"), (" a ", "a"), ("'a", "'a"), (r"'C:\new\x'", r"C:\new\x"), ("'a' and 'b'", "'a' and 'b'")],
)
def test_one_pair_of_quotes_is_taken_off(text: str, expected: str) -> None:
    assert unquoted(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b", ["a", "b"]),
        ("a; ;b;", ["a", "b"]),
        (r"'C:\a;b';D:\c", [r"'C:\a;b'", r"D:\c"]),
        ("x [1;2];y {'k': ';'}", ["x [1;2]", "y {'k': ';'}"]),
        (r"C:\Bob's chips;D:\c", [r"C:\Bob's chips", r"D:\c"]),
    ],
)
def test_text_is_split_outside_quotes_and_brackets(text: str, expected: list[str]) -> None:
    assert split_outside(text) == expected


@pytest.mark.parametrize(("text", "missing"), [("a [1,2", "]"), ("a 'b", "'"), ("a {1: (2}", ")")])
def test_what_is_never_closed_is_told(text: str, missing: str) -> None:
    with pytest.raises(OptionError) as caught:
        split_outside(text)
    assert f"a closing {missing} is missing" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("-1e-3", -0.001),
        ("[1, 2]", [1, 2]),
        ("0.5, 1, 2", [0.5, 1, 2]),
        ("[1,1],[1,2]", [[1, 1], [1, 2]]),
        ("{'a': 1, 'b': true}", {"a": 1, "b": True}),
        ('{"a": null}', {"a": None}),
        ("{embed_size: 5}", {"embed_size": 5}),
        ("[mean, std]", ["mean", "std"]),
        ("linknet", "linknet"),
        (r"C:\new folder\x.py", r"C:\new folder\x.py"),
        (r"['C:\new']", [r"C:\new"]),
        ("deep(", "deep("),
    ],
)
def test_text_is_read_as_data(text: str, expected: object) -> None:
    found = literal(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "text", ["__import__('os').getcwd()", "open('x')", "1 + 1", "[x for x in y]", "a.b", "lambda: 1", "(" * 500]
)
def test_nothing_is_ever_run(text: str) -> None:
    assert literal(text) == text


@pytest.mark.parametrize(
    ("value", "first"),
    [("1.0 0.8", [1.0, 0.8]), ("'4 2'", [4, 2]), ("[1 2] [3 4]", [[1, 2], [3, 4]]), ("4", 4), ((1, 2), [1, 2]), ("a b", "a b")],
)
def test_the_likeliest_reading_comes_first(value: object, first: object) -> None:
    assert readings(value)[0] == first


def test_a_number_is_also_text_and_a_list_of_one() -> None:
    assert readings("4") == [4, "4", [4]]
