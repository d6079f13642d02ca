"""The colours of a raster's classes, from its palette or its attribute table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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
    table = copy_of(dataset).find(f"VRTRasterBand[@band='{band}']/GDALRasterAttributeTable")
    if table is None or table.get("tableType", "thematic") != "thematic":
        return ()
    return table_of(dict(reversed(list(_rows(table)))))  # the first of overlapping rows counts


def _rows(table: ET.Element) -> Iterator[tuple[int, Rgba]]:
    """Values and colours of readable rows; a row with a range gives each of its values."""
    columns: dict[str, int] = {}
    for number, field in enumerate(table.findall("FieldDefn")):
        usage = int(field.findtext("Usage") or 0)
        name = NAMED.get(usage, (field.findtext("Name") or "").strip().lower())
        names = [name for name, usages in (("lowest", LOWEST), ("highest", HIGHEST)) if usage in usages] or [name]
        for each in names:
            columns.setdefault(each, number)
    if "value" in columns:
        columns.setdefault("lowest", columns["value"])
    if not {"red", "green", "blue"} <= columns.keys():
        return
    first, size = (float(table.get(name, usual)) for name, usual in (("Row0Min", 0), ("BinSize", 1)))
    for number, row in enumerate(table.findall("Row")):
        cells = [cell.text or "" for cell in row.findall("F")]
        try:
            red, green, blue = (round(float(cells[columns[name]])) for name in ("red", "green", "blue"))
            alpha = round(float(cells[columns["alpha"]])) if "alpha" in columns else 255
            if "lowest" in columns:
                low = float(cells[columns["lowest"]])
                high = math.floor(min(float(cells[columns.get("highest", columns["lowest"])]), MOST))
            else:
                low, high = first + number * size, math.ceil(first + (number + 1) * size) - 1
            values = range(math.ceil(max(low, 0.0)), min(high + 1, MOST))
        except (IndexError, ValueError, OverflowError):
            continue
        if all(0 <= each < FEW for each in (red, green, blue, alpha)):
            yield from ((value, (red, green, blue, alpha)) for value in values)
