"""`info` tells what `ingest` would make of a raster, from headers and a sample, and what is odd about it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling

from seeder.cli import picture
from tests.support.aws import upload
from tests.support.commands import complaint, said, seeder
from tests.support.files import described
from tests.support.rangeserver import serving
from tests.support.rasters import Recipe, scene, write_raster
from tiler.ingest import glance
from tiler.raster import sample

PHOTO = Recipe(scene(96, 128))
UTM = {"crs": "EPSG:32633", "bounds": (500000.0, 4999000.0, 501000.0, 5000000.0)}
HEIGHTS = (1000 + 300 * np.sin(np.add.outer(np.arange(64), np.arange(64)) / 20)).astype(np.float32)[None]


def info(*words: object) -> dict[str, Any]:
    return said(seeder("info", *words, "--json"))


def odd(*words: object) -> str:
    return "\n".join(f"{each['text']} | {each['cure']}" for each in info(*words)["oddities"])


# Facts


@pytest.mark.parametrize(
    ("recipe", "words", "kind"),
    [
        (PHOTO, (), "photo"),
        (Recipe(scene(64, 64), **UTM), ("--max-zoom", "15"), "photo"),  # type: ignore[arg-type]
        (Recipe(scene(64, 64, bands=1)), (), "photo"),
        (Recipe(HEIGHTS), (), "ramp"),
        (Recipe(scene(64, 64, bands=1) % 4, palette={n: (n, 0, 0, 255) for n in range(4)}), (), "classes"),
        (Recipe(HEIGHTS), ("--style", "hillshade"), "shade"),
        (Recipe(HEIGHTS), ("--style", "terrain-rgb"), "heights"),
        (Recipe(scene(64, 64), bounds=(178.0, -5.0, 183.0, 5.0)), (), "photo"),
        (Recipe(scene(64, 64), nodata=1), ("--min-zoom", "2"), "photo"),
    ],
)
def test_it_tells_what_an_ingest_plans(recipe: Recipe, words: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "land.tif", recipe)
    found = info(source, *words)
    zooms = f"{found['minzoom']}-{found['maxzoom']}"
    plan = said(seeder("ingest", source, *words, "--seed", zooms, "--dry-run", "--json", "--data", tmp_path / "data"))
    assert found["kind"] == kind
    for name in ("bounds", "minzoom", "maxzoom", "tiles", "by_zoom"):
        assert found[name] == plan[name], name
    bake = plan["bake"]
    assert (found["parts"], found["overviews"], found["megabytes"]) == (
        bake["all_parts"],
        bake["overviews"],
        bake["megabytes"],
    )
    assert found["bake_seconds"] == pytest.approx(bake["seconds"], abs=0.11)
    assert not (tmp_path / "data").exists()


WORLD = Recipe(scene(180, 360), bounds=(-180.0, -90.0, 180.0, 90.0))
NORTH_EAST = Recipe(scene(128, 128), bounds=(0.0, 0.0, 90.0, 66.51326044311186))  # one tile of zoom 2


@pytest.mark.parametrize(
    ("recipe", "words", "form"),
    [
        (WORLD, (), "jpg"),
        (Recipe(scene(170, 360), bounds=(-180.0, -85.0, 180.0, 85.0)), (), "webp"),
        (NORTH_EAST, ("--min-zoom", "2"), "jpg"),
        (NORTH_EAST, ("--min-zoom", "1"), "webp"),
        (PHOTO, (), "webp"),
        (Recipe(HEIGHTS), (), "png"),
        (Recipe(HEIGHTS), ("--style", "hillshade"), "png"),
    ],
)
def test_it_foresees_the_format_that_ingest_chooses(
    recipe: Recipe, words: tuple[str, ...], form: str, tmp_path: Path
) -> None:
    source = write_raster(tmp_path / "land.tif", recipe)
    made = said(seeder("ingest", source, *words, "--json", "--jobs", "1", "--data", tmp_path / "data"))
    assert (made["format"], info(source, *words)["format"]) == (form, form)


def test_scenes_are_one_layer(tmp_path: Path) -> None:
    (tmp_path / "flight").mkdir()
    for number in range(3):
        west = 5.0 + 4 * number
        write_raster(tmp_path / f"flight/{number}.tif", Recipe(scene(64, 64), bounds=(west, 45, west + 4, 48)))
    found = info(tmp_path / "flight", "--jobs", "1")
    assert (found["scenes"], found["bounds"]) == (3, [5, 45, 17, 48])
    assert found["command"] == f"seeder ingest {tmp_path / 'flight'} --layer flight"
    text = seeder("info", tmp_path / "flight", "--jobs", "1").stdout
    assert text.startswith("3 scenes: photo, GTiff\n")
    assert text.splitlines()[-1] == found["command"]


def test_the_last_line_ingests_with_the_options_that_were_typed(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "the land.tif", Recipe(HEIGHTS, nodata=-1))
    words = ("--rescale", "0,2000", "--nodata=-5", "--colormap", "terrain", "--no-as-earth")
    result = seeder("info", source, *words, "--jobs", "1", "--picture", tmp_path / "p.png")
    line = result.stdout.splitlines()[-1]
    assert shlex.split(line) == ["seeder", "ingest", str(source), *words]
    assert seeder(*shlex.split(line)[1:], "--layer", "x", "--data", tmp_path / "data").exit_code == 0


def test_of_a_large_raster_few_pixels_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without overviews, and also where values are stretched."""
    path, side, read = tmp_path / "large.tif", 6000, 0
    values = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint16)[None]
    write_raster(path, Recipe(values, options=(("tiled", True), ("compress", "deflate"))))
    look = glance.pixels

    def counted(*words: Any, **options: Any) -> Any:
        nonlocal read
        found = look(*words, **options)
        read += found[1].size
        return found

    for module in (glance, sample):
        monkeypatch.setattr(module, "pixels", counted)
    found = info(path)
    assert read < side * side / 4
    assert "it has no overviews: none are needed" in str(found["oddities"])


def test_rasters_in_s3_and_on_web_servers_are_described(s3_url: str, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "land.tif", Recipe(scene(64, 64)))
    upload(tmp_path, s3_url.removeprefix("s3://"))
    here = info(source)
    there = info(f"{s3_url}/land.tif")
    with serving(tmp_path) as served:
        web = info(f"{served.url}/land.tif")
    for found, name in ((there, f"{s3_url}/land.tif"), (web, f"{served.url}/land.tif")):
        assert found.pop("source") == name
        assert found.pop("command").startswith(f"seeder ingest {name}")
        assert found == {key: value for key, value in here.items() if key in found}


# Oddities


def geo(path: Path, values: Any, transform: Affine, crs: str | None, **options: Any) -> Path:
    values = np.asarray(values)
    kind = {"width": values.shape[2], "height": values.shape[1], "count": values.shape[0]}
    with rasterio.open(
        path, "w", **({"driver": "GTiff"} | kind | options), dtype=values.dtype, crs=crs, transform=transform
    ) as out:
        out.write(values)
    return path


RGB = scene(96, 96)
HALF = Affine(0.5, 0, 500000, 0, -0.5, 5000000)
Z33 = "EPSG:32633"


def other_datum(path: Path) -> Path:
    return geo(path, RGB, Affine(1e-5, 0, 139.75, 0, -1e-5, 35.68), "EPSG:4301")


def metres_in_degrees(path: Path) -> Path:
    return geo(path, RGB, Affine(1e-4, 0, 15, 0, -1e-4, 45), Z33)


def unordered(path: Path) -> Path:
    geo(path, scene(600, 600), HALF, Z33)
    for levels in ([8], [2, 4]):
        with rasterio.open(path, "r+") as out:
            out.build_overviews(levels, Resampling.average)
    return path


def sparse(path: Path) -> Path:
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "SPARSE_OK": True, "nodata": 0}
    kind = {"driver": "GTiff", "width": 50_000, "height": 50_000, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **kind, crs=Z33, transform=HALF, compress="deflate", **options) as out:
        out.write(scene(256, 256), window=rasterio.windows.Window(2560, 2560, 256, 256))
    return path


def pages(path: Path) -> Path:
    geo(path, RGB, HALF, Z33)
    with rasterio.open(path) as source:
        profile = source.profile
    with rasterio.open(path, "w", **(profile | {"APPEND_SUBDATASET": "YES"})) as out:
        out.write(RGB)
    return path


def unused_nodata(path: Path) -> Path:
    return geo(path, np.clip(RGB, 5, 250), HALF, Z33, nodata=0)


def framed(path: Path) -> Path:
    values = np.clip(RGB, 5, 250)
    values[:, :10] = values[:, :, :10] = 0
    values[:, -10:] = 0
    return geo(path, values, HALF, Z33)


def alpha_of(path: Path, alpha: Any, dtype: str = "uint8", **options: Any) -> Path:
    values = np.concatenate([RGB.astype(dtype), np.broadcast_to(alpha, (1, 96, 96)).astype(dtype)])
    return geo(path, values, HALF, Z33, photometric="RGB", alpha="YES", **options)


def infrared(path: Path) -> Path:
    return alpha_of(path, scene(96, 96, bands=1, seed=3))


def alpha_of_one(path: Path) -> Path:
    return alpha_of(path, 1, "float32")


def half_alpha(path: Path) -> Path:
    return alpha_of(path, 40000, "uint16")


def no_alpha(path: Path) -> Path:
    return alpha_of(path, 0)


def alpha_and_nodata(path: Path) -> Path:
    return alpha_of(path, 255, nodata=7)


def inexact_nodata(path: Path) -> Path:
    values = HEIGHTS.copy()
    values[:, :9] = -9999.9
    return geo(path, values, HALF, Z33)


def feet(path: Path) -> Path:
    geo(path, HEIGHTS, HALF, Z33)
    with rasterio.open(path, "r+") as out:
        out.units = ("US survey foot",)
    return path


def scaled(path: Path) -> Path:
    geo(path, HEIGHTS.astype(np.int16), HALF, Z33)
    with rasterio.open(path, "r+") as out:
        out.scales, out.offsets = (0.1,), (1000.0,)
    return path


def vertical(path: Path) -> Path:
    return geo(path, HEIGHTS, HALF, "EPSG:32633+5773")


def big_endian(path: Path) -> Path:
    return geo(path, RGB, HALF, Z33, ENDIANNESS="BIG")


def rotated(path: Path) -> Path:
    return geo(path, RGB, HALF @ Affine.rotation(20), Z33)


def turned(path: Path) -> Path:
    return geo(path, RGB, Affine(0.5, 0, 500000, 0, 0.5, 4999000), Z33)


def oblong(path: Path) -> Path:
    return geo(path, RGB, Affine(0.5, 0, 500000, 0, -1, 5000000), Z33)


def points(path: Path) -> Path:
    corners = [
        GroundControlPoint(row, column, 15 + column / 1000, 45 - row / 1000) for row in (0, 96) for column in (0, 96)
    ]
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        geo(path, RGB, Affine.identity(), None)
    with rasterio.open(path, "r+") as out:
        out.gcps = (corners, CRS.from_epsg(4326))
    return path


def many_bands(path: Path) -> Path:
    return geo(path, np.concatenate([RGB, RGB])[:5], HALF, Z33)


def few_values(path: Path) -> Path:
    return geo(path, RGB.astype(np.uint16), HALF, Z33)


def blurred(path: Path) -> Path:
    return geo(path, RGB, HALF, Z33, compress="JPEG", tiled=True, nodata=0, blockxsize=256, blockysize=256)


def antimeridian(path: Path) -> Path:
    return geo(path, RGB, Affine(0.1, 0, 175, 0, -0.1, 5), "EPSG:4326")


def polar(path: Path) -> Path:
    return geo(path, RGB, Affine(0.1, 0, 10, 0, -0.1, 89), "EPSG:4326")


def empty(path: Path) -> Path:
    return geo(path, np.zeros_like(RGB), HALF, Z33, nodata=0)


def jp2(path: Path) -> Path:
    return geo(path.with_suffix(".jp2"), RGB, HALF, Z33, driver="JP2OpenJPEG")


@pytest.mark.parametrize(
    ("make", "words", "parts"),
    [
        (other_datum, (), ("of another datum, 'Tokyo'",)),
        (metres_in_degrees, (), ("look like degrees", "--crs EPSG:4326")),
        (unordered, (), ("overviews are not in ascending order (8,2,4)",)),
        (sparse, (), ("it is sparse: 1 of 38,416 blocks are written",)),
        (pages, (), ("it holds 2 rasters; the first is used: --subdataset",)),
        (unused_nodata, (), ("nodata value 0 occurs in no sampled pixel", "--nodata none")),
        (framed, (), ("framed in 0 without nodata", "--nodata 0")),
        (infrared, (), ("band 4 is used as alpha but looks like imagery", "--no-alpha")),
        (alpha_of_one, ("--rescale", "0,255"), ("counts as opaque at 1",)),
        (half_alpha, ("--rescale", "0,255"), ("100% of its sampled pixels are half transparent",)),
        (no_alpha, (), ("its alpha (band 4) is 0 in all sampled pixels", "--no-alpha")),
        (alpha_and_nodata, (), ("nodata value is ignored because it has an alpha band", "--nodata 7 --alpha 4")),
        (inexact_nodata, ("--nodata", "-9999.9"), ("-9999.9 is not exact in float32: -9999.900390625 counts",)),
        (feet, (), ("its heights are in US survey foot", "--style hillshade")),
        (scaled, (), ("stored value x 0.1 + 1000",)),
        (vertical, (), ("its heights refer to EGM96 height",)),
        (big_endian, (), ("it is big-endian",)),
        (rotated, (), ("its grid is rotated by -20 degrees",)),
        (turned, (), ("its rows run from south to north",)),
        (oblong, (), ("its pixels are not square: 0.5 x 1",)),
        (points, (), ("placed by 4 ground control points (polynomial)", "--gcps tps")),
        (many_bands, (), ("it has 5 bands, of which 1,2,3 are shown", "--bands")),
        (few_values, (), ("it has 16 bits, but its sampled values are only", "--rescale", "its values are stretched")),
        (blurred, (), ("its lossy compression blurs",)),
        (antimeridian, (), ("it crosses the antimeridian",)),
        (polar, (), ("Web Mercator ends at 85.05 degrees",)),
        (empty, (), ("no sampled pixel is valid",)),
        (jp2, (), ("JPEG 2000, which decodes slowly",)),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_oddities_are_told_with_their_cures(
    make: Callable[[Path], Path], words: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path
) -> None:
    told = odd(make(tmp_path / "odd.tif"), *words)
    for part in parts:
        assert part in told


def test_a_plain_raster_is_not_odd(tmp_path: Path) -> None:
    assert odd(geo(tmp_path / "a.tif", np.clip(RGB, 5, 250), HALF, Z33)) == ""


def test_what_cannot_be_a_layer_is_told_as_by_ingest(tmp_path: Path) -> None:
    wrong = geo(tmp_path / "wrong.tif", RGB, HALF, "EPSG:4326")
    assert "add --crs EPSG:CODE with the right CRS, one in metres" in complaint(seeder("info", wrong))
    assert "GDAL cannot open it" in complaint(seeder("info", tmp_path / "gone.tif"))
    assert "name a file that ends in .png" in complaint(seeder("info", wrong, "--picture", "a.jpg"))
    assert "is not a folder: create it first" in complaint(seeder("info", wrong, "--picture", "none/a.png"))


def test_a_source_must_be_trusted_as_for_an_ingest(tmp_path: Path) -> None:
    far = described(tmp_path / "all.vrt", "/vsicurl/http://127.0.0.1:9/a.tif")
    assert "a network or special address" in complaint(seeder("info", far))


# The picture


def test_the_picture_shows_the_raster(tmp_path: Path) -> None:
    values = np.zeros((3, 64, 96), np.uint8)
    values[0, :, :48], values[2, :, 48:] = 200, 250
    mask = np.full((64, 96), 255, np.uint8)
    mask[:16] = 0
    source = write_raster(tmp_path / "a.tif", Recipe(values, mask=mask))
    assert seeder("info", source, "--picture", tmp_path / "p.png").exit_code == 0
    with Image.open(tmp_path / "p.png") as made:
        shown = np.asarray(made.convert("RGBA"))
    assert shown.shape[1] / shown.shape[0] == pytest.approx(1.5, rel=0.05)
    high, wide = shown.shape[:2]
    assert shown[high * 3 // 4, wide // 4].tolist() == [200, 0, 0, 255]
    assert shown[high * 3 // 4, wide * 3 // 4].tolist() == [0, 0, 250, 255]
    assert shown[high // 8, wide // 2, 3] == 0


def test_a_picture_of_squares_shows_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((3, 640, 960), np.uint8)
    values[0, :, :480], values[2, :, 480:] = 200, 250
    source = write_raster(tmp_path / "a.tif", Recipe(values))
    monkeypatch.setattr(sample, "SAMPLE", 16)
    monkeypatch.setattr(sample, "PATCH", 32)
    assert seeder("info", source, "--picture", tmp_path / "p.png").exit_code == 0
    with Image.open(tmp_path / "p.png") as made:
        shown = np.asarray(made.convert("RGB"))
    assert shown[40, 20].tolist() == [200, 0, 0]
    assert shown[40, -20].tolist() == [0, 0, 250]


def test_half_blocks_have_two_pixels_a_character() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0], pixels[1, 0], pixels[1, 1] = (1, 2, 3, 255), (4, 5, 6, 255), (7, 8, 9, 255)
    (line,) = picture.half_blocks(pixels, 2, 1)
    assert line == "\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0;38;2;7;8;9m▄\x1b[0m"


@pytest.mark.parametrize(
    ("environ", "tty", "shown"),
    [
        ({"COLORTERM": "truecolor"}, True, True),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, True, False),
        ({"COLORTERM": "truecolor"}, False, False),
        ({}, True, False),
    ],
)
def test_a_picture_needs_a_terminal_with_colours(
    environ: dict[str, str], tty: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return tty

    for name in ("COLORTERM", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert picture.can_show() == shown


def test_without_a_terminal_there_is_no_escape(tmp_path: Path) -> None:
    assert "\x1b" not in seeder("info", write_raster(tmp_path / "a.tif", PHOTO)).output


def test_the_text_and_the_json_agree(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "a.tif", Recipe(scene(64, 64), nodata=1))
    text, found = seeder("info", source).stdout, info(source)
    assert f"at most {found['tiles']:,} tiles" in text
    assert f"format {found['format']}: {found['why']}" in text
    assert "invalid pixels: nodata 1" in text
    assert json.loads(json.dumps(found)) == found
