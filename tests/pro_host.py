"""A host that drives a raster function as ArcGIS Pro does, with numpy alone. Also a program, for an environment of its own.

python pro_host.py FUNCTION.py MODEL.emd TASK.npz RESULT.npz     (TASK: pixels, mask, scalars as JSON text, kind)
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np


def load(function, model, device=-1):
    """Return the one public class of a file, named as the file, made and initialised."""
    spec = importlib.util.spec_from_file_location(Path(function).stem, function)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module, Path(function).stem)()
    made.getParameterInfo()  # before any model is there
    made.initialize(model=str(model), device=device)
    return made


def blocks(function, pixels, mask, scalars):
    """Yield (column, row, blocks of pixels and mask with padding) over a raster, as a tool requests them."""
    wanted = function.getConfiguration(**scalars)
    pixels = pixels[list(wanted["extractBands"])]
    pad, tx, ty = wanted["padding"], wanted["tx"], wanted["ty"]
    height, width = pixels.shape[-2:]
    rows, columns = -(-height // ty), -(-width // tx)
    space = ((pad, rows * ty - height + pad), (pad, columns * tx - width + pad))
    padded, held = np.pad(pixels, ((0, 0), *space)), np.pad(mask, space)
    for row in range(0, rows * ty, ty):
        for column in range(0, columns * tx, tx):
            place = np.s_[row : row + ty + 2 * pad, column : column + tx + 2 * pad]
            yield column, row, {"raster_pixels": padded[:, place[0], place[1]], "raster_mask": held[place]}


def classify(function, pixels, mask, scalars):
    """Return the classes of a raster (height, width) and its attribute table."""
    info = function.updateRasterInfo(output_info={})["output_info"]
    height, width = pixels.shape[-2:]
    found = np.zeros((height + 4096, width + 4096), np.int64)
    for column, row, block in blocks(function, pixels, mask, scalars):
        shape = tuple(side - 2 * function.padding for side in block["raster_pixels"].shape[-2:])
        out = function.updatePixels((column, row), (1, *shape), {"pixelType": info["pixelType"]}, **block)["output_pixels"]
        assert out.shape == (1, *shape), (out.shape, shape)
        assert out.dtype == np.dtype(info["pixelType"])
        found[row : row + shape[0], column : column + shape[1]] = out[0]
    return found[:height, :width], json.loads(info["rasterAttributeTable"])


def translate(function, pixels, mask, scalars):
    """Return the image that is made of a raster (bands, height, width)."""
    info = function.updateRasterInfo(output_info={})["output_info"]
    height, width = pixels.shape[-2:]
    made = np.zeros((info["bandCount"], height + 4096, width + 4096), info["pixelType"])
    for column, row, block in blocks(function, pixels, mask, scalars):
        shape = tuple(side - 2 * function.padding for side in block["raster_pixels"].shape[-2:])
        props = {"pixelType": info["pixelType"]}
        out = function.updatePixels((column, row), (len(made), *shape), props, **block)["output_pixels"]
        assert out.shape == (len(made), *shape), (out.shape, shape)
        assert out.dtype == np.dtype(info["pixelType"])
        made[:, row : row + shape[0], column : column + shape[1]] = out
    return made[:, :height, :width]


def detect(function, pixels, mask, scalars):
    """Return the features of a raster, their rings in its pixels."""
    assert function.getGeometryType() == 4
    names = [one["name"] for one in json.loads(function.getFields())["fields"]]
    found = []
    for column, row, block in blocks(function, pixels, mask, scalars):
        features = json.loads(function.vectorize(**block)["output_vectors"])
        assert features["geometryType"] == "esriGeometryPolygon"
        for one in features["features"]:
            assert set(one["attributes"]) <= set(names)
            rings = [[[x + column, y + row] for x, y in ring] for ring in one["geometry"]["rings"]]
            found.append({**one["attributes"], "rings": rings})
    return found


def label(function, chips, scalars):
    """Return the label and confidence of every chip."""
    wanted = function.getConfiguration(**scalars)
    assert function.getParameterInfo()[0]["name"] == "rasters"
    masks = tuple(np.ones(chip.shape[-2:], "u1") for chip in chips)
    bands = list(wanted["extractBands"])
    out = function.vectorize(rasters_pixels=tuple(chip[bands] for chip in chips), rasters_mask=masks)
    return [one["attributes"] for one in json.loads(out["output_vectors"])["features"]]


def main(function, model, task, result):
    """Run one task from a file, and write what came of it as JSON text into another."""
    given = np.load(task)
    made, scalars, kind = load(function, model), json.loads(str(given["scalars"])), str(given["kind"])
    if kind == "classes":
        found, table = classify(made, given["pixels"], given["mask"], scalars)
        answer = {"values": found.tolist(), "table": table}
    elif kind == "image":
        answer = {"pixels": translate(made, given["pixels"], given["mask"], scalars).tolist()}
    elif kind == "objects":
        answer = detect(made, given["pixels"], given["mask"], scalars)
    else:
        answer = label(made, list(given["pixels"]), scalars)
    Path(result).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
