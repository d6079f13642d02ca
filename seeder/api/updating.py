"""Turn arguments into the context and the tiles of an update."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from seeder.api.progress import CallbackReport, Progress
from seeder.api.tiles import Tiles
from seeder.cache.query import TileQuery
from seeder.cache.stored import StoredFilter
from seeder.operations.checks import refusal
from seeder.operations.update import UpdateContext, UpdateOptions
from tiler.errors import BadOption
from tiler.layers.catalog import Layer
from tiler.settings import Settings
from tiler.storage.store import Stores

Age = datetime | timedelta


def context_of(
    settings: Settings,
    progress: Progress | None,
    hurry: bool = False,  # noqa: FBT002 - the order of the calls' own arguments
    cloudfront: str | None = None,
    cdn_wait: bool = False,  # noqa: FBT002 - as above
) -> UpdateContext:
    """The context of an update.

    Raises:
        BadOption: `cdn_wait` was given without a distribution.
        BadCloud, QueueError: the distribution cannot be used.
    """
    cdn = settings.cloudfront if cloudfront is None else cloudfront
    if cdn_wait and not cdn:
        raise BadOption("cdn_wait needs a CloudFront distribution: add cloudfront=ID")
    if cdn:
        from seeder.cache.cloudfront import check  # noqa: PLC0415 - boto3 takes a third of a second

        check(cdn, settings.s3.region)
    options = UpdateOptions(
        hurry, cdn, cdn_wait, confirmed=progress is None
    )  # progress needs the number of tiles first
    return UpdateContext(Stores.open(settings), settings, options, CallbackReport(progress))


def filter_of(layer: Layer, tiles: Tiles | Literal["all"], older_than: Age | None = None) -> StoredFilter:
    """The filter for stored tiles at every scale and in every format, by the selectors of `tiles`, and by age.

    Raises:
        BadOption: the tiles belong to another layer, or the age lies in the future.
    """
    if isinstance(tiles, Tiles):
        check_own(layer.id, tiles)
    elif tiles != "all":
        raise BadOption(f"tiles={repr(tiles)[:80]} is invalid: give the result of select(), or 'all'")
    query = tiles.asked if isinstance(tiles, Tiles) else TileQuery()
    return query.stored_filter(layer, _before(older_than))


def check_own(layer: str, tiles: Tiles) -> None:
    """Check that the tiles belong to a layer.

    Raises:
        BadOption: they do not.
    """
    if not isinstance(tiles, Tiles):
        raise BadOption(f"tiles={repr(tiles)[:80]} is invalid: give the result of select()")
    if tiles.layer != layer:
        raise BadOption(f"the tiles belong to layer {tiles.layer!r}, not to {layer!r}")


def _before(age: Age | None) -> datetime | None:
    """The time (UTC) at this age, or this time; a time without a zone is in UTC.

    Raises:
        BadOption: it lies in the future.
    """
    if age is None:
        return None
    if not isinstance(age, datetime | timedelta):
        raise refusal("older_than", age, "give a datetime, or a timedelta")
    now = datetime.now(UTC)
    time = now - age if isinstance(age, timedelta) else age if age.tzinfo else age.replace(tzinfo=UTC)
    if time > now:
        raise BadOption(f"older_than={age} lies in the future: give a time in the past, or a positive timedelta")
    return time
