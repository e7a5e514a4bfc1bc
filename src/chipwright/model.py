"""`Model`: a trained model loaded from its package, ready to predict."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from chipwright import catalog
from chipwright.engine.devices import choose_device, choose_precision, place, start_accelerator
from chipwright.errors import ChipwrightError, DataError, OptionError, PackageError, listed
from chipwright.files import write_text
from chipwright.models.base import ModelType
from chipwright.package import Package, open_package, pack
from chipwright.package.archive import FUNCTION, packed_files
from chipwright.package.emd import emd_text
from chipwright.package.plain import finite
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Task


class Model:
    """A trained model on a device.

    Raises:
        PackageError: if the package describes a network that cannot be built, or its weights are not that network's.

    Attributes:
        name: the package's name.
        spec: everything it was built from, as plain data.
        network: the bare network in evaluation mode; it takes normalised images.
        task: what its inputs and outputs mean.
        threshold: score that is asked of what goes onto a map unless another is given: the one of the highest F1 on the
            validation samples. None where predictions have no scores. `predict` returns everything, with its score.
    """

    def __init__(self, package: Package, accelerator: Accelerator) -> None:
        self.name: str = package.name
        self.spec: ModelSpec = package.spec
        self.type: ModelType = catalog.find(self.spec.model_type)
        self.accelerator = accelerator
        try:
            network = self.type.build(self.spec, None)
            self.task: Task = self.type.task(self.spec)
        except ChipwrightError:
            raise
        except Exception as error:  # what stands in an .emd may be anything, and a type need not check what it wrote itself
            raise PackageError(
                f"{package.source} describes a {self.spec.model_type} network that cannot be built "
                f"({type(error).__name__}: {error}). It comes from another version of chipwright, or is damaged."
            ) from error
        package.load_into(network)
        self.network: nn.Module = place(network, accelerator.device).eval()
        self.threshold: float | None = package.metrics.get("best_threshold", self.task.score_threshold)
        self.task.score_threshold = self.threshold

    def towards(self, direction: str) -> Model:
        """Return the model working in a direction: "BtoA" for a CYCLEGAN that is to make images of A of those of B.

        Raises:
            OptionError: if models of this type have no such direction.
        """
        if direction not in self.type.directions:
            has = f"it has {listed(self.type.directions)}" if self.type.directions else "it works in one direction alone"
            raise OptionError(f"{self.name} is a {self.spec.model_type} and has no direction {direction!r}; {has}.")
        turned = copy(self)
        turned.spec = self.type.turned(self.spec, direction)
        turned.task = self.type.task(turned.spec)
        network = self.type.build(turned.spec, None)
        network.load_state_dict(self.network.state_dict())
        turned.network = place(network, self.accelerator.device).eval()
        return turned

    def predict(self, images: NDArray[Any] | Sequence[NDArray[Any]]) -> Sequence[Any]:
        """Return one prediction an image.

        Args:
            images: (count, bands, height, width), or a sequence of (bands, height, width), in the pixel type of the training
                chips and not normalised.

        Raises:
            DataError: if the images have another number of bands than the model.
        """
        arrays = [np.ascontiguousarray(image) for image in images]
        bands = len(self.task.inputs.mean)
        for array in arrays:
            if array.ndim != 3 or array.shape[0] != bands:
                raise DataError(f"{self.name} takes images of shape ({bands}, height, width), not {array.shape}.")
        key = self.task.image_keys[0]
        batch = self.task.to_device(self.task.collate([{key: array} for array in arrays]), self.accelerator.device)
        with torch.inference_mode(), self.accelerator.autocast():
            return self.task.predict(self.network, batch)

    def road_lines(self, raster: str | Path, out: str | Path | None = None, class_value: int | None = None) -> Sequence[Any]:
        """Return the roads that a pixel classifier sees on a raster as shapely LineStrings on the map.

        With `out` they are written, too: `.gpkg` or `.geojson`. See `chipwright.prediction.road_lines.raster_road_lines`.
        """
        from chipwright.prediction.road_lines import raster_road_lines

        return raster_road_lines(self, Path(raster), Path(out) if out else None, class_value)


def load_model(path: Path, *, processor_type: str | None, gpu_id: int, precision: str) -> Model:
    """Return the model of a package on the device asked for."""
    package = open_package(path)
    device = choose_device(processor_type, gpu_id)
    return Model(package, start_accelerator(device, choose_precision(precision, device)))


def repackage(path: Path, form: str, out: Path | None) -> Path:
    """Write a model as .dlpk, as .onnx, or as .onnx for Deepness, the plugin of QGIS; return the file's path."""
    package = open_package(path)
    if form == "dlpk":
        if path.suffix.lower() == ".dlpk":
            raise OptionError(f"{path} is a .dlpk already.")
        return _pack_with_function(path, package, out)
    if form not in ("onnx", "qgis"):
        raise OptionError(f"There is no package format {form!r}; there are dlpk, onnx and qgis.")
    from chipwright.package.onnx import export_onnx

    model = load_model(path, processor_type="CPU", gpu_id=0, precision="float32")
    obstacle = model.type.onnx_obstacle(model.spec)
    if obstacle:
        raise OptionError(f"{model.spec.model_type} does not export to ONNX: {obstacle}")
    name = package.name if form == "onnx" else f"{package.name}_qgis"
    target = out or (path if path.is_dir() else path.parent) / f"{name}.onnx"
    if form == "qgis":
        from chipwright.package.deepness import export_for_deepness

        return export_for_deepness(model, target)
    scaling = model.task.inputs
    return export_onnx(model.network, scaling, len(scaling.mean), model.spec.chip_size, target, dynamic=True)


def _pack_with_function(path: Path, package: Package, out: Path | None) -> Path:
    """Write a model as .dlpk. A raster function that its folder lacks goes into the archive; the folder stays as it is."""
    folder = path if path.is_dir() else path.parent
    if FUNCTION in package.emd:
        return pack(folder, package.name, out)
    from chipwright.package.raster_function import function_if_possible

    model = load_model(path, processor_type="CPU", gpu_id=0, precision="float32")
    with TemporaryDirectory() as place:
        stage = Path(place)
        obstacle = model.type.onnx_obstacle(model.spec)
        keys = function_if_possible(stage, package.name, model.spec, model.network, model.task, obstacle)
        if not keys:
            return pack(folder, package.name, out)
        for file in packed_files(folder, package):
            copy = stage / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        write_text(stage / f"{package.name}.emd", emd_text(package.emd | finite(keys)))
        return pack(stage, package.name, out or folder / f"{package.name}.dlpk")
