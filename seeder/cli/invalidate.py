"""The command `invalidate`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from seeder.cli.common import json_option, located, parsed
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import count_of_tiles, guarded, table
from seeder.cli.run_job import MakeRunOptions, follow_flags
from seeder.cli.selection_options import places
from seeder.cli.update_tiles import (
    UpdateArguments,
    UpdateReport,
    confirmed_update_flags,
    cost_in_words,
    print_cdn_plan,
    print_end,
    print_renew_plan,
    print_renewed,
)
from tiler.errors import BadOption
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.cache.query import TileQuery
    from seeder.operations.invalidate import InvalidationPlan

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_age(text: str) -> datetime:
    """The time (UTC) of an age such as `90m`, `36h`, `7d` or `2w`, of a date, or of an ISO time.

    Raises:
        BadOption: it is neither, or lies in the future.
    """
    now = datetime.now(UTC)
    try:
        if match := re.fullmatch(r"(\d{1,6})([mhdw])", text):
            return now - timedelta(**{UNITS[match[2]]: int(match[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise BadOption(f"{text!r} is not an age: write 36h, 7d or 2w, or a date such as 2026-11-01") from error
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if time > now:
        raise BadOption(f"{text} lies in the future: write an earlier date, or --all for all tiles")
    return time


@command("invalidate")
@layer_argument
@option(
    "--older-than",
    group="Select",
    metavar="AGE|DATE",
    callback=parsed(parse_age),
    help="Only tiles older than this: 36h, 7d, 2w, a date or a time (UTC by default).",
)
@option("--all", "everything", group="Select", is_flag=True, help="All tiles of the layer.")
@option(
    "--reseed",
    group="Render",
    is_flag=True,
    help="Re-render the tiles in place; remove only those outside the layer.",
)
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
    update_arguments: Callable[[Settings], UpdateArguments],
    run_options: MakeRunOptions,
    as_json: bool,
    settings: Settings,
) -> None:
    """Remove or re-render stored tiles.

    This covers every scale and format. Removed tiles are rendered on the next request. After a new revision, the
    command first waits until no older tile is in flight. Tiles outside the layer are removed too.

    \b
    Examples:
      seeder invalidate alps --bbox 6.9,45.8,7.1,46.0
      seeder invalidate alps --zooms 12-14 --older-than 30d --dry-run
      seeder invalidate alps --all --reseed
    """
    from seeder.operations import invalidate as operations
    from tiler.layers.catalog import load_layer
    from tiler.storage.store import Stores

    arguments, how = update_arguments(settings), run_options(settings, "")
    if not (query.anything or older_than or everything):
        raise BadOption(
            "no tiles selected: add --zooms, --bbox, --tiles or another selector, --older-than, or --all for all tiles"
        )
    if everything and (query.anything or older_than):
        raise BadOption("--all and other selectors exclude each other: remove --all or the others")
    stores = Stores.open(settings)
    stored_filter = query.stored_filter(load_layer(stores.sources, layer), older_than)
    report = UpdateReport(stores.tiles.url, as_json=as_json, confirm_above=arguments.confirm_above)
    context = arguments.context(settings, stores, report)
    if reseed and arguments.dry_run:
        print_renew_plan(operations.plan_reseed(stored_filter, context), context.options.cdn, as_json=as_json)
    elif reseed:
        print_renewed(operations.reseed(stored_filter, context, how), as_json=as_json)
    elif arguments.dry_run:
        _print_plan(operations.plan_invalidation(stored_filter, context), context.options.cdn, as_json=as_json)
    else:
        print_end(operations.invalidate(stored_filter, context), as_json=as_json)


def _print_plan(plan: InvalidationPlan, cdn: str, *, as_json: bool) -> None:
    """Print the number of tiles to be removed, by zoom."""
    if as_json:
        click.echo(json.dumps({**plan.to_json(), "cloudfront": cdn, "paths": plan.paths}))
        return
    if plan.zooms:
        rows = [(z, f"{number:,}") for z, number in sorted(plan.zooms.items())]
        click.echo(table(rows, ("zoom", "stored"), ("right", "right")))
    cost = f", found {cost_in_words(plan.cost)}" if plan.cost.lists else ""
    click.echo(f"{count_of_tiles(plan.tiles)} of layer {plan.stored_filter.layer.id} would be removed{cost}")
    if cdn:
        print_cdn_plan(cdn, plan.paths)
