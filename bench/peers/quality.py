"""How near the tiles are to what the source says, so that nobody wins by blurring.

The reference of a tile is warped for that tile alone from the full resolution, every pixel's place computed exactly, in
floats, with the kernel that all tools were asked for. Where a pixel of the tile is larger than one of the source, the
kernel is stretched by as much, in strips, for in Mercator it depends on the latitude.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from mercantile import Tile, xy_bounds
from PIL import Image
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform
from tiny import sized

from peers.sources import WEBP_QUALITY, Source
from peers.written import Written

Pixels = npt.NDArray[np.uint8]  # (256, 256, 4), RGBA

SAMPLE = sized(60, 4)  # tiles, half of them of the highest zoom
SIZE, STRIP, MARGIN = 256, 32, 8  # pixels
FEW = 1000  # pixels of a tile that are too few to judge it by
NOTHING = 1e-6  # pixels that a place may be off; WarpedVRT fails with 0
EXACT = 99.0  # dB, said of equal pictures


@dataclass(frozen=True)
class Quality:
    """Medians over sampled tiles, at the highest zoom and below.

    `like` is a PSNR in dB or, of a palette, the share of pixels of the same colour. `sharp` is the energy of the
    gradients relative to the reference: below 1 is blurred. `alpha` is the share of pixels, of all tiles, that are
    transparent and should not be, or the reverse. `pillow` is the bytes relative to those of Pillow's encoder with its
    defaults, for the same pictures.
    """

    like: tuple[float, float]
    sharp: tuple[float, float]
    alpha: float
    pillow: float


def sample(source: Source) -> list[Tile]:
    """The tiles that are judged: always the same."""
    dice = np.random.default_rng(6)

    def some(z: int, most: int) -> list[Tile]:
        tiles = source.tiles(z)
        picked = dice.choice(len(tiles), min(most, len(tiles)), replace=False)
        return [tiles[each] for each in sorted(picked.tolist())]

    tiles: list[Tile] = []
    for z in range(source.minzoom, source.maxzoom):
        left = SAMPLE // 2 - len(tiles)
        tiles += some(z, left // (source.maxzoom - z))
    return tiles + some(source.maxzoom, SAMPLE // 2)


def reference(source: Source, tile: Tile) -> Pixels:
    """What `tile` should look like."""
    with rasterio.open(source.path) as dataset:
        strips = [_strip(dataset, tile, row, source.resampling) for row in range(0, SIZE, STRIP)]
        values = np.concatenate(strips, axis=1)
        picture = np.full((SIZE, SIZE, 4), 255, np.uint8)
        if source.palette:
            table = np.array([dataset.colormap(1)[number] for number in range(256)], np.uint8)
            picture[..., :3] = table[values[0].astype(np.uint8), :3]
        else:
            low, high = source.rescale or (0, 255)
            colours = np.rint(np.clip((values[:-1] - low) * 255 / (high - low), 0, 255))
            picture[..., :3] = np.moveaxis(colours, 0, -1)  # one band is grey
        picture[..., 3] = np.where(values[-1] > 127, 255, 0)
    return picture


def _strip(dataset: Any, tile: Tile, row: int, resampling: str) -> npt.NDArray[np.float32]:
    """Some rows of a tile, `(bands, STRIP, SIZE)`, alpha last."""
    west, _, east, north = xy_bounds(tile)
    metres = (east - west) / SIZE
    place = Affine(metres, 0, west - MARGIN * metres, 0, -metres, north - (row - MARGIN) * metres)
    across, down = _scale(dataset, (west + east) / 2, north - (row + STRIP / 2) * metres, metres)
    with WarpedVRT(
        dataset,
        crs="EPSG:3857",
        transform=place,
        width=SIZE + 2 * MARGIN,
        height=STRIP + 2 * MARGIN,
        resampling=Resampling[resampling],
        dtype="float32",
        add_alpha=True,
        tolerance=NOTHING,
        XSCALE=str(across),
        YSCALE=str(down),
    ) as warped:
        values: npt.NDArray[np.float32] = warped.read()
    return values[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def _scale(dataset: Any, x: float, y: float, metres: float) -> tuple[float, float]:
    """How many pixels of a tile a pixel of the source covers at a place, at most 1: across and down."""
    points = transform("EPSG:3857", dataset.crs, [x, x + metres, x], [y, y, y - metres])
    at, right, below = (~dataset.transform @ point for point in zip(*points, strict=True))
    return 1 / max(1, abs(right[0] - at[0])), 1 / max(1, abs(below[1] - at[1]))


def judge(source: Source, references: dict[Tile, Pixels], written: Written) -> Quality:
    """The quality of the tiles that a tool made of `source`."""
    like: tuple[list[float], list[float]] = [], []
    sharp: tuple[list[float], list[float]] = [], []
    wrong, ours, pillows = 0, 0, 0
    for tile, wanted in references.items():
        data = written.get(tile)
        made = np.zeros_like(wanted) if data is None else _decoded(data)
        if data is not None:
            ours, pillows = ours + len(data), pillows + _by_pillow(data, source)
        solid, seen = wanted[..., 3] > 127, made[..., 3] > 127
        wrong += int((solid != seen).sum())
        both = solid & seen
        if both.sum() < FEW:
            continue
        low = tile.z < source.maxzoom
        like[low].append(_same(made, wanted, both) if source.palette else _psnr(made, wanted, both))
        energy = _energy(wanted, both)
        if energy:
            sharp[low].append(_energy(made, both) / energy)
    pixels = len(references) * SIZE * SIZE
    return Quality(_medians(like), _medians(sharp), wrong / pixels, ours / pillows if pillows else math.nan)


def _medians(several: tuple[list[float], list[float]]) -> tuple[float, float]:
    top, low = (statistics.median(each) if each else math.nan for each in several)
    return top, low


def _decoded(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def _by_pillow(data: bytes, source: Source) -> int:
    """Bytes of a tile encoded by Pillow, as plainly as its pixels allow; a palette stays one."""
    picture, out = Image.open(io.BytesIO(data)), io.BytesIO()
    if not source.palette:
        picture = picture.convert("RGBA")
        if picture.getextrema()[3][0] == 255:
            picture = picture.convert("L" if source.rescale else "RGB")
        elif source.rescale:  # heights
            picture = picture.convert("LA")
    picture.save(out, source.format.upper(), quality=WEBP_QUALITY)  # PNG has none
    return len(out.getvalue())


def _psnr(made: Pixels, wanted: Pixels, where: npt.NDArray[np.bool_]) -> float:
    error = float(np.mean((made[where, :3].astype(float) - wanted[where, :3]) ** 2))
    return 10 * math.log10(255**2 / error) if error else EXACT


def _same(made: Pixels, wanted: Pixels, where: npt.NDArray[np.bool_]) -> float:
    return float((made[where, :3] == wanted[where, :3]).all(axis=-1).mean())


def _energy(picture: Pixels, where: npt.NDArray[np.bool_]) -> float:
    """The sum of the squared steps between neighbours, both of them in `where`."""
    return sum(float(((one - other) ** 2).sum()) for one, other in _neighbours(picture, where))


def _neighbours(picture: Pixels, where: npt.NDArray[np.bool_]) -> Iterator[tuple[Any, Any]]:
    colours = picture[..., :3].astype(float)
    across, down = where[:, 1:] & where[:, :-1], where[1:] & where[:-1]
    yield colours[:, 1:][across], colours[:, :-1][across]
    yield colours[1:][down], colours[:-1][down]
