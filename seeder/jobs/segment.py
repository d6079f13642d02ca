"""A segment: the receipts of many blocks, of one kind, in one object of the ledger. A segment is never changed.

    a line of JSON      version, number of receipts, time of the newest one, sizes of the parts
    blocks              the blocks as bits of groups of 8 x 8, as in `BlockSet`
    seconds             the number of receipts by second of writing and by zoom
    chunks              the first block of each chunk, and its place
    chunk, chunk, ...   the receipts of 4096 blocks each, in the order of `_keys`, and their errors

All numbers are little-endian, and each part is compressed by zlib, after its bytes are ordered by their place in a
number. So a receipt takes 5 to 9 bytes, and the receipts of a block are read without the others.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from seeder.jobs.block_set import BlockSet
from seeder.jobs.messages import MASKS, Receipt, check_version
from tiler.errors import MessageError
from tiler.grid import LEAF, Block
from tiler.inputs import read_json
from tiler.layers.fill import Outcome
from tiler.storage.store import Store

VERSION = 1
CHUNK = 4096  # receipts read at a time
HEAD_BYTES = 1 << 17  # read first: with these parts, a segment of half a million neighbouring blocks needs no more
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000  # microseconds

Array = npt.NDArray[Any]

_NUMBERS = (*MASKS, "bytes", "milliseconds")
ROW = np.dtype(
    [
        ("key", "<u8"),  # see `_keys`
        *((name, "<u8") for name in _NUMBERS),
        ("modified", "<i8"),  # microseconds since 1970
        ("error", "<u4"),  # position in the list of errors, 0 for none
    ]
)
STAMP = np.dtype([("key", "<u8"), ("modified", "<i8")])  # as in ROW
GROUP = np.dtype([("z", "u1"), ("x", "<u4"), ("y", "<u4"), ("bits", "<u8")])
COUNT = np.dtype([("second", "<i8"), ("z", "u1"), ("receipts", "<u4")])
PLACE = np.dtype([("key", "<u8"), ("start", "<u4"), ("length", "<u4")])


@dataclass(frozen=True, slots=True)
class Rows:
    """Receipts with the times of their writing, at most one per block, ordered by block."""

    array: Array  # of ROW
    errors: tuple[str, ...]

    @classmethod
    def of(cls, receipts: Iterable[tuple[Receipt, datetime]]) -> Rows:
        """The newest receipt of each block; each must have passed `fits`."""
        positions: dict[str, int] = {"": 0}
        rows = []
        for receipt, modified in receipts:
            outcome = receipt.outcome
            numbers = (getattr(outcome, name) for name in _NUMBERS)
            error = positions.setdefault(outcome.error, len(positions))
            rows.append((_key(receipt.block), *numbers, (modified - EPOCH) // MICROSECOND, error))
        return cls(_newest(np.array(rows, ROW)), tuple(positions))

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        """The newest receipt of each block of `parts`."""
        arrays, errors = [], list[str]()
        for part in parts:
            array = part.array.copy()
            array["error"] += len(errors)
            arrays.append(array)
            errors += part.errors
        return cls(_newest(np.concatenate([np.array([], ROW), *arrays])), tuple(errors))

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[tuple[Receipt, datetime]]:
        for key, *numbers, modified, error in self.array.tolist():
            outcome = Outcome(**dict(zip(_NUMBERS, numbers, strict=True)), error=self.errors[error])
            yield Receipt(_block(key), outcome), EPOCH + timedelta(microseconds=modified)

    def blocks(self) -> Iterator[Block]:
        """The blocks."""
        return map(_block, self.array["key"].tolist())

    def divided(self, size: int) -> Iterator[Rows]:
        """Parts of at most `size` receipts."""
        for start in range(0, len(self), size):
            yield self._part(start, start + size)

    def without(self, blocks: Iterable[Block]) -> Rows:
        """The receipts of other blocks."""
        keys = np.array([_key(block) for block in blocks], np.uint64)
        return Rows(self.array[~np.isin(self.array["key"], keys)], self.errors)

    def unchanged(self, listed: Iterable[tuple[Block, datetime]]) -> Rows:
        """The receipts `listed` with the same time of writing. Memory holds 16 bytes per receipt."""
        pairs = ((_key(block), (modified - EPOCH) // MICROSECOND) for block, modified in listed)
        present = np.sort(np.fromiter(pairs, STAMP), order="key")
        at = np.searchsorted(present["key"], self.array["key"])
        whole = at < len(present)
        at, rows = at[whole], self.array[whole]
        same = (present["key"][at] == rows["key"]) & (present["modified"][at] == rows["modified"])
        return Rows(rows[same], self.errors)

    def find(self, block: Block) -> tuple[Receipt, datetime] | None:
        """The receipt of a block."""
        at = int(np.searchsorted(self.array["key"], np.uint64(_key(block))))
        return next((each for each in self._part(at, at + 1) if each[0].block == block), None)

    def encode(self) -> bytes:
        """The bytes of a segment, the same for equal receipts. There must be one."""
        chunks = [_encoded_chunk(part) for part in self.divided(CHUNK)]
        places = np.zeros(len(chunks), PLACE)
        places["key"] = self.array["key"][::CHUNK]
        places["length"] = [len(chunk) for chunk in chunks]
        places["start"] = [0, *accumulate(places["length"].tolist())][:-1]
        parts = [_packed(self._groups()), _packed(self._seconds()), _packed(places)]
        line: dict[str, Any] = {"v": VERSION, "receipts": len(self), "last": int(self.array["modified"].max())}
        line["sizes"] = [len(part) for part in parts]
        return b"".join([json.dumps(line).encode(), b"\n", *parts, *chunks])

    def _part(self, start: int, end: int) -> Rows:
        return Rows(self.array[start:end], self.errors)

    def _groups(self) -> Array:
        """The blocks as an array of GROUP."""
        z, x, y = _places(self.array["key"])
        bits = np.left_shift(np.uint64(1), (y % 8 * 8 + x % 8).astype(np.uint64))
        order = np.lexsort((y // 8, x // 8, z))
        z, x, y, bits = z[order], x[order] // 8, y[order] // 8, bits[order]
        starts = np.flatnonzero(np.r_[True, (np.diff(z) != 0) | (np.diff(x) != 0) | (np.diff(y) != 0)][: len(z)])
        groups = np.zeros(len(starts), GROUP)
        groups["z"], groups["x"], groups["y"] = z[starts], x[starts], y[starts]
        groups["bits"] = np.bitwise_or.reduceat(bits, starts) if len(starts) else []
        return groups

    def _seconds(self) -> Array:
        """The number of receipts by second and zoom, as an array of COUNT."""
        z, second = _places(self.array["key"])[0], self.array["modified"] // SECOND
        pairs, numbers = np.unique(np.stack([second, z]), axis=1, return_counts=True)
        counts = np.zeros(len(numbers), COUNT)
        counts["second"], counts["z"], counts["receipts"] = pairs[0], pairs[1], numbers
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A segment in a store, without its chunks. `last` is the time of its newest receipt."""

    key: str
    receipts: int
    last: datetime
    groups: Array  # of GROUP
    seconds: Array  # of COUNT
    places: Array  # of PLACE
    body: int  # position of the first chunk

    @classmethod
    def open(cls, sources: Store, key: str) -> Segment:
        """The segment at `key`.

        Raises:
            MissingObject: there is none.
            MessageError: it was not written by this version.
        """
        data, _ = sources.first(key, HEAD_BYTES)
        try:
            line, _, rest = data.partition(b"\n")
            head = read_json(line)
            check_version(head, key)
            end = sum(head["sizes"])
            body = len(line) + 1 + end
            if end > len(rest):
                (more,) = sources.ranges(key, [len(data)], [body - len(data)])
                rest += more
            cuts = [0, *accumulate(head["sizes"])]
            parts = [rest[a:b] for a, b in pairwise(cuts)]
            groups, seconds, places = map(_unpacked, parts, (GROUP, COUNT, PLACE))
            last = EPOCH + timedelta(microseconds=head["last"])
            return cls(key, int(head["receipts"]), last, groups, seconds, places, body)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise MessageError(f"{key} does not hold receipts: {error!r}") from error

    def add_blocks(self, blocks: BlockSet) -> list[Block]:
        """Add the blocks of the segment to `blocks`; return those already in it."""
        before = BlockSet()
        for z, x, y, bits in self.groups.tolist():
            if common := blocks.add_group((z, x, y), bits):
                before.add_group((z, x, y), common)
        return list(before)

    def holding(self, block: Block) -> int | None:
        """The number of the chunk that would hold the block; None if it precedes the first."""
        at = bisect_right(self.places["key"].tolist(), _key(block)) - 1
        return at if at >= 0 else None

    def chunk(self, sources: Store, number: int) -> Rows:
        """The receipts of a chunk.

        Raises:
            MissingObject: the segment was replaced by another.
            MessageError: it is damaged.
        """
        place = self.places[number]
        (data,) = sources.ranges(self.key, [self.body + int(place["start"])], [int(place["length"])])
        try:
            data = zlib.decompress(data)
            size, _, rest = data.partition(b"\n")
            length = int(size)
            return Rows(_unshuffled(rest[length:], ROW), tuple(read_json(rest[:length])))
        except (ValueError, zlib.error) as error:
            raise MessageError(f"{self.key} is damaged: {error!r}") from error

    def chunks(self, sources: Store) -> Iterator[Rows]:
        """All receipts, a chunk at a time."""
        return (self.chunk(sources, number) for number in range(len(self.places)))


def fits(receipt: Receipt) -> bool:
    """Whether a segment can hold the receipt: of an 8 x 8 block, and all numbers of 64 bits."""
    numbers = (getattr(receipt.outcome, name) for name in _NUMBERS)
    return receipt.block.size == LEAF and all(isinstance(each, int) and 0 <= each < 1 << 64 for each in numbers)


def name_of(data: bytes) -> str:
    """The name of a segment, a hash of its bytes: equal segments of two processes are one object."""
    return blake2b(data, digest_size=8).hexdigest()


def _encoded_chunk(rows: Rows) -> bytes:
    """The errors of a chunk as JSON, behind its length, and its receipts."""
    positions, own = np.unique(rows.array["error"], return_inverse=True)
    array = rows.array.copy()
    array["error"] = own
    errors = json.dumps([rows.errors[position] for position in positions.tolist()]).encode()
    return zlib.compress(b"%d\n" % len(errors) + errors + _shuffled(array))


def _newest(array: Array) -> Array:
    """The newest row of each key, ordered by key."""
    array = array[np.lexsort((array["modified"], array["key"]))]
    keys = array["key"]
    newest: Array = array[np.r_[keys[1:] != keys[:-1], True][: len(keys)]]
    return newest


def _key(block: Block) -> int:
    """A number for an 8 x 8 block: 6 bits of zoom, 29 of column and of row of blocks. Columns stay together."""
    return block.z << 58 | block.x // 8 << 29 | block.y // 8


def _block(key: int) -> Block:
    z, x, y = key >> 58, key >> 29 & 0x1FFFFFFF, key & 0x1FFFFFFF
    return Block(z, 8 * x, 8 * y)


def _places(keys: Array) -> tuple[Array, Array, Array]:
    """Zoom, column and row of blocks."""
    low = np.uint64(0x1FFFFFFF)
    z, x, y = keys >> np.uint64(58), keys >> np.uint64(29) & low, keys & low
    return z.astype(np.int64), x.astype(np.int64), y.astype(np.int64)


def _packed(array: Array) -> bytes:
    return zlib.compress(_shuffled(array))


def _unpacked(data: bytes, kind: np.dtype[Any]) -> Array:
    return _unshuffled(zlib.decompress(data), kind)


def _shuffled(array: Array) -> bytes:
    """The bytes of an array, ordered by their place in an element."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()


def _unshuffled(data: bytes, kind: np.dtype[Any]) -> Array:
    return np.frombuffer(data, np.uint8).reshape(kind.itemsize, -1).T.copy().view(kind).reshape(-1)
