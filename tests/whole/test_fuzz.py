"""Damaged rasters get an answer; what the long run (`scripts/full`) found is held here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rasterio.shutil import copy

from tests.fuzz.case import Case
from tests.fuzz.rasters import make
from tests.support.paths import ROOT
from tests.support.rasters import MakeRaster, scene
from tiler.errors import BadSource
from tiler.ingest.survey import survey
from tiler.raster.options import Options


def test_damaged_rasters_end_in_an_answer() -> None:
    words = [sys.executable, "-m", "tests.fuzz", "--number", "30", "--seed", "2", "--jobs", "2"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("30 rasters: ")


def test_a_case_is_the_same_every_time(tmp_path: Path) -> None:
    found = []
    for name in "ab":
        (tmp_path / name).mkdir()
        kind, source = make(tmp_path / name, Case(1, 3).rng())
        found.append((kind, source.read_bytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("east", [1.1e224, 1e12])
def test_a_raster_that_lies_off_the_globe_is_refused_at_once(
    east: float, make_raster: MakeRaster, tmp_path: Path
) -> None:
    """PROJ turned around the globe until the process was killed (fuzz, seed 1, case 241)."""
    bounds = (500_000.0, 5_600_000.0, 800_000.0, 5_900_000.0)
    source = tmp_path / "far.vrt"
    copy(make_raster(values=scene(40, 50), bounds=bounds, crs="EPSG:3857"), source, driver="VRT")
    said = source.read_text()
    transform = said[said.index("<GeoTransform>") + 14 : said.index("</GeoTransform>")]
    source.write_text(said.replace(transform, ",".join([repr(east), *transform.split(",")[1:]])))
    with pytest.raises(BadSource, match="off the globe"):
        survey(str(source), Options())
