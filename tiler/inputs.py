"""Checks of input files: file type and size."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tiler.errors import BadOption, BadSource

LARGEST = 1 << 28  # characters of a text held in memory, such as GeoJSON
LONGEST = 1 << 26  # characters of a line
METADATA = 1 << 26  # bytes or characters of a JSON text that this program wrote itself
ENDLESS = 1 << 34  # characters of all lines together: a billion tiles

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_OPEN = ("/dev/fd/", "/dev/stdin", "/proc/")  # a pipe here is already open, so it has a writer


def check_file(path: str | Path) -> None:
    """Reject special files, except an open pipe and standard input (`-`).

    Raises:
        BadOption: it is another special file, which may never end.
    """
    if kind := _special(path):
        raise BadOption(f"{str(path)!r} is {kind}: give a file, or - for standard input")


def check_source(source: str) -> None:
    """Reject special files as a raster.

    Raises:
        BadSource: it is a pipe, a socket or a device.
    """
    if kind := _special(source):
        raise BadSource(source, f"it is {kind}: give a file")


def _special(path: str | Path) -> str | None:
    """The kind of a special file; None for files, folders, open pipes and unreadable paths."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return None
    kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), None)
    return None if stat.S_ISFIFO(mode) and str(path).startswith(_OPEN) else kind


def read_json(data: bytes | str) -> Any:
    """Parse JSON, except GeoJSON and tile lists.

    Raises:
        ValueError: it is not JSON, too large, or nested too deeply.
    """
    if len(data) > METADATA:
        raise ValueError(f"it is larger than {METADATA >> 20} MB")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def whole(file: TextIO, name: str, most: int = LARGEST) -> str:
    """Read a whole text file.

    Raises:
        BadOption: it has more than `most` characters.
    """
    text = file.read(most + 1)
    if len(text) > most:
        raise BadOption(f"{name} is larger than {most >> 20:,} MB: split or simplify it")
    return text


def lines(file: TextIO, name: str, *, longest: int = LONGEST, most: int = ENDLESS) -> Iterator[str]:
    """The lines of a text, read one at a time.

    Raises:
        BadOption: a line has more than `longest` characters, or all lines have more than `most`.
    """
    number = read = 0
    while line := file.readline(longest + 1):
        number += 1
        read += len(line)
        if len(line) > longest:
            raise BadOption(f"{name}, line {number}: the line is longer than {longest >> 20:,} MB: break it up")
        if read > most:
            raise BadOption(f"{name} is larger than {most >> 20:,} MB: split it")
        yield line
