"""Images as trained networks see them: the arithmetic of FID and LPIPS, where networks come from, and what is said without."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pair_builders
import pytest
import torch

from chipwright import api
from chipwright.tasks.frechet import FrechetMetrics, frechet_distance
from chipwright.tasks.image_metrics import ImageMetrics
from chipwright.tasks.lpips import LpipsMetrics
from chipwright.tasks.network_metrics import NetworkMetrics, as_seen, cycle_colors, pair_colors

COLORS = pair_colors(0.0, 255.0, [0, 1, 2])


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with random weights of FID's network, where weights are looked for."""
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="needs the extra fid")
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save({}, folder / "none.pth")
    monkeypatch.setattr(extractor.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    torch.manual_seed(0)
    network = extractor.FeatureExtractorInceptionV3("inception", ["2048"], str(folder / "none.pth"))
    monkeypatch.undo()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # else nothing is left of an image after so many layers
    path = folder / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(folder))
    return path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no weights on this machine, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("CHIPWRIGHT_WEIGHTS", raising=False)


def images(count: int, seed: int = 0, bands: int = 3) -> list[torch.Tensor]:
    """Return images of random bytes."""
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randint(0, 256, (count, bands, 40, 40), generator=generator).to(torch.uint8))


def measured(
    *batches: tuple[list[torch.Tensor], list[torch.Tensor]], kind: type[NetworkMetrics] = FrechetMetrics
) -> NetworkMetrics:
    """Return what gathered from batches of (made, true) images."""
    metrics = kind(ImageMetrics(0, 255), COLORS)
    for made, true in batches:
        metrics.update(made, {"image": torch.zeros(len(made), 1), "target": torch.stack(true)})
    return metrics


def test_the_distance_of_single_channels_is_that_of_their_means_and_deviations() -> None:
    some, others = torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[1.0], [7.0], [13.0]])
    assert frechet_distance(some, others) == pytest.approx((7 - 2) ** 2 + (6 - 2) ** 2)
    assert frechet_distance(some, some) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("count", [6, 60], ids=["fewer samples than channels", "more"])
def test_the_distance_is_that_of_the_roots_of_covariances(count: int) -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    some, others = rng.normal(0, 1, (count, 12)), rng.normal(0.5, 1, (count, 12)) @ rng.normal(0, 1, (12, 12))
    first, second = np.cov(some, rowvar=False), np.cov(others, rowvar=False)
    root = sqrtm(first)
    expected = np.square(some.mean(0) - others.mean(0)).sum() + np.trace(first + second - 2 * sqrtm(root @ second @ root)).real
    assert frechet_distance(torch.tensor(some), torch.tensor(others)) == pytest.approx(expected, rel=1e-5)


def test_it_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Corner(torch.nn.Module):
        num_features = 12

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures[:, :, :2, :2].flatten(1).double()

    made, true = torch.stack(images(40)), torch.stack(images(40, 1)) // 2
    reference: Any = FrechetInceptionDistance(feature=Corner()).set_dtype(torch.float64)
    reference.update(true, real=True)
    reference.update(made, real=False)
    described = [Corner()(pictures) for pictures in (made, true)]
    assert frechet_distance(*described) == pytest.approx(float(reference.compute()), rel=1e-6)


def test_images_are_shown_as_colours_of_bytes() -> None:
    image = torch.tensor([0, 300, 1000, 2000], dtype=torch.uint16)[:, None, None]
    assert as_seen(image, 0, 1000, [2, 1, 0]).flatten().tolist() == [255, 76, 0]
    assert as_seen(image.numpy()[1:2], 0, 1000, [0]).flatten().tolist() == [76, 76, 76]


def test_it_stands_beside_the_other_figures(weights: Path) -> None:
    evaluation = measured((images(3), images(3, 1))).compute()
    assert evaluation.scalars["fid"] > 0
    assert evaluation.scalars["psnr"] == pytest.approx(7.75, abs=0.2)  # of random bytes
    assert "Of fewer than 2,048 it comes out too high" in evaluation.notes[-1]
    assert measured((images(3), images(3))).compute().scalars["fid"] == pytest.approx(0, abs=1e-6)


def test_batches_and_processes_add_up(weights: Path) -> None:
    made, true = images(4), images(4, 1)
    whole = measured((made, true)).compute()
    first, second = measured((made[:2], true[:2])), measured((made[2:3], true[2:3]), (made[3:], true[3:]))
    first.merge(pickle.loads(pickle.dumps(second)))
    assert first.compute().scalars == pytest.approx(whole.scalars, rel=1e-4)
    assert len(pickle.dumps(second)) < 100_000  # the network stays where it is


def test_images_may_differ_in_size(weights: Path) -> None:
    some = [image[:, :20] if place == 1 else image for place, image in enumerate(images(3))]
    metrics = FrechetMetrics(ImageMetrics(0, 255), COLORS)
    metrics.update(some, {"image": [torch.zeros(1)] * 3, "target": some})
    assert metrics.compute().scalars["fid"] == pytest.approx(0, abs=1e-6)


def test_a_single_image_has_none(weights: Path) -> None:
    evaluation = measured((images(1), images(1))).compute()
    assert "fid" not in evaluation.scalars
    assert evaluation.notes[-1] == "FID is left out. It compares how images differ from each other, and there are 1."


def test_both_kinds_of_unpaired_images_have_their_own(weights: Path) -> None:
    from chipwright.networks.cyclegan import Cycled

    a, b = torch.rand(3, 4, 32, 32) * 2 - 1, torch.rand(3, 1, 32, 32) * 2 - 1
    found = [Cycled(to_b, to_a, to_a, to_b) for to_b, to_a in zip(b.flip(0), torch.zeros_like(a), strict=True)]
    metrics = FrechetMetrics(ImageMetrics(0, 255), cycle_colors([2, 1, 0], [0]))
    metrics.others.update = lambda predictions, batch: None  # type: ignore[method-assign]
    metrics.update(found, {"image": a, "target": b})
    scalars = metrics.compute().scalars
    assert scalars["fid_b"] == pytest.approx(0, abs=1e-6)
    assert scalars["fid_a"] > 1e-4


def test_without_weights_a_sentence_says_where_they_go(nowhere: None) -> None:
    pytest.importorskip("torch_fidelity")
    evaluation = measured((images(2), images(2))).compute()
    assert list(evaluation.scalars) == ["psnr", "ssim"]
    assert evaluation.notes[-1].startswith("FID is left out. The weights of FID's Inception network are not on this machine")
    assert "set CHIPWRIGHT_WEIGHTS to its folder" in evaluation.notes[-1]


def test_without_the_extra_a_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    assert 'pip install "chipwright[fid]"' in measured((images(2), images(2))).compute().notes[-1]


def test_a_file_of_another_network_is_named(weights: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, weights)
    assert f"{weights} does not hold the weights" in measured((images(2), images(2))).compute().notes[-1]


def test_nothing_in_a_weights_file_is_run(weights: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(weights.with_name("sprung")),)

    torch.save({"weight": Trap()}, weights)
    assert "would run code" in measured((images(2), images(2))).compute().notes[-1]
    assert not weights.with_name("sprung").exists()


@pytest.fixture
def vgg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Return random weights of a VGG16, which lie where weights are looked for."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    state = {name: tensor for name, tensor in torchvision.models.vgg16().state_dict().items() if name.startswith("features")}
    torch.save(state, tmp_path / "vgg16-397923af.pth")
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(tmp_path))
    return state


def test_lpips_is_that_of_torchmetrics(vgg: dict[str, torch.Tensor]) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    reference = _LPIPS(net="vgg", pnet_rand=True)
    layers = [module for module in reference.net.modules() if isinstance(module, torch.nn.Conv2d)]
    names = [name.removesuffix(".weight") for name in vgg if name.endswith(".weight")]
    for layer, name in zip(layers, names, strict=True):
        layer.load_state_dict({part: vgg[f"{name}.{part}"] for part in ("weight", "bias")})
    made, true = images(3), images(3, 1)
    expected = reference(torch.stack(made) / 255, torch.stack(true) / 255, normalize=True).mean()
    evaluation = measured((made[:2], true[:2]), (made[2:], true[2:]), kind=LpipsMetrics).compute()
    assert evaluation.scalars["lpips"] == pytest.approx(float(expected), rel=1e-3)
    assert measured((made, made), kind=LpipsMetrics).compute().scalars["lpips"] == 0


def test_lpips_of_processes_adds_up(vgg: dict[str, torch.Tensor]) -> None:
    made, true = images(3), images(3, 1)
    first, second = (measured((made[a:b], true[a:b]), kind=LpipsMetrics) for a, b in ((0, 1), (1, 3)))
    first.merge(pickle.loads(pickle.dumps(second)))
    whole = measured((made, true), kind=LpipsMetrics).compute().scalars
    assert first.compute().scalars == pytest.approx(whole, rel=1e-6)


def test_without_a_vgg_a_sentence_says_how_to_fetch_it(nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    evaluation = measured((images(2), images(2)), kind=LpipsMetrics).compute()
    assert list(evaluation.scalars) == ["psnr", "ssim"]
    assert "LPIPS is left out" in evaluation.notes[-1] and "chipwright weights fetch VGG16" in evaluation.notes[-1]


def test_images_of_a_few_pixels_have_no_lpips(vgg: dict[str, torch.Tensor]) -> None:
    small = [image[:, :8] for image in images(2)]
    assert (
        measured((small, small), kind=LpipsMetrics).compute().notes[-1] == "LPIPS is left out. No image has 16 pixels a side."
    )


def test_a_trained_model_has_it_and_its_epochs_do_not(weights: Path, tmp_path: Path) -> None:
    chips = pair_builders.translated_scenes(tmp_path / "chips", 8)
    result = api.train(
        chips, tmp_path / "model", model_type="PIX2PIX", max_epochs=1, batch_size=2, validation_percentage=25,
        arguments={"chip_size": 32},
    )  # fmt: skip
    assert result.metrics["fid"] > 0
    assert "fid" not in (result.folder / "training_log.csv").read_text().splitlines()[0]
    assert "FID" in (result.folder / "model_metrics.html").read_text(encoding="utf-8")
    assert api.evaluate(result.folder, chips, tmp_path / "report").metrics["fid"] > 0
