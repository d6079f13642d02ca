"""The pixels, bounds and plan of a raster agree with PROJ, in any CRS and with any geotransform."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from mercantile import Tile
from rasterio.crs import CRS
from rasterio.transform import from_bounds

from tests.support.epsg import areas, complaints
from tests.support.layers import MakeLayer
from tests.support.oracle import drawn, landscape, psnr, tiles_of, warped
from tiler.errors import BadSource
from tiler.grid import EXTENT
from tiler.image.style import Pixels, Values
from tiler.ingest.survey import survey
from tiler.layers.catalog import Layer, Options
from tiler.raster.place import applied, lonlat_bounds
from tiler.storage.store import Stores

ENOUGH = 38.0  # dB
SLACK = 0.125  # source pixels, which GDAL's warp may be off
LIMB = 80  # of the 16384 pixels that are looked at, which GDAL's warp may lose where a map leaves the globe
SIDE = 64  # pixels of a test's raster
GEOSTATIONARY = "+proj=geos +h=35785831 +lon_0=1"
ROTATED_POLE = (
    'GEOGCRS["rotated pole",BASEGEOGCRS["unknown",DATUM["unknown",ELLIPSOID["Sphere",6371229,0]]],'
    'DERIVINGCONVERSION["x",METHOD["Pole rotation (netCDF CF convention)"],'
    'PARAMETER["Grid north pole latitude (netCDF CF convention)",39.25,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["Grid north pole longitude (netCDF CF convention)",-162,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["North pole grid longitude (netCDF CF convention)",0,ANGLEUNIT["degree",0.0174532925199433]]],'
    'CS[ellipsoidal,2],AXIS["longitude",east],AXIS["latitude",north],ANGLEUNIT["degree",0.0174532925199433]]'
)


def in_both_ways(names: Iterable[str]) -> list[tuple[str, bool]]:
    """Each of `names` baked, and every third of them virtual too."""
    return [(name, False) for name in names] + [(name, True) for name in list(names)[::3]]


def square(x: float, y: float, pixel: float) -> Affine:
    """North-up pixels from a north-west corner."""
    return Affine(pixel, 0, x, 0, -pixel, y)


def laid(folder: Path, crs: str, transform: Affine, values: Values | None = None) -> Path:
    """A raster in any CRS; a VRT holds a CRS that GeoTIFF cannot express."""
    values = landscape(SIDE, SIDE) if values is None else values
    path = folder / "source.tif"
    bands, height, width = values.shape
    plain = crs != ROTATED_POLE
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=bands,
        dtype=values.dtype,
        transform=transform,
        photometric="RGB",
        **({"crs": CRS.from_user_input(crs)} if plain and crs else {}),
    ) as out:
        out.write(values)
    if plain:
        return path
    band = (
        '<VRTRasterBand dataType="Byte" band="{0}"><SimpleSource><SourceFilename relativeToVRT="1">source.tif'
        "</SourceFilename><SourceBand>{0}</SourceBand></SimpleSource></VRTRasterBand>"
    )
    outer = path.with_suffix(".vrt")
    outer.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">'
        f'<SRS dataAxisToSRSAxisMapping="1,2">{escape(crs)}</SRS>'
        f"<GeoTransform>{','.join(map(repr, transform.to_gdal()))}</GeoTransform>"
        f"{''.join(band.format(number) for number in range(1, bands + 1))}</VRTDataset>"
    )
    return outer


def around(layer: Layer) -> list[Tile]:
    """The tiles of the layer's bounds at its deepest zoom, and those around them."""
    z, tiles = layer.maxzoom, tiles_of(layer, layer.maxzoom)
    steps = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    near = {((tile.x + x) % 2**z, tile.y + y) for tile in tiles for x, y in steps}
    return [Tile(x=x, y=y, z=z) for x, y in near if 0 <= y < 2**z]


def inside(path: Path, tile: Tile, rows: Values, columns: Values) -> Values:
    """The pixels of a tile within the raster, by more than GDAL's warp error."""
    with rasterio.open(path) as dataset:
        pixel = 2 * EXTENT / 256 / 2**tile.z
        xs = (tile.x * 256 + columns + 0.5) * pixel - EXTENT
        ys = EXTENT - (tile.y * 256 + rows + 0.5) * pixel
        there = rasterio.warp.transform("EPSG:3857", dataset.crs, xs, ys)
        across, down = applied(~dataset.transform, *map(np.asarray, there))
        return (np.minimum(across, dataset.width - across) > SLACK) & (np.minimum(down, dataset.height - down) > SLACK)


def missed(path: Path, layer: Layer, stores: Stores) -> int:
    """How many pixels GDAL's warp to EPSG:3857 shows and the layer does not; those of both must look the same."""
    missing = seen = 0
    planned = set(tiles_of(layer, layer.maxzoom))
    for tile in around(layer):
        colours, alpha = warped(path, tile)
        picture = drawn(layer, stores, tile) if tile in planned else np.zeros((256, 256, 4), np.uint8)
        both = (alpha == 255) & (picture[..., 3] == 255)
        missing += int(inside(path, tile, *np.nonzero((alpha > 0) & (picture[..., 3] == 0))).sum())
        seen += int(both.sum())
        assert not both.any() or psnr(picture[both, :3], colours[both]) > ENOUGH, tile
    assert seen > SIDE * SIDE / 8
    return missing


OTHER_DEGREES = {
    "Tokyo's datum": ("EPSG:4301", square(139.75, 35.68, 2e-5)),
    "OSGB36": ("EPSG:4277", square(-0.1, 51.5, 2e-5)),
    "Amersfoort": ("EPSG:4289", square(4.9, 52.37, 2e-5)),
    "grads from Paris": ("EPSG:4807", square(0.0, 54.25, 1e-3)),
    "degrees from Paris": ("+proj=longlat +datum=WGS84 +pm=paris +no_defs", square(3.0, 45.0, 1e-3)),
    "a rotated pole": (ROTATED_POLE, square(-5.0, 5.0, 0.04)),
    "a height too": ("EPSG:4326+5773", square(7.0, 46.0, 1e-3)),
    "three dimensions": ("EPSG:4979", square(7.0, 46.0, 1e-3)),
    "NAD27": ("EPSG:4267", square(-100.0, 40.0, 2e-5)),
}
OTHER_DATUMS = {
    "OSGB36 grid": ("EPSG:27700", square(530000.0, 180000.0, 2.0)),
    "Swiss grid": ("EPSG:2056", square(2600000.0, 1200000.0, 2.0)),
    "Dutch grid": ("EPSG:28992", square(150000.0, 450000.0, 2.0)),
    "Dutch grid and height": ("EPSG:7415", square(150000.0, 450000.0, 2.0)),
    "Belgian grid": ("EPSG:31370", square(150000.0, 170000.0, 2.0)),
    "Gauss-Krueger, axes swapped": ("EPSG:31467", square(3500000.0, 5500000.0, 2.0)),
    "axes to west and south": ("EPSG:22275", square(0.0, 3000000.0, 2.0)),
}
PLACES = OTHER_DEGREES | OTHER_DATUMS
NO_SHIFT = {"three dimensions", "axes to west and south"}  # so that earlier versions were right by chance


@pytest.mark.parametrize(("name", "virtual"), in_both_ways(PLACES))
def test_other_degrees_and_datums_lose_no_pixel_and_lie_where_gdal_warps_them(
    name: str, virtual: bool, tmp_path: Path, make_layer: MakeLayer, stores: Stores
) -> None:
    path = laid(tmp_path, *PLACES[name])
    assert missed(path, make_layer(path, virtual=virtual), stores) == 0


@pytest.mark.parametrize("name", PLACES)
def test_bounds_are_those_of_the_sides_carried_to_wgs84(name: str, tmp_path: Path) -> None:
    crs, transform = PLACES[name]
    with rasterio.open(laid(tmp_path, crs, transform)) as dataset:
        west, south, east, north = rasterio.warp.transform_bounds(
            dataset.crs, "EPSG:4326", *dataset.bounds, densify_pts=511
        )
        assert tuple(lonlat_bounds(dataset)) == pytest.approx((west, south, east, north), abs=1e-9)


@pytest.mark.parametrize("name", sorted(PLACES.keys() - NO_SHIFT))
def test_what_was_placed_wrongly_has_another_revision(name: str, tmp_path: Path) -> None:
    assert survey(str(laid(tmp_path, *PLACES[name])), Options()).differs == ("placed",)


def exact(path: Path, tile: Tile, picture: Pixels) -> tuple[Values, Values]:
    """The source pixels where a tile's lie, by PROJ and arithmetic alone, and where there surely is one.

    Of every second pixel of every second row, as `picture` is; where a raster laps itself, the closer to that.
    """
    with rasterio.open(path) as dataset:
        values, crs, back = dataset.read(), dataset.crs, ~dataset.transform
    pixel = 2 * EXTENT / 256 / 2**tile.z
    columns, rows = np.meshgrid(np.arange(256)[::2] + 0.5, np.arange(256)[::2] + 0.5)
    xs, ys = (tile.x * 256 + columns) * pixel - EXTENT, EXTENT - (tile.y * 256 + rows) * pixel
    carried = rasterio.warp.transform("EPSG:3857", crs, xs.ravel(), ys.ravel())
    there = [np.reshape(axis, columns.shape) for axis in carried]
    turn = 360 / np.degrees(crs.units_factor[1]) if crs.is_geographic else 0
    colours, sure = np.full((*columns.shape, len(values)), 999), np.zeros(columns.shape, bool)
    for turned in {-turn, 0, turn}:
        across, down = applied(back, there[0] + turned, there[1])
        edge = np.minimum(np.minimum(across, values.shape[2] - across), np.minimum(down, values.shape[1] - down))
        here = edge > 0  # source pixels from the nearest side
        found = colours.copy()
        found[here] = values[:, down[here].astype(int), across[here].astype(int)].T
        closer = np.abs(found - picture[..., :3]).sum(axis=-1) < np.abs(colours - picture[..., :3]).sum(axis=-1)
        colours[closer] = found[closer]
        sure |= edge > SLACK
    return colours, sure


def agreed(path: Path, layer: Layer, stores: Stores, limb: int = 0) -> bool:
    """Whether the layer's tiles are complete: at most `limb` of a tile's pixels missing, none misplaced."""
    planned, seen = set(tiles_of(layer, layer.maxzoom)), 0
    for tile in around(layer):
        picture = (drawn(layer, stores, tile) if tile in planned else np.zeros((256, 256, 4), np.uint8))[::2, ::2]
        colours, sure = exact(path, tile, picture)
        assert (sure & (picture[..., 3] == 0)).sum() <= limb, tile
        both = sure & (picture[..., 3] > 0)
        assert not both.any() or psnr(picture[both, :3], colours[both]) > ENOUGH, tile
        seen += int(sure.sum())
    return seen > SIDE * SIDE / 8


CENTRES = Affine(360 / SIDE, 0, -180 - 180 / SIDE, 0, -180 / SIDE, 90 + 90 / SIDE)
TURNED = Affine.rotation(30) @ Affine.scale(1e-3, -1e-3)
GEOTRANSFORMS = {
    "south-up": ("EPSG:4326", Affine(1e-3, 0, 7.0, 0, 1e-3, 46.0)),
    "south-up, in metres": ("EPSG:32632", Affine(100, 0, 5e5, 0, 100, 5e6)),
    "east to west": ("EPSG:4326", Affine(-1e-3, 0, 7.0, 0, -1e-3, 46.0)),
    "turned by 30 degrees": ("EPSG:4326", Affine.translation(7.0, 46.0) @ TURNED),
    "turned by 90 degrees": ("EPSG:4326", Affine(0, 1e-3, 7.0, 1e-3, 0, 46.0)),
    "turned, another datum": ("EPSG:4301", Affine.translation(139.75, 35.68) @ TURNED),
    "turned, across the antimeridian": ("EPSG:4326", Affine.translation(179.95, 46.0) @ TURNED),
    "sheared": ("EPSG:4326", Affine(1e-3, 3e-4, 7.0, 1e-4, -1e-3, 46.0)),
    "oblong pixels": ("EPSG:4326", Affine(1e-3, 0, 7.0, 0, -3e-3, 46.0)),
    "0 to 360 degrees": ("EPSG:4326", Affine(360 / SIDE, 0, 0, 0, -180 / SIDE, 90)),
    "0 to 360 degrees, another datum": ("EPSG:4301", Affine(360 / SIDE, 0, 0, 0, -180 / SIDE, 89)),
    "grads, east to the last that GDAL turns": ("EPSG:4807", square(159.0, 50, 1 / SIDE)),
    "centres on the poles and the antimeridian": (
        "EPSG:4326",
        Affine(360 / SIDE, 0, -180 - 180 / SIDE, 0, -180 / SIDE, 90 + 90 / SIDE),
    ),
    "centres, another datum": ("EPSG:4301", Affine(360 / SIDE, 0, -180 - 180 / SIDE, 0, -180 / SIDE, 90 + 90 / SIDE)),
    "across 180 degrees east": ("EPSG:4326", square(179.9, 10.0, 2e-3)),
    "across 180 degrees west": ("EPSG:4326", square(-180.1, 10.0, 2e-3)),
    "across 180 degrees, another datum": ("EPSG:4301", square(179.9, 10.0, 2e-3)),
    "across 180 degrees, a height too": ("EPSG:4326+5773", square(179.9, 10.0, 2e-3)),
    "across 180 degrees, on the grid": ("EPSG:3857", square(EXTENT - 5000, 1e6, 100.0)),
    "across 180 degrees, another Mercator": ("EPSG:3832", square(3.3e6, 1e6, 1000.0)),
    "just past 180 degrees, another datum": ("EPSG:4167", square(179.0, -40.0, 1e-2)),
    "a turn too far": ("EPSG:4326", square(367.0, 46.0, 1e-3)),
    "a quarter past a turn": ("EPSG:4326", Affine(450 / SIDE, 0, -180, 0, -120 / SIDE, 60)),
    "the south pole": ("EPSG:3031", square(-3e6, 3e6, 6e6 / SIDE)),
    "beside the north pole": ("EPSG:3413", square(1e5, 3e6, 3e6 / SIDE)),
    "a rotated pole, across its antimeridian": (ROTATED_POLE, square(355.0, 5.0, 0.08)),
    "a pixel of a centimetre": ("EPSG:4326", square(7.0, 46.0, 1e-7)),
    "the globe, cylindrical": ("ESRI:54034", Affine(4e7 / SIDE, 0, -2e7, 0, -12e6 / SIDE, 6e6)),
    "a satellite's disc": (
        "+proj=geos +h=35785831 +lon_0=0 +sweep=y",
        Affine(11e6 / SIDE, 0, -5.5e6, 0, -11e6 / SIDE, 5.5e6),
    ),
}


@pytest.mark.parametrize(("name", "virtual"), in_both_ways(GEOTRANSFORMS))
def test_no_pixel_is_missing_and_none_astray_whatever_the_geotransform(
    name: str, virtual: bool, tmp_path: Path, make_layer: MakeLayer, stores: Stores
) -> None:
    path = laid(tmp_path, *GEOTRANSFORMS[name])
    assert agreed(path, make_layer(path, virtual=virtual, resampling="nearest"), stores)


OFF_THE_GLOBE = {
    "an oval": ("ESRI:54009", (-18.1e6, -9.05e6, 18.1e6, 9.05e6)),
    "an oval, from the far side": ("+proj=moll +lon_0=150 +datum=WGS84", (-18.1e6, -7e6, 6e6, 6e6)),
    "a satellite's disc": (GEOSTATIONARY, (-5.5e6, -5.5e6, 5.5e6, 5.5e6)),
    "a disc across the antimeridian": (f"{GEOSTATIONARY}40.7", (-5.5e6, -5.5e6, 5.5e6, 5.5e6)),
    "a part of its limb": (GEOSTATIONARY, (3.2e6, -4.5e6, 5.7e6, 4.5e6)),
    "half a globe": ("+proj=ortho +lat_0=40 +lon_0=10", (-6.5e6, -6.5e6, 6.5e6, 6.5e6)),
}


@pytest.mark.parametrize("name", OFF_THE_GLOBE)
def test_a_map_that_leaves_the_globe_is_whole(name: str, tmp_path: Path, make_layer: MakeLayer, stores: Stores) -> None:
    crs, box = OFF_THE_GLOBE[name]
    path = laid(tmp_path, crs, from_bounds(*box, 200, 200), landscape(200, 200))
    assert agreed(path, make_layer(path, resampling="nearest"), stores, limb=LIMB)
    assert survey(str(path), Options()).differs == ("placed",)


REFUSED = {
    "no CRS": ("", square(7.0, 46.0, 1e-3), "no CRS, and its coordinates look like degrees", "--crs EPSG:4326"),
    "no CRS, in metres": ("", square(500_000.0, 5_000_000.0, 10.0), "no CRS", "--crs EPSG:CODE"),
    "a plant's own grid": ("EPSG:5817", square(0.0, 0.0, 1.0), "Tombak LNG plant", "--crs EPSG:CODE"),
    "a local grid": ('LOCAL_CS["here",UNIT["metre",1]]', square(0.0, 0.0, 1.0), "'here'", "--crs EPSG:CODE"),
    "geocentric": ("EPSG:4978", square(4e6, 4e6, 1.0), "'WGS 84'", "--crs EPSG:CODE"),
    "heights alone": ("EPSG:5773", square(0.0, 0.0, 1.0), "does not map the earth", "--crs EPSG:CODE"),
    "a projection without an inverse": ("EPSG:2218", square(5e5, 8e6, 100.0), "Scoresbysund", "--crs EPSG:CODE"),
    "a projection that PROJ lacks": ("EPSG:2301", square(5e5, 8e6, 100.0), "Qoornoq", "--crs EPSG:CODE"),
    "metres called degrees": ("EPSG:4326", square(5e5, 5e6, 10.0), "are not degrees", "--crs EPSG:CODE"),
    "metres called degrees, at the equator": (
        "EPSG:4326",
        square(5e5, 50.0, 1.0),
        "are not degrees",
        "--crs EPSG:CODE",
    ),
    "the moon": ("IAU_2015:30100", square(7.0, 46.0, 1e-3), "of radius 1,737,400 m", "--as-earth"),
    "the moon in metres": ("IAU_2015:30110", square(7.0, 46.0, 1e-3), "of radius 1,737,400 m", "--as-earth"),
    "no geotransform": ("EPSG:32632", Affine.identity(), "no geotransform", "--bounds W,S,E,N"),
    "flat pixels": ("EPSG:32632", Affine(10, 0, 5e5, 0, 0, 5e6), "no geotransform", "--bounds W,S,E,N"),
    "no number": ("EPSG:32632", Affine(10, 0, np.nan, 0, -10, 5e6), "off the globe", "--bounds W,S,E,N"),
    "beyond all": ("EPSG:32632", square(1e30, 0.0, 10.0), "off the globe", "--bounds W,S,E,N"),
    "grads that GDAL mistakes": ("EPSG:4807", square(199.0, 50.0, 0.1), "pass 160 grads", "in degrees"),
    "all beyond Web Mercator": ("EPSG:4301", square(7.0, 89.0, 1e-3), "85.05", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_lies_nowhere_on_the_earth_is_refused_in_a_short_line_with_the_cure(name: str, tmp_path: Path) -> None:
    crs, transform, why, cure = REFUSED[name]
    path = laid(tmp_path, crs, transform)
    with pytest.raises(BadSource) as refused:
        survey(str(path), Options())
    said = str(refused.value).replace(str(path), "")
    assert why in said
    assert cure in said
    assert "[" not in said
    assert len(said) < 200


def test_a_crs_in_degrees_cures_grads_that_gdal_mistakes(tmp_path: Path, make_layer: MakeLayer, stores: Stores) -> None:
    crs = "+proj=longlat +a=6378249.2 +b=6356515 +pm=paris +towgs84=-168,-60,320,0,0,0,0 +no_defs"
    path = laid(tmp_path, crs, square(199.0 * 0.9, 50.0 * 0.9, 0.01 * 0.9))
    assert agreed(path, make_layer(path, resampling="nearest"), stores)


RIGHT = {
    **{name: PLACES[name] for name in sorted(NO_SHIFT)},
    "WGS 84": ("EPSG:4326", square(7.0, 46.0, 1e-4)),
    "WGS 84 in centimetres": ("EPSG:4326", square(7.0, 46.0, 1e-7)),
    "WGS 84, 0 to 300": ("EPSG:4326", square(0.0, 80.0, 2.5)),
    "NAD83": ("EPSG:4269", square(-100.0, 40.0, 1e-5)),
    "ETRS89": ("EPSG:4258", square(7.0, 46.0, 1e-5)),
    "UTM": ("EPSG:32632", square(5e5, 5e6, 0.1)),
    "UTM, ETRS89": ("EPSG:25832", square(5e5, 5e6, 0.1)),
    "UTM, NAD83": ("EPSG:26910", square(5e5, 5e6, 0.1)),
    "state plane, feet": ("EPSG:2263", square(1e6, 2e5, 1.0)),
    "the grid itself": ("EPSG:3857", square(1e6, 6e6, 0.1)),
    "the Arctic": ("EPSG:3413", square(-2.5e6, 2.5e6, 5e6 / SIDE)),
    "across the antimeridian": ("EPSG:32660", square(740000.0, 5e6, 900.0)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_was_placed_rightly_keeps_its_revision(name: str, tmp_path: Path) -> None:
    assert survey(str(laid(tmp_path, *RIGHT[name])), Options()).differs == ()


EVERY = areas()
SOME = random.Random(17).sample(EVERY, 60)
PARTS = EVERY if os.environ.get("EPSG") == "all" else SOME


@pytest.mark.parametrize("start", range(0, len(PARTS), 20))
def test_no_crs_of_epsg_loses_a_pixel_in_the_middle_of_its_area_of_use(start: int, tmp_path: Path) -> None:
    """A sample of 120; `EPSG=all` takes all of them."""
    assert complaints(tmp_path, PARTS[start : start + 20]) == []
