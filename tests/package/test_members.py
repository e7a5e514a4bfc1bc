from __future__ import annotations

import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_package import KEYS, Saver, make_spec, make_state

from chipwright.errors import PackageError
from chipwright.package import open_package, pack, save_package
from chipwright.package.members import unsafe_part


@pytest.fixture
def archive(saved: Saver) -> Path:
    """A sound .dlpk."""
    return pack(saved(), "trees")


def refusal(path: Path) -> str:
    """Return why a package cannot be opened and read."""
    with pytest.raises(PackageError) as caught:
        open_package(path).state()
    return str(caught.value)


def add(path: Path, name: str, content: bytes = b"x", change: Callable[[zipfile.ZipInfo], None] | None = None) -> None:
    """Add an entry to an archive, `change`d before it is written."""
    info = zipfile.ZipInfo(name)
    info.filename = name  # as it stands, on every system
    if change:
        change(info)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(info, content)


# -- names


@pytest.mark.parametrize("name", ["trees.safetensors", "a/b.png", "./a", "..a", "a..b", "Wälder.emd", "a b"])
def test_names_within_the_folder_are_safe(name: str) -> None:
    assert unsafe_part(name) is None


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../a", "a/../../b", "a/..", "..", "C:\\a", "C:a", "\\\\server\\a", "a\\b", "a\0b", "a:b"]
)
def test_names_that_may_lead_out_of_the_folder_are_not(name: str) -> None:
    assert unsafe_part(name) is not None


@given(st.text(alphabet="ab./\\:\0 ", max_size=12))
def test_whatever_is_called_safe_stays_in_the_folder(name: str) -> None:
    if unsafe_part(name) is None:
        root = Path("/root/folder")
        parts: list[str] = []
        for part in (root / name).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        assert Path(*parts).is_relative_to(root)


@pytest.mark.parametrize(
    "name", ["../evil.py", "/evil.py", "C:/evil.py", "..\\evil.py", "pictures\\evil.py", "ModelCharacteristics/../../evil.py"]
)
def test_an_archive_with_an_entry_that_leaves_the_folder(archive: Path, name: str) -> None:
    add(archive, name)

    assert "unsafe and was not opened" in refusal(archive)


def test_an_archive_with_a_link(archive: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    add(archive, "passwords", b"/etc/passwd", link)

    assert "holds the link" in refusal(archive)


def test_an_archive_with_an_entry_twice_but_for_case(archive: Path) -> None:
    add(archive, "TREES.safetensors")

    assert "more than once" in refusal(archive)


# -- encryption and methods


def test_an_encrypted_archive(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1  # the flag of the central directory's first entry
    archive.write_bytes(bytes(data))

    assert "encrypted" in refusal(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_whose_output_has_no_bound(archive: Path, method: int) -> None:
    def packed(info: zipfile.ZipInfo) -> None:
        info.compress_type = method

    add(archive, "big", b"0" * 100, packed)

    assert "unusual method" in refusal(archive)


# -- size


def test_a_bomb(archive: Path) -> None:
    def deflated(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_DEFLATED

    add(archive, "ModelCharacteristics/bomb.png", bytes(40 * 2**20), deflated)

    assert "more than 200 times its size" in refusal(archive)


def test_an_archive_that_unpacks_to_too_much(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chipwright.package.members.ARCHIVE_BYTES", 1000)

    assert "would unpack to" in refusal(archive)


def test_an_archive_with_too_many_entries(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chipwright.package.members.ARCHIVE_ENTRIES", 1)

    assert "holds 2 entries" in refusal(archive)


def test_a_directory_that_lies_about_a_size(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\x01\x02")
    size = struct.unpack_from("<L", data, entry + 24)[0]
    struct.pack_into("<L", data, entry + 24, size - 7)
    archive.write_bytes(bytes(data))

    assert "damaged" in refusal(archive)


# -- broken ones


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip" * 100])
def test_a_file_that_is_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.dlpk"
    path.write_bytes(content)

    assert "not a zip archive" in refusal(path)


def test_an_archive_cut_short(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-100])

    assert "not a zip archive" in refusal(archive)


def test_an_archive_whose_weights_are_damaged(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    start = data.index(b"trees.safetensors") + 60
    data[start : start + 8] = bytes(8)
    archive.write_bytes(bytes(data))

    assert "trees.safetensors" in refusal(archive)


def test_an_archive_without_emd(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")

    assert "holds no .emd" in refusal(path)


def test_an_archive_with_two_emds(archive: Path) -> None:
    add(archive, "other/copy.emd", b"{}")

    assert "2 .emd files" in refusal(archive)


def test_an_archive_with_a_wrapper_folder(saved: Saver, tmp_path: Path) -> None:
    folder = saved()
    path = tmp_path / "wrapped.zip"
    with zipfile.ZipFile(path, "w") as file:
        for member in folder.iterdir():
            file.write(member, f"trees/{member.name}")
        file.writestr("__MACOSX/trees/._trees.emd", b"\0")

    assert open_package(path).state().keys() == make_state().keys()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_damage_is_one_clear_error(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "damage"
    if not folder.exists():
        save_package(folder, "trees", make_spec(), make_state(), KEYS, {})
        pack(folder, "trees")
    data = bytearray((folder / "trees.dlpk").read_bytes())
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data)) if chance.random() < 0.5 else len(data) - 1 - chance.randrange(200)
        data[place] = chance.randrange(256)
    (folder / "damaged.dlpk").write_bytes(bytes(data))

    try:
        state = open_package(folder / "damaged.dlpk").state()
    except PackageError:
        return
    assert state.keys() == make_state().keys()
