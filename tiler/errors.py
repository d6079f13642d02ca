"""The error tree.

TilerError
├── BadInput                invalid argument, option or file: exit 2, nothing changed
│   ├── GridError           invalid zoom, tile, block or bounds
│   ├── BadName             invalid layer name
│   ├── UnknownLayer        no such layer in the catalog
│   ├── UnknownJob          no such job in the ledger
│   ├── ZoomOutside         zoom outside the layer's range
│   ├── TileOutside         tile outside the layer's bounds or zooms
│   ├── VariantNotRendered  tile of a scale or format that is not rendered on request
│   ├── BadSource           raster that cannot become a layer
│   │   ├── ChangedSource   it changed since its facts were read
│   │   └── BadScenes       some of several rasters cannot, each named
│   ├── BadOption           option that does not fit the layer or the source
│   │   └── BadEntries      keys or values in a file of layers, each named
│   ├── BadStore            malformed store URL, or a folder without write permission
│   ├── NewerMetadata       layer metadata of a newer version of this program
│   └── BadCloud            AWS not reachable: no credentials, no region, no such stack or queue
├── SourceReadError         pixels could not be read; no tile is written
├── StoreError              an object could not be read, written, listed or deleted
│   ├── MissingObject       no such object
│   └── Changed             the object is not the expected one; it is left as it is
├── Superseded              the layer has a newer revision or was removed; nothing more of this one is written
├── CatalogError            damaged layer metadata
├── QueueError              messages were refused, or the queue does not answer
├── MessageError            message or receipt in an unknown format
├── BadImage                bytes that do not decode as a tile image
├── NoRoom                  too little disk space for a bake; the layer is unchanged
├── OutOfMemory             too little memory; the layer is unchanged
└── WorkerDied              a worker process ended without a result
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

NAMED = 2  # scenes that the message of several names
NAME_LENGTH = 200  # characters of a path, URL or name that a message shows
SECRET = 8  # characters of the shortest query string that a message may quote without its address

_NETWORK = re.compile(r"[a-z][a-z0-9+.-]*://|/vsi", re.IGNORECASE)  # in names that may have a query string
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s'\"]*@")
# the query string of an address within a text, up to the punctuation that ends it
_QUERY = re.compile(
    r"((?!vrt:)(?:\b[a-z][a-z0-9+.-]*://|/vsi)[^\s?'\"]*)\?[^\s'\"]*?(?=[:;,.)\]]*(?:[\s'\"]|$))", re.IGNORECASE
)


class TilerError(Exception):
    """Base of all errors that this project raises; can be pickled between processes."""

    def __reduce__(self) -> tuple[Callable[..., TilerError], tuple[object, ...]]:
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(kind: type[TilerError], args: tuple[object, ...], state: dict[str, object]) -> TilerError:
    """An error from its pickle; skips the constructor, because the message is already built."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def shortened(name: str) -> str:
    """A name for a message: its ends, if it is longer than NAME_LENGTH characters."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH // 2]}...{name[-NAME_LENGTH // 2 :]}"


def shown(name: str) -> str:
    """A name to show, store or log: an address without its query string, fragment and credentials.

    Signed URLs have their keys there. Names of files, and keys in S3, have no query string and stay as they are.
    """
    if not _NETWORK.search(name):
        return name
    bare = _CREDENTIALS.sub("", name)
    if bare.startswith(("s3://", "/vsis3/")) or (bare.startswith("vrt://") and not _NETWORK.search(bare[6:])):
        return bare
    return re.split(r"[?#]", bare, maxsplit=1)[0]


def without_queries(text: str, name: str = "") -> str:
    """A text without the query strings and credentials of the addresses in it, and without those of `name`."""
    if name and shown(name) != name:
        text = text.replace(name, shown(name))
        query = name.partition("?")[2]
        text = text.replace(f"?{query}", "").replace(query, "...") if len(query) >= SECRET else text
    return _QUERY.sub(r"\1", _CREDENTIALS.sub("", text)) if "://" in text or "/vsi" in text else text


class BadInput(TilerError):
    """An argument, option or file is invalid; nothing was changed."""

    @property
    def headline(self) -> str:
        """The line before `details`."""
        return str(self)

    @property
    def details(self) -> tuple[str, ...]:
        """Further lines of the message."""
        return ()


class GridError(BadInput):
    """A zoom, tile, block or bounds is invalid."""


class BadName(BadInput):
    """A layer name cannot be part of a key."""

    def __init__(self, layer: str) -> None:
        super().__init__(
            f"{shortened(layer)!r} cannot name a layer: use 1 to 63 characters a-z 0-9 . _ - and start with a letter "
            "or digit (`sources` and `jobs` are reserved)"
        )
        self.layer = layer


class UnknownLayer(BadInput):
    """The catalog has no such layer."""

    def __init__(self, layer: str, known: Iterable[str] = ()) -> None:
        close = difflib.get_close_matches(layer, list(known), n=3)
        missing = f"`seeder ingest` first (sources/{layer}/index.json is missing)"
        cure = f"did you mean {' or '.join(close)}? If not, run {missing}" if close else f"run {missing}"
        super().__init__(f"no layer {layer!r}: {cure}")
        self.layer = layer
        self.close = close


class UnknownJob(BadInput):
    """The ledger has no such job, or several jobs match the name. Jobs expire `expired_after` days after their end."""

    def __init__(self, job: str, alike: Sequence[str] = (), expired_after: int = 0) -> None:
        hint = f"did you mean {' or '.join(alike)}?" if alike else "run `seeder status` to list jobs"
        expired = f"jobs expire {expired_after} days after their end; " if expired_after else ""
        super().__init__(f"no job {job!r}: {expired}{hint}")
        self.job = job


class ZoomOutside(BadInput):
    """A zoom is outside the layer's range."""

    def __init__(self, layer: str, zooms: Sequence[int], minzoom: int, maxzoom: int, *, ingested: bool = True) -> None:
        outside = ", ".join(map(str, zooms))
        has, cure = ("has", "ingest again with") if ingested else ("would have", "set")
        super().__init__(
            f"layer {layer!r} {has} zooms {minzoom}-{maxzoom}, not {outside}: "
            f"choose a zoom in that range, or {cure} --min-zoom or --max-zoom"
        )
        self.layer = layer


class TileOutside(BadInput):
    """A tile is outside the layer's bounds or zooms."""

    def __init__(self, layer: str, key: str, revision: str) -> None:
        super().__init__(f"{key} is outside the bounds or zooms of layer {layer!r}")
        self.layer = layer
        self.revision = revision  # never has the tile, but a later one may


class VariantNotRendered(BadInput):
    """A tile is not stored, and tiles of its scale or format are not rendered on request."""

    def __init__(self, layer: str, key: str) -> None:
        super().__init__(
            f"{key} is not stored, and this scale or format is not rendered on request: request another one, "
            f"run `seed {layer}` with --scale and --format, or add it to the param variants"
        )
        self.layer = layer


class BadSource(BadInput):
    """A raster cannot become a layer. The message has no query string of an address."""

    def __init__(self, source: str, why: str) -> None:
        super().__init__(f"cannot ingest {shortened(shown(source))}: {without_queries(why, source)}")
        self.source = source
        self.why = why


class ChangedSource(BadSource):
    """A raster or scene changed since its facts were read."""

    def __init__(self, source: str) -> None:
        super().__init__(source, "it changed while it was read: run the same command again")


class BadScenes(BadSource):
    """Some of the scenes of a layer cannot be part of it; `scenes` has the address and the reason of each.

    `count` is the number of all scenes, `fault` a verb phrase for those of `scenes`.
    """

    def __init__(
        self,
        count: int,
        scenes: Sequence[tuple[str, str]],
        fault: str = "cannot be read",
        cure: str = "remove them from the list or mend them",
    ) -> None:
        named = ", ".join(f"{shortened(address)} ({why})" for address, why in scenes[:NAMED])
        more = f" and {len(scenes) - NAMED} more" if len(scenes) > NAMED else ""
        BadInput.__init__(self, f"{len(scenes)} of {count} scenes {fault}: {named}{more}: {cure}")
        self.source, self.why = scenes[0]
        self.scenes = tuple(scenes)

    @property
    def details(self) -> tuple[str, ...]:
        """All scenes, one a line, if the message does not name all."""
        return tuple(f"{address}: {why}" for address, why in self.scenes) if len(self.scenes) > NAMED else ()


class BadOption(BadInput):
    """An option does not fit the layer or the source."""


class BadEntries(BadOption):
    """A file of layers has unknown keys or invalid values; `faults` has a line for each."""

    def __init__(self, file: str, faults: Sequence[str]) -> None:
        more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        number = f"{len(faults)} faults: " if len(faults) > 1 else ""
        super().__init__(f"{shortened(file)}: {number}{'; '.join(faults[:NAMED])}{more}")
        self.file, self.faults = shortened(file), tuple(faults)

    @property
    def headline(self) -> str:
        """The fault, or the number of faults, which `details` names."""
        return f"{self.file}: {len(self.faults)} faults:" if self.details else str(self)

    @property
    def details(self) -> tuple[str, ...]:
        """All faults, one a line, if there are several."""
        return self.faults if len(self.faults) > 1 else ()


class BadStore(BadInput):
    """A store URL is malformed, or its folder cannot be written."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"cannot use {shortened(url)} as a store: {why}")
        self.url = url


class NewerMetadata(BadInput):
    """Layer metadata is of a newer version of this program; it must be neither guessed nor overwritten."""

    def __init__(self, key: str, version: int, known: int) -> None:
        super().__init__(
            f"{key} has metadata version {version}, this program reads {known}: "
            "upgrade tile-seeder; for a stack also run `npm run deploy`"
        )
        self.key = key


class BadCloud(BadInput):
    """AWS is not reachable: no credentials, no region, no such stack or queue."""

    denied = False  # whether only a policy forbids it


class SourceReadError(TilerError):
    """Pixels could not be read; no tile is written."""

    def __init__(self, source: str, why: object) -> None:
        super().__init__(f"cannot read {shown(source)}: {without_queries(str(why), source)}")
        self.source = source


class StoreError(TilerError):
    """An object could not be read, written, listed or deleted."""

    def __init__(self, verb: str, key: str, why: object) -> None:
        super().__init__(f"cannot {verb} {shown(key)}: {without_queries(str(why), key)}")
        self.key = key


class MissingObject(StoreError):
    """The store has no such object."""

    def __init__(self, key: str) -> None:
        super().__init__("find", key, "no such object")


class Changed(StoreError):
    """An object is not the one that a put expects; it is left as it is."""

    def __init__(self, key: str) -> None:
        super().__init__("write", key, "it was changed meanwhile: run the same command again")


class Superseded(TilerError):
    """The layer has a newer revision or was removed; nothing more of this one is written."""


class CatalogError(TilerError):
    """Layer metadata below `sources/{layer}/` is damaged. It is neither missing nor overwritten without a repair."""

    def __init__(self, key: str, why: object, cure: str = "") -> None:
        layer = key.split("/")[1] if key.count("/") > 1 else "LAYER"
        repair = f"run `seeder ingest SOURCE --layer {layer} --repair`"
        super().__init__(f"invalid layer metadata in {key} ({why}): {cure or repair}")
        self.key = key


class QueueError(TilerError):
    """Messages were refused, or the queue does not answer; `refused` lists the blocks."""

    def __init__(self, why: object, refused: Sequence[str] = ()) -> None:
        named = f": {', '.join(refused[:10])}{', ...' if len(refused) > 10 else ''}" if refused else ""
        super().__init__(f"{why}{named}")
        self.refused = tuple(refused)


class MessageError(TilerError):
    """A message or a receipt is in an unknown format."""


class BadImage(TilerError):
    """Bytes do not decode as a tile image."""


class NoRoom(TilerError):
    """A disk has too little space for a bake; the layer is unchanged."""

    def __init__(self, folder: str, needed: int, free: int) -> None:
        super().__init__(
            f"not enough disk space in {folder}: about {_megabytes(needed)} needed, {_megabytes(free)} free: "
            "free some space and run the same command again, or choose another disk with --scratch DIR"
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


class OutOfMemory(TilerError):
    """An ingest needs more memory than there is; the layer is unchanged."""

    def __init__(self) -> None:
        super().__init__("not enough memory: run the same command again with fewer --jobs")


class WorkerDied(TilerError):
    """A worker process ended without a result; `starting` if no worker had started yet."""

    def __init__(self, *, starting: bool = False) -> None:
        super().__init__(
            "the worker processes ended while starting: a Python script needs "
            '`if __name__ == "__main__":` around its calls, or jobs=1; otherwise try again with fewer --jobs'
            if starting
            else "a worker process died, usually out of memory: run the same command again to continue, "
            "with fewer --jobs if it dies again"
        )
        self.starting = starting
