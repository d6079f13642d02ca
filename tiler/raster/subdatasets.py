"""The rasters within one file (variables, tables, pages), selected by name or number."""

from __future__ import annotations

from collections.abc import Mapping

from rasterio.io import DatasetReader

from tiler.errors import BadSource

SUBDATASET = "--subdataset"
SHOWN = 8  # most names in a message


def subdatasets(dataset: DatasetReader) -> dict[str, str]:
    """GDAL's names of a file's subdatasets by their short names, in the file's order."""
    tags = dataset.tags(ns="SUBDATASETS")
    keys = [f"SUBDATASET_{number}_NAME" for number in range(1, len(tags) + 1)]
    return {_short(tags[key], dataset.name): tags[key] for key in keys if key in tags}


def _short(name: str, path: str) -> str:
    """A subdataset's name without its driver and its file."""
    rest = name.replace(f'"{path}"', "").replace(path, "").partition(":")[2]
    return rest.rpartition("::")[2].strip(":/ ") or name


def chosen(dataset: DatasetReader, selected: str) -> str:
    """GDAL's name of the subdataset selected with `--subdataset`, by name or by number from 1.

    Raises:
        BadSource: the file has no such subdataset; the message lists those that it has.
    """
    known = subdatasets(dataset)
    if not known:
        raise BadSource(dataset.name, f"it holds no subdatasets: omit {SUBDATASET}")
    name = selected.strip("/")
    ends = [short for short in known if name in (short, short.rpartition("/")[2], short.rpartition(":")[2])]
    if selected in known.values():
        return selected
    if name in known:
        return known[name]
    if len(ends) == 1:
        return known[ends[0]]
    if selected.isdecimal() and 1 <= int(selected) <= len(known):
        return list(known.values())[int(selected) - 1]
    why = f"has several subdatasets {selected!r}" if ends else f"has no subdataset {selected!r}"
    raise BadSource(dataset.name, f"it {why}: choose one of {listed(known)}")


def listed(known: Mapping[str, str]) -> str:
    """The first names for a message, and their number if there are more."""
    names = list(known)
    more = f" or a number, 1 to {len(names)}" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
