"""Rasters made to order, stores of every kind, a layer ready to seed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import numpy as np
import pytest
import rasterio
from hypothesis import settings
from moto.server import ThreadedMotoServer
from rasterio.enums import ColorInterp
from rasterio.transform import from_bounds

from tiler.catalog import Layer
from tiler.ingest import ingest
from tiler.storage import Store, Stores, open_store
from tiler.style import Values
from tiler.survey import Options

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def no_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that open nothing, and none of the user's settings."""
    for name in list(os.environ):
        if name.startswith(("TILER_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@dataclass(frozen=True)
class Recipe:
    """A raster to make: `values` is `(bands, height, width)`, `bounds` W,S,E,N in units of `crs`."""

    values: Values
    bounds: tuple[float, float, float, float] = (5.0, 45.0, 9.0, 48.0)
    crs: str = "EPSG:4326"
    nodata: float | None = None
    mask: Values | None = None  # (height, width) uint8: a mask inside the file
    alpha: bool = False  # the last band is alpha
    palette: dict[int, tuple[int, int, int, int]] | None = None
    options: tuple[tuple[str, Any], ...] = (("tiled", True), ("blockxsize", 256), ("blockysize", 256))
    overviews: tuple[int, ...] = ()


MakeRaster = Callable[..., Path]


def write_raster(path: Path, recipe: Recipe) -> Path:
    """Write the GeoTIFF that `recipe` describes to `path`."""
    bands, height, width = recipe.values.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=bands,
            dtype=recipe.values.dtype,
            crs=recipe.crs,
            transform=from_bounds(*recipe.bounds, width, height),
            nodata=recipe.nodata,
            **dict(recipe.options),
        ) as out,
    ):
        if recipe.palette:
            out.write_colormap(1, recipe.palette)
        if bands - recipe.alpha == 3:
            out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue] + [
                ColorInterp.alpha
            ] * recipe.alpha
        elif recipe.alpha:
            out.colorinterp = [*out.colorinterp[:-1], ColorInterp.alpha]
        out.write(recipe.values)
        if recipe.mask is not None:
            out.write_mask(recipe.mask)
        if recipe.overviews:
            out.build_overviews(list(recipe.overviews))
    return path


@pytest.fixture
def make_raster(tmp_path: Path) -> MakeRaster:
    """Writes a GeoTIFF from a Recipe, or from its fields; returns its path."""

    def make(recipe: Recipe | None = None, name: str = "source.tif", **fields: Any) -> Path:
        return write_raster(tmp_path / name, recipe or Recipe(**fields))

    return make


def scene(height: int = 700, width: int = 900, bands: int = 3, *, seed: int = 7) -> Values:
    """A picture with slopes, edges and fine grain, `(bands, height, width)` uint8, never 0."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).normal(0, 4, (bands, height, width))
    waves = [
        128 + 60 * np.sin(columns / (23 + 9 * band)) + 45 * np.cos(rows / (31 - 5 * band)) + 15 * (rows // 64 % 2)
        for band in range(bands)
    ]
    return np.clip(np.array(waves) + noise, 1, 255).astype(np.uint8)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Local stores that are empty."""
    root = tmp_path / "data"
    return Stores(
        open_store((root / "tiles").as_uri(), create=True),
        open_store((root / "private").as_uri(), create=True),
        "http://tiles.test",
    )


MakeLayer = Callable[..., Layer]


def silent(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def make_layer(stores: Stores) -> MakeLayer:
    """Ingests a raster in this process; keywords are the ingest's options."""

    def make(path: Path, name: str = "layer", **options: Any) -> Layer:
        return ingest(str(path), name, Options(**options), stores, jobs=1, progress=silent).layer

    return make


@pytest.fixture(scope="session")
def alps_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer `alps`, zooms 0 to 9, all of whose tiles hold data; to be copied."""
    folder = tmp_path_factory.mktemp("alps")
    path = write_raster(folder / "alps.tif", Recipe(values=scene()))
    stores = Stores(
        open_store((folder / "data" / "tiles").as_uri(), create=True),
        open_store((folder / "data" / "private").as_uri(), create=True),
        "http://tiles.test",
    )
    ingest(str(path), "alps", Options(), stores, jobs=1, progress=silent)
    return folder / "data"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server of this test run."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store URL in a new bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    bucket = f"tiles-{uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store((tmp_path / "store").as_uri(), create=True)
    if request.param == "memory":
        return open_store(f"memory://{uuid4().hex}")
    return open_store(f"{request.getfixturevalue('s3_url')}/some/prefix")
