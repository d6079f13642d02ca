"""The rasters within one file: variables, tables, pages; found by name or number."""

from __future__ import annotations

from collections.abc import Mapping

from rasterio.io import DatasetReader

from tiler.errors import BadSource

SUBDATASET = "--subdataset"
SHOWN = 8  # names that a message lists


def subdatasets(dataset: DatasetReader) -> dict[str, str]:
    """GDAL's names of a file's subdatasets, by what tells them apart, in the file's order."""
    said = dataset.tags(ns="SUBDATASETS")
    keys = [f"SUBDATASET_{number}_NAME" for number in range(1, len(said) + 1)]
    return {_short(said[key], dataset.name): said[key] for key in keys if key in said}


def _short(name: str, path: str) -> str:
    """A subdataset's name without its driver and its file."""
    rest = name.replace(f'"{path}"', "").replace(path, "").partition(":")[2]
    return rest.rpartition("::")[2].strip(":/ ") or name


def chosen(dataset: DatasetReader, asked: str) -> str:
    """GDAL's name of the subdataset that `--subdataset` asks for, by name or by number from 1.

    Raises:
        BadSource: the file has none of that name; the message lists those that it has.
    """
    there = subdatasets(dataset)
    if not there:
        raise BadSource(dataset.name, f"it holds no subdatasets: leave {SUBDATASET} out")
    ends = [short for short in there if asked.strip("/") in (short, short.rpartition("/")[2], short.rpartition(":")[2])]
    if asked in there.values():
        return asked
    if asked.strip("/") in there:
        return there[asked.strip("/")]
    if len(ends) == 1:
        return there[ends[0]]
    if asked.isdecimal() and 1 <= int(asked) <= len(there):
        return list(there.values())[int(asked) - 1]
    why = f"has several subdatasets {asked!r}" if ends else f"has no subdataset {asked!r}"
    raise BadSource(dataset.name, f"it {why}: name one of {listed(there)}")


def listed(there: Mapping[str, str]) -> str:
    """The first names, and how many there are."""
    names = list(there)
    more = f" or a number, 1 to {len(names)}" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
