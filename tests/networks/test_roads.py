"""The refinement network and its rounds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chipwright.networks.backbones import Backbone
from chipwright.networks.linknet import RoadOutputs, road_probability
from chipwright.networks.roads import RoadNetwork, refiner


class Fixed(nn.Module):
    """Says the same of every image: road logits of one value."""

    scales = (1,)

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, images: Tensor) -> RoadOutputs:
        road = self.value.expand(len(images), 1, *images.shape[-2:])
        return RoadOutputs([torch.cat([torch.zeros_like(road), road], 1)], [torch.zeros_like(road)])


class Recorder(nn.Module):
    """Keeps what it was shown, and answers one more than the last answer it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        last = images[:, -1:]
        return torch.cat([torch.zeros_like(last), torch.logit(last.clamp(1e-6, 1 - 1e-6)) + 1], 1)


def test_the_refiner_has_the_originals_parameters():
    network = refiner(bands=3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 21_648_866
    assert not any(isinstance(part, Backbone) for part in network.modules())  # pretrained weights pass it by
    assert network.eval()(torch.zeros(1, 5, 64, 64)).shape == (1, 2, 64, 64)


def test_each_round_is_shown_the_image_the_faulty_mask_and_the_last_answer():
    recorder = Recorder()
    network = RoadNetwork(Fixed(-1.0), recorder, rounds=3).eval()
    images = torch.randn(2, 3, 8, 8)
    logits = network(images)
    assert len(recorder.seen) == 3
    first = torch.sigmoid(torch.tensor(-1.0))
    for turn, seen in enumerate(recorder.seen):
        assert torch.equal(seen[:, :3], images)
        torch.testing.assert_close(seen[:, 3], first.expand(2, 8, 8))
        torch.testing.assert_close(seen[:, 4], torch.sigmoid(torch.tensor(-1.0 + turn)).expand(2, 8, 8))
    torch.testing.assert_close(road_probability(logits), torch.sigmoid(torch.tensor(2.0)).expand(2, 1, 8, 8))


def test_in_training_drafts_take_the_place_of_the_networks_own_masks_where_they_are_given():
    recorder = Recorder()
    network = RoadNetwork(Fixed(0.0), recorder, rounds=1).train()
    drafts = torch.stack([torch.ones(8, 8), torch.full((8, 8), -1.0)])
    outputs, refined = network(torch.zeros(2, 3, 8, 8), drafts)
    assert recorder.seen[0][:, 3].unique().tolist() == [0.5, 1.0]
    assert (recorder.seen[0][0, 3:] == 1).all()
    assert (recorder.seen[0][1, 3:] == 0.5).all()
    assert len(outputs.roads) == len(refined) == 1


def test_the_refiner_does_not_teach_the_network_it_mends():
    body = Fixed(0.3)
    network = RoadNetwork(body, refiner(bands=3, backbone="timm:test_resnet"), rounds=2).train()
    _, refined = network(torch.randn(2, 3, 32, 32))
    torch.stack([logits.square().mean() for logits in refined]).sum().backward()
    assert body.value.grad is None


def test_without_rounds_there_is_no_refiner():
    network = RoadNetwork(Fixed(1.0)).eval()
    assert network.rounds == 0
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 2, 8, 8)
