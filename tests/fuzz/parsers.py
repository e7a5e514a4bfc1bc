"""Feed bytes to every parser of training data and of packages, guided by the code they reach: only the errors that the parser
documents may come out.

The tool is atheris (https://github.com/google/atheris), in an environment of its own beside the project's:

    python -m venv --system-site-packages fuzzing && fuzzing/bin/pip install atheris
    fuzzing/bin/python tests/fuzz/parsers.py all CORPUS_FOLDER -max_total_time=900 -timeout=10 -rss_limit_mb=2000

The first word names a parser, `all`, or the beginning of several names (`package`); what follows goes to libFuzzer. An input
that is found is written to `crash-...`, and is tried again by giving its path in the place of the corpus.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree.ElementTree import ParseError

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["chipwright", "defusedxml", "yaml", "zipfile"]):
    from chipwright import console
    from chipwright.chips.augmentation.settings import read_augmentation
    from chipwright.chips.formats import captions, coco, kitti, yolo
    from chipwright.chips.formats.classes import Lookup, declared, finished, named
    from chipwright.chips.formats.esri import Export, entries_of, open_export
    from chipwright.chips.formats.georeference import read_side_car, read_world_file
    from chipwright.chips.formats.label_files import TooManyError
    from chipwright.chips.formats.survey import check_mrf
    from chipwright.chips.formats.time_series import dates_of
    from chipwright.chips.formats.voc_xml import read_annotation
    from chipwright.chips.reading import raster_options
    from chipwright.chips.statistics import exported
    from chipwright.errors import ChipwrightError
    from chipwright.package import describe_package, open_package

import builders
from toy_package import KEYS, make_spec, make_state

from chipwright.package import pack, save_package

DAMAGED = (ParseError, OSError, ValueError, LookupError, TooManyError)
"""What reading a label file may raise beside a sentence: the chip is dropped and counted (`label_files.read_labels`)."""

_LONGEST = 3000

Parser = Callable[[bytes, Path], None]


def _damaged(read: Callable[[Path], object], name: str) -> Parser:
    """Return a parser of a label file."""

    def parse(content: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(content)
        try:
            read(path)
        except DAMAGED:
            return

    return parse


def _export(folder: Path) -> Export:
    return open_export(folder, folder, entries_of(folder))


def _metadata(name: str) -> Parser:
    """Return a parser of a metadata file that asks for everything readers ask for."""

    def parse(content: bytes, folder: Path) -> None:
        (folder / name).write_bytes(content)
        export = _export(folder)
        finished({draft.value: draft for draft in declared(export)})
        export.text("MetaDataMode")
        export.flag("IsMultidimensional")
        export.number("NumBands", "TileSizeX")
        exported(export.emd, export.totals, 3, "uint8", 100, None)
        try:
            dates_of(export.metadata())
        except ValueError:
            return

    return parse


def _class_texts(content: bytes, folder: Path) -> None:
    texts = content.decode("utf-8", "replace").splitlines()
    drafts = named(texts)
    for text in texts:
        Lookup(drafts)(text)
    finished({draft.value: draft for draft in drafts})


def _coco(content: bytes, folder: Path) -> None:
    path = folder / "labels.json"
    path.write_bytes(content)
    labels = coco._Labels()
    coco._read(_export(folder), path, labels)
    coco._note(_export(folder), labels)


def _captions(content: bytes, folder: Path) -> None:
    (folder / "captions.json").write_bytes(content)
    captions._read_listing(folder / "captions.json")


def _names(name: str) -> Parser:
    def parse(content: bytes, folder: Path) -> None:
        (folder / name).write_bytes(content)
        yolo._names_in(folder / name)

    return parse


def _world_file(content: bytes, folder: Path) -> None:
    (folder / "a.tfw").write_bytes(content)
    read_world_file(folder / "a.tif", {"a.tfw": "a.tfw"})


def _side_car(content: bytes, folder: Path) -> None:
    (folder / "a.aux.xml").write_bytes(content)
    with raster_options():
        read_side_car(folder / "a.aux.xml")


def _mrf(content: bytes, folder: Path) -> None:
    try:
        check_mrf(content)
    except ValueError:
        return


def _transforms(content: bytes, folder: Path) -> None:
    for name in ("transforms.json", "transforms.yaml"):
        (folder / name).write_bytes(content)
        read_augmentation(folder / name)


def _model(folder: Path) -> None:
    describe_package(folder)
    open_package(folder).state()


def _package_emd(content: bytes, folder: Path) -> None:
    (folder / "trees.emd").write_bytes(content)
    _model(folder / "trees.emd")


def _package_archive(content: bytes, folder: Path) -> None:
    (folder / "other.dlpk").write_bytes(content)
    _model(folder / "other.dlpk")


def _package_weights(content: bytes, folder: Path) -> None:
    """Give a package other weights, with the checksum that makes them count."""
    weights = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    emd = json.loads((folder / "whole.emd.txt").read_text())
    emd["Chipwright"]["weights"] |= weights
    (folder / "trees.emd").write_text(json.dumps(emd))
    (folder / "trees.safetensors").write_bytes(content)
    _model(folder / "trees.emd")


PARSERS: dict[str, Parser] = {
    "captions": _captions,
    "classes": _class_texts,
    "coco": _coco,
    "emd": _metadata("esri_model_definition.emd"),
    "kitti": _damaged(kitti.read_label, "a.txt"),
    "map": _metadata("map.txt"),
    "mrf": _mrf,
    "names": _names("classes.txt"),
    "package-archive": _package_archive,
    "package-emd": _package_emd,
    "package-weights": _package_weights,
    "side-car": _side_car,
    "totals": _metadata("esri_accumulated_stats.json"),
    "transforms": _transforms,
    "voc": _damaged(read_annotation, "a.xml"),
    "world": _world_file,
    "yaml": _names("data.yaml"),
    "yolo": _damaged(yolo.read_label, "a.txt"),
}


def _prepare(folder: Path) -> dict[str, list[bytes]]:
    """Make the folder that parsers work in; return inputs to begin with, by parser."""
    whole = builders.voc(folder / "whole", count=2, size=16, image_suffix="png", georeferenced=True)
    (folder / "images").mkdir()
    shutil.copy(next((whole / "images").glob("*.png")), folder / "images" / "a.png")
    save_package(folder / "model", "trees", make_spec(), make_state(), KEYS, {})
    packed = pack(folder / "model", "trees").read_bytes()
    for name in ("trees.emd", "trees.safetensors"):
        shutil.copy(folder / "model" / name, folder / name)
    shutil.copy(folder / "trees.emd", folder / "whole.emd.txt")
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}
    listing = {"filename": "a.png", "sentences": [{"raw": "a text"}], "split": "train"}
    emd = json.loads((whole / "esri_model_definition.emd").read_text())
    series = {"IsMultidimensional": True, "DimensionValues": [42000, 42001.5], "InputRastersProps": {"BandNames": ["a", "b"]}}
    return {
        "captions": [json.dumps({"images": [listing]}).encode()],
        "classes": ["1\n2.0\nWald\n 3 \nStraße\n9223372036854775808".encode()],
        "coco": [
            json.dumps(
                {
                    "categories": [{"id": 1, "name": "a"}],
                    "images": [{"id": 1, "file_name": "a.png", "width": 16, "height": 16}],
                    "annotations": [box],
                }
            ).encode()
        ],
        "emd": [json.dumps(emd).encode(), json.dumps(emd | series).encode(), b'{"a": NaN, "b": 1.#INF,}'],
        "kitti": [b"a b 0 0 0 1.5 2 10 12 0 0 0 0 0 0 0\n1 0 0 0 1 2 3 4"],
        "map": [(whole / "map.txt").read_bytes(), b"images/a b.tif labels/1/a b.tif labels\\2\\a.tif\n\n../x.tif /y.tif"],
        "mrf": [b'<MRF_META><Raster><Size x="64" y="64" c="3" /><DataFile>a.pzp</DataFile></Raster><GeoTags /></MRF_META>'],
        "names": [b"tree\nhouse\n"],
        "package-archive": [packed],
        "package-emd": [(folder / "trees.emd").read_bytes()],
        "package-weights": [(folder / "trees.safetensors").read_bytes()],
        "side-car": [
            b"<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>1, 2, 0, 3, 0, -2</GeoTransform><PAMRasterBand band='1'>"
            b"<NoDataValue>0</NoDataValue></PAMRasterBand></PAMDataset>"
        ],
        "totals": [(whole / "esri_accumulated_stats.json").read_bytes()],
        "transforms": [b'{"rotation": 20, "zoom": [1, 2], "random_crop": true}', b"rotation: 20\nzoom: [1, 2]\n"],
        "voc": [
            next((whole / "labels").glob("*.xml")).read_bytes(),
            "<annotation><object><name>é</name></object></annotation>".encode("latin-1"),
        ],
        "world": [b"2.0\n0\n0\n-2.0\n500000\n5300000\n"],
        "yaml": [b"names: [a, b]\n", b"names:\n  0: a\n  1: b\nnc: 2\n", b"names: &a [x, [*a]]"],
        "yolo": [b"0 0.5 0.5 0.1 0.2\n1 .1 .1 .2 .2 .3 .3\n"],
    }


def main(words: Sequence[str]) -> None:
    """Hunt until libFuzzer ends it."""
    chosen = [name for name in PARSERS if words[0] == "all" or name.startswith(words[0])]
    folder = Path(tempfile.mkdtemp(prefix="parsers-"))
    seeds = _prepare(folder)
    corpus = [word for word in words[1:] if not word.startswith("-")]
    if corpus and Path(corpus[0]).is_dir():
        for place, name in enumerate(chosen):
            for number, seed in enumerate(seeds[name]):
                (Path(corpus[0]) / f"seed-{name}-{number}").write_bytes(bytes([place]) + seed)

    def one(given: bytes) -> None:
        if not given:
            return
        for path in folder.iterdir():  # what another parser left
            if path.is_file() and path.name not in ("trees.emd", "trees.safetensors", "whole.emd.txt"):
                path.unlink()
        parse = PARSERS[chosen[given[0] % len(chosen)]]
        try:
            parse(given[1:], folder)
        except ChipwrightError as error:
            said = str(error)
            if "\n" in said or len(said) > _LONGEST:
                raise AssertionError(f"no single sentence: {said[:_LONGEST]!r}") from error

    with console.quiet():
        atheris.Setup([sys.argv[0], *words[1:]], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
