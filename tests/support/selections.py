"""Layers and selections, with mercantile and brute force as oracles."""

from __future__ import annotations

from hypothesis import strategies as st
from mercantile import Tile

from seeder.select.blocks import BlockMask
from seeder.select.selection import Selection
from tests.support.layer_strategies import held, layers
from tests.support.strategies import bounds
from tests.support.tilesets import touched
from tiler.grid import LEAF, Block, Bounds
from tiler.layers.catalog import Layer


@st.composite
def asked(draw: st.DrawFn) -> tuple[Layer, Selection]:
    """A layer and a selection of it; some boxes lie on its bounds."""
    layer = draw(layers())
    boxes = draw(st.lists(bounds() | st.just(layer.bounds), max_size=3))
    zooms = draw(st.sets(st.integers(layer.minzoom, layer.maxzoom), min_size=1, max_size=2))
    return layer, Selection(tuple(sorted(zooms)), tuple(boxes))


def wanted(layer: Layer, boxes: tuple[Bounds, ...], z: int) -> set[Tile]:
    found = touched(layer.bounds, z) & held(layer.footprint, z)
    near = [touched(box, z) for box in boxes if box.overlaps(layer.bounds)]
    return found.intersection(set().union(*near)) if boxes else found


def tiles_of(block_mask: BlockMask) -> list[Tile]:
    return list(block_mask.block.tiles(block_mask.tiles if block_mask.block.size == LEAF else None))


def z_order(block: Block) -> int:
    """The position of a block's north-west tile on the Z curve."""
    return sum((block.x >> bit & 1) << 2 * bit | (block.y >> bit & 1) << 2 * bit + 1 for bit in range(block.z))
