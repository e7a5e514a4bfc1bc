"""Exporting a network to ONNX, scaling included, so that raw pixels go in.

Operator set 18 and IR version 9, which onnxruntime reads from 1.17 on: that is what QGIS and ArcGIS Pro 3.3 carry. Every export
is run under onnxruntime and compared with the network before the file is written.
"""

from __future__ import annotations

import copy
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright.errors import ChipwrightError, MissingExtra
from chipwright.files import whole_file
from chipwright.spec import Normalization

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 18
IR_VERSION = 9

INPUT = "input"

_TOLERANCE = 1e-3
"""Largest difference to the network's own result, as a share of its largest value."""

_LARGEST = 2**31 - 1
"""Bytes that fit in one ONNX file."""

_UNEVEN = (13, 6)
"""Rows and columns added to the chip size for sizes that are no multiple of anything: what holds there holds anywhere."""


def export_onnx(
    network: nn.Module,
    normalization: Normalization,
    bands: int,
    chip_size: tuple[int, int],
    path: Path,
    *,
    dynamic: bool = True,
    input_dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a network to an ONNX file, whole or not at all, and return its path.

    The graph takes "input", (batch, bands, height, width) in the units of the chips, scales it, and gives the network's
    result: "output", or one output a name where the network returns a dictionary, or "output_0", "output_1", ... A network that
    returns a dictionary an image (torchvision's contract for detection) is exported for one image at a time.

    Args:
        network: takes normalised images; its training mode is left as it was.
        normalization: of the images.
        bands: bands of the images.
        chip_size: (width, height) in pixels that the network was trained on.
        path: of the file.
        dynamic: whether any batch size, height and width may be given; else one image of `chip_size`.
        input_dtype: pixel type of the input: "float32", "uint8", "uint16", "int16".
        metadata: written into the file as its metadata properties.

    Raises:
        MissingExtra: if onnx, onnxscript or onnxruntime is not installed.
        ChipwrightError: if the network cannot be exported, or the exported graph computes something else.
    """
    _require_onnx()
    import torch

    width, height = chip_size
    detects = _detects(network, bands, chip_size)
    wrapped = _wrap(network, normalization, detects)
    even = _Size(1, bands, height, width)
    uneven = _Size(1 if detects else 3, bands, height + _UNEVEN[0], width + _UNEVEN[1])
    sizes = [even, uneven] if dynamic else [even]
    dtype = getattr(torch, input_dtype)
    names = _output_names(wrapped, even.pixels(dtype))
    faults = []
    for method in (_by_export, _by_tracing):
        try:
            with _silent():
                model = method(wrapped, sizes[-1].pixels(dtype), names, dynamic, detects)
            _finish(model, metadata or {})
            fault = next((found for size in sizes if (found := _difference(model, wrapped, size.pixels(dtype)))), None)
        except ChipwrightError:
            raise
        except Exception as error:
            # the exporters raise whatever their many parts raise; the next one may still do it
            fault = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        if fault is None:
            with whole_file(path) as part:
                part.write_bytes(model.SerializeToString())
            return path
        faults.append(fault)
    raise ChipwrightError(f"The network could not be exported to ONNX ({faults[-1]}); no file was written.")


def _require_onnx() -> None:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra("onnx", "Exporting to ONNX") from error


class _Size:
    """An input's shape, and pixels to try it with."""

    def __init__(self, batch: int, bands: int, height: int, width: int) -> None:
        self.shape = (batch, bands, height, width)

    def pixels(self, dtype: Any) -> Tensor:
        """Return the same random pixels each time, 0 to 255 (127 for signed bytes)."""
        import torch

        random = torch.rand(self.shape, generator=torch.Generator().manual_seed(0))
        return (random * (127 if dtype == torch.int8 else 255)).to(dtype)


def _detects(network: nn.Module, bands: int, chip_size: tuple[int, int]) -> bool:
    """Return whether the network gives a dictionary an image, as torchvision's detectors do."""
    import torch

    with _evaluating(network) as evaluated, torch.no_grad():
        device = next(evaluated.parameters(), torch.zeros(0)).device
        result = evaluated(torch.zeros(1, bands, chip_size[1], chip_size[0], device=device))
    return isinstance(result, list) and bool(result) and isinstance(result[0], Mapping)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[nn.Module]:
    modes = {module: module.training for module in network.modules()}
    try:
        yield network.eval()
    finally:
        for module, training in modes.items():
            module.training = training


def _wrap(network: nn.Module, normalization: Normalization, detects: bool) -> nn.Module:
    """Return scaling and network as one module on the CPU in evaluation mode; the network itself is left alone."""
    from torch import nn

    from chipwright.tasks.base import Normalize

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.normalize = Normalize(normalization)
            self.network = copy.deepcopy(network)

        def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
            images = self.normalize(pixels)
            result = self.network([images[0]])[0] if detects else self.network(images)
            return tuple(tensor for _, tensor in named_outputs(result))

    return Wrapped().cpu().eval().requires_grad_(False)


def named_outputs(result: Any) -> list[tuple[str, Tensor]]:
    """Return a network's result as (name, tensor) pairs, whatever it is made of."""
    if isinstance(result, Mapping):
        return [(str(name), tensor) for name, tensor in result.items()]
    if isinstance(result, Sequence):
        return [(f"output_{place}", tensor) for place, tensor in enumerate(result)]
    return [("output", result)]
