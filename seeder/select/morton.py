"""Tiles along the Z curve of their zoom, as arrays of codes and of runs of codes.

A tile's code interleaves the bits of its column and its row, the column's lowest bit first (Morton 1966). The tiles of
an aligned square are one run of codes, and so are all descendants of a tile at one zoom.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_STEPS = (  # of spreading the bits of a number: shift, then mask
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


def code_of(x: int, y: int) -> int:
    """The code of one tile; forty times as fast as `interleaved` of one."""
    for shift, keep in _STEPS:
        x = (x | x << shift) & keep
        y = (y | y << shift) & keep
    return x | y << 1


def spread(numbers: Numbers) -> Numbers:
    """Each number with a zero inserted after every bit."""
    bits = numbers.astype(np.int64)
    for shift, keep in _STEPS:
        bits = (bits | bits << shift) & keep
    return bits


def _joined(codes: Numbers) -> Numbers:
    """Every other bit of each code, from the lowest; the inverse of `spread`."""
    bits = codes & _STEPS[-1][1]
    for (shift, _), keep in zip(reversed(_STEPS), [*(keep for _, keep in _STEPS[-2::-1]), 0xFFFFFFFF], strict=True):
        bits = (bits | bits >> shift) & keep
    return bits


def begins(numbers: Numbers) -> Flags:
    """Whether each number differs from the previous one, as `(numbers,)` bool."""
    flags = np.ones(len(numbers), bool)
    flags[1:] = numbers[1:] != numbers[:-1]
    return flags


def distinct(ascending: Numbers) -> Numbers:
    """Remove repeats from ascending numbers; `np.unique` takes sixteen times as long."""
    return ascending[begins(ascending)]


def consecutive(first: Numbers, number: Numbers) -> Numbers:
    """Concatenated ranges of `number` consecutive numbers, each from `first` on."""
    ends = np.cumsum(number)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(first - ends + number, number)


def squares_of(starts: Numbers, stops: Numbers, levels: Iterable[int]) -> tuple[Numbers, Numbers]:
    """Divide runs into the largest aligned squares with sides 2**level: codes, and sides in tiles; unordered."""
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
            squares = _stepped(low, (high - low) // step, step)
            codes.append(squares)
            sides.append(np.full(len(squares), 1 << level))
    return np.concatenate(codes), np.concatenate(sides)


def _stepped(first: Numbers, number: Numbers, step: int) -> Numbers:
    """As `consecutive`, in steps."""
    return np.repeat(first, number) + consecutive(np.zeros_like(first), number) * step
