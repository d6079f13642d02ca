"""The commands that give a layer another revision and re-render its stored tiles: `refresh` and `rollback`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.bake_job import print_or_follow, typed_queue
from seeder.cli.common import json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, complete_file, option
from seeder.cli.ingested import print_ingested
from seeder.cli.messages import count_of_tiles, guarded, say_next, typed_place
from seeder.cli.raster_options import raster_options
from seeder.cli.run_job import MakeRunOptions, follow_flags
from seeder.cli.scenes import MakeSources, scene_options
from seeder.cli.scratch import scratch_option
from seeder.cli.seed import BudgetArguments, budget_flags
from seeder.cli.update_tiles import (
    UpdateArguments,
    UpdateReport,
    confirmed_update_flags,
    print_effort,
    print_renew_plan,
    print_renewed,
)
from tiler.errors import BadOption
from tiler.grid import format_zooms
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.operations.refresh import PlannedBake, RevisionChange
    from seeder.operations.renew import NewTiles
    from seeder.operations.scenes import ScenesChanged


WAIT_HELP = "Wait for the CloudFront invalidation to complete; follow a bake by workers to its end."


class RefreshReport(UpdateReport):
    """Prints also the ingested layer, the change of revision, and the `seed` command for new tiles."""

    deed = "refresh"

    def ended(self, step: object) -> None:
        """See `Report.ended`."""
        from seeder.operations.estimate_refresh import RefreshEstimate
        from seeder.operations.refresh import PlannedBake, RevisionChange
        from seeder.operations.renew import NewTiles
        from seeder.operations.scenes import ScenesChanged
        from tiler.ingest.ingest import Ingested

        match step:
            case ScenesChanged():
                _print_scenes(step, as_json=self._as_json)
            case PlannedBake():
                _print_bake(step, as_json=self._as_json)
            case RefreshEstimate():
                print_effort(step, as_json=self._as_json, deed=self.deed)
            case Ingested():
                print_ingested(step, as_json=self._as_json)
            case RevisionChange():
                _print_change(step, as_json=self._as_json)
            case NewTiles() if not self._as_json:
                _print_new(step)
            case _:
                super().ended(step)


class RollbackReport(RefreshReport):
    """The same for a rollback."""

    deed = "rollback"


def _print_change(change: RevisionChange, *, as_json: bool) -> None:
    """Print the new revision and the previous one."""
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
        new = f"revision {change.revision}" if change.revision else "another revision"
        click.echo(f"{new} would replace {change.previous}")


def _print_scenes(scenes: ScenesChanged, *, as_json: bool) -> None:
    """Print the number of scenes added, replaced, dropped and kept."""
    if as_json:
        click.echo(json.dumps(scenes.to_json()))
        return
    counts = f"{scenes.added:,} added, {scenes.replaced:,} replaced, {scenes.dropped:,} dropped, {scenes.kept:,} kept"
    click.echo(f"scenes of layer {scenes.layer}: {counts}")


def _print_bake(bake: PlannedBake, *, as_json: bool) -> None:
    """Print the parts to bake, of all."""
    if as_json:
        click.echo(json.dumps(bake.to_json()))
    else:
        click.echo(f"would bake {bake.bake:,} of {bake.parts:,} parts; {bake.parts - bake.bake:,} stay as they are")


def _print_new(new: NewTiles) -> None:
    """Print the `seed` command for new tiles of zooms that were seeded."""
    scale = " --scale 2" if new.variant.scale == 2 else ""
    form = f" --format {new.variant.format}" if new.variant.format != new.layer.format else ""
    words = f"{new.layer.id} --zooms {format_zooms(tuple(new.zooms))}{scale}{form}{typed_place()}"
    say_next(f"next: seed {words} ({count_of_tiles(new.tiles)} of these zooms are new)")


def _change(name: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that names sources of scenes."""
    return option(f"--{name}", group="Select", metavar="SOURCE", multiple=True, shell_complete=complete_file, help=text)


@command("refresh")
@layer_argument
@click.argument("source", nargs=-1, shell_complete=complete_file)
@_change("add", "Add scenes to the layer.")
@_change("replace", "Read scenes again, or put those of the same file names in their place.")
@option(
    "--drop", group="Select", metavar="SCENE", multiple=True, help="Remove scenes: a name, an address or a pattern."
)
@json_option
@guarded
@located
@partial(confirmed_update_flags, wait_help=WAIT_HELP)
@budget_flags
@follow_flags("local")
@raster_options
@scene_options
@scratch_option
def refresh(
    layer: str,
    source: tuple[str, ...],
    add: tuple[str, ...],
    replace: tuple[str, ...],
    drop: tuple[str, ...],
    changes: dict[str, Any],
    make_sources: MakeSources,
    scratch: str,
    update_arguments: Callable[..., UpdateArguments],
    budget_arguments: BudgetArguments,
    run_options: MakeRunOptions,
    as_json: bool,
    settings: Settings,
) -> None:
    """Replace rasters or scenes; re-render stored tiles.

    Ingest SOURCE with the options of the previous ingest, and with those given here. Instead of SOURCE, which lists
    all rasters as in `ingest`, --add, --replace and --drop change the list of scenes; repeat them for more. Re-render
    the stored tiles that differ in place, and complete zooms with at least half of their tiles stored. Then remove
    the tiles that the layer no longer covers. Without any of these, re-render stale tiles only.

    With --queue sqs, workers bake the rasters, publish the layer and re-render its tiles. The command returns when all
    is sent. A stack without a bake queue only renders.

    \b
    Examples:
      seeder refresh ortho ortho-may.tif
      seeder refresh ortho
      seeder refresh ortho --add flight-june/ --drop 'may-17*.tif' --dry-run
      seeder refresh alps s3://rasters/new.tif --stack tile-seeder-dev --queue sqs
      seeder refresh ortho --replace may.tif --stack tile-seeder-dev --queue sqs --upload
    """
    from seeder.operations import refresh as operations
    from seeder.operations.bake import BakeOptions, BakeSent
    from seeder.operations.next_source import NextSource
    from seeder.operations.scenes import SceneChanges
    from seeder.operations.upload_scenes import Uploads
    from tiler.ingest.staging import Staging
    from tiler.raster.options import TOLD
    from tiler.storage.store import Stores

    how, scene_changes = run_options(settings, ""), SceneChanges(add, replace, drop)
    baking = source or scene_changes or changes.keys() - {*TOLD}
    by_workers = bool(baking and settings.bake_queue and typed_queue())
    arguments = update_arguments(settings, follows=by_workers).within(budget_arguments(by_workers=by_workers))
    stores = Stores.open(settings, create=not arguments.dry_run)
    staging = Staging(scratch, settings.temporary)
    sources = make_sources(source, partial(Uploads, layer, stores.sources, staging, how.processes, arguments.dry_run))
    if sources.upload and not (source or add or replace):
        raise BadOption("--upload needs SOURCE, --add or --replace: name the files to copy, or leave it out")
    next_source = NextSource(sources, changes, staging, scene_changes)
    report = RefreshReport(stores.tiles.url, as_json=as_json, confirm_above=arguments.confirm_above)
    context = arguments.context(settings, stores, report)
    if arguments.dry_run:
        plan = operations.plan_refresh(layer, context, next_source, how)
        print_renew_plan(plan, context.options.cdn, as_json=as_json)
    elif by_workers:
        bake_options = BakeOptions(settings.bake_queue, how.queue, how.most, cdn=context.options.cdn)
        done = operations.refresh_by_workers(layer, context, how, bake_options, next_source, count_new=not as_json)
        if isinstance(done, BakeSent):
            wait = arguments.options.cdn_wait
            print_or_follow(done, bake_options.queue, settings, stores.sources, report, wait=wait, as_json=as_json)
        else:
            print_renewed(done, as_json=as_json)
    else:
        result = operations.refresh(layer, context, how, next_source, count_new=not as_json)
        print_renewed(result, as_json=as_json)


@command("rollback")
@layer_argument
@option(
    "--to", "revision", group="Select", metavar="REVISION", help="Revision to restore.  [default: the previous one]"
)
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
    """Restore an earlier revision of a layer.

    Re-render the stored tiles that differ in place. The sources of earlier revisions are kept, so nothing is ingested.

    \b
    Examples:
      seeder rollback ortho --dry-run
      seeder rollback ortho
    """
    from seeder.operations import refresh as operations
    from tiler.storage.store import Stores

    arguments, how = update_arguments(settings), run_options(settings, "")
    stores = Stores.open(settings, create=not arguments.dry_run)
    report = RollbackReport(stores.tiles.url, as_json=as_json, confirm_above=arguments.confirm_above)
    context = arguments.context(settings, stores, report)
    if arguments.dry_run:
        plan = operations.plan_rollback(layer, context, revision or "", how)
        print_renew_plan(plan, context.options.cdn, as_json=as_json, deed=report.deed)
    else:
        result = operations.rollback(layer, context, how, revision or "", count_new=not as_json)
        print_renewed(result, as_json=as_json)
