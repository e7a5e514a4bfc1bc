"""Labels in Pascal VOC's XML: objects with a name and a box, shared by three formats.

Label files may come from anywhere, so they are read with limits: no entities, no external parts, bounded size and nesting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.label_files import MOST_OBJECTS, TooManyError, content_of, read_labels
from chipwright.chips.formats.survey import Surveyed
from chipwright.errors import DataError, listed

DEEPEST = 64
"""Levels of nesting; the format has four."""

CORNERS = ("xmin", "ymin", "xmax", "ymax")

LABEL_SUFFIXES = (".xml",)


@dataclass(slots=True)
class Marked:
    """One object of a label file: its text, and its corners by name as far as they are numbers."""

    name: str = ""
    corners: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Annotation:
    """A label file: its objects, and the (width, height) it claims for the image, if any."""

    objects: list[Marked] = field(default_factory=list)
    size: dict[str, float] = field(default_factory=dict)


class _Collector:
    """Parser target that keeps what matters and builds no tree."""

    def __init__(self) -> None:
        self.annotation = Annotation()
        self.path: list[str] = []
        self.texts: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.path.append(tag)
        if len(self.path) > DEEPEST:
            raise _TooDeepError
        if self.path[1:] == ["object"]:
            if len(self.annotation.objects) >= MOST_OBJECTS:
                raise TooManyError
            self.annotation.objects.append(Marked())
        self.texts.clear()

    def data(self, text: str) -> None:
        self.texts.append(text)

    def end(self, tag: str) -> None:
        # only direct children count: parts of an object ("head") have names and boxes of their own
        match self.path[1:]:
            case ["object", "name"]:
                self.annotation.objects[-1].name = "".join(self.texts).strip()
            case ["object", "bndbox", corner] if corner in CORNERS:
                self.annotation.objects[-1].corners[corner] = _number("".join(self.texts))
            case ["size", side] if side in ("width", "height"):
                self.annotation.size[side] = _number("".join(self.texts))
        self.path.pop()
        self.texts.clear()

    def close(self) -> Annotation:
        return self.annotation


class _TooDeepError(Exception):
    pass


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def read_annotation(path: Path) -> Annotation:
    """Return the objects of one label file.

    Raises:
        DataError: if the file is hostile: entities, external parts, too long, or nested beyond `DEEPEST`.
        TooManyError: if it has more than `MOST_OBJECTS`.
        ParseError, OSError: if it is no XML or cannot be read.
    """
    content = content_of(path)
    try:
        try:
            return _parsed(content)
        except ParseError:
            # accented names without a declared encoding: Latin-1, as older exporters wrote it
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return _parsed(content.decode("latin-1"))
            raise
    except DefusedXmlException as error:
        raise DataError(
            f"{path} defines XML entities or external parts, which no export does and which can be an attack; it is not read. "
            "Remove the file, or have it checked by whoever made it."
        ) from error
    except _TooDeepError as error:
        raise DataError(
            f"{path} nests XML elements more than {DEEPEST} deep, which no label file does; it is not read."
        ) from error


def _parsed(content: bytes | str) -> Annotation:
    parser = DefusedXMLParser(target=_Collector(), forbid_dtd=False, forbid_entities=True, forbid_external=True)
    parser.feed(content)
    found: Annotation = parser.close()
    return found


def read_annotations(export: Export, chips: Sequence[Surveyed]) -> list[tuple[Surveyed, Annotation]]:
    """Return each chip with its label file read, in order; labels that are no XML are counted in the account with their chip.

    Raises:
        DataError: if a label file is hostile, or more than a fifth of them cannot be read.
    """
    found = read_labels(export, chips, read_annotation, "readable XML")
    resized: list[str] = []
    for chip, annotation in found:
        claimed = (annotation.size.get("width"), annotation.size.get("height"))
        if None not in claimed and claimed != chip.images[0].size and claimed != (0, 0):
            resized.append(chip.sample.name)
    if resized:
        export.account.warnings.append(
            f"Found {counted(len(resized), 'label file')} stating another image size than the chip has ({listed(resized)}); "
            "if the images were resized after labelling, their boxes are wrong."
        )
    return found
