"""The command `invalidate`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

import click
from tabulate import tabulate

from seeder.cache.query import TileQuery
from seeder.cache.stored import Cost, StoredFilter, stored
from seeder.cli.common import guarded, interruptible, json_option, located, parsed, tile_bar, tiles_said
from seeder.cli.run_job import MakeRunOptions, follow_flags
from seeder.cli.selection_options import places
from seeder.cli.update_tiles import (
    MANY,
    UpdateOptions,
    UpdateTask,
    cdn_cost,
    check_current,
    confirmed_update_flags,
    finish,
    paths_of,
    renew,
    said_cost,
    take_away,
    wait_out,
)
from seeder.select.selection import Selection, regions
from tiler.errors import BadOption
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_age(text: str) -> datetime:
    """The time (UTC) that was so long ago, or the time itself: `90m`, `36h`, `7d`, `2w`, 2026-11-01, an ISO time.

    Raises:
        BadOption: it is neither, or lies in the future.
    """
    now = datetime.now(UTC)
    try:
        if match := re.fullmatch(r"(\d{1,6})([mhdw])", text):
            return now - timedelta(**{UNITS[match[2]]: int(match[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise BadOption(f"{text!r} is no age: write 36h, 7d or 2w, or a date as in 2026-11-01") from error
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found > now:
        raise BadOption(f"{text} lies in the future: nothing stored is older than that and nothing is newer")
    return found


@click.command("invalidate")
@click.argument("layer")
@click.option(
    "--older-than",
    metavar="AGE|DATE",
    callback=parsed(parse_age),
    help="Only tiles last written longer ago, as in 36h, 7d, 2w, or before a date or time, UTC unless it says.",
)
@click.option("--all", "everything", is_flag=True, help="All tiles of the layer.")
@click.option("--reseed", is_flag=True, help="Render the tiles anew instead; remove only what the layer lacks now.")
@json_option
@guarded
@located
@places
@confirmed_update_flags
@follow_flags("local")
def invalidate(
    layer: str,
    older_than: datetime | None,
    everything: bool,
    reseed: bool,
    query: TileQuery,
    update_options: Callable[[Settings], UpdateOptions],
    run_options: MakeRunOptions,
    as_json: bool,
    settings: Settings,
) -> None:
    """Remove stored tiles of LAYER, at every scale and in every format; they are rendered when somebody asks for them.

    After a new revision it waits first until nothing in flight can put an older tile back. Tiles that the layer does
    not have any more are removed too.

    \b
    Examples:
      seeder invalidate alps --bbox 6.9,45.8,7.1,46.0
      seeder invalidate alps --zooms 12-14 --older-than 30d --dry-run
      seeder invalidate alps --all --reseed
    """
    careful, how = update_options(settings), run_options(settings, "")
    if not (query.anything or older_than or everything):
        raise BadOption(
            "say which tiles: --zooms, --bbox, --tiles or another selector, --older-than, or --all for every one"
        )
    if everything and (query.anything or older_than):
        raise BadOption("--all means every tile: leave it out, or leave the other selectors out")
    stores = Stores.open(settings)
    found = load_layer(stores.sources, layer)
    stored_filter = query.stored_filter(found, older_than)
    task = UpdateTask(stored_filter, stores, settings, careful, as_json)
    if reseed:
        renew(task, how)
    else:
        _invalidate(task)


@dataclass(frozen=True, slots=True)
class Found:
    """What a first look showed: tiles a zoom, and their keys unless they are too many to keep."""

    zooms: Counter[int]
    keys: list[str] | None
    cost: Cost


def _invalidate(task: UpdateTask) -> None:
    """Remove the tiles that are meant."""
    first = None if task.update_options.yes and not task.update_options.dry_run else _first_listing(task)
    if first is not None:
        total = first.zooms.total()
        if not total:
            _check_place(task.stored_filter)
        if task.update_options.dry_run:
            _tell(task, first)
            return
        task.update_options.confirm(total, "removed")
    waited = wait_out(task)
    check_current(task)
    if first is None or first.keys is None or waited:
        cost = Cost()
        keys = (each.key for each in chain.from_iterable(stored(task.stores.tiles, task.stored_filter, cost)))
        purged = take_away(task, keys, first.zooms.total() if first else None)
        cost.lists += first.cost.lists if first else 0
    else:
        cost, purged = first.cost, take_away(task, first.keys, len(first.keys))
    if not purged.removed and not purged.failed:
        _check_place(task.stored_filter)
        click.echo("none of the selected tiles is stored: nothing was removed", err=True)
    finish(task, purged, cost)


def _first_listing(task: UpdateTask) -> Found:
    """What is stored now."""
    zooms: Counter[int] = Counter()
    keys: list[str] | None = []
    cost = Cost()
    with interruptible("interrupted: nothing was removed"), tile_bar(f"look for {task.layer.id}", None) as bar:
        for batch in stored(task.stores.tiles, task.stored_filter, cost):
            zooms.update(each.name.tile.z for each in batch)
            bar.update(len(batch))
            if keys is not None:
                keys += (each.key for each in batch)
                keys = keys if len(keys) <= MANY else None
    return Found(zooms, keys, cost)


def _check_place(stored_filter: StoredFilter) -> None:
    """Nothing, if the selection holds tiles that the layer has, none of which is stored.

    Raises:
        ZoomOutside, BadOption: it holds none, so it was hardly meant.
    """
    layer = stored_filter.layer
    if stored_filter.zooms is not None and not any(layer.minzoom <= z <= layer.maxzoom for z in stored_filter.zooms):
        layer.check_zooms(stored_filter.zooms)
    own = tuple(range(layer.minzoom, layer.maxzoom + 1))
    zooms = own if stored_filter.zooms is None else tuple(z for z in stored_filter.zooms if z in own)
    if not any(
        len(region & stored_filter.at(region.z)) for region in regions(layer, Selection(zooms, stored_filter.boxes))
    ):
        raise BadOption(f"nothing was removed: the selected tiles are neither stored nor among those of {layer.id!r}")


def _tell(task: UpdateTask, first: Found) -> None:
    """Say what would be removed."""
    total, cost, cdn = first.zooms.total(), first.cost, task.update_options.cdn
    zooms = sorted(first.zooms.items())
    found = paths_of(task.stored_filter, cost) if cdn else []
    if task.as_json:
        said = {"layer": task.layer.id, "existed": total, "removed": 0, "dry_run": True}
        said |= {"planned": cost.planned, "listed": cost.listed, "lists": cost.lists}
        said |= {"zooms": {str(z): number for z, number in zooms}, "cloudfront": cdn, "paths": found}
        click.echo(json.dumps(said))
        return
    if zooms:
        rows = [(z, f"{number:,}") for z, number in zooms]
        click.echo(tabulate(rows, headers=("zoom", "stored"), colalign=("right", "right"), disable_numparse=True))
    ways = f", found {said_cost(cost)}" if cost.lists else ""
    click.echo(f"{tiles_said(total)} of layer {task.layer.id} would be removed{ways}")
    if cdn:
        click.echo(f"CloudFront {cdn}: {cdn_cost(found)}")
