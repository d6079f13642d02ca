"""Check the header of a baked COG against its file size.

libtiff takes a list of blocks that it could not read for one without blocks, and GDAL then returns zeros. A baked COG
has all directories first, then its blocks without a gap, those of the last level first, to the end of the file. Each
block is followed by its mask; earlier versions put the masks of a level before its blocks. So the sizes of the blocks
give their offsets and the size of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Part = Callable[[int, int], bytes]  # bytes of a file from an offset; fewer at its end

MAGIC = struct.pack("<2sHHH", b"II", 43, 8, 0)
SIZES = {3: 2, 4: 4, 12: 8, 16: 8}  # bytes of the TIFF types in a baked COG
WIDTH, BLOCK_WIDTH, OFFSETS, LENGTHS = 256, 322, 324, 325
ENTRY = np.dtype([("tag", "<u2"), ("kind", "<u2"), ("count", "<u8"), ("value", "<u8")])
SUBFILE = 254
MASK = 4  # in the value of SUBFILE
Sizes = npt.NDArray[np.uint64]


class Image(NamedTuple):
    """The block offsets and sizes of a directory, in bytes; its columns of blocks; whether it is a mask."""

    offsets: Sizes
    sizes: Sizes
    columns: int
    masked: bool


class Level(NamedTuple):
    """The offset and size of each block of a level, and the size of the mask directly behind it.

    All are `(rows, columns)`, in bytes; 0 for no block and for no mask there.
    """

    offsets: Sizes
    sizes: Sizes
    behind: Sizes


class _DamagedError(Exception):
    """The header does not match a baked COG of this size."""


def is_intact(part: Part, size: int) -> bool:
    """Check that a baked COG of `size` bytes has a complete header and lists every block.

    Returns True without a check if `part` raises LookupError: the header is too long to read here.
    """
    try:
        images, end = _images(part, size)
    except _DamagedError:
        return False
    except LookupError:
        return True
    return any(_is_placed(images, end, size, together=together) for together in (True, False))


def _is_placed(images: Sequence[Image], end: int, size: int, *, together: bool) -> bool:
    """Whether blocks fill a file of `size` bytes from `end`, masks behind their blocks if `together`."""
    for level in reversed(list(_levels(images, together=together))):
        lengths = np.stack([image.sizes for image in level], axis=1)
        ends = lengths.ravel().cumsum(dtype=np.uint64).reshape(lengths.shape) + np.uint64(end)
        offsets = np.where(lengths > 0, ends - lengths, 0)
        if not all(np.array_equal(image.offsets, offsets[:, number]) for number, image in enumerate(level)):
            return False
        end = int(ends[-1, -1])
    return end == size


def _levels(images: Sequence[Image], *, together: bool) -> Iterator[Sequence[Image]]:
    """The directories of each level: its blocks and their masks together, or each alone."""
    for number, image in enumerate(images):
        following = images[number + 1 : number + 2] if together else ()
        if not (together and image.masked):
            yield (image, *(each for each in following if each.masked and len(each.sizes) == len(image.sizes)))


def levels(part: Part, size: int) -> list[Level]:
    """The blocks of each level of a baked COG, from the base.

    Empty for a damaged header, or if `part` raises LookupError: it is too long to read here.
    """
    try:
        images, _ = _images(part, size)
    except (_DamagedError, LookupError):
        return []
    return [_level(image, mask) for image, mask in zip_longest(images, images[1:]) if not image.masked]


def _level(image: Image, following: Image | None) -> Level:
    """The level of an image; the directory that follows may have its masks."""
    behind = np.zeros_like(image.sizes)
    if following and following.masked and len(following.sizes) == len(image.sizes):
        behind = np.where(image.offsets + image.sizes == following.offsets, following.sizes, behind)
    shape = (-1, image.columns)
    return Level(image.offsets.reshape(shape), image.sizes.reshape(shape), behind.reshape(shape))


def block_lists(part: Part, size: int) -> list[tuple[Sizes, Sizes]] | None:
    """Offsets and sizes of the blocks of each directory of a baked COG, in bytes; None if its header is damaged."""
    try:
        return [(image.offsets, image.sizes) for image in _images(part, size)[0]]
    except _DamagedError:
        return None


def _images(part: Part, size: int) -> tuple[list[Image], int]:
    """Read block offsets and sizes per directory, and the end of the last directory, in bytes."""
    head = _exact(part, 0, 16)
    images, at, end = list[Image](), int.from_bytes(head[8:], "little"), 16
    if head[:8] != MAGIC:
        raise _DamagedError
    while at:
        if at != end:
            raise _DamagedError
        entries, following = _directory(part, at)
        end = at + 16 + ENTRY.itemsize * len(entries)
        lists: dict[int, Sizes] = {}
        for place, entry in zip(_places(entries, at, bool(images)), entries, strict=True):
            length = SIZES[int(entry["kind"])] * int(entry["count"])
            if length > 8:
                if place != end or end + length > size:
                    raise _DamagedError
                end += -(-length // 8) * 8
            if entry["tag"] in (OFFSETS, LENGTHS):
                data = _exact(part, place, length)
                lists[int(entry["tag"])] = np.frombuffer(data, f"<u{SIZES[int(entry['kind'])]}").astype(np.uint64)
        if set(lists) != {OFFSETS, LENGTHS} or len(lists[OFFSETS]) != len(lists[LENGTHS]):
            raise _DamagedError
        kind, width, block = (_value(entries, tag) for tag in (SUBFILE, WIDTH, BLOCK_WIDTH))
        columns = -(-width // block) if block else 0
        if not columns or len(lists[OFFSETS]) % columns:
            raise _DamagedError
        images.append(Image(lists[OFFSETS], lists[LENGTHS], columns, masked=bool(kind & MASK)))
        at = following
    return images, end


def _directory(part: Part, at: int) -> tuple[npt.NDArray[Any], int]:
    """Read the entries of a directory, and the offset of the next directory."""
    (count,) = struct.unpack("<Q", _exact(part, at, 8))
    if not 0 < count < 100:  # far more than the entries of a baked COG
        raise _DamagedError
    data = _exact(part, at + 8, ENTRY.itemsize * count + 8)
    entries = np.frombuffer(data, ENTRY, count)
    if not (np.diff(entries["tag"].astype(int)) > 0).all() or not set(entries["kind"].tolist()) <= SIZES.keys():
        raise _DamagedError
    return entries, int.from_bytes(data[-8:], "little")


def _value(entries: npt.NDArray[Any], tag: int) -> int:
    """The value of an entry with one number; 0 without the entry."""
    found = entries[entries["tag"] == tag]
    return int(found["value"][0]) & (1 << 8 * SIZES[int(found["kind"][0])]) - 1 if len(found) else 0


def _places(entries: npt.NDArray[Any], at: int, later: bool) -> Iterator[int]:
    """Yield the value offset of each entry. A value of 0 is valid for absent blocks, and in the first directory."""
    for number, entry in enumerate(entries):
        tag, kind, count, value = entry.tolist()
        if not count or not (value or tag in (OFFSETS, LENGTHS) or (tag == SUBFILE and not later)):
            raise _DamagedError
        yield value if SIZES[kind] * count > 8 else at + 8 + ENTRY.itemsize * number + 12


def _exact(part: Part, start: int, length: int) -> bytes:
    data = part(start, length)
    if len(data) < length:
        raise _DamagedError
    return data
