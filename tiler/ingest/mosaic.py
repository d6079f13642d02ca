"""The source of a bake: one raster, or scenes over each other.

Scenes that follow each other on one grid are read as one raster, so kernels see no seam between them. Others are warped
alone and laid over each other by their masks, from the top until the window is full. Only the scenes that touch a
window take part, so that its pixels do not depend on others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rasterio.io import DatasetReader

from tiler.grid import Window, grown, zoom_for
from tiler.image.style import Area
from tiler.ingest.areas import over
from tiler.ingest.ground import Ground, overview_of
from tiler.ingest.survey import Survey
from tiler.raster.sparse import Gaps, Share, gaps_of
from tiler.scenes.scene import Scene
from tiler.scenes.scene_grid import SceneGrid, on_one_grid
from tiler.scenes.scene_index import SceneIndex

SLACK = 1024  # pixels around a window whose scenes are read too: the window's box in a turned grid is larger


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


def _overview(survey: Survey) -> tuple[DatasetReader, float]:
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
        self._index = SceneIndex(survey.scenes, survey.base)

    def share(self, window: Window) -> Share:
        """Whether some scene may touch the window."""
        return "some" if self._index.touching(window) else "none"

    def warp(self, window: Window) -> Area | None:
        """See `Source`."""
        area: Area | None = None
        for group in reversed(list(_groups(self._index.touching(grown(window, SLACK))))):
            below = self._ground(group).warp(window)
            if below is not None:
                area = below if area is None else over(area, below)
            if area is not None and area[1] is None:
                break
        return area

    def _ground(self, scenes: Sequence[Scene]) -> Ground:
        survey = self._survey
        shrink = 2.0 ** (zoom_for(scenes[0].resolution) - survey.base)
        if len(scenes) == 1:
            (scene,) = scenes
            dataset, ratio = overview_of(scene.listed.path, shrink, survey.open_options)
            return Ground(dataset, scene.reading, survey.resampling, ratio)
        grid = SceneGrid.of(scenes, shrink, survey.open_options)
        return Ground(grid, grid.reading, survey.resampling, shrink / grid.factor, grid)


def _groups(scenes: Sequence[Scene]) -> Iterator[list[Scene]]:
    """Runs of scenes on one grid."""
    run: list[Scene] = []
    for scene in scenes:
        if run and not on_one_grid(run[0], scene):
            yield run
            run = []
        run.append(scene)
    if run:
        yield run
