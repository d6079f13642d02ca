"""Text lists: one raster a line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tiler.errors import BadOption, BadSource, shortened, shown
from tiler.inputs import lines
from tiler.scenes.folders import is_raster, is_whole
from tiler.scenes.patterns import WILD

LARGEST = 1 << 28  # characters of a list
LONGEST = 1024  # characters of a name to look for
OF_ITS_OWN = "give it as a source of its own"
LISTS = (".json", ".geojson", ".gti", ".gti.gpkg")


def names(source: str, file: TextIO) -> Iterator[str]:
    """The names in a text: its lines without blanks around them, except empty ones and comments, which begin with #.

    Raises:
        BadSource: it is too large or not UTF-8.
    """
    try:
        for line in lines(file, "the list", most=LARGEST):
            name = line.removeprefix("\ufeff").strip()
            if name and not name.startswith("#"):
                yield name
    except UnicodeDecodeError as error:
        raise BadSource(source, "it is not a text in UTF-8: save it in that encoding") from error
    except BadOption as error:
        raise BadSource(source, str(error)) from error


def begins(head: bytes, folder: Path) -> bool:
    """Whether a file in `folder` that begins with `head` is a text list, by its first name."""
    text = head.decode("utf-8-sig", errors="replace").splitlines() if b"\0" not in head else []
    first = next((line for line in map(str.strip, text) if line and not line.startswith("#")), "")
    return is_raster(shown(first)) or (bool(first) and len(first) < LONGEST and (folder / first).exists())


def check_one(source: str, name: str, path: str) -> None:
    """Reject a line that stands for several rasters; `path` is its file.

    Raises:
        BadSource: it is a folder, a prefix, a pattern or another list.
    """
    listed = name.startswith("@") or name == "-" or name.lower().endswith(LISTS)
    if not listed and os.path.isfile(path):  # noqa: PTH113 - speed, for lists of many files
        return
    shortest = shortened(shown(name))
    if listed:
        raise BadSource(source, f"it refers to {shortest}, another list: {OF_ITS_OWN}")
    if "://" in path:
        several = name.startswith("s3://") and (name.endswith("/") or WILD.search(name))
        if several:
            raise BadSource(source, f"it refers to {shortest}, a prefix or pattern: {OF_ITS_OWN}")
        return
    place = Path(path)
    if place.is_dir() and not is_whole(place):
        raise BadSource(source, f"it refers to {shortest}, a folder: {OF_ITS_OWN}")
    if WILD.search(name) and not place.exists():
        raise BadSource(source, f"it refers to {shortest}, a pattern: {OF_ITS_OWN}")
