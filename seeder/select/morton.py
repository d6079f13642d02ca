"""Tiles along the Z curve of their zoom, as arrays of codes and of runs of codes.

A tile's code holds the bits of its column and its row in turn, the column's lowest (Morton 1966). The tiles of an
aligned square, and so those below a tile of a lower zoom, are one run of codes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_STEPS = (  # of spreading the bits of a number: shift, then keep
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def interleaved(x: Numbers, y: Numbers) -> Numbers:
    """The codes of tiles, in the order of the tiles; the inverse of `places`."""
    return spread(x) | spread(y) << 1


def places(codes: Numbers) -> tuple[Numbers, Numbers]:
    """Columns and rows of tiles."""
    return _joined(codes), _joined(codes >> 1)


def spread(numbers: Numbers) -> Numbers:
    """Each number with a zero between any two of its bits."""
    found = numbers.astype(np.int64)
    for shift, keep in _STEPS:
        found = (found | found << shift) & keep
    return found


def _joined(codes: Numbers) -> Numbers:
    """Every other bit of each code, the lowest first; the inverse of `spread`."""
    found = codes & _STEPS[-1][1]
    for (shift, _), keep in zip(reversed(_STEPS), [*(keep for _, keep in _STEPS[-2::-1]), 0xFFFFFFFF], strict=True):
        found = (found | found >> shift) & keep
    return found


def begins(numbers: Numbers) -> Flags:
    """Where a number is not the one before it, as `(numbers,)` bool."""
    found = np.ones(len(numbers), bool)
    found[1:] = numbers[1:] != numbers[:-1]
    return found


def once(ascending: Numbers) -> Numbers:
    """Numbers without those that are said again; `np.unique` takes sixteen times as long."""
    return ascending[begins(ascending)]


def counted(first: Numbers, number: Numbers) -> Numbers:
    """The numbers from each of `first` on, so many of each, one after the other."""
    ends = np.cumsum(number)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(first - ends + number, number)


def squares_of(starts: Numbers, stops: Numbers, levels: Iterable[int]) -> tuple[Numbers, Numbers]:
    """The largest aligned squares of sides 2**level that runs are made of: codes, and sides in tiles; in no order."""
    codes, sides = [], []
    ascending = sorted(levels)
    for level, above in zip(ascending, [*ascending[1:], None], strict=True):
        step = 1 << 2 * level
        if above is None:
            ends = [(starts, stops)]
        else:
            wide = 1 << 2 * above
            first, last = -(-starts // wide) * wide, stops // wide * wide
            short = first >= last
            ends = [(starts, np.where(short, stops, first)), (np.where(short, stops, last), stops)]
            starts, stops = first[~short], last[~short]
        for low, high in ends:
            found = _counted_by(low, (high - low) // step, step)
            codes.append(found)
            sides.append(np.full(len(found), 1 << level))
    return np.concatenate(codes), np.concatenate(sides)


def _counted_by(first: Numbers, number: Numbers, step: int) -> Numbers:
    """As `counted`, in steps."""
    return np.repeat(first, number) + counted(np.zeros_like(first), number) * step
