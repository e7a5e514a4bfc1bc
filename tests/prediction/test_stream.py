"""Windows gathered into batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from map_builders import CELL, LEFT, TOP, Echo, counted, echo, raster_file

from chipwright import api
from chipwright.errors import ChipwrightError, OptionError
from chipwright.prediction.job import measured_margin
from chipwright.prediction.source import Source
from chipwright.prediction.stream import Seen, batched
from chipwright.prediction.windows import Window
from chipwright.raster.imagery import Imagery


def seen(number: int, side: int, data: bool) -> Seen:
    box = (0, 0, side, side)
    return Seen(number, Window(box, box), {"image": np.zeros((1, side, side))} if data else None, None)


def test_windows_without_data_do_not_gather() -> None:
    data = [number % 1000 in (400, 401, 402, 403, 404) for number in range(3000)]
    sides = [8 if number < 1402 else 16 for number in range(3000)]
    batches = [*batched((seen(number, sides[number], data[number]) for number in range(3000)), 4)]
    assert [one.row for batch in batches for one in batch] == list(range(3000))
    assert max(len(batch) for batch in batches) <= 100
    for batch in batches:
        own = [one for one in batch if one.sample is not None]
        assert len(own) <= 4
        assert len({one.window.shape for one in own}) <= 1


def test_outside_the_mask_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raster = raster_file(tmp_path / "in.tif", counted((256, 256), 4))
    reads = []
    read = Imagery.read
    monkeypatch.setattr(Imagery, "read", lambda self, tile: reads.append(tile) or read(self, tile))
    with Source(echo(3, 7, 9), [raster]) as source:
        source.inside = source.grid.footprint.centroid.buffer(20)
        assert source.read((0, 0, 64, 64))[0] is None
        assert not reads
        assert source.read((64, 64, 128, 128))[0] is not None
    assert len(reads) == 1


def test_cells_larger_than_the_raster_are_refused(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", counted((50, 80), 4))
    with pytest.raises(OptionError, match=r"Cells of 120 map units are larger than the raster, which has 160 x 100\."):
        api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", cell_size=120)
    extent = (LEFT, TOP - 50 * CELL, LEFT + 80 * CELL, TOP)
    assert api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", cell_size=100, padding=8, extent=extent).pixels == 1


@pytest.mark.parametrize("most", [1, 3])
def test_batches_that_memory_does_not_hold_are_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    forward, sizes = Echo.forward, []

    def cramped(self: Any, images: Any) -> Any:
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        sizes.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Echo, "forward", cramped)
    indices = counted((200, 300), 4)
    raster = raster_file(tmp_path / "in.tif", indices)
    given: dict[str, Any] = {"tile_size": 64, "padding": 8, "batch_size": 5}
    api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", **given)
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(file.read(1), np.array([0, 3, 7, 9])[indices])
    assert max(sizes) == most


def test_memory_that_holds_no_window_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cramped(self: Any, images: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")

    monkeypatch.setattr(Echo, "forward", cramped)
    raster = raster_file(tmp_path / "in.tif", counted((64, 64), 4))
    with pytest.raises(ChipwrightError, match=r"a single window of 64 x 64 pixels\. Choose smaller ones"):
        api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", tile_size=64, padding=8)
    assert not (tmp_path / "out.tif").exists()


def test_the_margin_is_measured_in_what_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def cramped(numbers: Any, bands: int, size: int, device: Any) -> int:
        seen.append(size)
        if size > 200:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return 7

    monkeypatch.setattr("chipwright.prediction.job.margin_of", cramped)
    assert measured_margin(echo(3, 7, 9), 640) == 7
    assert seen == [640, 320, 160]
