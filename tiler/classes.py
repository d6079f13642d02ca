"""The colours of a raster's classes: of its palette, else of its attribute table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from tiler.laid import copy_of
from tiler.pixels import dtype_of
from tiler.style import Rgba

FEW = 256  # classes of a byte
MOST = 1 << 16  # classes of two
VALUES, NAMED = (5, 3), {6: "red", 7: "green", 8: "blue", 9: "alpha"}  # what GDAL uses columns of such a table for
BLACK: Rgba = (0, 0, 0, 255)


def palette_of(dataset: DatasetReader, band: int, *, shown: bool = False) -> tuple[Rgba, ...]:
    """The colours of the values 0, 1, 2, ... of a band that has a palette; empty for every other.

    GDAL says that the raster's own nodata value is transparent; it is opaque if it is to be `shown`.
    """
    if dataset.colorinterp[band - 1] != ColorInterp.palette:
        return ()
    try:
        colours: dict[int, Rgba] = dataset.colormap(band)
    except ValueError:  # it says that there is one, and there is none
        return ()
    hidden = dataset.nodatavals[band - 1]
    if shown and hidden in colours:
        colours[int(hidden)] = (*colours[int(hidden)][:3], 255)
    last = max((value for value, colour in colours.items() if colour != BLACK), default=0)  # two bytes have all 65,536
    most = max(FEW, last + 1)
    return table_of({value: colour for value, colour in colours.items() if value < most})


def table_of(colours: Mapping[int, Rgba]) -> tuple[Rgba, ...]:
    """A palette of the colours of some values; those between are transparent."""
    return tuple(colours.get(value, (0, 0, 0, 0)) for value in range(max(colours, default=-1) + 1))


def attributed(dataset: DatasetReader, band: int) -> tuple[Rgba, ...]:
    """The colours that an attribute table gives to the classes of a band of whole numbers; empty if it has none."""
    if np.dtype(dtype_of(dataset, band)).kind not in "ui" or dataset.count > 1:
        return ()
    table = copy_of(dataset).find(f"VRTRasterBand[@band='{band}']/GDALRasterAttributeTable")
    if table is None or table.get("tableType", "thematic") != "thematic":
        return ()
    return table_of(dict(_rows(table)))


def _rows(table: ET.Element) -> Iterator[tuple[int, Rgba]]:
    """Values and colours, where both can be read."""
    columns: dict[str, int] = {}
    for number, field in enumerate(table.findall("FieldDefn")):
        usage = int(field.findtext("Usage") or 0)
        name = "value" if usage in VALUES else NAMED.get(usage, (field.findtext("Name") or "").strip().lower())
        columns.setdefault(name, number)
    if not {"red", "green", "blue"} <= columns.keys():
        return
    for number, row in enumerate(table.findall("Row")):
        cells = [cell.text or "" for cell in row.findall("F")]
        try:
            value = float(cells[columns["value"]]) if "value" in columns else float(number)
            red, green, blue = (round(float(cells[columns[name]])) for name in ("red", "green", "blue"))
            alpha = round(float(cells[columns["alpha"]])) if "alpha" in columns else 255
        except (IndexError, ValueError):
            continue
        if value.is_integer() and 0 <= value < MOST and all(0 <= each < FEW for each in (red, green, blue, alpha)):
            yield int(value), (red, green, blue, alpha)
