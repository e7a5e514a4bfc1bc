from __future__ import annotations

import math
from pathlib import Path
from xml.etree.ElementTree import ParseError

import pytest

from chipwright.chips.formats import label_files
from chipwright.chips.formats.voc_xml import read_annotation
from chipwright.errors import DataError


def label(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "0.xml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


BOX = "<bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>30</xmax><ymax>nan</ymax></bndbox>"


def test_names_boxes_and_size_are_read(tmp_path: Path) -> None:
    path = label(
        tmp_path,
        '<?xml version="1.0"?><annotation><size><width>64</width><height>48</height><depth>3</depth></size>'
        f"<object><name> 1 </name>{BOX}</object><object><name>Palm</name></object></annotation>",
    )
    found = read_annotation(path)
    assert found.size == {"width": 64, "height": 48}
    assert [marked.name for marked in found.objects] == ["1", "Palm"]
    corners = found.objects[0].corners
    assert (corners["xmin"], corners["ymin"], corners["xmax"]) == (1.5, 2, 30)
    assert math.isnan(corners["ymax"])
    assert found.objects[1].corners == {}


def test_parts_of_an_object_are_not_taken_for_the_object(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    found = read_annotation(label(tmp_path, f"<annotation><object><name>man</name>{BOX}{part}</object></annotation>"))
    assert [(marked.name, marked.corners["xmin"]) for marked in found.objects] == [("man", 1.5)]


@pytest.mark.parametrize(
    "declaration", [b"", b'<?xml version="1.0" encoding="UTF-8"?>', b'<?xml version="1.0" encoding="latin-1"?>']
)
def test_latin_1_names_are_read_whatever_is_declared(tmp_path: Path, declaration: bytes) -> None:
    content = declaration + "<annotation><object><name>Forêt</name></object></annotation>".encode("latin-1")
    assert read_annotation(label(tmp_path, content)).objects[0].name == "Forêt"


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]>',
    ],
)
def test_entities_and_external_parts_are_refused(tmp_path: Path, prolog: str) -> None:
    path = label(tmp_path, f"{prolog}<annotation><object><name>1</name></object></annotation>")
    with pytest.raises(DataError, match=r"0\.xml defines XML entities or external parts"):
        read_annotation(path)


def test_a_doctype_alone_is_harmless_and_its_address_is_not_asked(tmp_path: Path) -> None:
    doctype = '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:1/voc.dtd">'
    found = read_annotation(label(tmp_path, f"{doctype}<annotation><object><name>1</name></object></annotation>"))
    assert [marked.name for marked in found.objects] == ["1"]


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 64 deep"):
        read_annotation(label(tmp_path, "<a>" * 200_000 + "</a>" * 200_000))


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_files, "LARGEST", 100)
    with pytest.raises(DataError, match="at most"):
        read_annotation(label(tmp_path, "<a>" + " " * 200 + "</a>"))


@pytest.mark.parametrize("content", ["", "no xml", "<annotation><object>", "\x00\x01"])
def test_what_is_no_xml_is_a_parse_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(ParseError):
        read_annotation(label(tmp_path, content))
