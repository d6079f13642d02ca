"""The commands that give a layer another revision and re-render its stored tiles: `refresh` and `rollback`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from seeder.cache.audit import Audit
from seeder.cache.missing import missing
from seeder.cache.rerender import planned
from seeder.cache.stale import History
from seeder.cache.stored import StoredFilter
from seeder.cli.common import given, guarded, interruptible, json_option, located, tile_bar, tiles_said
from seeder.cli.ingest import make, raster_options, tell
from seeder.cli.run_job import MakeRunOptions, follow_flags
from seeder.cli.update_tiles import (
    AGAIN,
    UpdateOptions,
    UpdateTask,
    agreed,
    confirmed_update_flags,
    list_stored_tiles,
    print_stored_tiles,
    renew,
)
from seeder.operations.run import RunOptions
from seeder.select.selection import Selection
from tiler.errors import BadOption, CatalogError
from tiler.grid import format_zooms
from tiler.ingest.ingest import check_unchanged, examined, kept, restore
from tiler.layers.catalog import Layer, load_layer, load_revision, revisions, shown, undone
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores


@click.command("refresh")
@click.argument("layer")
@click.argument("source", required=False)
@json_option
@guarded
@located
@confirmed_update_flags
@follow_flags("local")
@raster_options
def refresh(
    layer: str,
    source: str | None,
    said: dict[str, Any],
    update_options: Callable[[Settings], UpdateOptions],
    run_options: MakeRunOptions,
    as_json: bool,
    settings: Settings,
) -> None:
    """Make SOURCE the next revision of LAYER and render again, in place, the tiles that are stored.

    SOURCE is ingested with the options that LAYER was ingested with, but for those given here. Zooms of which at
    least half is stored are rendered whole. Nothing is removed before what takes its place is there; at last the
    tiles go that SOURCE does not cover. Without SOURCE only stale tiles are rendered again: those that are, or may
    be, of an earlier revision.

    \b
    Examples:
      seeder refresh ortho ortho-may.tif
      seeder refresh ortho
      seeder refresh alps sentinel-0612.tif --stack tile-seeder-dev --queue sqs --cloudfront E2ABCDEF
    """
    careful, how = update_options(settings), run_options(settings, "")
    stores = Stores.open(settings, create=not careful.dry_run)
    current = load_layer(stores.sources, layer)
    if source is None:
        if said:
            raise BadOption(f"raster options need a raster: run `seeder refresh {layer} SOURCE ...`")
        check_unchanged(current)
        _warm(UpdateTask(StoredFilter(current), stores, settings, careful, as_json), how, _before(current, stores))
        return
    options = replace(current.asked, **{"trust_source": False, **said})  # another raster is not trusted unasked
    task = UpdateTask(StoredFilter(current), stores, settings, careful, as_json, succeeded=True)
    if careful.dry_run:
        _tell_next(current, examined(source, options)[2], as_json=as_json)
        print_stored_tiles(task, list_stored_tiles(task))
        return
    agreed(task)
    done = make(source, layer, options, stores, jobs=how.jobs)
    tell(done, as_json=as_json)
    task = UpdateTask(StoredFilter(done.layer), stores, settings, replace(careful, yes=True), as_json)
    _warm(task, how, _before(done.layer, stores))


def _tell_next(current: Layer, revision: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"layer": current.id, "revision": revision, "previous": current.revision}))
    elif revision == current.revision:
        click.echo(f"layer {current.id} is up to date: revision {revision}")
    else:
        click.echo(f"revision {revision} would take the place of {current.revision}")


def _before(layer: Layer, stores: Stores) -> Layer | None:
    """The revision that the layer's took the place of, if it is kept and can be read."""
    try:
        return load_revision(stores.sources, layer.id, layer.previous) if layer.previous else None
    except CatalogError:
        return None


def _warm(task: UpdateTask, run_options: RunOptions, before: Layer | None) -> None:
    """Render again what was stored before nothing but the layer's current revision was."""
    stored_tiles = renew(task, run_options, History.of(task.layer, task.stores).suspect)
    if stored_tiles and before and not task.as_json:
        for variant, zooms in stored_tiles.grown(before):
            _tell_new(task, before, variant, zooms)


def _tell_new(task: UpdateTask, before: Layer, variant: TileVariant, zooms: tuple[int, ...]) -> None:
    """Print the `seed` command for new tiles of zooms that were seeded."""
    layer = task.layer
    audit = Audit.of(layer, Selection(zooms), variant, task.stores)
    with interruptible(AGAIN), tile_bar(f"look for {layer.id}", None) as bar:
        found = missing(audit, bar.update)
    new = {z: number for z in found.zooms if (number := len(found.at(z) - planned(before, z)))}
    if new:
        scale = " --scale 2" if variant.scale == 2 else ""
        form = f" --format {variant.format}" if variant.format != layer.format else ""
        words = f"{layer.id} --zooms {format_zooms(tuple(new))}{scale}{form}{given()}"
        click.echo(f"next: seed {words} ({tiles_said(sum(new.values()))} there are new)")


@click.command("rollback")
@click.argument("layer")
@click.option("--to", "revision", metavar="REVISION", help="Another revision that is kept.  [default: the one before]")
@json_option
@guarded
@located
@confirmed_update_flags
@follow_flags("local")
def rollback(
    layer: str,
    revision: str | None,
    update_options: Callable[[Settings], UpdateOptions],
    run_options: MakeRunOptions,
    as_json: bool,
    settings: Settings,
) -> None:
    """Make the previous revision of LAYER the current one again, and render again the tiles that are stored.

    Nothing is ingested: the sources of earlier revisions are kept.

    \b
    Examples:
      seeder rollback ortho --dry-run
      seeder rollback ortho
    """
    careful, how = update_options(settings), run_options(settings, "")
    stores = Stores.open(settings, create=not careful.dry_run)
    current = load_layer(stores.sources, layer)
    target = revision or _previous(current, stores)
    if careful.dry_run or not careful.yes:
        aim = current if target == current.revision else kept(layer, target, stores.sources)
        task = UpdateTask(StoredFilter(aim), stores, settings, careful, as_json)
        if careful.dry_run:
            _tell_next(current, target, as_json=as_json)
            print_stored_tiles(task, list_stored_tiles(task))
            return
        agreed(task)
    found = current if target == current.revision else restore(layer, target, stores)
    if not as_json:
        click.echo(
            f"layer {layer}: revision {target}" + (f" instead of {current.revision}" if found != current else "")
        )
    task = UpdateTask(StoredFilter(found), stores, settings, replace(careful, yes=True), as_json)
    _warm(task, how, current if current != found else _before(found, stores))


def _previous(current: Layer, stores: Stores) -> str:
    """The revision to go back to: the current one where an earlier rollback to it was cut off.

    Raises:
        BadOption: it is the first.
    """
    back = undone(stores.sources, current.id)
    if back and (shown(current.id, stores.tiles) != current.revision or History.of(current, stores).mixed):
        return current.revision
    if not current.previous:
        others = sorted(set(revisions(stores.sources, current.id)) - {current.revision})
        rest = f"--to takes {', '.join(others)}" if others else "no other one is kept"
        raise BadOption(f"revision {current.revision} is the first of layer {current.id!r}: {rest}")
    return current.previous
