"""A raster of another celestial body is rejected, or placed at the same longitudes and latitudes of the earth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rasterio.crs import CRS

from seeder.cli.ingest import ingest as ingest_command
from seeder.cli.refresh import refresh
from tests.support.baked import hashes_of_parts
from tests.support.clock import nothing_in_flight
from tests.support.layers import silent
from tests.support.oracle import drawn, tiles_of
from tests.support.rasters import MakeRaster, scene
from tiler.errors import BadSource
from tiler.ingest.ingest import ingest, restore
from tiler.layers.catalog import Layer, load_layer
from tiler.raster.bodies import foreign_radius
from tiler.raster.datasets import OpenOptions, opened
from tiler.raster.options import Options
from tiler.storage.store import Stores

BOX = (20.0, -30.0, 60.0, 10.0)  # degrees
EUROPA, MOON = 1_560_800.0, 1_737_400.0
ROUNDING = 1  # levels that a pixel may differ by: geotransforms differ by a billionth of a pixel
EQUIRECTANGULAR = "IAU_2015:50210"


def metres(
    radius: float, *, middle: float = 0, true: float = 0, unit: float = 1, false: float = 0
) -> tuple[float, ...]:
    """BOX as an equirectangular map of a sphere has it (Snyder 1987, 12-1 and 12-2)."""
    west, south, east, north = map(math.radians, BOX)
    across = [(radius * math.cos(math.radians(true)) * (x - math.radians(middle)) + false) / unit for x in (west, east)]
    up = [radius * y / unit for y in (south, north)]
    return across[0], up[0], across[1], up[1]


MAPS = {
    "europa": (EQUIRECTANGULAR, metres(EUROPA)),
    "europa from the far side": (f"+proj=eqc +R={EUROPA} +lon_0=180 +units=m", metres(EUROPA, middle=180)),
    "moon": ("IAU_2015:30110", metres(MOON)),
    "moon, kilometres, true at 20 degrees": (
        f"+proj=eqc +R={MOON} +lat_ts=20 +x_0=5000 +units=km",
        metres(MOON, true=20, unit=1000, false=5000),
    ),
    "moon, degrees": ("IAU_2015:30100", BOX),
    "europa, degrees": (f"+proj=longlat +R={EUROPA} +no_defs", BOX),
    "mars, ellipsoid, degrees": ("+proj=longlat +a=3396190 +b=3376200 +no_defs", BOX),
}


def made(path: Path, name: str, stores: Stores, **options: Any) -> Layer:
    return ingest(str(path), name, Options(**options), stores, jobs=1, progress=silent).layer


def run(data: Path, *words: object) -> Result:
    return CliRunner().invoke(ingest_command, [*map(str, words), "--data", str(data), "--jobs", "1"])


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("name", MAPS)
def test_its_tiles_are_those_of_the_same_raster_on_the_earth(
    name: str, virtual: bool, make_raster: MakeRaster, stores: Stores
) -> None:
    crs, bounds = MAPS[name]
    values, mask = scene(100, 100), np.full((100, 100), 255, np.uint8)
    mask[25:45, 60:] = 0
    fields: dict[str, Any] = {"values": values, "mask": mask}
    there = made(make_raster(crs=crs, bounds=bounds, **fields), "there", stores, as_earth=True, virtual=virtual)
    here = made(make_raster(bounds=BOX, name="here.tif", **fields), "here", stores, virtual=virtual)
    assert tuple(there.bounds) == pytest.approx(tuple(here.bounds), abs=1e-9)
    assert (there.minzoom, there.maxzoom) == (here.minzoom, here.maxzoom)
    seen = 0
    for z in range(here.minzoom, here.maxzoom + 1):
        for tile in tiles_of(here, z):
            one, other = (drawn(layer, stores, tile).astype(int) for layer in (there, here))
            assert np.abs(one - other).max() <= ROUNDING
            seen += int(one[..., 3].any())
    assert seen > 4


@pytest.mark.parametrize("name", MAPS)
def test_without_the_option_it_is_refused_in_a_line_that_names_it(
    name: str, make_raster: MakeRaster, tmp_path: Path
) -> None:
    crs, bounds = MAPS[name]
    done = run(tmp_path / "data", make_raster(values=scene(20, 20), crs=crs, bounds=bounds), "--layer", "far")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "belongs to another body, of radius " in done.stderr
    assert "--as-earth" in done.stderr
    assert len(done.stderr.replace(str(tmp_path), "")) < 240


@pytest.mark.parametrize(
    "crs",
    [
        "IAU_2015:30120",  # sinusoidal
        "+proj=eqc +a=3396190 +b=3376200 +units=m",
        "+proj=stere +lat_0=90 +R=1737400 +units=m",
    ],
)
def test_other_maps_are_refused_in_a_line(crs: str, make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(values=scene(20, 20), crs=crs, bounds=(0, 0, 1e5, 1e5))
    done = run(tmp_path / "data", path, "--layer", "far", "--as-earth")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "needs longitudes and latitudes, or an equirectangular map of a sphere" in done.stderr
    assert len(done.stderr.replace(str(tmp_path), "")) < 240


def test_the_option_changes_no_pixel_of_a_raster_of_the_earth(make_raster: MakeRaster, stores: Stores) -> None:
    path = make_raster(values=scene(60, 60), crs="EPSG:32632", bounds=(4e5, 5e6, 4.1e5, 5.01e6))
    plain, asked = made(path, "plain", stores), made(path, "asked", stores, as_earth=True)
    assert plain.revision != asked.revision
    assert hashes_of_parts(plain, stores) == hashes_of_parts(asked, stores)


def test_an_option_that_is_not_given_is_no_part_of_the_revision() -> None:
    assert Options().changed() == Options(as_earth=False).changed() == {}
    assert Options(as_earth=True).changed() == {"as_earth": True}


def test_refresh_takes_the_option_over(
    make_raster: MakeRaster, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_in_flight(monkeypatch)
    crs, bounds = MAPS["europa"]
    made(make_raster(values=scene(40, 40), crs=crs, bounds=bounds), "far", stores, as_earth=True)
    path = make_raster(values=scene(40, 40, seed=8), crs=crs, bounds=bounds, name="next.tif")
    words = ["far", str(path), "--yes", "--jobs", "1", "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(refresh, words)
    assert done.exit_code == 0, done.output
    assert load_layer(stores.sources, "far").asked.as_earth


def test_a_virtual_layer_can_be_restored(make_raster: MakeRaster, stores: Stores) -> None:
    crs, bounds = MAPS["europa"]
    path = make_raster(values=scene(40, 40), crs=crs, bounds=bounds)
    first = made(path, "far", stores, as_earth=True, virtual=True)
    assert first.source == str(path)
    made(path, "far", stores, as_earth=True, virtual=True, format="webp")
    assert restore("far", first.revision, stores).revision == first.revision


def test_a_raster_that_breaks_off_is_named_as_it_was_given(make_raster: MakeRaster, stores: Stores) -> None:
    crs, bounds = MAPS["europa"]
    path = make_raster(values=scene(600, 600), crs=crs, bounds=bounds)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadSource, match="is the file complete") as refused:
        made(path, "far", stores, as_earth=True)
    assert "vrt://" not in str(refused.value)


def test_overviews_are_read_as_they_are(make_raster: MakeRaster) -> None:
    crs, bounds = MAPS["europa"]
    path = str(make_raster(values=scene(600, 800), crs=crs, bounds=bounds, overviews=(2, 4)))
    far = OpenOptions(as_earth=True)
    assert opened(path, open_options=far).overviews(1) == [2, 4]
    assert (opened(path, 1, open_options=far).read() == opened(path, 1).read()).all()
    assert opened(path, 1, open_options=far).crs.to_epsg() == 4326


@pytest.mark.parametrize("code", [4326, 3857, 4267, 27700, 31370, 4047, 32632])
def test_ellipsoids_of_the_earth_are_of_the_earth(code: int) -> None:
    assert foreign_radius(CRS.from_epsg(code)) is None
