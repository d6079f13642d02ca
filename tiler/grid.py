"""The XYZ grid in Web Mercator: zooms, bounds, tile ranges, blocks, resolutions.

Tiles are `mercantile.Tile`. Its fields run x, y, z while keys run z/x/y, so tiles are built by keyword.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import mercantile
from mercantile import Tile

from tiler.errors import GridError, ZoomOutside

LEAF = 8  # tiles per side of the smallest blocks
TILE = 256  # pixels per side of a tile at scale 1
MAX_ZOOM = 28  # a tile is then 0.15 m wide
RADIUS = 6378137.0  # metres, of the sphere of EPSG:3857
EXTENT = math.pi * RADIUS  # metres from the origin to each side of the square world
MAX_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))  # 85.0511, where the square world ends
EDGE = 1e-11  # degrees; bounds that pass a tile edge by less do not touch the next tile, as in mercantile

CENTIMETRE = 1e-7  # degrees
METRES = 1000  # too many for degrees, so coordinates from here on are probably metres
WIDEST = 300.0  # degrees, of a box across the antimeridian
EXAMPLE = "as in 5.9,45.8,10.5,47.8"
ORDERS = (  # of west, south, east and north among four numbers, and their description
    ((0, 3, 2, 1), "south and north are swapped"),
    ((1, 0, 3, 2), "latitudes and longitudes are swapped"),
    ((0, 2, 1, 3), "the order is W,E,S,N"),
    ((2, 1, 0, 3), "west and east are swapped"),
)

_ZOOMS = re.compile(r"(\d{1,2})(?:-(\d{1,2}))?")


def parse_zooms(text: str) -> tuple[int, ...]:
    """The zooms of a text such as `7`, `5-14` or `0-3,7,9-11`: ascending, without duplicates.

    Raises:
        GridError: the text has another form, a range runs backwards, or a zoom is above MAX_ZOOM.
    """
    zooms: set[int] = set()
    for part in text.split(","):
        match = _ZOOMS.fullmatch(part.strip())
        if not match:
            raise GridError(f"{text!r} is not a zoom range: write 7, 5-14 or 0-3,7,9-11")
        low = int(match[1])
        high = int(match[2]) if match[2] else low
        if low > high:
            raise GridError(f"zoom range {part.strip()} runs backwards: write {high}-{low}")
        if high > MAX_ZOOM:
            raise GridError(f"zoom {high} is too high: the highest is {MAX_ZOOM}")
        zooms.update(range(low, high + 1))
    return tuple(sorted(zooms))


def format_zooms(zooms: tuple[int, ...]) -> str:
    """The inverse of `parse_zooms`, with runs as ranges: (0, 1, 2, 7) is `0-2,7`."""
    runs: list[list[int]] = []
    for zoom in zooms:
        if runs and zoom == runs[-1][1] + 1:
            runs[-1][1] = zoom
        else:
            runs.append([zoom, zoom])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def check_zooms(layer: str, zooms: Sequence[int], minzoom: int, maxzoom: int, *, ingested: bool = True) -> None:
    """Reject zooms outside a layer's range. `ingested` is false for a layer not made yet.

    Raises:
        ZoomOutside: one of `zooms` is outside.
    """
    outside = [z for z in zooms if not minzoom <= z <= maxzoom]
    if outside:
        raise ZoomOutside(layer, outside, minzoom, maxzoom, ingested=ingested)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A box of longitudes and latitudes in degrees; west > east crosses the antimeridian.

    Raises:
        GridError: an edge is off the globe or not a number, or the box has no height or width.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(edge) for edge in self):
            raise GridError(f"bounds {self}: every edge must be a finite number")
        if not (-180 <= self.west <= 180 and -180 <= self.east <= 180):
            raise GridError(f"bounds {self}: longitudes run from -180 to 180")
        if not -90 <= self.south < self.north <= 90:
            raise GridError(f"bounds {self}: south must lie below north, both within -90 to 90")
        if self.west == self.east or (self.west, self.east) == (180, -180):
            raise GridError(f"bounds {self}: west equals east, so the box is empty")

    def __iter__(self) -> Iterator[float]:
        return iter((self.west, self.south, self.east, self.north))

    def __str__(self) -> str:
        return ",".join(f"{edge:.10g}" for edge in self)

    @property
    def rounded(self) -> str:
        """`W,S,E,N` in degrees with up to 7 decimals, a centimetre: short, and precise enough to parse again."""
        return ",".join(f"{edge:.7f}".rstrip("0").rstrip(".") for edge in self)

    @classmethod
    def parse(cls, text: str) -> Bounds:
        """Bounds from `W,S,E,N` in degrees."""
        return cls(*_edges(text))

    @classmethod
    def typed(cls, west: float, south: float, east: float, north: float) -> Bounds:
        """Bounds that a user gave; the order and the units of invalid ones are diagnosed.

        Raises:
            GridError: they are invalid.
        """
        edges = (west, south, east, north)
        if max(map(abs, edges)) >= METRES and all(map(math.isfinite, edges)):
            text = ",".join(f"{edge:.10g}" for edge in edges)
            raise GridError(f"bounds {text} look like metres: write W,S,E,N in degrees, {EXAMPLE}")
        try:
            return cls(*edges)
        except GridError as error:
            other = next(iter(reordered(edges)), None)
            if other is None:
                raise
            raise GridError(f"{error}; if {other[1]}, write {other[0]}") from None

    @property
    def crosses(self) -> bool:
        """Whether the box crosses the antimeridian."""
        return self.west > self.east

    def overlaps(self, other: Bounds) -> bool:
        """Whether the two boxes share more than an edge."""
        if not (self.south < other.north and other.south < self.north):
            return False
        return any(one[0] < two[1] and two[0] < one[1] for one in self.halves() for two in other.halves())

    def halves(self) -> tuple[tuple[float, float], ...]:
        """West and east of each part that does not cross the antimeridian."""
        return ((self.west, 180.0), (-180.0, self.east)) if self.crosses else ((self.west, self.east),)

    @property
    def plain(self) -> Bounds:
        """The box, widened to all longitudes if it crosses the antimeridian, for formats without such boxes."""
        return Bounds(-180.0, self.south, 180.0, self.north) if self.crosses else self

    @property
    def width(self) -> float:
        """Degrees from west to east; 360 for the whole globe."""
        return (self.east - self.west) % 360 or 360.0

    @property
    def center(self) -> tuple[float, float]:
        """Longitude and latitude of the middle, degrees."""
        longitude = (self.west + self.width / 2 + 180) % 360 - 180
        return longitude, (self.south + self.north) / 2


def parse_box(text: str) -> Bounds:
    """`Bounds.typed` of `W,S,E,N`.

    Raises:
        GridError: the text has another form, or the box is invalid.
    """
    return Bounds.typed(*_edges(text))


def _edges(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(edge) for edge in text.split(","))
    except ValueError:
        raise GridError(f"{text!r} is not a bounding box: write W,S,E,N in degrees, {EXAMPLE}") from None
    return west, south, east, north


def reordered(edges: Sequence[float]) -> Iterator[tuple[Bounds, str]]:
    """The boxes that four numbers are in other orders than W,S,E,N, and what was mistaken then."""
    for order, mistake in ORDERS:
        west, south, east, north = (edges[number] for number in order)
        if west < east:
            with suppress(GridError):
                yield Bounds(west, south, east, north), mistake


@dataclass(frozen=True, slots=True)
class TileRange:
    """The tiles x0 <= x < x1, y0 <= y < y1 of one zoom."""

    z: int
    x0: int
    y0: int
    x1: int
    y1: int

    def __len__(self) -> int:
        return max(0, self.x1 - self.x0) * max(0, self.y1 - self.y0)

    def __contains__(self, tile: object) -> bool:
        return (
            isinstance(tile, Tile) and tile.z == self.z and self.x0 <= tile.x < self.x1 and self.y0 <= tile.y < self.y1
        )

    def __and__(self, other: TileRange) -> TileRange:
        return TileRange(
            self.z,
            max(self.x0, other.x0),
            max(self.y0, other.y0),
            min(self.x1, other.x1),
            min(self.y1, other.y1),
        )


def tile_ranges(bounds: Bounds, z: int) -> tuple[TileRange, ...]:
    """The tiles of zoom `z` that `bounds` touch: one range, or two if they cross the antimeridian.

    An edge on a tile edge does not touch the tile beyond it. Latitudes are clamped to the square world. The rule
    is that of `mercantile.tiles`, the oracle in the tests.
    """
    north = min(max(bounds.north, -MAX_LATITUDE), MAX_LATITUDE)
    south = min(max(bounds.south, -MAX_LATITUDE), MAX_LATITUDE)
    ranges = []
    for west, east in bounds.halves():
        if east - west <= EDGE:  # a half that only touches the antimeridian
            continue
        first = mercantile.tile(west, north, z)
        last = mercantile.tile(east - EDGE, south + EDGE, z)
        ranges.append(TileRange(z, first.x, first.y, max(first.x, last.x) + 1, max(first.y, last.y) + 1))
    if len(ranges) == 2 and ranges[1].x1 > ranges[0].x0:  # both halves touch one column: count it once
        ranges = [TileRange(z, 0, ranges[0].y0, 2**z, ranges[0].y1)]
    return tuple(ranges)


def fills_tiles(bounds: Bounds, z: int) -> bool:
    """Whether `bounds` fill all tiles of zoom `z` that they touch, to a centimetre, and so those of higher zooms."""
    ranges = tile_ranges(bounds, z)
    if not ranges:
        return False
    first, last = ranges[0], ranges[-1]
    west, _, _, north = mercantile.bounds(Tile(x=first.x0, y=first.y0, z=z))
    _, south, east, _ = mercantile.bounds(Tile(x=last.x1 - 1, y=last.y1 - 1, z=z))
    beside: float = 0.0 if bounds.width == 360 else max(bounds.west - west, east - bounds.east)
    gap: float = max(beside, north - bounds.north, bounds.south - south)
    return gap <= CENTIMETRE


def parse_place(text: str) -> tuple[float, float]:
    """Longitude and latitude, degrees, from `LON,LAT`.

    Raises:
        GridError: the text has another form, or the place is off the globe.
    """
    try:
        longitude, latitude = (float(part) for part in text.split(","))
    except ValueError:
        raise GridError(f"{text!r} is not a place: write LON,LAT in degrees, as in 7.66,45.98") from None
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise GridError(f"place {text}: longitudes run from -180 to 180, latitudes from -90 to 90")
    return longitude, latitude


def resolution(z: int) -> float:
    """Mercator metres per pixel of a 256-pixel tile at zoom `z`."""
    return 2 * EXTENT / (TILE * 2.0**z)


def zoom_for(metres: float) -> int:
    """The lowest zoom whose pixels are no larger than `metres` (Mercator metres per pixel).

    ceil(log2(2 pi 6378137 / (metres * 256))), with 1% tolerance so that a raster on the grid of a zoom keeps
    that zoom in spite of rounding.
    """
    exact = math.log2(2 * EXTENT / (metres * TILE))
    return min(max(math.ceil(exact - math.log2(1.01)), 0), MAX_ZOOM)


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """A square of tiles at one zoom, rendered in one read.

    Where the grid is narrower than `size`, the block is the whole grid.

    Raises:
        GridError: the corner is off the grid or not aligned to a block boundary.
    """

    z: int
    x: int  # column of the north-west tile
    y: int
    size: int = LEAF  # tiles per side

    def __post_init__(self) -> None:
        if not 0 <= self.z <= MAX_ZOOM:
            raise GridError(f"block {self}: zooms run from 0 to {MAX_ZOOM}")
        if self.size < LEAF or self.size & (self.size - 1):
            raise GridError(f"block {self}: the size must be {LEAF} or a larger power of two")
        if not (0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z):
            raise GridError(f"block {self} is off the grid of zoom {self.z}")
        if self.x % self.side or self.y % self.side:
            raise GridError(f"block {self} is not aligned to a block boundary")

    def __str__(self) -> str:
        return f"{self.z}-{self.x}-{self.y}" + (f"-{self.size}" if self.size != LEAF else "")

    @classmethod
    def of(cls, tile: Tile, size: int = LEAF) -> Block:
        """The block that contains `tile`."""
        side = min(size, 2**tile.z)
        return cls(tile.z, tile.x // side * side, tile.y // side * side, size)

    @property
    def side(self) -> int:
        """Tiles per side that are on the grid."""
        return min(self.size, 1 << self.z)

    @property
    def range(self) -> TileRange:
        """The block's tiles as a range."""
        return TileRange(self.z, self.x, self.y, self.x + self.side, self.y + self.side)

    @property
    def full(self) -> int:
        """The mask of every tile of an 8 x 8 block."""
        row = (1 << self.side) - 1
        return sum(row << (8 * dy) for dy in range(self.side))

    def parts(self) -> Iterator[Block]:
        """The blocks that make up a larger block: an eighth of its size, at least 8 x 8 tiles."""
        size = max(LEAF, self.size // LEAF)
        for y in range(self.y, self.y + self.side, size):
            for x in range(self.x, self.x + self.side, size):
                yield Block(self.z, x, y, size)

    def bit(self, tile: Tile) -> int:
        """The bit of `tile` in this 8 x 8 block's mask: rows of eight, the north-west tile lowest."""
        return 1 << int(8 * (tile.y - self.y) + (tile.x - self.x))

    def tiles(self, mask: int | None = None) -> Iterator[Tile]:
        """The block's tiles row by row; with `mask`, only those with their bit set (8 x 8 blocks)."""
        for dy in range(self.side):
            for dx in range(self.side):
                if mask is None or mask >> (8 * dy + dx) & 1:
                    yield Tile(x=self.x + dx, y=self.y + dy, z=self.z)


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels on the grid of zoom `z`, 256 pixels per tile, (x, y) its north-west pixel.

    Columns may pass the antimeridian: pixel x + 256 * 2**z is the same place as pixel x.
    """

    z: int
    x: int
    y: int
    width: int
    height: int

    @property
    def pixel(self) -> float:
        """Mercator metres per pixel."""
        return resolution(self.z)

    @property
    def corner(self) -> tuple[float, float]:
        """The north-west corner in metres of EPSG:3857."""
        return self.x * self.pixel - EXTENT, EXTENT - self.y * self.pixel


def grown(window: Window, margin: int) -> Window:
    """The window with a margin of pixels on each side; it may pass the sides of the world."""
    return Window(window.z, window.x - margin, window.y - margin, window.width + 2 * margin, window.height + 2 * margin)
