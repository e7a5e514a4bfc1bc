"""A prediction that is killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from map_builders import counted, raster_file

_SCRIPT = """
import sys, time
import torch
from map_builders import Echo, echo
from chipwright import api

forward = Echo.forward

def slowly(self, images):
    time.sleep(float(sys.argv[3]))
    return forward(self, images)

Echo.forward = slowly
api.predict(echo(3, 7, 9), sys.argv[1], sys.argv[2], tile_size=64, padding=8, batch_size=1)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_again_and_again_the_result_is_that_of_an_undisturbed_run(tmp_path: Path) -> None:
    indices = counted((500, 150), 4)
    raster, out = raster_file(tmp_path / "in.tif", indices), tmp_path / "out.tif"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}

    def start(pause: float) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _SCRIPT, str(raster), str(out), str(pause)], env=environment)

    def pieces() -> int:
        return len(list(tmp_path.glob(".out.tif.unfinished/*.done")))

    for round_ in range(3):
        before, process, deadline = pieces(), start(0.15), time.monotonic() + 120
        while pieces() < before + 2 and time.monotonic() < deadline:
            time.sleep(0.02)
            assert not out.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert pieces() >= 2 * (round_ + 1)
        assert not out.exists()
    assert start(0.0).wait() == 0
    with rasterio.open(out) as file:
        np.testing.assert_array_equal(file.read(1), np.array([0, 3, 7, 9])[indices])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif", "out.tif.aux.xml"]
