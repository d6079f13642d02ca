"""Examine a raster or scenes before a bake: survey and revision, and later whether they are still the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from tiler.errors import BadSource, ChangedSource, SourceReadError
from tiler.grid import Window, grown
from tiler.ingest.baker import HALO
from tiler.ingest.doubts import doubts
from tiler.ingest.mosaic import SLACK
from tiler.ingest.survey import Hashes, Survey, hashes_of, revision_of, survey
from tiler.ingest.survey_scenes import revision_of_scenes, survey_scenes
from tiler.ingest.watch import Watch
from tiler.layers.origin import Origin
from tiler.raster.archived import unpacked
from tiler.raster.datasets import OpenOptions, as_it_is, forget, opened
from tiler.raster.options import Options
from tiler.scenes.order import ordered
from tiler.scenes.s3_sources import check_readable
from tiler.scenes.scene import Scene
from tiler.scenes.scene_index import SceneIndex
from tiler.scenes.scene_list import SceneList
from tiler.scenes.source_files import SourceFiles, beneath, beside

Approve = Callable[[Survey], object]  # receives a raster's survey before all of it is read; raises an error to end
Stage = Callable[[str], None]  # receives the current step, before there are chunks to count


def silent(_stage: str) -> None:
    """Ignore the stage."""


def approved(_survey: Survey) -> None:
    """Approve any raster."""


class Examined(NamedTuple):
    """The address, survey, hashes and files of a raster, and the options of its ingest.

    `settled` is not empty once its content was compared after the times of its files had become sure.
    """

    path: str
    survey: Survey
    hashes: Hashes
    below: SourceFiles
    options: Options
    settled: set[str]

    @property
    def revision(self) -> str:
        """The revision of its layer."""
        return self.hashes.revision

    def to_move(self) -> Examined:
        """The same before it is copied elsewhere, which gives it a revision that nobody knows yet."""
        return self._replace(hashes=self.hashes._replace(revision=""))

    def content_in(self, _window: Window) -> object:
        """The identity of a window's pixels: the content of the raster, and how it is read."""
        return self.hashes.content, self.survey.reading, self.survey.open_options.pixels, self.survey.zoom

    def check_in(self, _window: Window) -> None:
        """Reject a raster whose files changed since it was examined: by their size and times, or content if recent.

        Raises:
            BadSource: it changed.
        """
        if self.settled and beneath(self.path, self.survey.open_options).as_before(self.below):
            return
        settled = self.below.sure or self.below.settled(time.time_ns())
        self.check(self.options)
        if settled:
            self.settled.add(self.path)

    @property
    def listed(self) -> SceneList | None:
        """The scenes; none for one raster."""
        return None

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The files as a virtual layer records them."""
        return self.below.origins

    def doubts(self, options: Options) -> tuple[str, ...]:
        """Notes that question the place of the raster."""
        with as_it_is(self.path, self.survey.open_options) as plain:
            return tuple(doubts(opened(self.path, open_options=self.survey.open_options), plain, options))

    def notes(self, watched: Collection[str] = ()) -> tuple[str, ...]:
        """Notes for the user; changes of `watched` files are noticed."""
        return (*self.below.notes(watched), *self.survey.notes)

    def check(self, options: Options) -> None:
        """Reject a raster that changed since it was examined.

        Raises:
            BadSource: it changed.
        """
        try:
            now = beneath(self.path, OpenOptions.of(options))
            same = now.as_before(self.below) and (
                self.below.sure or revision_of(self.path, options, now, self.survey.differs) == self.revision
            )
        except (BadSource, SourceReadError, OSError):
            same = False
        if not same:
            raise ChangedSource(self.path)


class ExaminedScenes(NamedTuple):
    """The name, survey and revision of scenes, the options of their ingest, and their index."""

    path: str
    survey: Survey
    revision: str
    listed: SceneList
    options: Options
    places: SceneIndex
    watch: Watch

    def to_move(self) -> ExaminedScenes:
        """The same before some are copied elsewhere; see `Examined.to_move`."""
        return self._replace(revision="")

    def content_in(self, window: Window) -> object:
        """The identity of a window's pixels: the scenes that touch it, in their order, and how they are read."""
        near = self._near(window)
        self.watch.begin(near)
        return [(scene.identity, scene.reading) for scene in near], self.survey.open_options.pixels

    def check_in(self, window: Window) -> None:
        """Reject scenes of a window that changed since their headers were read.

        Raises:
            BadSource: one changed.
        """
        self.watch.check(self._near(window))

    def _near(self, window: Window) -> list[Scene]:
        """The scenes that the bake of a window reads."""
        return self.places.touching(grown(window, HALO + SLACK))

    @property
    def origins(self) -> tuple[Origin, ...]:
        """None: scenes are always baked."""
        return ()

    def doubts(self, _options: Options) -> tuple[str, ...]:
        """None: the headers were checked when they were read."""
        return ()

    def notes(self, _watched: Collection[str] = ()) -> tuple[str, ...]:
        """Notes for the user."""
        return self.survey.notes

    def check(self, _options: Options) -> None:
        """Reject scenes that changed since their headers were read.

        Raises:
            BadSource: one changed.
        """
        self.watch.check(self.listed.scenes)


def named(source: str | SceneList) -> str:
    """The name of a source in messages."""
    if isinstance(source, str):
        return source
    count = len(source.scenes)
    return source.scenes[0].address if count == 1 else f"{count} scenes"


def examined(
    source: str | SceneList, options: Options, stage: Stage = silent, approve: Approve = approved
) -> Examined | ExaminedScenes:
    """A raster or scenes in their current state; `stage` receives the current step, `approve` the survey.

    Raises:
        BadSource, BadOption, SourceReadError: it cannot become a layer.
        StoreError: the network failed.
    """
    forget()
    if not isinstance(source, str):
        scenes = ordered(source.scenes, source.overlap)
        stage("sampling their values")
        surveyed = survey_scenes(scenes, options)
        approve(surveyed)
        revision = revision_of_scenes(scenes, options, source.overlap)
        places = SceneIndex(scenes, surveyed.base)
        return ExaminedScenes(named(source), surveyed, revision, source, options, places, Watch(options))
    try:
        path = unpacked(str(Path(source).absolute())) if Path(source).exists() else source
        if options.virtual:  # tiles may be rendered from another working directory
            path = beside(path, Path.cwd() / "here")
        stage("listing its files")
        check_readable(path, [path], options)
        below = beneath(path, OpenOptions.of(options))
        check_readable(path, below.unknown, options)
    except OSError as error:
        raise BadSource(source, error.strerror or str(error)) from error
    try:
        stage("sampling its values")
        surveyed = survey(path, options)
        approve(surveyed)
        stage("reading it to compute its revision")
        size = sum(each[0] for each in below.stamps)

        def progress(done: int) -> None:
            stage(f"reading {size / 1e6:,.0f} MB to compute its revision, {done / max(size, 1):.0%} done")

        hashes = hashes_of(path, options, below, surveyed.differs, progress)
        return Examined(path, surveyed, hashes, below, options, set())
    except OSError as error:  # a file was removed meanwhile
        raise ChangedSource(path) from error
