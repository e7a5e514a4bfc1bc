import pytest
import torch

from chipwright.engine import schedules


def test_one_cycle_rises_then_falls() -> None:
    factors = [schedules.one_cycle(p / 10)[0] for p in range(11)]
    assert factors[0] == pytest.approx(1 / 25)
    assert max(factors) == factors[3] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(1e-5)


def test_one_cycle_moves_momentum_against_the_rate() -> None:
    assert schedules.one_cycle(0.0)[1] == pytest.approx(0.95)
    assert schedules.one_cycle(0.3)[1] == pytest.approx(0.85)


def test_one_cycle_agrees_with_torch() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=101, pct_start=0.3, div_factor=25, final_div_factor=4000
    )
    for step in range(101):
        # torch's peak lies at step pct_start * total - 1, one earlier than a function of progress has it
        ours = 0.1 * schedules.one_cycle(step / 100)[0]
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=0.08, abs=3e-4)
        optimizer.step()
        theirs.step()


def test_constant_then_linear_ends_at_zero() -> None:
    assert [schedules.constant_then_linear(p)[0] for p in (0.0, 0.5, 0.75, 1.0)] == [1.0, 1.0, 0.5, 0.0]


def test_apply_keeps_the_groups_factors() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": factor, "initial_lr": factor} for factor in (0.1, 1.0)]
    optimizer = torch.optim.AdamW(groups)
    rate = schedules.apply(optimizer, schedules.one_cycle, 0.01, 0.3)
    assert rate == pytest.approx(0.01)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.001, 0.01])
    assert optimizer.param_groups[0]["betas"][0] == pytest.approx(0.85)
