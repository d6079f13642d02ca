"""The command `remove`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping

import click

from seeder.cli.common import json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import guarded
from seeder.cli.update_tiles import UpdateArguments, UpdateReport, print_cdn_plan, update_flags
from seeder.operations import remove as operations
from tiler.errors import BadOption
from tiler.settings import Settings
from tiler.storage.store import Stores


class RemoveReport(UpdateReport):
    """Asks for the layer's name, unless `name` is given."""

    def __init__(self, url: str, name: str | None, *, as_json: bool) -> None:
        super().__init__(url, as_json=as_json)
        self._name = name

    def confirm_removal(self, layer: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        """See `Report.confirm_removal`."""
        name = self._name
        if name is None:
            if not sys.stdin.isatty():
                raise BadOption(f"removal cannot be undone: add --confirm {layer}, or --yes, to confirm")
            click.echo(_sizes(sizes), err=True)
            name = click.prompt("This cannot be undone. Type the layer's name to remove these objects", err=True)
        if name != layer:
            raise BadOption(f"{name!r} is not {layer!r}: nothing was removed")


@command("remove")
@layer_argument
@option(
    "--old-revisions",
    group="Select",
    is_flag=True,
    help="Remove sources only; keep those of the current and previous revision.",
)
@option("--confirm", group="Safety", metavar="LAYER", help="Confirm without a prompt: the layer's name.")
@option("--yes", group="Safety", is_flag=True, help="Confirm without a prompt.")
@json_option
@guarded
@located
@update_flags
def remove(
    layer: str,
    old_revisions: bool,
    confirm: str | None,
    yes: bool,
    update_arguments: Callable[[Settings], UpdateArguments],
    as_json: bool,
    settings: Settings,
) -> None:
    """Remove a layer: tiles, sources and jobs.

    The sources of all revisions are removed. This cannot be undone.

    \b
    Examples:
      seeder remove ortho --dry-run
      seeder remove ortho
      seeder remove ortho --old-revisions
    """
    arguments = update_arguments(settings)
    name = layer if yes and confirm is None else confirm
    stores = Stores.open(settings)
    context = arguments.context(settings, stores, RemoveReport(stores.tiles.url, name, as_json=as_json))
    if arguments.dry_run:
        plan = operations.plan_removal_of_old_revisions if old_revisions else operations.plan_removal
        removed = plan(layer, context)
    else:
        act = operations.remove_old_revisions if old_revisions else operations.remove
        removed = act(layer, context)
    if not removed.objects:
        click.echo(f"layer {layer} has no sources of older revisions: nothing was removed", err=True)
    elif arguments.dry_run:
        _print_plan(removed, context.options.cdn, as_json=as_json)
    elif as_json:
        click.echo(json.dumps(removed.to_json()))
    else:
        click.echo(f"removed from layer {layer}: {_sizes(removed.sizes)}")


def _print_plan(plan: operations.RemovedLayer, cdn: str, *, as_json: bool) -> None:
    """Print the objects to be removed."""
    if as_json:
        paths = {"cloudfront": cdn, "paths": plan.paths} if plan.paths else {}
        click.echo(json.dumps({**plan.to_json(), "dry_run": True, **paths}))
        return
    click.echo(f"would be removed from layer {plan.layer}: {_sizes(plan.sizes)}")
    if plan.paths:
        print_cdn_plan(cdn, plan.paths)


def _sizes(sizes: Mapping[str, tuple[int, int]]) -> str:
    return ", ".join(f"{number:,} objects of {kind} ({size / 1e6:,.1f} MB)" for kind, (number, size) in sizes.items())
