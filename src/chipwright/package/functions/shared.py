"""A trained model as a Python raster function, for ArcGIS Pro 3.3 and later. It needs numpy and onnxruntime alone."""

from __future__ import annotations

import json
import os

import numpy as np


class RasterFunction:
    """What all kinds share: model, device, parameters, and blocks of pixels as windows of the model's size.

    A block is `rows` x `columns` windows without their margins, and one margin around them all.
    """

    title = "chipwright model"
    about = "Applies a model that chipwright trained."

    def __init__(self):
        self.name = self.title
        self.description = self.about
        self.padding = self.batch_size = 0
        self.settings = {}

    def initialize(self, **kwargs):
        """Read the model definition and load the network."""
        model = kwargs["model"]
        if str(model).lstrip().startswith("{"):
            folder, text = os.path.dirname(os.path.abspath(__file__)), model
        else:
            folder = os.path.dirname(os.path.abspath(model))
            with open(model, encoding="utf-8-sig") as file:
                text = file.read()
        self.emd = json.loads(text)
        self.facts = self.emd["ChipwrightFunction"]
        try:
            import onnxruntime
        except ImportError as error:
            raise Exception(
                "This model needs onnxruntime, which the deep learning libraries of ArcGIS Pro carry from version 3.3 on. Use "
                "Pro 3.3 or later with its deep learning libraries, or apply the model with chipwright predict."
            ) from error
        device = int(kwargs.get("device", -1))
        there = onnxruntime.get_available_providers()
        providers = ["CPUExecutionProvider"]
        if device != -1 and "CUDAExecutionProvider" in there:
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": max(device, 0)}))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(os.path.join(folder, self.facts["onnx"]), options, providers=providers)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.height, self.width = int(self.emd["ImageHeight"]), int(self.emd["ImageWidth"])
        self.classes = self.emd["Classes"]
        self.padding, self.batch_size = self.facts["padding"], self.facts["batch_size"]

    def getParameterInfo(self):
        """Return what the tool asks for."""
        return [
            self.parameter("raster", "raster", None, "Input raster", required=True),
            self.parameter("model", "string", None, "Model definition (.emd or .dlpk)", required=True),
            self.parameter("device", "numeric", -2, "Device: -1 the processor, 0, 1, ... a GPU, -2 a GPU if there is one"),
            *self.own_parameters(),
        ]

    def own_parameters(self):
        """Return the model's arguments."""
        facts = getattr(self, "facts", {"padding": 0, "batch_size": 1})
        return [
            self.parameter("padding", "numeric", facts["padding"], "Pixels around what is kept of a window"),
            self.parameter("batch_size", "numeric", facts["batch_size"], "Windows of a request"),
        ]

    @staticmethod
    def parameter(name, kind, value, description, required=False, domain=()):
        """Return one parameter."""
        return {
            "name": name,
            "dataType": kind,
            "value": value,
            "required": required,
            "displayName": name.replace("_", " "),
            "description": description,
            "domain": list(domain),
        }

    def getConfiguration(self, **scalars):
        """Take the arguments and return which pixels are wanted."""
        self.settings = scalars
        self.padding = min(max(0, int(self.number("padding", self.padding))), (min(self.height, self.width) - 1) // 2)
        self.batch_size = max(1, int(self.number("batch_size", self.batch_size)))
        self.rows = max(row for row in range(1, int(self.batch_size**0.5) + 1) if self.batch_size % row == 0)
        self.columns = self.batch_size // self.rows
        return {
            "extractBands": tuple(self.emd["ExtractBands"]),
            "padding": self.padding,
            "tx": self.columns * (self.width - 2 * self.padding),
            "ty": self.rows * (self.height - 2 * self.padding),
            "fixedTileSize": 1,
            "inputMask": True,
            "inheritProperties": 2 | 4 | 8,
            "invalidateProperties": 2 | 4 | 8,
        }

    def windows(self, pixels, mask):
        """Yield (top, left, pixels of a window or None without data, (rows, columns) in it that are kept) of a block.

        `top` and `left` are of the window's first pixel in the block. What lies beyond the raster is cut off: the network sees
        the raster's edge rather than a made one.
        """
        held = np.asarray(mask).reshape(pixels.shape[-2:]) != 0
        rows, columns = np.flatnonzero(held.any(1)), np.flatnonzero(held.any(0))
        if not len(rows):
            return
        first, last = (rows[0], columns[0]), (rows[-1] + 1, columns[-1] + 1)
        step = self.height - 2 * self.padding, self.width - 2 * self.padding
        for row in range(0, max(1, pixels.shape[-2] - 2 * self.padding), step[0]):
            for column in range(0, max(1, pixels.shape[-1] - 2 * self.padding), step[1]):
                top, left = max(row, first[0]), max(column, first[1])
                bottom, right = min(row + self.height, last[0]), min(column + self.width, last[1])
                kept = (
                    (max(row + self.padding, top), min(row + self.padding + step[0], bottom)),
                    (max(column + self.padding, left), min(column + self.padding + step[1], right)),
                )
                if kept[0][0] >= kept[0][1] or kept[1][0] >= kept[1][1]:
                    continue
                inside = held[top:bottom, left:right]
                if inside.any():
                    yield top, left, self.filled(pixels[:, top:bottom, left:right], inside), kept

    def painted(self, pixelBlocks, bands, paint):
        """Return a block without its padding (bands, height, width), 0 where there is no data.

        `paint` makes it of the network's output of every window (channels, height, width).
        """
        pixels = np.asarray(pixelBlocks["raster_pixels"])
        mask = np.asarray(pixelBlocks.get("raster_mask", np.ones(pixels.shape[-2:], "u1")))
        found = None
        for top, left, window, (rows, columns) in self.windows(pixels, mask):
            values = paint(self.run(window)[self.outputs[0]][0])
            if found is None:
                found = np.zeros((bands, *pixels.shape[-2:]), values.dtype)
            found[:, slice(*rows), slice(*columns)] = values[
                :, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left
            ]
        if found is None:
            found = np.zeros((bands, *pixels.shape[-2:]), "u1")
        found[:, mask.reshape(found.shape[1:]) == 0] = 0
        edge = self.padding
        return found[:, edge : found.shape[1] - edge, edge : found.shape[2] - edge]

    def filled(self, pixels, held):
        """Return pixels as the network takes them: those without data are the bands' means, as in training."""
        fill = np.array([np.nan if value is None else value for value in self.facts["fill"]], np.float32)
        return np.where(held, pixels, fill[:, None, None]).astype(np.float32)

    def run(self, pixels):
        """Return the network's outputs by name, for one window (bands, height, width)."""
        return dict(zip(self.outputs, self.session.run(None, {"input": pixels[None]})))

    def number(self, name, default):
        """Return an argument as a number."""
        value = self.settings.get(name, default)
        return float(default if value in (None, "") else value)

    def truth(self, name, default):
        """Return an argument as a truth."""
        return str(self.settings.get(name, default)).strip().lower() in ("true", "1", "yes")


def feature_set(fields, features):
    """Return features as the text that the tool takes."""
    return json.dumps(
        {
            "displayFieldName": "",
            "fieldAliases": {field["name"]: field["alias"] for field in fields},
            "geometryType": "esriGeometryPolygon",
            "fields": fields,
            "features": features,
        }
    )


def field(name, kind):
    """Return the description of a field."""
    return {"name": name, "type": "esriFieldType" + kind, "alias": name}
