"""Write a cloud-optimized GeoTIFF from compressed blocks.

GDAL's COG driver writes from one process, after all pixels are available. Here many processes warp and compress blocks
into spools, and `assemble` puts header and blocks in order: all image directories first, then the data from the
smallest overview to the base, so that any reader needs one request for the header. A block's mask follows it, so that
one request reads both. Empty blocks are omitted (offset
and size 0). Written as BigTIFF (TIFF 6.0; the BigTIFF design of libtiff; OGC
GeoTIFF 1.1), Zstandard with a predictor, masks of 8 bits so that soft edges stay soft. The first levels may hold
finished tiles instead, in TIFF's JPEG or WebP compression: each block is a complete file.
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

from tiler.choices import Choice
from tiler.grid import TILE
from tiler.image.encode import encode
from tiler.image.style import Picture, Pixels, Rgba, Values
from tiler.keys import Format
from tiler.layers.digests import pixel_kind
from tiler.raster.options import LOSSLESS, file_format

LEVEL = 1  # of Zstandard
FLOATS_LEVEL = -1  # for floats, whose bytes hardly repeat: 1.45 times as fast, and as small
HEADER = 16  # bytes of a BigTIFF header

SHORT, LONG, DOUBLE, LONG8 = 3, 4, 12, 16
_SIZES = {SHORT: "H", LONG: "I", DOUBLE: "d", LONG8: "Q"}
_FORMATS = {"u": 1, "i": 2, "f": 3}  # SampleFormat
ZSTD = 50000
FINISHED: dict[Format, int] = {"jpg": 7, "webp": 50001}  # compressions of finished tiles
NO_PREDICTOR, HORIZONTAL, FLOATING = 1, 2, 3
YCBCR = 6  # PhotometricInterpretation
UNASSOCIATED = 2  # ExtraSamples: opacity, and colours not multiplied by it

Tag = tuple[int, int, Sequence[float] | npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Profile:
    """The properties that all blocks of a COG share.

    `finished` is the format of the tiles that are the blocks of the first levels; None if all levels are lossless. WebP
    has no grey and holds opacity itself, so its COG has three bands, and a fourth instead of a mask if it is not
    `opaque`.
    """

    dtype: str  # numpy's name
    bands: int
    palette: tuple[Rgba, ...] = ()
    finished: Choice | None = None
    opaque: bool = False

    @property
    def kind(self) -> str:
        """The kind of pixels in digests; see `block_digest`."""
        return pixel_kind(self.dtype, self.bands)

    @property
    def form(self) -> Format | None:
        """The format of the finished tiles' files."""
        return self.finished and file_format(self.finished)

    @property
    def alpha(self) -> bool:
        """Whether the last sample of a pixel is its opacity."""
        return self.form == "webp" and not self.opaque

    @property
    def masked(self) -> bool:
        """Whether the COG has a mask besides its values."""
        return not (self.opaque or self.alpha)

    @property
    def samples(self) -> int:
        """Samples of a pixel."""
        return 3 + self.alpha if self.form == "webp" else self.bands

    @property
    def predictor(self) -> int:
        """TIFF's predictor; none for palettes, whose neighbouring indexes are unrelated."""
        if self.palette:
            return NO_PREDICTOR
        return FLOATING if np.dtype(self.dtype).kind == "f" else HORIZONTAL


def compress(block: Values, mask: Pixels | None, profile: Profile, *, finished: bool) -> tuple[bytes, bytes]:
    """The bytes of one block, `(bands, TILE, TILE)`, as a tile if `finished`; and of its mask, if it needs one."""
    if mask is not None and mask.min() == 255:
        mask = None
    outside = b"" if mask is None or profile.form == "webp" else compress_mask(mask)
    if profile.form and finished:
        tile = encode(Picture(np.moveaxis(block, 0, -1), mask), profile.form, lossless=profile.finished in LOSSLESS)
        return tile or b"", outside
    if profile.form == "webp":
        block = np.broadcast_to(block, (3, *block.shape[1:]))
    if profile.alpha:
        block = np.concatenate((block, _opacity(block.shape[1:]) if mask is None else mask[np.newaxis]))
    return compress_values(block, profile), outside


def _opacity(shape: tuple[int, ...]) -> Values:
    """The opacity of an opaque block."""
    return np.full((1, *shape), 255, np.uint8)


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

    def cut(self, part: tuple[slice, slice]) -> Blocks:
        """The blocks of some rows and columns."""
        rows, columns = self.size[part].shape
        blocks = Blocks(rows, columns)
        blocks.spool, blocks.offset, blocks.size = self.spool[part], self.offset[part], self.size[part]
        return blocks

    def set(self, row: int, column: int, spool: int, place: tuple[int, int]) -> None:
        """Record a block at `place` (offset, size) of spool number `spool`."""
        self.spool[row, column] = spool
        self.offset[row, column], self.size[row, column] = place


@dataclass(frozen=True, slots=True)
class Level:
    """The base image or an overview: its size in pixels, the blocks of its values and mask, and whether it is tiles."""

    width: int
    height: int
    values: Blocks
    mask: Blocks | None
    finished: bool = False

    @property
    def images(self) -> tuple[Blocks, ...]:
        """The blocks of its values, and those of its mask if it has one."""
        return (self.values,) if self.mask is None else (self.values, self.mask)


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
        _tags(level, blocks, profile, masked=masked, reduced=level is not levels[0])
        + ([] if masked else geo * (level is levels[0]))
        for level in levels
        for masked, blocks in ((False, level.values), (True, level.mask))
        if blocks is not None
    ]
    end = HEADER + sum(map(_directory_size, images))
    starts = _placed(levels, end)
    with path.open("wb") as out:
        out.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, HEADER))
        at = HEADER
        for number, tags in enumerate(images):
            placed = [(tag, kind, starts[number] if tag == 324 else value) for tag, kind, value in tags]
            following = at + _directory_size(placed)
            out.write(_directory(placed, at, following if number < len(images) - 1 else 0))
            at = following
        _copy(out, levels, spools)


def _copy(out: BufferedWriter, levels: Sequence[Level], spools: Sequence[Path]) -> None:
    handles = [spool.open("rb") for spool in spools]
    try:
        for level in reversed(levels):
            for row, column in np.argwhere(level.values.size):
                for blocks in level.images:
                    if size := int(blocks.size[row, column]):
                        handle = handles[blocks.spool[row, column]]
                        handle.seek(int(blocks.offset[row, column]))
                        out.write(handle.read(size))
    finally:
        for handle in handles:
            handle.close()


def _placed(levels: Sequence[Level], start: int) -> list[npt.NDArray[np.uint64]]:
    """The block offsets of each image in the file, the last level first, from `start`; 0 for no block."""
    placed: list[npt.NDArray[np.uint64]] = []
    for level in reversed(levels):
        sizes = np.stack([blocks.size.ravel() for blocks in level.images], axis=1).astype(np.uint64)
        ends = sizes.ravel().cumsum().reshape(sizes.shape) + np.uint64(start)
        placed[:0] = [np.where(sizes > 0, ends - sizes, 0).astype(np.uint64)[:, each] for each in range(sizes.shape[1])]
        start = int(ends[-1, -1])
    return placed


def _tags(level: Level, blocks: Blocks, profile: Profile, *, masked: bool, reduced: bool) -> list[Tag]:
    bands = 1 if masked else profile.samples
    form = profile.form if level.finished and not masked else None
    kind = np.dtype(np.uint8 if masked else profile.dtype)
    tags: list[Tag] = [
        (254, LONG, [4 * masked + reduced]),  # NewSubfileType
        (256, LONG, [level.width]),
        (257, LONG, [level.height]),
        (258, SHORT, [8 * kind.itemsize] * bands),
        (259, SHORT, [FINISHED[form] if form else ZSTD]),
        (262, SHORT, [YCBCR if form == "jpg" and bands == 3 else _photometric(profile, masked=masked)]),
        (277, SHORT, [bands]),
        (284, SHORT, [1]),  # pixel-interleaved
        (317, SHORT, [NO_PREDICTOR if masked or form else profile.predictor]),
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
    if profile.alpha and not masked:
        tags.append((338, SHORT, [UNASSOCIATED]))  # ExtraSamples
    if form == "jpg" and bands == 3:
        tags.append((530, SHORT, [2, 2]))  # YCbCrSubSampling
    return tags


def _photometric(profile: Profile, *, masked: bool) -> int:
    if masked:
        return 4
    if 0 < len(profile.palette) <= 256:
        return 3
    return 2 if profile.samples >= 3 else 1


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
