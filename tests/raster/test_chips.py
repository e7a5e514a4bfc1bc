from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError
from chipwright.raster.chips import export_classified_tiles
from chipwright.raster.scene import CLASSES, Scene, draw_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return draw_scene(tmp_path_factory.mktemp("scene"), size=300, seed=1)


def test_a_scene_is_drawn_the_same_for_the_same_seed(scene: Scene, tmp_path: Path) -> None:
    again = draw_scene(tmp_path, size=300, seed=1)
    with rasterio.open(scene.image) as left, rasterio.open(again.image) as right:
        np.testing.assert_array_equal(left.read(), right.read())


def test_chips_put_back_give_the_scene_and_its_labels(scene: Scene, tmp_path: Path) -> None:
    count = export_classified_tiles(scene.image, scene.labels, tmp_path, CLASSES, 96, stride=80)
    chips = read_chips([tmp_path])
    assert len(chips) == count == 16
    assert [info.name for info in chips.classes] == [info.name for info in CLASSES]
    with rasterio.open(scene.image) as source:
        whole, transform = source.read(), source.transform
    from pyogrio.raw import read
    from shapely import from_wkb

    _, _, geometry, columns = read(scene.labels, columns=["classvalue"])
    truth = rasterize(zip(from_wkb(geometry), columns[0].tolist(), strict=True), whole.shape[1:], transform=transform)
    reader = ChipReader(None)
    seen = np.zeros(truth.shape, bool)
    for chip in chips.chips:
        assert chip.georeference is not None
        left, _, _, top = chip.georeference.bounds
        column, row = round((left - transform.c) / transform.a), round((top - transform.f) / transform.e)
        place = np.s_[row : row + chip.height, column : column + chip.width]
        np.testing.assert_array_equal(reader.image(chip), whole[:, *place])
        np.testing.assert_array_equal(reader.label(chip), truth[place])
        seen[place] = True
    assert seen.all()


def test_the_exports_statistics_are_those_of_the_pixels(scene: Scene, tmp_path: Path) -> None:
    export_classified_tiles(scene.image, scene.labels, tmp_path, CLASSES, 100)
    chips = read_chips([tmp_path])
    with rasterio.open(scene.image) as source:
        pixels = source.read().reshape(3, -1).astype(float)
    assert chips.statistics.source == "export"
    assert chips.statistics.mean == pytest.approx(pixels.mean(1))
    assert chips.statistics.std == pytest.approx(pixels.std(1, ddof=1))


def test_a_raster_smaller_than_a_tile_is_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="300 x 300 pixels, less than one tile of 512"):
        export_classified_tiles(scene.image, scene.labels, tmp_path / "chips", CLASSES, 512)
    assert not (tmp_path / "chips").exists()
