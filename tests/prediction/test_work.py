"""One output is written by one prediction at a time."""

from pathlib import Path

import pytest
from map_builders import counted, echo, raster_file

from chipwright import api
from chipwright.errors import OptionError
from chipwright.prediction.work import alone


def test_a_second_prediction_of_the_same_output_is_refused_and_the_first_undisturbed(tmp_path: Path) -> None:
    raster, out = raster_file(tmp_path / "in.tif", counted((64, 64), 4)), tmp_path / "out.tif"
    with alone(out):
        with pytest.raises(OptionError, match=r"Another prediction is writing .*out\.tif\. Wait for it"):
            api.predict(echo(3, 7, 9), raster, out)
        api.predict(echo(3, 7, 9), raster, tmp_path / "other.tif")
        assert not out.exists()
    api.predict(echo(3, 7, 9), raster, out)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_a_failed_prediction_keeps_nobody_out(tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    with pytest.raises(ZeroDivisionError), alone(out):
        raise ZeroDivisionError
    with alone(out):
        pass
