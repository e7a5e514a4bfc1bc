from __future__ import annotations

from pathlib import Path

import numpy as np

from chipwright.chips.memory import Arrays, Key, Memory


def key(number: int) -> Key:
    return "image", Path(str(number))


def arrays(size: int) -> Arrays:
    return np.zeros(size, np.uint8), None


def test_what_came_first_stays_and_what_has_no_room_is_not_taken() -> None:
    memory = Memory(100)
    first = arrays(60)
    assert memory.add(key(0), first)
    assert not memory.add(key(1), arrays(60))
    assert memory.get(key(0)) is first
    assert memory.get(key(1)) is None and key(1) not in memory


def test_an_array_held_already_takes_no_room_twice() -> None:
    memory = Memory(100)
    assert memory.add(key(0), arrays(60)) and memory.add(key(0), arrays(60))
    assert memory.add(key(1), arrays(40))
    assert memory.full


def test_what_is_taken_makes_room() -> None:
    memory = Memory(100)
    memory.add(key(0), arrays(100))
    assert memory.take(key(0)) is not None
    assert memory.take(key(0)) is None
    assert memory.add(key(1), arrays(100))
