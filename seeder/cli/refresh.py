"""The commands that give a layer another revision and re-render its stored tiles: `refresh` and `rollback`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from seeder.cli.common import given, guarded, json_option, located, tiles_said
from seeder.cli.ingest import raster_options, tell
from seeder.cli.run_job import MakeRunOptions, follow_flags
from seeder.cli.update_tiles import (
    UpdateArguments,
    UpdateReport,
    confirmed_update_flags,
    print_renew_plan,
    print_renewed,
)
from seeder.operations import refresh as operations
from seeder.operations.refresh import NextSource, RevisionChange
from seeder.operations.renew import NewTiles
from tiler.errors import BadOption
from tiler.grid import format_zooms
from tiler.ingest.ingest import Ingested
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores


class RefreshReport(UpdateReport):
    """Prints also what a raster became, which revision takes the place of which, and how to seed new tiles."""

    def ended(self, step: object) -> None:
        """See `Report.ended`."""
        match step:
            case Ingested():
                tell(step, as_json=self._as_json)
            case RevisionChange():
                _print_change(step, as_json=self._as_json)
            case NewTiles() if not self._as_json:
                _print_new(step)
            case _:
                super().ended(step)


def _print_change(change: RevisionChange, *, as_json: bool) -> None:
    """Say which revision takes, or would take, the place of which."""
    same = change.revision == change.previous
    if as_json:
        if change.planned:
            click.echo(json.dumps(change.to_json()))
    elif not change.planned:
        instead = "" if same else f" instead of {change.previous}"
        click.echo(f"layer {change.layer}: revision {change.revision}{instead}")
    elif same:
        click.echo(f"layer {change.layer} is up to date: revision {change.revision}")
    else:
        click.echo(f"revision {change.revision} would take the place of {change.previous}")


def _print_new(new: NewTiles) -> None:
    """Print the `seed` command for new tiles of zooms that were seeded."""
    scale = " --scale 2" if new.variant.scale == 2 else ""
    form = f" --format {new.variant.format}" if new.variant.format != new.layer.format else ""
    words = f"{new.layer.id} --zooms {format_zooms(tuple(new.zooms))}{scale}{form}{given()}"
    click.echo(f"next: seed {words} ({tiles_said(new.tiles)} there are new)")


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
    update_arguments: Callable[[Settings], UpdateArguments],
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
    arguments, how = update_arguments(settings), run_options(settings, "")
    stores = Stores.open(settings, create=not arguments.dry_run)
    if source is None and said:
        load_layer(stores.sources, layer)  # an unknown layer is the first to be told of
        raise BadOption(f"raster options need a raster: run `seeder refresh {layer} SOURCE ...`")
    next_source = None if source is None else NextSource(source, said)
    report = RefreshReport(stores.tiles.url, as_json=as_json, confirm_above=arguments.confirm_above)
    context = arguments.context(settings, stores, report)
    if arguments.dry_run:
        plan = operations.plan_refresh(layer, context, next_source)
        print_renew_plan(plan, context.options.cdn, as_json=as_json)
    else:
        result = operations.refresh(layer, context, how, next_source, count_new=not as_json)
        print_renewed(result, as_json=as_json)


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
    update_arguments: Callable[[Settings], UpdateArguments],
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
    arguments, how = update_arguments(settings), run_options(settings, "")
    stores = Stores.open(settings, create=not arguments.dry_run)
    report = RefreshReport(stores.tiles.url, as_json=as_json, confirm_above=arguments.confirm_above)
    context = arguments.context(settings, stores, report)
    if arguments.dry_run:
        plan = operations.plan_rollback(layer, context, revision or "")
        print_renew_plan(plan, context.options.cdn, as_json=as_json)
    else:
        result = operations.rollback(layer, context, how, revision or "", count_new=not as_json)
        print_renewed(result, as_json=as_json)
