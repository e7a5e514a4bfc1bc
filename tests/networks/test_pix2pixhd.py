"""pix2pixHD's networks: the original's sizes, any image size, and label maps as planes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from chipwright.networks.pix2pixhd import MultiscaleDiscriminator, OneHot, Pix2PixHDGenerator, feature_matching


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def generator(bands: int, **settings: Any) -> Pix2PixHDGenerator:
    with torch.device("meta"):  # 731 million parameters need not be there to be counted
        return Pix2PixHDGenerator(bands, 3, **settings)


LOCAL = {"width": 32, "enhancers": 1}


@pytest.mark.parametrize(
    ("bands", "settings", "expected"),
    [
        (36, {}, 182_546_755),
        (35, {}, 182_543_619),
        (3, {}, 182_443_267),
        (36, LOCAL, 182_857_059),
        (3, LOCAL, 182_701_827),
        (36, LOCAL | {"halvings": 3}, 46_007_139),
        (3, LOCAL | {"halvings": 3}, 45_851_907),
        (36, LOCAL | {"width": 64}, 731_036_355),
        (3, LOCAL | {"width": 64}, 730_725_891),
    ],
)
def test_parameters_are_as_many_as_in_the_original(bands: int, settings: dict[str, Any], expected: int) -> None:
    assert count(generator(bands, **settings)) == expected


def test_the_parts_are_as_large_as_in_the_original() -> None:
    network = generator(36, **LOCAL)
    enhancer = network.enhancers[0]
    assert count(network.trunk) == 182_537_344
    assert count(enhancer.down) == 74_976  # type: ignore[arg-type]
    assert count(enhancer.up) + count(network.head) == 244_739  # type: ignore[arg-type]


def test_an_image_keeps_its_size() -> None:
    assert Pix2PixHDGenerator(3, 3, width=4)(torch.zeros(1, 3, 256, 512)).shape == (1, 3, 256, 512)


@pytest.mark.parametrize("enhancers", [0, 1, 2])
@pytest.mark.parametrize("size", [(64, 96), (50, 37), (9, 70)])
def test_sizes_that_do_not_halve_evenly_are_kept_too(size: tuple[int, int], enhancers: int) -> None:
    torch.manual_seed(0)
    network = Pix2PixHDGenerator(2, 5, width=4, halvings=2, blocks=1, enhancers=enhancers, local_blocks=1)
    made = network(torch.randn(2, 2, *size))
    assert made.shape == (2, 5, *size)
    assert made.abs().max() <= 1


def test_an_enhancer_sees_what_the_trunk_saw_and_more() -> None:
    torch.manual_seed(0)
    network = Pix2PixHDGenerator(1, 1, width=4, halvings=1, blocks=1, enhancers=1, local_blocks=1)
    images = torch.randn(1, 1, 16, 16)
    before = network(images)
    nn.init.normal_(next(network.trunk.parameters()))
    coarse_matters = network(images)
    assert not torch.allclose(before, coarse_matters)
    fine = images.clone()
    fine[..., 4:6, 4:6] += torch.tensor([[1.0, -1.0], [-1.0, 1.0]])  # gone at half the resolution, or nearly
    assert not torch.allclose(network(fine), coarse_matters, atol=1e-3)


def test_the_trunk_trained_alone_is_what_enhancers_can_be_put_around() -> None:
    alone, enhanced = generator(3, width=8, blocks=2), generator(3, width=4, blocks=2, enhancers=1)
    trunk = {name: value.shape for name, value in alone.state_dict().items() if name.startswith("trunk.")}
    assert trunk
    assert trunk.items() <= {name: value.shape for name, value in enhanced.state_dict().items()}.items()


def test_instance_normalisation_is_the_same_in_training_and_after() -> None:
    torch.manual_seed(0)
    network = Pix2PixHDGenerator(3, 3, width=4, halvings=1, blocks=1)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(network.train()(images), network.eval()(images))
    learning = Pix2PixHDGenerator(3, 3, width=4, halvings=1, blocks=1, norm="batch")
    assert not torch.equal(learning.train()(images), learning.eval()(images))


def test_label_maps_become_planes_and_unknown_values_none() -> None:
    planes = OneHot([0, 2, 7])(torch.tensor([[[[0.0, 2.0, 7.0, 5.0]]]]))
    assert planes[0, :, 0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(("bands", "expected"), [(39, 5_603_202), (38, 5_601_154), (6, 5_535_618)])
def test_discriminators_have_as_many_parameters_as_the_original(bands: int, expected: int) -> None:
    assert count(MultiscaleDiscriminator(bands)) == expected


def test_discriminators_see_the_image_at_one_and_half_the_resolution() -> None:
    with torch.device("meta"):
        first, second = MultiscaleDiscriminator(6)(torch.empty(1, 6, 512, 1024))
    assert [tuple(one.shape[1:]) for one in first] == [
        (64, 257, 513), (128, 129, 257), (256, 65, 129), (512, 66, 130), (1, 67, 131),
    ]  # fmt: skip
    assert [tuple(one.shape[1:]) for one in second] == [
        (64, 129, 257), (128, 65, 129), (256, 33, 65), (512, 34, 66), (1, 35, 67),
    ]  # fmt: skip


def test_features_weigh_as_in_the_original() -> None:
    true = [[torch.zeros(1, 2, 3, 3) for _ in range(5)] for _ in range(2)]
    made = [list(scale) for scale in true]
    made[1][2] = torch.full((1, 2, 3, 3), 0.7)
    made[0][4] = torch.ones(1, 2, 3, 3)  # scores are no features
    assert float(10 * feature_matching(made, true)) == pytest.approx(5 * 0.7)
    made[0][0] = torch.full((1, 2, 3, 3), -0.2)
    assert float(10 * feature_matching(made, true)) == pytest.approx(5 * 0.7 + 5 * 0.2)


def test_half_precision_leaves_the_image_fine_steps() -> None:
    torch.manual_seed(0)
    network = Pix2PixHDGenerator(3, 3, width=4, halvings=1, blocks=1).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        made = network(torch.randn(1, 3, 32, 32))
    assert made.dtype == torch.float32
    assert (made != made.to(torch.bfloat16)).float().mean() > 0.9
