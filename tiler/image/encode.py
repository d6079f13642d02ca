"""Encode pictures as PNG, JPEG or WebP.

The PNG encoder is our own because Pillow takes 11 ms per tile and this one less than 1 ms: one cheap filter in numpy,
libdeflate, and a palette if possible. It is lossless and deterministic (ISA-L is faster, but sometimes compresses the
same input to other bytes). JPEG and WebP use Pillow.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import replace
from functools import cache
from typing import Any

import deflate
import numpy as np
import numpy.typing as npt
from PIL import Image

from tiler.errors import BadImage
from tiler.image.style import Picture, Pixels
from tiler.keys import Format

QUALITY = 85  # of JPEG and WebP
EFFORT = 0  # of lossless WebP, 0 to 100: a tenth of the time of Pillow's default
FAST, THOROUGH = 0, 1  # WebP's methods; for encoded heights, the fast one takes twice the bytes
LARGEST = 4096  # most pixels per side of an image to decode
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
LEVEL = 1  # of libdeflate's 0 to 12
FEW = 16  # colours of RGB pixels worth a palette: more would double the time for 6% fewer bytes
FACTORS = [np.uint32(factor) for factor in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1, 0x7FEB352D)]

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types

Packed = npt.NDArray[np.uint32]


def encode(picture: Picture, form: Format, *, lossless: bool = False) -> bytes | None:
    """The bytes of `picture` in `form`, or None if it is wholly transparent.

    PNG keeps every visible pixel, and so does `lossless` WebP. JPEG has no transparency: transparent pixels become
    white.
    """
    picture = _simplest(picture)
    if picture.mask is not None and not picture.mask.any():
        return None
    if picture.solid:
        picture = replace(picture, mask=None)
    return _encoded(picture, form, lossless=lossless)


@cache
def blank_tile(size: int, form: Format, ground: tuple[int, ...] | None = None, *, lossless: bool = False) -> bytes:
    """The blank tile of `size` pixels, for an empty tile that must have bytes.

    It is transparent, or has the colour `ground` (RGB) in styles that need one; see `Style.ground`.
    """
    if ground:
        blank = Picture(np.full((size, size, len(ground)), ground, np.uint8))
    else:
        blank = Picture(np.zeros((size, size, 1), np.uint8), np.zeros((size, size), np.uint8))
    return _encoded(blank, form, lossless=lossless)


def decode(data: bytes) -> tuple[str, Pixels]:
    """The format of an image, `png`, `jpg` or `webp`, and its pixels as `(rows, columns, 4)` RGBA.

    Raises:
        BadImage: the bytes are not an image, are truncated, or have more pixels than any tile.
    """
    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
        with image:
            if max(image.size) > LARGEST:
                raise BadImage(f"{image.width} x {image.height} pixels are too many for a tile")
            form = str(image.format).lower()
            return {"jpeg": "jpg"}.get(form, form), np.asarray(image.convert("RGBA"))
    except (*BOMBS, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise BadImage(f"not a valid image: {error}") from error


def is_complete(data: bytes, form: Format) -> bool:
    """Whether `data` begins and ends as a complete JPEG or WebP file; its pixels are not decoded."""
    if form == "jpg":
        return data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") == len(data) - 8


def _simplest(picture: Picture) -> Picture:
    """`picture` with the palette's transparency moved to the mask, and no mask if all is opaque."""
    mask = picture.mask
    if picture.palette is not None:
        shown = picture.palette[:, 3].take(picture.pixels[..., 0])
        mask = shown if mask is None else np.minimum(mask, shown)
    if mask is not None and mask.min() == 255:
        mask = None
    return replace(picture, mask=mask)


def _encoded(picture: Picture, form: Format, *, lossless: bool) -> bytes:
    if form == "png":
        return _png(picture)
    colours = picture.pixels if picture.palette is None else picture.palette[picture.pixels[..., 0], :3]
    if form == "jpg":
        return _jpeg(colours, picture.mask)
    if not lossless:
        return _webp(colours, picture.mask, quality=QUALITY, method=FAST)
    return _webp(colours, picture.mask, lossless=True, quality=EFFORT, method=THOROUGH if picture.solid else FAST)


def _jpeg(colours: Pixels, mask: Pixels | None) -> bytes:
    if mask is not None:
        cover = mask[..., np.newaxis].astype(np.uint16)
        colours = ((colours * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)
    if colours.shape[-1] == 1:
        colours = colours[..., 0]
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours)).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _webp(colours: Pixels, mask: Pixels | None, *, lossless: bool = False, quality: int, method: int) -> bytes:
    if colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    if mask is not None:
        colours = np.dstack((colours, mask))
    out = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(colours))
    picture.save(out, "WEBP", lossless=lossless, quality=quality, method=method)
    return out.getvalue()


def _png(picture: Picture) -> bytes:
    table, mask = picture.palette, picture.mask
    pixels = picture.pixels
    if table is not None:
        few = _indexed(pixels[..., 0], table, mask)
        if few is not None:
            return few
        pixels = table[pixels[..., 0]][..., :3]
    if mask is not None:
        pixels = _joined(pixels, mask)
    kind = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}[pixels.shape[-1]]
    few = _few_colours(pixels) if kind in (RGB, RGBA) else None
    return few or _file(pixels.shape[:2], 8, kind, _filtered_up(pixels))


def _joined(pixels: Pixels, mask: Pixels) -> Pixels:
    """Colours and mask in one array; invisible colours become 0, so that they compress well."""
    out = np.empty((*mask.shape, pixels.shape[-1] + 1), np.uint8)
    shown = (mask > 0).view(np.uint8)
    for channel in range(pixels.shape[-1]):
        np.multiply(pixels[..., channel], shown, out=out[..., channel])
    out[..., -1] = mask
    return out


def _indexed(indexes: Pixels, table: Pixels, mask: Pixels | None) -> bytes | None:
    """A palette PNG with only the colours in use, or None if a palette does not suffice.

    Hidden pixels get their own entry. A palette cannot hold a pixel whose opacity is neither 0 nor that of its entry,
    nor 256 colours and a hidden pixel.
    """
    hidden = None if mask is None else mask == 0
    if hidden is not None and not (hidden | (mask == table[:, 3].take(indexes))).all():
        return None
    shown = None if mask is None else Image.fromarray(np.ascontiguousarray(mask))
    used = np.array(Image.fromarray(np.ascontiguousarray(indexes)).histogram(shown)) > 0
    first = int(hidden is not None and hidden.any())
    if first + used.sum() > 256:
        return None
    place = np.zeros(256, np.uint8)
    place[used] = np.arange(first, first + used.sum())
    compact = place.take(indexes)
    if hidden is not None:
        compact[hidden] = 0
    return _palette_file(compact, np.vstack((np.zeros((first, 4), np.uint8), table[used])))


def _few_colours(pixels: Pixels) -> bytes | None:
    """A palette PNG of RGB or RGBA pixels, or None if they have more than FEW colours."""
    if not _colours(_packed(pixels[::8, ::4])):  # a few pixels rule out most photographs
        return None
    packed = _packed(pixels)
    colours = _colours(packed)
    if not colours:
        return None
    table = np.array(colours, np.uint8)
    return _palette_file(_indexes(packed, _packed(table[np.newaxis])[0]), table)


def _packed(pixels: Pixels) -> Packed:
    """RGB or RGBA as one number per pixel, RGB as opaque; little-endian, so that its bytes are RGBA."""
    packed: Packed = pixels[..., 0].astype("<u4")
    packed |= pixels[..., 1].astype(np.uint32) << np.uint32(8)
    packed |= pixels[..., 2].astype(np.uint32) << np.uint32(16)
    alpha = pixels[..., 3].astype(np.uint32) if pixels.shape[-1] == 4 else np.uint32(255)
    packed |= alpha << np.uint32(24)
    return packed


def _colours(packed: Packed) -> list[tuple[int, ...]] | None:
    """The distinct colours, sorted, as RGBA; None if they are more than FEW."""
    height, width = packed.shape
    counted: Any = Image.frombuffer("RGBA", (width, height), packed, "raw", "RGBA", 0, 1).getcolors(FEW)
    return None if counted is None else sorted(colour for _, colour in counted)


def _indexes(packed: Packed, colours: Packed) -> Pixels:
    """The index in `colours`, which are distinct, of each pixel's colour.

    Uses a table over 16 bits of a product, for the first factor without collisions; a search if every factor has some.
    """
    for factor in FACTORS:
        slots = colours * factor >> np.uint32(16)
        if np.unique(slots).size == colours.size:
            table = np.zeros(1 << 16, np.uint8)
            table[slots] = np.arange(colours.size)
            indexes: Pixels = table[packed * factor >> np.uint32(16)]
            return indexes
    order = np.argsort(colours)
    return order[np.searchsorted(colours, packed, sorter=order)].astype(np.uint8)


def _palette_file(indexes: Pixels, table: Pixels) -> bytes:
    """A palette PNG of 1, 2, 4 or 8 bits per pixel; `table` is `(colours, 4)` RGBA."""
    bits = next(bits for bits in (1, 2, 4, 8) if len(table) <= 1 << bits)
    height, width = indexes.shape
    joined = np.pad(indexes, ((0, 0), (0, -width % (8 // bits)))) if width % (8 // bits) else indexes
    for filled in range(bits.bit_length() - 1, 3):  # until a byte is full; the leftmost pixel has the highest bits
        joined = joined[:, ::2] << np.uint8(1 << filled) | joined[:, 1::2]
    rows = np.zeros((height, joined.shape[1] + 1), np.uint8)  # filter 0, because neighbouring indexes are unrelated
    rows[:, 1:] = joined
    extra = _chunk(b"PLTE", table[:, :3].tobytes())
    opaque = np.flatnonzero(table[:, 3] != 255)
    if opaque.size:
        extra += _chunk(b"tRNS", table[: opaque[-1] + 1, 3].tobytes())
    return _file((height, width), bits, PALETTE, rows, extra)


def _filtered_up(pixels: Pixels) -> Pixels:
    """PNG scanlines with filter 2: each byte minus the one above it; `(height, 1 + width * channels)`."""
    height, width, channels = pixels.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = 2
    filtered = rows[:, 1:].reshape(pixels.shape)  # a view
    filtered[0] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=filtered[1:])
    return rows


def _file(shape: tuple[int, int], bits: int, kind: int, rows: Pixels, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", shape[1], shape[0], bits, kind, 0, 0, 0)
    packed = deflate.zlib_compress(rows, LEVEL)
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header), extra, _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    )


def _chunk(name: bytes, body: bytes | bytearray) -> bytes:
    checksum = deflate.crc32(body, zlib.crc32(name))  # several times as fast as zlib's
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)
