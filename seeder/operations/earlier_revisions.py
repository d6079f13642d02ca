"""The earlier revisions of a layer that an update of its stored tiles needs: their digests and their ground."""

from __future__ import annotations

from collections.abc import Iterator

from seeder.cache.audit import Audit
from seeder.cache.changes import Load, rendered_alike
from seeder.cache.missing import missing
from seeder.cache.stale import History
from seeder.operations.renew import NewTiles, RenewResult
from seeder.operations.update import RERUN_HINT, UpdateContext, UpdateTask
from seeder.select.selection import Selection, planned
from tiler.errors import BadOption
from tiler.ingest.existing import kept_revision
from tiler.layers.catalog import Layer, revisions, undone
from tiler.layers.cog_digests import digest_layer, known_digests
from tiler.layers.digests import stored_digests
from tiler.storage.store import Stores


def previous_target(current: Layer, stores: Stores) -> str:
    """The target of a rollback: the current revision if an earlier rollback to it was interrupted.

    Raises:
        BadOption: the layer has no earlier revision.
    """
    back = undone(stores.sources, current.id)
    if back and History.of(current, stores).mixed:
        return current.revision
    if not current.previous:
        others = sorted(set(revisions(stores.sources, current.id)) - {current.revision})
        rest = f"choose another with --to {' or '.join(others)}" if others else "no other revision is kept"
        raise BadOption(f"revision {current.revision} is the first of layer {current.id!r}: {rest}")
    return current.previous


def revision_before(layer: Layer, stores: Stores) -> Layer | None:
    """The previous revision, if it is kept and readable."""
    return kept_revision(stores.sources, layer.id, layer.previous) if layer.previous else None


def expected_history(current: Layer, aim: Layer, stores: Stores, load: Load = known_digests) -> History:
    """The history once `aim` is the current revision. By default missing digests are computed, and not stored."""
    if aim.revision == current.revision:
        return History.of(current, stores, load=load)
    return History.of(current, stores).followed_by(aim, stores, load)


def digest_kept(layer: Layer, history: History, context: UpdateContext) -> None:
    """Digest the COGs of the revisions that may have stored tiles; earlier versions baked them without digests."""
    sources = context.stores.sources
    kept = (kept_revision(sources, layer.id, each) for each in history.others)
    others = [each for each in kept if each and each.bake and layer.bake and rendered_alike(each, layer)]
    for each in (layer, *others) if others else ():
        if stored_digests(each, sources) is None:
            label = f"read the blocks of {layer.id}"
            with context.report.stage(label, None, unit="block", interrupted=RERUN_HINT) as advance:
                digest_layer(each, sources, advance)


def count_new_tiles(task: UpdateTask, result: RenewResult, before: Layer) -> Iterator[NewTiles]:
    """Missing tiles of seeded zooms that `before` did not cover."""
    for variant, zooms in result.stored_tiles.grown(before):
        audit = Audit.of(task.layer, Selection(zooms), variant, task.stores)
        with task.report.stage(f"look for {task.layer.id}", None, interrupted=RERUN_HINT) as advance:
            lacking = missing(audit, advance)
        new = {z: number for z in lacking.zooms if (number := len(lacking.at(z) - planned(before, z)))}
        if new:
            new_tiles = NewTiles(task.layer, variant, new)
            task.report.ended(new_tiles)
            yield new_tiles
