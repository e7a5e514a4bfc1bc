"""Frozen means frozen: loaded tensors stay bit for bit, normalisation statistics included; everything else is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chipwright.networks.backbones import Backbone, create_backbone
from chipwright.networks.pretrained import (
    freeze_loaded,
    hold_statistics,
    loaded_names,
    loaded_parameters,
    mark_loaded,
    train_mode,
)
from chipwright.networks.weights import BackboneWeights

TINY = "timm:test_resnet"
FIRST = "body.conv1.0.weight"


class Network(nn.Module):
    """A backbone with a new head."""

    def __init__(self, bands: int, folded: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        state = create_backbone(TINY, 3).body.state_dict()
        weights = BackboneWeights(state, (0.5,) * 3, (0.5,) * 3, folded, "made up")
        self.backbone: Backbone = create_backbone(TINY, bands, weights)
        self.head = nn.Sequential(nn.Conv2d(self.backbone.channels[-1], 8, 1), nn.BatchNorm2d(8))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images)[-1])


def copy_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def changed_by_a_step(network: Network, bands: int) -> set[str]:
    """Train one step and return the names of the tensors that are no longer the same."""
    before = copy_of(network.state_dict())
    train_mode(network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)
    network(torch.randn(4, bands, 64, 64)).square().mean().backward()
    optimizer.step()
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


def test_a_frozen_backbone_stays_bit_for_bit_and_the_head_learns() -> None:
    network = Network(bands=3)
    assert freeze_loaded(network) == []
    changed = changed_by_a_step(network, 3)
    assert changed and all(name.startswith("head.") for name in changed)


def test_of_a_frozen_backbone_for_other_bands_the_first_convolution_alone_learns() -> None:
    network = Network(bands=5)
    assert freeze_loaded(network) == [f"backbone.{FIRST}"]
    changed = changed_by_a_step(network, 5)
    assert {name for name in changed if name.startswith("backbone.")} == {f"backbone.{FIRST}"}


def test_statistics_of_new_layers_follow_the_batches() -> None:
    network = Network(bands=3)
    freeze_loaded(network)
    assert "head.1.running_mean" in changed_by_a_step(network, 3)


def test_an_unfrozen_backbone_learns_statistics_and_all() -> None:
    changed = changed_by_a_step(Network(bands=3), 3)
    assert {"backbone.body.bn1.running_mean", "backbone.body.layer4.0.conv1.weight"} <= changed


def test_folded_normalisation_keeps_its_statistics_while_the_weights_learn() -> None:
    changed = changed_by_a_step(Network(bands=3, folded=True), 3)
    assert "backbone.body.layer4.0.conv1.weight" in changed
    assert not [name for name in changed if name.startswith("backbone.") and "running" in name]


def test_held_statistics_stay_held_after_training_mode_is_asked_for_again() -> None:
    layer = nn.BatchNorm2d(3)
    hold_statistics(layer)
    train_mode(layer)
    train_mode(layer)
    assert not layer.training


def test_nothing_is_loaded_where_nothing_was_marked() -> None:
    network = create_backbone(TINY, 3)
    assert loaded_names(network) == frozenset()
    assert loaded_parameters(network) == []
    assert freeze_loaded(network) == []


def test_a_parameter_shared_by_two_marked_modules_counts_once() -> None:
    layer = nn.Linear(2, 2)
    network = nn.ModuleList([layer, nn.Sequential(layer)])
    mark_loaded(network[0], ["weight"])
    mark_loaded(network[1], ["0.weight"])
    assert [id(parameter) for parameter in loaded_parameters(network)] == [id(layer.weight)]
