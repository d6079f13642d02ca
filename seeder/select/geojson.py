"""GeoJSON as shapes in the plane of the square world, optionally with a buffer in metres on the ground.

Edges are straight in Mercator between their vertices, as in supermercado, and longitudes are not wrapped: a line from
170 to -170 runs the long way, from 170 to 190 across the antimeridian.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from seeder.select.burn import LINE, Floats, Shapes
from seeder.select.geometry import FARTHEST, Paths, Progress, dissolved, no_progress, placed, widened
from seeder.select.morton import Numbers
from tiler.errors import BadOption

MOST_EAST = 540  # degrees; shapes may continue beyond the antimeridian
METRES = 1000  # too many for degrees, so coordinates from here on are probably metres
MOST = 1 << 24  # commas, two per position; parsed, they take 1 GB
POINTS = -2  # instead of a polygon's number, for points

NOWHERE = np.zeros((0, 2))

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

    `name` is the name of the file. Features without a geometry are skipped. `buffer`, in metres on the ground, widens
    points, lines and polygons; it is up to 1% too wide, never too narrow. `dissolve` merges polygons that overlap or
    share borders, so that no ring crosses the inside of another polygon. `progress` gets the number of buffered parts.

    Raises:
        BadOption: the text is not GeoJSON, not in degrees, has no geometry, or is too large; names the place.
    """
    _check_distance(buffer / 1000, "--buffer")
    if text.count(",") > MOST:
        raise BadOption(f"{name} has more than {MOST // 2:,} positions: split or simplify it")
    parts = list(_parts(_documents(text, name)))
    if not parts:
        raise BadOption(f"{name}: no geometry, so no tile is selected: give a Feature with a geometry")
    paths, points = _in_plane(parts)
    if buffer:
        paths, points = widened(paths, points, buffer, progress), NOWHERE
    return (dissolved(paths) if dissolve else paths).shapes(points)


def around(longitude: float, latitude: float, km: float) -> Shapes:
    """A circle of `km` on the ground around a place in degrees; up to 1% too wide, never too narrow.

    Raises:
        BadOption: the place is off the globe, or the circle is larger than half of the globe.
    """
    _check_distance(km, "--radius")
    centre = np.array([[longitude, latitude]], np.float64)
    _check_on_globe(centre, np.zeros(1, np.int64), [_Place("--around")])
    return widened(Paths.rings(NOWHERE, np.zeros(0, np.int64)), placed(centre), km * 1000).shapes(NOWHERE)


def _check_distance(km: float, option: str) -> None:
    """Check a radius or a buffer.

    Raises:
        BadOption: it is negative or above FARTHEST.
    """
    if not 0 <= km <= FARTHEST:
        raise BadOption(f"{option}: {km:g} km is out of range: choose 0 to {FARTHEST:,} km, or use --bbox")


# GeoJSON as text


class _Place(NamedTuple):
    """A place in the input, for messages: a file or a line of it, and the number of a feature there."""

    source: str
    feature: int = 0

    def __str__(self) -> str:
        return f"{self.source}, feature {self.feature}" if self.feature else self.source


class _Part(NamedTuple):
    """A ring, a line or some points; `owner` is the number of the ring's polygon, LINE or POINTS."""

    place: _Place
    owner: int
    positions: Floats  # (positions, 2): longitudes and latitudes, degrees


def _documents(text: str, name: str) -> Iterator[tuple[_Place, Any]]:
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
        yield _Place(name if alone else f"{name}, line {line}"), document


def _past_gap(text: str, start: int) -> int:
    gap = _GAP.match(text, start)
    assert gap
    return gap.end()


def _parts(documents: Iterable[tuple[_Place, Any]]) -> Iterator[_Part]:
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


def _geometries(place: _Place, document: Any) -> Iterator[tuple[_Place, str, list[Any]]]:
    """Type and coordinates of every geometry in a GeoJSON object; collections are expanded."""
    todo = [(place, document)]
    while todo:
        place, value = todo.pop()
        if value is None:  # a feature without a geometry
            continue
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "FeatureCollection":
            features = _listed(place, value.get("features"), '"features"')
            todo += [(_Place(place.source, number), features[number - 1]) for number in range(len(features), 0, -1)]
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


def _listed(place: _Place, value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadOption(f"{place}: {name} must be an array in brackets")
    return value


def _check_crs(place: _Place, crs: Any) -> None:
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


def _read(place: _Place, owner: int, parts: list[Any]) -> Iterator[_Part]:
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
            yield _Part(place, owner, positions)


# Positions in the plane


def _in_plane(parts: list[_Part]) -> tuple[Paths, Floats]:
    """Paths and points, in the plane of the square world.

    Raises:
        BadOption: a position lies off the globe, or a part has too few of them.
    """
    lengths = np.array([len(part.positions) for part in parts])
    owners = np.array([part.owner for part in parts])
    positions = np.concatenate([part.positions for part in parts]).astype(np.float64)
    places = [part.place for part in parts]
    ends = np.cumsum(lengths)
    _check_on_globe(positions, ends - lengths, places)
    closed = (owners >= 0) & np.all(positions[ends - lengths] == positions[ends - 1], axis=1)
    kept = np.ones(len(positions), bool)
    kept[ends[closed] - 1] = False
    lengths -= closed
    for short, why in (
        ((owners >= 0) & (lengths < 3), "a ring needs at least three positions and a closing one"),
        ((owners == LINE) & (lengths < 2), "a line needs at least two positions"),
    ):
        if short.any():
            raise BadOption(f"{places[int(short.argmax())]}: {why}")
    every = Paths(placed(positions[kept]), lengths, owners)
    return every.take(owners != POINTS), every.take(owners == POINTS).vertices


def _check_on_globe(positions: Floats, starts: Numbers, places: list[_Place]) -> None:
    """Check that all positions are on the globe.

    Raises:
        BadOption: a position is not; names it.
    """
    longitudes, latitudes = positions.T
    good = (np.abs(longitudes) <= MOST_EAST) & (np.abs(latitudes) <= 90)
    if good.all():
        return
    bad = int(good.argmin())
    place = places[int(np.searchsorted(starts, bad, "right")) - 1]
    longitude, latitude = (float(number) for number in positions[bad])
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        why = "is not finite"
    elif max(abs(longitude), abs(latitude)) >= METRES:
        why = f"looks like metres: {_CURE}"
    elif abs(latitude) > 90:
        why = "has a latitude outside -90 to 90: write the longitude first"
    else:
        why = f"has a longitude outside -{MOST_EAST} to {MOST_EAST}"
    raise BadOption(f"{place}: position {longitude:.10g}, {latitude:.10g} {why}")
