"""PSE+TAE: the original's parameters, its positions and pooling, and maps against sets."""

from pathlib import Path

import pytest
import torch
from torch import nn

from chipwright.networks.losses import focal
from chipwright.networks.pse_tae import DateAttention, PseTae, date_positions, pool, pool_neighbours
from chipwright.package.onnx import export_onnx
from chipwright.spec import Normalization


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def series(dates: int = 24, variables: int = 10, outputs: int = 20, **settings: object) -> PseTae:
    selected = [[date * variables + at for at in range(variables)] for date in range(dates)]
    return PseTae(selected, [10.0 * date for date in range(dates)], outputs, **settings)  # type: ignore[arg-type]


def test_it_has_the_originals_parameters() -> None:
    network = series()
    assert count(network) == 163_604
    assert count(network.pixels) == 2_656
    assert count(network.pixels) + count(network.set) == 19_424
    assert count(network.attention) == 49_792
    assert count(network.after) == 82_688
    assert count(network.before) + count(network.norm) == 512
    assert count(network.decoder) == 11_188
    # with four geometric features, of which a map has none
    assert count(series(mlp2=[132, 128])) == 164_116


def test_positions_are_the_originals() -> None:
    assert date_positions([0.0], 4)[0].tolist() == [0, 1, 0, 1]
    expected = [-0.544021, -0.839072, 0.310984, 0.950415]
    assert date_positions([10.0], 4)[0].tolist() == pytest.approx(expected, abs=1e-6)
    expected = [-0.544021, -0.839072, 0.841471, 0.540302, 0.099833, 0.995004]
    assert date_positions([10.0], 6)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_pooling_is_the_originals() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 9.0]).view(1, 1, 4, 1)
    present = torch.tensor([True, True, True, False]).view(1, 1, 4)
    assert pool(values, present, "mean_std").flatten().tolist() == [2.0, 1.0]
    assert pool(values, present, "max").item() == 3
    assert pool(values, present, "min").item() == 1
    alone = torch.tensor([True, False, False, False]).view(1, 1, 4)
    assert pool(values, alone, "std").item() == pytest.approx(3.16e-16, rel=1e-2)


def test_the_loss_is_the_originals() -> None:
    logits, target = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])[..., None, None], torch.tensor([0, 2]).view(2, 1, 1)
    assert focal(logits, target, 1.0).item() == pytest.approx(0.624580, abs=1e-6)


def test_a_deviation_of_nothing_has_a_gradient() -> None:
    values = torch.full((1, 1, 3, 2), 4.0, requires_grad=True)
    pool(values, torch.ones(1, 1, 3, dtype=torch.bool), "mean_std").sum().backward()
    assert values.grad is not None
    assert torch.isfinite(values.grad).all()


@pytest.mark.parametrize("pooling", ["mean", "std", "max", "min", "mean_std"])
def test_neighbourhoods_are_sets(pooling: str) -> None:
    maps = torch.randn(2, 3, 5, 6) * 3 + 100
    found = pool_neighbours(maps, pooling)  # type: ignore[arg-type]
    for row, column in [(0, 0), (2, 3), (4, 5), (0, 2)]:
        part = maps[:, :, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].flatten(2).transpose(1, 2)[:, None]
        expected = pool(part, torch.ones(part.shape[:3], dtype=torch.bool), pooling)[:, 0]  # type: ignore[arg-type]
        torch.testing.assert_close(found[:, :, row, column], expected, rtol=1e-3, atol=1e-3)


def test_a_set_that_fills_the_map_is_the_neighbourhood_of_its_middle() -> None:
    network = series(5, 2, 4).eval()
    images = torch.randn(3, 10, 3, 3)
    with torch.no_grad():
        as_set = network(images, torch.ones(3, 3, 3, dtype=torch.bool))
        as_map = network(images)
    assert as_map.shape == (3, 4, 3, 3)
    torch.testing.assert_close(as_map[:, :, 1, 1], as_set, rtol=1e-3, atol=1e-3)


def test_pixels_that_are_not_present_change_nothing() -> None:
    network = series(5, 2, 4).eval()
    images, present = torch.randn(2, 10, 1, 8), torch.arange(8)[None, None].expand(2, 1, 8) < 5
    changed = images.clone()
    changed[..., 5:] = 50.0
    with torch.no_grad():
        torch.testing.assert_close(network(images, present), network(changed, present))


def test_only_selected_bands_are_seen() -> None:
    network = PseTae([[0, 2], [3, 5]], [0.0, 30.0], 3).eval()
    images = torch.randn(2, 6, 4, 4)
    changed = images.clone()
    changed[:, [1, 4]] = 9.0
    with torch.no_grad():
        assert torch.equal(network(images), network(changed))
        changed[:, 5] = 9.0
        assert not torch.equal(network(images), network(changed))


def test_attention_weighs_the_dates() -> None:
    attention = DateAttention(8, 2, 4).eval()
    dates = torch.randn(3, 5, 8)
    weights = attention.weights(dates)
    assert weights.shape == (3, 2, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2))
    torch.testing.assert_close(attention(dates)[:, :8], (weights[:, 0, :, None] * dates).sum(1))


def test_the_stage_over_a_sets_statistics_ends_without_a_cut() -> None:
    network = series(2, 2, 3).eval()
    assert (network.set(torch.randn(50, 2, 128)) < 0).any()
    assert (network.pixels(torch.randn(50, 2, 4, 2)) >= 0).all()


def test_a_maps_attention_is_one_in_sum_over_the_dates() -> None:
    network, images = series(4, 2, 3).eval(), torch.randn(2, 8, 5, 6)
    with torch.no_grad():
        logits, attention = network.explain(images)
        assert torch.equal(network(images), logits)
    assert attention.shape == (2, 4, 5, 6)
    torch.testing.assert_close(attention.sum(1), torch.ones(2, 5, 6))


def test_any_number_of_sets_goes_through() -> None:
    network = series(5, 2, 4)
    for sets in (2, 3, 5):  # a batch of two is a batch like any other
        assert network(torch.randn(sets, 10, 1, 6), torch.ones(sets, 1, 6, dtype=torch.bool)).shape == (sets, 4)


def test_maps_in_parts_are_maps_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwright.networks import pse_tae

    network, images = series(4, 3, 5).eval(), torch.randn(3, 12, 9, 7)
    with torch.no_grad():
        whole = network(images)
        monkeypatch.setattr(pse_tae, "_PIXELS_AT_ONCE", 10)
        monkeypatch.setattr(pse_tae, "_MAPPED_AT_ONCE", 70)
        torch.testing.assert_close(network(images), whole)


def test_maps_are_exported_at_the_first_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("tracing did not do")

    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("chipwright.package.onnx._by_graph", fail)
    scaling = Normalization(mean=(0.0,) * 6, std=(1.0,) * 6, minimum=(0.0,) * 6, maximum=(1.0,) * 6)
    assert export_onnx(series(3, 2, 4), scaling, 6, (16, 16), tmp_path / "m.onnx").is_file()
