"""Shared by the commands that remove or re-render stored tiles: options, and results in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.common import confirm_options, dry_run_option
from seeder.cli.grouping import option
from seeder.cli.messages import count_of_tiles, duration
from seeder.cli.progress import TerminalReport
from seeder.cli.run_job import print_result
from tiler.errors import BadOption
from tiler.grid import format_zooms
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.cache.stored import Cost
    from seeder.operations.budget import Budget
    from seeder.operations.estimate_refresh import Effort, RefreshEstimate
    from seeder.operations.renew import RenewPlan, RenewResult
    from seeder.operations.update import RemovedTiles, UpdateContext, UpdateOptions
    from tiler.storage.store import Stores

CONFIRM_ABOVE = 100_000  # tiles

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class UpdateArguments:
    """Options of a command that changes stored tiles, as typed."""

    options: UpdateOptions
    dry_run: bool
    confirm_above: int = CONFIRM_ABOVE

    def within(self, budget: Budget) -> UpdateArguments:
        """The same within a budget."""
        return replace(self, options=replace(self.options, budget=budget))

    def context(self, settings: Settings, stores: Stores, report: TerminalReport) -> UpdateContext:
        """The context of the operation."""
        from seeder.operations.update import UpdateContext

        return UpdateContext(stores, settings, self.options, report)


class UpdateReport(TerminalReport):
    """Prints the result of each step: a run as text or JSON, any other step as text only."""

    def __init__(self, url: str, *, as_json: bool, confirm_above: int = CONFIRM_ABOVE) -> None:
        super().__init__(confirm_above=confirm_above)
        self._url = url  # of the tiles
        self._as_json = as_json

    def ended(self, step: object) -> None:
        """See `Report.ended`."""
        from seeder.operations.cdn import CdnInvalidation
        from seeder.operations.run import RunResult
        from seeder.operations.update import RemovedTiles

        match step:
            case RunResult():
                with suppress(click.exceptions.Exit):  # the command exits once all runs have ended
                    print_result(step, self._url, as_json=self._as_json, within=True)
            case RemovedTiles():
                _print_removed(step, as_json=self._as_json)
            case CdnInvalidation() if not self._as_json:
                cost, done = cdn_cost(step.paths, step.most), " is done" * step.done
                click.echo(f"CloudFront {step.distribution}: {cost}; invalidation {step.number}{done}")


def no_wait_option(command: Command) -> Command:
    """The option `--no-wait`."""
    text = "Do not wait until no tile of an earlier revision is in flight."
    return option("--no-wait", group="Safety", is_flag=True, help=text)(command)


WAIT = "Wait for the CloudFront invalidation to complete."


def update_flags(command: Command, wait_help: str = WAIT) -> Command:
    """Options without confirmation; the command gets `update_arguments`, a function of the settings.

    With `follows`, this function accepts `--wait` without a distribution: the command follows a job then.
    """

    @dry_run_option("Show the tiles to be changed; change nothing.")
    @no_wait_option
    @option(
        "--cloudfront",
        group="Output",
        metavar="ID",
        help="Also invalidate this CloudFront distribution.  [default: the stack's]",
    )
    @option("--wait", group="Output", is_flag=True, help=wait_help)
    @wraps(command)
    def update(*args: Any, dry_run: bool, no_wait: bool, cloudfront: str | None, wait: bool, **kwargs: Any) -> None:
        def update_arguments(settings: Settings, *, follows: bool = False) -> UpdateArguments:
            from seeder.operations.update import UpdateOptions

            cdn = settings.cloudfront if cloudfront is None else cloudfront
            if wait and not (cdn or follows):
                raise BadOption("--wait needs a CloudFront distribution: add --cloudfront ID")
            if cdn:
                from seeder.cache.cloudfront import check

                check(cdn, settings.s3.region)
            return UpdateArguments(UpdateOptions(no_wait, cdn, wait), dry_run)

        command(*args, update_arguments=update_arguments, **kwargs)

    return update


def confirmed_update_flags(command: Command, wait_help: str = WAIT) -> Command:
    """Options of `update_flags`, `--yes` and `--confirm-above`."""

    @partial(update_flags, wait_help=wait_help)
    @confirm_options(CONFIRM_ABOVE, "Ask for confirmation above this number of tiles.")
    @wraps(command)
    def update(
        *args: Any,
        update_arguments: Callable[..., UpdateArguments],
        yes: bool,
        confirm_above: int,
        **kwargs: Any,
    ) -> None:
        def with_confirmation(settings: Settings, *, follows: bool = False) -> UpdateArguments:
            arguments = update_arguments(settings, follows=follows)
            return replace(arguments, options=replace(arguments.options, confirmed=yes), confirm_above=confirm_above)

        command(*args, update_arguments=with_confirmation, **kwargs)

    return update


def print_renewed(result: RenewResult, *, as_json: bool) -> None:
    """Print the end of a renewal.

    Raises:
        Exit: with 1 if tiles failed; nothing was removed then.
    """
    if result.removed is None:
        click.echo(
            "tiles that failed are unchanged: run the same command again after you fix the cause",
            err=True,
        )
        raise click.exceptions.Exit(1)
    print_end(result.removed, as_json=as_json, existed=result.stored_tiles.tiles)


def print_end(removed: RemovedTiles, *, as_json: bool, existed: int | None = None) -> None:
    """Print removed tiles as JSON, with the number of stored ones before if given; their text came with the step.

    Raises:
        Exit: with 1 if tiles could not be removed.
    """
    if as_json:
        click.echo(json.dumps(removed.to_json() | ({} if existed is None else {"existed": existed})))
    if not removed.passed:
        raise click.exceptions.Exit(1)


def _print_removed(removed: RemovedTiles, *, as_json: bool) -> None:
    """Print the number of removed tiles, and the keys of those that remain."""
    purged = removed.purged
    if not as_json:
        for line in _removed(removed):
            click.echo(line)
    for key in purged.keys:
        click.echo(f"not removed: {key}", err=True)
    if purged.failed:
        click.echo(f"error: {count_of_tiles(purged.failed)} could not be removed: {purged.why}", err=True)


def _removed(removed: RemovedTiles) -> Iterator[str]:
    layer, purged, cost = removed.layer, removed.purged, removed.cost
    outside = " outside the layer" if removed.uncovered else ""
    if removed.existed:
        yield f"layer {layer.id}: {count_of_tiles(removed.existed)} stored{outside}, {purged.removed:,} removed"
    if cost.lists:
        deletes = f"{purged.requests:,} DELETE{'' if purged.requests == 1 else 's'}"
        yield f"found {cost_in_words(cost)}; {deletes}"


def print_renew_plan(plan: RenewPlan, cdn: str, *, as_json: bool, deed: str = "refresh") -> None:
    """Print the tiles to be rendered and removed by a `deed`."""
    from seeder.select.blocks import Count
    from seeder.select.selection import count

    stored_tiles, layer = plan.stored_tiles, plan.stored_tiles.stored_filter.layer
    if as_json:
        fields = plan.to_json()
        click.echo(json.dumps({**fields, "cloudfront": cdn, "paths": plan.paths} if cdn else fields))
        return
    most = "at most " * plan.at_most
    empty = f", {count_of_tiles(stored_tiles.left)} empty before" if stored_tiles.left else ""
    if stored_tiles.differing is None:
        stored = f"{count_of_tiles(stored_tiles.tiles)} of layer {layer.id} stored"
        click.echo(f"{stored}, {stored_tiles.stale:,} to be re-rendered{empty}")
    else:
        number = f"{stored_tiles.differing:,} of {stored_tiles.tiles:,}"
        click.echo(f"{most}{number} stored tiles of layer {layer.id} differ{empty}")
    for variant, selection in stored_tiles.selections():
        tiles = count_of_tiles(Count.total(count(layer, selection)).tiles)
        some = "the stored ones of" if stored_tiles.differing is None else "those that differ in"
        extent = some if selection.tiles is not None else "all of"
        shape = f"{variant.format}{' @2x' if variant.scale == 2 else ''}"
        click.echo(f"would render {most}{tiles}, {extent} zooms {format_zooms(selection.zooms)}, {shape}")
    least = "at least " * plan.at_most
    click.echo(f"would remove {least}{count_of_tiles(plan.removed)} outside the layer")
    if plan.estimate:
        print_effort(plan.estimate, as_json=False, deed=deed)
    if plan.paths:
        print_cdn_plan(cdn, plan.paths)


def print_effort(estimate: RefreshEstimate, *, as_json: bool, deed: str) -> None:
    """Print the effort of a `deed` and that of everything; as text only if there is anything to do."""
    if as_json:
        click.echo(json.dumps({"layer": estimate.layer, "estimate": estimate.to_json()}))
    elif estimate.update.parts or estimate.update.tiles:
        click.echo(f"this {deed}: {_effort(estimate.update, ' changed', most='at most ' * estimate.at_most)}")
        click.echo(f"everything: {_effort(estimate.everything)}")


def _effort(effort: Effort, changed: str = "", most: str = "") -> str:
    """An effort in words."""
    from seeder.operations.budget import dollars

    scenes = f"{effort.scenes:,}{changed} scene{'' if effort.scenes == 1 else 's'}, " if effort.scenes else ""
    size = f" ({effort.megabytes:,.0f} MB)" if effort.megabytes >= 1 else ""
    parts = f"{effort.parts:,} part{'' if effort.parts == 1 else 's'}{size}"
    steps = (("bake", effort.bake), ("wait", effort.wait), ("render", effort.render))
    times = " + ".join(f"{duration(seconds)} {step}" for step, seconds in steps if seconds)
    return f"{scenes}{most}{parts} and {count_of_tiles(effort.tiles)}, about {times}, {dollars(effort.dollars)}"


def cost_in_words(cost: Cost) -> str:
    """The listings that found the tiles, and their number; empty if there were none."""
    listings = (("by listing zoom", cost.listed), ("by listing the columns of zoom", cost.planned))
    used = " and ".join(f"{how} {format_zooms(tuple(sorted(zooms)))}" for how, zooms in listings if zooms)
    return f"{used or 'nothing'}: {cost.lists:,} LIST{'' if cost.lists == 1 else 's'}" if cost.lists else ""


def print_cdn_plan(cdn: str, paths: tuple[str, ...]) -> None:
    """Print the paths of a CloudFront invalidation and its price."""
    from seeder.jobs.prices import CDN_PATH

    click.echo(f"CloudFront {cdn}: {cdn_cost(paths, CDN_PATH * len(paths))}")


def cdn_cost(paths: tuple[str, ...], dollars: float) -> str:
    """Paths, and their price once the free paths of the month are used."""
    number = f"{len(paths)} path{'' if len(paths) == 1 else 's'}"
    return f"{number} ({', '.join(paths)}), at most ${dollars:.3f} if this month's 1,000 free paths are used"
