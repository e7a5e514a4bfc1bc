"""What is installed, which devices there are, what is missing, and the line that mends it.

Libraries are loaded in a process of their own, one after the other: one that crashes is named, and does not take us along.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from chipwright.errors import OPENMMLAB, OPENMMLAB_REQUIREMENTS, install_line

GET_STARTED = 'PyTorch\'s "Get Started" page (pytorch.org) has a selector that writes the line for your system'
"""Where readers are sent for a PyTorch build: the addresses of its builds change, the selector stays."""

_IMPORT_NAMES = {
    "pyyaml": "yaml", "scikit-image": "skimage", "opencv-python-headless": "cv2", "onedl-mmcv": "mmcv",
    "onedl-mmdetection": "mmdet", "onedl-mmengine": "mmengine", "onedl-mmsegmentation": "mmseg",
}  # fmt: skip
"""Distributions whose module has another name than theirs with underscores."""

_SECONDS = 300.0
"""Longest time for loading every library; a slow disk with a virus scanner takes a minute or two."""

_SMALL_SHARED_MEMORY = 512 * 1024**2


def examine() -> dict[str, Any]:
    """Return the findings as JSON data: versions, devices, extras, folders, and `problems` and `hints` as sentences.

    `usable` is False where a core dependency is missing, too old or broken.
    """
    needed, extras = requirements()
    modules = [*needed, *(name for names in extras.values() for name in names if _installed(name))]
    loaded = _load(modules)
    problems: list[str] = []
    core = [_dependency(name, least, loaded) for name, least in needed.items()]
    for entry in core:
        if entry["problem"]:
            problems.append(_core_sentence(entry))
    if not needed:
        problems.append("chipwright itself is not installed, only its files are here: pip install chipwright")
    devices = loaded.get("devices") or {}
    if isinstance(devices, str):  # asking for the devices ended the process
        devices = {"gpu_problem": devices}
    folders, folder_problems = _folders()
    return {
        "usable": not problems,
        "chipwright": _installed("chipwright"),
        "python": {"version": platform.python_version(), "path": sys.executable},
        "system": _system(),
        "torch": {key: devices.get(key) for key in ("build", "cuda_build", "precision_units")},
        "devices": _devices(devices),
        "dependencies": core,
        "extras": {extra: _extra(extra, names, loaded) for extra, names in extras.items()},
        "folders": folders,
        "problems": problems,
        "hints": [*folder_problems, *_hints(devices)],
    }


def requirements() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return (core, extras) as our own metadata names them: distribution -> least version, and that for each extra."""
    try:
        lines = requires("chipwright") or []
    except PackageNotFoundError:
        return {}, {}
    core: dict[str, str] = {}
    extras: dict[str, dict[str, str]] = {}
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        least = re.search(r">=\s*([\w.]+)", line)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", line)
        if name is None:
            continue
        group = extras.setdefault(extra[1], {}) if extra else core
        group[name[0]] = least[1] if least else ""
    extras.pop("dev", None)
    listed = OPENMMLAB_REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pinned = [line.partition("==") for line in listed if line and not line.startswith("#")]
    extras[OPENMMLAB] = {name: least for name, _, least in pinned}
    return core, extras


def _dependency(name: str, least: str, loaded: dict[str, Any]) -> dict[str, Any]:
    found = _installed(name)
    problem = None
    if found is None:
        problem = "is not installed"
    elif least and _numbers(found) < _numbers(least):
        problem = f"is {found}, but at least {least} is needed"
    elif loaded.get(name, "") is not None:
        problem = f"cannot be loaded ({loaded.get(name, 'it was not reached')})"
    return {"name": name, "version": found, "needed": least, "problem": problem}


def _core_sentence(entry: dict[str, Any]) -> str:
    name, problem = entry["name"], entry["problem"]
    if name == "torch":
        return f"torch {problem}. Install PyTorch again: {GET_STARTED}."
    if name == "torchvision":
        return (
            f"torchvision {problem}. It must come from the same build as torch {_installed('torch')}: remove both "
            f"(pip uninstall torch torchvision) and install them in one line; {GET_STARTED}."
        )
    least = f">={entry['needed']}" if entry["needed"] else ""
    again = "" if entry["version"] is None or "needed" in problem else " --force-reinstall"
    return f'{name} {problem}. Mend it with: pip install{again} "{name}{least}"'


def _extra(extra: str, names: dict[str, str], loaded: dict[str, Any]) -> dict[str, Any]:
    faults = {name: entry["problem"] for name, least in names.items() if (entry := _dependency(name, least, loaded))["problem"]}
    return {
        "ready": not faults,
        "versions": {name: _installed(name) for name in names},
        "problems": faults,
        "mend": install_line(extra) if faults else None,
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """Return the release numbers of a version ("2.15.0+cpu" -> (2, 15, 0))."""
    release = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


# -- loading libraries, in a process of their own


def _load(names: list[str]) -> dict[str, Any]:
    """Return distribution -> None where it loads, else why not; and "devices" as torch sees them."""
    command = [sys.executable, "-c", "from chipwright.doctor import probe; probe()", *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=_SECONDS)
        lines, status = done.stdout.splitlines(), done.returncode
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
        lines = (output.decode("utf-8", "replace") if isinstance(output, bytes) else output).splitlines()
        status = None
    found: dict[str, Any] = {}
    under_way = None
    for entry in _entries(lines):
        if "starting" in entry:
            under_way = entry["starting"]
        else:
            found |= entry
            under_way = None
    if under_way is not None:
        found[under_way] = f"took longer than {_SECONDS:g} s" if status is None else f"it ends the program, status {status}"
        rest = [name for name in names if name not in found]
        return found if status is None or not rest else _load(rest) | found
    return found


def _entries(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:  # a library's own print that happens to begin with a brace
                continue


def probe() -> None:
    """Load the libraries named on the command line and print what happened, a JSON object a line."""
    import warnings

    warnings.simplefilter("ignore")
    for name in sys.argv[1:]:
        _print({"starting": name})
        try:
            import_module(_IMPORT_NAMES.get(name, name.replace("-", "_")))
        except Exception as error:  # a broken library raises whatever it likes: ImportError, OSError, RuntimeError
            _print({name: f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
            continue
        _print({name: None})
        if name == "torch":
            _print({"starting": "devices"})
            _print({"devices": _torch_devices()})


def _print(entry: dict[str, Any]) -> None:
    print(json.dumps(entry), flush=True)


def _torch_devices() -> dict[str, Any]:
    import torch

    units = {"_is_avx512_bf16_supported": "AVX512-BF16", "_is_amx_tile_supported": "AMX"}
    found: dict[str, Any] = {
        "build": str(torch.__version__),
        "cuda_build": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "precision_units": [word for name, word in units.items() if getattr(torch.cpu, name, bool)()],
        "gpus": [],
        "gpu_problem": None,
    }
    try:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        for index in range(count):
            properties = torch.cuda.get_device_properties(index)
            free, total = torch.cuda.mem_get_info(index)
            found["gpus"].append(
                {
                    "id": index,
                    "name": properties.name,
                    "memory_gib": round(total / 2**30, 1),
                    "free_gib": round(free / 2**30, 1),
                    "capability": f"{properties.major}.{properties.minor}",
                    "bfloat16": properties.major >= 8,
                }
            )
    except Exception as error:  # an old driver shows itself only here
        found["gpu_problem"] = " ".join(str(error).split())[:300]
    return found


# -- the machine


def _system() -> dict[str, Any]:
    return {"name": platform.platform(), "machine": platform.machine(), "memory_gib": _memory()}


def _memory() -> float | None:
    try:
        return round(import_module("psutil").virtual_memory().total / 2**30, 1)
    except ImportError:
        return None


def _devices(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "cpu": {"model": _processor(), "cores": os.cpu_count(), "bfloat16_units": found.get("precision_units", [])},
        "gpus": found.get("gpus", []),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8", errors="replace"), re.M)
        if match:
            return match[1].strip()
    return platform.processor() or platform.machine()


def _hints(devices: dict[str, Any]) -> list[str]:
    """Return sentences about what works but could work better."""
    hints = []
    if devices.get("gpu_problem"):
        hints.append(f"PyTorch cannot use the GPU: {devices['gpu_problem']}")
    elif devices and not devices["gpus"] and (card := _nvidia_card()):
        why = "was built for CPUs only" if devices["cuda_build"] is None else f"(CUDA {devices['cuda_build']}) does not see it"
        hints.append(f"There is a GPU ({card}), but this PyTorch, {devices['build']}, {why}: {GET_STARTED}; choose CUDA there.")
    shared = Path("/dev/shm")
    if sys.platform == "linux" and shared.is_dir() and shutil.disk_usage(shared).total < _SMALL_SHARED_MEMORY:
        size = shutil.disk_usage(shared).total // 2**20
        hints.append(
            f"Shared memory (/dev/shm) is {size} MiB, too little for loader processes: start the container with "
            "--shm-size=2g, or train with --workers 0."
        )
    return hints


def _nvidia_card() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    names = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return names[0] if done.returncode == 0 and names else None


# -- folders


def _folders() -> tuple[list[dict[str, Any]], list[str]]:
    """Return the folders that chipwright reads and writes, and sentences about those it cannot use."""
    found, problems = [], []
    weights = os.environ.get("CHIPWRIGHT_WEIGHTS")
    if weights:
        path = Path(weights).expanduser()
        there = path.is_dir()
        found.append({"use": "backbone weights (CHIPWRIGHT_WEIGHTS)", "path": str(path), "ready": there})
        if not there:
            problems.append(
                f"CHIPWRIGHT_WEIGHTS names the folder {path}, which does not exist. Make it, or unset the variable."
            )
    for use, path in _written_folders().items():
        writable = _can_write(path)
        found.append({"use": use, "path": str(path), "ready": writable})
        if not writable:
            problems.append(f"The folder for {use}, {path}, cannot be written to.")
    return found, problems


def _written_folders() -> dict[str, Path]:
    temporary = Path(tempfile.gettempdir())
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
    torch_hub = Path(os.environ.get("TORCH_HOME", "~/.cache/torch"))
    return {
        "weights from the Hugging Face hub": Path(hub).expanduser(),
        "weights from torchvision": torch_hub.expanduser() / "hub" / "checkpoints",
        "temporary files": temporary,
    }


def _can_write(folder: Path) -> bool:
    """Return whether files can be made in `folder`, or in the nearest folder above it that exists."""
    existing = next((path for path in (folder, *folder.parents) if path.is_dir()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False
