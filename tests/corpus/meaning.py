"""What a raster declares its pixels to mean, by plain arithmetic on what GDAL reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.transform import from_gcps

from tests.corpus.place import HALF, TILE, Numbers, Place, place_of

MARGIN = 8  # pixels around a tile from which it is halved
COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
INKS = (ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black)
OPAQUE = {"uint16": 65535.0, "int16": 32767.0, "uint32": 4294967295.0, "int32": 2147483647.0}  # of an alpha band

Tile = tuple[int, int, int]  # z, x, y


class TooLarge(Exception):
    """The raster has more pixels than the oracle may read."""


@dataclass(frozen=True)
class Meaning:
    """A raster's values `(bands, height, width)`, cover `(height, width)` 0 to 255, palette and place."""

    values: Numbers
    cover: Numbers
    dtype: np.dtype[Any]  # of the file
    palette: Numbers | None  # (entries, 4), for one band
    scaled: tuple[tuple[float, float], ...]  # scale and offset a band
    crs: CRS
    transform: Affine | None
    gcps: tuple[GroundControlPoint, ...]
    place: Place

    @property
    def halving(self) -> Resampling:
        """How layers halve: by a cubic kernel, but whole numbers of 32 bits by their mean, of which more are exact."""
        return Resampling.average if self.dtype in (np.int32, np.uint32) else Resampling.cubic

    def kept(self, values: Numbers) -> Numbers:
        """Warped values as the raster's own type can hold them."""
        if self.dtype.kind not in "ui":
            return values
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(values), limits.min, limits.max)

    @property
    def spans(self) -> list[tuple[float, float]]:
        """The lowest and the highest covered value of each band."""
        there = self.cover > 0
        return [(float(band[there].min()), float(band[there].max())) for band in self.values] if there.any() else []


def meaning_of(path: str, bands: tuple[int, ...], most: int) -> Meaning:
    """What the raster at `path` means; `bands` are those shown, empty for the colours that it names.

    Raises:
        TooLarge: it has more than `most` pixels.
    """
    with rasterio.open(path) as dataset:
        if dataset.width * dataset.height > most:
            raise TooLarge
        roles = list(dataset.colorinterp)
        alpha = roles.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in roles else 0
        shown = bands or _shown(roles)
        values = dataset.read(list(shown))
        cover = _declared(dataset, shown, alpha if alpha not in shown else 0)
        values = _colours(dataset, np.abs(values) if values.dtype.kind == "c" else values)
        if values.dtype.kind == "f":
            cover = np.where(np.isfinite(values).all(axis=0), cover, 0)
        gcps, crs = dataset.gcps
        placed = not dataset.transform.is_identity or not gcps
        transform = dataset.transform if placed else from_gcps(gcps)
        return Meaning(
            np.where(cover > 0, values, 0).astype(np.float32 if values.dtype.itemsize <= 2 else np.float64),
            cover.astype(np.float32),
            values.dtype,
            _palette(dataset, shown, roles),
            tuple((dataset.scales[band - 1], dataset.offsets[band - 1]) for band in shown),
            dataset.crs if placed else crs,
            dataset.transform if placed else None,
            tuple(gcps),
            place_of(dataset.crs if placed else crs, transform, cover),
        )


def _shown(roles: list[ColorInterp]) -> tuple[int, ...]:
    """The colours or inks that a raster names, else its first three bands, else its first."""
    for wanted in (COLOURS, INKS):
        if all(colour in roles for colour in wanted):
            return tuple(roles.index(colour) + 1 for colour in wanted)
    plain = tuple(band for band, role in enumerate(roles, 1) if role != ColorInterp.alpha) or (1,)
    return plain[:3] if len(plain) >= 3 else plain[:1]


def _colours(dataset: DatasetReader, values: Numbers) -> Numbers:
    """Values with 0 as black, and inks as colours."""
    said = dataset.tags(ns="IMAGE_STRUCTURE")
    if values.dtype.kind == "u" and said.get("MINISWHITE") == "YES":
        bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * values.dtype.itemsize)
        return np.asarray(values.dtype.type((1 << int(bits)) - 1) - values)
    if len(values) == len(INKS):
        light = 1 - values / np.iinfo(values.dtype).max
        return np.asarray(np.rint(light[:3] * light[3] * np.iinfo(values.dtype).max).astype(values.dtype))
    return values


def _declared(dataset: DatasetReader, shown: tuple[int, ...], alpha: int) -> Numbers:
    """The cover that is declared: by alpha, else by a mask, else by nodata values in all bands that have one."""
    if alpha:
        band = dataset.read(alpha).astype(np.float64)
        most = np.nanmax(band)  # a type has room for more than many files use
        full = 255.0 if 1 < most <= 255 else OPAQUE.get(dataset.dtypes[alpha - 1], 255.0)
        if dataset.dtypes[alpha - 1].startswith("float") and most <= 1:
            full = 1.0
        return np.asarray(np.clip(np.nan_to_num(band) * 255 / full, 0, 255))
    flags = {band: dataset.mask_flag_enums[band - 1] for band in shown}
    if MaskFlags.per_dataset in flags[shown[0]]:
        return np.where(dataset.read_masks(shown[0]) > 0, 255.0, 0.0)
    having = [band for band in shown if MaskFlags.nodata in flags[band]]
    if having and dataset.dtypes[shown[0] - 1].startswith("complex"):  # GDAL's masks forget the imaginary part
        return np.where(dataset.read(shown[0]) == dataset.nodatavals[shown[0] - 1], 0.0, 255.0)
    if having:
        return np.asarray(dataset.read_masks(having).max(axis=0).astype(np.float64))
    return np.full(dataset.shape, 255.0)


def _palette(dataset: DatasetReader, shown: tuple[int, ...], roles: list[ColorInterp]) -> Numbers | None:
    if len(shown) > 1 or roles[shown[0] - 1] != ColorInterp.palette:
        return None
    try:
        colours = dataset.colormap(shown[0])
    except ValueError:  # a palette without colours
        return None
    table = np.zeros((max(colours) + 1, 4))
    for value, colour in colours.items():
        table[value] = colour
    return table


def warped(meaning: Meaning, tile: Tile, below: int = 0) -> tuple[Numbers, Numbers]:
    """Values and cover of a tile, warped by GDAL, with a border of one pixel.

    A layer's pixels are warped at its own zoom, `below` zooms deeper, and halved by GDAL from there.
    """
    border = (1 << below) * (MARGIN if below else 1)
    values, cover = fine(meaning, tile, below, border)
    for _ in range(below):
        values, cover = _halved(meaning.kept(values), cover, meaning.halving)
    aside = (values.shape[1] - TILE) // 2 - 1
    inner = slice(aside, values.shape[1] - aside)
    return values[:, inner, inner], cover[inner, inner]


def fine(meaning: Meaning, tile: Tile, deeper: int, border: int) -> tuple[Numbers, Numbers]:
    """Values and cover of a tile, warped by GDAL `deeper` zooms deeper and with a border of such pixels.

    Classes are picked, all else is warped with a cubic kernel. Degrees are taken at any turn of the globe.
    """
    z, x, y = tile
    size = TILE << deeper
    metres = 2 * HALF / (size << z)
    left, top = x * size * metres - HALF - border * metres, HALF - y * size * metres + border * metres
    source = np.concatenate([meaning.values, meaning.cover[np.newaxis].astype(meaning.values.dtype)])
    side = size + 2 * border
    found = np.zeros((len(source), side, side), source.dtype)
    for turn in _turns(meaning, left, left + side * metres):
        place: dict[str, Any] = {"gcps": list(meaning.gcps)}
        if meaning.transform:
            place = {"src_transform": Affine.translation(turn, 0) @ meaning.transform}
        out = _warp(
            source,
            Affine(metres, 0, left, 0, -metres, top),
            side,
            Resampling.cubic if meaning.palette is None else Resampling.nearest,
            src_crs=meaning.crs,
            tolerance=0.01,  # source pixels
            **_sharp(meaning.place, metres),
            **place,
        )
        better = out[-1] > found[-1]
        found[:, better] = out[:, better]
    return found[:-1], found[-1]


def _turns(meaning: Meaning, left: float, right: float) -> list[int]:
    """The turns of the globe, degrees, by which a raster comes to lie between two sides, in Web Mercator metres."""
    if not meaning.transform or not meaning.crs.is_geographic:
        return [0]
    if meaning.crs.to_epsg() != 4326:  # other poles, meridians and units
        return [0, -360, 360]
    height, width = meaning.cover.shape
    corners = [(meaning.transform @ corner)[0] for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    west, east = left / HALF * 180, right / HALF * 180
    return [turn for turn in (0, -360, 360) if min(corners) + turn <= east and max(corners) + turn >= west]


def _sharp(place: Place, metres: float) -> dict[str, str]:
    """Warp options so that GDAL keeps its kernel as narrow as it is where pixels are no smaller than the grid's.

    It guesses the ratio from the window, which is wrong where that reaches beyond the raster.
    """
    sides = (("XSCALE", place.across), ("YSCALE", place.down))
    return {name: "1" for name, side in sides if side > 0.9 * metres}


def _halved(values: Numbers, cover: Numbers, kernel: Resampling) -> tuple[Numbers, Numbers]:
    """Half the size: values by GDAL's kernel, weighted by the cover; of that the mean."""
    source = np.concatenate([values, cover[np.newaxis]])
    plain = Affine(10, 0, 0, 0, -10, 0)  # anywhere; GDAL takes steps of 1 for no place
    out = _warp(
        source,
        Affine(20, 0, 0, 0, -20, 0),
        source.shape[1] // 2,
        kernel,
        src_crs="EPSG:3857",
        src_transform=plain,
    )
    return out[:-1], cover.reshape(len(cover) // 2, 2, -1, 2).mean(axis=(1, 3))


def _warp(source: Numbers, transform: Affine, side: int, kernel: Resampling, **place: Any) -> Numbers:
    """Bands, the last of them alpha, warped to a square in Web Mercator."""
    out = np.zeros((len(source), side, side), source.dtype)
    rasterio.warp.reproject(
        source,
        out,
        src_alpha=len(source),
        dst_alpha=len(source),
        dst_crs="EPSG:3857",
        dst_transform=transform,
        resampling=kernel,
        init_dest_nodata=False,
        INIT_DEST="0",
        SAMPLE_GRID="YES",
        **place,
    )
    return out
