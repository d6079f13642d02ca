"""The command `apply`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.common import dry_run_option, jobs_option, json_option, located
from seeder.cli.grouping import command, complete_file, option
from seeder.cli.messages import count_of_tiles, duration, guarded, say, say_next
from seeder.cli.progress import TerminalReport
from seeder.cli.scratch import scratch_option
from seeder.cli.seed import BudgetArguments, budget_flags
from tiler.grid import format_zooms
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.operations.apply import LayerDone, Planned
    from seeder.operations.apply_plan import LayerPlan


class ApplyReport(TerminalReport):
    """Prints the plan of each layer, and its end."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def ended(self, step: object) -> None:
        """See `Report.ended`."""
        from seeder.operations.apply import LayerDone, Planned
        from seeder.operations.apply_plan import LayerPlan

        match step:
            case LayerPlan() | Planned() | LayerDone() if self._as_json:
                click.echo(json.dumps(step.to_json(), default=list))
            case LayerPlan():
                for line in _planned(step):
                    say(line)
            case Planned():
                for line in _all_planned(step):
                    say(line)
            case LayerDone():
                _print_done(step)


@command("apply")
@click.argument("file", shell_complete=complete_file)
@dry_run_option("Show what differs; change nothing, and open only sources in the folder of FILE.")
@option(
    "--trust-source",
    "trusted",
    group="Safety",
    is_flag=True,
    help="Open any source in a dry run, and whatever the sources refer to.",
)
@json_option
@guarded
@located
@budget_flags
@jobs_option
@scratch_option
def apply(
    file: str,
    dry_run: bool,
    trusted: bool,
    budget_arguments: BudgetArguments,
    jobs: int,
    scratch: str,
    as_json: bool,
    settings: Settings,
) -> None:
    """Make the layers of a file what it describes.

    FILE is TOML: a table for each layer, with its sources, the options of `ingest` and the zooms to seed. Show what
    differs from the layers that are there, then ingest new layers, refresh changed ones and seed missing tiles. Nothing
    is removed. The same file again changes nothing.

    Work that costs money needs --max-cost. A dry run is safe for files of strangers. Without --trust-source it opens
    no network address, and nothing outside the folder of FILE.

    \b
    Examples:
      seeder apply layers.toml --dry-run
      seeder apply layers.toml
      seeder apply layers.toml --stack tile-seeder-dev --max-cost 5
    """
    from dataclasses import replace

    from seeder.operations.apply import ApplyOptions
    from seeder.operations.apply import apply as apply_file
    from seeder.operations.apply_plan import Terms
    from tiler.ingest.staging import Staging

    budget = budget_arguments()
    terms = Terms(settings, jobs, replace(budget, dollars=None), Staging(scratch, settings.temporary))
    options = ApplyOptions(budget.dollars, dry_run, trusted)
    applied = apply_file(file, options, terms, ApplyReport(as_json=as_json))
    if not dry_run and not applied.done and applied.passed and not as_json:
        click.echo("nothing to do")
    if applied.failed:
        number = len(applied.failed)
        say(f"error: {number} layer{'' if number == 1 else 's'} failed: {', '.join(applied.failed)}", err=True)
        raise click.exceptions.Exit(1)
    if any(each.job for each in applied.done) and not as_json:
        say_next(f"next: run `seeder apply {file}` again when the workers are done: it seeds what is missing then")


def _planned(plan: LayerPlan) -> Iterator[str]:
    """A layer that differs, in words."""
    if plan.state == "failed":
        yield f"{plan.layer}: failed: {plan.error}"
        return
    yield f"{plan.layer}: {plan.state}{': ' if plan.to_do else ''}{'; '.join(_differences(plan))}"
    for name, (before, after) in plan.options.items():
        yield f"  {name.replace('_', '-')}: {_value(before)} -> {_value(after)}"


def _differences(plan: LayerPlan) -> Iterator[str]:
    if plan.raster:
        yield "the raster changed"
    if plan.options:
        yield f"{len(plan.options)} option{'' if len(plan.options) == 1 else 's'} changed"
    if scenes := plan.scenes:
        yield f"scenes: {scenes.added:,} added, {scenes.replaced:,} replaced, {scenes.dropped:,} dropped"
    if plan.parts:
        yield f"{plan.parts:,} part{'' if plan.parts == 1 else 's'} to bake"
    if plan.render:
        yield f"at most {count_of_tiles(plan.render)} to re-render"
    if plan.remove:
        yield f"{count_of_tiles(plan.remove)} outside the layer"
    if plan.tiles:
        most = "at most " * (plan.state == "new")
        yield f"{most}{count_of_tiles(plan.tiles)} to seed, zooms {format_zooms(tuple(plan.missing))}"
    if plan.seconds:
        yield f"about {duration(plan.seconds)}"


def _all_planned(planned: Planned) -> Iterator[str]:
    from seeder.operations.budget import dollars

    for name in planned.others:
        yield f"{name}: not in this file, and left as it is"
    if planned.dollars:
        yield f"cost: at most {dollars(planned.dollars)}"


def _print_done(done: LayerDone) -> None:
    """Print the end of a layer."""
    if done.error:
        say(f"error: layer {done.layer}: {done.error}", err=True)
    elif done.job:
        say(f"layer {done.layer}: sent as bake job {done.job}; follow it: `seeder status {done.job} --watch`")
    else:
        say(f"layer {done.layer}: revision {done.revision}, {count_of_tiles(done.written)} written")


def _value(value: Any) -> str:
    """An option's value in words."""
    return "default" if value in (None, (), "") else json.dumps(value, default=str)
