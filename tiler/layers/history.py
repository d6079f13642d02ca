"""The publication history of a layer since all stored tiles had one revision; each publication may have stored tiles.

It is kept in `sources/{layer}/history.json`, beside the layer's metadata. Layers of earlier versions have none; their
revision in TileJSON and their kept revisions are used instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from tiler.errors import CatalogError, Changed, MissingObject
from tiler.inputs import read_json
from tiler.keys import SHARED, history_key, index_key, sources_prefix
from tiler.layers.version import check_version
from tiler.storage.store import Store

VERSION = 1
FIRST, LAST = 1900, 9000  # years outside any publication
UNKNOWN = "unknown"  # a revision without a record


@dataclass(frozen=True, slots=True)
class Publication:
    """A revision, and the time of its publication (UTC, by the store's clock); None means before all others."""

    revision: str
    at: datetime | None = None


def publications(sources: Store, layer: str, current: str, named: Callable[[], str]) -> tuple[Publication, ...]:
    """The revisions that may have stored tiles, in the order of publication; the last is the `current` one.

    `named` returns the revision in TileJSON, or an empty text; it is called only if there is no history. Tiles of
    another kept revision may then have been stored at any time before the last publication.

    Raises:
        CatalogError: the history is damaged.
        NewerMetadata: it is of a newer version.
    """
    known = _load(sources, layer)
    if not known:
        old = named()
        known = (Publication(old or current),)
        others = sorted(set(sources.folders(sources_prefix(layer))) - {current, old, *SHARED})
        known += tuple(Publication(each) for each in others[:1])
    return known if known[-1].revision == current else (*known, _latest(sources, layer, current))


def so_far(sources: Store, layer: str, named: Callable[[], str]) -> tuple[Publication, ...]:
    """The publications so far: none for a new layer, one of unknown revision if the metadata is damaged.

    Raises:
        NewerMetadata: the history is of a newer version.
    """
    try:
        current = read_json(sources.get(index_key(layer)))["revision"]
        return publications(sources, layer, str(current), named)
    except MissingObject:
        return ()
    except (CatalogError, KeyError, TypeError, ValueError):
        return (Publication(UNKNOWN),)


def sound(sources: Store, layer: str) -> bool:
    """Whether the history is readable or missing."""
    try:
        _load(sources, layer)
    except CatalogError:
        return False
    return True


def follow(sources: Store, layer: str, known: Sequence[Publication], revision: str, recorded: str) -> None:
    """Add `revision`, which has just been published, to the `known` publications.

    `recorded` is the version of the history that these were read from. If another publication has followed and recorded
    both already, nothing is added.
    """
    if not known or known[-1].revision == revision:
        return
    with suppress(MissingObject, Changed):  # the layer was removed, or both are recorded
        record(sources, layer, (*known, _latest(sources, layer, revision)), expected=recorded)


def _latest(sources: Store, layer: str, revision: str) -> Publication:
    return Publication(revision, sources.written(index_key(layer)))


def record(sources: Store, layer: str, known: Sequence[Publication], *, expected: str | None = None) -> None:
    """Put the history into the store, with `expected` only over that version of it.

    Raises:
        Changed: the history is of another version.
    """
    entries = [{"revision": each.revision, "at": each.at.isoformat() if each.at else None} for each in known]
    data = json.dumps({"version": VERSION, "publications": entries}, indent=1) + "\n"
    sources.put(history_key(layer), data.encode(), content_type="application/json", expected=expected)


def forget(sources: Store, layer: str, revision: str) -> None:
    """Reset the history to `revision`, once all stored tiles belong to it."""
    if _load(sources, layer) != (Publication(revision),):
        record(sources, layer, (Publication(revision),))


def _load(sources: Store, layer: str) -> tuple[Publication, ...]:
    key = history_key(layer)
    try:
        fields = read_json(sources.get(key))
        check_version(key, fields["version"], VERSION)
        first, *others = fields["publications"]
        return tuple(
            Publication(str(each["revision"]), _date(each["at"]) if each["at"] else None) for each in (first, *others)
        )
    except MissingObject:
        return ()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(key, error, "run `seeder ingest` again") from error


def _date(text: str) -> datetime:
    """Parse a date with a zone.

    Raises:
        ValueError: it has no zone, or an impossible year.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not FIRST < at.year < LAST:
        raise ValueError(f"{text} is not a valid publication date")
    return at
