"""Damage done to a folder of training data, at random from a seed: what disks, transfers, tools and attackers do to files."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

Mutation = Callable[[bytes, random.Random], bytes]

_NUMBERS = [
    "-1",
    "0",
    "1e999",
    "-1e999",
    "NaN",
    "nan",
    "Infinity",
    "1" * 400,
    "0x10",
    "1.5",
    "-0.0",
    "2147483648",
    "9" * 19,
    "",
]
_WORDS = [
    "../../x",
    "C:\\x.tif",
    "/etc/passwd",
    "\x00",
    "é" * 50,
    "A" * 5000,
    "null",
    "{}",
    "[]",
    "true",
    "<a>",
    "&a;",
    "%s",
    "\u202e",
]


def flip(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 3, 20))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    """Lose the end."""
    return content[: rng.randrange(len(content) + 1)]


def drop(content: bytes, rng: random.Random) -> bytes:
    """Lose a piece."""
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice((1, 16, 500)) :]


def repeat(content: bytes, rng: random.Random) -> bytes:
    """Say a piece many times."""
    start = rng.randrange(len(content) + 1)
    piece = content[start : start + rng.choice((1, 8, 200))]
    return content[:start] + piece * rng.choice((2, 50, 2000)) + content[start:]


def insert(content: bytes, rng: random.Random) -> bytes:
    """Put an odd word in."""
    start = rng.randrange(len(content) + 1)
    return content[:start] + rng.choice(_WORDS + _NUMBERS).encode() + content[start:]


def renumber(content: bytes, rng: random.Random) -> bytes:
    """Put an odd number in the place of a number."""
    places = [(at, end) for at, end in _digits(content)]
    if not places:
        return insert(content, rng)
    at, end = rng.choice(places)
    return content[:at] + rng.choice(_NUMBERS).encode() + content[end:]


def retype(content: bytes, rng: random.Random) -> bytes:
    """Give a value of a JSON object another type."""
    try:
        data = json.loads(content)
    except ValueError:
        return flip(content, rng)
    node = data
    while True:
        children = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
        if not children:
            return flip(content, rng)
        key, child = rng.choice(children)
        if not isinstance(child, dict | list) or not child or rng.random() < 0.3:
            odd = [None, True, -1, 2**70, 1.5, "", "x", [], {}, [[]], {"a": {}}, float("inf"), [None] * 5, "../..", 1e308]
            node[key] = rng.choice(odd)
            return json.dumps(data).encode()
        node = child


def blank(content: bytes, rng: random.Random) -> bytes:
    """Leave nothing, zeros, or noise."""
    return rng.choice((b"", b"\x00" * len(content), rng.randbytes(min(len(content), 4096))))


def wide(content: bytes, rng: random.Random) -> bytes:
    """Claim another size in the header of a TIFF."""
    changed = bytearray(content)
    for tag in (256, 257, 258, 277):
        at = changed.find(struct.pack("<H", tag))
        if at >= 0 and rng.random() < 0.5 and at + 12 <= len(changed):
            changed[at + 8 : at + 12] = struct.pack("<I", rng.choice((0, 1, 65535, 2**31 - 1, 2**32 - 1)))
    return bytes(changed)


TEXT: list[Mutation] = [flip, cut, drop, repeat, insert, renumber, retype, blank]
BINARY: list[Mutation] = [flip, cut, drop, repeat, blank, wide]


def damage(folder: Path, rng: random.Random) -> str:
    """Change one to three files of a folder; return what was done, for a report."""
    done = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not files:
            break
        # as many metadata and label files as images, whatever the folder holds most of
        suffix = rng.choice(sorted({path.suffix for path in files}))
        path = rng.choice([path for path in files if path.suffix == suffix])
        name = path.relative_to(folder).as_posix()
        kind = rng.random()
        if kind < 0.06:
            path.unlink()
            done.append(f"remove {name}")
        elif kind < 0.1:
            path.rename(path.with_name(rng.choice(("x", "x.tif", ".hidden.tif", "a b.xml", "1.TIF", path.name.upper()))))
            done.append(f"rename {name}")
        elif kind < 0.14:
            content = rng.choice(files).read_bytes() if rng.choice(files).exists() else b""
            path.write_bytes(content)
            done.append(f"swap {name}")
        else:
            text = path.suffix.lower() in {".json", ".emd", ".txt", ".xml", ".yaml", ".csv", ""}
            mutation = rng.choice(TEXT if text else BINARY)
            path.write_bytes(mutation(path.read_bytes(), rng))
            done.append(f"{mutation.__name__} {name}")
    return ", ".join(done)


def _digits(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where numbers stand."""
    at = None
    for index, byte in enumerate(content[:100_000]):
        if 48 <= byte <= 57:
            at = index if at is None else at
        elif at is not None:
            yield at, index
            at = None
