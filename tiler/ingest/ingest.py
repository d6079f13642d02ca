"""A raster to a layer: baked, described and published in one go, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tiler import keys
from tiler.errors import BadOption, BadSource, CatalogError, SourceReadError, TilerError, UnknownLayer
from tiler.grid import TILE, Window, tile_ranges
from tiler.ingest.bake import bake_cog
from tiler.ingest.choose_format import choose
from tiler.ingest.disk_space import check_room, scratch
from tiler.ingest.doubts import doubts
from tiler.ingest.source_files import SourceFiles, beneath, beside
from tiler.ingest.survey import Survey, revision_of, survey
from tiler.keys import Format
from tiler.layers import catalog, history
from tiler.layers.catalog import Layer
from tiler.layers.credit import plain_markup
from tiler.layers.footprint import Footprint
from tiler.layers.origin import check_origins
from tiler.layers.origin import origins as files_now
from tiler.raster.archived import unpacked
from tiler.raster.datasets import OpenOptions, as_it_is, forget, opened
from tiler.raster.options import Options
from tiler.raster.warp import overview_for, warp
from tiler.storage.leftovers import sweep
from tiler.storage.store import Store, Stores

CHANGED = "it changed while it was read: run the same command again"
EMPTY = "it holds no valid pixel"
Stage = Callable[[str], None]  # told what is under way before there are chunks to count
LOOK = 8  # pixels a tile that a virtual layer's footprint is looked for with, at least
CLOSE = 1 << 18  # pixels that a small one is looked at with: GDAL averages nothing that is as small as a pixel


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did: the layer, what its raster was found to be, and whether anything is new.

    `why` tells how the format was decided, where that was left open; `notes` what it was read from besides its file,
    and what looks wrong.
    """

    layer: Layer
    survey: Survey
    fresh: bool
    why: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()  # those of the notes that question the place of the raster


def _silent(_stage: str) -> None:
    """Nobody asks."""


class Examined(NamedTuple):
    """A raster's address, survey, revision and files."""

    path: str
    survey: Survey
    revision: str
    below: SourceFiles

    def check(self, options: Options) -> None:
        """Refuse a raster that changed since it was examined.

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
            raise BadSource(self.path, CHANGED)


def ingest(
    source: str,
    layer: str,
    options: Options,
    stores: Stores,
    *,
    jobs: int,
    progress: Callable[[int, int], None],
    stage: Stage = _silent,
) -> Ingested:
    """Make `source` the current revision of `layer`.

    The same raster with the same options changes nothing, and what is still kept of an earlier revision is not made
    again. Whatever ends an ingest early, the layer stays what it was: its metadata is written last and at once. Where
    the format is `auto`, the tiles decide; a layer of which that was asked before keeps what it has. `progress` is
    told the chunks done and those to do, `stage` before that what is under way.

    Raises:
        BadSource: the raster cannot become a layer, or some pixel of it cannot be read.
        BadOption: an option does not fit it.
    """
    try:
        seen = examined(source, options, stage)
        try:
            stage("baking the first chunks")
            done = _made(seen, layer, options, stores, jobs=jobs, progress=progress)
        except SourceReadError:
            seen.check(options)
            raise
        with as_it_is(seen.path, seen.survey.open_options) as plain:
            doubted = tuple(doubts(opened(seen.path, open_options=seen.survey.open_options), plain, options))
        return replace(done, notes=(*seen.below.notes(), *seen.survey.notes, *doubted), doubts=doubted)
    except SourceReadError as error:
        raise BadSource(source, f"{error} (is the file whole?)") from error


def _made(
    seen: Examined, layer: str, options: Options, stores: Stores, *, jobs: int, progress: Callable[[int, int], None]
) -> Ingested:
    path, found, revision, _ = seen
    sweep(stores.sources.root, keys.sources_prefix(keys.check_layer(layer)), deep=True)
    current = _current(stores.sources, layer)
    same = current is not None and current.revision == revision
    origins = seen.below.origins if options.virtual else ()
    if current and same and (current.bake or current.source == path) and _complete(current, stores):
        if current.origins != origins:  # touched, and yet the same
            seen.check(options)
            current = replace(current, origins=origins)
            catalog.publish(current, stores)
        return Ingested(current, found, fresh=False)
    previous = "" if current is None else current.previous if same else current.revision
    old = _kept(stores.sources, layer, revision)
    if old and (old.bake is None or stores.sources.has(old.source)):
        made = replace(old, previous=previous, source=old.source if old.bake else path, origins=origins)
        seen.check(options)
        catalog.publish(made, stores)
        return Ingested(made, found, fresh=True)
    draft = Layer(
        id=keys.check_layer(layer),
        revision=revision,
        source=path,
        bounds=found.bounds,
        minzoom=found.minzoom,
        maxzoom=found.maxzoom,
        format="png" if options.format == "auto" else options.format,
        style=found.style,
        footprint=Footprint(0, 0, 0, np.ones((1, 1), bool)),
        bake=None,
        bands=found.reading.bands,
        resampling=found.resampling,
        reading=found.reading if options.virtual else None,
        attribution=plain_markup(options.attribution),
        asked=options,
        previous=previous,
        origins=origins,
    )
    with _undone(draft, stores):
        if options.virtual:
            made = replace(draft, footprint=_footprint(found))
            if not made.footprint.cells.any():
                raise BadSource(found.path, EMPTY)
        else:
            made = _baked(draft, seen, stores.sources, jobs=jobs, progress=progress)
        form, why = _decided(made, current, stores.sources)
        made = replace(made, format=form)
        if options.virtual:
            seen.check(options)
        catalog.publish(made, stores)
    return Ingested(made, found, fresh=True, why=why)


@contextmanager
def _undone(draft: Layer, stores: Stores) -> Iterator[None]:
    """Undo a failed ingest: restore a folder store to its earlier content and free space.

    Nothing is undone in S3: an unanswered put may still succeed later.
    """
    tiles, sources = stores.tiles, stores.sources
    if not (tiles.root and sources.root):
        yield
        return
    public = keys.tilejson_key(draft.id)
    before = tiles.get(public) if tiles.has(public) else None
    ours = (keys.source_key(draft.id, draft.revision), keys.revision_key(draft.id, draft.revision))
    new = [key for key in ours if not sources.has(key)]
    try:
        yield
    except BaseException:
        with suppress(TilerError):
            current = _current(sources, draft.id)
            if current is None or current.revision != draft.revision:
                sources.delete(new)
                if before is None:
                    tiles.delete([public])
                elif tiles.get(public) != before:
                    tiles.put(public, before, content_type="application/json", cache_control="no-cache")
        raise


def _decided(made: Layer, current: Layer | None, sources: Store) -> tuple[Format, str]:
    """The format of a layer, and why where that was left open. Another one would leave stored tiles behind."""
    if made.asked.format != "auto":
        return made.format, ""
    if current and current.asked.format == "auto" and made.takes(current.format):
        return current.format, "the layer has it"
    return choose(made, sources)


def examined(source: str, options: Options, stage: Stage = _silent) -> Examined:
    """A raster as it is now; `stage` is told what is under way.

    Raises:
        BadSource, BadOption, SourceReadError: it cannot become a layer.
    """
    forget()
    path = unpacked(str(Path(source).absolute())) if Path(source).exists() else source
    if options.virtual:  # it is read from anywhere later on
        path = beside(path, Path.cwd() / "here")
    stage("looking for its files")
    below = beneath(path, OpenOptions.of(options))
    try:
        stage("looking at its values")
        found = survey(path, options)
        stage("reading it for its revision")
        size = sum(each[0] for each in below.stamps)

        def told(done: int) -> None:
            stage(f"reading {size / 1e6:,.0f} MB for its revision, {done / max(size, 1):.0%} done")

        return Examined(path, found, revision_of(path, options, below, found.differs, told), below)
    except OSError as error:  # a file is gone that was there a moment ago
        raise BadSource(path, CHANGED) from error


def check_unchanged(layer: Layer) -> None:
    """Refuse a virtual layer whose files changed since ingest, or that has new sidecars.

    Raises:
        BadSource, SourceReadError: they are not.
    """
    if layer.origins:
        check_origins(layer.id, layer.source, layer.origins)  # also where a file is gone, which nobody can open
        now = beneath(layer.source, OpenOptions.of(layer.asked)).origins
        check_origins(layer.id, layer.source, layer.origins, now)


def kept(layer: str, revision: str, sources: Store) -> Layer:
    """An earlier revision of the layer, of which all is there that it takes to render.

    Raises:
        BadOption: nothing of it is kept, or its raster is gone or has changed.
    """
    there = catalog.revisions(sources, layer)
    found = catalog.load_revision(sources, layer, revision) if revision in there else None
    if found is None:
        others = sorted(set(there) - {revision})
        raise BadOption(f"revision {revision} of layer {layer!r} is not kept; there are {', '.join(others) or 'none'}")
    if not _as_it_was(found, sources):
        raise BadOption(f"the raster of revision {revision}, {found.source}, is gone or has changed: ingest it again")
    return found


def restore(layer: str, revision: str, stores: Stores) -> Layer:
    """Make an earlier revision of the layer the current one again.

    Raises:
        BadOption: as `kept`.
    """
    found = kept(layer, revision, stores.sources)
    current = _current(stores.sources, layer)
    found = replace(found, origins=files_now(Path(each.path) for each in found.origins))
    catalog.publish(found, stores, undone=current.revision if current else "")
    return found


def _as_it_was(layer: Layer, sources: Store) -> bool:
    """Whether the raster of a layer still is what its revision says."""
    if layer.bake is not None:
        return sources.has(layer.source)
    forget()
    try:
        if revision_of(layer.source, layer.asked) == layer.revision:  # also one of an earlier version
            return True
        differs = survey(layer.source, layer.asked).differs
        return bool(differs) and revision_of(layer.source, layer.asked, differs=differs) == layer.revision
    except (BadSource, BadOption, SourceReadError):
        return False


def _current(sources: Store, layer: str) -> Layer | None:
    try:
        return catalog.load_layer(sources, layer)
    except (UnknownLayer, CatalogError):
        return None


def _kept(sources: Store, layer: str, revision: str) -> Layer | None:
    try:
        return catalog.load_revision(sources, layer, revision)
    except CatalogError:
        return None


def _complete(layer: Layer, stores: Stores) -> bool:
    if not history.sound(stores.sources, layer.id):
        return False
    parts = stores.tiles.has(keys.tilejson_key(layer.id))
    return parts and (layer.bake is None or stores.sources.has(layer.source))


def _baked(draft: Layer, seen: Examined, sources: Store, *, jobs: int, progress: Callable[[int, int], None]) -> Layer:
    """`draft` with its COG baked and stored."""
    with scratch(sources.root) as folder:
        check_room(folder, seen.survey)
        file = folder / "index.tif"
        bake, cells = bake_cog(seen.survey, file, jobs=jobs, progress=progress)
        seen.check(draft.asked)
        if not cells.any():
            raise BadSource(seen.path, EMPTY)
        key = keys.source_key(draft.id, draft.revision)
        sources.put_file(key, file, content_type="image/tiff")
    footprint = Footprint.within(bake.z, bake.x, bake.y, cells)
    return replace(
        draft, source=key, bake=bake, footprint=footprint, bands=tuple(range(1, seen.survey.reading.count + 1))
    )


def _footprint(found: Survey) -> Footprint:
    """Where a raster has data, from a coarse look at its mask: a tile counts if any of its pixels is seen."""
    z, ranges = found.base, tile_ranges(found.bounds, found.base)
    while z > 0 and sum(map(len, ranges)) > 1 << 14:
        z -= 1
        ranges = tile_ranges(found.bounds, z)
    west, north = ranges[0].x0, ranges[0].y0
    columns, rows = sum(each.x1 - each.x0 for each in ranges), ranges[0].y1 - north
    samples = LOOK
    while samples < TILE and 4 * columns * rows * samples**2 <= CLOSE:
        samples *= 2
    fine = z + samples.bit_length() - 1 - 8  # a tile of `samples` pixels is one of 256 pixels so many zooms lower
    shrink = 2.0 ** (found.zoom - fine)
    dataset = opened(found.path, overview_for(found.path, shrink, found.open_options), open_options=found.open_options)
    _, mask = warp(
        dataset,
        found.reading,
        Window(fine, west * samples, north * samples, columns * samples, rows * samples),
        "average",
    )
    return Footprint(z, west, north, np.asarray(mask.reshape(rows, samples, columns, samples).any(axis=(1, 3))))
