from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chipwright.chips.chipset import BandStatistics, ClassInfo
from chipwright.errors import PackageError
from chipwright.networks.finetune import MatchReport, match_classes, match_state
from chipwright.networks.pretrained import train_mode
from chipwright.spec import ModelSpec, Normalization

ONES = (1.0, 1.0, 1.0)


def classes(*named: tuple[int, str]) -> tuple[ClassInfo, ...]:
    """Return classes from (value, name) pairs."""
    return tuple(ClassInfo(value=value, name=name, color=(0, 0, 0)) for value, name in named)


def spec(named: Sequence[ClassInfo]) -> ModelSpec:
    """Return a spec of these classes."""
    return ModelSpec(
        model_type="UNET",
        backbone="RESNET34",
        classes=tuple(named),
        bands=("Red", "Green", "Blue"),
        dtype="uint8",
        chip_size=(64, 64),
        normalization=Normalization(mean=ONES, std=ONES),
        statistics=BandStatistics(minimum=ONES, maximum=ONES, mean=ONES, std=ONES, source="export"),
        metadata_format="Classified_Tiles",
    )


class Toy(nn.Module):
    """A body and a head with `before` rows, then `width` rows a class, all of it `groups` times."""

    def __init__(self, named: Sequence[ClassInfo], before: int = 1, width: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, groups * (before + width * len(named)), 1)
        self.rows = (width, before, groups)

    def class_tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the rule of the head."""
        return {"head.weight": self.rows, "head.bias": self.rows}


def carry(
    old: Sequence[ClassInfo], new: Sequence[ClassInfo], **layout: Any
) -> tuple[MatchReport, list[int | None], dict[str, Tensor]]:
    """Return (report, old row of every row of the new head or None where it is fresh, the package's state).

    `layout` are arguments of `Toy`; `before_old` those of the package's where it differs.
    """
    before_old = layout.pop("before_old", layout.get("before", 1))
    source = Toy(old, **(layout | {"before": before_old}))
    target = Toy(new, **layout)
    with torch.no_grad():
        source.head.bias.copy_(torch.arange(len(source.head.bias)))
        target.head.bias.fill_(-1)
    state = source.state_dict()
    report = match_state(target, state, spec(old), spec(new))
    rows = [None if row < 0 else int(row) for row in target.head.bias.tolist()]
    for row, origin in enumerate(rows):
        if origin is not None:
            assert torch.equal(target.head.weight[row], source.head.weight[origin])
    return report, rows, state


TREES = classes((1, "Tree"), (2, "House"))


# -- which classes are the same


@pytest.mark.parametrize(
    ("new", "pairs"),
    [
        (classes((1, "Tree"), (2, "House")), {0: 0, 1: 1}),
        (classes((1, "tree "), (2, "HOUSE")), {0: 0, 1: 1}),
        (classes((5, "House"), (9, "Tree")), {0: 1, 1: 0}),
        (classes((1, "House"), (2, "Tree")), {0: 1, 1: 0}),
        (classes((1, "Car"), (2, "House")), {1: 1}),
        (classes((2, "Car")), {}),
        (classes((1, "Tree"), (3, "Tree")), {0: 0}),
    ],
)
def test_classes_are_the_same_by_name(new: Sequence[ClassInfo], pairs: dict[int, int]) -> None:
    assert match_classes(TREES, new) == pairs


def test_of_two_classes_of_one_name_the_value_decides() -> None:
    old = classes((1, "Tree"), (2, "Tree"))

    assert match_classes(old, classes((2, "Tree"), (3, "Tree"))) == {0: 1, 1: 0}


# -- where the rows go


def test_the_same_classes_keep_every_tensor_whole() -> None:
    report, rows, state = carry(TREES, TREES)

    assert rows == [0, 1, 2]
    assert set(report.kept) == set(state)
    assert (report.carried, report.new) == ((), ())


def test_more_classes_leave_the_new_rows_fresh() -> None:
    report, rows, _ = carry(TREES, classes((1, "Tree"), (2, "House"), (3, "Car")))

    assert rows == [0, 1, 2, None]
    assert set(report.carried) == {"head.weight", "head.bias"}
    assert (report.classes_kept, report.classes_new) == (("Tree", "House"), ("Car",))


def test_fewer_classes_keep_theirs() -> None:
    report, rows, _ = carry(TREES, classes((2, "House")))

    assert rows == [0, 2]
    assert report.classes_dropped == ("Tree",)


def test_other_classes_keep_only_the_background() -> None:
    _, rows, _ = carry(TREES, classes((1, "Car"), (2, "Road")))

    assert rows == [0, None, None]


def test_classes_that_swapped_places_are_told_apart_though_shapes_agree() -> None:
    _, rows, _ = carry(TREES, classes((1, "House"), (2, "Tree")))

    assert rows == [0, 2, 1]


def test_a_class_takes_all_its_rows() -> None:
    _, rows, _ = carry(TREES, classes((1, "Car"), (2, "House")), before=4, width=4)

    assert rows == [0, 1, 2, 3, None, None, None, None, 8, 9, 10, 11]


def test_a_network_without_background_moves_classes_alone() -> None:
    _, rows, _ = carry(TREES, classes((2, "House"), (3, "Car")), before=0)

    assert rows == [1, None]


def test_rows_repeat_for_every_anchor() -> None:
    _, rows, _ = carry(TREES, classes((2, "House"), (3, "Car")), before=1, groups=2)

    assert rows == [0, 2, None, 3, 5, None]


def test_a_background_that_is_now_named_keeps_its_row() -> None:
    _, rows, _ = carry(TREES, classes((0, "Nothing"), (1, "Tree"), (2, "House")), before=0, before_old=1)

    assert rows == [0, 1, 2]


def test_a_background_that_is_no_longer_named_keeps_its_row() -> None:
    old = classes((0, "Nothing"), (1, "Tree"), (2, "House"))
    _, rows, _ = carry(old, classes((2, "House")), before=1, before_old=0)

    assert rows == [0, 2]


def test_rows_of_another_layout_start_fresh() -> None:
    report, rows, _ = carry(TREES, TREES, before=1, before_old=3)

    assert rows == [None, None, None]
    assert set(report.new) == {"head.weight", "head.bias"}


# -- everything else


def test_without_a_rule_only_equal_shapes_are_copied() -> None:
    old, new = nn.Linear(4, 2), nn.Linear(4, 3)
    source = nn.Sequential(nn.Linear(4, 4), old).state_dict()

    report = match_state(nn.Sequential(nn.Linear(4, 4), new), source, spec(TREES), spec(TREES[:1]))

    assert report.kept == ("0.weight", "0.bias")
    assert report.new == ("1.weight", "1.bias")


def test_tensors_the_network_has_not_are_named() -> None:
    state = Toy(TREES).state_dict() | {"auxiliary.weight": torch.zeros(1)}

    assert match_state(Toy(TREES), state, spec(TREES), spec(TREES)).unused == ("auxiliary.weight",)


def test_a_network_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(PackageError, match="No tensor of the pretrained UNET fits"):
        match_state(nn.Linear(2, 2), Toy(TREES).state_dict(), spec(TREES), spec(TREES))


def test_the_log_names_classes_and_fresh_tensors() -> None:
    report, _, _ = carry(TREES, classes((2, "House"), (3, "Car")), before=1)

    assert report.sentences == [
        "Fine-tuning: 9 of 9 tensors come from the pretrained model.",
        "Classes that keep what was learnt: House.",
        "New classes: Car.",
        "Classes of the pretrained model that are left out: Tree.",
    ]


def test_statistics_that_were_folded_away_are_held() -> None:
    folded = Toy(TREES).state_dict()  # mean 0 and variance 1, as folding leaves them
    network = Toy(TREES)

    report = match_state(network, folded, spec(TREES), spec(TREES))
    train_mode(network)
    network.body(torch.rand(2, 3, 8, 8))

    assert report.statistics_held
    assert torch.equal(network.state_dict()["body.1.running_mean"], torch.zeros(4))


def test_statistics_that_were_learnt_go_on_learning() -> None:
    trained = Toy(TREES)
    trained.body(torch.rand(2, 3, 8, 8))
    network = Toy(TREES)

    report = match_state(network, trained.state_dict(), spec(TREES), spec(TREES))
    train_mode(network)
    network.body(torch.rand(2, 3, 8, 8))

    assert not report.statistics_held
    assert not torch.equal(network.state_dict()["body.1.running_mean"], trained.state_dict()["body.1.running_mean"])
