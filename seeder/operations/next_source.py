"""The rasters and options of a layer's next revision, as given to a refresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from seeder.operations.report import Report
from seeder.operations.scenes import (
    SceneChanges,
    ScenesChanged,
    Sources,
    change_scenes,
    counted,
    earlier_scenes,
    kept_scenes,
    read_sources,
)
from tiler.errors import BadOption
from tiler.grid import zoom_for
from tiler.image.colormap import is_file, is_relative, text_of
from tiler.ingest.staging import Staging
from tiler.layers.catalog import Layer
from tiler.raster.options import ACCESS, TOLD, Options
from tiler.scenes.scene_list import SceneList
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class NextSource:
    """The rasters of a layer's next revision, and the options that differ from the last ingest's.

    That is all of `sources`, or the layer's scenes with `scene_changes`. It is false if nothing is given: then a
    refresh only re-renders stale tiles.
    """

    sources: Sources
    changes: Mapping[str, Any]
    staging: Staging = Staging()  # noqa: RUF009 - a frozen value
    scene_changes: SceneChanges = SceneChanges()  # noqa: RUF009 - as above

    def __bool__(self) -> bool:
        return bool(self.changes or self.scene_changes) or replace(self.sources, upload=None) != Sources(())

    @property
    def told(self) -> Options | None:
        """The title and description that are given, if nothing else is; else None."""
        rest = replace(self, changes={name: value for name, value in self.changes.items() if name not in TOLD})
        return Options(**self.changes) if self.changes and not rest else None

    def check(self, layer: Layer) -> None:
        """Check that its parts agree, and that a layer of one raster gets another one.

        Raises:
            BadOption: they do not, or it does not.
        """
        if self.sources.names and self.scene_changes:
            raise BadOption("SOURCE lists all scenes: leave it out, or leave out --add, --replace and --drop")
        if not (self.sources.names or self.scene_changes or layer.scenes):
            raise BadOption(f"raster options need SOURCE: run `seeder refresh {layer.id} SOURCE ...`")

    def options(self, layer: Layer) -> Options:
        """The options of its ingest. Trust in the last raster, and access to it, do not extend to this one."""
        return replace(layer.asked, **{**dict.fromkeys(ACCESS, False), **self.changes})

    def read(
        self, layer: Layer, stores: Stores, report: Report, *, jobs: int
    ) -> tuple[str | SceneList, Options, ScenesChanged | None]:
        """The raster's path, or the scenes; the options; of a layer of scenes the changes, which is the step that ends.

        Of other scenes, a layer of scenes keeps its highest zoom and its range from black to white, unless they are
        given: otherwise one new scene would change all tiles.

        Raises:
            BadSource, BadOption, StoreError: see `seeder.operations.scenes`.
        """
        options = self.options(layer)
        known = kept_scenes(layer, stores.sources) if self.scene_changes or layer.scenes else None
        again = not options.read_alike(layer.asked)
        scenes: str | SceneList
        counts = None
        if known and not self.sources.names:
            changes, earlier = self.scene_changes, earlier_scenes(layer, stores.sources)
            scenes, counts = change_scenes(
                layer, known, changes, self.sources, options, report, jobs=jobs, earlier=earlier, again=again
            )
        else:
            valid = replace(known, scenes=()) if known and again else known  # they were read with other options
            scenes = read_sources(self.sources, options, report, jobs=jobs, known=valid)
            if known and isinstance(scenes, SceneList):
                counts = counted(layer.id, known, scenes)
        if counts:
            report.ended(counts)
        if known is None or again or (isinstance(scenes, SceneList) and scenes.same_as(known)):
            return scenes, options, counts
        if isinstance(scenes, SceneList) and "max_zoom" not in self.changes:
            _note_finer(layer, known, scenes, report)
        return scenes, _frozen(options, layer), counts


def _note_finer(layer: Layer, before: SceneList, after: SceneList, report: Report) -> None:
    """Tell that the layer's highest zoom stays below that of a new scene, if all were within it before."""
    finest = min(after.scenes, key=lambda scene: scene.resolution)
    zoom = zoom_for(finest.resolution)
    if zoom > layer.maxzoom >= max(zoom_for(scene.resolution) for scene in before.scenes):
        report.note(
            f"zoom {layer.maxzoom} is kept although {finest.address} has zoom {zoom}: "
            f"add --max-zoom {zoom} to raise it and bake all parts again"
        )


def _frozen(options: Options, layer: Layer) -> Options:
    """The options with the layer's highest zoom, range, colours of percentages, and contours, where they have none."""
    asked, style, file = layer.asked, layer.style, is_file(options.colormap)
    same = options.style == style.terrain
    ranged = same and options.style in ("", "relief") and not options.rescale
    shares = ranged and is_relative(options.colormap) and options.colormap == asked.colormap
    return replace(
        options,
        max_zoom=layer.maxzoom if options.max_zoom is None else options.max_zoom,
        rescale=style.rescale if ranged and not file else options.rescale,
        colormap=text_of(style.stops) if shares else options.colormap,
        interval=style.intervals if same and options.interval == asked.interval else options.interval,
    )
