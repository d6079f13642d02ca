"""Make a layer of a raster: bake, describe and publish it, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tiler import keys
from tiler.errors import BadOption, BadSource, OutOfMemory, SourceReadError, TilerError
from tiler.grid import TILE, Window, tile_ranges
from tiler.ingest.bake import bake_layer
from tiler.ingest.baked_parts import Summary
from tiler.ingest.disk_space import check_target, scratch
from tiler.ingest.drafts import baked_layer, described, draft_of, publish, why_empty, with_format, with_legend
from tiler.ingest.examine import Approve, Examined, ExaminedScenes, Stage, approved, examined, named, silent
from tiler.ingest.existing import current_layer, is_current, is_stored, kept_revision
from tiler.ingest.staging import Staging
from tiler.ingest.survey import Survey, revision_of, survey
from tiler.keys import Format
from tiler.layers import catalog, publication, version
from tiler.layers.catalog import Layer
from tiler.layers.footprint import Footprint
from tiler.layers.origin import origins as files_now
from tiler.raster.datasets import forget, opened
from tiler.raster.options import NONE_ASKED, Options
from tiler.raster.warp import overview_for, warp
from tiler.scenes.scene_list import SceneList
from tiler.storage.leftovers import sweep
from tiler.storage.store import Store, Stores

FOOTPRINT_SAMPLES = 8  # pixels per tile in a virtual layer's footprint mask, at least
FOOTPRINT_PIXELS = 1 << 18  # pixels in the mask of a small layer: GDAL averages only whole pixels


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of an ingest: the layer, the survey of its raster, and whether the layer is new or changed.

    `why` is the reason for an automatic format, `tile_bytes` the mean bytes of sample tiles by format. `notes` list
    other files that the raster reads, and what looks wrong.
    Of the parts of the base, `baked` are new, and `reused` were stored by an earlier ingest; without a bake both are 0.
    A layer that is not `fresh` may still be `described` otherwise: by its title, description or legend.
    """

    layer: Layer
    survey: Survey
    fresh: bool
    why: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()  # those of the notes that question the place of the raster
    baked: int = 0
    reused: int = 0
    tile_bytes: Mapping[Format, int] = field(default_factory=dict)
    described: bool = False


def ingest(
    source: str | SceneList | Examined | ExaminedScenes,
    layer: str,
    options: Options,
    stores: Stores,
    *,
    jobs: int,
    progress: Callable[[int, int], None],
    stage: Stage = silent,
    staging: Staging = Staging(),  # noqa: B008 - a frozen value
    repair: bool = False,
    approve: Approve = approved,
    planned_from: str | None = None,
) -> Ingested:
    """Make `source`, a raster or scenes, the current revision of `layer`; both may have been examined already.

    The same raster with the same options changes nothing, and a kept earlier revision is not baked again. If an
    ingest ends early, the layer is unchanged: its metadata is written last and atomically. Format `auto` is decided
    from the tiles; a layer that already had `auto` keeps its format. `progress` receives the chunks done and their
    total, `stage` the current step before that. `staging` names the scratch folder. `repair`
    replaces damaged metadata; the revision of stored tiles is unknown then. `approve` is called before the whole
    raster is read. `planned_from` is the `index_version` that `options` come from, by default the present one.

    Raises:
        CatalogError: the layer's metadata is damaged.
        BadSource: the raster cannot become a layer, or some pixel of it cannot be read.
        BadOption: an option does not fit it, or deployed functions could not read the layer.
        NewerMetadata: the layer's metadata is of a newer version.
        StoreError: the data folder cannot be written.
        NoRoom, OutOfMemory, WorkerDied: it could not be baked.
        Superseded: another publication of the layer ended first; it is left as it is.
    """
    if planned_from is None:
        planned_from = publication.index_version(stores.sources, layer)
    version.check_readers(stores, version.version_for(options, parts=not options.virtual))
    try:
        raster = examined(source, options, stage, approve) if isinstance(source, str | SceneList) else source
        current_layer(stores.sources, layer, repair=repair)  # unreadable metadata is reported before a long bake
        try:
            stage("baking the first chunks")
            done = _publish(
                raster, layer, options, stores, staging, planned_from, jobs=jobs, progress=progress, repair=repair
            )
        except SourceReadError:
            raster.check(options)
            raise
        doubted = raster.doubts(options)
        return replace(done, notes=(*raster.notes(), *doubted), doubts=doubted)
    except SourceReadError as error:
        name = named(source) if isinstance(source, str | SceneList) else source.path
        raise BadSource(name, f"{error} (is the file complete?)") from error
    except MemoryError as error:
        raise OutOfMemory from error


def _publish(
    raster: Examined | ExaminedScenes,
    layer: str,
    options: Options,
    stores: Stores,
    staging: Staging,
    planned_from: str,
    *,
    jobs: int,
    progress: Callable[[int, int], None],
    repair: bool,
) -> Ingested:
    sweep(stores.sources.root, keys.sources_prefix(keys.check_layer(layer)), deep=True)
    current = current_layer(stores.sources, layer, repair=repair)
    if settled := settled_ingest(raster, layer, options, stores, current, planned_from):
        return settled
    publication.check_index(layer, stores.sources, planned_from)  # before a long bake
    draft = draft_of(layer, raster.path, raster.survey, raster.revision, options, raster.listed)
    origins = raster.origins if options.virtual else ()
    draft = replace(draft, previous=previous_of(current, raster.revision), origins=origins)
    baked = reused = 0
    with _undo_on_error(draft, stores, planned_from):
        if options.virtual:
            done = replace(draft, footprint=_footprint(raster.survey))
            if not done.footprint.cells.any():
                raise BadSource(raster.survey.path, why_empty(raster.survey))
        else:
            summary = _bake(draft.id, raster, stores.sources, staging, jobs=jobs, progress=progress)
            raster.check(options)
            done = baked_layer(draft, raster.survey, summary, stores.sources)
            baked, reused = summary.baked, summary.reused
        done, chosen = with_format(done, current, stores.sources)
        if options.virtual:
            raster.check(options)
        publish(done, raster.listed, stores, planned_from)
    return Ingested(
        done,
        raster.survey,
        fresh=True,
        why=chosen.why,
        baked=baked,
        reused=reused,
        tile_bytes=chosen.tile_bytes,
    )


def settled_ingest(
    raster: Examined | ExaminedScenes,
    layer: str,
    options: Options,
    stores: Stores,
    current: Layer | None,
    planned_from: str,
) -> Ingested | None:
    """The result of an ingest that bakes nothing: the raster's revision is `current`, or kept and published again.

    Raises:
        BadSource: the raster changed since it was examined.
        StoreError: something could not be stored.
    """
    path, revision = raster.path, raster.revision
    origins = raster.origins if options.virtual else ()
    if current and is_current(current, revision, path, stores):
        told = with_legend(described(current, options, current), raster.survey)
        if current.origins != origins:  # new timestamps, same content
            raster.check(options)
            told = replace(told, origins=origins)
            publication.publish(told, stores, planned_from=planned_from)
        elif told != current:
            publication.describe(told, stores, planned_from=planned_from)
        return Ingested(told, raster.survey, fresh=False, described=told != current)
    old = restorable(layer, revision, stores.sources)
    if old is None:
        return None
    source = old.source if old.bake else path
    restored = replace(old, previous=previous_of(current, revision), source=source, origins=origins)
    restored = with_legend(described(restored, options, current), raster.survey)
    raster.check(options)
    publication.publish(restored, stores, planned_from=planned_from)
    return Ingested(restored, raster.survey, fresh=True)


def restorable(layer: str, revision: str, sources: Store) -> Layer | None:
    """A kept revision of a layer that can be published again without a bake; None if it cannot, or has no name yet."""
    old = kept_revision(sources, layer, revision) if revision else None
    return old if old and is_stored(old, sources) else None


def previous_of(current: Layer | None, revision: str) -> str:
    """The revision before a layer's next one."""
    if current is None:
        return ""
    return current.previous if current.revision == revision else current.revision


@contextmanager
def _undo_on_error(draft: Layer, stores: Stores, planned_from: str) -> Iterator[None]:
    """Undo a failed ingest: restore a folder store to its earlier content, and free space.

    S3 stays as it is: a put without an answer may still succeed later. So does the TileJSON of another publication.
    """
    tiles, sources = stores.tiles, stores.sources
    if not (tiles.root and sources.root):
        yield
        return
    public = keys.tilejson_key(draft.id)
    before = tiles.get(public) if tiles.has(public) else None
    ours = [make(draft.id, draft.revision) for make in (keys.revision_key, keys.scenes_key)]
    new = [key for key in ours if not sources.has(key)]
    try:
        yield
    except BaseException:
        with suppress(TilerError):
            current = current_layer(sources, draft.id, repair=True)
            if current is None or current.revision != draft.revision:
                sources.delete(new)
                publication.check_index(draft.id, sources, planned_from)  # otherwise TileJSON is another's
                if before is None:
                    tiles.delete([public])
                elif tiles.get(public) != before:
                    tiles.put(public, before, content_type="application/json", cache_control="no-cache")
        raise


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


def restore(layer: str, revision: str, stores: Stores, *, planned_from: str | None = None) -> Layer:
    """Make an earlier revision of the layer the current one again; `planned_from` as for `ingest`.

    Raises:
        BadOption: as `kept`.
        Superseded: another publication of the layer ended first; it is left as it is.
    """
    if planned_from is None:
        planned_from = publication.index_version(stores.sources, layer)
    earlier = kept(layer, revision, stores.sources)
    current = current_layer(stores.sources, layer)
    earlier = replace(earlier, origins=files_now(Path(each.path) for each in earlier.origins))
    earlier = described(earlier, NONE_ASKED, current)
    publication.publish(earlier, stores, undone=current.revision if current else "", planned_from=planned_from)
    return earlier


def _as_it_was(layer: Layer, sources: Store) -> bool:
    """Whether the raster of a layer still has the layer's revision."""
    if layer.bake is not None:
        return is_stored(layer, sources)
    if layer.origins and files_now(Path(each.path) for each in layer.origins) == layer.origins:
        return True  # also if an earlier version made its revision
    forget()
    try:
        if revision_of(layer.source, layer.asked) == layer.revision:  # also the revision of an earlier version
            return True
        differs = survey(layer.source, layer.asked).differs
        return bool(differs) and revision_of(layer.source, layer.asked, differs=differs) == layer.revision
    except (BadSource, BadOption, SourceReadError):
        return False


def _bake(
    layer: str,
    raster: Examined | ExaminedScenes,
    sources: Store,
    staging: Staging,
    *,
    jobs: int,
    progress: Callable[[int, int], None],
) -> Summary:
    """Bake and store the parts of a layer. Parts that an earlier ingest stored are not baked again."""
    with scratch(staging.parent(sources.root), remove=bool(sources.root and not staging.scratch)) as folder:
        staging.check_disk(folder.parent)
        if sources.root:
            check_target(sources.root, raster.survey)
        return bake_layer(layer, sources, folder, raster, jobs=jobs, progress=progress)


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
