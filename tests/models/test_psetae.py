"""PSETAE as a row of the catalog: its arguments, what it selects of a series, and its samples."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_raster
from mask_builders import mask_path, seasons, time_series

import chipwright
from chipwright import catalog, console
from chipwright.chips.chipset import IGNORE, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError, OptionError
from chipwright.models.psetae import PSETAE, PsetaeArguments, selected_series
from chipwright.prediction.source import Source
from chipwright.spec import ModelSpec
from chipwright.tasks import time_series as time_series_task
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
            chip_size=chips.tile_size, normalization=PSETAE.normalization(chips, arguments, None), statistics=chips.statistics,
            nodata=chips.nodata, metadata_format=chips.format, metadata=dict(chips.metadata),
            fitted=PSETAE.fit(chips, arguments),
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
        ({"n_temporal_dates": ["2015-07-11", "2015-09-01", "2015-09-09"]}, "names 2015-09-01 where the export says 2015-08-30"),
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
        PSETAE.check(chips, PsetaeArguments(pooling="mean", mlp2=[128, 128]))
    PSETAE.check(chips, PsetaeArguments(pooling="mean", mlp2=[64, 128]))
    assert PsetaeArguments(pooling="max").mlp2 == [64, 128]
    assert PsetaeArguments(mlp1=[16]).mlp2 == [32, 128]


def test_ordinary_masks_are_refused(tmp_path: Path) -> None:
    from mask_builders import discs

    with pytest.raises(
        chipwright.UsageError, match=r"PSETAE trains on TimeSeries, .* their \.emd says IsMultidimensional true"
    ):
        chipwright.train(discs(tmp_path / "chips", count=4, size=32), tmp_path / "m", model_type="PSETAE")


def test_masks_without_a_pixel_are_refused(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path, classes=((2, "forest"), (3, "grass")))])
    with pytest.raises(DataError, match="no mask holds a pixel"):
        PSETAE.check(chips.subset([]), PsetaeArguments())


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])
    with pytest.raises(DataError, match=r"of one class alone \(grass\)"):
        PSETAE.check(chips, PsetaeArguments(classes_of_interest=["grass"]))


def test_variables_are_scaled_alike_on_all_dates(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path)])
    scaling = PSETAE.normalization(chips, PsetaeArguments(), None)
    images = np.stack([ChipReader(None).image(chip) for chip in chips.chips]).reshape(len(chips), 4, 2, -1)
    assert scaling.mean == pytest.approx(np.tile(images.mean((0, 1, 3)), 4), rel=1e-5)
    assert scaling.std == pytest.approx(np.tile(images.std((0, 1, 3)), 4), rel=1e-3)
    assert scaling.minimum == pytest.approx(np.tile(images.min((0, 1, 3)), 4))
    assert scaling.maximum == pytest.approx(np.tile(images.max((0, 1, 3)), 4))


def test_a_pixel_without_data_on_one_date_is_still_learnt_from(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])  # NaN in the corner of the first date
    task, reader = task_of(chips), ChipReader(None)
    sample = task.draw(chips.chips[0], reader, np.random.default_rng(0), False)
    assert np.isnan(sample["image"][:2, :2, :2]).all()
    assert not np.isnan(sample["image"][2:]).any()
    assert not sample["held"][0, :2, :2].any()
    assert sample["held"].sum() == 3 * 64 - 4
    assert (sample["mask"][:4, :4] == task.classes.values.index(2)).all()
    draws = [task.draw(PixelSet(chips.chips[0], 2, 0), reader, np.random.default_rng(seed), False) for seed in range(10)]
    whole = next(drawn for drawn in draws if drawn["present"].sum() == 16)
    assert np.isnan(whole["image"][:2, 0, :16]).sum() == 8


def test_declared_nodata_is_missing_on_the_dates_that_hold_it(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path, dtype="uint8")])
    task = task_of(replace(chips, nodata=0.0))
    image = np.full((8, 3, 3), 7, np.uint8)
    image[2:4, 0, 0] = 0
    image[0, 1, 1] = 0  # one variable alone is a value
    image[:, 2, 2] = 0
    held = task._held(image, np.array([[True] * 3] * 2 + [[True, True, False]]), np.s_[:, :])
    assert held[:, 0, 0].tolist() == [True, False, True, True]
    assert held[:, 1, 1].all()
    assert not held[:, 2, 2].any()
    filled = task._filled(image, held)
    assert np.isnan(filled[:, 0, 0]).tolist() == [False, False, True, True, False, False, False, False]


def test_declared_nodata_of_some_dates_is_missing_though_every_pixel_has_some_data(tmp_path: Path) -> None:
    folder = seasons(tmp_path, dtype="uint8")
    plain = read_chips([folder]).chips[0]
    image = np.maximum(ChipReader(None).image(plain), 1)
    image[2:4, :3] = 0
    write_raster(plain.image, image, nodata=0)
    chips = replace(read_chips([folder]), nodata=0.0)
    task, reader = task_of(chips), ChipReader.of(chips)
    chip = next(chip for chip in chips.chips if chip.image == plain.image)
    assert reader.valid(chip) is None
    drawn = task.draw(chip, reader, np.random.default_rng(0), False)
    assert np.isnan(drawn["image"][2:4, :3]).all()
    assert np.isnan(drawn["image"]).sum() == np.isnan(drawn["image"][2:4, :3]).sum()
    assert not drawn["held"][1, :3].any()
    np.testing.assert_array_equal(task.sample([image], [None])["image"], drawn["image"])
    assert task.host_facts()["missing"] == {"value": 0.0, "bands": 2}


def test_what_a_files_own_mask_takes_out_is_missing_on_all_dates(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path, dtype="uint8")])
    valid = np.array([[True, False]])
    held = task_of(chips)._held(np.full((8, 1, 2), 7, np.uint8), valid, np.s_[:, :])
    assert held.all((0, 1)).tolist() == [True, False]
    assert not held[:, 0, 1].any()


def test_a_set_is_of_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_series_task, "NEIGHBOURHOODS", 0)
    monkeypatch.setattr(time_series_task, "MAPPED", 0)
    folder = seasons(tmp_path, size=16)
    mask = np.zeros((16, 16), "uint8")
    mask[:4, :4], mask[4:8, 8:] = 1, 2
    write_raster(mask_path(folder, 0, "2"), mask)
    write_raster(mask_path(folder, 0, "3"), np.zeros((16, 16), "uint8"))
    chips = read_chips([folder])
    task, reader = task_of(chips, min_points=64), ChipReader(None)
    sizes = {
        int(task.draw(PixelSet(chips.chips[0], 2, 0), reader, np.random.default_rng(seed), False)["present"].sum())
        for seed in range(20)
    }
    assert sizes == {16, 32}


def test_large_chips_are_measured_in_tiles_that_cover_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chips = read_chips([seasons(tmp_path, size=16, count=2)])
    task, reader = task_of(chips), ChipReader(None)
    whole = task.draw(chips.chips[0], reader, np.random.default_rng(0), False)
    assert task.units(chips.chips) == list(chips.chips)
    monkeypatch.setattr(time_series_task, "TILE", 12)
    tiles = task.units(chips.chips[:1])
    drawn = [task.draw(tile, reader, np.random.default_rng(0), False) for tile in tiles]
    assert [sample["mask"].shape for sample in drawn] == [(12, 12), (12, 4), (4, 12), (4, 4)]
    assert np.array_equal(np.block([[drawn[0]["mask"], drawn[1]["mask"]], [drawn[2]["mask"], drawn[3]["mask"]]]), whole["mask"])
    assert np.array_equal(drawn[3]["image"], whole["image"][:, 12:, 12:])
    assert task.chips_of(tiles[0]) == (chips.chips[0],)


def test_the_picture_is_true_colour_where_there_is_red_green_and_blue(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path, variables=("Blue", "Green", "Red"))])
    task = task_of(chips)
    sample = task.draw(chips.chips[0], ChipReader(None), np.random.default_rng(0), False)
    panels = task.panels(sample, torch.from_numpy(np.maximum(sample["mask"], 0)))
    assert [panel.title for panel in panels] == ["Middle date", "Truth", "Prediction"]
    assert panels[-1].text == "100% of the labelled pixels right"


def test_the_package_says_what_the_bands_are(tmp_path: Path) -> None:
    chips = read_chips([time_series(tmp_path)])
    keys = PSETAE.emd_keys(task_of(chips, channels_of_interest=["CLP"], timesteps_of_interest=[0, 2]).spec)
    assert (keys["n_temporal"], keys["n_channel"], keys["date_positions"]) == (2, 1, [0.0, 60.0])
    assert (keys["timestep_infer"], keys["channels_infer"]) == ([0, 2], [1])
    assert (keys["timeindex"], keys["bandindex"]) == ([0, 1, 2], [0, 1])
    assert keys["Class_mapping"] == {"2": "forest", "3": "grass"}
    assert len(keys["mean_norm_stats"]) == 2


def test_sets_are_an_objects_pixels_or_the_neighbourhood_that_a_map_shows(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path, size=8)])
    task, reader = task_of(chips, min_points=20), ChipReader(None)
    chip = chips.chips[0]
    assert [(unit.value, unit.part) for unit in task.training_units([chip])] == [(2, 0), (2, 1), (3, 0), (3, 1)]
    image, own = reader.image(chip), reader.instances(chip)[2].any(0)
    place_of = {tuple(image[:, row, column]): (row, column) for row in range(8) for column in range(8)}
    kinds = set()
    for seed in range(40):
        sample = task.draw(PixelSet(chip, 2, 0), reader, np.random.default_rng(seed), False)
        assert sample["image"].shape == (8, 1, 20)
        assert sample["mask"].item() == task.classes.values.index(2)
        count = int(sample["present"].sum())
        places = np.array([place_of[tuple(pixel)] for pixel in sample["image"][:, 0, :count].T])
        away = places - places[0]
        assert len(np.unique(places, axis=0)) == count
        assert own[tuple(places[0])]
        assert (np.diff(np.square(away).sum(1)) >= 0).all()
        inside = own[tuple(places.T)]
        if count == 20:
            assert inside.all()
        else:
            row, column = places[0]
            near = np.s_[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            assert abs(away).max() == 1
            assert count == (own[near].sum() if inside.all() else own[near].size)
        kinds.add((count, bool(inside.all())))
    assert {(20, True), (9, True)} <= kinds
    assert any(not alike for _, alike in kinds)  # beside a border the map shows pixels of other classes, too


def test_too_few_pixels_are_filled_up_and_do_not_count(tmp_path: Path) -> None:
    chips = read_chips([seasons(tmp_path, size=8)])
    task, unit = task_of(chips, min_points=50), PixelSet(chips.chips[0], 2, 0)
    samples = [task.draw(unit, ChipReader(None), np.random.default_rng(seed), False) for seed in range(10)]
    assert max(sample["present"].sum() for sample in samples) == 32
    for sample in samples:
        rest = sample["image"][:, 0, sample["present"][0].sum() :]
        assert (rest == sample["image"][:, 0, :1]).all()


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
    with torch.inference_mode():
        metrics.update(model.task.validate(model.network, batch)[1], batch)
    curves = metrics.compute().curves
    curve = curves["Variable 0 over the dates: forest"]
    assert curve["x"] == [0.0, 30.0, 60.0, 90.0]
    assert curve["y"] == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.05)
    reach = np.subtract(curve["high"], curve["y"])
    assert reach == pytest.approx([0.05] * 4, abs=0.015)
    assert np.subtract(curve["y"], curve["low"]) == pytest.approx(reach)
    assert curve["x_label"] == "days since 2015-07-11"
    attention = curves["Attention to each date: forest"]
    assert len(attention["y"]) == 4
    assert sum(attention["y"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("learnt", "dtype"), [(None, "uint8"), (255.0, "uint8"), (0.0, "uint8"), (-1.0, "uint8"), (None, "float32")]
)
def test_a_rasters_own_nodata_is_missing_on_the_dates_that_hold_it(tmp_path: Path, learnt: float | None, dtype: str) -> None:
    chips = read_chips([seasons(tmp_path / "chips", dtype=dtype)])
    task = task_of(replace(chips, nodata=learnt))
    image = np.full((len(chips.bands), 20, 20), 7, dtype)
    image[2:4, :5] = 0
    raster = write_raster(tmp_path / "raster.tif", image, nodata=0)
    model: Any = SimpleNamespace(name="series", spec=task.spec, task=task)
    with Source(model, [raster]) as source:
        sample, held = source.read((0, 0, 20, 20))
    assert held is None
    assert sample is not None
    expected = np.zeros(image.shape, bool)
    expected[2:4, :5] = True
    np.testing.assert_array_equal(np.isnan(sample["image"]), expected)
