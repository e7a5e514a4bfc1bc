"""Exporting a network to ONNX, scaling included, so that raw pixels go in.

Operator set 18 and IR version 9, which onnxruntime reads from 1.17 on: that is what QGIS and ArcGIS Pro 3.3 carry. Every
export is run under onnxruntime and compared with the network before the file is written.

Importing this module imports torch; the package above it does not import it.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.errors import ChipwrightError, MissingExtra
from chipwright.files import whole_file
from chipwright.spec import Normalization
from chipwright.tasks.base import Normalize

OPSET = 18
IR_VERSION = 9

INPUT = "input"
DIMENSIONS = {0: "batch", 2: "height", 3: "width"}
"""Names of the input's dimensions that may change."""

_TOLERANCE = 1e-3
"""Largest difference to the network's own result, as a share of its largest value (or of 1)."""

_LARGEST = 2**31 - 1
"""Bytes that fit in one ONNX file."""

_UNEVEN = (13, 6)
"""Rows and columns added to the chip size: an export made at a size that needs no padding would leave the padding out."""


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""Of terminals, with which exporters adorn their errors."""

Pixels = NDArray[Any]


@dataclass(frozen=True)
class _Job:
    """One export: the module that is exported, and what is known of it.

    `unsettled` is the share of values that may differ: networks that choose places by rank name it (`unsettled`), since
    rounding may decide between two places.
    """

    module: nn.Module
    outputs: tuple[str, ...]
    detects: bool
    input_dtype: torch.dtype
    dynamic: bool
    unsettled: float = 0.0

    @property
    def dimensions(self) -> dict[int, str]:
        """The input's dimensions that may change; detectors take one image at a time."""
        if not self.dynamic:
            return {}
        return {place: name for place, name in DIMENSIONS.items() if place > 0 or not self.detects}


def export_onnx(
    network: nn.Module,
    normalization: Normalization,
    bands: int,
    chip_size: tuple[int, int],
    path: Path,
    *,
    dynamic: bool = True,
    input_dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, str] | None = None,
    highest: float = 255.0,
) -> Path:
    """Write a network to an ONNX file, whole or not at all, and return its path.

    The graph takes "input" (batch, bands, height, width) in the units of the chips, scales it, and gives the network's result
    as "output"; as "output_0", "output_1", ... or under the keys where the network returns several tensors. A network that
    returns a dictionary an image (torchvision's contract for detection) is exported for one image at a time and gives the
    dictionary's tensors ("boxes", "labels", "scores"), without rows where nothing was found.

    Args:
        network: takes normalised images; it is left as it is, training mode and device included.
        normalization: of the images.
        bands: bands of the images.
        chip_size: (width, height) in pixels that the network was trained on.
        path: of the file.
        dynamic: whether any batch size, height and width may be given; else one image of `chip_size`.
        input_dtype: pixel type of the input.
        metadata: written into the file as its metadata properties.
        highest: pixels from 0 to this are what the exported graph is compared over, unless the scaling says which there are.

    Raises:
        MissingExtra: if onnx, onnxscript or onnxruntime is not installed.
        ChipwrightError: if the network cannot be exported, or the exported graph computes something else.
    """
    require_onnx()
    width, height = chip_size
    job = _prepare(network, normalization, torch.zeros(1, bands, height, width), input_dtype, dynamic)
    samples = [_pixels((1, bands, height, width), input_dtype, normalization, highest)]
    if dynamic:
        batch = 1 if job.detects else 3
        samples.insert(0, _pixels((batch, bands, height + _UNEVEN[0], width + _UNEVEN[1]), input_dtype, normalization, highest))
    faults = []
    for method in (_by_tracing, _by_graph):
        model, fault = _attempt(method, job, samples, metadata or {})
        if model is not None:
            with whole_file(path) as part:
                part.write_bytes(model)
            return path
        faults.append(fault)
    raise ChipwrightError(f"The network could not be exported to ONNX, so no file was written: {'; '.join(faults)}.")


def require_onnx() -> None:
    """Check that what an export needs is installed.

    Raises:
        MissingExtra: if it is not.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra("onnx", "Exporting to ONNX") from error


def named_outputs(result: Any) -> list[tuple[str, Tensor]]:
    """Return a network's result as (name, tensor) pairs, whether it is a tensor, a sequence or a dictionary of them."""
    if isinstance(result, Mapping):
        return [(str(name), tensor) for name, tensor in result.items()]
    if isinstance(result, Sequence):
        return [(f"output_{place}", tensor) for place, tensor in enumerate(result)]
    return [("output", result)]


class Scaled(nn.Module):
    """Scaling and network as one module, which returns a tuple of tensors; `detects` for torchvision's contract."""

    def __init__(self, normalization: Normalization, network: nn.Module, detects: bool) -> None:
        super().__init__()
        self.normalize = Normalize(normalization)
        self.network = network
        self.detects = detects

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the network's outputs for pixels in the units of the chips."""
        images = self.normalize(pixels)
        result = self.network([images[0]])[0] if self.detects else self.network(images)
        return tuple(tensor for _, tensor in named_outputs(result))


def _prepare(network: nn.Module, normalization: Normalization, pixels: Tensor, input_dtype: torch.dtype, dynamic: bool) -> _Job:
    """Return the job for a copy of the network on the CPU, having looked at what it returns."""
    network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    with torch.no_grad():
        result = network(Normalize(normalization)(pixels))
    detects = isinstance(result, list) and bool(result) and isinstance(result[0], Mapping)
    names = tuple(name for name, _ in named_outputs(result[0] if detects else result))
    module = Scaled(normalization, network, detects).eval()
    return _Job(module, names, detects, input_dtype, dynamic, float(getattr(network, "unsettled", 0.0)))


def _pixels(shape: tuple[int, ...], dtype: torch.dtype, normalization: Normalization, highest: float) -> Tensor:
    """Return random pixels, the same ones each time: of each band's range where the scaling has one, since what is clipped to
    one value shows a network nothing; else whole numbers from 0 to `highest` (to 127 for signed bytes), class values say.
    """
    random = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    low, high = normalization.minimum, normalization.maximum
    if low is None or high is None or dtype == torch.int8 or not all(map(math.isfinite, (*low, *high))):
        return (random * (127 if dtype == torch.int8 else highest)).round().to(dtype)
    bottom, top = (torch.tensor(values).view(-1, 1, 1) for values in (low, high))
    values = bottom + random * (top - bottom)
    return values if dtype.is_floating_point else values.round().to(dtype)


def _attempt(
    method: Callable[[_Job, Tensor], Any], job: _Job, samples: Sequence[Tensor], metadata: Mapping[str, str]
) -> tuple[bytes | None, str]:
    """Export from the first sample, compare over all; return (the file's bytes, "") or (None, what went wrong)."""
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():  # exporters remark on their own insides
            model = method(job, samples[0].float())
            if model.ByteSize() > _LARGEST:
                return None, f"it would take {model.ByteSize() / 2**30:.1f} GiB, but an ONNX file holds 2 GiB at most"
            data = _finish(model, job, metadata)
            fault = _difference(data, job, samples)
    except Exception as error:  # the exporters raise whatever their many parts raise, and another may still do it
        said = _COLOURS.sub("", str(error)).strip().partition("\n")[0].rstrip(".")
        return None, f"{type(error).__name__}: {said}"
    return (None, fault) if fault else (data, "")


def _by_tracing(job: _Job, example: Tensor) -> Any:
    """Export by running the module once and recording it: seconds, and detectors work."""
    import onnx

    with TemporaryDirectory() as folder:
        file = Path(folder) / "traced.onnx"
        torch.onnx.export(
            job.module,
            (example,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(job.outputs),
            dynamic_axes={INPUT: job.dimensions} if job.dynamic else None,
        )
        return onnx.load(file)


def _by_graph(job: _Job, example: Tensor) -> Any:
    """Export by analysing the module's code: slower, but sees what depends on sizes in places where tracing does not."""
    dimensions = dict.fromkeys(job.dimensions, torch.export.Dim.DYNAMIC)
    program = torch.onnx.export(
        job.module,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=list(job.outputs),
        dynamic_shapes=(dimensions,) if job.dynamic else None,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _finish(model: Any, job: _Job, metadata: Mapping[str, str]) -> bytes:
    """Set the version, take out the exporter's notes (they name files of this machine), add the metadata; return the bytes."""
    import onnx

    model.ir_version = min(model.ir_version, IR_VERSION)
    graph = model.graph
    del graph.value_info[:]
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    sides = graph.input[0].type.tensor_type.shape.dim
    names = {sides[place].dim_param: name for place, name in job.dimensions.items()}
    if job.input_dtype != torch.float32:
        _cast_input(graph, job.input_dtype)
    for tensor in (*graph.input, *graph.output):
        for side in tensor.type.tensor_type.shape.dim:
            if side.dim_param in names:
                side.dim_param = names[side.dim_param]
            elif side.dim_param:
                side.ClearField("dim_param")  # an exporter's symbol or formula: any size
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _cast_input(graph: Any, dtype: torch.dtype) -> None:
    """Let a graph that was exported for float32 take another pixel type; not every exporter knows all of them as inputs."""
    import onnx

    for node in graph.node:
        node.input[:] = ["pixels" if name == INPUT else name for name in node.input]
    graph.node.insert(0, onnx.helper.make_node("Cast", [INPUT], ["pixels"], name="cast", to=onnx.TensorProto.FLOAT))
    element = onnx.helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=dtype).numpy().dtype)
    graph.input[0].type.tensor_type.elem_type = element


def _difference(data: bytes, job: _Job, samples: Sequence[Tensor]) -> str:
    """Return how the exported graph's results differ from the module's, or an empty text."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; another way may still do it
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for sample in samples:
        given = session.run(None, {INPUT: sample.numpy()})
        for name, ours, theirs in zip(job.outputs, job.module(sample), given, strict=True):
            if not _alike(ours.numpy(), theirs, job.detects, job.unsettled):
                size = " x ".join(str(side) for side in sample.shape)
                return f"the exported graph gives another {name} than the network for an input of {size}"
    if job.detects:
        # nothing is to be found on an empty image, which must work too; scores all tie there, so only shapes compare
        empty = torch.zeros_like(samples[-1])
        given = session.run(None, {INPUT: empty.numpy()})
        if any(ours.shape[1:] != theirs.shape[1:] for ours, theirs in zip(job.module(empty), given, strict=True)):
            return "the exported graph does not give detections for an empty image"
    return ""


def _alike(ours: Pixels, theirs: Pixels, detects: bool, unsettled: float = 0.0) -> bool:
    tolerance = _TOLERANCE * float(np.abs(ours).max(initial=1.0))
    if ours.shape == theirs.shape:
        same = np.isclose(ours, theirs, rtol=0, atol=tolerance, equal_nan=True)
        if same.all() or (~same).mean() <= unsettled:
            return True
    if not detects or ours.shape[1:] != theirs.shape[1:]:
        return False
    # of two boxes that overlap, with nearly the same score, rounding decides which one stays, and in which order
    return ours.ndim > 2 or max(_strangers(ours, theirs, tolerance), _strangers(theirs, ours, tolerance)) <= 1 + len(ours) // 10


def _strangers(rows: Pixels, others: Pixels, tolerance: float) -> int:
    """Return how many detections have none like them among the others."""
    rows, others = (array.reshape(len(array), -1) for array in (rows, others))
    distances = np.abs(rows[:, None] - others[None]).max(axis=2, initial=0)
    return int((distances > tolerance).all(axis=1).sum())
