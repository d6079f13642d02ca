"""Find the scenes that touch a window of the grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tiler.grid import TILE, Bounds, TileRange, Window, resolution
from tiler.scenes.scene import Scene

MARGIN = 8  # pixels of the base around a scene, or of the scene if they are larger, that its kernels may reach

Box = tuple[float, float, float, float]


class SceneIndex:
    """Scenes, the lowest first, by their place at zoom `z`."""

    def __init__(self, scenes: Sequence[Scene], z: int) -> None:
        self._scenes = scenes
        self._boxes = np.array([_box(scene, z) for scene in scenes])

    def touching(self, window: Window) -> list[Scene]:
        """The scenes that may have pixels in the window, in their order."""
        world = TILE << window.z
        left, top, right, bottom = self._boxes.T
        inside = (top < window.y + window.height) & (bottom > window.y)
        start = np.mod(window.x - left, world)  # of the window, from the scene's west edge
        found = np.flatnonzero(inside & ((start < right - left) | (start + window.width > world)))
        return [self._scenes[each] for each in found.tolist()]


def tiles_touched(scenes: Sequence[Scene], z: int) -> Iterator[TileRange]:
    """The tiles of zoom `z` in which scenes may have pixels if they are baked at `z`."""
    across = 1 << z
    for left, top, right, bottom in (_box(scene, z) for scene in scenes):
        first, last = math.floor(left / TILE), math.ceil(right / TILE)
        rows = max(0, math.floor(top / TILE)), min(across, math.ceil(bottom / TILE))
        spans = [(0, across)] if last - first >= across else [(first % across, (last - 1) % across + 1)]
        if spans[0][0] >= spans[0][1]:  # across the antimeridian
            spans = [(spans[0][0], across), (0, spans[0][1])]
        yield from (TileRange(z, x0, rows[0], x1, rows[1]) for x0, x1 in spans if rows[0] < rows[1])


def _box(scene: Scene, z: int) -> Box:
    """The box of a scene and its kernels."""
    return box_of(scene.bounds, z, MARGIN * max(1.0, scene.resolution / resolution(z)))


def box_of(bounds: Bounds, z: int, margin: float = 0.0) -> Box:
    """Left, top, right and bottom in pixels of the world at zoom `z`, with a margin of some pixels; right > left."""
    world = TILE << z
    left = (bounds.west + 180) / 360 * world - margin
    right = left + bounds.width / 360 * world + 2 * margin
    north, south = (
        world * (0.5 - math.asinh(math.tan(math.radians(each))) / (2 * math.pi))
        for each in (bounds.north, bounds.south)
    )
    return left, north - margin, min(right, left + world), south + margin
