"""A set of blocks in little memory: a billion tiles' worth takes some 50 MB."""

from __future__ import annotations

from tiler.grid import LEAF, Block

GROUP = LEAF * LEAF  # tiles along the side of the square whose blocks share an entry


class BlockSet:
    """A set of blocks of 8 x 8 tiles: 64 neighbours are the bits of one number."""

    def __init__(self) -> None:
        self._bits: dict[tuple[int, int, int], int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, block: Block) -> bool:
        place, bit = _place(block)
        return bool(self._bits.get(place, 0) & bit)

    def add(self, block: Block) -> None:
        """Put `block` in, if it is not in yet."""
        place, bit = _place(block)
        before = self._bits.get(place, 0)
        self._bits[place] = before | bit
        self._count += not before & bit

    def touches(self, block: Block) -> bool:
        """Whether any block within `block`, whatever its size, is in."""
        if block.size == LEAF:
            return block in self
        if block.size < GROUP:
            return any(self.touches(part) for part in block.parts())
        x, y, side = block.x // GROUP, block.y // GROUP, max(1, block.side // GROUP)
        return any((block.z, x + dx, y + dy) in self._bits for dy in range(side) for dx in range(side))


def _place(block: Block) -> tuple[tuple[int, int, int], int]:
    """Where a block's bit is: its group and the bit."""
    column, row = block.x // LEAF, block.y // LEAF
    return (block.z, column // LEAF, row // LEAF), 1 << (row % LEAF * LEAF + column % LEAF)
