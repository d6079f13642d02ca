"""Tile indexes: vector files whose features name a raster each, in a field `location`.

GeoPackages, GeoJSON and GDAL's XML files (`.gti`) that refer to either are read here, without GDAL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from tiler.errors import BadSource
from tiler.scenes.sidecars import HEAD
from tiler.scenes.source_files import FOREIGN, beside
from tiler.scenes.strangers import iso, printable

LARGEST = 1 << 26  # bytes of an index in XML
LOCATION = "location"
DATES = ("datetime", "date")  # fields, the first that a feature has
SQLITE = b"SQLite format 3\0"
USABLE = "use a GeoPackage or GeoJSON with a field `location`"


class Row(NamedTuple):
    """A feature of an index: the name of a raster, and its date."""

    location: str
    date: str


class Described(NamedTuple):
    """The index that an XML file refers to, and its field of names."""

    file: Path
    field: str


def is_sqlite(file: Path) -> bool:
    """Whether a file is an SQLite database, such as a GeoPackage."""
    return _head(file).startswith(SQLITE)


def is_xml(file: Path) -> bool:
    """Whether a file is a tile index in XML."""
    return b"<gdaltileindexdataset" in _head(file).lower()


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as handle:
            return handle.read(HEAD)
    except OSError:
        return b""


def from_features(source: str, features: list[Any], field: str = LOCATION) -> Iterator[Row]:
    """The rows of GeoJSON features.

    Raises:
        BadSource: a feature has no location.
    """
    for number, feature in enumerate(features, 1):
        properties = feature.get("properties") if isinstance(feature, dict) else None
        if not isinstance(properties, dict):
            properties = {}
        location = properties.get(field)
        if not isinstance(location, str) or not location:
            raise BadSource(
                source, f"feature {number} has no property `{printable(field)}`: name a raster there, or remove it"
            )
        dates = (iso(properties.get(name)) for name in DATES)
        yield Row(location, next(filter(None, dates), ""))


def has_locations(file: Path, field: str = LOCATION) -> bool:
    """Whether a GeoPackage is an index: it has features with the field, and no tiles."""
    try:
        with closing(_opened(file)) as database:
            kinds = {kind for (kind,) in database.execute("SELECT data_type FROM gpkg_contents")}
            return (
                "features" in kinds
                and not any("tile" in str(kind) or "grid" in str(kind) for kind in kinds)
                and (any(field.lower() in fields for _, fields in _tables(database)))
            )
    except sqlite3.Error:
        return False


def from_geopackage(source: str, file: Path, field: str = LOCATION) -> list[Row]:
    """The rows of a GeoPackage, of all its tables that have the field.

    Raises:
        BadSource: it is not a GeoPackage with the field, or a row has no location.
    """
    rows: list[Row] = []
    try:
        with closing(_opened(file)) as database:
            tables = [(table, fields) for table, fields in _tables(database) if field.lower() in fields]
            for table, fields in tables:
                columns = [fields[field.lower()], *(fields[name] for name in DATES if name in fields)]
                selected = ", ".join(map(_quoted, columns))
                selection = database.execute(f"SELECT {selected} FROM {_quoted(table)}")  # noqa: S608 - quoted
                for number, (location, *dates) in enumerate(selection, 1):
                    if not isinstance(location, str) or not location:
                        why = f"row {number} of {printable(table)} has no {printable(field)}"
                        raise BadSource(source, f"{why}: name a raster there, or remove it")
                    rows.append(Row(location, next(filter(None, map(iso, dates)), "")))
    except sqlite3.Error as error:
        raise BadSource(source, f"the index {file} cannot be read ({printable(str(error))}): {USABLE}") from error
    if not tables:
        raise BadSource(source, f"the index {file} has no field {printable(field)!r}: {USABLE}")
    return rows


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)


def _tables(database: sqlite3.Connection) -> Iterator[tuple[str, dict[str, str]]]:
    """Each table of features, and its columns by their names in lower case."""
    for (table,) in database.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'").fetchall():
        columns = database.execute(f"PRAGMA table_info({_quoted(str(table))})")
        yield str(table), {str(column[1]).lower(): str(column[1]) for column in columns.fetchall()}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def described(source: str, file: Path, *, trusted: bool) -> Described:
    """The index that a tile index in XML refers to.

    Raises:
        BadSource: it is not valid XML, or refers to no file on this disk.
    """
    root = _parsed(source, file)
    texts = {_tag(element): (element.text or "").strip() for element in root.iter()}
    name = texts.get("indexdataset", "")
    index = Path(beside(name, file))
    if name and FOREIGN.search(name) and not trusted:
        raise BadSource(source, "its index is not a file on this disk: download it")
    if not name or not index.is_file():
        raise BadSource(
            source, f"its index {printable(name) or '(none)'} is not a file on this disk: correct <IndexDataset>"
        )
    return Described(index.absolute(), texts.get("locationfield") or LOCATION)


def _tag(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _parsed(source: str, file: Path) -> ET.Element:
    if file.stat().st_size > LARGEST:
        raise BadSource(source, f"it is larger than {LARGEST >> 20} MB: {USABLE}")
    data = file.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:
        raise BadSource(source, f"it declares entities or is not UTF-8: {USABLE}")
    try:
        return ET.fromstring(data)  # noqa: S314 - no entities, see above
    except ET.ParseError as error:
        raise BadSource(source, f"it is not well-formed XML ({error}): correct it") from error
