from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwright.package.plain import decode, deeper_than, encode, finite

texts = st.text(max_size=8)
numbers = st.integers() | st.floats(allow_nan=False) | st.none() | st.booleans()
plain = st.recursive(numbers | texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


@settings(max_examples=50, deadline=None)
@given(plain)
def test_encoded_data_survives_json(value: object) -> None:
    text = json.dumps(encode(value), allow_nan=False)

    assert decode(json.loads(text)) == value


def test_nan_survives_json() -> None:
    text = json.dumps(encode({"nodata": float("nan")}), allow_nan=False)

    assert math.isnan(decode(json.loads(text))["nodata"])


def test_numpy_values_become_plain_ones() -> None:
    assert encode({"a": np.float32(0.5), "b": np.arange(3), "c": (1, 2)}) == {"a": 0.5, "b": [0, 1, 2], "c": [1, 2]}


def test_finite_turns_what_json_has_not_into_null() -> None:
    assert finite({"a": [float("inf"), 1.0], "b": float("nan")}) == {"a": [None, 1.0], "b": None}


@pytest.mark.parametrize(("depth", "deep"), [(1, False), (64, False), (65, True), (100_000, True)])
def test_depth_of_any_nesting_can_be_told(depth: int, deep: bool) -> None:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]

    assert deeper_than(value, 64) is deep
