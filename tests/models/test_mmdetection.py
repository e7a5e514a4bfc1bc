"""MMDETECTION as a row of the catalog: names, configs, anchors, weights, and that every network trains and comes back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import voc
from detector_builders import chips_of
from extras import require_openmmlab
from pydantic import ValidationError

import chipwright
from chipwright import OptionError, console
from chipwright.models.mmdetection import MMDETECTION, MMDetectionArguments, _differing
from chipwright.openmmlab import configs, descriptions
from chipwright.openmmlab.detectors import CONFIGS

require_openmmlab()

SMALL = """
_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py"]
model = dict(
    backbone=dict(_delete_=True, type="ResNet", depth=18, base_channels=8, stem_channels=8, norm_cfg=dict(type="BN")),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=16),
        mask_head=dict(type="FCNMaskHead", num_convs=1, in_channels=16, conv_out_channels=16, num_classes=80),
    ),
)
"""
"""Faster R-CNN, small, with a head for masks."""

SMOKE = ("carafe", "pisa", "reppoints", "vfnet")
"""Names that call every operator: CARAFE and RoIAlign, NMS-match, both deformable convolutions."""


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.py"
    path.write_text(SMALL, encoding="utf-8")
    return path


def train(chips: Path, out: Path, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "model_type": "MMDETECTION", "max_epochs": 1, "batch_size": 4, "learning_rate": 1e-4, "processor_type": "CPU",
        "precision": "float32",
    }  # fmt: skip
    return chipwright.train(chips, out, **given | changes)


def described(name: str, classes: int = 2) -> dict[str, Any]:
    model = configs.read_model(configs.shipped("mmdet", CONFIGS[name]))
    return descriptions.for_boxes(descriptions.adapted(model, classes), 100)


def detector(name: str, bands: int = 3, classes: int = 2) -> torch.nn.Module:
    from chipwright.openmmlab.detection import Detector

    torch.manual_seed(0)
    return Detector(described(name, classes), bands, classes)


def targets() -> list[dict[str, torch.Tensor]]:
    box = {"boxes": torch.tensor([[10.0, 10.0, 50.0, 44.0]]), "labels": torch.tensor([2])}
    return [box, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}]


def test_the_names_are_those_of_the_reference() -> None:
    names = (
        "atss carafe cascade_rcnn cascade_rpn dcn detectors double_heads dynamic_rcnn empirical_attention fcos foveabox fsaf "
        "ghm hrnet libra_rcnn nas_fcos pafpn pisa regnet reppoints res2net sabl vfnet"
    )
    assert list(CONFIGS) == names.split()
    assert MMDetectionArguments().model == "cascade_rcnn"
    with pytest.raises(ValidationError, match=r"Did you mean vfnet\?"):
        MMDetectionArguments(model="vfnt")


def test_every_name_has_published_weights() -> None:
    for name in CONFIGS:
        source = MMDetectionArguments(model=name, model_weight=True).source
        assert source.config.is_file()
        assert str(source.weights).endswith(".pth")


def test_heads_have_our_classes_and_no_masks(config: Path) -> None:
    model = descriptions.for_boxes(descriptions.adapted(configs.read_model(config), 5), 7)
    assert "mask_head" not in model["roi_head"]
    assert model["roi_head"]["bbox_head"]["num_classes"] == 5
    assert model["test_cfg"]["rcnn"]["max_per_img"] == 7
    assert model["test_cfg"]["rpn"]["max_per_img"] == 1000
    assert model["train_cfg"]["rpn"]["allowed_border"] == -1


@pytest.mark.parametrize(("name", "base"), [("cascade_rcnn", 8), ("ghm", 4)])
def test_anchors_follow_boxes_that_those_of_the_config_cannot_match(name: str, base: int) -> None:
    arguments = MMDetectionArguments(model=name)
    usual = MMDETECTION.fit(chips_of(60, 70), arguments)
    small = MMDETECTION.fit(chips_of(6, 7), arguments)
    head = "rpn_head" if name == "cascade_rcnn" else "bbox_head"
    assert "anchor_sizes" not in usual
    assert "base_sizes" not in usual["network"][head]["anchor_generator"]
    assert small["network"][head]["anchor_generator"]["base_sizes"] == [size / base for size in small["anchor_sizes"]]
    assert small["anchor_sizes"][0] < 10
    assert any("Anchors of" in note for note in small["notes"])


def test_fine_tuning_keeps_the_anchors_that_the_heads_know() -> None:
    arguments = MMDetectionArguments(model="cascade_rcnn")
    earlier = MMDETECTION.fit(chips_of(6, 7), arguments)
    assert MMDETECTION.fit(chips_of(60, 70), arguments, earlier)["network"] == earlier["network"]


def test_a_config_of_ones_own_trains_and_is_not_needed_afterwards(tmp_path: Path, config: Path) -> None:
    chips = voc(tmp_path / "chips", count=8, size=64, bands=4, empty=3)
    result = train(chips, tmp_path / "model", arguments={"model": str(config)})
    config.unlink()
    first, second = (chipwright.load(result.folder, processor_type="CPU").network for _ in range(2))
    assert first.model.backbone.conv1.weight.shape[1] == 4
    images = [torch.rand(4, 50, 71), torch.rand(4, 64, 64)]
    with torch.no_grad():
        found, again = first(images), second(images)
    for one, other in zip(found, again, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_weights_fill_all_but_the_rows_of_classes(tmp_path: Path, config: Path) -> None:
    from chipwright.options import TrainOptions
    from chipwright.preparation import prepare

    chips = voc(tmp_path / "chips", count=4, size=64)

    def started(**arguments: Any) -> Any:
        options = TrainOptions(in_folder=[chips], out_folder=tmp_path / "o", model_type="MMDETECTION", arguments=arguments)
        return prepare(options, "float32").network

    state = {
        name: torch.rand_like(value) if value.is_floating_point() else value
        for name, value in started(model=str(config)).model.state_dict().items()
    }
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    network = started(model=str(config), model_weight=str(tmp_path / "weights.pth"))
    classes = {name.removeprefix("model.") for name in network.class_tensors()}
    assert classes == {f"roi_head.bbox_head.fc_{kind}.{part}" for kind in ("cls", "reg") for part in ("weight", "bias")}
    for name, value in network.model.state_dict().items():
        assert torch.equal(value, state[name]) == (name not in classes)


def test_classes_keep_what_they_learnt_and_so_does_the_background_behind_them(tmp_path: Path, config: Path) -> None:
    before = train(
        voc(tmp_path / "two", count=8, size=64), tmp_path / "before", arguments={"model": str(config)}, learning_rate=1e-2
    )
    after = train(
        voc(tmp_path / "three", count=8, size=64, class_values=(1, 2, 5)),
        tmp_path / "after",
        arguments={"model": str(config)},
        pretrained_model=before.folder,
        learning_rate=1e-12,
    )
    old, new = (
        chipwright.load(result.folder, processor_type="CPU").network.model.roi_head.bbox_head for result in (before, after)
    )
    assert old.fc_cls.bias.abs().min() > 1e-3
    torch.testing.assert_close(new.fc_cls.bias[[0, 1, 3]], old.fc_cls.bias, atol=1e-6, rtol=0)
    torch.testing.assert_close(new.fc_reg.weight[:8], old.fc_reg.weight, atol=1e-6, rtol=0)


def test_another_network_is_not_fine_tuned_from(tmp_path: Path, config: Path) -> None:
    chips = voc(tmp_path / "chips", count=8, size=64)
    result = train(chips, tmp_path / "model", arguments={"model": str(config)})
    with pytest.raises(OptionError, match=r"another network \(FasterRCNN on ResNet\) than model=fcos names \(FCOS on ResNet\)"):
        train(chips, tmp_path / "other", arguments={"model": "fcos"}, pretrained_model=result.folder)
    config.write_text(SMALL.replace("neck=dict(", 'neck=dict(type="PAFPN", '), encoding="utf-8")
    with pytest.raises(OptionError, match=r"another network \(FasterRCNN on ResNet with another neck\)"):
        train(chips, tmp_path / "other", arguments={"model": str(config)}, pretrained_model=result.folder)


def test_networks_are_the_same_whatever_their_classes_anchors_and_settings() -> None:
    model = configs.read_model(configs.shipped("mmdet", CONFIGS["ghm"]))
    some = descriptions.for_boxes(descriptions.adapted(model, 2), 100)
    other = descriptions.for_boxes(descriptions.adapted(model, 5, pretrained=True), 30)
    assert _differing(some, descriptions.with_anchors(other, [8.0, 16.0, 32.0, 64.0, 128.0])) == []
    assert _differing(some, described("fsaf")) == ["bbox_head", "type"]


def test_a_network_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    from chipwright.openmmlab.detection import Detector

    with pytest.raises(OptionError, match="MMDETECTION takes detectors with a backbone"):
        Detector({"type": "FPN", "in_channels": [8], "out_channels": 8, "num_outs": 1}, 3, 2)


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("name", SMOKE)
def test_every_operator_learns_and_finds(name: str, reduced: bool) -> None:
    network = detector(name, bands=4)
    images = [torch.randn(4, 64, 70), torch.randn(4, 64, 64)]
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        losses = network.train()(images, targets())
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        found = network.eval()(images)
    for one, image in zip(found, images, strict=True):
        assert len(one["boxes"]) <= 100
        assert (one["boxes"][:, 2] <= image.shape[-1]).all()
        assert ((one["labels"] >= 1) & (one["labels"] <= 2)).all()
        assert (one["scores"].diff() <= 0).all()


def test_batches_without_any_box_teach_the_background() -> None:
    for name in ("fcos", "cascade_rcnn"):
        losses = detector(name).train()([torch.randn(3, 64, 64)] * 2, [targets()[1]] * 2)
        total = torch.stack(list(losses.values())).sum()
        assert torch.isfinite(total)
        assert total > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_network_trains_comes_back_and_predicts(name: str, data: Path, tmp_path: Path) -> None:
    chips = shutil.copytree(data / "voc_palm", tmp_path / "chips")
    for image in sorted((chips / "images").glob("*.jpg"))[32:]:
        image.unlink()
    result = train(chips, tmp_path / "model", arguments={"model": name, "chip_size": 64})
    network, again = (chipwright.load(result.folder, processor_type="CPU").network for _ in range(2))
    images = [torch.rand(3, 64, 72), torch.rand(3, 64, 64)]
    with torch.no_grad():
        found, other = network(images), again(images)
    for one, two in zip(found, other, strict=True):
        assert all(torch.equal(one[key], two[key]) and torch.isfinite(one[key]).all() for key in one)
    assert torch.isfinite(torch.tensor(result.metrics["average_precision"]))


@pytest.mark.parametrize("name", ["ghm", "dynamic_rcnn"])
def test_measuring_losses_leaves_what_heads_gather_in_training(name: str) -> None:
    from chipwright.networks.detection import losses_and_detections

    network: Any = detector(name)
    images = [torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    network.train()
    network(images, targets())
    head = network.model.roi_head if name == "dynamic_rcnn" else network.model.bbox_head
    histories = [list(getattr(head, key, [])) for key in ("iou_history", "beta_history")]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.eval()
    with torch.inference_mode():
        first, _ = losses_and_detections(network, images, targets())
        torch.manual_seed(1)
        losses_and_detections(network, images, targets())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [list(getattr(head, key, [])) for key in ("iou_history", "beta_history")] == histories
    assert all(torch.isfinite(value) for value in first.values())


def test_thresholds_that_follow_the_training_come_back_with_the_weights() -> None:
    network: Any = detector("dynamic_rcnn").train()
    head = network.model.roi_head
    head.train_cfg.dynamic_rcnn.update_iter_interval = 2
    images = [torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    first = head.bbox_assigner.pos_iou_thr
    head.train_cfg.dynamic_rcnn.initial_iou = 0.01
    for _ in range(3):
        network(images, targets())
    assert head.bbox_assigner.pos_iou_thr != first
    other: Any = detector("dynamic_rcnn")
    other.load_state_dict(network.state_dict())
    again = other.model.roi_head
    assert again.bbox_assigner.pos_iou_thr == again.bbox_assigner.neg_iou_thr == head.bbox_assigner.pos_iou_thr
    assert again.bbox_head.loss_bbox.beta == head.bbox_head.loss_bbox.beta
    assert again.iou_history == [float(overlap) for overlap in head.iou_history]
    assert again.beta_history == [float(error) for error in head.beta_history]
    assert len(again.iou_history) == 1
