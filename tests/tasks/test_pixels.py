"""Pixel classification as a task: samples, losses, class maps and pictures."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import classified_tiles
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.chipset import IGNORE, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.pixels import PixelTask

SIZE = 32


def spec_of(chips: ChipSet, arguments: dict[str, Any] | None = None, **changes: Any) -> ModelSpec:
    statistics = chips.statistics
    return ModelSpec(
        model_type="UNET",
        arguments=arguments or {},
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        normalization=Normalization(mean=statistics.mean, std=statistics.std),
        statistics=statistics,
        metadata_format=chips.format,
        image_space=chips.image_space,
        nodata=chips.nodata,
    ).model_copy(update=changes)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    folder = tmp_path_factory.mktemp("chips")
    return read_chips([classified_tiles(folder, count=4, size=SIZE, bands=4, dtype="uint16", class_values=(1, 5, 9))])


@pytest.fixture(scope="module")
def reader(chips: ChipSet) -> ChipReader:
    return ChipReader(chips.nodata)


def draw(task: PixelTask, chips: ChipSet, reader: ChipReader, augment: bool = False, seed: int = 0) -> dict[str, Any]:
    return task.draw(chips.chips[0], reader, np.random.default_rng(seed), augment)


def batch_of(task: PixelTask, chips: ChipSet, reader: ChipReader) -> dict[str, Any]:
    samples = [task.draw(chip, reader, np.random.default_rng(0), False) for chip in chips.chips]
    return task.to_device(task.collate(samples), torch.device("cpu"))


class Fixed(nn.Module):
    """Gives the same logits for every image, or what a function makes of the images; counts its calls."""

    def __init__(self, output: Tensor | Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.output, self.calls = output, 0

    def forward(self, images: Tensor) -> Any:
        self.calls += 1
        if isinstance(self.output, Tensor):
            return self.output.view(1, -1, 1, 1).expand(len(images), -1, *images.shape[-2:])
        return self.output(images)


# -- samples


def test_a_sample_holds_the_image_as_filed_and_class_indices(chips, reader):
    sample = draw(PixelTask(spec_of(chips)), chips, reader)
    label = reader.label(chips.chips[0])
    np.testing.assert_array_equal(sample["image"], reader.image(chips.chips[0]))
    assert sample["image"].dtype == np.uint16
    assert sample["mask"].dtype == np.int16
    for index, value in enumerate((0, 1, 5, 9)):
        np.testing.assert_array_equal(sample["mask"] == index, label == value)


def test_ignored_classes_and_values_without_a_class_are_unlabelled(chips, reader):
    known = tuple(info for info in chips.classes if info.value != 9)
    task = PixelTask(spec_of(chips, {"ignore_classes": [0, 1]}, classes=known))
    label, mask = reader.label(chips.chips[0]), draw(task, chips, reader)["mask"]
    assert (label == 9).any()
    np.testing.assert_array_equal(mask == IGNORE, label != 5)


def test_pixels_without_data_get_the_mean_and_no_label(tmp_path: Path):
    chips = read_chips([classified_tiles(tmp_path, count=1, size=SIZE, nodata=0)])
    reader = ChipReader(chips.nodata)
    sample = draw(PixelTask(spec_of(chips)), chips, reader)
    invalid = ~reader.valid(chips.chips[0])
    assert invalid.any()
    np.testing.assert_array_equal(sample["mask"] == IGNORE, invalid)
    assert (sample["image"][:, invalid] == np.rint(chips.statistics.mean)[:, None]).all()


def test_drawing_leaves_the_readers_arrays_alone(tmp_path: Path):
    chips = read_chips([classified_tiles(tmp_path, count=1, size=SIZE, nodata=0)])
    reader, fresh = ChipReader(chips.nodata, cache_bytes=1 << 20), ChipReader(chips.nodata)
    for augment in (False, True):
        draw(PixelTask(spec_of(chips)), chips, reader, augment)
    np.testing.assert_array_equal(reader.image(chips.chips[0]), fresh.image(chips.chips[0]))
    np.testing.assert_array_equal(reader.label(chips.chips[0]), fresh.label(chips.chips[0]))


def test_ground_beyond_the_chip_is_unlabelled_and_0_once_normalised(chips, reader):
    task = PixelTask(spec_of(chips, chip_size=(SIZE + 16, SIZE + 16)))
    batch = task.to_device(task.collate([draw(task, chips, reader)]), torch.device("cpu"))
    outside = torch.ones(SIZE + 16, SIZE + 16, dtype=torch.bool)
    outside[8:-8, 8:-8] = False
    assert (batch["mask"][0][outside] == IGNORE).all()
    assert batch["image"][0][:, outside].abs().max() < 0.01  # whole numbers, so up to half a grey level
    assert (batch["mask"][0][~outside] != IGNORE).all()


@pytest.mark.parametrize("seed", range(12))
def test_augmentation_moves_image_and_mask_together(chips, reader, seed):
    task = PixelTask(spec_of(chips))
    drawn = draw(task, chips, reader, augment=True, seed=seed)
    plain = draw(task, chips, reader)
    colors = {i: np.median(plain["image"][:, plain["mask"] == i], 1).argmax() for i in (1, 2, 3)}  # a class, its band
    for index, band in colors.items():
        pixels = drawn["image"][:, drawn["mask"] == index].argmax(0)
        assert pixels.size == 0 or (pixels == band).mean() > 0.85


def test_the_same_seed_draws_the_same_sample(chips, reader):
    task = PixelTask(spec_of(chips))
    one, other = (draw(task, chips, reader, augment=True, seed=7) for _ in range(2))
    assert all((one[key] == other[key]).all() for key in one)


def test_a_chip_without_label_is_unlabelled_ground(chips, reader):
    sample = PixelTask(spec_of(chips)).draw(replace(chips.chips[0], label=None), reader, np.random.default_rng(0), False)
    assert (sample["mask"] == IGNORE).all()


def test_a_label_of_another_size_is_refused_by_name(chips, tmp_path):
    other = read_chips([classified_tiles(tmp_path, count=1, size=SIZE * 2)]).chips[0]
    chip = replace(chips.chips[0], label=other.label)
    with pytest.raises(DataError, match=f"{chip.name} is 64 x 64 pixels, its image 32 x 32"):
        PixelTask(spec_of(chips)).draw(chip, ChipReader(None), np.random.default_rng(0), False)


def test_the_task_travels_to_loader_processes(chips, reader):
    task = PixelTask(spec_of(chips, {"class_balancing": True}, fitted={"class_weights": [1, 2, 3, 4]}))
    draw(task, chips, reader)
    batch = batch_of(task, chips, reader)
    task.losses({"network": Fixed(torch.zeros(4))}, batch, task.phases[0])
    copy = pickle.loads(pickle.dumps(task))
    assert (draw(copy, chips, reader)["mask"] == draw(task, chips, reader)["mask"]).all()


# -- losses


def losses_of(task: PixelTask, network: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    return task.losses({"network": network}, batch, task.phases[0])


LOGITS = torch.tensor([0.1, 1.0, -0.5, 0.3])


@pytest.mark.parametrize(
    ("arguments", "weight"),
    [({}, None), ({"class_balancing": True}, [1.0, 2.0, 3.0, 4.0]), ({"weighted_dice": True}, None)],
)
def test_class_weights_act_only_with_class_balancing(chips, reader, arguments, weight):
    task = PixelTask(spec_of(chips, arguments, fitted={"class_weights": [1.0, 2.0, 3.0, 4.0]}))
    batch = batch_of(task, chips, reader)
    network = Fixed(LOGITS)
    expected = F.cross_entropy(
        network(batch["image"]), batch["mask"].long(), None if weight is None else torch.tensor(weight), ignore_index=IGNORE
    )
    torch.testing.assert_close(losses_of(task, network, batch), {"pixel": expected})


def test_the_loss_arguments_reach_the_loss(chips):
    arguments = {
        "focal_loss": True,
        "dice_loss_fraction": 0.25,
        "dice_loss_average": "macro",
        "weighted_dice": True,
    }
    loss = PixelTask(spec_of(chips, arguments, fitted={"class_weights": [1, 2, 3, 4]})).loss
    assert (loss.focal_gamma, loss.dice_fraction, loss.dice_average) == (2.0, 0.25, "macro")
    assert (loss.class_weights, loss.dice_weights) == (None, (1, 2, 3, 4))


def test_auxiliary_outputs_add_their_loss_with_the_networks_weight(chips, reader):
    task = PixelTask(spec_of(chips))
    batch = batch_of(task, chips, reader)
    plain = Fixed(LOGITS)
    network = Fixed(lambda images: {"out": plain(images), "aux": 2 * plain(images)})
    network.aux_weight = 0.3
    losses = losses_of(task, network, batch)
    torch.testing.assert_close(losses["pixel"], losses_of(task, plain, batch)["pixel"])
    torch.testing.assert_close(losses["auxiliary"], 0.3 * losses_of(task, Fixed(2 * LOGITS), batch)["pixel"])


def test_mixup_mixes_images_and_losses_alike(chips, reader):
    task = PixelTask(spec_of(chips, {"mixup": True}))
    batch = batch_of(task, chips, reader)
    seen: list[Tensor] = []

    def remember(images: Tensor) -> Tensor:
        seen.append(images)
        return Fixed(LOGITS)(images)

    torch.manual_seed(3)
    loss = losses_of(task, Fixed(remember), batch)["pixel"]
    torch.manual_seed(3)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    share, partner = max(share, 1 - share), torch.randperm(4)
    torch.testing.assert_close(seen[0], share * batch["image"] + (1 - share) * batch["image"][partner])
    assert 0.5 <= share < 1
    own, other = (
        F.cross_entropy(Fixed(LOGITS)(batch["image"]), mask.long(), ignore_index=IGNORE)
        for mask in (batch["mask"], batch["mask"][partner])
    )
    torch.testing.assert_close(loss, share * own + (1 - share) * other)


def test_mixup_is_for_training_alone(chips, reader):
    task = PixelTask(spec_of(chips, {"mixup": True}))
    batch = batch_of(task, chips, reader)
    expected = F.cross_entropy(Fixed(LOGITS)(batch["image"]), batch["mask"].long(), ignore_index=IGNORE)
    torch.testing.assert_close(task.validate(Fixed(LOGITS), batch)[0]["pixel"], expected)


def test_a_batch_without_labels_trains_nothing_and_breaks_nothing(chips, reader):
    task = PixelTask(spec_of(chips, {"dice_loss_fraction": 0.5}))
    batch = batch_of(task, chips, reader)
    batch["mask"] = torch.full_like(batch["mask"], IGNORE)
    layer = nn.Conv2d(4, 4, 1)
    losses_of(task, layer, batch)["pixel"].backward()
    assert not layer.weight.grad.any()


# -- predictions


def test_validation_takes_one_forward_pass(chips, reader):
    task = PixelTask(spec_of(chips))
    network = Fixed(LOGITS)
    _, predictions = task.validate(network, batch_of(task, chips, reader))
    assert network.calls == 1
    assert len(predictions) == 4


def test_a_prediction_is_the_likeliest_class_index_of_every_pixel(chips, reader):
    task = PixelTask(spec_of(chips))
    prediction = task.predict(nn.Identity(), {"image": torch.randn(2, 4, 8, 9)})
    assert [map_.shape for map_ in prediction] == [(8, 9), (8, 9)]
    assert prediction[0].dtype == torch.uint8
    images = torch.zeros(1, 4, 2, 2)
    images[0, 2, 1, 0] = 1
    assert task.predict(nn.Identity(), {"image": images})[0].tolist() == [[0, 0], [2, 0]]


def test_ignored_classes_are_never_predicted(chips):
    task = PixelTask(spec_of(chips, {"ignore_classes": [0, 5]}))
    logits = torch.tensor([9.0, 1.0, 8.0, 2.0])
    (prediction,) = task.predict(Fixed(logits), {"image": torch.zeros(1, 4, 2, 2)})
    assert (prediction == 3).all()


def test_images_of_differing_sizes_are_predicted_one_by_one(chips):
    task = PixelTask(spec_of(chips))
    images = [torch.zeros(4, 8, 8), torch.zeros(4, 5, 9)]
    assert [tuple(map_.shape) for map_ in task.predict(Fixed(LOGITS), {"image": images})] == [(8, 8), (5, 9)]


def test_more_than_256_classes_fit_into_a_prediction(chips):
    many = tuple(chips.classes[0].model_copy(update={"value": value}) for value in range(1, 301))
    task = PixelTask(spec_of(chips, classes=many))
    (prediction,) = task.predict(Fixed(torch.arange(301.0)), {"image": torch.zeros(1, 4, 2, 2)})
    assert prediction.max() == 300


def test_perfect_predictions_measure_1(chips, reader):
    task = PixelTask(spec_of(chips))
    batch = batch_of(task, chips, reader)
    network = Fixed(lambda images: F.one_hot(batch["mask"].long(), 4).movedim(-1, 1).float())
    metrics = task.metrics()
    metrics.update(task.validate(network, batch)[1], batch)
    assert metrics.compute().scalars == {"accuracy": 1, "miou": 1, "dice": 1}


# -- pictures


def test_panels_show_image_truth_and_prediction_without_the_background(chips, reader):
    task = PixelTask(spec_of(chips))
    sample = draw(task, chips, reader)
    prediction = torch.full((SIZE, SIZE), 2, dtype=torch.uint8)
    image, truth, predicted = task.panels(sample, prediction)
    assert [panel.title for panel in (image, truth, predicted)] == ["Image", "Truth", "Prediction"]
    assert image.image.shape == (SIZE, SIZE, 3)
    assert image.classes is None
    np.testing.assert_array_equal(truth.classes == IGNORE, sample["mask"] <= 0)
    assert (predicted.classes == 2).all()
    assert truth.palette[2] == chips.classes[1].color
    assert predicted.text == f"{(sample['mask'] == 2).mean():.0%} of the labelled pixels right"


def test_panels_of_unlabelled_chips_say_nothing_of_right_and_wrong(chips, reader):
    task = PixelTask(spec_of(chips))
    sample = draw(task, chips, reader) | {"mask": np.full((SIZE, SIZE), IGNORE, np.int16)}
    assert task.panels(sample, torch.zeros(SIZE, SIZE, dtype=torch.uint8))[2].text == ""
