"""The publications of a layer since all of its stored tiles were of one revision: each may have left tiles behind.

They are kept in `sources/{layer}/history.json`, beside the layer's metadata. Layers of earlier versions have none: the
revision that TileJSON names and those that are kept tell what may be stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiler.errors import CatalogError, MissingObject
from tiler.inputs import read_json
from tiler.keys import history_key, index_key, sources_prefix
from tiler.storage.store import Store

VERSION = 1
FIRST, LAST = 1900, 9000  # years that no publication is of
UNKNOWN = "unknown"  # a revision of which nothing is on record


@dataclass(frozen=True, slots=True)
class Publication:
    """A revision, and when it became the current one (UTC, by the store's clock); None means before all others."""

    revision: str
    at: datetime | None = None


def publications(sources: Store, layer: str, current: str, named: Callable[[], str]) -> tuple[Publication, ...]:
    """The revisions of which tiles may be stored, in the order of their publication; the last is the `current` one.

    `named` tells the revision that TileJSON names, empty where it names none; it is called only without a history.
    Tiles of another revision that is kept may then have been stored at any time before the last publication.

    Raises:
        CatalogError: the history is not what this version wrote.
    """
    known = _load(sources, layer)
    if not known:
        old = named()
        known = (Publication(old or current),)
        others = sorted(set(sources.folders(sources_prefix(layer))) - {current, old})
        known += tuple(Publication(each) for each in others[:1])
    return known if known[-1].revision == current else (*known, _latest(sources, layer, current))


def so_far(sources: Store, layer: str, named: Callable[[], str]) -> tuple[Publication, ...]:
    """The publications before the next one: none of a new layer, an unknown one if metadata is damaged."""
    try:
        current = read_json(sources.get(index_key(layer)))["revision"]
        return publications(sources, layer, str(current), named)
    except MissingObject:
        return ()
    except (CatalogError, KeyError, TypeError, ValueError):
        return (Publication(UNKNOWN),)


def sound(sources: Store, layer: str) -> bool:
    """Whether the history can be read, or there is none."""
    try:
        _load(sources, layer)
    except CatalogError:
        return False
    return True


def follow(sources: Store, layer: str, known: Sequence[Publication], revision: str) -> None:
    """Record that `revision`, which has just been published, comes after the `known` ones."""
    if known and known[-1].revision != revision:
        record(sources, layer, (*known, _latest(sources, layer, revision)))


def _latest(sources: Store, layer: str, revision: str) -> Publication:
    return Publication(revision, sources.written(index_key(layer)))


def record(sources: Store, layer: str, known: Sequence[Publication]) -> None:
    """Put the history on record."""
    said = [{"revision": each.revision, "at": each.at.isoformat() if each.at else None} for each in known]
    data = json.dumps({"version": VERSION, "publications": said}, indent=1) + "\n"
    sources.put(history_key(layer), data.encode(), content_type="application/json")


def forget(sources: Store, layer: str, revision: str) -> None:
    """Reset the history to `revision`, once all stored tiles belong to it."""
    if _load(sources, layer) != (Publication(revision),):
        record(sources, layer, (Publication(revision),))


def _load(sources: Store, layer: str) -> tuple[Publication, ...]:
    key = history_key(layer)
    try:
        said = read_json(sources.get(key))
        if said["version"] != VERSION:
            raise CatalogError(key, f"its version is {said['version']}, this program writes {VERSION}")
        return tuple(
            Publication(str(each["revision"]), _date(each["at"]) if each["at"] else None)
            for each in said["publications"]
        )
    except MissingObject:
        return ()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(key, error) from error


def _date(text: str) -> datetime:
    """Parse a date with a zone.

    Raises:
        ValueError: it has no zone, or lies at an end of the calendar.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not FIRST < at.year < LAST:
        raise ValueError(f"{text} is not a valid publication date")
    return at
