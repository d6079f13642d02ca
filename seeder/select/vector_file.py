"""Recognize vector files by their content; see `seeder.select.vector`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, NamedTuple

from tiler.errors import BadOption
from tiler.inputs import check_file

HEAD = 4096  # bytes of a file to recognize it
MAGIC = {
    b"SQLite format 3\0": "GeoPackage",
    b"fgb\3": "FlatGeobuf",
    b"\0\0\x27\x0a": "Shapefile",
    b"PAR1": "GeoParquet",
    b"PK\3\4": "ZIP archive",
}
VIRTUAL = b"<ogrvrt"  # of GDAL's virtual format, in lower case
_ROOT = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*)*<(\w+:)?kml[\s>]", re.DOTALL)
COMPANIONS = (".dbf", ".shx", ".prj", ".cpg", ".sbn", ".sbx", ".qix")  # files beside a Shapefile's `.shp`


class VectorFile(NamedTuple):
    """A vector file: its path, the layer that was named in it (empty: its only one), and both as typed."""

    path: Path
    layer: str
    name: str


def vector_file(text: str) -> VectorFile | None:
    """The vector file that a text names, as FILE or FILE:LAYER; None for other files, such as GeoJSON, and no file.

    Raises:
        BadOption: it is a file beside a Shapefile, XML other than KML, or a special file.
    """
    path, layer = Path(text), ""
    if not _is_file(path):
        before, colon, layer = text.rpartition(":")
        path = Path(before)
        if not (colon and layer and _is_file(path)):
            return None
    check_file(path)
    if path.suffix.lower() in COMPANIONS:
        raise BadOption(f"{text} is a part of a Shapefile: give {path.with_suffix('.shp').name}")
    return VectorFile(path, layer, text) if kind_of(path) else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def kind_of(path: Path) -> str:
    """The format of a vector file; empty for text such as GeoJSON.

    Raises:
        BadOption: it is XML, but not KML.
    """
    try:
        with path.open("rb") as file:
            return kind_in(file, str(path))
    except OSError:
        return ""  # reported when it is read


def kind_in(file: IO[bytes], name: str) -> str:
    """The format of the vector file that begins here; see `kind_of`.

    GDAL takes any file in which it finds the name of its virtual format for a list of other files, wherever these are.

    Raises:
        BadOption: it is XML, but not KML; or it may name other files.
    """
    head = file.read(HEAD)
    kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")
    if kind or not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return kind
    if not _ROOT.match(head):
        raise BadOption(f"{name} is XML, but not KML: convert it with `ogr2ogr OUT.gpkg {Path(name).name}`")
    before = b""
    while head:
        if VIRTUAL in (before[-len(VIRTUAL) :] + head).lower():
            raise BadOption(f"{name} names other files, as a VRT does: give those files, or plain KML")
        before, head = head, file.read(1 << 20)
    return "KML"
