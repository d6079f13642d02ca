"""The publications of a layer since all of its stored tiles were of one revision: each may have left tiles behind.

They are kept in `sources/{layer}/history.json`, beside the layer's metadata. Without it all stored tiles are of the
revision that TileJSON names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiler.errors import CatalogError, MissingObject
from tiler.inputs import read_json
from tiler.keys import history_key, index_key
from tiler.storage import Store

VERSION = 1


@dataclass(frozen=True, slots=True)
class Publication:
    """A revision, and when it became the current one (UTC, by the store's clock); None means before all others."""

    revision: str
    at: datetime | None = None


def publications(sources: Store, layer: str, current: str, named: str) -> tuple[Publication, ...]:
    """The revisions of which tiles may be stored, in the order of their publication; the last is the `current` one.

    `named` is the revision that TileJSON names, empty where it names none. It alone tells of a layer that has no
    history yet.

    Raises:
        CatalogError: the history is not what this version wrote.
    """
    known = _load(sources, layer) or (Publication(named or current),)
    if known[-1].revision == current:
        return known
    return (*known, Publication(current, sources.written(index_key(layer))))


def so_far(sources: Store, layer: str, named: str) -> tuple[Publication, ...]:
    """The publications of a layer as its metadata is now; none if it is new or its metadata cannot be read."""
    try:
        current = read_json(sources.get(index_key(layer)))["revision"]
        return publications(sources, layer, str(current), named)
    except (MissingObject, CatalogError, KeyError, TypeError, ValueError):
        return ()


def follow(sources: Store, layer: str, known: Sequence[Publication], revision: str) -> None:
    """Record that `revision`, which has just been published, comes after the `known` ones."""
    if known and known[-1].revision != revision:
        record(sources, layer, (*known, Publication(revision, sources.written(index_key(layer)))))


def record(sources: Store, layer: str, known: Sequence[Publication]) -> None:
    """Put the history on record."""
    said = [{"revision": each.revision, "at": each.at.isoformat() if each.at else None} for each in known]
    data = json.dumps({"version": VERSION, "publications": said}, indent=1) + "\n"
    sources.put(history_key(layer), data.encode(), content_type="application/json")


def forget(sources: Store, layer: str) -> None:
    """All stored tiles are of the current revision now, which TileJSON names: there is no history to keep."""
    if sources.has(history_key(layer)):
        sources.delete([history_key(layer)])


def _load(sources: Store, layer: str) -> tuple[Publication, ...]:
    key = history_key(layer)
    try:
        said = read_json(sources.get(key))
        if said["version"] != VERSION:
            raise CatalogError(key, f"its version is {said['version']}, this program writes {VERSION}")
        return tuple(
            Publication(str(each["revision"]), datetime.fromisoformat(each["at"]) if each["at"] else None)
            for each in said["publications"]
        )
    except MissingObject:
        return ()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(key, error) from error
