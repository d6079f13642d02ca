"""Values, palettes, masks and transparency of every kind are unchanged in tiles."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from mercantile import Tile
from PIL import Image

from tests.support.layers import MakeLayer
from tests.support.oracle import alone, colours, drawn, joined, landscape, psnr, tiles_of, warped
from tests.support.rasters import MakeRaster, scene
from tiler.image.style import Pixels, Values
from tiler.layers.catalog import Layer
from tiler.storage.store import Stores

ENOUGH = 38.0  # dB
PALETTE = {
    0: (0, 0, 0, 255),
    1: (200, 30, 40, 255),
    2: (20, 180, 60, 255),
    3: (10, 60, 220, 255),
    4: (250, 240, 20, 255),
    5: (90, 90, 90, 255),
}


def classes(height: int = 300, width: int = 400) -> Values:
    """Patches of the palette's six values with ragged edges, `(1, height, width)` uint8."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(3).normal(0, 0.7, (height, width))
    patches = (np.sin(columns / 17) * 2 + np.cos(rows / 13) * 2 + noise + 3).round()
    return np.clip(patches, 0, 5).astype(np.uint8)[np.newaxis]


def stretched(values: Values, low: float, high: float) -> Pixels:
    """Low to 0, high to 255, the nearest step."""
    return np.rint((np.clip(values.astype(np.float64), low, high) - low) / (high - low) * 255).astype(np.uint8)


def compare(layer: Layer, stores: Stores, expected: Path, ranges: list[tuple[float, float]], **options: object) -> int:
    """Every base tile against the oracle; how many pixels were compared."""
    compared = differ = total = 0
    for tile in tiles_of(layer, layer.maxzoom):
        picture = drawn(layer, stores, tile)
        values, alpha = warped(expected, tile, **options)
        both = (picture[..., 3] == 255) & (alpha == 255)
        differ += int(((picture[..., 3] > 0) != (alpha > 0)).sum())
        total += alpha.size
        if not both.any():
            continue
        compared += int(both.sum())
        for channel in range(3):
            band = channel if values.shape[-1] == 3 else 0
            shown = stretched(values[..., band], *ranges[band])
            assert psnr(picture[both, channel], shown[both]) > ENOUGH, tile
    assert differ <= 1e-4 * total
    return compared


def colours_of(layer: Layer, stores: Stores) -> set[tuple[int, ...]]:
    """Every RGBA of the base zoom."""
    return set[tuple[int, ...]]().union(
        *(colours(drawn(layer, stores, tile)) for tile in tiles_of(layer, layer.maxzoom))
    )


def test_a_grey_raster_makes_grey_pngs(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> None:
    path = make_raster(values=scene(300, 400, bands=1), bounds=(-2.0, -2.0, 2.0, 2.0))
    layer = make_layer(path)
    modes = Counter()
    for tile in tiles_of(layer, layer.maxzoom):
        data = alone(layer, stores, tile)
        if data:
            modes[Image.open(io.BytesIO(data)).mode] += 1
    assert modes
    assert set(modes) <= {"L", "LA"}
    assert compare(layer, stores, path, [(0, 255)])


@pytest.mark.parametrize("bands", [(2,), (3,), (3, 1, 2), (2, 2, 2)])
def test_any_bands_are_shown_that_are_asked_for(
    bands: tuple[int, ...], make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = scene(200, 240)
    path = make_raster(values=values)
    chosen = make_raster(values=values[[band - 1 for band in bands]], name="chosen.tif")
    layer = make_layer(path, bands=bands)
    assert compare(layer, stores, chosen, [(0, 255)] * 3)


def test_a_band_past_the_third_is_shown_if_asked_for(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = scene(200, 240, bands=5)
    path = make_raster(values=values)
    chosen = make_raster(values=values[[4, 3, 0]], name="chosen.tif")
    assert compare(make_layer(path, bands=(5, 4, 1)), stores, chosen, [(0, 255)] * 3)
    assert compare(make_layer(path, "virtual", bands=(5, 4, 1), virtual=True), stores, chosen, [(0, 255)] * 3)


@pytest.mark.parametrize("virtual", [False, True])
def test_graded_alpha_stays_graded(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    colours = landscape(300, 400)
    ramp = np.linspace(0, 255, 400).round().astype(np.uint8)
    path = make_raster(values=np.vstack((colours, np.broadcast_to(ramp, (1, 300, 400)))), alpha=True)
    layer = make_layer(path, virtual=virtual)
    grades: set[int] = set()
    for tile in tiles_of(layer, layer.maxzoom):
        picture = drawn(layer, stores, tile)
        values, alpha = warped(path, tile)
        assert np.abs(picture[..., 3].astype(int) - alpha).max() <= 1, tile
        seen = (picture[..., 3] > 8) & (alpha > 8)
        assert not seen.any() or psnr(picture[seen, :3], values[seen]) > ENOUGH, tile
        grades |= set(np.unique(picture[..., 3]).tolist())
    assert len(grades) > 200


def test_graded_alpha_is_averaged_on_lower_zooms(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    ramp = np.linspace(0, 255, 400).round().astype(np.uint8)
    layer = make_layer(
        make_raster(values=np.vstack((landscape(300, 400), np.broadcast_to(ramp, (1, 300, 400)))), alpha=True)
    )
    for tile in tiles_of(layer, layer.maxzoom - 1):
        below = joined(lambda each: drawn(layer, stores, each), Tile(x=2 * tile.x, y=2 * tile.y, z=tile.z + 1))
        mean = below[..., 3].reshape(256, 2, 256, 2).mean(axis=(1, 3))
        assert np.abs(drawn(layer, stores, tile)[..., 3] - mean).max() <= 1, tile


@pytest.mark.parametrize("virtual", [False, True])
def test_what_a_mask_inside_the_file_hides_is_not_shown(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    rows, columns = np.mgrid[0:300, 0:400]
    mask = np.where((rows - 150) ** 2 + (columns - 200) ** 2 < 80**2, 0, 255).astype(np.uint8)
    path = make_raster(values=scene(300, 400), mask=mask)
    layer = make_layer(path, virtual=virtual)
    assert compare(layer, stores, path, [(0, 255)] * 3)
    middle = Tile(x=66, y=45, z=7)
    assert layer.maxzoom == 7
    assert 0 < (drawn(layer, stores, middle)[..., 3] == 0).sum() < 256 * 256


@pytest.mark.parametrize("virtual", [False, True])
def test_uint16_nodata_is_transparent_and_blends_into_nothing(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(300, 400, bands=1).astype(np.uint16) * 200 + 1000
    values[:, 100:180, 120:260] = 65535
    path = make_raster(values=values, nodata=65535)
    layer = make_layer(path, rescale=((1000.0, 52000.0),), virtual=virtual)
    assert compare(layer, stores, path, [(1000, 52000)])


def test_nodata_that_is_asked_for_is_transparent(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = scene(300, 400)
    values[:, 50:90, 60:200] = 0
    path, told = make_raster(values=values), make_raster(values=values, nodata=0, name="told.tif")
    assert compare(make_layer(path, nodata=0.0), stores, told, [(0, 255)] * 3)
    assert compare(make_layer(path, "virtual", nodata=0.0, virtual=True), stores, told, [(0, 255)] * 3)


def test_one_band_of_nodata_leaves_a_colour_visible(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = scene(300, 400)
    values[0, 100:200, 100:200] = 0
    layer = make_layer(make_raster(values=values, nodata=0))
    assert (drawn(layer, stores, Tile(x=66, y=45, z=7))[20:200, 20:180, 3] == 255).all()


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("declared", [np.nan, None])
def test_nan_is_transparent_declared_or_not(
    declared: float | None, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(300, 400, bands=1).astype(np.float32) * 3 - 200
    holes = np.zeros((300, 400), bool)
    holes[60:120, 100:220] = holes[180:190, 300:303] = True
    values[:, holes] = np.nan
    path = make_raster(values=values, nodata=declared)
    clean = make_raster(values=np.where(np.isnan(values), np.float32(-9999), values), nodata=-9999, name="clean.tif")
    layer = make_layer(path, rescale=((-200.0, 565.0),), virtual=virtual)
    assert compare(layer, stores, clean, [(-200, 565)])


@pytest.mark.parametrize("virtual", [False, True])
def test_beside_a_float_nodata_value_nan_is_transparent_too_and_taints_nothing_that_is_shown(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(300, 400, bands=1).astype(np.float32) * 3 - 200
    values[:, 60:90, 100:220] = -9999
    values[:, 180:190, 300:303] = np.nan
    path = make_raster(values=values, nodata=-9999)
    clean = make_raster(values=np.where(np.isnan(values), np.float32(-9999), values), nodata=-9999, name="clean.tif")
    layer = make_layer(path, rescale=((-200.0, 565.0),), virtual=virtual)
    lost = 0
    for tile in tiles_of(layer, layer.maxzoom):
        picture = drawn(layer, stores, tile)
        expected, alpha = warped(clean, tile)
        assert not picture[alpha == 0].any(), tile
        shown = picture[..., 3] > 0
        lost += int((~shown & (alpha > 0)).sum())
        assert not shown.any() or psnr(picture[shown, 0], stretched(expected[shown, 0], -200, 565)) > ENOUGH, tile
    assert lost <= 200  # around the NaN, as far as the kernel reaches


def test_negative_values_of_int16_are_stretched_like_others(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = (landscape(300, 400, bands=1).astype(np.int16) - 128) * 8
    path = make_raster(values=values)
    assert compare(make_layer(path, rescale=((-900.0, 700.0),)), stores, path, [(-900, 700)])


def test_without_a_range_16_bits_are_stretched_between_their_2nd_and_98th_percentile(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(300, 400).astype(np.uint16) ** 2 // 3 + 50
    values[:, :20] = 0
    path = make_raster(values=values, nodata=0)
    layer = make_layer(path)
    assert len(layer.style.rescale) == 3
    for band, (low, high) in zip(values, layer.style.rescale, strict=True):
        expected = np.percentile(band[band > 0], (2, 98))
        assert (low, high) == pytest.approx(expected, abs=0.01 * np.ptp(expected))
    assert compare(layer, stores, path, list(layer.style.rescale))


def test_values_all_alike_still_make_a_layer(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> None:
    layer = make_layer(make_raster(values=np.full((1, 300, 400), 700, np.uint16)))
    picture = drawn(layer, stores, Tile(x=66, y=45, z=7))
    assert (picture[..., 3] == 255).all()
    assert np.unique(picture[..., 0]).size == 1


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("how", ["nearest", "mode"])
def test_palette_tiles_show_the_very_entries_that_gdal_picks(
    how: str, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=classes(), palette=PALETTE)
    layer = make_layer(path, virtual=virtual, resampling=how)
    table = np.array([PALETTE[entry] for entry in range(6)], np.uint8)
    for tile in tiles_of(layer, layer.maxzoom):
        values, alpha = warped(path, tile, how=how)
        expected = table[values[..., 0]]
        expected[alpha == 0] = 0
        assert np.array_equal(drawn(layer, stores, tile), expected), tile


def test_lower_zooms_of_a_palette_show_the_most_frequent_of_four(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(make_raster(values=classes(500, 600), palette=PALETTE, bounds=(-3.0, -3.0, 4.0, 4.0)))
    allowed = {*PALETTE.values(), (0, 0, 0, 0)}
    ties = compared = 0
    for z, stored_filter in ((layer.maxzoom - 1, slice(None)), (layer.maxzoom - 2, slice(1))):
        for tile in tiles_of(layer, z)[stored_filter]:
            below = joined(lambda each: drawn(layer, stores, each), Tile(x=2 * tile.x, y=2 * tile.y, z=z + 1))
            four = below.reshape(256, 2, 256, 2, 4).transpose(0, 2, 1, 3, 4).reshape(65536, 16)
            cases = np.hstack([four, drawn(layer, stores, tile).reshape(65536, 4)])
            _, entries = np.unique(np.ascontiguousarray(cases).view(np.uint32), return_inverse=True)
            codes = entries.reshape(-1, 5) @ 8 ** np.arange(5)  # of six entries and no data
            _, first, numbers = np.unique(codes, return_index=True, return_counts=True)
            for pixels, number in zip(cases[first].reshape(-1, 5, 4).tolist(), numbers.tolist(), strict=True):
                *others, found = map(tuple, pixels)
                shown = [pixel for pixel in others if pixel[3]]
                expected = (0, 0, 0, 0)
                if len(shown) >= 2:  # half of it is visible
                    ((expected, _), *_) = Counter(shown).most_common(1)  # the first of those that are even
                assert found == expected, (tile, others)
                assert found in allowed
                ties += number * (len(set(shown)) in (2, 4))
                compared += number
    assert ties > 1000
    assert compared > 3 * 65536


def test_zooms_below_the_last_overview_of_a_palette_show_only_its_colours(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(make_raster(values=classes(), palette=PALETTE, bounds=(-20.0, 10.0, 20.0, 40.0)))
    assert layer.bake is not None
    allowed = {*PALETTE.values(), (0, 0, 0, 0)}
    for z in range(layer.bake.z + 1):
        for tile in tiles_of(layer, z):
            assert colours(drawn(layer, stores, tile)) <= allowed, tile
    assert drawn(layer, stores, Tile(x=0, y=0, z=0)).any()


def test_a_palette_with_nodata_hides_it(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> None:
    path = make_raster(values=classes(), palette=PALETTE, nodata=3)
    layer = make_layer(path)
    assert colours_of(layer, stores) == {(0, 0, 0, 0)} | {PALETTE[entry] for entry in (0, 1, 2, 4, 5)}


@pytest.mark.parametrize("virtual", [False, True])
def test_an_entry_of_a_palette_may_be_transparent(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=classes(), palette=PALETTE)
    vrt = path.with_suffix(".vrt")  # a GeoTIFF's palette has no alpha
    rasterio.shutil.copy(path, vrt, driver="VRT")
    entry = 'c1="90" c2="90" c3="90" c4="{}"'
    vrt.write_text(vrt.read_text().replace(entry.format(255), entry.format(0)))
    expected = {(0, 0, 0, 0)} | {PALETTE[entry] for entry in range(5)}
    assert colours_of(make_layer(vrt, virtual=virtual), stores) == expected
