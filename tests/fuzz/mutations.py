"""Damage done to a folder of training data, at random from a seed: what disks, transfers, tools and attackers do to files."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

_NAMES = ("x", "x.tif", ".hidden.tif", "a b.xml", "1.TIF", "two\nlines.tif", "\x1b[31m.png")

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
    except (ValueError, RecursionError):  # an earlier change may have nested it
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


def bomb(content: bytes, rng: random.Random) -> bytes:
    """Put something in the place of the file that costs a careless reader its stack, its memory or its time."""
    return rng.choice(
        (
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"<a>" * 100_000,
            b'{"Classes": "' + b'\\"' * 100_000,
            b"{" + b'"Version": 1, ' * 50_000 + b'"Version": 2}',
            b'{"Version": ' + b"9" * 100_000 + b"}",
            (b"images/a" + b" a" * 2000 + b"\n") * 200,
            b"0 " * 500_000,
            b"0 0.5 0.5 0.1 0.1\n" * 50_000,
            b"names: [&a [x, x], "
            + b", ".join(b"&%c [*%c, *%c, *%c, *%c]" % (at, *[at - 1] * 4) for at in range(98, 122))
            + b"]",
            b'<!DOCTYPE a [<!ENTITY a "a">]><annotation><object><name>&a;</name></object></annotation>',
            b"<annotation>" + b"<object><name>a</name></object>" * 50_000 + b"</annotation>",
            b'<VRTDataset rasterXSize="32" rasterYSize="32"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>',
            b"<MRF_META><CachedSource><Source>000000000001.tif</Source></CachedSource>"
            b'<Raster><Size x="9" y="9"/></Raster></MRF_META>',
        )
    )


TEXT: list[Mutation] = [flip, cut, drop, repeat, insert, renumber, retype, blank, bomb]
BINARY: list[Mutation] = [flip, cut, drop, repeat, blank, wide, bomb]


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
        if kind < 0.04:
            path.unlink()
            done.append(f"remove {name}")
        elif kind < 0.06:
            done.append(f"{_replace(path, folder, rng)} {name}")
        elif kind < 0.1:
            latin = os.fsdecode(b"caf\xe9" + path.suffix.encode())
            path.rename(path.with_name(rng.choice((*_NAMES, path.name.upper(), latin))))
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


def _replace(path: Path, folder: Path, rng: random.Random) -> str:
    """Put something that is no file where one was."""
    path.unlink()
    kind = rng.choice(("folder", "loop", "upward", "dangling", "pipe"))
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    else:
        path.symlink_to({"loop": path, "upward": folder}.get(kind, folder / "nowhere"))
    return kind


def _digits(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where numbers stand."""
    at = None
    for index, byte in enumerate(content[:100_000]):
        if 48 <= byte <= 57:
            at = index if at is None else at
        elif at is not None:
            yield at, index
            at = None
