"""The source of a bake: one raster, or scenes over each other.

Scenes that follow each other on one grid are read as one raster, so kernels see no seam between them. Others are warped
alone and laid over each other by their masks, from the top until the window is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tiler.grid import TILE, Bounds, Window, resolution, zoom_for
from tiler.image.style import Area
from tiler.ingest.areas import over
from tiler.ingest.ground import Ground, overview_of
from tiler.ingest.survey import Survey
from tiler.raster.sparse import Gaps, Share, gaps_of
from tiler.scenes.scene import Scene
from tiler.scenes.scene_grid import SceneGrid, on_one_grid

MARGIN = 8  # pixels of the base around a scene, or of the scene if they are larger, that its kernels may reach


class Source(Protocol):
    """A source of windows of the grid."""

    def warp(self, window: Window) -> Area | None:
        """The window's pixels in the baked dtype; None if there are none."""

    def share(self, window: Window) -> Share:
        """How much of the window is written, as far as known."""


def gaps_in(survey: Survey) -> Gaps | None:
    """The unwritten parts of one raster, if they are known; None for scenes."""
    return None if survey.scenes else gaps_of(_overview(survey)[0], survey.reading)


def source_of(survey: Survey, gaps: Gaps | None) -> Source:
    """The source of a bake; `gaps` are those of `gaps_in`."""
    return Mosaic(survey) if survey.scenes else OneRaster(survey, gaps)


def _overview(survey: Survey) -> tuple[object, float]:
    return overview_of(survey.path, 2.0 ** (survey.zoom - survey.base), survey.open_options)


class OneRaster:
    """One raster, opened for each window: it is opened anew after S3's credentials were renewed."""

    def __init__(self, survey: Survey, gaps: Gaps | None) -> None:
        self._survey = survey
        self._gaps = gaps
        self._ground()

    def _ground(self) -> Ground:
        dataset, ratio = _overview(self._survey)
        return Ground(dataset, self._survey.reading, self._survey.resampling, ratio, self._gaps)

    def warp(self, window: Window) -> Area | None:
        """See `Source`."""
        return self._ground().warp(window)

    def share(self, window: Window) -> Share:
        """See `Source`."""
        return self._ground().share(window)


class Mosaic:
    """The scenes of a survey."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._groups = list(_groups(survey.scenes))
        self._group_of = np.repeat(np.arange(len(self._groups)), [len(group) for group in self._groups])
        self._boxes = np.array([_box(scene, survey.base) for scene in survey.scenes])
        self._grids: dict[int, SceneGrid] = {}

    def share(self, window: Window) -> Share:
        """Whether some scene may touch the window."""
        return "some" if self._touching(window).any() else "none"

    def warp(self, window: Window) -> Area | None:
        """See `Source`."""
        area: Area | None = None
        for group in np.unique(self._group_of[self._touching(window)])[::-1].tolist():
            below = self._ground(group).warp(window)
            if below is not None:
                area = below if area is None else over(area, below)
            if group in self._grids:
                self._grids[group].forget()
            if area is not None and area[1] is None:
                break
        return area

    def _touching(self, window: Window) -> npt.NDArray[np.bool_]:
        """Which scenes may have pixels in the window, as `(scenes,)` bool."""
        world = TILE << window.z
        left, top, right, bottom = self._boxes.T
        inside = (top < window.y + window.height) & (bottom > window.y)
        start = np.mod(window.x - left, world)  # of the window, from the scene's west edge
        return np.asarray(inside & ((start < right - left) | (start + window.width > world)))

    def _ground(self, group: int) -> Ground:
        scenes = self._groups[group]
        survey = self._survey
        shrink = 2.0 ** (zoom_for(scenes[0].resolution) - survey.base)
        if len(scenes) == 1:
            (scene,) = scenes
            dataset, ratio = overview_of(scene.listed.path, shrink, survey.open_options)
            return Ground(dataset, scene.reading, survey.resampling, ratio)
        if group not in self._grids:
            self._grids[group] = SceneGrid.of(scenes, shrink, survey.open_options)
        grid = self._grids[group]
        return Ground(grid, grid.reading, survey.resampling, shrink / grid.factor, grid)


def _groups(scenes: tuple[Scene, ...]) -> Iterator[tuple[Scene, ...]]:
    """Runs of scenes on one grid."""
    run: list[Scene] = []
    for scene in scenes:
        if run and not on_one_grid(run[0], scene):
            yield tuple(run)
            run = []
        run.append(scene)
    yield tuple(run)


def _box(scene: Scene, z: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a scene and its kernels, in pixels of the world at zoom `z`; right > left."""
    world = TILE << z
    bounds: Bounds = scene.bounds
    margin = MARGIN * max(1.0, scene.resolution / resolution(z))
    left = (bounds.west + 180) / 360 * world - margin
    right = left + bounds.width / 360 * world + 2 * margin
    north, south = (
        world * (0.5 - np.arcsinh(np.tan(np.radians(each))) / (2 * np.pi)) for each in (bounds.north, bounds.south)
    )
    return left, float(north) - margin, min(right, left + world), float(south) + margin
