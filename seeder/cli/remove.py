"""The commands that remove all of a layer or a stack: `remove`, `empty-stack`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from seeder.cli.common import dry_run_option, environment_settings, json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import PLACE, guarded, note, say
from seeder.cli.update_tiles import UpdateArguments, UpdateReport, no_wait_option, print_cdn_plan, update_flags
from tiler.errors import BadOption
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.operations import remove as operations
    from seeder.operations.empty_stack import EmptiedStack


class RemoveReport(UpdateReport):
    """Asks for the name of the layer or stack, unless `typed` is given."""

    def __init__(self, url: str, typed: str | None, *, as_json: bool, kind: str = "layer") -> None:
        super().__init__(url, as_json=as_json)
        self._typed, self._kind = typed, kind

    def confirm_removal(self, name: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        """See `Report.confirm_removal`."""
        typed = self._typed
        if typed is None:
            if not sys.stdin.isatty():
                cure = f"--confirm {name}" + (", or --yes," if self._kind == "layer" else "")
                raise BadOption(f"removal cannot be undone: add {cure} to confirm")
            click.echo(_sizes(sizes), err=True)
            prompt = f"This cannot be undone. Type the {self._kind}'s name to remove these objects"
            typed = click.prompt(prompt, err=True)
        if typed != name:
            raise BadOption(f"{typed!r} is not {name!r}: nothing was removed")


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
    from seeder.operations import remove as operations
    from tiler.storage.store import Stores

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


@command("empty-stack")
@click.argument("stack")
@dry_run_option("Count the objects; remove nothing.")
@no_wait_option
@option("--confirm", group="Safety", metavar="STACK", help="Confirm without a prompt: the stack's name.")
@json_option
@guarded
def empty_stack(stack: str, dry_run: bool, no_wait: bool, confirm: str | None, as_json: bool) -> None:
    """Empty both buckets of a stack before its removal.

    Every layer, tile, source, job and earlier version is removed. This cannot be undone. Protected stacks, running jobs
    and messages in the queue are refused. Afterwards `npm run remove` deletes the stack.

    \b
    Examples:
      seeder empty-stack tile-seeder-dev --dry-run
      seeder empty-stack tile-seeder-dev
    """
    from seeder.aws.stack import read_stack
    from seeder.operations import empty_stack as emptying
    from tiler.storage.store import Stores

    click.get_current_context().meta[PLACE] = f" --stack {shlex.quote(stack)}"
    base = environment_settings(None)
    deployed = read_stack(stack, base.s3.region)
    stores = Stores.open(deployed.settings(base))
    note(f"stack {stack} in {deployed.region}: buckets {stores.tiles.url}, {stores.sources.url}")
    report = RemoveReport(stores.tiles.url, confirm, as_json=as_json, kind="stack")
    context = emptying.StackContext(deployed, stores, report, hurry=no_wait)
    emptied = emptying.plan_emptying(context) if dry_run else emptying.empty_stack(context)
    if as_json:
        click.echo(json.dumps({**emptied.to_json(), **({"dry_run": True} if dry_run else {})}))
    else:
        click.echo("\n".join(_emptied(emptied, dry_run=dry_run)))
    for obstacle in emptied.obstacles:
        say(f"not now: {obstacle}", err=True)


def _emptied(emptied: EmptiedStack, *, dry_run: bool) -> Iterator[str]:
    yield f"{'would be removed' if dry_run else 'removed'} from stack {emptied.stack}: {_sizes(emptied.sizes)}"
    if emptied.layers:
        yield f"layers: {', '.join(emptied.layers)}"
    if emptied.uploads:
        yield f"unfinished uploads: {emptied.uploads:,}"
    if emptied.others:
        yield f"other objects and earlier versions: {emptied.others:,}"
    if not dry_run:
        yield "both buckets are empty: `npm run remove` with its --stage deletes the stack"


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
