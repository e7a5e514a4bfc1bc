"""Captioning: samples, losses, predictions, figures and pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chipwright.chips.chipset import BandStatistics, Chip
from chipwright.networks.backbones import create_backbone
from chipwright.networks.captioner import Captioner
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.caption_metrics import Caption, CaptionMetrics
from chipwright.tasks.captions import CaptionTask
from chipwright.tasks.words import END, PAD, SPECIAL, START, UNKNOWN

WORDS = (*SPECIAL, "road", "pool", "a")


def task_of(**changes: Any) -> CaptionTask:
    spec = ModelSpec(
        model_type="IMAGECAPTIONER",
        arguments={"decode_params": {"teacher_forcing": 1}},
        bands=("Red", "Green", "Blue"),
        dtype="uint8",
        chip_size=(32, 32),
        normalization=Normalization(mean=(100.0,) * 3, std=(50.0,) * 3),
        statistics=BandStatistics(minimum=(0,) * 3, maximum=(255,) * 3, mean=(100,) * 3, std=(50,) * 3, source="computed"),
        metadata_format="ImageCaptioning",
        fitted={"vocabulary": list(WORDS), "longest": 5},
    )
    return CaptionTask(spec.model_copy(update=changes))


class Reader:
    """Gives chips whose left half is dark and whose right half is bright."""

    def image(self, chip: Chip, index: int = 0) -> NDArray[Any]:
        image = np.zeros((3, chip.height, chip.width), np.uint8)
        image[:, :, chip.width // 2 :] = 200
        return image

    def valid(self, chip: Chip, index: int = 0) -> NDArray[np.bool_] | None:
        return None


def chip(*texts: str) -> Chip:
    return Chip("a", 0, (Path("a.tif"),), 32, 32, texts=texts)


def batch_of(task: CaptionTask, *chips: Chip) -> Any:
    samples = [task.draw(one, Reader(), np.random.default_rng(0), False) for one in chips]  # type: ignore[arg-type]
    return task.to_device(task.collate(samples), torch.device("cpu"))


def network_of() -> Captioner:
    torch.manual_seed(0)
    return Captioner(create_backbone("timm:test_resnet", 3), len(WORDS), embed_size=8, hidden_size=8, attention_size=8)


def test_a_sample_holds_all_captions_as_numbers_and_as_written() -> None:
    sample = task_of().draw(chip("A road.", "a big pool"), Reader(), np.random.default_rng(0), False)  # type: ignore[arg-type]
    assert sample["captions"].tolist() == [[START, 6, 4, END, PAD], [START, 6, UNKNOWN, 5, END]]
    assert sample["references"] == ("A road.", "a big pool")


def test_a_chip_is_never_mirrored_since_its_captions_say_left_and_right() -> None:
    for seed in range(20):
        drawn = task_of().draw(chip("a"), Reader(), np.random.default_rng(seed), True)["image"]  # type: ignore[arg-type]
        assert drawn[:, :, :16].max() < drawn[:, :, 16:].min()


def test_a_step_learns_one_caption_of_each_chip_at_random() -> None:
    task, network = task_of(), network_of()
    seen = []

    def spy(images: Any, words: Any, teacher_forcing: float) -> Any:
        seen.append(words.tolist())
        return network(images, words, teacher_forcing)

    batch = batch_of(task, chip("road", "a pool"), chip("pool"))
    for seed in range(20):
        torch.manual_seed(seed)
        task.losses({"network": spy}, batch, task.phases[0])  # type: ignore[dict-item]
    firsts = {tuple(words[0]) for words in seen}
    assert firsts == {(START, 4, END)[:2], (START, 6, 5), (START, 4)}
    assert all(words[1][:2] == [START, 5] for words in seen)


def test_filling_counts_in_no_loss() -> None:
    task, network = task_of(), network_of().eval()
    both = batch_of(task, chip("road"), chip("a pool a road"))
    alone = [batch_of(task, chip("road")), batch_of(task, chip("a pool a road"))]
    losses = [task.validate(network, one)[0]["caption"].item() for one in alone]
    together = task.validate(network, both)[0]["caption"].item()
    assert together == pytest.approx((2 * losses[0] + 5 * losses[1]) / 7, rel=1e-4)


def test_measuring_takes_all_captions_of_a_chip() -> None:
    task, network = task_of(), network_of().eval()
    _, found = task.validate(network, batch_of(task, chip("road", "a pool"), chip("pool")))
    assert [caption.counted for caption in found] == [2 + 3, 2]


def test_validation_and_prediction_say_the_same_and_only_known_words() -> None:
    task, network = task_of(), network_of().eval()
    batch = batch_of(task, chip("road"), chip("pool"))
    with torch.inference_mode():
        validated, predicted = task.validate(network, batch)[1], task.predict(network, {"image": batch["image"]})
        listed = task.predict(network, {"image": list(batch["image"])})
    assert [one.text for one in validated] == [one.text for one in predicted] == [one.text for one in listed]
    for one in predicted:
        assert 0 < one.score <= 1
        assert set(one.text.split()) <= {"road", "pool", "a"}
        assert 1 <= len(one.text.split()) <= 5
        assert one.counted == 0


def test_figures_of_captions() -> None:
    metrics, other = CaptionMetrics(), CaptionMetrics()
    metrics.update([Caption("a wide road crosses it", 0.5, 3, 6)], {"references": [("A wide road crosses it.", "other")]})
    other.update([Caption("a pool", 0.5, 3, 4)], {"references": [("a house",)]})
    metrics.merge(other)
    found = metrics.compute().scalars
    assert found["accuracy"] == pytest.approx(6 / 10)
    assert found["bleu_1"] == pytest.approx(6 / 7)
    # different words: 5 of 5 and 1 of 2, where true are 5 and 2
    assert found["multi_label_fbeta"] == pytest.approx(5 * 6 / (4 * 7 + 7))
    # pairs: 4 of 4 and 0 of 1; all longer sequences are right
    assert found["corpus_bleu"] == pytest.approx((6 / 7 * 4 / 5) ** 0.25)
    assert found["cider"] > 0


def test_figures_without_a_chip_are_unknown() -> None:
    assert all(math.isnan(value) for value in CaptionMetrics().compute().scalars.values())


def test_the_picture_says_what_is_true_and_what_was_said() -> None:
    task = task_of()
    sample = task.draw(chip("A road."), Reader(), np.random.default_rng(0), False)  # type: ignore[arg-type]
    (panel,) = task.panels(sample, Caption("a pool", 0.25))
    assert panel.text.split("\n") == ["True: A road.", "Predicted: a pool (25%)"]
