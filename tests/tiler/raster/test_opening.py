"""Options of opening a source: georeferencing, subdataset, control points."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.warp
from affine import Affine
from click.testing import CliRunner, Result
from mercantile import Tile
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.rpc import RPC

from seeder.cli.ingest import ingest as ingest_command
from seeder.cli.refresh import refresh
from tests.support.baked import hashes_of_parts
from tests.support.layers import silent
from tests.support.oracle import HALF, drawn, tiles_of
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import BadSource
from tiler.ingest.ingest import ingest, restore
from tiler.ingest.survey import revision_of
from tiler.layers.catalog import Layer, Options, load_layer
from tiler.raster.datasets import OpenOptions, opened
from tiler.scenes.source_files import beneath
from tiler.storage.store import Stores

BOX = (440_000.0, 4_990_000.0, 446_000.0, 4_995_000.0)  # metres
TRUTH = {"crs": "EPSG:32633", "bounds": BOX}
WRONG = {"crs": "EPSG:3857", "bounds": (0.0, 0.0, 600.0, 500.0)}
QUICK: dict[str, Any] = {"min_zoom": 11}


def made(path: object, name: str, stores: Stores, **options: Any) -> Layer:
    return ingest(str(path), name, Options(**{**QUICK, **options}), stores, jobs=1, progress=silent).layer


def run(data: Path, *words: object) -> Result:
    return CliRunner().invoke(ingest_command, [*map(str, words), "--data", str(data), "--jobs", "1"])


def bare(path: Path) -> Path:
    """The raster without CRS and geotransform."""
    with rasterio.open(path) as old:
        values = old.read()
    with rasterio.open(
        path, "w", driver="GTiff", width=values.shape[2], height=values.shape[1], count=values.shape[0], dtype="uint8"
    ) as out:
        out.write(values)
    return path


def holed(height: int = 250, width: int = 300) -> Any:
    mask = np.full((height, width), 255, np.uint8)
    mask[40:90, 120:200] = 0
    return mask


KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "rgb": lambda: {"values": scene(250, 300)},
    "mask": lambda: {"values": scene(250, 300), "mask": holed(), "overviews": (2,)},
    "alpha": lambda: {"values": np.concatenate([scene(250, 300), holed()[None]]), "alpha": True},
    "nodata": lambda: {"values": scene(250, 300, 1) * (holed() > 0), "nodata": 0},
    "palette": lambda: {
        "values": scene(250, 300, 1) // 64,
        "palette": {0: (9, 90, 9, 255), 1: (200, 0, 0, 255), 2: (0, 0, 200, 0), 3: (1, 2, 3, 255)},
    },
    "float": lambda: {"values": np.where(holed() > 0, scene(250, 300, 1).astype(np.float32), np.nan)},
    "uint16": lambda: {"values": scene(250, 300, 1).astype(np.uint16) * 200, "nodata": 400},
}


@pytest.mark.parametrize(("kind", "how"), [*((kind, "bounds") for kind in KINDS), ("palette", "geotransform")])
def test_a_raster_laid_where_the_user_says_is_baked_as_if_it_said_so_itself(
    kind: str, how: str, tmp_path: Path, stores: Stores
) -> None:
    fields = KINDS[kind]()
    here = write_raster(tmp_path / "here.tif", Recipe(**fields, **TRUTH))
    there = write_raster(tmp_path / "there.tif", Recipe(**fields, **WRONG))
    with rasterio.open(here) as dataset:
        places: dict[str, tuple[float, ...]] = {"bounds": BOX, "geotransform": dataset.transform.to_gdal()}
    one = made(here, "here", stores)
    other = made(there, "there", stores, crs="EPSG:32633", **{how: places[how]})
    assert (one.bounds, one.maxzoom, one.style) == (other.bounds, other.maxzoom, other.style)
    assert hashes_of_parts(one, stores) == hashes_of_parts(other, stores)


@pytest.mark.parametrize("kind", ["mask", "alpha", "nodata"])
def test_a_virtual_layer_is_opened_as_the_user_says(kind: str, tmp_path: Path, stores: Stores) -> None:
    fields = KINDS[kind]()
    one = made(write_raster(tmp_path / "here.tif", Recipe(**fields, **TRUTH)), "here", stores, virtual=True)
    there = write_raster(tmp_path / "there.tif", Recipe(**fields, **WRONG))
    asked: dict[str, Any] = {"crs": "EPSG:32633", "bounds": BOX, "virtual": True}
    other = made(there, "there", stores, **asked)
    assert other.source == str(there)
    tiles = tiles_of(one, 12)
    assert tiles == tiles_of(other, 12)
    for tile in tiles:
        assert (drawn(one, stores, tile) == drawn(other, stores, tile)).all()
    made(there, "there", stores, **asked, format="webp")
    assert restore("there", other.revision, stores).revision == other.revision


@pytest.mark.parametrize("sidecars", [False, True])
@pytest.mark.parametrize("name", ["a?b=c&d.tif", "with a space.tif", "日本 ñ.tif", "q'\"<x>&amp;.tif", "%41.tif"])
def test_overviews_and_masks_are_read_of_a_file_of_any_name(name: str, sidecars: bool, tmp_path: Path) -> None:
    path = write_raster(tmp_path / name, Recipe(values=scene(600, 800), **WRONG))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not sidecars):
        with rasterio.open(path, "r+") as out:
            out.write_mask(holed(600, 800))
        with rasterio.Env(TIFF_USE_OVR=sidecars), rasterio.open(path, "r+") as out:
            out.build_overviews([2, 4])
    assert Path(f"{path}.ovr").exists() == Path(f"{path}.msk").exists() == sidecars
    plain, laid = OpenOptions(), OpenOptions(crs="EPSG:32633", bounds=BOX)
    assert opened(str(path), open_options=laid).name == str(path)
    for level in (0, 1, 2):
        one, other = (opened(str(path), level, open_options=open_options) for open_options in (plain, laid))
        assert other.overviews(1) == one.overviews(1)
        assert (other.read() == one.read()).all()
        assert (other.read_masks() == one.read_masks()).all()
        assert not other.read_masks().all()
        assert other.crs.to_epsg() == 32633
        assert tuple(other.bounds) == pytest.approx(BOX)


def test_metadata_of_bands_survives(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(60, 70, 2).astype(np.int16), **WRONG))
    with rasterio.open(path, "r+") as out:
        out.scales, out.offsets, out.units = (0.5, 2.0), (10.0, 0.0), ("ft", "m")
        out.descriptions = ("height", "Größe")
        out.update_tags(note="Größe")
        out.update_tags(1, STATISTICS_MINIMUM="3")
    laid = opened(str(path), open_options=OpenOptions(crs="EPSG:32633"))
    assert (laid.scales, laid.offsets, laid.units) == ((0.5, 2.0), (10.0, 0.0), ("ft", "m"))
    assert laid.descriptions == ("height", "Größe")
    assert laid.tags()["note"] == "Größe"
    assert laid.tags(1)["STATISTICS_MINIMUM"] == "3"


@pytest.mark.parametrize("crs", ["EPSG:32633", CRS.from_epsg(32633).to_wkt(), "+proj=utm +zone=33 +datum=WGS84"])
def test_each_way_to_write_a_crs_is_taken(crs: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(50, 60), **{**WRONG, "bounds": BOX}))
    done = run(tmp_path / "data", path, "--crs", crs, "--max-zoom", 8)
    assert done.exit_code == 0, done.output
    assert "bounds 14.2" in done.stdout


def test_a_vrt_in_one_line_is_laid_too(tmp_path: Path, stores: Stores) -> None:
    here = write_raster(tmp_path / "here.tif", Recipe(values=scene(50, 60)[::-1], **TRUTH))
    there = write_raster(tmp_path / "there.tif", Recipe(values=scene(50, 60), **WRONG))
    one = made(here, "here", stores)
    other = made(f"vrt://{there}?bands=3,2,1", "there", stores, crs="EPSG:32633", bounds=BOX, bands=(1, 2, 3))
    assert hashes_of_parts(one, stores) == hashes_of_parts(other, stores)


def test_a_vrt_with_relative_names_is_laid_too(tmp_path: Path, stores: Stores) -> None:
    here = write_raster(tmp_path / "here.tif", Recipe(values=scene(50, 60), **TRUTH))
    (tmp_path / "below").mkdir()
    there = write_raster(tmp_path / "there.tif", Recipe(values=scene(50, 60), **WRONG))
    with rasterio.Env():
        rasterio.shutil.copy(there, tmp_path / "below" / "a.vrt", driver="VRT")
    text = (tmp_path / "below" / "a.vrt").read_text()
    (tmp_path / "below" / "a.vrt").write_text(text.replace(str(there), "../there.tif").replace('VRT="0"', 'VRT="1"'))
    other = made(tmp_path / "below" / "a.vrt", "there", stores, crs="EPSG:32633", bounds=BOX)
    assert hashes_of_parts(made(here, "here", stores), stores) == hashes_of_parts(other, stores)


def test_another_place_on_another_body_is_moved_to_the_earth(tmp_path: Path, stores: Stores) -> None:
    box = (20.0, -30.0, 60.0, 10.0)
    here = write_raster(tmp_path / "here.tif", Recipe(values=scene(50, 60), bounds=box))
    there = write_raster(tmp_path / "th?ere.tif", Recipe(values=scene(50, 60), **WRONG))
    asked: dict[str, Any] = {"crs": "IAU_2015:30100", "bounds": box, "min_zoom": 0}
    one, other = made(here, "here", stores, min_zoom=0), made(there, "there", stores, **asked, as_earth=True)
    assert hashes_of_parts(one, stores) == hashes_of_parts(other, stores)
    there.rename(tmp_path / "there.tif")
    named = made(f"vrt://{tmp_path}/there.tif?bands=1,2,3", "named", stores, **asked, as_earth=True)
    assert hashes_of_parts(one, stores) == hashes_of_parts(named, stores)


CURES = {
    "it has no CRS": ["--crs", "EPSG:32633", "--bounds", "440000,4990000,446000,4995000"],
    "it has no geotransform": ["--bounds", "440000,4990000,446000,4995000"],
    "places it off the globe": ["--bounds", "440000,4990000,446000,4995000"],
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("why", CURES)
def test_a_raster_that_lies_nowhere_is_refused_with_a_cure_that_cures(why: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(50, 60), **TRUTH))
    if why != "places it off the globe":
        bare(path)
    with rasterio.open(path, "r+") as out:
        if why == "it has no geotransform":
            out.crs = "EPSG:32633"
        elif why == "places it off the globe":
            out.transform = Affine(1e12, 0, 1e13, 0, -1e12, 1e13)
    words = [path, "--max-zoom", 8]
    done = run(tmp_path / "data", *words)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert why in done.stderr
    assert CURES[why][0] in done.stderr
    cured = run(tmp_path / "data", *words, *CURES[why])
    assert cured.exit_code == 0, cured.output
    assert "bounds 14.2" in cured.stdout


BAD = [
    (["--crs", "32633"], "'32633' is not a CRS: write EPSG:CODE"),
    (["--crs", "EPSG:99999999"], "is not a CRS known to PROJ: write EPSG:CODE"),
    (["--crs", "/etc/hostname"], "is not a CRS: write EPSG:CODE"),
    (["--crs", "http://example.com/a.wkt"], "is not a CRS: write EPSG:CODE"),
    (["--crs", "EPSG:5703"], "has no longitudes, latitudes or map coordinates"),
    (["--crs", "EPSG:4978"], "has no longitudes, latitudes or map coordinates"),
    (["--bounds", "1,2,3"], "takes four numbers, W,S,E,N"),
    (["--bounds", "1,2,3,north"], "takes four numbers, W,S,E,N"),
    (["--bounds", "1,2,nan,4"], "takes four numbers, W,S,E,N"),
    (["--bounds", "170,-20,-170,5"], "W must be less than E"),
    (["--geotransform", "1,2,3,4,5"], "takes six numbers: X,WIDTH,ROTATION,Y,ROTATION,HEIGHT"),
    (["--geotransform", "10,0,500000,0,-10,5000000"], "gives pixels without area"),
    (["--geotransform", "500000,10,10,5000000,10,10"], "gives pixels without area"),
    (["--bounds", "1,2,3,4", "--geotransform", "0,1,0,0,0,-1"], "both place the raster: use only one"),
]


@pytest.mark.parametrize(("words", "why"), BAD)
def test_what_places_nothing_is_refused_in_a_line(words: list[str], why: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(20, 30), **TRUTH))
    done = run(tmp_path / "data", path, *words)
    assert done.exit_code == 2
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()[-1].replace(str(tmp_path), "")) < 240
    assert not list((tmp_path / "data").rglob("*.tif"))


def test_refresh_takes_the_place_over(tmp_path: Path, stores: Stores) -> None:
    asked: dict[str, Any] = {"crs": "EPSG:32633", "bounds": BOX}
    made(write_raster(tmp_path / "a.tif", Recipe(values=scene(50, 60), **WRONG)), "it", stores, **asked)
    path = write_raster(tmp_path / "b.tif", Recipe(values=scene(50, 60, seed=8), **WRONG))
    words = ["it", str(path), "--yes", "--no-wait", "--jobs", "1", "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(refresh, words)
    assert done.exit_code == 0, done.output
    layer = load_layer(stores.sources, "it")
    assert (layer.asked.crs, layer.asked.bounds) == ("EPSG:32633", BOX)
    assert layer.bounds.west > 14


def test_each_place_is_another_revision_and_none_is_the_one_of_before(tmp_path: Path) -> None:
    path = str(write_raster(tmp_path / "a.tif", Recipe(values=scene(20, 30), **TRUTH)))
    asked: list[dict[str, Any]] = [
        *({}, {"crs": "EPSG:32632"}, {"crs": "EPSG:32633"}, {"bounds": BOX}),
        *({"bounds": (0.0, 0.0, 1.0, 1.0)}, {"geotransform": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)}),
    ]
    assert len({revision_of(path, Options(**each)) for each in asked}) == len(asked)
    assert Options(crs="", bounds=(), geotransform=(), subdataset="", gcps="polynomial").changed() == {}
    assert Options(gcps="tps").changed() == {"gcps": "tps"}


PARTS = ("GPKG", "GTiff", "netCDF")


def several(folder: Path, driver: str, *seeds: int) -> Path:
    """A file of tables `T0`, `T1`; of pages; or of variables `Band1`, `Band2`."""
    path = folder / {"GPKG": "all.gpkg", "GTiff": "pages.tif", "netCDF": "all.nc"}[driver]
    values = [scene(50, 60, 1, seed=seed) for seed in seeds]
    if driver == "netCDF":
        single = write_raster(folder / "one.tif", Recipe(values=np.concatenate(values), **TRUTH))
        rasterio.shutil.copy(single, path, driver=driver)
        return path
    for number, each in enumerate(values):
        single = write_raster(folder / f"{number}.tif", Recipe(values=each, **TRUTH))
        table = {"RASTER_TABLE": f"T{number}"}  # rasterio writes capitals if driver == "GPKG" else {}
        more = {"APPEND_SUBDATASET": "YES"} if number else {}
        rasterio.shutil.copy(single, path, driver=driver, **table, **more)
    return path


NAMES = {"GPKG": ("T0", "T1"), "GTiff": ("1", "2"), "netCDF": ("Band1", "Band2")}
FULL = {"GPKG": "GPKG:{}:T1", "GTiff": "GTIFF_DIR:2:{}", "netCDF": 'NETCDF:"{}":Band2'}


@pytest.mark.parametrize("driver", PARTS)
def test_each_part_of_a_file_is_another_layer_of_its_own_pixels(driver: str, tmp_path: Path, stores: Stores) -> None:
    path = several(tmp_path, driver, 1, 2)
    first, second = (made(path, "it", stores, subdataset=name, min_zoom=8) for name in NAMES[driver])
    assert first.revision != second.revision
    counted = made(path, "counted", stores, subdataset="2", min_zoom=8)
    named = made(FULL[driver].format(path), "named", stores, min_zoom=8)
    wanted = hashes_of_parts(second, stores)
    assert hashes_of_parts(counted, stores) == hashes_of_parts(named, stores) == wanted
    assert hashes_of_parts(first, stores) != wanted
    lazy = made(path, "lazy", stores, subdataset=NAMES[driver][1], virtual=True, min_zoom=8)
    same = made(FULL[driver].format(path), "same", stores, virtual=True, min_zoom=8)
    (tile, *_) = tiles_of(lazy, lazy.maxzoom)
    assert (drawn(lazy, stores, tile) == drawn(same, stores, tile)).all()
    assert drawn(lazy, stores, tile).any()


@pytest.mark.parametrize("driver", PARTS)
def test_addresses_within_a_file_are_never_one_revision(driver: str, tmp_path: Path) -> None:
    path = several(tmp_path, driver, 1, 1)  # the same pixels
    first, second = FULL[driver].replace("2", "1").replace("T1", "T0"), FULL[driver]
    names = [
        *(str(path), first.format(path), second.format(path)),
        *(f"vrt://{name.format(path)}?bands=1{more}" for name in (first, second) for more in ("", ",1")),
    ]
    options = [Options(subdataset=name) for name in NAMES[driver]]
    seen = [
        *(revision_of(name, Options()) for name in names if '"' not in name or not name.startswith("vrt://")),
        *(revision_of(str(path), each) for each in options),
    ]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("driver", PARTS)
def test_a_part_that_is_missing_or_unknown_is_refused_with_the_names_of_those_there(
    driver: str, tmp_path: Path
) -> None:
    path = several(tmp_path, driver, 1, 2)
    asked: list[list[str]] = [["--subdataset", "x"], ["--subdataset", "0"], ["--subdataset", "3"]]
    for words in asked if driver == "GTiff" else [[], *asked]:
        done = run(tmp_path / "data", path, *words)
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert f"one of {', '.join(map(repr, NAMES[driver]))}" in done.stderr
        cured = run(tmp_path / "data", path, "--subdataset", NAMES[driver][1], "--max-zoom", 8)
        assert cured.exit_code == 0, cured.output


def test_a_part_of_a_file_that_is_one_raster_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(20, 30), **TRUTH))
    done = run(tmp_path / "data", path, "--subdataset", "t2m")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "it holds no subdatasets: omit --subdataset" in done.stderr


def test_a_name_of_a_part_reaches_no_network(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(20, 30), **TRUTH))
    with rasterio.open(path, "r+") as out:
        out.update_tags(ns="SUBDATASETS", SUBDATASET_1_NAME="/vsicurl/http://127.0.0.1:9/a.tif", SUBDATASET_1_DESC="a")
    with pytest.raises(BadSource, match="network"):
        beneath(str(path), OpenOptions(subdataset="1"))


def test_refresh_takes_an_option_back_or_replaces_it(tmp_path: Path, stores: Stores) -> None:
    made(several(tmp_path, "GPKG", 1, 2), "it", stores, subdataset="T1", crs="EPSG:32632", bounds=BOX, min_zoom=8)
    path = write_raster(tmp_path / "b.tif", Recipe(values=scene(50, 60, seed=8), **TRUTH))
    with rasterio.open(path) as dataset:
        numbers = ",".join(map(repr, dataset.transform.to_gdal()))
    words = ["it", str(path), "--yes", "--no-wait", "--jobs", "1", "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(refresh, [*words, "--subdataset", "none", "--crs", "none", "--geotransform", numbers])
    assert done.exit_code == 0, done.output
    asked = load_layer(stores.sources, "it").asked
    assert (asked.subdataset, asked.crs, asked.bounds) == ("", "", ())
    assert asked.geotransform[0] == BOX[0]
    done = CliRunner().invoke(refresh, [*words, "--geotransform", "none"])
    assert done.exit_code == 0, done.output
    assert load_layer(stores.sources, "it").asked == Options(min_zoom=8)


def bent(columns: Any, rows: Any) -> tuple[Any, Any]:
    """Longitude and latitude of pixels of a skewed map: a polynomial of the second order."""
    x, y = columns / 300, rows / 250
    return 14 + 0.05 * x + 0.01 * y + 0.004 * x * y, 45 - 0.04 * y + 0.012 * x + 0.003 * x * x


def waved(columns: Any, rows: Any) -> tuple[Any, Any]:
    """The same for a map that no polynomial fits."""
    longitude, latitude = bent(columns, rows)
    return longitude + 0.002 * np.sin(rows / 40), latitude + 0.002 * np.sin(columns / 45)


def straight(columns: Any, rows: Any) -> tuple[Any, Any]:
    return 14 + 0.05 * columns / 300, 45 - 0.04 * rows / 250


Place = Callable[[Any, Any], tuple[Any, Any]]


def pinned(path: Path, place: Place, steps: int = 3, **fields: Any) -> Path:
    """A raster with `steps` x `steps` control points, and no other georeferencing."""
    write_raster(path, Recipe(**{**WRONG, **fields}))
    points = [
        GroundControlPoint(row=float(row), col=float(column), **dict(zip("xy", place(column, row), strict=True)))
        for row in np.linspace(0, 250, steps)
        for column in np.linspace(0, 300, steps)
    ]
    with rasterio.open(path, "r+") as out:
        out.transform = Affine.identity()
        out.gcps = (points, CRS.from_epsg(4326))
    return path


def grid(tile: Tile) -> tuple[Affine, Any, Any]:
    """The place of a tile in Web Mercator, and the longitude and latitude of each of its pixels."""
    pixel = 2 * HALF / (256 * 2**tile.z)
    transform = Affine(pixel, 0, tile.x * 256 * pixel - HALF, 0, -pixel, HALF - tile.y * 256 * pixel)
    columns, rows = np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.5)
    xs, ys = transform.c + columns * pixel, transform.f - rows * pixel
    return transform, np.degrees(xs / HALF * np.pi), np.degrees(np.arctan(np.sinh(ys / HALF * np.pi)))


def middle(layer: Layer) -> Tile:
    tiles = tiles_of(layer, layer.maxzoom)
    return tiles[len(tiles) // 2]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("kind", "virtual"),
    [*((kind, True) for kind in ("rgb", "mask", "alpha", "nodata", "palette")), ("rgb", False), ("palette", False)],
)
def test_control_points_place_a_raster_as_gdal_places_it(
    kind: str, virtual: bool, tmp_path: Path, stores: Stores
) -> None:
    fields = KINDS[kind]()
    path = pinned(tmp_path / "a.tif", bent, **fields)
    layer = made(path, "it", stores, virtual=virtual)
    tile = middle(layer)
    transform, _, _ = grid(tile)
    values = np.concatenate([fields["values"][:3], holed()[None]] if kind in ("mask", "alpha") else [fields["values"]])
    if kind in ("rgb", "palette"):
        values = np.concatenate([values, np.full((1, 250, 300), 255, np.uint8)])
    elif kind == "nodata":
        values = np.concatenate([values, holed()[None]])
    wanted = np.zeros((len(values), 256, 256), np.uint8)
    with rasterio.open(path) as dataset:
        rasterio.warp.reproject(
            values, wanted, gcps=dataset.gcps[0], src_crs="EPSG:4326", dst_crs="EPSG:3857", dst_transform=transform,
            resampling=Resampling.nearest if kind == "palette" else Resampling.cubic, src_alpha=len(values),
        )  # fmt: skip
    seen = drawn(layer, stores, tile).astype(int)
    sure = (wanted[-1] == 255) & (seen[..., 3] == 255)
    if kind == "palette":
        colours = np.array([fields["palette"][value][:3] for value in wanted[0][sure]])  # TIFF keeps no alpha of them
        assert (seen[sure][:, :3] == colours).all(axis=-1).mean() > 0.99  # GDAL takes places to an eighth of a pixel
        assert sure.sum() > 10_000
        return
    assert sure.sum() > 40_000
    assert np.abs(seen[..., :3] - np.moveaxis(wanted[:-1], 0, -1))[sure].max() <= 1
    assert ((seen[..., 3] > 0) != (wanted[-1] > 0)).mean() < 0.01
    assert (seen[..., 3] == 0).any() or kind == "rgb"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("dtype", "said", "asked"),
    [("complex64", None, None), ("complex128", -99.0, None), ("complex_int16", None, -99.0), ("complex64", -99.0, ())],
)
def test_complex_numbers_that_control_points_place_are_warped_as_their_amplitude(
    dtype: str, said: float | None, asked: Any, tmp_path: Path, stores: Stores
) -> None:
    rows, columns = np.mgrid[:250, :300]
    size = 2000 + 1000 * np.sin(columns / 20) * np.cos(rows / 30)
    values = np.round(size * np.exp(2j * np.pi * np.random.default_rng(1).random(size.shape)))
    values[60:120, 100:150] = -99
    hidden = values == -99 if (said, asked) not in [(None, None), (-99.0, ())] else np.zeros(values.shape, bool)
    wanted = np.where(hidden, np.nan, np.abs(values))
    plain = pinned(tmp_path / "plain.tif", bent, values=wanted[None].astype(np.float32))
    with rasterio.open(plain) as dataset:
        profile = {**dataset.profile, "dtype": dtype, "nodata": said, "transform": None}
        points = dataset.gcps
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as out:
        out.write(values[None].astype("complex128" if dtype == "complex128" else "complex64"))
        out.gcps = points
    right = made(plain, "right", stores, rescale=((0.0, 4000.0),))
    layer = made(tmp_path / "a.tif", "it", stores, rescale=((0.0, 4000.0),), nodata=asked)
    assert layer.bounds == right.bounds
    for tile in tiles_of(right, right.maxzoom):
        here, there = drawn(layer, stores, tile).astype(int), drawn(right, stores, tile).astype(int)
        assert np.abs(here - there).max() <= 1
    assert "shows their amplitude" in run(tmp_path / "data", tmp_path / "a.tif").stderr


def painted(place: Place) -> Any:
    """Pixels whose value is a smooth function of where they lie."""
    columns, rows = np.meshgrid(np.arange(300) + 0.5, np.arange(250) + 0.5)
    return shade(*place(columns, rows))[None].astype(np.uint8)


def shade(longitudes: Any, latitudes: Any) -> Any:
    return 128 + 60 * np.sin((longitudes - 14) * 200) + 60 * np.cos((latitudes - 45) * 230)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("place", "fit", "steps", "right"),
    [
        (straight, "", 2, True),
        (bent, "", 3, True),
        (bent, "polynomial", 3, True),
        (bent, "tps", 7, True),
        (waved, "", 11, False),
        (waved, "tps", 11, True),
    ],
)
def test_each_pixel_is_where_its_control_points_say(
    place: Place, fit: str, steps: int, right: bool, tmp_path: Path, stores: Stores
) -> None:
    layer = made(pinned(tmp_path / "a.tif", place, steps, values=painted(place)), "it", stores, gcps=fit)
    tile = middle(layer)
    _, longitudes, latitudes = grid(tile)
    seen = drawn(layer, stores, tile).astype(float)
    wrong = np.abs(seen[..., 0] - shade(longitudes, latitudes))[seen[..., 3] == 255]
    assert wrong.size > 30_000
    assert (np.percentile(wrong, 99) < 6) == right


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_in_a_regular_grid_are_a_geotransform(tmp_path: Path, stores: Stores) -> None:
    values = scene(250, 300)
    here = write_raster(tmp_path / "here.tif", Recipe(values=values, bounds=(14.0, 44.96, 14.05, 45.0)))
    one, other = made(here, "here", stores), made(pinned(tmp_path / "a.tif", straight, values=values), "it", stores)
    assert (one.minzoom, one.maxzoom) == (other.minzoom, other.maxzoom)
    assert tuple(other.bounds) == pytest.approx(tuple(one.bounds), abs=3e-4)
    for z in range(11, one.maxzoom + 1):
        for tile in tiles_of(one, z):
            first, second = (drawn(layer, stores, tile).astype(int) for layer in (one, other))
            sure = (first[..., 3] == 255) & (second[..., 3] == 255)
            assert np.abs(first - second)[sure].max(initial=0) <= 3
            assert ((first[..., 3] > 127) != (second[..., 3] > 127)).mean() < 0.01


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_word_of_the_user_takes_the_place_of_control_points(tmp_path: Path, stores: Stores) -> None:
    values = scene(50, 60)
    path = pinned(tmp_path / "a.tif", bent, values=values)
    here = write_raster(tmp_path / "here.tif", Recipe(values=values, **TRUTH))
    one, other = made(here, "here", stores), made(path, "it", stores, crs="EPSG:32633", bounds=BOX)
    assert hashes_of_parts(one, stores) == hashes_of_parts(other, stores)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("points", "crs", "why", "cure"),
    [
        ([(0, 0), (0, 300), (250, 0)], None, "its ground control points have no CRS", ["--crs", "EPSG:4326"]),
        ([(0, 0), (100, 100), (200, 200)], "EPSG:4326", "control points do not give its place", []),
        ([(0, 0), (0, 300), (250, 0)], "IAU_2015:30100", "are on another body", ["--crs", "EPSG:4326"]),
    ],
)
def test_control_points_that_place_nothing_are_refused_in_a_line(
    points: list[tuple[int, int]], crs: str | None, why: str, cure: list[str], tmp_path: Path
) -> None:
    path = bare(write_raster(tmp_path / "a.tif", Recipe(values=scene(250, 300), **WRONG)))
    places = [(row, column, *straight(column, row)) for row, column in points]
    with rasterio.open(path, "r+") as out:
        out.gcps = ([GroundControlPoint(*each) for each in places], CRS.from_user_input(crs) if crs else CRS())
    for words in [], ["--as-earth"]:
        done = run(tmp_path / "data", path, *words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
        assert why in done.stderr
    if cure:
        done = run(tmp_path / "data", path, *cure, "--max-zoom", 8)
        assert done.exit_code == 0, done.output


def polynomials(path: Path) -> Path:
    """A raster georeferenced by RPCs, from 14 to 14.1 degrees east and 44.9 to 45 north."""
    bare(write_raster(path, Recipe(values=scene(250, 300), **WRONG)))
    one, east, south = ([float(number == place) for number in range(20)] for place in (0, 1, 2))
    with rasterio.open(path, "r+") as out:
        out.rpcs = RPC(
            **dict.fromkeys(("height_off", "height_scale"), 1.0), lat_off=44.95, lat_scale=0.05, long_off=14.05,
            long_scale=0.05, line_off=125.0, line_scale=125.0, samp_off=150.0, samp_scale=150.0,
            line_num_coeff=[-each for each in south], line_den_coeff=one, samp_num_coeff=east, samp_den_coeff=one,
        )  # fmt: skip
    return path


def arrays(path: Path) -> Path:
    """The same, placed by rasters of longitudes and latitudes."""
    bare(write_raster(path, Recipe(values=scene(250, 300), **WRONG)))
    columns, rows = np.meshgrid(np.arange(300), np.arange(250))
    for name, values in (("x", 14 + columns / 3000), ("y", 45 - rows / 2500)):
        write_raster(path.with_name(f"{name}.tif"), Recipe(values=values[None].astype(np.float64), **WRONG))
    step = {"PIXEL_OFFSET": "0", "PIXEL_STEP": "1", "LINE_OFFSET": "0", "LINE_STEP": "1", "X_BAND": "1", "Y_BAND": "1"}
    there = {f"{name.upper()}_DATASET": str(path.with_name(f"{name}.tif")) for name in "xy"}
    with rasterio.open(path, "r+") as out:
        out.update_tags(ns="GEOLOCATION", SRS="EPSG:4326", **there, **step)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("place", "kind"), [(polynomials, "rational polynomials (RPC)"), (arrays, "geolocation arrays")]
)
def test_what_is_placed_by_other_means_is_refused_with_the_line_that_cures(
    place: Callable[[Path], Path], kind: str, tmp_path: Path
) -> None:
    path = place(tmp_path / "it's here.tif")
    done = run(tmp_path / "data", path)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert f"it is georeferenced by {kind}" in done.stderr
    placed = run(tmp_path / "data", path, "--crs", "EPSG:4326", "--bounds", "14,44.9,14.1,45", "--max-zoom", 8)
    assert placed.exit_code == 0, placed.output
    if not shutil.which("gdalwarp"):
        return
    command = shlex.split(done.stderr.partition("`")[2].partition("` and")[0])
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    cured = run(tmp_path / "data", tmp_path / "warped.tif", "--max-zoom", 8)
    assert cured.exit_code == 0, cured.output
    assert "bounds 14," in cured.stdout or "bounds 13.99" in cured.stdout


@pytest.mark.parametrize(
    ("crs", "bounds", "why", "cure"),
    [
        ("EPSG:4326", BOX, "are not degrees, but its CRS, 'WGS 84', is geographic", ["--crs", "EPSG:32633"]),
        ("EPSG:4326", (-40.0, 140.0, -39.0, 141.0), "not longitudes and latitudes: if they are swapped", []),
        ("EPSG:4267", (-200.0, 140.0, -199.0, 141.0), "not longitudes and latitudes: add", ["--bounds", "9,3,10,4"]),
        ('LOCAL_CS["site",UNIT["metre",1]]', BOX, "does not map the earth: add --crs", ["--crs", "EPSG:32633"]),
    ],
)  # fmt: skip
def test_coordinates_that_cannot_be_are_refused_with_a_cure_that_cures(
    crs: str, bounds: tuple[float, ...], why: str, cure: list[str], tmp_path: Path
) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(50, 60), crs=crs, bounds=bounds))  # type: ignore[arg-type]
    done = run(tmp_path / "data", path, "--max-zoom", 5)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert why in done.stderr
    assert len(done.stderr.replace(str(tmp_path), "")) < 240
    cure = cure or [done.stderr.rpartition(" ")[2].strip()]
    cured = run(tmp_path / "data", path, *cure, "--max-zoom", 5)
    assert cured.exit_code == 0, cured.output
    if "swapped" in why:
        assert "bounds 140,-40,141,-39" in cured.stdout


@pytest.mark.parametrize(
    ("crs", "bounds", "why"),
    [
        ("EPSG:3857", (14.0, 44.0, 15.0, 45.0), "its coordinates look like degrees, but its CRS"),
        ("EPSG:32633", (4_990_000.0, 440_000.0, 4_995_000.0, 446_000.0), "its axes look swapped"),
        ("EPSG:32633", BOX, ""),
        ("EPSG:3857", (-2e6, -2e6, 2e6, 2e6), ""),
        ("EPSG:4326", (0.0, -90.0, 360.0, 90.0), ""),
    ],
)
def test_coordinates_that_look_wrong_are_taken_and_said(
    crs: str, bounds: tuple[float, ...], why: str, tmp_path: Path
) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(50, 60), crs=crs, bounds=bounds))  # type: ignore[arg-type]
    done = run(tmp_path / "data", path, "--min-zoom", 3)
    assert done.exit_code == 0, done.output
    notes = [line for line in done.stderr.splitlines() if line and "chunk" not in line]
    assert [line[: len(why)] for line in notes] == [why] * bool(why)


def test_the_first_of_several_pages_is_taken_and_said(tmp_path: Path) -> None:
    path = several(tmp_path, "GTiff", 1, 2)
    done = run(tmp_path / "data", path, "--max-zoom", 5)
    assert "it holds 2 rasters; the first is used: --subdataset selects another, one of '1', '2'" in done.stderr
    assert "it holds" not in run(tmp_path / "data", path, "--max-zoom", 5, "--subdataset", 1).stderr


def packed(folder: Path, *names: str) -> Path:
    """An archive of rasters with different values, and of other files."""
    with zipfile.ZipFile(folder / "Über alles.zip", "w") as archive:
        archive.writestr("read me.txt", "nothing")
        archive.writestr("__MACOSX/._a.tif", "nothing")
        for seed, name in enumerate(names):
            archive.write(write_raster(folder / "a.tif", Recipe(values=scene(50, 60, seed=seed), **TRUTH)), name)
            archive.writestr(f"{name}.ovr", (folder / "a.tif").read_bytes())
    return folder / "Über alles.zip"


def test_the_only_raster_of_an_archive_is_taken(tmp_path: Path, stores: Stores) -> None:
    path = packed(tmp_path, "below/日本 a.tif")
    here = write_raster(tmp_path / "a.tif", Recipe(values=scene(50, 60, seed=0), **TRUTH))
    one, other = made(here, "here", stores), made(path, "it", stores)
    assert hashes_of_parts(one, stores) == hashes_of_parts(other, stores)
    assert other.revision == made(f"/vsizip/{path}/below/日本 a.tif", "named", stores).revision
    virtual = made(path, "virtual", stores, virtual=True)
    assert virtual.source == f"/vsizip/{path}/below/日本 a.tif"
    assert [Path(each.path).name for each in virtual.origins] == [path.name]
    assert drawn(virtual, stores, middle(virtual)).any()


@pytest.mark.parametrize("names", [(), ("a.tif", "b.tif")])
def test_an_archive_of_no_raster_or_of_several_is_refused_with_their_names(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    path = packed(tmp_path, *names)
    done = run(tmp_path / "data", path, "--layer", "it")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert ("choose one, as in" if names else "it holds no raster that GDAL opens") in done.stderr
    assert ", ".join(names) in done.stderr
    for name in names:
        cured = run(tmp_path / "data", f"/vsizip/{path}/{name}", "--layer", "it", "--max-zoom", 8)
        assert cured.exit_code == 0, cured.output


@pytest.mark.parametrize("world", ["a.pgw", "a.pngw", "a.wld", "a.png.aux.xml", "a.tab"])
def test_sidecars_of_a_picture_place_it_and_count(world: str, tmp_path: Path, stores: Stores) -> None:
    values = scene(50, 60)
    here = write_raster(tmp_path / "here.tif", Recipe(values=values, **TRUTH))
    path = tmp_path / ("a.jpg" if world == "a.tab" else "a.png")  # GDAL reads a .tab of JPEG and TIFF alone
    Image.fromarray(np.moveaxis(values, 0, -1)).save(path)
    with rasterio.open(here) as dataset:
        gdal = dataset.transform.to_gdal()
        corner = dataset.transform @ (0.5, 0.5)
    text = f"{gdal[1]!r}\n0\n0\n{gdal[5]!r}\n{corner[0]!r}\n{corner[1]!r}\n"
    if world.endswith(".xml"):
        text = f"<PAMDataset><GeoTransform>{','.join(map(repr, gdal))}</GeoTransform></PAMDataset>"
    elif world.endswith(".tab"):
        (west, south, east, north) = BOX
        pins = [(west, north, 0, 0), (east, north, 60, 0), (west, south, 0, 50)]
        said = ",\n".join(f'  ({x},{y}) ({column},{row}) Label "{column}"' for x, y, column, row in pins)
        text = f'!table\n!version 300\n\nDefinition Table\n  File "a.jpg"\n  Type "RASTER"\n{said}\n  Units "m"\n'
    plain = revision_of(str(path), Options())
    (tmp_path / world).write_text(text)
    assert revision_of(str(path), Options()) != plain
    layer = made(path, "it", stores, crs="EPSG:32633")
    assert tuple(layer.bounds) == pytest.approx(tuple(made(here, "here", stores).bounds), abs=1e-6)


def test_a_prj_beside_a_picture_is_named_as_its_crs(tmp_path: Path) -> None:
    Image.fromarray(np.moveaxis(scene(50, 60), 0, -1)).save(tmp_path / "it's.png")
    (tmp_path / "it's.pgw").write_text("100\n0\n0\n-100\n440050\n4994950\n")
    (tmp_path / "it's.prj").write_text(CRS.from_epsg(32633).to_wkt(version="WKT1_ESRI"))
    done = run(tmp_path / "data", tmp_path / "it's.png", "--layer", "it")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    words = done.stderr.partition("add ")[2]
    typed = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)
    option, crs = typed.stdout.splitlines()
    cured = run(tmp_path / "data", tmp_path / "it's.png", "--layer", "it", option, crs, "--max-zoom", 8)
    assert cured.exit_code == 0, cured.output
    assert "bounds 14.2" in cured.stdout
