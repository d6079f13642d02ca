"""A raster's pixels, its bounds and its plan lie where PROJ carries them, whatever its CRS and its geotransform."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from mercantile import Tile
from rasterio.crs import CRS

from tests.conftest import MakeLayer
from tests.oracle import drawn, landscape, psnr, tiles_of, warped
from tiler.catalog import Layer, Options
from tiler.grid import EXTENT
from tiler.place import applied, lonlat_bounds
from tiler.storage import Stores
from tiler.style import Values
from tiler.survey import survey

ENOUGH = 38.0  # dB
SLACK = 0.125  # source pixels, which GDAL's warp may be off
SIDE = 120  # pixels of a test's raster
ROTATED_POLE = (
    'GEOGCRS["rotated pole",BASEGEOGCRS["unknown",DATUM["unknown",ELLIPSOID["Sphere",6371229,0]]],'
    'DERIVINGCONVERSION["x",METHOD["Pole rotation (netCDF CF convention)"],'
    'PARAMETER["Grid north pole latitude (netCDF CF convention)",39.25,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["Grid north pole longitude (netCDF CF convention)",-162,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["North pole grid longitude (netCDF CF convention)",0,ANGLEUNIT["degree",0.0174532925199433]]],'
    'CS[ellipsoidal,2],AXIS["longitude",east],AXIS["latitude",north],ANGLEUNIT["degree",0.0174532925199433]]'
)


def square(x: float, y: float, pixel: float) -> Affine:
    """North-up pixels from a north-west corner."""
    return Affine(pixel, 0, x, 0, -pixel, y)


def laid(folder: Path, crs: str, transform: Affine, values: Values | None = None) -> Path:
    """A raster in any CRS: a VRT says it where GeoTIFF has no words for it."""
    values = landscape(SIDE, SIDE) if values is None else values
    path = folder / "source.tif"
    bands, height, width = values.shape
    said = CRS.from_user_input(crs)
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
        **({"crs": said} if plain else {}),
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
    near = {Tile(x=(tile.x + x) % 2**z, y=tile.y + y, z=z) for tile in tiles for x, y in steps}
    return [tile for tile in near if 0 <= tile.y < 2**z]


def inside(path: Path, tile: Tile, rows: Values, columns: Values) -> Values:
    """Which pixels of a tile lie in the raster, by more than GDAL's warp may be off."""
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


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("name", PLACES)
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
    "the Arctic": ("EPSG:3413", square(-2.5e6, 2.5e6, 40000.0)),
    "across the antimeridian": ("EPSG:32660", square(740000.0, 5e6, 900.0)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_was_placed_rightly_keeps_its_revision(name: str, tmp_path: Path) -> None:
    assert survey(str(laid(tmp_path, *RIGHT[name])), Options()).differs == ()
