"""The error tree.

TilerError
├── BadInput                what the user typed or brought is wrong: exit 2, nothing changed
│   ├── GridError           a zoom, tile, block or bounds that cannot be
│   ├── BadName             a layer id that cannot be a key
│   ├── UnknownLayer        the catalogue has no such layer
│   ├── UnknownJob          the ledger has no such job
│   ├── ZoomOutside         a zoom that the layer does not have
│   ├── TileOutside         a tile that the layer does not have
│   ├── BadSource           a raster that cannot become a layer
│   ├── BadOption           an option that does not fit the layer or the source
│   ├── BadStore            a store URL that is malformed, or a root that cannot be written
│   └── BadCloud            AWS cannot be asked: no credentials, no region, no such stack or queue
├── SourceReadError         pixels could not be read; no tile is written
├── StoreError              an object could not be read, written, listed or deleted
│   └── MissingObject       there is no such object
├── Superseded              the layer has another revision by now; no more tiles of this one are written
├── CatalogError            a layer's metadata is not what this version wrote
├── QueueError              messages were refused, or the queue does not answer
├── MessageError            a message or a receipt that this version does not speak
├── BadImage                bytes that are no picture
├── NoRoom                  a disk has too little room for a bake; the layer is what it was
└── WorkerDied              a worker process ended without an answer
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence


class TilerError(Exception):
    """Everything that this project raises on purpose; it passes between processes as it is."""

    def __reduce__(self) -> tuple[Callable[..., TilerError], tuple[object, ...]]:
        return _revived, (type(self), self.args, self.__dict__)


def _revived(kind: type[TilerError], args: tuple[object, ...], state: dict[str, object]) -> TilerError:
    """A pickled error: its message was built already, so no constructor runs."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class BadInput(TilerError):
    """What the user typed or brought is wrong; nothing was changed."""


class GridError(BadInput):
    """A zoom, tile, block or bounds that cannot be."""


class BadName(BadInput):
    """A layer id that cannot be part of a key."""

    def __init__(self, layer: str) -> None:
        super().__init__(
            f"{layer!r} cannot name a layer: use 1 to 63 of a-z 0-9 . _ - beginning with a letter or digit "
            "(`sources` and `jobs` are reserved)"
        )
        self.layer = layer


class UnknownLayer(BadInput):
    """The catalogue has no such layer."""

    def __init__(self, layer: str, known: Iterable[str] = ()) -> None:
        close = difflib.get_close_matches(layer, list(known), n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        super().__init__(f"no layer {layer!r}: {hint}run `seeder ingest` first (sources/{layer}/index.json is missing)")
        self.layer = layer
        self.close = close


class UnknownJob(BadInput):
    """The ledger has no such job, or several that the name fits."""

    def __init__(self, job: str, alike: Sequence[str] = ()) -> None:
        hint = f"did you mean {' or '.join(alike)}?" if alike else "`seeder status` lists them"
        super().__init__(f"no job {job!r}: {hint}")
        self.job = job


class ZoomOutside(BadInput):
    """A zoom that the layer does not have."""

    def __init__(self, layer: str, zooms: Sequence[int], minzoom: int, maxzoom: int) -> None:
        asked = ", ".join(map(str, zooms))
        super().__init__(
            f"layer {layer!r} has zooms {minzoom}-{maxzoom}, not {asked}: "
            f"ask for those, or ingest again with --min-zoom or --max-zoom"
        )
        self.layer = layer


class TileOutside(BadInput):
    """A tile that the layer does not have."""

    def __init__(self, layer: str, key: str) -> None:
        super().__init__(f"{key} lies outside the bounds or the zooms of layer {layer!r}")
        self.layer = layer


class BadSource(BadInput):
    """A raster that cannot become a layer."""

    def __init__(self, source: str, why: str) -> None:
        super().__init__(f"cannot ingest {source}: {why}")
        self.source = source


class BadOption(BadInput):
    """An option that does not fit the layer or the source."""


class BadStore(BadInput):
    """A store URL that is malformed, or a root that cannot be written."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"cannot use {url} as a store: {why}")
        self.url = url


class BadCloud(BadInput):
    """AWS cannot be asked: no credentials, no region, no such stack or queue."""

    denied = False  # whether only a policy forbids it


class SourceReadError(TilerError):
    """Pixels could not be read; no tile is written."""

    def __init__(self, source: str, why: object) -> None:
        super().__init__(f"cannot read {source}: {why}")
        self.source = source


class StoreError(TilerError):
    """An object could not be read, written, listed or deleted."""

    def __init__(self, verb: str, key: str, why: object) -> None:
        super().__init__(f"cannot {verb} {key}: {why}")
        self.key = key


class MissingObject(StoreError):
    """There is no such object."""

    def __init__(self, key: str) -> None:
        super().__init__("find", key, "there is no such object")


class Superseded(TilerError):
    """The layer has another revision by now, or none; no more tiles of this one are written."""


class CatalogError(TilerError):
    """A layer's metadata is not what this version wrote."""

    def __init__(self, key: str, why: object) -> None:
        super().__init__(f"{key} does not describe a layer ({why}): run `seeder ingest` again")
        self.key = key


class QueueError(TilerError):
    """Messages were refused, or the queue does not answer; `refused` names the blocks."""

    def __init__(self, why: object, refused: Sequence[str] = ()) -> None:
        named = f": {', '.join(refused[:10])}{', ...' if len(refused) > 10 else ''}" if refused else ""
        super().__init__(f"{why}{named}")
        self.refused = tuple(refused)


class MessageError(TilerError):
    """A message or a receipt that this version does not speak."""


class BadImage(TilerError):
    """Bytes that are no picture."""


class NoRoom(TilerError):
    """A disk has too little room for a bake; the layer is what it was."""

    def __init__(self, folder: str, needed: int, free: int) -> None:
        super().__init__(
            f"no room in {folder}: about {_megabytes(needed)} are needed, {_megabytes(free)} are free: "
            "free some space and run the same command again"
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


class WorkerDied(TilerError):
    """A worker process ended without an answer."""

    def __init__(self) -> None:
        super().__init__(
            "a worker process died, most often for lack of memory: run the same command again to go on, "
            "with fewer --jobs if it happens again"
        )
