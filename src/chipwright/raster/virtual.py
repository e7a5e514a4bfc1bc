"""Rasters that are made of others, in the words of GDAL's VRT format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import rasterio
from rasterio.transform import Affine

from chipwright.raster.grid import Grid

if TYPE_CHECKING:
    from chipwright.raster.layers import Layer

_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "uint64": "UInt64", "int64": "Int64", "float32": "Float32", "float64": "Float64",
}  # fmt: skip


def virtual_raster(pieces: Sequence[tuple[Path, int]], masks: Sequence[tuple[Path, int]], grid: Grid, layer: Layer) -> str:
    """Return GDAL's description of a raster that is made of pieces.

    Args:
        pieces, masks: of the raster and of its mask, if it has one: (file beside the description, first row).
        grid: of the raster.
        layer: what it holds.
    """
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        ET.SubElement(root, "SRS").text = grid.crs.to_wkt()
    if not grid.transform.almost_equals(Affine.identity()):
        ET.SubElement(root, "GeoTransform").text = ", ".join(repr(value) for value in grid.transform.to_gdal())
    for number, name in enumerate(layer.bands, 1):
        band = ET.SubElement(root, "VRTRasterBand", dataType=_TYPES[layer.dtype], band=str(number))
        ET.SubElement(band, "Description").text = name
        if layer.nodata is not None:
            ET.SubElement(band, "NoDataValue").text = str(layer.nodata)
        colors = {info.value: info.color for info in layer.classes}
        if colors and layer.dtype in ("uint8", "uint16"):
            ET.SubElement(band, "ColorInterp").text = "Palette"
            table = ET.SubElement(band, "ColorTable")
            for value in range(max(colors) + 1):
                red, green, blue = colors.get(value, (0, 0, 0))
                ET.SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4="255")
        _sources(band, pieces, number, layer.dtype)
    if masks:
        _sources(ET.SubElement(ET.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte"), masks, 1, "uint8")
    return ET.tostring(root, encoding="unicode")


def _sources(band: ET.Element, pieces: Sequence[tuple[Path, int]], number: int, dtype: str) -> None:
    """Say which pieces a band is made of."""
    for path, top in pieces:
        with rasterio.open(path) as file:
            width, height = file.width, file.height
        source = ET.SubElement(band, "SimpleSource")
        ET.SubElement(source, "SourceFilename", relativeToVRT="1").text = path.name
        ET.SubElement(source, "SourceBand").text = str(number)
        size: dict[str, Any] = {"xSize": str(width), "ySize": str(height)}
        ET.SubElement(source, "SourceProperties", RasterXSize=str(width), RasterYSize=str(height), DataType=_TYPES[dtype])
        ET.SubElement(source, "SrcRect", xOff="0", yOff="0", **size)
        ET.SubElement(source, "DstRect", xOff="0", yOff=str(top), **size)
