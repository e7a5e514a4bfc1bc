"""Where published backbone weights lie on this machine, and how they get there.

Looked through in this order: the folder that CHIPWRIGHT_WEIGHTS names, the Hugging Face hub's cache, torch hub's cache; then
the hub and the publisher's own address are asked, unless the machine is offline.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from chipwright.console import say
from chipwright.errors import ChipwrightError, OptionError
from chipwright.networks.architectures import Architecture, weights_config
from chipwright.networks.state_dicts import SUFFIXES

FOLDER_VARIABLE = "CHIPWRIGHT_WEIGHTS"

_CONNECT_SECONDS = 4.0
_STALLED_SECONDS = 30.0
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_HASH = re.compile(r"-([0-9a-f]{8,})$")


class DownloadFailed(ChipwrightError):  # noqa: N818 - says what happened
    """The weights could not be downloaded; the message says why."""


def find_file(architecture: Architecture) -> Path | None:
    """Return the file with the network's published weights on this machine, or None. Asks no network.

    Raises:
        OptionError: if CHIPWRIGHT_WEIGHTS names no folder.
    """
    return _in_folder(architecture) or _in_hub_cache(architecture) or _in_torch_cache(architecture)


def find_named(name: str) -> Path | None:
    """Return the file of that name in the folder of weights or torch hub's cache, or None. Asks no network.

    Raises:
        OptionError: if CHIPWRIGHT_WEIGHTS names no folder.
    """
    present = {path.name: path for path in _cached()} | _own_folder()
    return present.get(name) or present.get(name.lower())


def _in_folder(architecture: Architecture) -> Path | None:
    present = _own_folder()
    stems = [own_file_stem(architecture), architecture.tagged, *_published_stems(architecture), architecture.network]
    for stem in (known.lower() for known in stems):
        for suffix in SUFFIXES:
            if stem + suffix in present:
                return present[stem + suffix]
    return _by_pattern(architecture, present)


def _own_folder() -> dict[str, Path]:
    """Return the files in the folder that CHIPWRIGHT_WEIGHTS names, by their names in lower case."""
    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    if not named:
        return {}
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise OptionError(f"{FOLDER_VARIABLE} is {named}, which is no folder; set it to the folder of weights or unset it.")
    # Files written on one system are read on another: upper and lower case are the same.
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}


def own_file_stem(architecture: Architecture) -> str:
    """Return the name, without suffix, under which fetched weights are kept: "RESNET34", "convnext_tiny.in12k_ft_in1k"."""
    return architecture.tagged if architecture.name.startswith("timm:") else architecture.name


def _by_pattern(architecture: Architecture, present: dict[str, Path]) -> Path | None:
    """Return a file named like torchvision's, "resnet34-b627a593.pth", whatever its hash."""
    if not architecture.torchvision:
        return None
    pattern = re.compile(re.escape(architecture.torchvision) + r"-[0-9a-f]{8}\.(pth|pt|safetensors)")
    return next((path for name, path in present.items() if pattern.fullmatch(name)), None)


def _in_hub_cache(architecture: Architecture) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for repository, revision, file in _hub_files(architecture):
        found = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def _hub_files(architecture: Architecture) -> Iterator[tuple[str, str | None, str]]:
    """Yield (repository, revision, file) of the weights on the Hugging Face hub."""
    config = weights_config(architecture)
    if config is None or not config.hf_hub_id:
        return
    repository, _, revision = config.hf_hub_id.partition("@")
    for file in (config.hf_hub_filename,) if config.hf_hub_filename else _HUB_FILES:
        yield repository, revision or None, file


def is_hub_file(path: Path) -> bool:
    """Whether a file has the name that every weights file has in the Hugging Face hub's cache."""
    return path.name in _HUB_FILES


def _in_torch_cache(architecture: Architecture) -> Path | None:
    present = {path.name: path for path in _cached()}
    for url in _addresses(architecture):
        if Path(urlsplit(url).path).name in present:
            return present[Path(urlsplit(url).path).name]
    return _by_pattern(architecture, present)


def _cached() -> list[Path]:
    folder = torch_cache()
    return [path for path in sorted(folder.iterdir()) if path.is_file()] if folder.is_dir() else []


def torch_cache() -> Path:
    """Return the folder where torch hub, and torchvision with it, keeps downloaded weights."""
    from torch import hub

    return Path(hub.get_dir()) / "checkpoints"


def _published_stems(architecture: Architecture) -> list[str]:
    return [Path(urlsplit(url).path).stem for url in _addresses(architecture)]


def _addresses(architecture: Architecture) -> list[str]:
    """Return the addresses of the weights beside the hub: torchvision's first ImageNet weights, and the one timm knows."""
    found = []
    if architecture.torchvision:
        from torchvision.models import get_model_weights

        found.append(str(get_model_weights(architecture.torchvision).IMAGENET1K_V1.url))
    config = weights_config(architecture)
    if config is not None and isinstance(config.url, str) and config.url.startswith("http"):
        found.append(config.url)
    return list(dict.fromkeys(found))


def offline() -> bool:
    """Whether the user has said, in the Hugging Face hub's way, that no network is to be asked."""
    words = (os.environ.get("HF_HUB_OFFLINE"), os.environ.get("TRANSFORMERS_OFFLINE"))
    return any((word or "").upper() in ("1", "ON", "YES", "TRUE") for word in words)


def download(architecture: Architecture) -> Path:
    """Download the network's published weights into the hub's cache, or torch hub's, and return the file.

    A machine without a network is told within a few seconds.

    Raises:
        DownloadFailed: saying why.
    """
    if offline():
        raise DownloadFailed("HF_HUB_OFFLINE is set, so nothing was downloaded")
    reasons = []
    for fetch in (_download_from_hub, _download_from_address):
        try:
            return fetch(architecture)
        except DownloadFailed as fault:
            reasons.append(str(fault))
    raise DownloadFailed("; ".join(reasons))


def _announce(architecture: Architecture, address: str) -> None:
    size = f", about {architecture.megabytes} MB" if architecture.megabytes else ""
    say(f"Downloading the weights {architecture.tagged} of {architecture.name}{size} from {urlsplit(address).hostname}.")


def _download_from_hub(architecture: Architecture) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    files = list(_hub_files(architecture))
    if not files:
        raise DownloadFailed("the Hugging Face hub has none")
    _check_reachable(constants.ENDPOINT)
    _announce(architecture, constants.ENDPOINT)
    for repository, revision, file in files:
        try:
            return Path(hf_hub_download(repository, file, revision=revision, etag_timeout=_CONNECT_SECONDS))
        except EntryNotFoundError:
            continue
        except Exception as fault:  # the hub's client raises its HTTP library's own errors, which differ by version
            reason = str(fault).strip().partition("\n")[0]
            raise DownloadFailed(f"{constants.ENDPOINT} gave no weights ({reason})") from fault
    raise DownloadFailed(f"{constants.ENDPOINT} has no weights file in {files[0][0]}")


def _download_from_address(architecture: Architecture) -> Path:
    urls = _addresses(architecture)
    if not urls:
        raise DownloadFailed("no other address is known")
    _check_reachable(urls[0])
    _announce(architecture, urls[0])
    return _into_torch_cache(urls[0])


def download_address(address: str, what: str) -> Path:
    """Download a weights file from its publisher's address into torch hub's cache and return it.

    Args:
        address: its name ends in the first digits of the file's SHA-256, which is checked, if it is a publisher's.
        what: the weights, for the log ("Downloading WHAT from HOST.").

    Raises:
        DownloadFailed: saying why.
    """
    if offline():
        raise DownloadFailed("HF_HUB_OFFLINE is set, so nothing was downloaded")
    _check_reachable(address)
    say(f"Downloading {what} from {urlsplit(address).hostname}.")
    return _into_torch_cache(address)


def published_file(address: str, what: str, names: Sequence[str] = (), other_ways: str = "") -> Path:
    """Return the file that a publisher's address names: a copy on this machine, or one downloaded from there.

    Args:
        address, what: as in `download_address`.
        names: under which copies are looked for; that of the address if not given.
        other_ways: what else a user without a network may do, for the error: " or ...".

    Raises:
        OptionError: if it is not to be had, with the ways on.
    """
    found = next(filter(None, map(find_named, names or (Path(urlsplit(address).path).name,))), None)
    if found is not None:
        return found
    try:
        return download_address(address, what)
    except DownloadFailed as fault:
        raise OptionError(
            f"{what[0].upper()}{what[1:]} are not on this machine and could not be downloaded: {fault}. Fetch {address} on a "
            f"machine with a network, bring the file here, and set {FOLDER_VARIABLE} to its folder{other_ways}."
        ) from fault


def _into_torch_cache(address: str) -> Path:
    from torch import hub

    target = torch_cache() / Path(urlsplit(address).path).name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = _HASH.search(target.stem)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED_SECONDS)
    try:
        hub.download_url_to_file(address, str(target), hash_prefix=digest.group(1) if digest else None, progress=False)
    except (OSError, RuntimeError) as fault:
        raise DownloadFailed(f"{address} gave no weights ({fault})") from fault
    finally:
        socket.setdefaulttimeout(before)
    return target


def _check_reachable(address: str) -> None:
    """Raise `DownloadFailed` unless the host (or the proxy on the way to it) takes a connection within a few seconds.

    The clients themselves try again and again, and looking up a name has no time limit of its own, hence the thread.
    """
    parts = urlsplit(address)
    proxy = getproxies().get(parts.scheme)
    door = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else parts
    port = door.port or (80 if door.scheme == "http" else 443)
    answered = threading.Event()

    def knock() -> None:
        try:
            with socket.create_connection((door.hostname, port), timeout=_CONNECT_SECONDS):
                answered.set()
        except OSError:
            pass

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(_CONNECT_SECONDS)
    if not answered.is_set():
        raise DownloadFailed(f"{parts.hostname} cannot be reached")
