"""The command `remove`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping

import click

from seeder.cli.common import guarded, json_option, located
from seeder.cli.update_tiles import UpdateArguments, UpdateReport, print_cdn_plan, update_flags
from seeder.operations import remove as operations
from tiler.errors import BadOption
from tiler.settings import Settings
from tiler.storage.store import Stores


class RemoveReport(UpdateReport):
    """Asks for the layer's name, unless it was given."""

    def __init__(self, url: str, name: str | None, *, as_json: bool) -> None:
        super().__init__(url, as_json=as_json)
        self._name = name

    def confirm_removal(self, layer: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        """See `Report.confirm_removal`."""
        name = self._name
        if name is None:
            if not sys.stdin.isatty():
                raise BadOption(f"removing has no way back: run it again with --confirm {layer}")
            click.echo(_sizes(sizes), err=True)
            name = click.prompt("This cannot be undone. Type the layer's name to remove that", err=True)
        if name != layer:
            raise BadOption(f"{name!r} is not {layer!r}: nothing was removed")


@click.command("remove")
@click.argument("layer")
@click.option("--old-revisions", is_flag=True, help="Only the sources of revisions before the previous one.")
@click.option("--confirm", metavar="LAYER", help="The layer's name once more, where nobody can be asked for it.")
@json_option
@guarded
@located
@update_flags
def remove(
    layer: str,
    old_revisions: bool,
    confirm: str | None,
    update_arguments: Callable[[Settings], UpdateArguments],
    as_json: bool,
    settings: Settings,
) -> None:
    """Remove LAYER: its tiles, its sources of every revision, its jobs. There is no way back.

    \b
    Examples:
      seeder remove ortho --dry-run
      seeder remove ortho
      seeder remove ortho --old-revisions
    """
    arguments = update_arguments(settings)
    stores = Stores.open(settings)
    context = arguments.context(settings, stores, RemoveReport(stores.tiles.url, confirm, as_json=as_json))
    if arguments.dry_run:
        plan = operations.plan_removal_of_old_revisions if old_revisions else operations.plan_removal
        removed = plan(layer, context)
    else:
        act = operations.remove_old_revisions if old_revisions else operations.remove
        removed = act(layer, context)
    if not removed.objects:
        click.echo(f"nothing older is kept of layer {layer}", err=True)
    elif arguments.dry_run:
        _print_plan(removed, context.options.cdn, as_json=as_json)
    elif as_json:
        click.echo(json.dumps(removed.to_json()))
    else:
        click.echo(f"removed of layer {layer}: {_sizes(removed.sizes)}")


def _print_plan(plan: operations.RemovedLayer, cdn: str, *, as_json: bool) -> None:
    """Say what would be removed."""
    if as_json:
        paths = {"cloudfront": cdn, "paths": plan.paths} if plan.paths else {}
        click.echo(json.dumps({**plan.to_json(), "dry_run": True, **paths}))
        return
    click.echo(f"would be removed of layer {plan.layer}: {_sizes(plan.sizes)}")
    if plan.paths:
        print_cdn_plan(cdn, plan.paths)


def _sizes(sizes: Mapping[str, tuple[int, int]]) -> str:
    return ", ".join(f"{number:,} objects of {what} ({size / 1e6:,.1f} MB)" for what, (number, size) in sizes.items())
