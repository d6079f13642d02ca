"""The state of a virtual layer's files at ingest."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tiler.errors import SourceReadError


class Origin(NamedTuple):
    """A file: its path, its size in bytes, and its modification and change times (nanoseconds since 1970)."""

    path: str
    size: int
    modified: int
    changed: int


def origins(files: Iterable[Path]) -> tuple[Origin, ...]:
    """The current state of the files; a missing file has size 0."""
    return tuple(map(_origin, map(str, files)))


def check_origins(layer: str, source: str, before: tuple[Origin, ...], now: tuple[Origin, ...] | None = None) -> None:
    """Reject files that changed since `before`; `now` may hold more files.

    Raises:
        SourceReadError: one changed, so `source` may no longer match the layer's revision.
    """
    now = tuple(_origin(each.path) for each in before) if now is None else now
    if now != before:
        path = min({*now} ^ {*before}, default=before[0]).path
        which = "" if path == source else f": {path}"
        cure = f"run `seeder refresh {layer} {shlex.quote(source)}`"
        raise SourceReadError(source, f"it changed since it was ingested{which}: {cure}")


def _origin(path: str) -> Origin:
    try:
        state = Path(path).stat()
    except OSError:
        return Origin(path, 0, 0, 0)
    return Origin(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
