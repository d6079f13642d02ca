"""A source is opened as the user says: where it lies, which part of a file it is, by which control points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from rasterio.crs import CRS

from seeder.ingest import ingest as ingest_command
from seeder.refresh import refresh
from tests.conftest import Recipe, scene, silent, write_raster
from tests.oracle import drawn, tiles_of
from tiler.catalog import Layer, Options, load_layer
from tiler.datasets import Manner, opened
from tiler.ingest import ingest, restore
from tiler.storage import Stores
from tiler.survey import revision_of

BOX = (440_000.0, 4_990_000.0, 446_000.0, 4_995_000.0)  # metres
TRUTH = {"crs": "EPSG:32633", "bounds": BOX}
WRONG = {"crs": "EPSG:3857", "bounds": (0.0, 0.0, 600.0, 500.0)}
QUICK: dict[str, Any] = {"min_zoom": 10}


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
    "uint16": lambda: {"values": scene(250, 300).astype(np.uint16) * 200, "nodata": 400},
}


@pytest.mark.parametrize(("kind", "how"), [*((kind, "bounds") for kind in KINDS), ("mask", "geotransform")])
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
    assert stores.sources.get(one.source) == stores.sources.get(other.source)


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
    plain, laid = Manner(), Manner(crs="EPSG:32633", bounds=BOX)
    assert opened(str(path), manner=laid).name == str(path)
    for level in (0, 1, 2):
        one, other = (opened(str(path), level, manner=manner) for manner in (plain, laid))
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
    laid = opened(str(path), manner=Manner(crs="EPSG:32633"))
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
    assert stores.sources.get(one.source) == stores.sources.get(other.source)


def test_a_vrt_with_relative_names_is_laid_too(tmp_path: Path, stores: Stores) -> None:
    here = write_raster(tmp_path / "here.tif", Recipe(values=scene(50, 60), **TRUTH))
    (tmp_path / "below").mkdir()
    there = write_raster(tmp_path / "there.tif", Recipe(values=scene(50, 60), **WRONG))
    with rasterio.Env():
        rasterio.shutil.copy(there, tmp_path / "below" / "a.vrt", driver="VRT")
    text = (tmp_path / "below" / "a.vrt").read_text()
    (tmp_path / "below" / "a.vrt").write_text(text.replace(str(there), "../there.tif").replace('VRT="0"', 'VRT="1"'))
    other = made(tmp_path / "below" / "a.vrt", "there", stores, crs="EPSG:32633", bounds=BOX)
    assert stores.sources.get(made(here, "here", stores).source) == stores.sources.get(other.source)


def test_another_place_on_another_body_is_moved_to_the_earth(tmp_path: Path, stores: Stores) -> None:
    box = (20.0, -30.0, 60.0, 10.0)
    here = write_raster(tmp_path / "here.tif", Recipe(values=scene(50, 60), bounds=box))
    there = write_raster(tmp_path / "th?ere.tif", Recipe(values=scene(50, 60), **WRONG))
    asked: dict[str, Any] = {"crs": "IAU_2015:30100", "bounds": box, "min_zoom": 0}
    one, other = made(here, "here", stores, min_zoom=0), made(there, "there", stores, **asked, as_earth=True)
    assert stores.sources.get(one.source) == stores.sources.get(other.source)


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
    (["--crs", "32633"], "--crs '32633' is no CRS: write EPSG:CODE"),
    (["--crs", "EPSG:99999999"], "is no CRS that PROJ knows: write EPSG:CODE"),
    (["--crs", "/etc/hostname"], "is no CRS: write EPSG:CODE"),
    (["--crs", "http://example.com/a.wkt"], "is no CRS: write EPSG:CODE"),
    (["--crs", "EPSG:5703"], "has no longitudes, latitudes or map coordinates"),
    (["--crs", "EPSG:4978"], "has no longitudes, latitudes or map coordinates"),
    (["--bounds", "1,2,3"], "takes four numbers, W,S,E,N"),
    (["--bounds", "1,2,3,north"], "takes four numbers, W,S,E,N"),
    (["--bounds", "1,2,nan,4"], "takes four numbers, W,S,E,N"),
    (["--bounds", "170,-20,-170,5"], "W must be less than E"),
    (["--geotransform", "1,2,3,4,5"], "takes six numbers: X,WIDTH,ROTATION,Y,ROTATION,HEIGHT"),
    (["--geotransform", "10,0,500000,0,-10,5000000"], "makes pixels of no area"),
    (["--geotransform", "500000,10,10,5000000,10,10"], "makes pixels of no area"),
    (["--bounds", "1,2,3,4", "--geotransform", "0,1,0,0,0,-1"], "both place the raster: give one"),
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
    assert Options(crs="", bounds=(), geotransform=()).changed() == {}
