"""The four metadata files of an export, in the words, order and number style of the reference's 3.x exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import chipwright
from chipwright.chips.formats.esri import EMD, TOTALS
from chipwright.chips.statistics import Moments
from chipwright.chips.writers.exporter_json import write_exporter_json
from chipwright.chips.writers.labels import Labels
from chipwright.chips.writers.new_chip import ExportFacts
from chipwright.chips.writers.tally import FeatureTally, PixelTally
from chipwright.files import whole_file

STATS = "stats.txt"

LINE_END = "\r\n"
"""Of map.txt and stats.txt: the exporter runs on Windows."""

WRITTEN_BY = "WrittenBy"
"""Key of the .emd by which an export of ours is told from the reference's."""

_TEMPLATE = {
    "Framework": "e.g. TensorFlow or PyTorch",
    "ModelConfiguration": "e.g. UNet or FasterRCNN",
    "ModelType": "e.g. ObjectDetection or ImageClassification",
    "ModelFile": "e.g. ./trained.model",
    "Description": "e.g. which data model was trained on, when, by whom, mAP, etc",
}
_OPTIONAL = {
    "ExtractBands": "e.g. [0, 1, 2]",
    "DataRange": "e.g. [0.1, 1.0] (optional)",
    "ModelPadding": "e.g. 64 (optional)",
    "BatchSize": "e.g. 8 (optional)",
    "PerProcessGPUMemoryFraction": "e.g. 0.8 (optional)",
}
_BAND_NAMES_KEY = "WellKnownBandNames (FYI, these band names can be used in ExtractBands)"
_BAND_NAMES = (
    "Red", "Green", "Blue", "Infrared", "CoastalBlue", "Yellow", "RedEdge", "ShortWaveInfrared",
    "NearInfrared", "NearInfrared_1", "NearInfrared_2", "MidInfrared", "MidInfrared_1", "MidInfrared_2",
    "Thermal", "Thermal_1", "Thermal_2", "Panchromatic", "PseudoRed", "PseudoGreen", "PseudoBlue", "QA",
)  # fmt: skip


def write_metadata(
    folder: Path,
    mode: str,
    facts: ExportFacts,
    labels: Labels,
    moments: Sequence[Moments],
    tallies: Sequence[FeatureTally | PixelTally],
    chips: int,
    next_index: int,
) -> None:
    """Write the .emd, esri_accumulated_stats.json and stats.txt of one folder of chips; map.txt was written along the way.

    Args:
        folder: where to.
        mode: MetaDataMode.
        facts: of the export.
        labels: what wrote the labels.
        moments: of the pixels of the first image, and of the second where there is one.
        tallies: what was counted; the first is shown in stats.txt.
        chips: how many there are.
        next_index: number that a chip added later would have.
    """
    bands = [facts.bands, facts.second_bands][: len(moments)]
    properties = _properties(facts, bands)
    cells = {key: facts.metadata.get(key) or _cell(facts) for key in ("MinCellSize", "MaxCellSize")}
    write_exporter_json(folder / EMD, _definition(mode, facts, labels, moments, bands, cells | properties))
    width, height = facts.tile_size
    totals: dict[str, Any] = {
        "Version": 1,
        "NumBands": len(facts.bands),
        "TileSizeX": width,
        "TileSizeY": height,
        "NumClasses": len(facts.classes),
        "NumTiles": chips,
        "NumTilesAsDouble": chips,
        "NextTileIndex": next_index,
        "OutputFeatures": not labels.pixels,
        "MetaDataMode": mode,
        **cells,
    }
    if labels.lists_classes:
        totals["Classes"] = [{"ClassValue": info.value, "ClassName": info.name} for info in facts.classes]
    totals |= {tally.key: tally.state() for tally in tallies}
    totals |= properties
    totals |= {_numbered("BandStatsState", at): _states(one) for at, one in enumerate(moments)}
    write_exporter_json(folder / TOTALS, totals)
    lines = [f"images = {chips} *{len(facts.bands)}*{height}*{width}", *tallies[0].lines()]
    with whole_file(folder / STATS) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8", newline=LINE_END)


def _definition(
    mode: str,
    facts: ExportFacts,
    labels: Labels,
    moments: Sequence[Moments],
    bands: Sequence[Sequence[str]],
    shared: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the .emd."""
    width, height = facts.tile_size
    own = {
        "MetaDataMode": mode,
        "BlackenAroundFeature": False,
        "IsMultidimensional": False,
        "CropTileMode": "Fixed_Size",
        "ImageSpaceUsed": facts.image_space,
        **{key: value for key, value in facts.metadata.items() if key not in shared},
        **labels.metadata(),
    }
    emd = {**_TEMPLATE, "ImageHeight": height, "ImageWidth": width, **_OPTIONAL, **own, **shared}
    for at, one in enumerate(moments):
        emd[_numbered("AllTilesStats", at)] = _tile_statistics(one, _spread_names(bands[at], facts))
    if labels.lists_classes:
        emd["Classes"] = [{"Value": info.value, "Name": info.name, "Color": list(info.color)} for info in facts.classes]
    return {**emd, _BAND_NAMES_KEY: list(_BAND_NAMES), WRITTEN_BY: f"chipwright {chipwright.__version__}"}


def _numbered(key: str, at: int) -> str:
    return key if at == 0 else f"{key}{at + 1}"


def _properties(facts: ExportFacts, bands: Sequence[Sequence[str]]) -> dict[str, Any]:
    found = {}
    for at, names in enumerate(bands):
        key = _numbered("InputRastersProps", at)
        given = facts.metadata.get(key)
        sensor = given.get("SensorName", "Undefined") if isinstance(given, Mapping) else "Undefined"
        found[key] = {"RasterCount": 1, "SensorName": sensor, "BandNames": list(_variables(names, facts))}
    return found


def _variables(bands: Sequence[str], facts: ExportFacts) -> Sequence[str]:
    """Return the bands of one date of a time series, and all bands of anything else."""
    dates = facts.metadata.get("DimensionValues")
    return bands[: len(bands) // len(dates)] if isinstance(dates, list | tuple) and dates else bands


def _spread_names(bands: Sequence[str], facts: ExportFacts) -> list[str]:
    """Return a name for each band of the files, dates after dates."""
    names = _variables(bands, facts)
    return [names[band % len(names)] for band in range(len(bands))]


def _cell(facts: ExportFacts) -> dict[str, Any]:
    cell: dict[str, Any] = {"x": float(facts.cell_size[0]), "y": float(facts.cell_size[1])}
    return cell | ({"spatialReference": {"wkid": facts.wkid, "latestWkid": facts.wkid}} if facts.wkid else {})


def _tile_statistics(moments: Moments, names: Sequence[str]) -> list[dict[str, Any]]:
    found = moments.statistics()
    rows = zip(names, found.minimum, found.maximum, found.mean, found.std, strict=True)
    return [{"BandName": name, "Min": low, "Max": high, "Mean": mean, "StdDev": std} for name, low, high, mean, std in rows]


def _states(moments: Moments) -> list[dict[str, Any]]:
    # Mean and StdDev are not filled by the exporter either: M1 and M2 hold them in the form that can be merged
    found = moments.statistics()
    rows = zip(found.minimum, found.maximum, found.mean, moments.squares.tolist(), moments.count.tolist(), strict=True)
    return [
        {"Min": low, "Max": high, "Mean": 0, "StdDev": 0, "M1": mean, "M2": squares, "Num": count}
        for low, high, mean, squares, count in rows
    ]


def map_line(images: Sequence[str], labels: Sequence[str]) -> str:
    """Return a chip's line of map.txt: one blank between images, two before labels, one at the end."""
    text = " ".join(images) + (f"  {' '.join(labels)}" if labels else "")
    return text.replace("/", "\\") + " "
