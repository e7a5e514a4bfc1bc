"""PSETAE as a row of the catalog: its arguments, what it selects of a series, and its samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mask_builders import seasons, time_series

import chipwright
from chipwright import catalog, console
from chipwright.chips.chipset import IGNORE, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError, OptionError
from chipwright.models.psetae import PSETAE, PsetaeArguments, selected_series
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec
from chipwright.tasks.time_series import PixelSet, TimeSeriesTask


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def task_of(chips: ChipSet, **given: Any) -> TimeSeriesTask:
    arguments = PsetaeArguments(**given)
    return TimeSeriesTask(
        ModelSpec(
            model_type="PSETAE", arguments=arguments.model_dump(), classes=chips.classes, bands=chips.bands, dtype=chips.dtype,
            chip_size=chips.tile_size, normalization=choose_normalization(chips, None), statistics=chips.statistics,
            metadata_format=chips.format, metadata=dict(chips.metadata), fitted=PSETAE.fit(chips, arguments),
        )
    )  # fmt: skip


def test_the_defaults_are_those_of_the_reference() -> None:
    given = PsetaeArguments().model_dump()
    expected = {
        "mlp1": [32, 64], "pooling": "mean_std", "mlp2": [128, 128], "n_head": 4, "d_k": 32, "dropout": 0.2, "T": 1000,
        "mlp4": [64, 32], "gamma": 1, "min_points": 64,
    }  # fmt: skip
    assert {name: given[name] for name in expected} == expected
    assert catalog.pick("TimeSeries") == "PSETAE"


def test_dates_and_variables_are_read_off_the_export(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])
    found = selected_series(chips, PsetaeArguments())
    assert found == {"selected": [[0, 1], [2, 3], [4, 5]], "days": [0.0, 50.0, 60.0], "ignored": [0]}


def test_parts_of_a_series_are_selected_by_name_or_number(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])
    arguments = PsetaeArguments(
        channels_of_interest=["clp"],  # type: ignore[arg-type]
        timesteps_of_interest=[chips.bands[2].split()[-1], 2],
        classes_of_interest=["grass"],
    )
    assert selected_series(chips, arguments) == {"selected": [[3], [5]], "days": [0.0, 10.0], "ignored": [0, 2]}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"channels_of_interest": ["EVI"]}, "channels_of_interest names 'EVI'"),
        ({"timesteps_of_interest": [3]}, "timesteps_of_interest names '3'"),
        ({"classes_of_interest": [9]}, "classes_of_interest names 9"),
        ({"n_temporal": 4}, "n_temporal is 4, but there are 3 dates"),
        ({"n_temporal_dates": ["2020-01-01"]}, "names 1 dates, but the export has 3"),
        ({"n_temporal_dates": ["soon"]}, "no date such as"),
    ],
)
def test_what_the_chips_have_not_is_refused(given: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])
    with pytest.raises(OptionError, match=sentence):
        selected_series(chips, PsetaeArguments(**given))


def test_an_export_without_dates_takes_them_from_the_arguments(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path, dates=(), bands=6, metadata={"DimensionValues": None})])
    with pytest.raises(OptionError, match="Give n_temporal"):
        selected_series(chips, PsetaeArguments())
    assert selected_series(chips, PsetaeArguments(n_temporal=3))["days"] == [0.0, 1.0, 2.0]
    dates = ["2020-01-01", "2020-01-11"]
    found = selected_series(chips, PsetaeArguments(n_temporal_dates=dates))
    assert found["days"] == [0.0, 10.0]
    assert found["selected"] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(OptionError, match="do not go with 6 bands"):
        selected_series(chips, PsetaeArguments(n_temporal=4))


def test_widths_that_do_not_meet_are_refused(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])
    with pytest.raises(OptionError, match="Let mlp2 begin with 64"):
        PSETAE.check(chips, PsetaeArguments(pooling="mean"))
    PSETAE.check(chips, PsetaeArguments(pooling="mean", mlp2=[64, 128]))


def test_ordinary_masks_are_refused(tmp_path: Path) -> None:
    from mask_builders import discs

    with pytest.raises(chipwright.UsageError, match="PSETAE"):
        chipwright.train(discs(tmp_path / "chips", count=4, size=32), tmp_path / "m", model_type="PSETAE")


def test_masks_without_a_pixel_are_refused(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path, classes=((2, "forest"), (3, "grass")))])
    with pytest.raises(DataError, match="no mask holds a pixel"):
        PSETAE.check(chips.subset([]), PsetaeArguments())


def test_a_set_holds_pixels_of_its_class_alone(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path, size=8)])
    task, reader = task_of(chips, min_points=20), ChipReader(None)
    units = task.training_units(chips.chips[:1])
    assert [(unit.value, unit.part) for unit in units] == [(2, 0), (2, 1), (3, 0), (3, 1)]
    sample = task.draw(units[0], reader, np.random.default_rng(0), False)
    assert sample["image"].shape == (8, 1, 20)
    image, masks = reader.image(chips.chips[0]), reader.instances(chips.chips[0])
    pixels = {tuple(row) for row in image[:, masks[2].any(0)].T}
    assert {tuple(row) for row in sample["image"][:, 0].T} <= pixels
    assert sample["present"].all()
    assert sample["mask"].item() == task.classes.values.index(2)
    few = task.draw(PixelSet(chips.chips[0], 3, 0), reader, np.random.default_rng(0), False)
    assert few["present"].sum() == 20


def test_too_few_pixels_are_filled_up_and_do_not_count(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path, size=8)])
    sample = task_of(chips, min_points=50).draw(
        PixelSet(chips.chips[0], 2, 0), ChipReader(None), np.random.default_rng(0), False
    )
    assert sample["present"].sum() == 32
    assert (sample["image"][:, 0, 32:] == sample["image"][:, 0, :1]).all()


def test_training_sets_shrink_to_single_pixels(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path)])
    task = task_of(chips)
    unit = task.training_units(chips.chips)[0]
    sizes = {int(task.draw(unit, ChipReader(None), np.random.default_rng(seed), True)["present"].sum()) for seed in range(60)}
    assert 64 in sizes
    assert min(sizes) <= 2


def test_a_chips_map_knows_each_pixel_with_one_class(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])
    mask = task_of(chips, classes_of_interest=[3]).draw(chips.chips[0], ChipReader(None), np.random.default_rng(0), False)[
        "mask"
    ]
    assert (mask[4:, :4] == 2).all()
    assert (mask == IGNORE).sum() == 64 - 16


def test_background_is_never_predicted_and_curves_follow_the_classes(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path / "chips")])
    result = chipwright.train(
        tmp_path / "chips", tmp_path / "m", model_type="PSETAE", max_epochs=8, processor_type="CPU", precision="float32",
        batch_size=8, learning_rate=3e-3, arguments={"min_points": 16}, stop_training=False,
    )  # fmt: skip
    assert result.metrics["miou"] > 0.9
    model = chipwright.load(result.folder, processor_type="CPU")
    image = ChipReader(None).image(chips.chips[0])
    values = model.task.class_values(model.predict([image])[0])  # type: ignore[attr-defined]
    assert set(np.unique(values)) <= {2, 3}
    metrics = model.task.metrics()
    sample = model.task.draw(chips.chips[0], ChipReader(None), np.random.default_rng(0), False)
    batch = model.task.to_device(model.task.collate([sample]), torch.device("cpu"))
    metrics.update(model.task.predict(model.network, batch), batch)
    curve = next(curve for name, curve in metrics.compute().curves.items() if name.endswith("forest"))
    assert curve["x"] == [0.0, 30.0, 60.0, 90.0]
    assert curve["y"] == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.05)
