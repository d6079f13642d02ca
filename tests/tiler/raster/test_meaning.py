"""The meaning of values, from the raster or the user: nodata, alpha, masks, scale, offset, unit, colours."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from click.testing import CliRunner, Result
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from seeder.cli import main as cli
from tests.support.effort import some
from tests.support.layers import MakeLayer, silent
from tests.support.oracle import drawn, landscape, tiles_of
from tests.support.rasters import scene
from tiler.choices import Resampling
from tiler.errors import BadOption, BadSource
from tiler.grid import Window
from tiler.image.style import Area, Values
from tiler.ingest.ingest import ingest
from tiler.ingest.survey import survey
from tiler.layers.catalog import Layer, dump, parse
from tiler.raster.datasets import opened
from tiler.raster.options import Options
from tiler.raster.pixels import reading_of
from tiler.raster.sample import look_at_alpha
from tiler.raster.warp import covered, overview_for, warp
from tiler.raster.whole import warp_valid
from tiler.storage.store import Stores

SIDE = 240  # pixels
PIXEL = 2 * math.pi * 6378137 / 256 / 2**14  # metres: the raster is zoom 14's own grid, so nothing is resampled
CORNER = (8192 + 10, 8192 - 10)  # tile of the raster's north-west pixel
BOXES = [(0, 0, 120, 120), (120, 0, 240, 120), (0, 120, 120, 240), (120, 120, 240, 240)]


def write(path: Path, values: Values, **how: Any) -> Path:
    """A GeoTIFF on the pixels of zoom 14; `after` changes it when it is written."""
    after = how.pop("after", None)
    mask = how.pop("mask", None)
    half = math.pi * 6378137
    corner = (CORNER[0] * 256 * PIXEL - half, half - CORNER[1] * 256 * PIXEL)
    bands, height, width = values.shape
    transform = Affine(PIXEL, 0, corner[0], 0, -PIXEL, corner[1])
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **{"crs": "EPSG:3857", **how}, **shape, transform=transform) as out,
    ):
        out.write(values)
        if mask is not None:
            out.write_mask(mask)
        if after:
            after(out)
    return path


def rgba(out: Any) -> None:
    out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


def seen(layer: Layer, stores: Stores) -> Values:
    """The raster as its base tile shows it, `(SIDE, SIDE, 4)`."""
    (tile,) = tiles_of(layer, 14)
    return drawn(layer, stores, tile)[:SIDE, :SIDE]


def grey(values: Values) -> Values:
    return values[..., 0].astype(int)


def heights(picture: Values) -> Values:
    """Metres from Terrain-RGB colours."""
    red, green, blue = (picture[..., band].astype(float) for band in range(3))
    return -10000 + (red * 65536 + green * 256 + blue) * 0.1


def relief(unit: float = 1.0) -> Values:
    """Heights from 800 to 1700 m, in a unit, `(1, SIDE, SIDE)` float32."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    return ((1250 + 300 * np.sin(rows / 31) + 150 * np.cos(columns / 23)) / unit).astype(np.float32)[np.newaxis]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Ingests by the command, with words."""

    def call(path: Path, *words: object) -> Result:
        given = ["ingest", str(path), "--layer", "land", "--jobs", "1", *map(str, words)]
        return CliRunner().invoke(cli.main, given, env={"TILER_DATA": str(tmp_path / "data")})

    return call


def with_nodata(vrt: str, band: int, value: float) -> str:
    """The VRT with a nodata value of a band."""
    there = rf'(<VRTRasterBand [^>]*band="{band}"[^>]*>)'
    changed, number = re.subn(there, rf"\1<NoDataValue>{value}</NoDataValue>", vrt)
    assert number == 1
    return changed


# Nodata


@pytest.mark.parametrize("asked", [-9999.9, -3.4e38, -3.4028235e38])
@pytest.mark.parametrize("virtual", [False, True])
def test_a_nodata_value_is_what_float32_makes_of_it(
    asked: float, virtual: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = relief()
    values[:, :, :100] = asked
    layer = make_layer(write(tmp_path / "a.tif", values), nodata=asked, rescale=((800.0, 1700.0),), virtual=virtual)
    shown = seen(layer, stores)
    assert (shown[:, :100, 3] == 0).all()
    assert (shown[:, 100:, 3] == 255).all()
    assert np.abs(grey(shown[:, 100:]) - (values[0, :, 100:] - 800) / 900 * 255).max() <= 1


@pytest.mark.parametrize("virtual", [False, True])
def test_a_pixel_is_missing_where_every_band_holds_its_nodata_value(
    virtual: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = scene(SIDE, SIDE)
    values[:, :50, :50] = np.array([10, 20, 30], np.uint8)[:, None, None]
    values[:, 50:90, 50:90] = np.array([10, 20, 31], np.uint8)[:, None, None]
    path = write(tmp_path / "a.tif", values)
    layer = make_layer(path, nodata=(10.0, 20.0, 30.0), virtual=virtual)
    assert parse(dump(layer), "index.json") == layer
    shown = seen(layer, stores)
    gone = np.zeros((SIDE, SIDE), bool)
    gone[:50, :50] = True
    assert ((shown[..., 3] == 0) == gone).all()
    assert (shown[~gone, :3] == np.moveaxis(values, 0, -1)[~gone]).all()


def test_a_vrt_may_have_a_nodata_value_a_band(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    values = scene(SIDE, SIDE)
    values[:, :50, :50] = np.array([10, 20, 30], np.uint8)[:, None, None]
    plain = write(tmp_path / "a.tif", values)
    rasterio.shutil.copy(str(plain), str(tmp_path / "b.vrt"), driver="VRT")
    text = (tmp_path / "b.vrt").read_text()
    for band, value in ((1, 10), (2, 20), (3, 30)):
        text = with_nodata(text, band, value)
    (tmp_path / "b.vrt").write_text(text)
    shown = seen(make_layer(tmp_path / "b.vrt"), stores)
    assert (shown[:50, :50, 3] == 0).all()
    assert (shown[50:, :, 3] == 255).all()
    assert survey(str(tmp_path / "b.vrt"), Options()).differs


@pytest.mark.parametrize("words", [["--nodata", "none"], ["--nodata", "NONE"]])
def test_none_ignores_the_rasters_own_nodata_value(
    words: list[str], run: Any, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = scene(SIDE, SIDE)
    values[:, :50, :50] = 7
    path = write(tmp_path / "a.tif", values, nodata=7)
    assert (seen(make_layer(path), stores)[:50, :50, 3] == 0).all()
    shown = seen(make_layer(path, nodata=()), stores)
    assert (shown[..., 3] == 255).all()
    assert (shown[:50, :50, :3] == 7).all()
    assert run(path, *words).exit_code == 0


def test_equal_nodata_values_make_one_revision(run: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene(SIDE, SIDE))
    assert run(path, "--nodata", "0").exit_code == 0
    assert "up to date" in run(path, "--nodata", "0,0,0").stdout


@pytest.mark.parametrize(
    ("dtype", "declared"), [("uint8", -9999), ("uint8", 256), ("uint16", 0.5), ("int16", 1e9), ("float32", math.nan)]
)
def test_a_nodata_value_that_no_pixel_can_hold_hides_nothing(
    dtype: str, declared: float, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    plain = write(tmp_path / "a.tif", landscape(SIDE, SIDE, bands=1).astype(dtype))
    rasterio.shutil.copy(str(plain), str(tmp_path / "b.vrt"), driver="VRT")
    text = (tmp_path / "b.vrt").read_text()
    (tmp_path / "b.vrt").write_text(with_nodata(text, 1, declared))
    assert (seen(make_layer(tmp_path / "b.vrt", rescale=((0.0, 255.0),)), stores)[..., 3] == 255).all()


def test_a_class_of_a_palette_may_be_no_data(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    values = (np.indices((SIDE, SIDE)).sum(axis=0) // 40 % 3).astype(np.uint8)[np.newaxis]
    colours = {0: (9, 9, 9, 255), 1: (200, 0, 0, 255), 2: (0, 200, 0, 255)}
    path = write(tmp_path / "a.tif", values, nodata=0, after=lambda out: out.write_colormap(1, colours))
    shown = seen(make_layer(path), stores)
    assert (shown[values[0] == 0, 3] == 0).all()
    assert (shown[values[0] == 1] == (200, 0, 0, 255)).all()
    assert (shown[values[0] == 2] == (0, 200, 0, 255)).all()
    for name, nodata, gone in (("none", (), -1), ("other", 2.0, 2)):
        other = seen(make_layer(path, name, nodata=nodata), stores)
        assert ((other[..., 3] == 0) == (values[0] == gone)).all()
        assert (other[values[0] == 0] == (9, 9, 9, 255)).all()


# Alpha and masks


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize(
    ("dtype", "top", "steps"),
    [
        ("uint8", 255, 256),
        ("uint8", 1, 2),
        ("uint16", 65535, 300),
        ("uint16", 255, 256),
        ("uint16", 1, 2),
        ("int16", 32767, 300),
        ("float32", 1, 300),
        ("float32", 255, 300),
        ("float32", 65535, 300),
    ],
)
def test_alpha_of_every_type_and_range_is_its_share_of_opaque(
    dtype: str, top: float, steps: int, virtual: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    share = np.linspace(0, 1, steps)[np.indices((SIDE, SIDE))[1] * steps // SIDE]
    values = np.concatenate([scene(SIDE, SIDE).astype(dtype), (share * top).astype(dtype)[np.newaxis]])
    layer = make_layer(write(tmp_path / "a.tif", values, after=rgba), rescale=((0.0, 255.0),), virtual=virtual)
    shown = seen(layer, stores)
    expected = values[3].astype(float) / top * 255
    assert np.abs(shown[..., 3] - expected).max() <= 1
    clear = expected > 30
    assert np.abs(shown[clear, :3].astype(int) - np.moveaxis(values[:3], 0, -1)[clear]).max() <= 1


@pytest.mark.parametrize(("bits", "dtype"), [(1, "uint8"), (2, "uint8"), (12, "uint16")])
def test_alpha_of_few_bits_is_opaque_where_all_are_set(bits: int, dtype: str, tmp_path: Path) -> None:
    alpha = np.zeros((SIDE, SIDE), dtype)
    alpha[:, 50:] = 2**bits - 1
    alpha[:, 100:150] = 2 ** (bits - 1)
    values = np.concatenate([np.minimum(scene(SIDE, SIDE).astype(dtype), 2**bits - 1), alpha[np.newaxis]])
    path = write(tmp_path / "a.tif", values, nbits=bits, after=rgba)
    assert look_at_alpha(opened(str(path)), 4).top == 2**bits - 1


@pytest.mark.parametrize("virtual", [False, True])
def test_alpha_goes_before_a_nodata_value_at_edges_and_inside(
    virtual: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = np.full((4, SIDE, SIDE), 255, np.uint8)
    values[:3] = scene(SIDE, SIDE) // 2
    values[:3, 100:140] = 255
    path = write(tmp_path / "a.tif", values, nodata=255, after=rgba)
    layer = make_layer(path, virtual=virtual)
    assert (seen(layer, stores) == np.moveaxis(values, 0, -1)).all()
    assert survey(str(path), Options()).differs == ("alpha, not nodata",)


@pytest.mark.parametrize("inside", [True, False])
def test_a_mask_of_its_own_goes_before_a_nodata_value(
    inside: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values, mask = scene(SIDE, SIDE), np.full((SIDE, SIDE), 255, np.uint8)
    mask[:60] = 0
    values[:, 100:140] = 9
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        write(path, values, nodata=9)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as out:
            out.write_mask(mask)
    assert path.with_suffix(".tif.msk").exists() != inside
    assert ((seen(make_layer(path), stores)[..., 3] == 255) == (mask == 255)).all()


def infrared(path: Path) -> Path:
    """Red, green, blue and infrared that is flagged as alpha."""
    near = (np.indices((SIDE, SIDE)).sum(axis=0) * 7 % 200).astype(np.uint8)
    return write(path, np.concatenate([scene(SIDE, SIDE), near[np.newaxis]]), after=rgba)


def test_infrared_that_is_flagged_as_alpha_can_be_ignored(
    run: Any, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    path = infrared(tmp_path / "naip.tif")
    said = run(path)
    assert "band 4 is used as alpha but looks like imagery: if it is, add --no-alpha" in said.stderr
    plain = run(path, "--no-alpha")
    assert plain.exit_code == 0
    assert "looks like" not in plain.stderr
    shown = seen(make_layer(path, alpha=0), stores)
    assert (shown[..., 3] == 255).all()
    assert (shown[..., :3] == np.moveaxis(rasterio.open(path).read([1, 2, 3]), 0, -1)).all()
    infra = seen(make_layer(path, "infra", alpha=0, bands=(4, 1, 2)), stores)
    assert (infra[..., :3] == np.moveaxis(rasterio.open(path).read([4, 1, 2]), 0, -1)).all()


def test_a_soft_edge_is_not_taken_for_a_picture(tmp_path: Path) -> None:
    ramp = np.clip(np.indices((SIDE, SIDE))[1] * 8, 0, 255).astype(np.uint8)
    path = write(tmp_path / "a.tif", np.concatenate([scene(SIDE, SIDE), ramp[np.newaxis]]), after=rgba)
    assert survey(str(path), Options()).notes == ()


def test_any_band_can_be_alpha(run: Any, make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    values = np.concatenate([scene(SIDE, SIDE), scene(SIDE, SIDE, bands=1), np.zeros((1, SIDE, SIDE), np.uint8)])
    values[4, :, 70:] = 255
    path = write(tmp_path / "a.tif", values)
    layer = make_layer(path, alpha=5, virtual=True)
    assert parse(dump(layer), "index.json") == layer
    assert (seen(layer, stores)[..., 3] == values[4]).all()
    for words, why in (
        (["--alpha", "6"], "--alpha 6: choose a band from 1 to 5"),
        (["--alpha", "2", "--bands", "1,2,3"], "--alpha 2 is one of --bands"),
    ):
        done = run(path, *words)
        assert done.exit_code == 2
        assert why in done.stderr
        assert done.stderr.count("\n") == 1


def test_soft_edges_stay_soft_past_the_layers_own_zoom(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    ramp = np.clip(np.indices((SIDE, SIDE))[1], 0, 255).astype(np.uint8)
    values = np.concatenate([scene(SIDE, SIDE), ramp[np.newaxis]])
    layer = make_layer(write(tmp_path / "a.tif", values, after=rgba), max_zoom=15)
    tile = min(tiles_of(layer, 15))
    shown = drawn(layer, stores, tile)[100, :, 3].astype(int)
    assert np.abs(shown - np.arange(256) / 2).max() <= 2


# One rule, two speeds


KINDS = ["plain", "nodata", "nodata a band", "mask", "alpha", "soft alpha", "not a number"]


@pytest.mark.parametrize(
    ("dtype", "kernel"),
    [
        *((dtype, "cubic") for dtype in ("uint8", "int8", "int16", "uint16", "uint32", "float32", "float64", "int64")),
        *((dtype, kernel) for dtype in ("uint8", "float32") for kernel in ("nearest", "bilinear", "average")),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_fast_path_and_the_slow_one_agree(dtype: str, kind: str, kernel: Resampling, tmp_path: Path) -> None:
    floats = np.dtype(dtype).kind == "f"
    if kind == "not a number" and not floats:
        pytest.skip("whole numbers are all numbers")
    values = (landscape(SIDE, SIDE) * 0.4 + 5).astype(dtype)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[:40, :40] = True
    how: dict[str, Any] = {"crs": "EPSG:32631"}  # which Mercator turns and stretches
    if kind in ("nodata", "nodata a band"):
        values[:, hole] = 1
        how |= {"nodata": 1} if kind == "nodata" else {}
    elif kind == "mask":
        how |= {"mask": np.where(hole, 0, 255).astype(np.uint8)}
    elif "alpha" in kind:
        alpha = np.where(hole, 0 if kind == "alpha" else 128, 255 if dtype != "int8" else 127)
        top = {"uint16": 257, "int16": 32767 / 255}.get(dtype, 1)
        values = np.concatenate([values, (alpha * top).astype(dtype)[np.newaxis]])
        how |= {"after": rgba}
    elif kind == "not a number":
        values[1, hole] = np.nan
    path = write(tmp_path / "a.tif", values, **how)
    dataset = opened(str(path))
    reading = survey(str(path), Options(nodata=(1.0, 1.0, 1.0) if kind == "nodata a band" else None)).reading
    x, y = rasterio.warp.transform("EPSG:32631", "EPSG:3857", *([at] for at in dataset.xy(150, 150)))
    half, pixel = math.pi * 6378137, PIXEL
    window = Window(14, int((x[0] + half) / pixel) - 20, int((half - y[0]) / pixel) - 20, 60, 60)
    box = covered(dataset, window, 8)
    assert box is not None
    found = warp_valid(dataset, reading, window, kernel, box)
    slow, mask = warp(dataset, reading, window, kernel)
    assert found is not None
    assert found[1] is None
    assert (mask == 255).all()
    fast = found[0]
    assert fast.dtype == slow.dtype
    assert np.abs(fast.astype(float) - slow.astype(float)).max() <= (0.05 if floats else 1)
    if kind != "plain":
        corner = covered(dataset, Window(14, window.x - 110, window.y - 110, 60, 60), 8)
        box = (0, 0, 80, 80)
        assert corner is not None
        assert warp_valid(dataset, reading, window, kernel, box) is None


@pytest.mark.parametrize(
    ("dtype", "kind", "turned"),
    some(
        [
            ("uint8", "nodata", False),
            ("uint8", "soft alpha", True),
            ("uint16", "alpha", True),
            ("int16", "mask", False),
            ("float32", "not a number", True),
            ("float32", "nodata", False),
        ],
        ("uint8", "soft alpha", True),
        ("int16", "mask", False),
        ("float32", "not a number", True),
    ),
)
def test_a_bake_is_the_same_where_all_goes_the_slow_way(
    dtype: str, kind: str, turned: bool, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, rng = 1500, np.random.default_rng(5)
    values = (landscape(side, side, bands=1) * 0.4 + 5).astype(dtype)
    hole = np.zeros((side, side), bool)
    for row, column in rng.integers(0, 500, (6, 2)):  # the rest is whole
        hole[row : row + rng.integers(1, 60), column : column + rng.integers(1, 60)] = True
    how: dict[str, Any] = {"crs": "EPSG:32631"} if turned else {}
    if kind == "nodata":
        values[:, hole], how["nodata"] = 1, 1
    elif kind == "mask":
        how["mask"] = np.where(hole, 0, 255).astype(np.uint8)
    elif kind == "not a number":
        values[:, hole] = np.nan
    else:
        top = np.iinfo(dtype).max
        alpha = np.where(hole, 0 if kind == "alpha" else rng.integers(0, top, (side, side)), top).astype(dtype)
        values = np.concatenate([values, alpha[np.newaxis]])
        how["after"] = lambda out: setattr(out, "colorinterp", [ColorInterp.gray, ColorInterp.alpha])
    path = write(tmp_path / "a.tif", values, **how)
    asked = Options(rescale=((0.0, 255.0),), min_zoom=12)
    fast, calls = [], warp_valid

    def counted(*args: Any) -> Area | None:
        found = calls(*args)
        fast.append(found is not None)
        return found

    monkeypatch.setattr("tiler.ingest.ground.warp_valid", counted)
    layer = ingest(str(path), "fast", asked, stores, jobs=1, progress=silent).layer
    assert any(fast)
    monkeypatch.setattr("tiler.ingest.ground.warp_valid", lambda *_: None)
    slow = ingest(str(path), "slow", asked, stores, jobs=1, progress=silent).layer
    for z in (layer.maxzoom, 13, 12):
        for tile in tiles_of(layer, z):
            one, other = (drawn(each, stores, tile).astype(int) for each in (layer, slow))
            assert np.abs(one[..., 3] - other[..., 3]).max() <= 1, tile
            shown = (one[..., 3] > 8) & (other[..., 3] > 8)
            assert np.abs(one[shown] - other[shown]).max(initial=0) <= 1, tile


def test_the_slow_path_reads_no_more_at_once_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = landscape(SIDE, SIDE)
    values[:, 100:110, 100:110] = 0
    dataset = opened(str(write(tmp_path / "a.tif", values, nodata=0)))
    window = Window(12, CORNER[0] * 64, CORNER[1] * 64, 64, 64)
    whole, cover = warp(dataset, reading_of(dataset), window, "average")
    monkeypatch.setattr("tiler.raster.warp.READ", 140 * 140)
    parts, mask = warp(dataset, reading_of(dataset), window, "average")
    inside = (slice(0, 60), slice(0, 60))  # GDAL may touch the side of the next pixel, or not
    assert (cover[inside] == mask[inside]).all()
    assert np.abs(whole[:, *inside].astype(int) - parts[:, *inside]).max() <= 1


# Scale, offset, unit


def scaled(path: Path, values: Values, scale: float, offset: float, **how: Any) -> Path:
    def after(out: Any) -> None:
        out.scales, out.offsets = (scale,) * out.count, (offset,) * out.count

    return write(path, values, after=after, **how)


def test_heights_with_scale_and_offset_are_metres(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    stored = np.rint((relief() - 1000) / 0.1).astype(np.int16)
    path = scaled(tmp_path / "a.tif", stored, 0.1, 1000.0)
    assert np.abs(heights(seen(make_layer(path, style="terrain-rgb"), stores)) - relief()[0]).max() < 0.11
    true = write(tmp_path / "true.tif", stored.astype(np.float32) * 0.1 + 1000)
    for style in ("hillshade", "slope"):
        one, other = (seen(make_layer(each, style, style=style), stores) for each in (path, true))
        assert np.abs(grey(one) - grey(other)).max() <= 1


@pytest.mark.parametrize(
    ("unit", "metres"),
    [("US survey foot", 1200 / 3937), ("ft", 0.3048), ("FOOT", 0.3048), ("us-ft", 1200 / 3937), ("cm", 0.01), ("m", 1)],
)
def test_heights_of_any_unit_become_metres(
    unit: str, metres: float, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    def after(out: Any) -> None:
        out.units = (unit,)

    path = write(tmp_path / "a.tif", relief(metres), after=after)
    assert np.abs(heights(seen(make_layer(path, style="terrain-rgb"), stores)) - relief()[0]).max() < 0.11
    assert bool(survey(str(path), Options(style="terrain-rgb")).notes) == (metres != 1)


def test_the_unit_of_a_vertical_crs_counts(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", relief(1200 / 3937), crs=CRS.from_user_input("EPSG:3857+6360"))
    assert np.abs(heights(seen(make_layer(path, style="terrain-rgb"), stores)) - relief()[0]).max() < 0.11


def test_the_user_has_the_last_word_on_unit_scale_and_offset(
    run: Any, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tif", relief(0.3048))
    layer = make_layer(path, style="terrain-rgb", unit="ft")
    assert np.abs(heights(seen(layer, stores)) - relief()[0]).max() < 0.11
    path = scaled(tmp_path / "b.tif", relief(), 7.0, 3.0)
    layer = make_layer(path, style="terrain-rgb", scale=(1.0,), offset=(0.0,))
    assert np.abs(heights(seen(layer, stores)) - relief()[0]).max() < 0.11
    for words, why in (
        (["--unit", "yards"], "'yards' is not a unit of heights: write m, ft, us-ft, km, dm, cm or mm"),
        (["--scale", "1,2"], "--scale: write one number, not 2"),
        (["--scale", "x"], "'x' is not a number"),
        (["--scale", "0", "--offset", "0"], "add --scale 1 --offset 0"),
    ):
        done = run(path, "--style", "hillshade", *words)
        assert done.exit_code == 2, done.output
        assert why in done.stderr


def test_a_unit_that_is_no_length_is_refused_where_heights_are_wanted(run: Any, tmp_path: Path) -> None:
    def after(out: Any) -> None:
        out.units = ("K",)

    path = write(tmp_path / "a.tif", relief(), after=after)
    done = run(path, "--style", "hillshade")
    assert done.exit_code == 2
    assert "its unit, 'K', is not a length: add --unit m" in done.stderr
    assert run(path, "--style", "hillshade", "--unit", "m").exit_code == 0
    assert run(path).exit_code == 0


def test_heights_without_a_unit_on_a_map_in_feet_are_doubted(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(
        *(path, "w"),
        driver="GTiff",
        width=SIDE,
        height=SIDE,
        count=1,
        dtype="float32",
        crs="EPSG:2263",
        transform=Affine(10, 0, 980000, 0, -10, 200000),
    ) as out:
        out.write(relief())
    doubt = "its CRS is in feet: if heights are too, add --unit ft or us-ft"
    assert doubt in run(path, "--style", "hillshade").stderr
    assert doubt not in run(path, "--style", "hillshade", "--unit", "m").stderr
    assert doubt not in run(path).stderr


def test_statistics_that_lie_change_nothing(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    def after(out: Any) -> None:
        out.update_tags(1, STATISTICS_MINIMUM="0", STATISTICS_MAXIMUM="1", STATISTICS_MEAN="0.5")

    plain = make_layer(write(tmp_path / "a.tif", relief()))
    lying = make_layer(write(tmp_path / "b.tif", relief(), after=after), "lying")
    assert plain.style == lying.style
    assert (seen(plain, stores) == seen(lying, stores)).all()


@pytest.mark.parametrize(("scale", "offset"), [(0.0001, -0.1), (2.0, 0.0), (-0.5, 100.0)])
@pytest.mark.parametrize("bands", [1, 3])
def test_ranges_and_colormaps_take_the_values_that_are_meant(
    scale: float, offset: float, bands: int, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    stored = landscape(SIDE, SIDE, bands=bands).astype(np.int16) * 20
    path = scaled(tmp_path / "a.tif", stored, scale, offset)
    true = write(tmp_path / "true.tif", (stored * scale + offset).astype(np.float32))
    low, high = sorted((1000 * scale + offset, 4000 * scale + offset))
    asked: list[dict[str, Any]] = [{"rescale": ((low, high),)}, {}]
    asked += [{"colormap": "viridis", "rescale": ((low, high),)}, {"colormap": "viridis"}] if bands == 1 else []
    for number, options in enumerate(asked):
        one, other = (seen(make_layer(each, f"l{number}", **options), stores).astype(int) for each in (path, true))
        assert np.abs(one - other).max() <= (3 if "colormap" in options else 1), options


def test_a_range_of_stored_values_is_refused_with_a_cure(run: Any, tmp_path: Path) -> None:
    path = scaled(tmp_path / "a.tif", landscape(SIDE, SIDE).astype(np.int16) * 20, 0.0001, 0.0)
    done = run(path, "--rescale", "100,5000")
    assert done.exit_code == 2
    assert "--rescale 100,5000 would show all values" in done.stderr
    assert run(path, "--rescale", "0,5000").exit_code == 2
    assert "add --scale 1 --offset 0" in done.stderr
    assert run(path, "--rescale", "100,5000", "--scale", "1", "--offset", "0").exit_code == 0
    assert run(path, "--rescale", "0.01,0.5").exit_code == 0


def test_what_is_only_said_and_changes_nothing_makes_no_other_revision(tmp_path: Path) -> None:
    path = scaled(tmp_path / "a.tif", landscape(SIDE, SIDE).astype(np.int16) * 20, 0.0001, -0.1)
    assert survey(str(path), Options()).differs == ()  # a stretch is the same picture
    assert survey(str(path), Options(rescale=((0.0, 0.3),))).differs


# Colours, bits and types


def test_inks_become_light(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    inks = scene(SIDE, SIDE, bands=4)
    rasterio.shutil.copy(str(write(tmp_path / "a.tif", inks)), str(tmp_path / "a.vrt"), driver="VRT")
    path = tmp_path / "a.vrt"
    text = re.sub("<ColorInterp>.*?</ColorInterp>", "", path.read_text())
    for band, ink in enumerate(("Cyan", "Magenta", "Yellow", "Black"), 1):
        text = re.sub(rf'(<VRTRasterBand [^>]*band="{band}"[^>]*>)', rf"\1<ColorInterp>{ink}</ColorInterp>", text)
    path.write_text(text)
    light = 255 - inks.astype(float)
    expected = np.moveaxis(light[:3] * light[3] / 255, 0, -1)
    assert np.abs(seen(make_layer(path), stores)[..., :3] - expected).max() <= 0.51
    assert any("CMYK" in note for note in survey(str(path), Options()).notes)


def test_inks_that_are_no_whole_numbers_are_refused_with_a_cure_that_cures(run: Any, tmp_path: Path) -> None:
    def inks(out: Any) -> None:
        out.colorinterp = [ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black]

    path = write(tmp_path / "a.tif", scene(SIDE, SIDE, bands=4).astype(np.float32), after=inks)
    refused = run(path)
    assert refused.exit_code == 2
    assert "its CMYK bands are not integers: choose one band or three with --bands" in refused.stderr
    assert run(path, "--bands", "1,2,3").exit_code == 0


def test_gdal_turns_the_inks_of_a_tiff_into_light(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    inks = scene(SIDE, SIDE, bands=4)
    light = 255 - inks.astype(float)
    shown = seen(make_layer(write(tmp_path / "a.tif", inks, photometric="CMYK")), stores)
    assert np.abs(shown[..., :3] - np.moveaxis(light[:3] * light[3] / 255, 0, -1)).max() <= 1
    assert (shown[..., 3] == 255).all()


def test_colours_are_found_by_their_names(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    def after(out: Any) -> None:
        out.colorinterp = [ColorInterp.blue, ColorInterp.undefined, ColorInterp.red, ColorInterp.green]

    values = scene(SIDE, SIDE, bands=4)
    shown = seen(make_layer(write(tmp_path / "a.tif", values, after=after)), stores)
    assert (shown[..., :3] == np.moveaxis(values[[2, 3, 0]], 0, -1)).all()


def test_bands_of_different_types_are_refused_with_a_cure(run: Any, tmp_path: Path) -> None:
    for name, dtype in (("a", np.uint8), ("b", np.uint16), ("c", np.uint8)):
        write(tmp_path / f"{name}.tif", scene(SIDE, SIDE, bands=1).astype(dtype))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{at}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{name}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        for at, (name, kind) in enumerate((("a", "Byte"), ("b", "UInt16"), ("c", "Byte")), 1)
    )
    with rasterio.open(tmp_path / "a.tif") as dataset:
        place = ",".join(map(repr, dataset.transform.to_gdal()))
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:3857</SRS>'
        f"<GeoTransform>{place}</GeoTransform>{bands}</VRTDataset>"
    )
    done = run(vrt)
    assert done.exit_code == 2
    assert "bands 1,2,3 differ in type (uint16, uint8): choose others with --bands" in done.stderr
    assert run(vrt, "--bands", "2").exit_code == 0


def test_luminance_and_chrominance_are_shown_as_colours(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    values = landscape(SIDE, SIDE)
    how = {"photometric": "YCBCR", "compress": "JPEG", "jpeg_quality": 98, "interleave": "pixel"}
    shown = seen(make_layer(write(tmp_path / "a.tif", values, **how)), stores)
    assert np.abs(shown[..., :3].astype(int) - np.moveaxis(values, 0, -1)).mean() < 2


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
def test_where_0_is_white_it_is_shown_white(
    dtype: str, top: int, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = (landscape(SIDE, SIDE, bands=1).astype(float) / 255 * top).astype(dtype)
    path = write(tmp_path / "a.tif", values, photometric="MINISWHITE")
    shown = seen(make_layer(path, rescale=((0.0, float(top)),)), stores)
    assert np.abs(grey(shown) - (top - values[0].astype(float)) * 255 / top).max() <= 1


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_few_bits_go_from_black_to_white(bits: int, make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    values = (scene(SIDE, SIDE) >> (8 - bits)).astype(np.uint8)
    shown = seen(make_layer(write(tmp_path / "a.tif", values, nbits=bits)), stores)
    assert np.abs(shown[..., :3] - np.moveaxis(values, 0, -1) * (255 / (2**bits - 1))).max() <= 0.51


@pytest.mark.parametrize("white", [False, True])
def test_one_bit_is_black_or_white(white: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    values = (scene(SIDE, SIDE, bands=1) > 120).astype(np.uint8)
    path = write(tmp_path / "a.tif", values, nbits=1, photometric="MINISWHITE" if white else "MINISBLACK")
    assert (grey(seen(make_layer(path), stores)) == np.where((values[0] == 1) != white, 255, 0)).all()


@pytest.mark.parametrize(
    "dtype", ["int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("virtual", [False, True])
def test_every_type_of_number_is_shown(
    dtype: str, virtual: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = landscape(SIDE, SIDE, bands=1).astype(np.int16) // 2
    values[:, :60, :60] = 0
    path = write(tmp_path / "a.tif", values.astype(dtype), nodata=0)
    shown = seen(make_layer(path, rescale=((0.0, 127.0),), virtual=virtual), stores)
    assert ((shown[..., 3] == 0) == (values[0] == 0)).all()
    there = values[0] != 0
    assert np.abs(grey(shown)[there] - values[0][there] * 255 / 127).max() <= 1


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_of_complex_numbers_the_amplitude_is_shown(
    dtype: str, run: Any, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    real = landscape(SIDE, SIDE, bands=1).astype(float).round()
    values = (real + 1j * np.flip(real)).astype(np.complex64)
    path = tmp_path / "a.tif"
    with rasterio.open(write(tmp_path / "b.tif", real.astype(np.float32))) as plain:
        profile = {**plain.profile, "dtype": dtype}
    with rasterio.open(path, "w", **profile) as out:
        out.write(values)
    shown = seen(make_layer(path, rescale=((0.0, 400.0),)), stores)
    assert np.abs(grey(shown) - np.abs(values[0]) * 255 / 400).max() <= 1
    assert "its values are complex numbers: the layer shows their amplitude" in run(path).stderr


def test_neither_amplitude_nor_real_part_is_a_nodata_value(
    make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = np.full((1, SIDE, SIDE), 3 + 4j, np.complex64)
    values[:, :60] = 5
    values[:, 60:80] = 5 + 1j
    shown = seen(make_layer(write(tmp_path / "a.tif", values, nodata=5), rescale=((0.0, 10.0),)), stores)
    assert (shown[:60, :, 3] == 0).all()
    assert (shown[60:, :, 3] == 255).all(), "neither an amplitude nor a real part of 5 is the number 5"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("said", "asked", "hidden"), [(-9999.9, (), False), (None, -9999.9, True), (-9999.9, None, True)]
)
def test_nodata_of_a_raster_of_control_points_is_what_the_user_says(
    said: float | None, asked: Any, hidden: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = landscape(SIDE, SIDE, bands=1).astype(np.float32)
    values[:, :60] = -9999.9
    with rasterio.open(write(tmp_path / "a.tif", values, nodata=said)) as plain:
        there, profile = plain.transform, {**plain.profile, "transform": Affine.identity(), "crs": None}
    with rasterio.open(tmp_path / "b.tif", "w", **profile) as out:
        out.write(values)
        ends = [(row, column) for row in (0, SIDE) for column in (0, SIDE)]
        x, y = there.c, there.f
        points = [GroundControlPoint(row, column, x + column * PIXEL, y - row * PIXEL) for row, column in ends]
        out.gcps = points, CRS.from_epsg(3857)
    layer = make_layer(tmp_path / "b.tif", nodata=asked, resampling="nearest", rescale=((0.0, 255.0),))
    (tile,) = (each for each in tiles_of(layer, 14) if (each.x, each.y) == CORNER)
    shown = drawn(layer, stores, tile)[:SIDE, :SIDE]
    assert (shown[..., 3] == np.where((values[0] < 0) & hidden, 0, 255)).all()


# Overviews


@pytest.mark.parametrize("order", [(2, 4, 8), (8, 4, 2), (4, 8, 2)])
def test_the_overview_is_found_whatever_their_order(order: tuple[int, ...], tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene(SIDE, SIDE))
    for factor in order:
        with rasterio.open(path, "r+") as out:
            out.build_overviews([factor])
    with rasterio.open(path) as dataset:
        there = [1, *dataset.overviews(1)]
    for shrink, factor in ((1, 1), (1.9, 1), (2, 2), (3.9, 2), (4, 4), (7, 4), (8, 8), (100, 8)):
        assert there[overview_for(str(path), shrink)] == factor


def test_an_overview_without_the_mask_is_passed_over(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    mask[:120, :120] = 0
    path = write(tmp_path / "a.tif", scene(SIDE, SIDE), mask=mask)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4])  # a file beside it, which has no mask
    for options in ({"max_zoom": 13}, {"virtual": True}):
        layer = make_layer(path, **options)
        (tile,) = tiles_of(layer, 13)
        assert drawn(layer, stores, tile)[:50, :50, 3].max() == 0
        assert survey(str(path), Options(**options)).differs == ("mask of overviews",)
    assert survey(str(path), Options()).differs == ()


def test_metadata_of_before_is_read(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    values = scene(SIDE, SIDE)
    values[:, :50, :50] = 7
    layer = make_layer(write(tmp_path / "a.tif", values), nodata=7.0, virtual=True)
    said = json.loads(dump(layer))
    del said["reading"], said["style"]["meant"]
    for name in ("alpha", "scale", "offset", "unit", "crs", "bounds", "geotransform", "subdataset", "gcps"):
        del said["asked"][name]
    before = parse(json.dumps({**said, "nodata": "7.0"}).encode(), "index.json")
    assert before.asked == Options(nodata=7.0, virtual=True)
    assert (seen(before, stores) == seen(layer, stores)).all()


def test_a_raster_with_no_valid_pixel_is_refused(stores: Stores, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((4, SIDE, SIDE), np.uint8), after=rgba)
    with pytest.raises(BadSource, match="no valid pixel"):
        ingest(str(path), "land", Options(), stores, jobs=1, progress=silent)


def test_a_value_a_band_must_fit_the_bands(stores: Stores, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene(SIDE, SIDE))
    with pytest.raises(BadOption, match="write one value or 3, one per band, not 2"):
        ingest(str(path), "land", Options(nodata=(1.0, 2.0)), stores, jobs=1, progress=silent)


@pytest.mark.parametrize("virtual", [False, True])
def test_alpha_and_a_mask_of_its_own_both_hide(
    virtual: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = scene(SIDE, SIDE, bands=4)
    values[3], mask = 200, np.full((SIDE, SIDE), 255, np.uint8)
    values[3, :60], mask[:, :60] = 0, 0
    path = write(tmp_path / "a.tif", values, mask=mask, after=rgba)
    shown = seen(make_layer(path, virtual=virtual), stores)
    assert (shown[..., 3] == np.minimum(values[3], mask)).all()
    assert survey(str(path), Options()).differs == ("alpha and mask",)
    again = write(tmp_path / "b.tif", values, mask=values[3], after=rgba)
    assert survey(str(again), Options()).differs == ()


@pytest.mark.parametrize("virtual", [False, True])
def test_a_mask_of_each_band_hides_what_all_of_them_hide(
    virtual: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    masks = np.full((3, SIDE, SIDE), 255, np.uint8)
    masks[:, :60], masks[1, 60:90] = 0, 0
    write(tmp_path / "masks.tif", masks)
    rasterio.shutil.copy(str(write(tmp_path / "a.tif", scene(SIDE, SIDE))), str(tmp_path / "a.vrt"), driver="VRT")
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>masks.tif</SourceFilename><SourceBand>{}</SourceBand>"
    whole = f"<MaskBand><VRTRasterBand dataType='Byte'>{source}</SimpleSource></VRTRasterBand></MaskBand>"
    first, *rest = (tmp_path / "a.vrt").read_text().split("</VRTRasterBand>")
    described = "".join(f"{whole.format(band)}</VRTRasterBand>{part}" for band, part in enumerate(rest, 1))
    (tmp_path / "a.vrt").write_text(first + described)
    layer = make_layer(tmp_path / "a.vrt", virtual=virtual)
    assert (seen(layer, stores)[..., 3] == masks.max(axis=0)).all()
    assert survey(str(tmp_path / "a.vrt"), Options()).differs == ("mask of each band",)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@pytest.mark.parametrize("asked", [False, True])
def test_the_largest_value_of_64_bits_may_be_no_data(
    dtype: str, asked: bool, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values, largest = landscape(SIDE, SIDE, bands=1).astype(dtype), np.iinfo(dtype).max
    values[:, :60] = largest
    path = write(tmp_path / "a.tif", values)
    if not asked:
        rasterio.shutil.copy(str(path), str(tmp_path / "a.vrt"), driver="VRT")
        path = tmp_path / "a.vrt"
        path.write_text(with_nodata(path.read_text(), 1, largest))
    options = {"nodata": float(largest)} if asked else {}
    shown = seen(make_layer(path, rescale=((0.0, 255.0),), virtual=True, **options), stores)
    assert ((shown[..., 3] == 0) == (values[0] == largest)).all()
    assert survey(str(path), Options(**options)).differs


def test_a_nodata_value_that_alpha_hides_anyway_makes_no_other_revision(tmp_path: Path) -> None:
    values = scene(SIDE, SIDE, bands=4)
    values[3] = 255
    values[:, :60] = 0
    path = write(tmp_path / "a.tif", values, nodata=0, after=rgba)
    assert survey(str(path), Options()).differs == ()
    values[3, 30] = 9
    again = write(tmp_path / "b.tif", values, nodata=0, after=rgba)
    assert survey(str(again), Options()).differs == ("alpha, not nodata",)


# Classes


def test_a_palette_of_two_bytes_keeps_every_class(make_layer: MakeLayer, stores: Stores, tmp_path: Path) -> None:
    rows, columns = np.indices((SIDE, SIDE))
    values = (rows // 20 * 100 + columns // 20).astype(np.uint16)[np.newaxis]
    colours = {int(each): (int(each) % 251, int(each) // 7 % 256, 99, 255) for each in np.unique(values)}
    path = write(tmp_path / "a.tif", values, after=lambda out: out.write_colormap(1, colours))
    layer = make_layer(path)
    assert survey(str(path), Options()).differs == ("classes",)
    assert parse(dump(layer), "index.json") == layer
    shown = seen(layer, stores)
    expected = np.array([colours[int(each)] for each in values.ravel()]).reshape(SIDE, SIDE, 4)
    assert (shown == expected).all()
    (below,) = tiles_of(layer, 12)
    seen_below = {tuple(each) for each in drawn(layer, stores, below).reshape(-1, 4).tolist()}
    assert seen_below <= {*colours.values(), (0, 0, 0, 0)}  # no class is blended with another


def test_a_band_that_is_said_to_have_a_palette_and_has_none_is_grey(
    make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = scene(SIDE, SIDE, bands=1)
    rasterio.shutil.copy(str(write(tmp_path / "a.tif", values)), str(tmp_path / "a.vrt"), driver="VRT")
    text = (tmp_path / "a.vrt").read_text().replace("<ColorInterp>Gray<", "<ColorInterp>Palette<")
    assert "Palette" in text
    (tmp_path / "a.vrt").write_text(text)
    assert (grey(seen(make_layer(tmp_path / "a.vrt"), stores)) == values[0]).all()


def table(fields: list[tuple[str, int]], rows: list[tuple[object, ...]], kind: str = "thematic") -> str:
    """The sidecar with an attribute table: columns by name and GDAL's usage."""
    columns = "".join(
        f'<FieldDefn index="{at}"><Name>{name}</Name><Type>0</Type><Usage>{usage}</Usage></FieldDefn>'
        for at, (name, usage) in enumerate(fields)
    )
    lines = "".join(
        f'<Row index="{at}">{"".join(f"<F>{cell}</F>" for cell in row)}</Row>' for at, row in enumerate(rows)
    )
    there = f'<GDALRasterAttributeTable tableType="{kind}">{columns}{lines}</GDALRasterAttributeTable>'
    return f'<PAMDataset><PAMRasterBand band="1">{there}</PAMRasterBand></PAMDataset>'


RGB_COLUMNS = [("Red", 6), ("Green", 7), ("Blue", 8)]


@pytest.mark.parametrize(
    ("fields", "rows", "kind", "coloured"),
    [
        ([("Value", 5), *RGB_COLUMNS], [(3, 10, 200, 30), (7, 40, 50, 60)], "thematic", True),
        ([("Class", 2), ("Value", 5), *RGB_COLUMNS], [("a", 3, 10, 200, 30), ("b", 7, 40, 50, 60)], "thematic", True),
        ([("Value", 5), ("Count", 1)], [(3, 10), (7, 40)], "thematic", False),
        ([("Value", 5), *RGB_COLUMNS], [(3, 10, 200, 30), (7, 40, 50, 60)], "athematic", False),
        ([("Value", 5), *RGB_COLUMNS], [(3, 300, 200, 30), (-7, 1, 50, 60)], "thematic", False),
    ],
)
def test_the_colours_of_an_attribute_table_are_those_of_its_classes(
    fields: list[tuple[str, int]],
    rows: list[tuple[object, ...]],
    kind: str,
    coloured: bool,
    make_layer: MakeLayer,
    stores: Stores,
    tmp_path: Path,
) -> None:
    values = np.where(np.indices((SIDE, SIDE)).sum(axis=0) % 90 < 45, 3, 7).astype(np.uint8)[np.newaxis]
    path = write(tmp_path / "a.tif", values)
    (tmp_path / "a.tif.aux.xml").write_text(table(fields, rows, kind))
    shown = seen(make_layer(path), stores)
    if coloured:
        assert (shown == np.where(values[0, ..., None] == 3, (10, 200, 30, 255), (40, 50, 60, 255))).all()
    else:
        assert (grey(shown) == values[0]).all()
    assert bool(survey(str(path), Options()).differs) == coloured
    asked = seen(make_layer(path, "ramp", rescale=((0.0, 7.0),)), stores)
    assert (grey(asked) == np.rint(values[0].astype(float) * 255 / 7)).all()


@pytest.mark.parametrize(
    ("fields", "rows", "bins"),
    [
        ([("Min", 3), ("Max", 4), *RGB_COLUMNS], [(0, 4, 255, 0, 0), (4, 9, 0, 255, 0)], ""),
        (RGB_COLUMNS, [(255, 0, 0), (0, 255, 0)], 'Row0Min="0" BinSize="5"'),
    ],
)
def test_a_row_of_an_attribute_table_may_hold_a_range(
    fields: list[tuple[str, int]],
    rows: list[tuple[object, ...]],
    bins: str,
    make_layer: MakeLayer,
    stores: Stores,
    tmp_path: Path,
) -> None:
    values = (np.indices((SIDE, SIDE)).sum(axis=0) // 7 % 10).astype(np.uint8)[np.newaxis]
    path = write(tmp_path / "a.tif", values)
    said = table(fields, rows).replace("<GDALRasterAttributeTable ", f"<GDALRasterAttributeTable {bins} ")
    (tmp_path / "a.tif.aux.xml").write_text(said)
    expected = np.where(values[0, ..., None] < 5, (255, 0, 0, 255), (0, 255, 0, 255))
    assert (seen(make_layer(path), stores) == expected).all()
