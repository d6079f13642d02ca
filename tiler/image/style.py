"""Styles: from values to pixels, by rescaling, palettes, colour ramps, or heights encoded as colours."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.choices import TERRAINS, Terrain
from tiler.errors import BadOption
from tiler.image.light import DEFAULT, Light

ROWS = 64  # rows of a block to style at once: twice as fast while they fit into the processor's cache

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]
Indexes = npt.NDArray[np.intp]
Area = tuple[Values, Pixels | None]  # values (bands, height, width), and the mask
Rgba = tuple[int, int, int, int]
Range = tuple[float, float]
Meaning = tuple[float, float]  # scale and offset
Stop = tuple[float, int, int, int, int]  # a value and its colour

KERNELS: dict[Terrain, Range] = {"hillshade": (0.0, 255.0), "slope": (0.0, 90.0)}  # with the range of their values
ENCODINGS: dict[Terrain, tuple[float, int]] = {  # the height encoded as 0, and steps per metre
    "terrain-rgb": (-10000.0, 10),  # Mapbox: h = -10000 + (R * 65536 + G * 256 + B) * 0.1
    "terrarium": (-32768.0, 256),  # Tilezen: h = R * 256 + G + B / 256 - 32768
}
REACH: dict[Terrain, int] = {
    "hillshade": 1,
    "slope": 1,
    "relief": 1,
    "contours": 3,
}  # pixels on each side that it reads
PLAIN: Meaning = (1.0, 0.0)
HIGHEST = (1 << 24) - 1  # largest number in three bytes
CELLS, TURNS = 1 << 14, 8  # of a ramp: the cells of its lookup, and the most edges to compare within one


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture of a tile or block.

    `pixels` is `(height, width, channels)` uint8, channels 1 (grey, or an index into `palette`) or 3 (RGB).
    `mask` is `(height, width)` uint8, 0 transparent to 255 opaque, or None if all is opaque.
    `palette` is `(256, 4)` uint8 RGBA, or None. A `solid` picture, which has no palette, is drawn opaque despite its
    mask, unless all of it is transparent.
    """

    pixels: Pixels
    mask: Pixels | None = None
    palette: Pixels | None = None
    solid: bool = False

    def cut(self, row: int, column: int, size: int) -> Picture:
        """The square of `size` pixels whose north-west pixel is (row, column)."""
        rows, columns = slice(row, row + size), slice(column, column + size)
        mask = None if self.mask is None else self.mask[rows, columns]
        return Picture(self.pixels[rows, columns], mask, self.palette, self.solid)


@dataclass(frozen=True, slots=True)
class Style:
    """The mapping of values to colours.

    `rescale` holds (low, high) per band, stretched linearly to 0-255; empty means that values are 0-255 already.
    `palette` holds RGBA for the values 0, 1, 2, ...; other values are transparent. `colours` holds 256 RGBA for one
    rescaled band. `stops` are values of one band with colours, ascending, linear between two, constant beyond the first
    and the last; of two stops at one value, the first applies below and at it. `terrain` converts heights in metres
    before all of these: to a kernel's values, or to colours that encode them; relief has the colours of its heights,
    contours have one. `light` is that of shaded relief. `intervals` are the metres between contours at the zooms
    0, 1, 2, ...; the last one also applies above. `meant` is (scale, offset) per band:
    everything else applies to stored values times scale plus offset. It is empty if values are stored unscaled.

    Raises:
        BadOption: a range is empty, or two settings exclude each other.
    """

    rescale: tuple[Range, ...] = ()
    palette: tuple[Rgba, ...] = ()
    colours: tuple[Rgba, ...] = ()
    stops: tuple[Stop, ...] = ()
    terrain: Terrain = ""
    meant: tuple[Meaning, ...] = ()
    light: Light = DEFAULT
    intervals: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for low, high in self.rescale:
            if not low < high or math.isinf(low) or math.isinf(high):
                raise BadOption(f"rescale {low:g},{high:g}: the first value must be below the second, and both finite")
        if self.palette and (self.colours or self.stops or self.terrain):
            raise BadOption("a palette has its own colours, and no heights: drop --style and --colormap")
        if self.rescale and self.palette:
            raise BadOption("a palette gives each value its colour: drop --rescale")
        if self.rescale and self.stops:
            raise BadOption("the colormap file gives each value its colour: drop --rescale")
        if self.encoding and (self.rescale or self.colours or self.stops):
            raise BadOption(f"--style {self.terrain} encodes unchanged heights: drop --rescale and --colormap")
        if self.colours and (len(self.colours), len(self.rescale)) != (256, 1):
            raise BadOption("a colormap needs 256 colours and one range")

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Style:
        """A style from its fields in JSON; earlier versions wrote fewer.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or invalid.
        """
        fields = {"colours": [], "stops": [], "terrain": "", "meant": [], "light": {}, "intervals": [], **fields}
        lists = {name: tuple(map(tuple, fields[name])) for name in ("rescale", "palette", "colours", "stops", "meant")}
        if fields["terrain"] not in ("", *TERRAINS):
            raise ValueError(f"unknown style {fields['terrain']}")
        if fields["terrain"] == "contours" and not fields["intervals"]:
            raise ValueError("contours without intervals")
        light, intervals = Light(**fields["light"]), tuple(map(float, fields["intervals"]))
        return cls(**lists, terrain=fields["terrain"], light=light, intervals=intervals)

    def to_json(self) -> dict[str, Any]:
        """The JSON form. Earlier versions do not know `light` and `intervals`, so they are absent unless needed."""
        fields = asdict(self)
        if self.light == DEFAULT:
            del fields["light"]
        if not self.intervals:
            del fields["intervals"]
        return fields

    @property
    def reach(self) -> int:
        """The pixels on each side of a pixel that its colour depends on."""
        return REACH.get(self.terrain, 0)

    def interval(self, z: int) -> float:
        """The metres between contours at zoom `z`."""
        return self.intervals[min(z, len(self.intervals) - 1)]

    @property
    def encoding(self) -> tuple[float, int] | None:
        """The height encoded as 0 and the steps per metre, if colours encode heights; else None."""
        return ENCODINGS.get(self.terrain)

    @property
    def ground(self) -> tuple[int, ...] | None:
        """The RGB of height 0, for transparent pixels of encoded heights; None for other styles."""
        if not self.encoding:
            return None
        return tuple(_encoded(np.zeros((1, 1), np.float32), None, *self.encoding)[0, 0].tolist())

    def meaning(self, values: Values) -> Values:
        """Scaled values of stored `values`, bands first."""
        if not self.meant:
            return values
        return np.stack([meant(band, each) for band, each in zip(values, self.meant, strict=True)])

    def apply(self, values: Values, mask: Pixels | None) -> Picture:
        """The picture of scaled `values`; see `meaning`.

        `values` is `(bands, height, width)` of any real dtype, bands 1 or 3; `mask` is `(height, width)`
        uint8, 0 transparent to 255 opaque, or None if all is valid.
        """
        if self.palette:
            return _indexed(values[0], mask, self.palette)
        if self.stops:
            return _along(values[0], mask, self.stops)
        if self.encoding:
            return Picture(_encoded(values[0], mask, *self.encoding), mask, solid=True)
        if not self.rescale:
            return Picture(np.moveaxis(values, 0, -1), mask)
        pixels = np.empty((*values.shape[1:], values.shape[0]), np.uint8)
        for top in range(0, len(pixels), ROWS):
            rows = slice(top, top + ROWS)
            for band, (low, high) in enumerate(self.rescale):
                pixels[rows, :, band] = _stretched(values[band, rows], low, high)
        return Picture(pixels, mask, _table(self.colours) if self.colours else None)


def meant(values: Values, meaning: Meaning) -> Values:
    """Stored `values` times scale plus offset; the same array if that changes nothing."""
    scale, offset = meaning
    return values if meaning == PLAIN else values.astype(np.float64) * scale + offset


def _few(dtype: np.dtype[Any]) -> bool:
    """Whether a table for all values of a dtype is small."""
    return dtype.kind in "ui" and dtype.itemsize <= 2


def _unsigned(values: Values) -> Values:
    """The index of each value in such a table."""
    return values.view(f"u{values.dtype.itemsize}")


def _every(dtype: str) -> Values:
    """Every value of a 1 or 2 byte integer, in the order of its unsigned view."""
    kind = np.dtype(dtype)
    return np.arange(256**kind.itemsize, dtype=f"u{kind.itemsize}").view(kind)


def _stretched(values: Values, low: float, high: float) -> Pixels:
    """`values` rescaled from low-high to 0-255, rounded to the nearest step; same shape, uint8."""
    if _few(values.dtype):
        return _lookup(values.dtype.str, low, high).take(_unsigned(values))
    narrow = values.dtype == np.float32 and high - low < float(np.finfo(np.float32).max)
    return _steps(values if narrow else values.astype(np.float64), low, high)


def _steps(values: npt.NDArray[np.floating[Any]], low: float, high: float) -> Pixels:
    scaled = (np.clip(values, low, high) - low) * (255 / (high - low))
    steps: Pixels = np.rint(scaled).astype(np.uint8)
    return steps


@lru_cache(maxsize=16)
def _lookup(dtype: str, low: float, high: float) -> Pixels:
    """The rescaled value of every 1 or 2 byte integer."""
    return _steps(_every(dtype).astype(np.float64), low, high)


def _indexed(band: Values, mask: Pixels | None, palette: tuple[Rgba, ...]) -> Picture:
    """`band` as indexes into the palette, or as RGB for more than 256 colours; other values are transparent."""
    if len(palette) > 256:
        table = np.array([*palette, (0, 0, 0, 0)], np.uint8)
        inside = (band >= 0) & (band < len(palette))
        colours = table[np.where(inside, band, len(palette)).astype(np.intp)]
        cover = colours[..., 3]
        return Picture(colours[..., :3], cover if mask is None else np.minimum(mask, cover))
    if band.dtype != np.uint8:
        known = (band >= 0) & (band < 256)
        if not known.all():
            mask = np.where(known, np.uint8(255) if mask is None else mask, np.uint8(0))
        band = np.where(known, band, 0).astype(np.uint8)
    return Picture(band[..., np.newaxis], mask, _table(palette))


@lru_cache(maxsize=16)
def _table(palette: tuple[Rgba, ...]) -> Pixels:
    table = np.zeros((256, 4), np.uint8)
    table[: len(palette)] = palette
    return table


def _along(band: Values, mask: Pixels | None, stops: tuple[Stop, ...]) -> Picture:
    """The colours of `band` along a ramp, as indexes into a palette if 256 colours suffice."""
    ramp = _ramp(stops)
    if band.dtype.itemsize == 1:
        return Picture(_unsigned(band)[..., np.newaxis], mask, ramp.table.take(_indexes(band.dtype.str, stops), axis=0))
    indexed = len(ramp.table) <= 256
    kept = np.arange(len(ramp.table), dtype=np.uint8)[:, np.newaxis] if indexed else ramp.table[:, :3].copy()
    alpha = ramp.table[:, 3].copy()
    pixels = np.empty((*band.shape, kept.shape[1]), np.uint8)
    cover = None if indexed or alpha.min() == 255 else np.empty(band.shape, np.uint8)
    for top in range(0, len(band), ROWS):
        part = band[top : top + ROWS]
        known = _few(band.dtype)
        indexes = _indexes(band.dtype.str, stops).take(_unsigned(part)) if known else ramp.indexes(part)
        kept.take(indexes, axis=0, out=pixels[top : top + ROWS], mode="clip")
        if cover is not None:
            alpha.take(indexes, out=cover[top : top + ROWS], mode="clip")
    if indexed:
        return Picture(pixels, mask, np.pad(ramp.table, ((0, 256 - len(ramp.table)), (0, 0))))
    return Picture(pixels, cover if mask is None else mask if cover is None else np.minimum(mask, cover))


@dataclass(frozen=True, slots=True)
class _Ramp:
    """The values at which a ramp's colour changes, `edges`, and the colours between them, `table`, `(edges + 1, 4)`.

    For lookups, the range is divided into CELLS; `base` counts the edges before the cell that precedes each, which
    leaves at most `turns` edges to compare, allowing for rounding.
    """

    edges: npt.NDArray[np.float64]
    table: Pixels
    base: Indexes
    turns: int

    @classmethod
    def of(cls, edges: npt.NDArray[np.float64], table: Pixels) -> _Ramp:
        """A ramp with its lookup cells."""
        if edges.size < 2 or edges[0] == edges[-1]:
            return cls(edges, table, np.zeros(1, np.intp), 0)
        before = np.searchsorted(edges, np.linspace(edges[0], edges[-1], CELLS + 1))
        base = np.concatenate((np.zeros(1, np.intp), before[:-1]))
        beyond = np.concatenate((before[2:], np.full(2, edges.size)))
        return cls(edges, table, base, int((beyond - base).max()))

    def indexes(self, values: Values) -> Indexes:
        """The index in the table of each value's colour; same shape."""
        floats = values if values.dtype == np.float32 else values.astype(np.float64)
        ends = np.append(self.edges, np.inf).astype(floats.dtype)
        if not 0 < self.turns <= TURNS:
            return np.searchsorted(ends, floats)
        low, high = self.edges[0], self.edges[-1]
        cells = (np.clip(floats, low, high) - low) * (CELLS / (high - low))
        indexes: Indexes = self.base.take(cells.astype(np.intp))
        for _ in range(self.turns):
            indexes += floats > ends.take(indexes)
        return indexes


@lru_cache(maxsize=16)
def _indexes(dtype: str, stops: tuple[Stop, ...]) -> Indexes:
    """The index in a ramp's table of every 1 or 2 byte integer."""
    return np.searchsorted(_ramp(stops).edges, _every(dtype).astype(np.float64))


@lru_cache(maxsize=16)
def _ramp(stops: tuple[Stop, ...]) -> _Ramp:
    """The ramp through `stops`, with colours rounded to 8 bits: each channel changes halfway between two levels."""
    edges: list[npt.NDArray[np.float64]] = []
    table = [np.array([stops[0][1:]], np.float64)]
    for (low, *first), (high, *last) in pairwise(stops):
        start, rise = np.array(first, np.float64), np.array(last, np.float64) - first
        halves = [
            (np.arange(min(a, b) + 0.5, max(a, b)) - a) / (b - a) for a, b in zip(first, last, strict=True) if a != b
        ]
        if not halves:
            continue
        shares = np.unique(np.concatenate(halves)) if high > low else np.zeros(1)
        middles = np.append((shares[1:] + shares[:-1]) / 2, 1.0)[:, np.newaxis]
        edges.append(low + shares * (high - low))
        table.append(np.rint(start + middles * rise))
    return _Ramp.of(np.concatenate(edges or [np.zeros(0)]), np.concatenate(table).astype(np.uint8))


def _encoded(band: Values, mask: Pixels | None, base: float, steps: int) -> Pixels:
    """Heights as RGB, `(height, width, 3)`: steps above `base`, rounded, as a number of three bytes.

    Where `mask` is 0 the height is 0, because maps that read heights ignore transparency.
    """
    pixels = np.empty((*band.shape, 3), np.uint8)
    for top in range(0, len(band), ROWS):
        rows = slice(top, top + ROWS)
        heights = band[rows].astype(np.float64)  # single precision is coarser than a step
        if mask is not None:
            heights[mask[rows] == 0] = 0
        codes = np.clip(np.rint((heights - base) * steps), 0, HIGHEST).astype("<u4")
        octets = codes.view(np.uint8).reshape(*codes.shape, 4)
        for channel in range(3):  # twice as fast as a copy of the reversed axis
            pixels[rows, :, channel] = octets[..., 2 - channel]
    return pixels
