"""Make a layer of a raster: bake, describe and publish it, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tiler import keys
from tiler.errors import BadOption, BadSource, OutOfMemory, SourceReadError, TilerError
from tiler.grid import TILE, Window, tile_ranges
from tiler.ingest.bake import bake_cog
from tiler.ingest.choose_format import choose
from tiler.ingest.disk_space import check_room, check_target, scratch
from tiler.ingest.doubts import doubts
from tiler.ingest.existing import current_layer, is_current, kept_revision
from tiler.ingest.kept_bake import KeptBake, kept_bake
from tiler.ingest.staging import Staging
from tiler.ingest.survey import Survey, revision_of, survey
from tiler.keys import Format
from tiler.layers import catalog, digests, version
from tiler.layers.catalog import Layer
from tiler.layers.credit import plain_markup
from tiler.layers.footprint import Footprint
from tiler.layers.origin import origins as files_now
from tiler.raster.archived import unpacked
from tiler.raster.datasets import OpenOptions, as_it_is, forget, opened, versions
from tiler.raster.options import Options, file_format
from tiler.raster.warp import overview_for, warp
from tiler.scenes.s3_sources import check_readable
from tiler.scenes.source_files import SourceFiles, beneath, beside
from tiler.storage.leftovers import sweep
from tiler.storage.store import Store, Stores

CHANGED = "it changed while it was read: run the same command again"
EMPTY = "it has no valid pixels: all are nodata, masked or transparent"
Approve = Callable[[Survey], object]  # receives a raster's survey before all of it is read; raises an error to end
Stage = Callable[[str], None]  # receives the current step, before there are chunks to count
FOOTPRINT_SAMPLES = 8  # pixels per tile in a virtual layer's footprint mask, at least
FOOTPRINT_PIXELS = 1 << 18  # pixels in the mask of a small layer: GDAL averages only whole pixels


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of an ingest: the layer, the survey of its raster, and whether the layer is new or changed.

    `why` is the reason for an automatic format. `notes` list other files that the raster reads, and what looks wrong.
    """

    layer: Layer
    survey: Survey
    fresh: bool
    why: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()  # those of the notes that question the place of the raster


def _silent(_stage: str) -> None:
    """Ignore the stage."""


def approved(_survey: Survey) -> None:
    """Approve any raster."""


class Examined(NamedTuple):
    """The address, survey, revision and files of a raster."""

    path: str
    survey: Survey
    revision: str
    below: SourceFiles

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
    staging: Staging = Staging(),  # noqa: B008 - a frozen value
    repair: bool = False,
    approve: Approve = approved,
) -> Ingested:
    """Make `source` the current revision of `layer`.

    The same raster with the same options changes nothing, and a kept earlier revision is not baked again. If an
    ingest ends early, the layer is unchanged: its metadata is written last and atomically. Format `auto` is decided
    from the tiles; a layer that already had `auto` keeps its format. `progress` receives the chunks done and their
    total, `stage` the current step before that. `staging` names the scratch folder and follows an upload. `repair`
    replaces damaged metadata; the revision of stored tiles is unknown then. `approve` is called before the whole
    raster is read.

    Raises:
        CatalogError: the layer's metadata is damaged.
        BadSource: the raster cannot become a layer, or some pixel of it cannot be read.
        BadOption: an option does not fit it, or deployed functions could not read the layer.
        NewerMetadata: the layer's metadata is of a newer version.
        StoreError: the data folder cannot be written.
        NoRoom, OutOfMemory, WorkerDied: it could not be baked.
    """
    version.check_readers(stores, version.version_for(options))
    try:
        raster = examined(source, options, stage, approve)
        current_layer(stores.sources, layer, repair=repair)  # unreadable metadata is reported before a long bake
        try:
            stage("baking the first chunks")
            done = _publish(raster, layer, options, stores, staging, jobs=jobs, progress=progress, repair=repair)
        except SourceReadError:
            raster.check(options)
            raise
        with as_it_is(raster.path, raster.survey.open_options) as plain:
            doubted = tuple(doubts(opened(raster.path, open_options=raster.survey.open_options), plain, options))
        return replace(done, notes=(*raster.below.notes(), *raster.survey.notes, *doubted), doubts=doubted)
    except SourceReadError as error:
        raise BadSource(source, f"{error} (is the file complete?)") from error
    except MemoryError as error:
        raise OutOfMemory from error


def _publish(
    raster: Examined,
    layer: str,
    options: Options,
    stores: Stores,
    staging: Staging,
    *,
    jobs: int,
    progress: Callable[[int, int], None],
    repair: bool,
) -> Ingested:
    path, surveyed, revision, _ = raster
    sweep(stores.sources.root, keys.sources_prefix(keys.check_layer(layer)), deep=True)
    current = current_layer(stores.sources, layer, repair=repair)
    same = current is not None and current.revision == revision
    origins = raster.below.origins if options.virtual else ()
    if current and is_current(current, revision, path, stores):
        if current.origins != origins:  # new timestamps, same content
            raster.check(options)
            current = replace(current, origins=origins)
            catalog.publish(current, stores)
        return Ingested(current, surveyed, fresh=False)
    previous = "" if current is None else current.previous if same else current.revision
    old = kept_revision(stores.sources, layer, revision)
    if old and (old.bake is None or stores.sources.has(old.source)):
        restored = replace(old, previous=previous, source=old.source if old.bake else path, origins=origins)
        raster.check(options)
        catalog.publish(restored, stores)
        return Ingested(restored, surveyed, fresh=True)
    draft = Layer(
        id=keys.check_layer(layer),
        revision=revision,
        source=path,
        bounds=surveyed.bounds,
        minzoom=surveyed.minzoom,
        maxzoom=surveyed.maxzoom,
        format=file_format(options.format),
        style=surveyed.style,
        footprint=Footprint(0, 0, 0, np.ones((1, 1), bool)),
        bake=None,
        bands=surveyed.reading.bands,
        resampling=surveyed.resampling,
        reading=surveyed.reading if options.virtual else None,
        attribution=plain_markup(options.attribution),
        asked=options,
        previous=previous,
        origins=origins,
        gdal="" if options.virtual else versions()[0],
    )
    with _undo_on_error(draft, stores), kept_bake(draft, stores.sources, staging) as kept_cog:
        if options.virtual:
            done = replace(draft, footprint=_footprint(surveyed))
            if not done.footprint.cells.any():
                raise BadSource(surveyed.path, _why_empty(surveyed))
        else:
            done = _bake(draft, raster, stores.sources, staging, kept_cog, jobs=jobs, progress=progress)
        form, why = _format_of(done, current, stores.sources)
        done = replace(done, format=form)
        if options.virtual:
            raster.check(options)
        catalog.publish(done, stores)
    return Ingested(done, surveyed, fresh=True, why=why)


@contextmanager
def _undo_on_error(draft: Layer, stores: Stores) -> Iterator[None]:
    """Undo a failed ingest: restore a folder store to its earlier content, and free space.

    S3 stays as it is: a put without an answer may still succeed later.
    """
    tiles, sources = stores.tiles, stores.sources
    if not (tiles.root and sources.root):
        yield
        return
    public = keys.tilejson_key(draft.id)
    before = tiles.get(public) if tiles.has(public) else None
    ours = (keys.source_key, keys.digests_key, keys.revision_key)
    new = [key for key in (of(draft.id, draft.revision) for of in ours) if not sources.has(key)]
    try:
        yield
    except BaseException:
        with suppress(TilerError):
            current = current_layer(sources, draft.id, repair=True)
            if current is None or current.revision != draft.revision:
                sources.delete(new)
                if before is None:
                    tiles.delete([public])
                elif tiles.get(public) != before:
                    tiles.put(public, before, content_type="application/json", cache_control="no-cache")
        raise


def _format_of(draft: Layer, current: Layer | None, sources: Store) -> tuple[Format, str]:
    """The format of a layer, and the reason if it is `auto`; unchanged if possible, to keep stored tiles in use."""
    if draft.asked.format != "auto":
        return draft.format, ""
    if current and current.asked.format == "auto" and draft.takes(current.format):
        return current.format, "the layer already uses it"
    return choose(draft, sources)


def examined(source: str, options: Options, stage: Stage = _silent, approve: Approve = approved) -> Examined:
    """A raster in its current state; `stage` receives the current step, `approve` the survey.

    Raises:
        BadSource, BadOption, SourceReadError: it cannot become a layer.
        StoreError: the network failed.
    """
    forget()
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

        return Examined(path, surveyed, revision_of(path, options, below, surveyed.differs, progress), below)
    except OSError as error:  # a file was removed meanwhile
        raise BadSource(path, CHANGED) from error


def kept(layer: str, revision: str, sources: Store) -> Layer:
    """An earlier revision of the layer, complete enough to render.

    Raises:
        BadOption: it is not kept, or its raster is gone or has changed.
    """
    revisions = catalog.revisions(sources, layer)
    earlier = catalog.load_revision(sources, layer, revision) if revision in revisions else None
    if earlier is None:
        others = ", ".join(sorted(set(revisions) - {revision}))
        cure = f"choose one of {others}" if others else "no other revision is kept"
        raise BadOption(f"revision {revision} of layer {layer!r} is not kept: {cure}")
    if not _as_it_was(earlier, sources):
        raise BadOption(f"the raster of revision {revision}, {earlier.source}, is gone or has changed: ingest it again")
    return earlier


def restore(layer: str, revision: str, stores: Stores) -> Layer:
    """Make an earlier revision of the layer the current one again.

    Raises:
        BadOption: as `kept`.
    """
    earlier = kept(layer, revision, stores.sources)
    current = current_layer(stores.sources, layer)
    earlier = replace(earlier, origins=files_now(Path(each.path) for each in earlier.origins))
    catalog.publish(earlier, stores, undone=current.revision if current else "")
    return earlier


def _as_it_was(layer: Layer, sources: Store) -> bool:
    """Whether the raster of a layer still has the layer's revision."""
    if layer.bake is not None:
        return sources.has(layer.source)
    forget()
    try:
        if revision_of(layer.source, layer.asked) == layer.revision:  # also the revision of an earlier version
            return True
        differs = survey(layer.source, layer.asked).differs
        return bool(differs) and revision_of(layer.source, layer.asked, differs=differs) == layer.revision
    except (BadSource, BadOption, SourceReadError):
        return False


def _bake(
    draft: Layer,
    raster: Examined,
    sources: Store,
    staging: Staging,
    kept_cog: KeptBake | None,
    *,
    jobs: int,
    progress: Callable[[int, int], None],
) -> Layer:
    """`draft` with its COG baked and stored. A COG that an earlier ingest could not upload is not baked again."""
    key = keys.source_key(draft.id, draft.revision)
    done = kept_cog.load() if kept_cog else None
    if done is None:
        with scratch(staging.parent(sources.root), remove=bool(sources.root and not staging.scratch)) as folder:
            staging.check_disk(folder.parent)
            check_room(folder, raster.survey)
            if sources.root:
                check_target(folder, sources.root, raster.survey)
            file = folder / "index.tif"
            bake, levels = bake_cog(raster.survey, file, jobs=jobs, progress=progress)
            raster.check(draft.asked)
            if not levels[0].any():
                raise BadSource(raster.path, _why_empty(raster.survey))
            done = bake, Footprint.within(bake.z, bake.x, bake.y, levels[0] > 0)
            if kept_cog:
                kept_cog.keep(file, *done, digests.encode(levels, bake, draft.gdal))
            else:
                sources.put_file(key, file, content_type="image/tiff")
                digests.store_digests(draft, bake, levels, sources)
    if kept_cog:
        kept_cog.store(staging)
    bake, footprint = done
    return replace(
        draft, source=key, bake=bake, footprint=footprint, bands=tuple(range(1, raster.survey.reading.count + 1))
    )


def _why_empty(surveyed: Survey) -> str:
    """The reason for a layer without any valid pixel: holes of a raster can hide all of it at a low zoom."""
    if surveyed.base == surveyed.zoom:
        return EMPTY
    why = f"it has no valid pixel at zoom {surveyed.base}"
    return f"{why}: unless all its pixels are nodata, try --max-zoom {surveyed.zoom}"


def _footprint(surveyed: Survey) -> Footprint:
    """The tiles that hold data, from a coarse mask of the raster: a tile counts if any pixel of its mask is set."""
    z, ranges = surveyed.base, tile_ranges(surveyed.bounds, surveyed.base)
    while z > 0 and sum(map(len, ranges)) > 1 << 14:
        z -= 1
        ranges = tile_ranges(surveyed.bounds, z)
    west, north = ranges[0].x0, ranges[0].y0
    columns, rows = sum(each.x1 - each.x0 for each in ranges), ranges[0].y1 - north
    samples = FOOTPRINT_SAMPLES
    while samples < TILE and 4 * columns * rows * samples**2 <= FOOTPRINT_PIXELS:
        samples *= 2
    fine = z + samples.bit_length() - 1 - 8  # the zoom at which a pixel of 256 per tile has this size
    shrink = 2.0 ** (surveyed.zoom - fine)
    dataset = opened(
        surveyed.path, overview_for(surveyed.path, shrink, surveyed.open_options), open_options=surveyed.open_options
    )
    window = Window(fine, west * samples, north * samples, columns * samples, rows * samples)
    _, mask = warp(dataset, surveyed.reading, window, "average")
    if not mask.any():  # GDAL averages no raster that contains no whole pixel, but other kernels may fill one
        _, mask = warp(dataset, surveyed.reading, window, surveyed.resampling)
    return Footprint(z, west, north, np.asarray(mask.reshape(rows, samples, columns, samples).any(axis=(1, 3))))
