from __future__ import annotations

import pytest

from chipwright.errors import DataError, listed, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Forêt 森 a\u00a0b", "Forêt 森 a\u00a0b"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202efdp", "a\\u202efdp"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_a_sentence_is_one_line_of_text_whatever_files_are_called(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert str(DataError(text)) == shown
    assert listed([text, "b"]) == f"{shown} and b"


def test_the_middle_of_an_endless_sentence_is_left_out() -> None:
    sentence = str(DataError(f"It holds {'x' * 100_000}; remove it."))
    assert sentence.startswith("It holds xxx")
    assert sentence.endswith("xxx; remove it.")
    assert len(sentence) < 2100
