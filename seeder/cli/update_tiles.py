"""What the commands share that remove or replace stored tiles: options, and the results of the steps in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import click

from seeder.cache.stored import Cost
from seeder.cli.common import TerminalReport, confirm_options, tiles_said
from seeder.cli.run_job import print_result
from seeder.operations.cdn import CdnInvalidation
from seeder.operations.renew import RenewPlan, RenewResult
from seeder.operations.run import RunResult
from seeder.operations.update import RemovedTiles, UpdateContext, UpdateOptions
from seeder.select.blocks import Count
from seeder.select.selection import count
from tiler.errors import BadOption
from tiler.grid import format_zooms
from tiler.settings import Settings
from tiler.storage.store import Stores

CONFIRM_ABOVE = 100_000  # tiles above which is asked first

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class UpdateArguments:
    """Options of a command that changes stored tiles, as they were given."""

    options: UpdateOptions
    dry_run: bool
    confirm_above: int = CONFIRM_ABOVE

    def context(self, settings: Settings, stores: Stores, report: TerminalReport) -> UpdateContext:
        """Where and how the operation works."""
        return UpdateContext(stores, settings, self.options, report)


class UpdateReport(TerminalReport):
    """Prints the result of each step: of the runs in both forms, of the rest as text."""

    def __init__(self, url: str, *, as_json: bool, confirm_above: int = CONFIRM_ABOVE) -> None:
        super().__init__(confirm_above=confirm_above)
        self._url = url  # of the tiles
        self._as_json = as_json

    def ended(self, step: object) -> None:
        """See `Report.ended`."""
        match step:
            case RunResult():
                with suppress(click.exceptions.Exit):  # the command exits once all runs have ended
                    print_result(step, self._url, as_json=self._as_json)
            case RemovedTiles():
                _print_removed(step, as_json=self._as_json)
            case CdnInvalidation() if not self._as_json:
                cost, done = cdn_cost(step.paths, step.most), " is done" * step.done
                click.echo(f"CloudFront {step.distribution}: {cost}; invalidation {step.number}{done}")


def update_flags(command: Command) -> Command:
    """Options that ask nothing; the command gets `update_arguments`, which makes UpdateArguments of the settings."""

    @click.option("--dry-run", is_flag=True, help="Say what would be done. Change nothing.")
    @click.option("--no-wait", is_flag=True, help="Do not wait until nothing of an earlier revision is in flight.")
    @click.option(
        "--cloudfront", metavar="ID", help="CloudFront distribution to invalidate too.  [default: the stack's]"
    )
    @click.option("--wait", is_flag=True, help="Wait until CloudFront has carried the invalidation out.")
    @wraps(command)
    def careful(*args: Any, dry_run: bool, no_wait: bool, cloudfront: str | None, wait: bool, **kwargs: Any) -> None:
        def update_arguments(settings: Settings) -> UpdateArguments:
            cdn = settings.cloudfront if cloudfront is None else cloudfront
            if wait and not cdn:
                raise BadOption("--wait waits for CloudFront: name its distribution with --cloudfront ID")
            if cdn:
                from seeder.cache.cloudfront import check  # noqa: PLC0415 - boto3 takes a third of a second

                check(cdn, settings.s3.region)
            return UpdateArguments(UpdateOptions(no_wait, cdn, wait), dry_run)

        command(*args, update_arguments=update_arguments, **kwargs)

    return careful


def confirmed_update_flags(command: Command) -> Command:
    """Options of `update_flags`, `--yes` and `--confirm-above`."""

    @update_flags
    @confirm_options(CONFIRM_ABOVE, "Ask, where more tiles are stored.")
    @wraps(command)
    def careful(
        *args: Any,
        update_arguments: Callable[[Settings], UpdateArguments],
        yes: bool,
        confirm_above: int,
        **kwargs: Any,
    ) -> None:
        def asking(settings: Settings) -> UpdateArguments:
            found = update_arguments(settings)
            return replace(found, options=replace(found.options, confirmed=yes), confirm_above=confirm_above)

        command(*args, update_arguments=asking, **kwargs)

    return careful


def print_renewed(result: RenewResult, *, as_json: bool) -> None:
    """Print the end of a renewal.

    Raises:
        Exit: with 1 if tiles failed; nothing was removed then.
    """
    if result.removed is None:
        click.echo("where it failed the tiles are as they were: run the same command again when it is mended", err=True)
        raise click.exceptions.Exit(1)
    print_end(result.removed, as_json=as_json)


def print_end(removed: RemovedTiles, *, as_json: bool) -> None:
    """Print the JSON form of tiles that were removed, of which the text was printed before.

    Raises:
        Exit: with 1 if tiles could not be removed.
    """
    if as_json:
        click.echo(json.dumps(removed.to_json()))
    if not removed.passed:
        raise click.exceptions.Exit(1)


def _print_removed(removed: RemovedTiles, *, as_json: bool) -> None:
    """Say which tiles were removed, and which could not be."""
    purged = removed.purged
    if not as_json:
        for line in _removed(removed):
            click.echo(line)
    for key in purged.keys:
        click.echo(f"not removed: {key}", err=True)
    if purged.failed:
        click.echo(f"error: {tiles_said(purged.failed)} could not be removed: {purged.why}", err=True)


def _removed(removed: RemovedTiles) -> Iterator[str]:
    layer, purged, cost = removed.layer, removed.purged, removed.cost
    which = "that it does not have any more " if removed.uncovered else ""
    if removed.existed:
        yield f"layer {layer.id}: {tiles_said(removed.existed)} {which}existed, {purged.removed:,} removed"
    if cost.lists:
        deletes = f"{purged.requests:,} DELETE{'' if purged.requests == 1 else 's'}"
        yield f"looked for {said_cost(cost)}; {deletes}"


def print_renew_plan(plan: RenewPlan, cdn: str, *, as_json: bool) -> None:
    """Say what would be rendered and removed."""
    stored_tiles, layer = plan.stored_tiles, plan.stored_tiles.stored_filter.layer
    if as_json:
        said = plan.to_json()
        click.echo(json.dumps({**said, "cloudfront": cdn, "paths": plan.paths} if cdn else said))
        return
    again = f", {tiles_said(stored_tiles.left)} without data before" if stored_tiles.left else ""
    click.echo(
        f"{tiles_said(stored_tiles.tiles)} of layer {layer.id} stored, {stored_tiles.stale:,} to be renewed{again}"
    )
    for variant, selection in stored_tiles.selections():
        tiles = tiles_said(Count.total(count(layer, selection)).tiles)
        which = "that are stored, of" if selection.tiles is not None else "all of"
        shape = f"{variant.format}{' @2x' if variant.scale == 2 else ''}"
        click.echo(f"would render {tiles}, {which} zooms {format_zooms(selection.zooms)}, {shape}")
    click.echo(f"would remove {tiles_said(plan.removed)} that the layer does not have any more")
    if plan.paths:
        print_cdn_plan(cdn, plan.paths)


def said_cost(cost: Cost) -> str:
    """How tiles were looked for: in each zoom the way that takes fewer requests; nothing where it takes none."""
    ways = (("by listing zoom", cost.listed), ("column by column in zoom", cost.planned))
    some = " and ".join(f"{way} {format_zooms(tuple(sorted(zooms)))}" for way, zooms in ways if zooms)
    return f"{some or 'in vain'}: {cost.lists:,} LIST{'' if cost.lists == 1 else 's'}" if cost.lists else ""


def print_cdn_plan(cdn: str, paths: tuple[str, ...]) -> None:
    """Say which paths CloudFront would be told, and what that costs."""
    from seeder.cache.cloudfront import PRICE  # noqa: PLC0415 - boto3 takes a third of a second

    click.echo(f"CloudFront {cdn}: {cdn_cost(paths, PRICE * len(paths))}")


def cdn_cost(paths: tuple[str, ...], dollars: float) -> str:
    """Paths, and what they cost at most."""
    many = f"{len(paths)} path{'' if len(paths) == 1 else 's'}"
    return f"{many} ({', '.join(paths)}), at most ${dollars:.3f} where this month's thousand free ones are used"
