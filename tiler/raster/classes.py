"""The colours and names of a raster's classes, from its palette, its category names or its attribute table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from xml.etree import ElementTree as ET

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from tiler.image.style import Rgba
from tiler.raster.pixels import dtype_of
from tiler.raster.vrt import copy_of

FEW = 256  # classes of one byte
MOST = 1 << 16  # classes of two bytes
LOWEST, HIGHEST = (5, 3), (5, 4)  # GDAL's usages of attribute columns with a row's value, or the ends of its range
TEXT, NAME = 2, 2  # GDAL's type of columns of text, and its usage of columns with names
CALLED = ("name", "class", "label", "categ", "legend", "descr")  # parts of names of columns with names
LONGEST = 120  # characters of a name
NAMED = {6: "red", 7: "green", 8: "blue", 9: "alpha"}  # usages of columns with its colour
BLACK: Rgba = (0, 0, 0, 255)


def palette_of(dataset: DatasetReader, band: int, *, shown: bool = False) -> tuple[Rgba, ...]:
    """The colours of the values 0, 1, 2, ... of a band with a palette; empty for any other band.

    GDAL makes the raster's own nodata value transparent; with `shown` it is opaque.
    """
    if dataset.colorinterp[band - 1] != ColorInterp.palette:
        return ()
    try:
        colours: dict[int, Rgba] = dataset.colormap(band)
    except ValueError:  # it declares a palette but has none
        return ()
    hidden = dataset.nodatavals[band - 1]
    if shown and hidden in colours:
        colours[int(hidden)] = (*colours[int(hidden)][:3], 255)
    last = max(
        (value for value, colour in colours.items() if colour != BLACK), default=0
    )  # GDAL fills a palette of two bytes to 65,536 entries
    most = max(FEW, last + 1)
    return table_of({value: colour for value, colour in colours.items() if value < most})


def table_of(colours: Mapping[int, Rgba]) -> tuple[Rgba, ...]:
    """A palette with the given colours; other values are transparent."""
    return tuple(colours.get(value, (0, 0, 0, 0)) for value in range(max(colours, default=-1) + 1))


def attributed(dataset: DatasetReader, band: int) -> tuple[Rgba, ...]:
    """The colours of a band of integers from its attribute table; empty if it has none."""
    if np.dtype(dtype_of(dataset, band)).kind not in "ui" or dataset.count > 1:
        return ()
    table = _attributes(copy_of(dataset), band)
    if table is None:
        return ()
    return table_of(dict(reversed(list(_colours(table)))))  # the first of overlapping rows counts


def names_of(dataset: DatasetReader, band: int) -> dict[int, str]:
    """The names of the values of a band, from its attribute table or else its category names; empty if it has none."""
    if np.dtype(dtype_of(dataset, band)).kind not in "ui":
        return {}
    description = copy_of(dataset)
    table = _attributes(description, band)
    named = dict(reversed(list(_names(table)))) if table is not None else {}
    if not named:
        categories = description.findall(f"VRTRasterBand[@band='{band}']/CategoryNames/Category")
        named = {value: each.text or "" for value, each in enumerate(categories[:MOST])}
    lines = {value: " ".join(name.split())[:LONGEST] for value, name in named.items()}
    return {value: line for value, line in sorted(lines.items()) if line and line.isprintable()}


def _attributes(description: ET.Element, band: int) -> ET.Element | None:
    """The attribute table of a band, if it has one of classes."""
    table = description.find(f"VRTRasterBand[@band='{band}']/GDALRasterAttributeTable")
    return None if table is None or table.get("tableType", "thematic") != "thematic" else table


def _colours(table: ET.Element) -> Iterator[tuple[int, Rgba]]:
    """Values and colours of readable rows."""
    columns = _columns(table)
    if not {"red", "green", "blue"} <= columns.keys():
        return
    for values, cells in _rows(table, columns):
        try:
            red, green, blue = (round(float(cells[columns[name]])) for name in ("red", "green", "blue"))
            alpha = round(float(cells[columns["alpha"]])) if "alpha" in columns else 255
        except (IndexError, ValueError, OverflowError):
            continue
        if all(0 <= each < FEW for each in (red, green, blue, alpha)):
            yield from ((value, (red, green, blue, alpha)) for value in values)


def _names(table: ET.Element) -> Iterator[tuple[int, str]]:
    """Values and names of readable rows."""
    column = _name_column(table)
    if column is None:
        return
    for values, cells in _rows(table, _columns(table)):
        if column < len(cells):
            yield from ((value, cells[column]) for value in values)


def _name_column(table: ET.Element) -> int | None:
    """The number of the column with names: GDAL's, else the first of text that is called so, else the only one."""
    fields = list(enumerate(table.findall("FieldDefn")))
    texts = [(number, field) for number, field in fields if int(field.findtext("Type") or 0) == TEXT]
    by_usage = (number for number, field in fields if int(field.findtext("Usage") or 0) == NAME)
    called = ((number, (field.findtext("Name") or "").lower()) for number, field in texts)
    by_name = (number for number, name in called if any(part in name for part in CALLED))
    only = iter([number for number, _ in texts] if len(texts) == 1 else [])
    return next(chain(by_usage, by_name, only), None)


def _columns(table: ET.Element) -> dict[str, int]:
    """The numbers of columns by their meaning: the ends of a row's range, and its colour."""
    columns: dict[str, int] = {}
    for number, field in enumerate(table.findall("FieldDefn")):
        usage = int(field.findtext("Usage") or 0)
        name = NAMED.get(usage, (field.findtext("Name") or "").strip().lower())
        names = [name for name, usages in (("lowest", LOWEST), ("highest", HIGHEST)) if usage in usages] or [name]
        for each in names:
            columns.setdefault(each, number)
    if "value" in columns:
        columns.setdefault("lowest", columns["value"])
    return columns


def _rows(table: ET.Element, columns: Mapping[str, int]) -> Iterator[tuple[range, list[str]]]:
    """The values and the cells of readable rows; a row with a range has several values."""
    first, size = (float(table.get(name, usual)) for name, usual in (("Row0Min", 0), ("BinSize", 1)))
    for number, row in enumerate(table.findall("Row")):
        cells = [cell.text or "" for cell in row.findall("F")]
        try:
            if "lowest" in columns:
                low = float(cells[columns["lowest"]])
                high = math.floor(min(float(cells[columns.get("highest", columns["lowest"])]), MOST))
            else:
                low, high = first + number * size, math.ceil(first + (number + 1) * size) - 1
            values = range(math.ceil(max(low, 0.0)), min(high + 1, MOST))
        except (IndexError, ValueError, OverflowError):
            continue
        yield values, cells
