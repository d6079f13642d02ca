"""A CRS that is looked up by GeoKeys is the one that GDAL makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin

from tests.support.effort import examples
from tiler.raster import datasets
from tiler.raster.geokeys import geokeys

PLACE = from_origin(500_000, 5_300_000, 10, 10)
CODES = (25832, 32632, 32733, 3857, 2154, 27700, 31467, 3035, 2056, 5070, 4326, 4258, 25833)
CUSTOM = (
    "+proj=tmerc +lat_0=48 +lon_0=11.5 +k=0.9996 +x_0=500000 +ellps=bessel +units=m",
    "+proj=laea +lat_0=52.5 +lon_0=10 +datum=WGS84 +units=m",
    "+proj=utm +zone=32 +datum=WGS84 +units=us-ft",
)


def written(path: Path, crs: object, **options: object) -> Path:
    facts = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8", "transform": PLACE}
    with rasterio.open(path, "w", crs=crs, **facts | options) as out:
        out.write(np.ones((1, 4, 4), "uint8"))
    return path


def as_gdal(path: Path) -> CRS | None:
    with rasterio.open(path) as dataset:
        return dataset.crs


@pytest.mark.parametrize("crs", [*(f"EPSG:{code}" for code in CODES), *CUSTOM])
@pytest.mark.parametrize("options", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"tiled": True}])
def test_the_crs_is_that_of_gdal(tmp_path: Path, crs: str, options: dict[str, object]) -> None:
    for number in range(2):  # made, and looked up
        path = written(tmp_path / f"{number}.tif", crs, **options)
        assert geokeys(str(path))
        assert datasets.opened(str(path)).crs.to_wkt() == as_gdal(path).to_wkt()


def test_it_is_the_same_object_for_the_same_keys(tmp_path: Path) -> None:
    one, other = (datasets.opened(str(written(tmp_path / f"{name}.tif", "EPSG:25832"))).crs for name in "ab")
    assert one is other


def test_control_points_and_sidecars_are_left_to_gdal(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain.tif", "EPSG:25832")
    assert datasets.opened(str(plain)).crs == CRS.from_epsg(25832)
    points = [GroundControlPoint(row, column, column * 10, row * 10) for row, column in ((0, 0), (0, 4), (4, 0))]
    pinned = written(tmp_path / "pinned.tif", "EPSG:25832", gcps=points, transform=rasterio.Affine.identity())
    beside = written(tmp_path / "beside.tif", "EPSG:25832")
    wkt = CRS.from_epsg(2154).to_wkt()
    Path(f"{beside}.aux.xml").write_text(f"<PAMDataset><SRS>{wkt}</SRS></PAMDataset>", "utf-8")
    placeless = written(tmp_path / "none.tif", None)
    for path in (pinned, beside, placeless):
        assert geokeys(str(path)) is None
        with datasets.as_it_is(str(path), datasets.PLAIN) as dataset:
            assert dataset.crs == as_gdal(path)
    assert as_gdal(beside) == CRS.from_epsg(2154)


@given(st.binary(max_size=80), st.integers(0, 300))
@settings(max_examples=examples(60))
def test_damaged_headers_have_none(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    path = written(tmp_path_factory.mktemp("damaged") / "a.tif", "EPSG:25832")
    data = bytearray(path.read_bytes())
    data[at : at + len(noise)] = noise
    path.write_bytes(data)
    found = geokeys(str(path))  # raises nothing
    assert found is None or found[1]


@pytest.mark.parametrize(
    "name", ["missing.tif", "/vsizip/a.zip/b.tif", "s3://bucket/a.tif", "a\0b", "GTIFF_DIR:1:a.tif"]
)
def test_other_names_have_none(name: str) -> None:
    assert geokeys(name) is None
