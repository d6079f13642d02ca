"""A message of GDAL that is not UTF-8 is logged, and prints no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

from tests.support.rasters import MakeRaster, scene

OPEN = "import logging, sys; logging.basicConfig(level=sys.argv[2]); {}; import rasterio; rasterio.open(sys.argv[1])"
HOOKS = "from tiler.undecodable import log_undecodable; log_undecodable(); log_undecodable()"


def damaged(make_raster: MakeRaster) -> Path:
    """A GeoTIFF with a byte in its XML metadata that is not UTF-8."""
    path = make_raster(values=scene(64, 64))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(PLACE="somewhere")
    data = path.read_bytes()
    assert data.count(b'name="PLACE"') == 1
    path.write_bytes(data.replace(b'name="PLACE"', b'name="PLAC" \xff'))
    return path


def printed(path: Path, level: str, hooks: str) -> str:
    words = [sys.executable, "-c", OPEN.format(hooks), str(path), level]
    return subprocess.run(words, capture_output=True, text=True, check=True).stderr


def test_it_is_a_traceback_of_rasterio_and_with_the_hooks_a_line_of_the_log(make_raster: MakeRaster) -> None:
    path = damaged(make_raster)
    assert "Traceback" in printed(path, "WARNING", "pass")
    assert not printed(path, "WARNING", HOOKS)
    (line,) = (line for line in printed(path, "INFO", HOOKS).splitlines() if "undecodable" in line)
    assert r"\xff" in line


@pytest.mark.parametrize("error", ["ValueError('a')", "UnicodeDecodeError('utf-8', b'a', 0, 1, 'b')"])
def test_other_errors_are_printed_as_ever(error: str) -> None:
    words = [sys.executable, "-c", f"{HOOKS}\nraise {error}"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
