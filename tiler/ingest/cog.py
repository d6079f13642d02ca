"""Write a cloud-optimized GeoTIFF from compressed blocks.

GDAL's COG driver writes from one process, after all pixels are available. Here many processes warp and compress blocks
into spools, and `assemble` puts header and blocks in order: all image directories first, then the data from the
smallest overview to the base, so that any reader needs one request for the header. Empty blocks are omitted (offset
and size 0). Written as BigTIFF (TIFF 6.0; the BigTIFF design of libtiff; OGC
GeoTIFF 1.1), Zstandard with a predictor, masks of 8 bits so that soft edges stay soft.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from tiler.grid import TILE
from tiler.image.style import Pixels, Rgba, Values

LEVEL = 1  # of Zstandard
FLOATS_LEVEL = -1  # for floats, whose bytes hardly repeat: 1.45 times as fast, and as small
HEADER = 16  # bytes of a BigTIFF header

SHORT, LONG, DOUBLE, LONG8 = 3, 4, 12, 16
_SIZES = {SHORT: "H", LONG: "I", DOUBLE: "d", LONG8: "Q"}
_FORMATS = {"u": 1, "i": 2, "f": 3}  # SampleFormat
ZSTD = 50000
NO_PREDICTOR, HORIZONTAL, FLOATING = 1, 2, 3

Tag = tuple[int, int, Sequence[float] | npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Profile:
    """The properties that all blocks of a COG share."""

    dtype: str  # numpy's name
    bands: int
    palette: tuple[Rgba, ...] = ()

    @property
    def predictor(self) -> int:
        """TIFF's predictor; none for palettes, whose neighbouring indexes are unrelated."""
        if self.palette:
            return NO_PREDICTOR
        return FLOATING if np.dtype(self.dtype).kind == "f" else HORIZONTAL


def compress_values(block: Values, profile: Profile) -> bytes:
    """The compressed bytes of one block, `(bands, TILE, TILE)`."""
    if profile.predictor == FLOATING:
        return zstandard.compress(_byte_planes(_by_pixel(block)).data, FLOATS_LEVEL)
    pixels = _by_pixel(_differences(block) if profile.predictor == HORIZONTAL else block)
    return zstandard.compress(pixels.data, LEVEL)


def compress_mask(block: Pixels) -> bytes:
    """The compressed bytes of one block of the mask, `(TILE, TILE)`."""
    return zstandard.compress(np.ascontiguousarray(block).data, LEVEL)


def _by_pixel(block: Values) -> Values:
    """A block, `(bands, rows, columns)`, as `(rows, columns, bands)`; three times faster than copying a moved axis."""
    out = np.empty((*block.shape[1:], len(block)), block.dtype)
    for band, values in enumerate(block):
        out[..., band] = values
    return out


def _differences(block: Values) -> Values:
    """Each value minus its western neighbour, modulo its width (TIFF 6.0, section 14)."""
    whole = np.ascontiguousarray(block).view(f"u{block.dtype.itemsize}")
    out = whole.copy()
    np.subtract(whole[..., 1:], whole[..., :-1], out=out[..., 1:])
    return out


def _byte_planes(pixels: Values) -> Values:
    """Floating point predictor: a row's bytes by significance, then differences (TIFF technical note 3)."""
    height, width, bands = pixels.shape
    octets = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8)
    planes = octets.reshape(height, width * bands, -1).transpose(0, 2, 1).reshape(height, -1)
    out = planes.copy()
    np.subtract(planes[:, bands:], planes[:, :-bands], out=out[:, bands:])
    return out


class Spool:
    """A new file in `folder`, to which one process appends blocks; `assemble` reads it afterwards."""

    def __init__(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(suffix=".spool", dir=folder)
        os.close(handle)
        self.path = Path(name)
        self._size = 0
        self._waiting: list[bytes] = []

    def add(self, data: bytes) -> tuple[int, int]:
        """Append `data` and return its offset and size in bytes."""
        offset = self._size
        self._waiting.append(data)
        self._size += len(data)
        return offset, len(data)

    def flush(self) -> None:
        """Write all appended data to the file."""
        with self.path.open("ab") as file:
            file.writelines(self._waiting)
        self._waiting = []


@dataclass(slots=True)
class Blocks:
    """The spool positions of one image directory's blocks; arrays are `(rows, columns)`, size 0 means no block."""

    rows: int
    columns: int
    spool: npt.NDArray[np.uint16] = field(init=False)
    offset: npt.NDArray[np.uint64] = field(init=False)
    size: npt.NDArray[np.uint32] = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.rows, self.columns)
        self.spool = np.zeros(shape, np.uint16)
        self.offset = np.zeros(shape, np.uint64)
        self.size = np.zeros(shape, np.uint32)

    def set(self, row: int, column: int, spool: int, place: tuple[int, int]) -> None:
        """Record a block at `place` (offset, size) of spool number `spool`."""
        self.spool[row, column] = spool
        self.offset[row, column], self.size[row, column] = place


@dataclass(frozen=True, slots=True)
class Level:
    """The base image or an overview: its size in pixels, and the blocks of its values and mask."""

    width: int
    height: int
    values: Blocks
    mask: Blocks | None


def assemble(
    path: Path,
    levels: Sequence[Level],
    profile: Profile,
    *,
    origin: tuple[float, float],
    pixel: float,
    spools: Sequence[Path],
) -> None:
    """Write the COG at `path` from `levels`, the base first.

    `origin` is the north-west corner in metres of EPSG:3857, `pixel` the base's metres per pixel.
    """
    geo = _geo_tags(origin, pixel)
    images = [
        (
            blocks,
            _tags(level, blocks, profile, masked=masked, reduced=level is not levels[0])
            + ([] if masked else geo * (level is levels[0])),
        )
        for level in levels
        for masked, blocks in ((False, level.values), (True, level.mask))
        if blocks is not None
    ]
    end = HEADER + sum(_directory_size(tags) for _, tags in images)
    starts = _placed([blocks for blocks, _ in images], end)
    with path.open("wb") as out:
        out.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, HEADER))
        at = HEADER
        for number, (_, tags) in enumerate(images):
            placed = [(tag, kind, starts[number] if tag == 324 else value) for tag, kind, value in tags]
            following = at + _directory_size(placed)
            out.write(_directory(placed, at, following if number < len(images) - 1 else 0))
            at = following
        _copy(out, [blocks for blocks, _ in images], spools)


def _copy(out: BufferedWriter, images: Sequence[Blocks], spools: Sequence[Path]) -> None:
    handles = [spool.open("rb") for spool in spools]
    try:
        for blocks in reversed(images):
            for row, column in np.argwhere(blocks.size):
                handle = handles[blocks.spool[row, column]]
                handle.seek(int(blocks.offset[row, column]))
                out.write(handle.read(int(blocks.size[row, column])))
    finally:
        for handle in handles:
            handle.close()


def _placed(images: Sequence[Blocks], start: int) -> list[npt.NDArray[np.uint64]]:
    """The block offsets of each image in the file, the last image first, from `start`; 0 for no block."""
    placed = []
    for blocks in reversed(images):
        sizes = blocks.size.ravel().astype(np.uint64)
        ends = sizes.cumsum() + np.uint64(start)
        placed.append(np.where(sizes > 0, ends - sizes, 0).astype(np.uint64))
        start = int(ends[-1])
    return placed[::-1]


def _tags(level: Level, blocks: Blocks, profile: Profile, *, masked: bool, reduced: bool) -> list[Tag]:
    bands = 1 if masked else profile.bands
    kind = np.dtype(np.uint8 if masked else profile.dtype)
    tags: list[Tag] = [
        (254, LONG, [4 * masked + reduced]),  # NewSubfileType
        (256, LONG, [level.width]),
        (257, LONG, [level.height]),
        (258, SHORT, [8 * kind.itemsize] * bands),
        (259, SHORT, [ZSTD]),
        (262, SHORT, [_photometric(profile, masked=masked)]),
        (277, SHORT, [bands]),
        (284, SHORT, [1]),  # pixel-interleaved
        (317, SHORT, [NO_PREDICTOR if masked else profile.predictor]),
        (322, LONG, [TILE]),
        (323, LONG, [TILE]),
        (324, LONG8, blocks.offset.ravel()),  # replaced by the offsets in the file
        (325, LONG, blocks.size.ravel()),
        (339, SHORT, [_FORMATS[kind.kind]] * bands),
    ]
    if 0 < len(profile.palette) <= 256 and not masked:
        table = np.zeros((256, 3), np.uint16)
        table[: len(profile.palette)] = [colour[:3] for colour in profile.palette]
        tags.append((320, SHORT, (table * 257).T.ravel()))
    return tags


def _photometric(profile: Profile, *, masked: bool) -> int:
    if masked:
        return 4
    if 0 < len(profile.palette) <= 256:
        return 3
    return 2 if profile.bands == 3 else 1


def _geo_tags(origin: tuple[float, float], pixel: float) -> list[Tag]:
    """ModelPixelScale, ModelTiepoint and GeoKeyDirectory for EPSG:3857, pixels as areas."""
    projected = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 3857]
    return [
        (33550, DOUBLE, [pixel, pixel, 0.0]),
        (33922, DOUBLE, [0.0, 0.0, 0.0, origin[0], origin[1], 0.0]),
        (34735, SHORT, projected),
    ]


def _directory_size(tags: Sequence[Tag]) -> int:
    return 16 + 20 * len(tags) + sum(_outside(kind, value) for _, kind, value in tags)


def _outside(kind: int, value: Sequence[float] | npt.NDArray[Any]) -> int:
    """Bytes of a value stored after its directory: none if it fits in the entry, else a multiple of 8."""
    size = struct.calcsize(_SIZES[kind]) * len(value)
    return 0 if size <= 8 else -(-size // 8) * 8


def _directory(tags: Iterable[Tag], start: int, following: int) -> bytes:
    """The bytes of an image directory at `start`, followed by its values."""
    ordered = sorted(tags, key=lambda tag: tag[0])
    behind = start + 16 + 20 * len(ordered)
    entries, values = [], []
    for number, kind, value in ordered:
        data = np.asarray(value).astype(f"<{np.dtype(_SIZES[kind]).str[1:]}").tobytes()
        if len(data) > 8:
            values.append(data.ljust(_outside(kind, value), b"\0"))
            data = struct.pack("<Q", behind)
            behind += len(values[-1])
        entries.append(struct.pack("<HHQ", number, kind, len(value)) + data.ljust(8, b"\0"))
    return struct.pack("<Q", len(ordered)) + b"".join(entries) + struct.pack("<Q", following) + b"".join(values)
