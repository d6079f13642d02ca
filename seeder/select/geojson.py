"""GeoJSON as shapes in the plane of the square world; see `seeder.select.parts`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from seeder.select.burn import LINE, Shapes
from seeder.select.geometry import Progress, no_progress
from seeder.select.parts import MOST_POSITIONS, POINTS, Part, Place, shapes_of
from tiler.errors import BadOption

_GAP = re.compile(r"[\s\x1e\ufeff]*")  # RFC 8142 begins each text with an RS
_TILE = re.compile(r'\{\s*"[xyz]"')  # start of an object that is a tile
_DEGREES = re.compile(r"(?:CRS84h?|EPSG(?:[:/][\d.]*)?[:/]4326)$", re.IGNORECASE)
_KINDS = ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
_CURE = "GeoJSON uses degrees, longitude first: convert it with `ogr2ogr -t_srs EPSG:4326 OUT.geojson IN.geojson`"


def looks_like_geojson(text: str) -> bool:
    """Whether `text` is meant as GeoJSON, well-formed or not, and not as a list of tiles."""
    start = _past_gap(text, 0)
    return text.startswith("{", start) and not _TILE.match(text, start)


def read_geojson(
    text: str, name: str, *, buffer: float = 0.0, dissolve: bool = False, progress: Progress = no_progress
) -> Shapes:
    """The shapes of collections, features and bare geometries: one object, or several one after the other.

    `name` is the name of the file. Features without a geometry are skipped. For the options see `shapes_of`.

    Raises:
        BadOption: the text is not GeoJSON, not in degrees, has no geometry, or is too large; names the place.
    """
    if text.count(",") > 2 * MOST_POSITIONS:
        raise BadOption(f"{name} has more than {MOST_POSITIONS:,} positions: split or simplify it")
    parts = _parts(_documents(text, name))
    return shapes_of(parts, name, cure=_CURE, buffer=buffer, dissolve=dissolve, progress=progress)


def _documents(text: str, name: str) -> Iterator[tuple[Place, Any]]:
    """Each JSON document in `text`, and its place."""
    decoder, line, begin, end = json.JSONDecoder(), 1, 0, _past_gap(text, 0)
    alone = True
    while end < len(text):
        line += text.count("\n", begin, end)
        begin = end
        try:
            document, end = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            bad, why = getattr(error, "lineno", line), getattr(error, "msg", "nested too deeply, or number too long")
            raise BadOption(
                f"{name}, line {bad}: invalid JSON ({why}): give GeoJSON as one document or one feature per line"
            ) from None
        end = _past_gap(text, end)
        alone &= end == len(text)
        yield Place(name if alone else f"{name}, line {line}"), document


def _past_gap(text: str, start: int) -> int:
    gap = _GAP.match(text, start)
    assert gap
    return gap.end()


def _parts(documents: Iterable[tuple[Place, Any]]) -> Iterator[Part]:
    """The rings, lines and points of GeoJSON objects; the rings of a polygon follow each other."""
    polygon = -1
    for document in documents:
        for place, kind, coordinates in _geometries(*document):
            several = coordinates if kind.startswith("Multi") else [coordinates] if coordinates else []
            if kind.endswith("Polygon"):
                for rings in several:
                    polygon += 1
                    yield from _read(place, polygon, _listed(place, rings, "a polygon's rings"))
            else:
                line = kind.endswith("LineString")
                yield from _read(place, LINE if line else POINTS, several if line else [several])


def _geometries(place: Place, document: Any) -> Iterator[tuple[Place, str, list[Any]]]:
    """Type and coordinates of every geometry in a GeoJSON object; collections are expanded."""
    todo = [(place, document)]
    while todo:
        place, value = todo.pop()
        if value is None:  # a feature without a geometry
            continue
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "FeatureCollection":
            features = _listed(place, value.get("features"), '"features"')
            todo += [(Place(place.source, number), features[number - 1]) for number in range(len(features), 0, -1)]
        elif kind == "Feature":
            todo.append((place, value.get("geometry")))
        elif kind == "GeometryCollection":
            todo += [(place, each) for each in reversed(_listed(place, value.get("geometries"), '"geometries"'))]
        elif kind in _KINDS:
            yield place, kind, _listed(place, value.get("coordinates"), '"coordinates"')
        else:
            text = json.dumps(value)
            raise BadOption(
                f"{place}: {text if len(text) < 80 else text[:76] + ' ...'} is not GeoJSON: give a FeatureCollection, "
                "a Feature or a geometry, or use --tiles for a list of tiles"
            )
        _check_crs(place, value.get("crs"))


def _listed(place: Place, value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadOption(f"{place}: {name} must be an array in brackets")
    return value


def _check_crs(place: Place, crs: Any) -> None:
    """Check the CRS of an object, if it names one.

    Raises:
        BadOption: it is not WGS 84 in degrees.
    """
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str) or not _DEGREES.search(name):
        raise BadOption(f"{place}: unsupported CRS {repr(name) if name else json.dumps(crs)[:80]}: {_CURE}")


def _read(place: Place, owner: int, parts: list[Any]) -> Iterator[Part]:
    """Positions as numbers; empty parts are skipped."""
    for part in parts:
        try:
            fit = {len(position) for position in part} <= {2, 3}
            positions = np.array([position[:2] for position in part] if fit else None)
        except (TypeError, ValueError, KeyError):
            positions = np.array(None)
        if positions.size and (positions.ndim != 2 or positions.dtype.kind not in "iuf"):
            form = "longitude, latitude and optionally height"
            raise BadOption(f"{place}: a position must be two or three numbers: {form}")
        if positions.size:
            yield Part(place, owner, positions)
