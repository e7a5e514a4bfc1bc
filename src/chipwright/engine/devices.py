"""Where the arithmetic happens, and in which precision."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.errors import OptionError

_ACCELERATE_NAMES = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def choose_device(processor_type: str | None, gpu_id: int = 0) -> torch.device:
    """Return the device: the GPU asked for, else any GPU there is, else the CPU.

    Raises:
        OptionError: if a GPU was asked for and there is none, or not that one.
    """
    if processor_type == "CPU":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        if processor_type == "GPU":
            raise OptionError(
                "A GPU was asked for, but PyTorch sees none here. Use --processor-type CPU, or see `chipwright doctor`."
            )
        return torch.device("cpu")
    local_rank = os.environ.get("LOCAL_RANK")
    if local_rank is not None:
        gpu_id = int(local_rank)
    if gpu_id >= count:
        raise OptionError(f"GPU {gpu_id} was asked for, but this machine has {count}, numbered from 0.")
    return torch.device("cuda", gpu_id)


def has_bfloat16_units(device: torch.device) -> bool:
    """Return whether the device computes bfloat16 in hardware, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(getattr(torch.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def choose_precision(precision: str, device: torch.device) -> str:
    """Return "float32", "bfloat16" or "float16"; `auto` takes the fastest that keeps the quality on this device."""
    if precision == "float16" and device.type == "cpu":
        raise OptionError("Precision float16 needs a GPU; on a CPU use auto, bfloat16 or float32.")
    if precision != "auto":
        return precision
    if has_bfloat16_units(device):
        return "bfloat16"
    return "float16" if device.type == "cuda" else "float32"


def start_accelerator(device: torch.device, precision: str) -> Accelerator:
    """Return accelerate's engine for this device, precision, and however many processes the launcher started."""
    AcceleratorState._reset_state(
        reset_partial_state=True
    )  # its state is global: an earlier run may have left another precision
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    # a discriminator is called twice before its gradients are taken: what the first call keeps must not be written over by
    # buffers that come with the second; see `share_buffers`
    wrapping = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Accelerator(cpu=device.type == "cpu", mixed_precision=_ACCELERATE_NAMES[precision], kwargs_handlers=[wrapping])


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network on the device, convolution weights channels-last: faster on GPUs and in bfloat16 on CPUs.

    Networks with instance normalisation keep their layout: for one image, PyTorch's (2.15, CPU) gives wrong gradients where
    those that come to it are channels-last. So do those with a part that asks for it by `usual_layout`.
    """
    network = network.to(device)
    if device.type == "cpu":
        _fill_small_maps(network)
    if any(isinstance(module, nn.InstanceNorm2d) or hasattr(module, "usual_layout") for module in network.modules()):
        return network
    return network.to(memory_format=torch.channels_last)


def _fill_small_maps(network: nn.Module) -> None:
    """Let convolutions that step further than their map reaches see zeros beyond it, which changes no result.

    PyTorch (2.15, bfloat16 on a CPU) leaves the gradients of weights that only ever meet the padding unwritten, so that
    whatever lay in memory is learnt: NaN, sooner or later. One cell is what pyramids of 64 x 64 pixels end in.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d) or type(layer).forward is not nn.Conv2d.forward:  # others pad in ways of their own
            continue
        if max(layer.stride) > 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
            layer.register_forward_pre_hook(_filled)


def _filled(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    assert isinstance(layer, nn.Conv2d)
    if not torch.is_grad_enabled():
        return None
    lacking = [0, 0]
    for axis, side in enumerate(given[0].shape[-2:]):
        step, room = layer.stride[axis], 2 * int(layer.padding[axis]) - layer.dilation[axis] * (layer.kernel_size[axis] - 1) - 1
        if side < step and (side + room) // step == (step + room) // step:
            lacking[axis] = step - side
    return (F.pad(given[0], (0, lacking[1], 0, lacking[0])),) if any(lacking) else None


def share_buffers(network: nn.Module, accelerator: Accelerator) -> None:
    """Give all processes the first one's buffers, such as statistics of batch normalisation: it is these that are kept."""
    if accelerator.num_processes == 1:
        return
    for buffer in network.buffers():
        shared = buffer.contiguous()
        torch.distributed.broadcast(shared, 0)
        buffer.copy_(shared)
