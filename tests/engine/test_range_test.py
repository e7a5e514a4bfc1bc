import math

import pytest
import torch
from torch import nn

from chipwright.engine.range_test import choose_rate, planned_steps, range_test


def test_a_sweep_is_short() -> None:
    assert planned_steps(1000, 20) == 100
    assert planned_steps(40, 20) == 40
    assert planned_steps(60, 5) == 30
    assert planned_steps(30, 5) == 0


def test_the_rate_lies_inside_the_falling_stretch() -> None:
    rates = [10 ** (-6 + 6 * i / 99) for i in range(100)]
    losses = [1.0 if rate < 1e-4 else 1.0 - 0.3 * math.log10(rate / 1e-4) if rate < 1e-2 else 0.4 + 20 * rate for rate in rates]
    assert 2e-4 < choose_rate(rates, losses, 1e-3) < 5e-3


def test_a_loss_that_never_falls_gives_the_default() -> None:
    rates = [10 ** (-6 + 6 * i / 29) for i in range(30)]
    assert choose_rate(rates, [1.0 + 0.1 * i for i in range(30)], 1e-3) == 1e-3


def test_a_fluke_is_bounded() -> None:
    rates = [10 ** (-6 + 6 * i / 29) for i in range(30)]
    assert choose_rate(rates, [1.0 - 0.01 * i for i in range(10)] + [5.0] * 20, 1e-3) == pytest.approx(1e-4)


def test_a_loss_that_falls_at_once_and_then_scatters_gives_a_tenth_of_the_lowest_points_rate() -> None:
    rates = [10 ** (-6 + 6 * i / 29) for i in range(30)]
    wobble = [0.05 * (-1) ** i for i in range(30)]
    losses = [2.0 - 0.2 * i for i in range(6)] + [0.8 - 0.01 * i + wobble[i] for i in range(12)] + [3.0 * i for i in range(12)]
    chosen = choose_rate(rates, losses, 3e-4)
    assert rates[12] / 10 < chosen < rates[18] / 10


def test_weights_statistics_and_optimizer_are_put_back() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0)
    for group in optimizer.param_groups:
        group["initial_lr"] = 1.0
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def step(index: int) -> float:
        optimizer.zero_grad()
        loss = network(torch.randn(8, 4)).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    curve = range_test(network, optimizer, step, 20, 1e-3)
    assert len(curve["learning_rate"]) == len(curve["loss"]) > 5
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not optimizer.state
