"""The raster function in a package: which file, what it must know, and the network as ONNX beside it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

from chipwright import console
from chipwright.errors import ChipwrightError, MissingExtra
from chipwright.package.archive import FUNCTION
from chipwright.package.onnx import export_onnx
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Task

PARTS = {
    "ChipwrightPixelClassifier": ("shared", "pixel_classifier"),
    "ChipwrightObjectDetector": ("shared", "object_detector"),
    "ChipwrightInstanceDetector": ("shared", "object_detector", "instance_detector"),
    "ChipwrightObjectClassifier": ("shared", "object_classifier"),
    "ChipwrightImageTranslator": ("shared", "image_translator"),
}
"""Raster functions, and the modules of `chipwright.package.functions` that each is joined from."""

_IMPORT = "from chipwright."


def function_source(name: str) -> str:
    """Return a raster function as one self-contained file."""
    texts = [_module(part) for part in PARTS[name]]
    imports = sorted({line for text in texts for line in text.splitlines() if line.startswith("import ")})
    bodies = [_body(text) for text in texts]
    head = f'"""{_docstring(texts[-1])}\n\n{_docstring(texts[0])}\n"""'
    return "\n\n".join([head, "from __future__ import annotations", "\n".join(imports), *bodies]) + "\n"


def write_function(folder: Path, name: str, spec: ModelSpec, network: nn.Module, task: Task) -> dict[str, Any]:
    """Write `NAME.onnx` and the raster function into a model's folder; return the `.emd` keys that name them, none where the
    kind of work has no raster function.

    Raises:
        MissingExtra: if onnx, onnxscript or onnxruntime is not installed.
        ChipwrightError: if the network cannot be exported.
    """
    facts = task.host_facts()
    if facts is None:
        return {}
    function = facts.pop("function")
    onnx = f"{name}.onnx"
    export_onnx(network, task.inputs, len(task.inputs.mean), spec.chip_size, folder / onnx, dynamic=True)
    for old in folder.glob("Chipwright*.py"):
        old.unlink()
    (folder / f"{function}.py").write_text(function_source(function), encoding="utf-8", newline="\n")
    size = min(spec.chip_size)
    common = {"onnx": onnx, "padding": size // 4, "batch_size": 4, "fill": list(task.fill())}
    return {"InferenceFunction": f"{function}.py", FUNCTION: common | facts}


def function_if_possible(
    folder: Path, name: str, spec: ModelSpec, network: nn.Module, task: Task, obstacle: str | None
) -> dict[str, Any]:
    """Do as `write_function` does, or say in a line why there is none: without it a model is whole for all but ArcGIS Pro.

    `obstacle` says why the network does not export to ONNX, where that is known (see `ModelType.onnx_obstacle`): an export
    that must fail is not tried.
    """
    if obstacle:
        kind = spec.model_type
        console.say(f"The package gets no raster function for ArcGIS Pro: {kind} does not export to ONNX: {obstacle}")
        return {}
    try:
        return write_function(folder, name, spec, network, task)
    except MissingExtra as error:
        console.say(f"The package gets no raster function for ArcGIS Pro. {error}")
    except ChipwrightError as error:
        console.warn(f"The package gets no raster function for ArcGIS Pro. {error}")
    return {}


def _module(name: str) -> str:
    return (resources.files("chipwright.package.functions") / f"{name}.py").read_text(encoding="utf-8")


def _docstring(text: str) -> str:
    return text.split('"""')[1].strip()


def _body(text: str) -> str:
    """Return a module's text after its docstring and imports."""
    lines = text.split('"""', 2)[2].splitlines()
    kept = [line for line in lines if not line.startswith(("import ", "from __future__", _IMPORT))]
    return "\n".join(kept).strip()
