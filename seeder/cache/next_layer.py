"""The tiles of a layer's next revision before it is baked: at most, and at least.

A planned chunk has the tiles that its scenes touch, valid pixels or not; if the other scenes are as before, only new
ones add tiles. A tile with data keeps it, unless its part changes and a scene that touches it goes or changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from seeder.cache.foreseen import tiles_of
from seeder.select.morton import places as axes
from seeder.select.selection import data_tiles
from seeder.select.tileset import TileSet
from tiler.grid import Bounds, TileRange, tile_ranges
from tiler.ingest.chunks import CHUNK
from tiler.ingest.planned_parts import PlannedParts
from tiler.ingest.survey import Survey
from tiler.layers.catalog import Layer
from tiler.layers.footprint import CELLS, Footprint
from tiler.layers.pyramid import Place
from tiler.scenes.scene import Scene
from tiler.scenes.scene_index import tiles_touched


class Moves(NamedTuple):
    """The scenes that a layer loses or reads again, and those that it gains or reads again."""

    gone: tuple[Scene, ...]
    new: tuple[Scene, ...]


def at_most(
    layer: Layer, survey: Survey, parts: PlannedParts, places: frozenset[Place] | None, moves: Moves | None
) -> Layer:
    """`layer` with the bounds and zooms of a survey, and at most the tiles that it has once some `places` are baked.

    None stands for all places, or for all scenes.
    """
    base = survey.base
    step = min(CHUNK, 1 << base)
    chunks = (chunk for place, each in parts.chunks.items() if places is None or place in places for chunk in each)
    tiles = TileSet.ranges(
        base,
        (
            TileRange(base, chunk.column * step, chunk.row * step, (chunk.column + 1) * step, (chunk.row + 1) * step)
            for chunk in chunks
        ),
    )
    if survey.scenes:
        tiles &= _touched(survey.scenes, base)
    if moves and places is not None:
        tiles &= data_tiles(layer.footprint).at(base) | _touched(moves.new, base)
    if places is not None:
        tiles |= data_tiles(layer.footprint).at(base) - tiles_of(places, base)
    return _with(layer, survey, tiles)


def at_least(layer: Layer, survey: Survey, places: frozenset[Place] | None, moves: Moves | None) -> Layer:
    """`layer` with the bounds and zooms of a survey, and only tiles that it surely has once some `places` are baked.

    None stands for all places, or for all scenes.
    """
    base = survey.base
    tiles = data_tiles(layer.footprint).at(base)
    if places is None:
        tiles = TileSet.nothing(base)
    elif moves is None:
        tiles -= tiles_of(places, base)
    else:
        tiles -= _touched(moves.gone, base) & tiles_of(places, base)
    return _with(layer, survey, tiles)


def _touched(scenes: Sequence[Scene], z: int) -> TileSet:
    return TileSet.ranges(z, tiles_touched(scenes, z))


def _with(layer: Layer, survey: Survey, tiles: TileSet) -> Layer:
    footprint = _footprint(tiles, survey.bounds)
    return replace(layer, bounds=survey.bounds, minzoom=survey.minzoom, maxzoom=survey.maxzoom, footprint=footprint)


def _footprint(tiles: TileSet, bounds: Bounds) -> Footprint:
    """The footprint of tiles within bounds."""
    z = tiles.z
    while z and sum(map(len, tile_ranges(bounds, z))) > CELLS:
        z -= 1
    ranges = tile_ranges(bounds, z)
    west, north, rows = ranges[0].x0, ranges[0].y0, ranges[0].y1 - ranges[0].y0
    cells = np.zeros((rows, sum(each.x1 - each.x0 for each in ranges)), bool)
    x, y = axes((tiles.at(z) & TileSet.ranges(z, ranges)).codes)
    cells[y - north, (x - west) % (1 << z)] = True
    return Footprint(z, west, north, cells)
