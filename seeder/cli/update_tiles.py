"""What the commands share that take tiles away or put others in their place: options, waits, deletion, CDN."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import Any

import click
from tqdm import tqdm

from seeder.cache.closing_check import suspects
from seeder.cache.fence import countdown, left
from seeder.cache.purge import Purged, purge
from seeder.cache.rerender import StaleAt, StoredTiles
from seeder.cache.stale import History, settle
from seeder.cache.stored import Cost, StoredFilter
from seeder.cli.common import TerminalReport, check_meant, confirm_options, interruptible, tile_bar, tiles_said
from seeder.cli.run_job import print_result
from seeder.operations.run import RunOptions, run_plan
from seeder.select.blocks import Count
from seeder.select.selection import count
from tiler.errors import BadOption, QueueError, Superseded, TilerError
from tiler.grid import format_zooms
from tiler.keys import clock_key
from tiler.layers.catalog import Layer, announce, load_layer, named
from tiler.settings import Settings
from tiler.storage.store import Stores

MANY = 100_000  # tiles above which is asked first
AGAIN = "interrupted: run the same command again to finish"

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How careful a command that changes stored tiles is to be, and what CDN it tells."""

    dry_run: bool
    hurry: bool
    cdn: str  # id of a CloudFront distribution, empty where there is none
    cdn_wait: bool
    yes: bool = False
    above: int = MANY

    def confirm(self, tiles: int, deed: str) -> None:
        """Nothing, if so many tiles need no question, or the answer is yes.

        Raises:
            BadOption: it is not, or there is nobody to ask.
        """
        if not self.yes and tiles > self.above:
            check_meant(f"{tiles_said(tiles)} would be {deed}, more than --confirm-above {self.above:,}")


def update_flags(command: Command) -> Command:
    """Options of Care that ask nothing; the command gets `update_options`, which makes one of the settings."""

    @click.option("--dry-run", is_flag=True, help="Say what would be done. Change nothing.")
    @click.option("--no-wait", is_flag=True, help="Do not wait until nothing of an earlier revision is in flight.")
    @click.option(
        "--cloudfront", metavar="ID", help="CloudFront distribution to invalidate too.  [default: the stack's]"
    )
    @click.option("--wait", is_flag=True, help="Wait until CloudFront has carried the invalidation out.")
    @wraps(command)
    def careful(*args: Any, dry_run: bool, no_wait: bool, cloudfront: str | None, wait: bool, **kwargs: Any) -> None:
        def update_options(settings: Settings) -> UpdateOptions:
            cdn = settings.cloudfront if cloudfront is None else cloudfront
            if wait and not cdn:
                raise BadOption("--wait waits for CloudFront: name its distribution with --cloudfront ID")
            if cdn:
                from seeder.cache.cloudfront import check  # noqa: PLC0415 - boto3 takes a third of a second

                check(cdn, settings.s3.region)
            return UpdateOptions(dry_run, no_wait, cdn, wait)

        command(*args, update_options=update_options, **kwargs)

    return careful


def confirmed_update_flags(command: Command) -> Command:
    """Options of `update_flags`, `--yes` and `--confirm-above`."""

    @update_flags
    @confirm_options(MANY, "Ask, where more tiles are stored.")
    @wraps(command)
    def careful(
        *args: Any, update_options: Callable[[Settings], UpdateOptions], yes: bool, confirm_above: int, **kwargs: Any
    ) -> None:
        command(
            *args,
            update_options=lambda settings: replace(update_options(settings), yes=yes, above=confirm_above),
            **kwargs,
        )

    return careful


@dataclass(frozen=True, slots=True)
class UpdateTask:
    """What is to be done to which tiles, where, and how carefully."""

    stored_filter: StoredFilter
    stores: Stores
    settings: Settings
    update_options: UpdateOptions
    as_json: bool
    succeeded: bool = False  # whether another revision is about to take the place of the layer's

    @property
    def layer(self) -> Layer:
        """The layer whose tiles they are."""
        return self.stored_filter.layer

    @property
    def earlier(self) -> set[str]:
        """The revisions before the one that is to be rendered."""
        if self.succeeded:
            return {self.layer.revision}
        return {each.revision for each in History.of(self.layer, self.stores).known} - {self.layer.revision}


def wait_out(task: UpdateTask, hint: str = "interrupted: nothing was removed") -> bool:
    """Wait until nothing of an earlier revision can be put any more; returns whether that took any time."""
    return not task.update_options.hurry and count_down(left(task.layer, task.stores), hint)


def count_down(seconds: float, hint: str) -> bool:
    """Wait, and show how long that is; returns whether it took any time."""
    if not seconds:
        return False
    label, form = (
        "waiting until no tile of an earlier revision is in flight (--no-wait skips)",
        "{desc}: {n} of {total} s",
    )
    total = math.ceil(seconds)
    with (
        interruptible(hint),
        tqdm(desc=label, total=total, file=sys.stderr, bar_format=form) as bar,
    ):
        for rest in countdown(seconds):
            bar.update(total - math.ceil(rest) - bar.n)
        bar.update(total - bar.n)
    return True


def take_away(task: UpdateTask, keys: Iterable[str], total: int | None) -> Purged:
    """Delete tiles, and show how that goes."""
    with interruptible(AGAIN), tile_bar(f"remove {task.layer.id}", total) as bar:
        return purge(task.stores.tiles, keys, bar.update)


def renew(task: UpdateTask, run_options: RunOptions, stale_at: StaleAt | None = None) -> StoredTiles | None:
    """Render the tiles that are meant anew in place, those that `stale_at` says or all; returns what was stored before.

    Tiles that an earlier revision had nothing on are rendered, too: they may have something now.
    What the layer does not have any more is removed at last, so that the map never has a hole.

    Raises:
        Exit: with 1 if tiles failed; nothing was removed then.
    """
    if task.update_options.dry_run:
        print_stored_tiles(task, list_stored_tiles(task, stale_at))
        return None
    stored_tiles = agreed(task, stale_at)
    if wait_out(task, AGAIN) or stored_tiles is None:
        stored_tiles = list_stored_tiles(task, stale_at)
    check_current(task)
    since = None if task.update_options.hurry else task.stores.sources.clock(clock_key())
    if not stored_tiles.stale and not stored_tiles.left:
        click.echo(f"no stored tile of layer {task.layer.id} is to be rendered anew", err=True)
    _perform(task, stored_tiles, run_options, since)
    check_current(task)
    told = take_away(task, stored_tiles.uncovered(), None)
    finish(task, told, stored_tiles.cost, "that it does not have any more ", since)
    return stored_tiles


def check_current(task: UpdateTask) -> None:
    """Stop if the task's layer has another revision by now.

    Raises:
        Superseded: it has.
    """
    now = load_layer(task.stores.sources, task.layer.id).revision
    if now != task.layer.revision:
        raise Superseded(
            f"layer {task.layer.id} changed from revision {task.layer.revision} to {now} by now: "
            f"stopped before the rest; run the same command again to go on"
        )


def agreed(task: UpdateTask, stale_at: StaleAt | None = None) -> StoredTiles | None:
    """What is stored, if it had to be looked at to know whether so much is meant.

    Raises:
        BadOption: it is not.
    """
    if task.update_options.yes:
        return None
    stored_tiles = list_stored_tiles(task, stale_at)
    task.update_options.confirm(stored_tiles.rendered, "rendered anew")
    return stored_tiles


def list_stored_tiles(task: UpdateTask, stale_at: StaleAt | None = None) -> StoredTiles:
    """What is stored now."""
    with interruptible("interrupted: nothing was changed"), tile_bar(f"look for {task.layer.id}", None) as bar:
        stored_tiles = StoredTiles.take(task.stores.tiles, task.stored_filter, stale_at, bar.update)
        stored_tiles.recall(task.stores, task.earlier)
        return stored_tiles


def _perform(task: UpdateTask, stored_tiles: StoredTiles, run_options: RunOptions, since: datetime | None) -> None:
    """Render what is stale.

    Raises:
        Exit: with 1 if tiles failed.
    """
    passed = True
    for plan in stored_tiles.plans(task.stores):
        result = run_plan(plan, run_options, task.settings, task.stores, TerminalReport(), since=since)
        passed = passed and result.passed
        try:
            print_result(result, task.stores.tiles.url, as_json=task.as_json)
        except click.exceptions.Exit:
            continue
    if not passed:
        click.echo("where it failed the tiles are as they were: run the same command again when it is mended", err=True)
        raise click.exceptions.Exit(1)


def print_stored_tiles(task: UpdateTask, stored_tiles: StoredTiles) -> None:
    """Say what would be done about it."""
    layer, update_options = task.layer, task.update_options
    removed = sum(1 for _ in stored_tiles.uncovered())
    found = paths_of(task.stored_filter, stored_tiles.cost) if update_options.cdn else []
    if task.as_json:
        said = {
            "layer": layer.id,
            "existed": stored_tiles.tiles,
            "rendered": stored_tiles.rendered,
            "removed": removed,
            "dry_run": True,
        }
        click.echo(
            json.dumps({**said, "cloudfront": update_options.cdn, "paths": found} if update_options.cdn else said)
        )
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
    click.echo(f"would remove {tiles_said(removed)} that the layer does not have any more")
    if found:
        click.echo(f"CloudFront {update_options.cdn}: {cdn_cost(found)}")


def finish(task: UpdateTask, told: Purged, cost: Cost, which: str = "", since: datetime | None = None) -> None:
    """Have CloudFront and TileJSON tell of it, and say what was done; `which` are the tiles that were removed.

    TileJSON comes last: it makes browsers ask for tiles under another address and keep what they get.

    Raises:
        Exit: with 1 if tiles could not be removed.
    """
    layer = task.layer
    check_current(task)
    history = History.of(layer, task.stores, since)
    others = not told.failed and _others(task, history, cost)
    said = {
        "layer": layer.id,
        "revision": layer.revision,
        "existed": told.removed + told.failed,
        "removed": told.removed,
        "failed": told.failed,
        "why": told.why,
        "planned": cost.planned,
        "listed": cost.listed,
        "lists": cost.lists,
        "deletes": told.requests,
    }
    if not task.as_json:
        for line in _removed(layer, told, cost, which):
            click.echo(line)
    for key in told.keys:
        click.echo(f"not removed: {key}", err=True)
    if told.failed:
        click.echo(f"error: {tiles_said(told.failed)} could not be removed: {told.why}", err=True)
    else:
        if task.update_options.cdn:
            said |= tell_cdn(
                task.update_options, paths_of(task.stored_filter, cost), task.settings, as_json=task.as_json
            )
        if others:
            old = named(layer.id, task.stores.tiles)
            click.echo(f"tile.json goes on to name revision {old}: tiles of other revisions are stored", err=True)
        elif task.update_options.hurry and history.mixed:
            announce(layer, task.stores)
        else:
            settle(layer, task.stores)
    if task.as_json:
        click.echo(json.dumps(said))
    if told.failed:
        raise click.exceptions.Exit(1)


def _others(task: UpdateTask, history: History, cost: Cost) -> bool:
    """Whether tiles are stored that may be of another revision than the current one."""
    if task.stored_filter.everything or not history.mixed:
        return False
    more = Cost()
    found = suspects(task.layer, task.stores, history, more)
    cost.lists += more.lists
    return found > 0


def _removed(layer: Layer, told: Purged, cost: Cost, which: str) -> Iterator[str]:
    if told.removed or told.failed:
        yield f"layer {layer.id}: {tiles_said(told.removed + told.failed)} {which}existed, {told.removed:,} removed"
    if cost.lists:
        deletes = f"{told.requests:,} DELETE{'' if told.requests == 1 else 's'}"
        yield f"looked for {said_cost(cost)}; {deletes}"


def said_cost(cost: Cost) -> str:
    """How tiles were looked for: in each zoom the way that takes fewer requests; nothing where it takes none."""
    ways = (("by listing zoom", cost.listed), ("column by column in zoom", cost.planned))
    some = " and ".join(f"{run_options} {format_zooms(tuple(sorted(zooms)))}" for run_options, zooms in ways if zooms)
    return f"{some or 'in vain'}: {cost.lists:,} LIST{'' if cost.lists == 1 else 's'}" if cost.lists else ""


def paths_of(stored_filter: StoredFilter, cost: Cost) -> list[str]:
    """The paths that CloudFront is told; `cost` names the zooms that were looked through, the layer's or not."""
    from seeder.cache.cloudfront import paths  # noqa: PLC0415 - boto3 takes a third of a second

    if stored_filter.zooms is None and not stored_filter.whole and stored_filter.named is None:
        own = range(stored_filter.layer.minzoom, stored_filter.layer.maxzoom + 1)
        stored_filter = replace(stored_filter, zooms=tuple(sorted({*own, *cost.planned, *cost.listed})))
    return paths(stored_filter)


def tell_cdn(update_options: UpdateOptions, found: list[str], settings: Settings, *, as_json: bool) -> dict[str, Any]:
    """Have CloudFront forget paths, and say what that costs.

    Raises:
        QueueError: it does not.
    """
    from seeder.cache.cloudfront import PRICE, invalidate, wait  # noqa: PLC0415 - as above

    if not found:
        return {}
    try:
        number = invalidate(update_options.cdn, found, settings.s3.region)
        if update_options.cdn_wait:
            with interruptible(f"interrupted: CloudFront goes on with invalidation {number}"):
                wait(update_options.cdn, number, settings.s3.region)
    except TilerError as error:
        raise QueueError(f"the tiles are done, but {error}; have it forget {' '.join(found)}") from error
    if not as_json:
        click.echo(
            f"CloudFront {update_options.cdn}: {cdn_cost(found)}; "
            f"invalidation {number}{' is done' * update_options.cdn_wait}"
        )
    return {
        "cloudfront": update_options.cdn,
        "paths": found,
        "most": round(PRICE * len(found), 3),
        "invalidation": number,
    }


def cdn_cost(found: list[str]) -> str:
    """Paths, and what they cost."""
    from seeder.cache.cloudfront import PRICE  # noqa: PLC0415 - as above

    many = f"{len(found)} path{'' if len(found) == 1 else 's'}"
    return (
        f"{many} ({', '.join(found)}), at most ${PRICE * len(found):.3f} where this month's thousand free ones are used"
    )
