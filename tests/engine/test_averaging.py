"""Averaged weights: the mean of the last steps, applied and taken off again, and saved exactly."""

import torch
from torch import nn

from chipwright.engine.averaging import WeightAverage


def network(value: float) -> nn.Module:
    made = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    set_all(made, value)
    return made


def set_all(made: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in made.state_dict().values():
            tensor.fill_(value)


def test_the_mean_follows_the_steps() -> None:
    made = network(0.0)
    average = WeightAverage(made, 0.5)
    expected = 0.0
    for step, value in enumerate([1.0, 2.0, 4.0], 1):
        set_all(made, value)
        average.update(made)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    for name, mean in average.state.items():
        if mean.is_floating_point():
            torch.testing.assert_close(mean, torch.full_like(mean, expected))
        else:
            assert mean.item() == 4, name  # counts are no means


def test_it_is_lent_and_taken_back() -> None:
    made = network(1.0)
    average = WeightAverage(made, 0.9)
    set_all(made, 5.0)
    try:
        with average.applied(made):
            assert made[0].weight[0, 0].item() == 1.0  # type: ignore[index]
            raise ValueError
    except ValueError:
        pass
    assert made[0].weight[0, 0].item() == 5.0  # type: ignore[index]


def test_what_is_saved_goes_on_where_it_stopped() -> None:
    made = network(1.0)
    first, second = WeightAverage(made, 0.9), WeightAverage(network(3.0), 0.9)
    set_all(made, 2.0)
    first.update(made)
    second.restore(first.saved())
    for average in (first, second):
        average.update(made)
    assert first.steps == second.steps == 2
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
