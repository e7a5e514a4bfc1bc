"""The image classifier: shapes, pooling, batches of one, freezing, ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from chipwright.networks.backbones import Backbone, create_backbone
from chipwright.networks.classifier import ImageClassifier
from chipwright.networks.pretrained import freeze_loaded, mark_loaded, train_mode


def network(bands: int = 3, classes: int = 5) -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier(create_backbone("timm:test_resnet", bands), classes)


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (200, 20)])
@pytest.mark.parametrize("bands", [1, 3, 6])
def test_logits_for_any_size_and_bands(size: tuple[int, int], bands: int) -> None:
    assert network(bands).eval()(torch.rand(2, bands, *size)).shape == (2, 5)


def test_the_head_sees_the_mean_and_the_maximum_of_the_deepest_map() -> None:
    model = network().eval()
    images = torch.rand(2, 3, 64, 64)
    seen: list[torch.Tensor] = []
    model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(images)
    deepest = model.backbone(images)[-1].flatten(2)
    assert torch.allclose(seen[0], torch.cat([deepest.mean(2), deepest.max(2).values], 1))


def test_a_training_batch_of_one_is_no_fault() -> None:
    model = network().train()
    before = model.head[0].running_mean.clone()
    model(torch.rand(1, 3, 64, 64)).sum().backward()
    assert torch.equal(model.head[0].running_mean, before)
    assert model.classify.weight.grad is not None


def test_a_frozen_backbone_stays_bit_for_bit_while_the_head_learns() -> None:
    model = network()
    mark_loaded(model.backbone, model.backbone.state_dict().keys())
    freeze_loaded(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_mode(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    torch.nn.functional.cross_entropy(model(torch.rand(4, 3, 64, 64)), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    after = model.state_dict()
    assert isinstance(model.backbone, Backbone)
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("backbone."))
    assert not torch.equal(after["classify.weight"], before["classify.weight"])
    assert not torch.equal(after["head.2.weight"], before["head.2.weight"])


def test_class_tensors_have_a_row_for_every_class() -> None:
    model = network(classes=7)
    state = model.state_dict()
    for name, (rows, first) in model.class_tensors().items():
        assert state[name].shape[0] == first + 7 * rows


def test_exports_to_onnx_with_the_same_logits(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = network(bands=4).eval()
    images = torch.rand(2, 4, 64, 64)
    path = tmp_path / "model.onnx"
    names = {"input_names": ["input"], "output_names": ["output"], "dynamic_axes": {"input": {0: "batch"}}}
    torch.onnx.export(model, (images,), str(path), dynamo=False, **names)
    session = onnxruntime.InferenceSession(str(path))
    three = torch.rand(3, 4, 64, 64)
    (logits,) = session.run(None, {session.get_inputs()[0].name: three.numpy()})
    assert np.allclose(logits, model(three).detach().numpy(), atol=1e-4)
