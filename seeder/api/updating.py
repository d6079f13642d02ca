"""Turn arguments of a call into an update of stored tiles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from seeder.api.checks import refusal
from seeder.api.progress import CallbackReport, Progress
from seeder.api.tiles import Tiles
from seeder.cache.query import TileQuery
from seeder.cache.stored import StoredFilter
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
    """Where an update takes place, and how careful it is.

    Raises:
        BadOption: there is no distribution to wait for.
        BadCloud, QueueError: the distribution cannot be used.
    """
    cdn = settings.cloudfront if cloudfront is None else cloudfront
    if cdn_wait and not cdn:
        raise BadOption("cdn_wait waits for CloudFront: name its distribution with cloudfront=ID")
    if cdn:
        from seeder.cache.cloudfront import check  # noqa: PLC0415 - boto3 takes a third of a second

        check(cdn, settings.s3.region)
    options = UpdateOptions(hurry, cdn, cdn_wait)
    return UpdateContext(Stores.open(settings), settings, options, CallbackReport(progress))


def filter_of(layer: Layer, tiles: Tiles | Literal["all"], older_than: Age | None = None) -> StoredFilter:
    """The stored tiles that `tiles` were selected by, at every scale and in every format, as far as they are older.

    Raises:
        BadOption: they are of another layer, or it can be none.
    """
    if isinstance(tiles, Tiles):
        check_own(layer.id, tiles)
    elif tiles != "all":
        raise BadOption(f"{tiles!r} are no tiles: give what select() returns, or 'all'")
    query = tiles.asked if isinstance(tiles, Tiles) else TileQuery()
    return query.stored_filter(layer, _before(older_than))


def check_own(layer: str, tiles: Tiles) -> None:
    """Nothing, if the tiles are of the layer of that name.

    Raises:
        BadOption: they are not.
    """
    if not isinstance(tiles, Tiles):
        raise BadOption(f"{repr(tiles)[:80]} are no tiles: give what select() returns")
    if tiles.layer != layer:
        raise BadOption(f"these are tiles of layer {tiles.layer!r}, not of {layer!r}")


def _before(age: Age | None) -> datetime | None:
    """The time (UTC) that was so long ago; a time without a zone is in UTC.

    Raises:
        BadOption: it lies in the future.
    """
    if age is None:
        return None
    if not isinstance(age, datetime | timedelta):
        raise refusal("older_than", age, "give a datetime, or a timedelta")
    now = datetime.now(UTC)
    found = now - age if isinstance(age, timedelta) else age if age.tzinfo else age.replace(tzinfo=UTC)
    if found > now:
        raise BadOption(f"{age} lies in the future: nothing stored is older than that and nothing is newer")
    return found
