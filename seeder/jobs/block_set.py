"""A compact set of blocks: the blocks of a billion tiles take about 50 MB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tiler.grid import LEAF, Block

GROUP = LEAF * LEAF  # tiles per side of a group of blocks in one entry


class BlockSet:
    """A set of 8 x 8 blocks; 64 neighbours are the bits of one number."""

    def __init__(self) -> None:
        self._bits: dict[tuple[int, int, int], int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, block: Block) -> bool:
        group, bit = _group_and_bit(block)
        return bool(self._bits.get(group, 0) & bit)

    def __iter__(self) -> Iterator[Block]:
        for (z, x, y), bits in self._bits.items():
            for position in range(bits.bit_length()):
                if bits >> position & 1:
                    yield Block(z, x * GROUP + position % LEAF * LEAF, y * GROUP + position // LEAF * LEAF)

    def by_zoom(self) -> Counter[int]:
        """The number of blocks of each zoom."""
        numbers = Counter[int]()
        for (z, _, _), bits in self._bits.items():
            numbers[z] += bits.bit_count()
        return numbers

    def add(self, block: Block) -> None:
        """Add `block`; harmless to repeat."""
        self.add_group(*_group_and_bit(block))

    def add_group(self, group: tuple[int, int, int], bits: int) -> int:
        """Add blocks of one group (zoom, column, row) by their bits, rows of eight; return the bits already set."""
        before = self._bits.get(group, 0)
        self._bits[group] = before | bits
        self._count += (bits & ~before).bit_count()
        return before & bits

    def touches(self, block: Block) -> bool:
        """Whether the set has any block within `block`, which may have any size."""
        if block.size == LEAF:
            return block in self
        if block.size < GROUP:
            return any(self.touches(part) for part in block.parts())
        x, y, side = block.x // GROUP, block.y // GROUP, max(1, block.side // GROUP)
        return any((block.z, x + dx, y + dy) in self._bits for dy in range(side) for dx in range(side))


def _group_and_bit(block: Block) -> tuple[tuple[int, int, int], int]:
    """The group of a block, and its bit in the group."""
    column, row = block.x // LEAF, block.y // LEAF
    return (block.z, column // LEAF, row // LEAF), 1 << (row % LEAF * LEAF + column % LEAF)
