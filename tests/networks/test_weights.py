"""Pretrained weights: found in the right order, scaled as they were trained, and numerically those of the publisher."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.errors import OptionError
from chipwright.networks import weight_sources, weights
from chipwright.networks.architectures import IMAGENET_MEAN, IMAGENET_STD, build_features, find_architecture
from chipwright.networks.backbones import create_backbone
from chipwright.networks.pretrained import loaded_names
from chipwright.networks.weights import fetch_weights, find_weights, list_weights

TINY = "timm:test_resnet"
TINY_TAGGED = "test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights anywhere, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("CHIPWRIGHT_WEIGHTS", raising=False)


def tiny_state(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(build_features(find_architecture(TINY), 3).state_dict())


def write_tiny(path: Path, metadata: dict[str, str] | None = None, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tiny_state(seed), path, metadata=metadata)
    else:
        torch.save(tiny_state(seed), path)
    return path


def is_tiny(found: weights.BackboneWeights | None, seed: int = 0) -> bool:
    return found is not None and torch.equal(found.state["conv1.0.weight"], tiny_state(seed)["conv1.0.weight"])


def lively(network: nn.Module) -> nn.Module:
    """Give normalisations statistics of their own, so that one in the wrong place would be seen."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    return network.eval()


def test_none_is_no_weights() -> None:
    assert find_weights("RESNET34", "None") is None


FAMILIES: dict[str, tuple[str, Callable[[nn.Module, Tensor], Tensor]]] = {
    "RESNET18": ("resnet18", lambda network, images: nn.Sequential(*list(network.children())[:-2])(images)),
    "VGG11_BN": ("vgg11_bn", lambda network, images: network.features(images)),
    "DENSENET121": ("densenet121", lambda network, images: F.relu(network.features(images))),
    "MOBILENET_V2": ("mobilenet_v2", lambda network, images: network.features[:18](images)),
}


def torchvision_state(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build torchvision's network; VGG with a small classifier, for its own is nine tenths of the weights."""
    if name == "vgg11_bn":
        features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"], batch_norm=True)
        network = lively(nn.ModuleDict({"features": features, "classifier": nn.Sequential(nn.Linear(512, 5))}))
    else:
        network = lively(getattr(torchvision.models, name)(weights=None, num_classes=5))
    return network, dict(network.state_dict())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keyword", FAMILIES)
def test_torchvisions_files_give_torchvisions_features(keyword: str, suffix: str, tmp_path: Path) -> None:
    name, features = FAMILIES[keyword]
    network, state = torchvision_state(name)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    backbone = create_backbone(keyword, 3, find_weights(keyword, str(path))).eval().double()
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images)[-1], features(network.double(), images))
    assert {f"body.{key}" for key, _ in backbone.body.named_parameters()} <= loaded_names(backbone)


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("RESNET18", "resnet18"),
        ("MOBILENET_V2", "mobilenetv2_100"),
        ("timm:test_byobnet", "test_byobnet"),
        pytest.param("DARKNET53", "darknet53", marks=pytest.mark.slow),
    ],
)
def test_timms_files_give_timms_features(keyword: str, name: str, tmp_path: Path) -> None:
    network = lively(timm.create_model(name, num_classes=5))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    backbone = create_backbone(keyword, 3, find_weights(keyword, str(tmp_path / "w.safetensors"))).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = network.forward_intermediates(images, intermediates_only=True)[-1]
        torch.testing.assert_close(backbone(images)[-1], wanted)


def test_old_names_of_torchvisions_densenets_load(tmp_path: Path) -> None:
    _, state = torchvision_state("densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()}
    torch.save(old, tmp_path / "old.pth")
    found = find_weights("DENSENET121", str(tmp_path / "old.pth"))
    assert found is not None
    own, their = "features_denseblock1.denselayer1.norm1.weight", "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(found.state[own], state[their])


def test_a_folded_quantised_mobilenet_gives_torchvisions_features(data: Path) -> None:
    path = data / "weights" / "mobilenet_v2_imagenet_from_quant.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    found = find_weights("MOBILENET_V2", str(path))
    assert found is not None
    assert (found.mean, found.std, found.folded) == ((0.5,) * 3, (0.5,) * 3, True)
    network = torchvision.models.mobilenet_v2(weights=None, num_classes=1001).eval()
    with safe_open(path, framework="pt") as file:
        network.load_state_dict({key: file.get_tensor(key).float() for key in file.keys()})  # noqa: SIM118
    backbone = create_backbone("MOBILENET_V2", 3, found).eval()
    images = torch.rand(1, 3, 96, 96) * 2 - 1
    last_of_map = (1, 3, 6, 13, 17)
    with torch.no_grad():
        for feature, last in zip(backbone(images), last_of_map, strict=True):
            torch.testing.assert_close(feature, network.features[: last + 1](images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("metadata", "mean", "std"),
    [
        ({}, IMAGENET_MEAN, IMAGENET_STD),
        ({"mean": "[0.1, 0.2, 0.3]", "std": "[0.4, 0.5, 0.6]"}, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ({"input": "RGB, x / 127.5 - 1, that is [-1, 1]; not the ImageNet mean"}, (0.5,) * 3, (0.5,) * 3),
        ({"input": "RGB in [-1.0, 1.0]"}, (0.5,) * 3, (0.5,) * 3),
        ({"input": "RGB, x / 255"}, (0.0,) * 3, (1.0,) * 3),
        ({"input": "something else"}, IMAGENET_MEAN, IMAGENET_STD),
    ],
)
def test_the_scaling_is_what_the_file_says(
    metadata: dict[str, str], mean: tuple[float, ...], std: tuple[float, ...], tmp_path: Path
) -> None:
    path = write_tiny(tmp_path / "w.safetensors", metadata)
    found = find_weights("timm:test_resnet", str(path))
    default = weights.default_scaling(find_architecture(TINY))
    expected = default if (mean, std) == (IMAGENET_MEAN, IMAGENET_STD) else (mean, std)
    assert found is not None
    assert (found.mean, found.std) == expected


def test_timm_networks_bring_the_scaling_timm_states() -> None:
    assert weights.default_scaling(find_architecture("timm:inception_v4")) == ((0.5,) * 3, (0.5,) * 3)


def test_an_input_that_is_not_understood_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find_weights(TINY, str(write_tiny(tmp_path / "w.safetensors", {"input": "BGR, 0..255"})))
    assert 'says of its input "BGR, 0..255", which is not understood' in capsys.readouterr().err


def test_a_json_file_beside_the_weights_states_their_scaling(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "w.pth")
    path.with_suffix(".json").write_text(json.dumps({"mean": [0.2] * 3, "std": [0.3] * 3, "batch_norm": "folded"}))
    found = find_weights(TINY, str(path))
    assert found is not None
    assert (found.mean, found.std, found.folded) == ((0.2,) * 3, (0.3,) * 3, True)


@pytest.mark.parametrize("mean", ["[123.7, 116.3, 103.5]", "[0.5]", '"grey"'])
def test_a_scaling_that_cannot_be_is_refused(mean: str, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "w.safetensors", {"mean": mean, "std": "[0.5, 0.5, 0.5]"})
    with pytest.raises(OptionError, match=r"w\.safetensors (states|must state)"):
        find_weights(TINY, str(path))


def test_a_word_that_is_no_file_is_refused() -> None:
    with pytest.raises(OptionError, match='\'imagnet\', which is neither "imagenet", "none" nor a file'):
        find_weights(TINY, "imagnet")


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k.safetensors", "TEST_RESNET.pth", "test_resnet.bin"])
def test_the_folder_of_weights_is_searched_by_any_usual_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(write_tiny(tmp_path / "w" / name).parent))
    assert is_tiny(find_weights(TINY, "imagenet"))


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("RESNET34", "RESNET34.safetensors"),
        ("RESNET34", "resnet34.tv_in1k.safetensors"),
        ("RESNET34", "resnet34-b627a593.pth"),
        ("RESNET34", "resnet34-333f7ec4.pth"),
        ("MOBILENET_V2", "mobilenet_v2-b0353104.pth"),
        ("MOBILENET_V2", "mobilenet_v2.pth"),
        ("MOBILENET_V2", "mobilenetv2_100_ra-b33bc2c4.pth"),
        ("DARKNET53", "darknet53_256_c2ns-3aeff817.pth"),
    ],
)
def test_publishers_file_names_are_known(keyword: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).touch()
    (tmp_path / "resnet18-f37072fd.pth").touch()
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(tmp_path))
    assert weight_sources.find_file(find_architecture(keyword)) == tmp_path / name


def test_torch_hubs_cache_is_searched(tmp_path: Path) -> None:
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    cached.with_name("resnet50-11ad3fa6.pth").touch()
    assert weight_sources.find_file(find_architecture("RESNET50")) == cached


def hub_cached(root: Path) -> Path:
    repository = root / "hub" / f"models--timm--{TINY_TAGGED}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    return write_tiny(repository / "snapshots" / "abc" / "model.safetensors", seed=5)


def test_the_hugging_face_cache_is_searched_and_named_as_source(tmp_path: Path) -> None:
    hub_cached(tmp_path)
    found = find_weights(TINY, "imagenet")
    assert is_tiny(found, seed=5)
    assert found is not None and found.source == TINY_TAGGED


def test_the_folder_of_weights_goes_before_the_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_cached(tmp_path)
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(write_tiny(tmp_path / "w" / "test_resnet.pth", seed=6).parent))
    assert is_tiny(find_weights(TINY, "imagenet"), seed=6)


def test_a_folder_of_weights_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(OptionError, match=r"CHIPWRIGHT_WEIGHTS is .*nowhere, which is no folder"):
        find_weights(TINY, "imagenet")


def test_weights_that_are_not_to_be_had_are_answered_with_the_three_ways_on() -> None:
    with pytest.raises(OptionError) as caught:
        find_weights("RESNET34", "imagenet")
    for words in ("RESNET34", "HF_HUB_OFFLINE", "chipwright weights fetch RESNET34 --to DIR", "CHIPWRIGHT_WEIGHTS",
                  "--backbone-weights FILE", "--backbone-weights none"):  # fmt: skip
        assert words in str(caught.value)


def test_a_network_that_was_never_published_says_so() -> None:
    with pytest.raises(OptionError, match="There are no published weights for timm:darknet17"):
        find_weights("timm:darknet17", "imagenet")


def test_without_a_network_the_answer_comes_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(weight_sources, "getproxies", dict)
    start = time.monotonic()
    with pytest.raises(OptionError, match=r"127\.0\.0\.1 cannot be reached"):
        find_weights(TINY, "imagenet")
    assert time.monotonic() - start < 15


def test_a_proxy_is_asked_in_the_hosts_place(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise OSError

    monkeypatch.setattr(weight_sources, "getproxies", lambda: {"https": "http://proxy.example:3128"})
    monkeypatch.setattr(weight_sources.socket, "create_connection", refuse)
    with pytest.raises(weight_sources.DownloadFailed, match=r"huggingface\.co cannot be reached"):
        weight_sources._check_reachable("https://huggingface.co/x")
    assert asked == [("proxy.example", 3128)]


def test_every_keyword_is_listed_with_licence_and_size_and_whether_it_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "RESNET34.safetensors").write_bytes(bytes(2_000_000))
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(tmp_path))
    rows = {row.keyword: row for row in list_weights()}
    here, away = rows["RESNET34"], rows["RESNET18"]
    assert len(rows) == 19
    assert (here.network, here.path, here.megabytes) == ("resnet34.tv_in1k", tmp_path / "RESNET34.safetensors", 2)
    assert (away.licence, away.path, away.megabytes) == ("bsd-3-clause", None, 47)


def test_sizes_listed_are_those_of_the_networks() -> None:
    for keyword in ("RESNET18", "VGG11_BN", "MOBILENET_V2", "DARKNET53"):
        architecture = find_architecture(keyword)
        size = 4 * sum(shape.numel() for shape in weights_of(architecture))
        assert architecture.megabytes == round(size / 1e6)


def weights_of(architecture: object) -> list[torch.Size]:
    from chipwright.networks.architectures import full_shapes

    return list(full_shapes(architecture).values())  # type: ignore[arg-type]


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the network: every download gives the tiny network's weights; what was asked for is listed."""
    asked: list[str] = []

    def deliver(architecture: object) -> Path:
        asked.append(architecture.name)  # type: ignore[attr-defined]
        return write_tiny(tmp_path / "hub" / "model.safetensors", seed=7)

    monkeypatch.setattr(weights, "download", deliver)
    return asked


def test_fetched_weights_carry_their_scaling_licence_and_source(downloads: list[str], tmp_path: Path) -> None:
    [path] = fetch_weights([TINY], tmp_path / "fetched")
    assert path == tmp_path / "fetched" / f"{TINY_TAGGED}.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["backbone"], metadata["network"], metadata["licence"]) == (TINY, TINY_TAGGED, "apache-2.0")
    assert metadata["source"] == f"https://huggingface.co/timm/{TINY_TAGGED}"
    assert json.loads(metadata["mean"]) == list(weights.default_scaling(find_architecture(TINY))[0])


def test_fetched_weights_serve_a_machine_without_a_network(
    downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_weights([TINY], tmp_path / "fetched")
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(tmp_path / "fetched"))
    found = find_weights(TINY, "imagenet")
    assert is_tiny(found, seed=7)
    assert found is not None and found.source == TINY_TAGGED
    assert downloads == [TINY]


def test_what_is_already_fetched_is_not_fetched_again(downloads: list[str], tmp_path: Path) -> None:
    assert fetch_weights([TINY], tmp_path) == fetch_weights([TINY], tmp_path)
    assert downloads == [TINY]


def test_an_unknown_name_stops_the_fetch_before_any_download(downloads: list[str], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="There is no backbone 'RESNET35'"):
        fetch_weights([TINY, "RESNET35"], tmp_path)
    assert downloads == []


def test_a_download_that_does_not_fit_leaves_no_file(downloads: list[str], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="do not fit RESNET18"):
        fetch_weights(["RESNET18"], tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
