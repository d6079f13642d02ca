"""The rasters that every tool makes tiles of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mercantile
import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_bounds, from_origin
from rasterio.warp import transform_bounds
from tiny import TINY, sized, write_relief

from tiler.ingest.survey import survey
from tiler.raster.options import Options

ROOT = Path(__file__).parent.parent.parent
DEEP = sized(6, 1)  # zooms below a source's own that are made too
SMALL = 4  # so many times smaller a side is every source for a first try
UTM, UTM_PIXEL = "EPSG:32633", 0.75  # the pixel in metres
MERIDIAN = 500_000.0, 5_210_000.0  # a corner in metres: 15 degrees east, 47 north, where grid north is north
ZONE_EDGE = 658_000.0, 6_700_000.0  # 17.9 degrees east, 60.4 north: turned by 2.5 degrees
WEBP_QUALITY, JPEG_QUALITY = 85, 90  # of tiles, this project's own; of orthophotos
TERRAIN = sized(6000, 400)  # pixels a side, one second of arc each
ROUGHNESS = 1.7  # power by which the terrain's waves shrink with their frequency
HEIGHTS = 0.0, 3000.0  # metres that become black and white
COLOURS = 32


@dataclass(frozen=True)
class Source:
    """A raster, the zooms that its tiles are made of, and how.

    `eight` is the same raster for tools that want bytes, `colours` for those that want red, green and blue: VRTs over
    `path` where it is something else.
    """

    name: str
    title: str
    path: Path
    eight: Path
    colours: Path
    minzoom: int
    maxzoom: int
    resampling: str = "cubic"
    format: str = "png"
    rescale: tuple[float, float] | None = None
    palette: bool = False

    @property
    def zooms(self) -> str:
        """The zooms as commands take them."""
        return f"{self.minzoom}-{self.maxzoom}"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The west, south, east and north edges of its extent, in degrees."""
        with rasterio.open(self.path) as dataset:
            return transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds, densify_pts=21)

    def tiles(self, z: int) -> list[mercantile.Tile]:
        """All tiles of zoom `z` that the source's extent touches."""
        return list(mercantile.tiles(*self.box, [z], truncate=True))

    def count(self) -> int:
        """How many tiles its extent touches at all its zooms."""
        return sum(len(self.tiles(z)) for z in range(self.minzoom, self.maxzoom + 1))


def make(name: str, folder: Path, *, small: bool) -> Source:
    """The source called `name`, whose files are made in `folder` unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    title, build = MAKERS[name]
    path = folder / f"{name}{'-small' if small else ''}.tif"
    if not path.exists():
        build(path, SMALL if small else 1)
    made: dict[str, Any] = {"eight": path, "colours": path}
    if name == "dem":
        scaled = _vrt(path, [_scaled(*HEIGHTS)])
        made |= {"eight": scaled, "colours": scaled, "rescale": HEIGHTS}
    if name == "palette":
        looked_up = [f"<ColorTableComponent>{number}</ColorTableComponent>" for number in (1, 2, 3)]
        made |= {"colours": _vrt(path, looked_up), "resampling": "nearest", "palette": True}
    if name == "ortho":
        made["format"] = "webp"
    with rasterio.open(path) as dataset:
        said = f"{title}, {dataset.width} x {dataset.height}, {dataset.crs}"
    own = survey(str(path), Options(rescale=(HEIGHTS,) if name == "dem" else ())).maxzoom
    return Source(name, said, path, minzoom=max(0, own - DEEP), maxzoom=own, **made)


def _relief(path: Path, shrink: int) -> None:
    whole = path.with_name("relief.tif")
    if TINY:
        write_relief(whole, 1024)
    else:
        subprocess.run([sys.executable, str(ROOT / "scripts" / "demo_source.py"), str(whole)], check=True)
    if path != whole:
        values = _pixels(path.parent, shrink)
        with _written(path, values, crs="EPSG:4326", transform=_world(values), photometric="RGB"):
            pass


def _aerial(path: Path, shrink: int, corner: tuple[float, float] = MERIDIAN, **profile: Any) -> None:
    values, place = _pixels(path.parent, shrink), from_origin(*corner, UTM_PIXEL, UTM_PIXEL)
    with _written(path, values, crs=UTM, transform=place, **{"photometric": "RGB"} | profile):
        pass


def _edge(path: Path, shrink: int) -> None:
    _aerial(path, shrink, ZONE_EDGE)


def _ortho(path: Path, shrink: int) -> None:
    _aerial(path, shrink, compress="JPEG", photometric="YCBCR", jpeg_quality=JPEG_QUALITY, predictor=None, zlevel=None)


def _palette(path: Path, shrink: int) -> None:
    """Twice as wide as the relief, so that start-up is little of the time: its colours and their mirror images."""
    few = Image.fromarray(np.moveaxis(_pixels(path.parent, shrink), 0, -1)).quantize(COLOURS)
    table = np.array(few.getpalette()).reshape(-1, 3)
    quarter = np.asarray(few)
    half = np.concatenate((quarter, quarter[:, ::-1]), axis=1)
    values = np.concatenate((half, half[::-1]))[np.newaxis]
    with _written(path, values, crs="EPSG:4326", transform=_world(values), photometric="PALETTE") as out:
        out.write_colormap(1, {number: (*colour, 255) for number, colour in enumerate(table.tolist())})


def _dem(path: Path, shrink: int) -> None:
    """Terrain: noise, filtered so that long waves are high and short ones low."""
    side = TERRAIN // shrink
    noise = np.random.default_rng(6).standard_normal((side, side), dtype=np.float32)
    frequency = np.hypot(np.fft.fftfreq(side)[:, np.newaxis], np.fft.rfftfreq(side))
    frequency[0, 0] = np.inf
    heights = np.fft.irfft2(np.fft.rfft2(noise) * frequency**-ROUGHNESS, s=(side, side))
    low, high = float(heights.min()), float(heights.max())
    values = ((heights - low) / (high - low) * HEIGHTS[1]).astype(np.float32)[np.newaxis]
    with _written(path, values, crs="EPSG:4326", transform=from_origin(10, 47.5, 1 / 3600, 1 / 3600), predictor=3):
        pass


MAKERS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "relief": ("Relief of the world, RGB", _relief),
    "aerial": (f"Aerial: the relief's pixels placed in UTM at {UTM_PIXEL} m, RGB", _aerial),
    "edge": ("The same at the zone's edge, turned by 2.5 degrees, RGB", _edge),
    "ortho": (
        f"Orthophoto: the aerial's pixels in a TIFF of JPEG blocks, quality {JPEG_QUALITY}, to WebP tiles",
        _ortho,
    ),
    "dem": ("Terrain, float32", _dem),
    "palette": (f"The relief in a palette of {COLOURS} colours", _palette),
}


def _pixels(folder: Path, shrink: int) -> npt.NDArray[np.uint8]:
    """The relief, `(3, height, width)`, so many times smaller."""
    whole = folder / "relief.tif"
    _relief(whole, 1)
    with rasterio.open(whole) as relief:
        shape = relief.count, relief.height // shrink, relief.width // shrink
        values: npt.NDArray[np.uint8] = relief.read(out_shape=shape, resampling=Resampling.average)
    return values


def _world(values: npt.NDArray[Any]) -> Affine:
    return from_bounds(-180, -90, 180, 90, values.shape[2], values.shape[1])


@contextmanager
def _written(path: Path, values: npt.NDArray[Any], **profile: Any) -> Iterator[Any]:
    """Write `values` as a tiled GeoTIFF; it has its name only when it is complete."""
    part = path.with_suffix(".part.tif")
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype, "tiled": True}
    how = {"driver": "GTiff", "compress": "DEFLATE", "zlevel": 1, "predictor": 2, "num_threads": "ALL_CPUS"}
    if profile.get("photometric") == "PALETTE":
        how["predictor"] = 1
    given = {name: value for name, value in (how | shape | profile).items() if value is not None}
    with rasterio.open(part, "w", **given) as out:
        out.write(values)
        yield out
    part.replace(path)


def _scaled(low: float, high: float) -> str:
    """What a VRT says to make `low` 0 and `high` 255."""
    ratio = 255 / (high - low)
    return f"<ScaleOffset>{-low * ratio}</ScaleOffset><ScaleRatio>{ratio}</ScaleRatio>"


def _vrt(path: Path, bands: list[str]) -> Path:
    """A VRT of bytes beside `path`: its first band, treated as each of `bands` says."""
    with rasterio.open(path) as dataset:
        width, height, srs, place = dataset.width, dataset.height, dataset.crs, dataset.transform.to_gdal()
    colours = ("Red", "Green", "Blue") if len(bands) == 3 else ("Gray",)
    size = f'xOff="0" yOff="0" xSize="{width}" ySize="{height}"'
    inner = "".join(
        f'<VRTRasterBand dataType="Byte" band="{number}"><ColorInterp>{colour}</ColorInterp><ComplexSource>'
        f'<SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>1</SourceBand>'
        f"<SrcRect {size}/><DstRect {size}/>{said}</ComplexSource></VRTRasterBand>\n"
        for number, (said, colour) in enumerate(zip(bands, colours, strict=True), 1)
    )
    head = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{srs}</SRS>'
    corner = ", ".join(repr(float(number)) for number in place)
    target = path.with_suffix(".vrt")
    target.write_text(f"{head}<GeoTransform>{corner}</GeoTransform>\n{inner}</VRTDataset>\n")
    return target
