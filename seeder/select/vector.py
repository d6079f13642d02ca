"""Vector files as shapes: GeoPackage, Shapefile, FlatGeobuf and KML by pyogrio, GeoParquet by pyarrow; also zipped.

Both packages are optional. Coordinates are transformed to longitudes and latitudes. Edges of maps in metres are cut
into STEP pieces before that, so that they stay where they are; longitudes continue across the antimeridian.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely

from seeder.select.burn import LINE, Floats, Shapes
from seeder.select.geojson import read_geojson
from seeder.select.geometry import Progress, no_progress
from seeder.select.parts import MOST_EAST, MOST_POSITIONS, POINTS, Part, Place, shapes_of
from seeder.select.vector_file import VectorFile, kind_in, kind_of
from tiler.errors import BadOption
from tiler.grid import METRES
from tiler.inputs import read_json, whole
from tiler.raster.place import LONLAT, carried
from tiler.raster.vrt import crs_of

AT_ONCE = 512  # features read at a time
POSITION = 16  # bytes, at least
STEP = 10_000.0  # metres; a straight edge of UTM then leaves the one on the map by a few metres at most
TURN = 360.0  # degrees
ZIPPED = {  # endings of members of a ZIP archive, and their formats
    ".shp": "Shapefile",
    ".gpkg": "GeoPackage",
    ".fgb": "FlatGeobuf",
    ".kml": "KML",
    ".geojson": "",
}
NEEDED = "run `pip install pyogrio pyarrow`"
REPAIR = "repair it, or convert it with `ogr2ogr -nlt CONVERT_TO_LINEAR OUT.gpkg IN`"
READING = (  # errors of the packages; BadZipFile and those of shapely are no others
    *(RuntimeError, OSError, ValueError, LookupError, TypeError, AttributeError),
    *(zipfile.BadZipFile, shapely.errors.ShapelyError),
)
POLYGON = 3  # of shapely's types of geometries; those above are made of others


def read_vector(
    file: VectorFile, *, buffer: float = 0.0, dissolve: bool = False, progress: Progress = no_progress
) -> Shapes:
    """The shapes of a vector file. For the options see `shapes_of`.

    Raises:
        BadOption: a package is missing; the layer is, or was not chosen; the file cannot be read, has no place on the
            globe, no geometry, or is too large.
    """
    kind = kind_of(file.path)
    with _translated(file.name, kind):
        if kind == "ZIP archive" and (text := _zipped_geojson(file)) is not None:
            return read_geojson(text, file.name, buffer=buffer, dissolve=dissolve, progress=progress)
        batches = _parquet(file) if kind == "GeoParquet" else _layers(file, kind)
        cure = f"set its real CRS with `ogr2ogr -a_srs EPSG:CODE OUT.gpkg {file.path.name}`"
        return shapes_of(
            _parts(batches, file.name), file.name, cure=cure, buffer=buffer, dissolve=dissolve, progress=progress
        )


@contextmanager
def _translated(name: str, kind: str) -> Iterator[None]:
    """Translate errors of the packages.

    Raises:
        BadOption: one is missing, or the file cannot be read.
    """
    try:
        yield
    except ImportError as error:
        raise BadOption(f"{name}: {kind} files need the packages pyogrio and pyarrow: {NEEDED}") from error
    except READING as error:
        if isinstance(error, BadOption):
            raise
        raise BadOption(f"{name} cannot be read as {kind} ({_line(error)}): {REPAIR}") from error


def _line(error: Exception) -> str:
    """The first line of an error's text, shortened."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


# Features of files: batches of WKB, and their CRS


class _Batch(NamedTuple):
    """Geometries as WKB, the number of the first one's feature from 1, and the text of their CRS, empty if unknown."""

    geometries: list[bytes | None]
    first: int
    crs: str


def _layers(file: VectorFile, kind: str) -> Iterator[_Batch]:
    """The features of the layer of a file that GDAL opens; of KML, whose folders are layers, those of all."""
    import pyogrio  # noqa: PLC0415 - optional
    from pyogrio.raw import open_arrow  # noqa: PLC0415

    source, chosen = str(file.path.absolute()), file.layer
    if kind == "ZIP archive":
        member, chosen = _member(file)
        source = f"/vsizip/{{{file.path.absolute()}}}/{member}"
    known = [str(name) for name, shape in pyogrio.list_layers(source).tolist() if shape is not None]
    if not known:
        raise BadOption(f"{file.name} has no layer with geometries: give a file with points, lines or polygons")
    names = [chosen] if chosen else known
    if names[0] not in known or (len(names) > 1 and not source.lower().endswith(".kml")):
        several = f"{len(known)} layers" if len(known) > 1 else "the layer"
        why = "choose one" if not chosen else f"no layer {chosen!r}: choose one"
        whole = file.name.removesuffix(f":{chosen}") if chosen else file.name
        raise BadOption(f"{whole} has {several} {', '.join(known[:20])}; {why}, as in {whole}:{known[0]}")
    for name in names:
        with open_arrow(source, layer=name, columns=[], batch_size=AT_ONCE, use_pyarrow=True) as (meta, reader):
            first = 1
            for batch in reader:
                yield _Batch(batch.column(batch.num_columns - 1).to_pylist(), first, meta["crs"] or "")
                first += batch.num_rows


def _member(file: VectorFile) -> tuple[str, str]:
    """The name of a vector file in a ZIP archive, and the layer in it; FILE.zip:MEMBER names the file.

    Raises:
        BadOption: it has none, or several; or it is of another format than its name says.
    """
    with zipfile.ZipFile(file.path) as archive:
        members = [
            name for name in archive.namelist() if name.lower().endswith(tuple(ZIPPED)) and "__MACOSX" not in name
        ]
    named = [name for name in members if file.layer in (name, Path(name).name, Path(name).stem)]
    chosen = named if file.layer and named else members
    if not chosen:
        raise BadOption(f"{file.name} holds no vector file: zip one of {', '.join(ZIPPED)}")
    if len(chosen) > 1:
        example = f"{file.path}:{Path(chosen[0]).name}"
        raise BadOption(f"{file.name} holds {len(chosen)} vector files: choose one, as in {example}")
    _check_member(file, chosen[0])
    return chosen[0], "" if named else file.layer


def _zipped_geojson(file: VectorFile) -> str | None:
    """The text of GeoJSON in a ZIP archive; None if another format is in it. See `_member`."""
    member, _ = _member(file)
    if not member.lower().endswith(".geojson"):
        return None
    with zipfile.ZipFile(file.path) as archive, archive.open(member) as inner:
        return whole(TextIOWrapper(inner, "utf-8-sig", errors="replace"), file.name)


def _check_member(file: VectorFile, member: str) -> None:
    """Check that a file in an archive is what its name says, because GDAL opens files of other formats too.

    Raises:
        BadOption: it is not.
    """
    with zipfile.ZipFile(file.path) as archive, archive.open(member) as inner:
        kind = kind_in(inner, member)
    expected = ZIPPED[Path(member).suffix.lower()]
    if kind != expected:
        why = f"is no {expected or 'GeoJSON'}, as its name says"
        raise BadOption(f"{file.name}: {member} {why}: zip it under the ending of its format")


def _parquet(file: VectorFile) -> Iterator[_Batch]:
    """The features of a GeoParquet file (version 1).

    Raises:
        BadOption: it has no WKB geometry column.
    """
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - optional

    with ParquetFile(file.path) as table:
        text = (table.schema_arrow.metadata or {}).get(b"geo")
        facts: dict[str, Any] = read_json(text) if text else {"columns": {}, "primary_column": ""}
        column = facts["columns"].get(facts["primary_column"], {})
        if column.get("encoding") != "WKB":
            cure = f"convert it with `ogr2ogr OUT.gpkg {file.path.name}`"
            raise BadOption(f"{file.name} has no WKB geometry column, so it is not GeoParquet: {cure}")
        crs = column.get("crs", "OGC:CRS84")
        first = 1
        for batch in table.iter_batches(AT_ONCE, columns=[facts["primary_column"]]):
            named = json.dumps(crs) if isinstance(crs, dict) else crs or ""
            yield _Batch(batch.column(0).to_pylist(), first, named)
            first += batch.num_rows


# Geometries in longitudes and latitudes


def _parts(batches: Iterator[_Batch], name: str) -> Iterator[Part]:
    """The rings, lines and points of all features; the rings of a polygon follow each other."""
    polygons, left = 0, MOST_POSITIONS
    for batch in batches:
        size = sum(map(len, filter(None, batch.geometries)))
        if size > left * POSITION * 4:  # before they are parsed; positions may have four numbers
            raise _too_large(name)
        projection = _Projection.of(batch.crs, name)
        shapes = projection.densified(shapely.from_wkb(np.array(batch.geometries, object)))
        for part in _split(shapes, batch.first, polygons, name):
            left -= len(part.positions)
            if left < 0:
                raise _too_large(name)
            polygons = max(polygons, part.owner + 1)
            yield part._replace(positions=projection.lonlat(part))


def _too_large(name: str) -> BadOption:
    return BadOption(f"{name} has more than {MOST_POSITIONS:,} positions: split or simplify it")


def _split(shapes: Any, first: int, polygons: int, name: str) -> Iterator[Part]:
    """The parts of geometries, of which the first is of feature `first`; `polygons` were numbered before."""
    features = np.arange(first, first + len(shapes))
    some = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    shapes, features = shapes[some], features[some]
    while len(shapes) and shapely.get_type_id(shapes).max() > POLYGON:  # collections may be nested
        shapes, index = shapely.get_parts(shapes, return_index=True)
        features = features[index]
    for shape, feature in zip(shapes, features.tolist(), strict=True):
        place, kind = Place(name, feature), shapely.get_type_id(shape)
        if kind == POLYGON:
            for ring in shapely.get_rings(shape):
                yield Part(place, polygons, shapely.get_coordinates(ring))
            polygons += 1
        elif not shapely.is_empty(shape):
            yield Part(place, POINTS if kind == 0 else LINE, shapely.get_coordinates(shape))


class _Projection(NamedTuple):
    """The CRS of coordinates: None for degrees of WGS 84. `named` is false if the file has no CRS."""

    crs: Any
    named: bool

    @classmethod
    def of(cls, text: str, name: str) -> _Projection:
        """The projection of a CRS.

        Raises:
            BadOption: PROJ does not know it.
        """
        if not text:
            return cls(None, named=False)
        try:
            crs = crs_of(text)
        except BadOption as error:
            why = f"its CRS is unknown to PROJ ({text[:40]})"
            raise BadOption(f"{name}: {why}: convert it with `ogr2ogr -t_srs EPSG:4326 OUT.gpkg IN`") from error
        return cls(None if crs == LONLAT or text == "OGC:CRS84" else crs, named=True)

    def densified(self, shapes: Any) -> Any:
        """The geometries with edges of at most STEP, if they are on a map."""
        if self.crs is None or not self.crs.is_projected:
            return shapes
        return shapely.segmentize(shapes, STEP / self.crs.linear_units_factor[1])

    def lonlat(self, part: Part) -> Floats:
        """The positions of a part as longitudes and latitudes, degrees.

        Raises:
            BadOption: one has no place on the globe.
        """
        found = part.positions
        largest = np.abs(found).max(axis=0)
        if not self.named and (largest[0] > MOST_EAST or largest[1] > 90):
            x, y = found[0].tolist()
            cure = "name it with `ogr2ogr -a_srs EPSG:CODE OUT.gpkg IN`, or add the missing .prj file"
            raise BadOption(f"{part.place}: it has no CRS, and position {x:.10g}, {y:.10g} is not in degrees: {cure}")
        if self.crs is None or (self.crs.is_geographic and largest.max() >= METRES):
            return found  # which are checked with the others
        x, y = carried(self.crs, LONLAT, found[:, 0].copy(), found[:, 1].copy())
        if not (np.isfinite(x) & np.isfinite(y)).all():
            bad = int((np.isfinite(x) & np.isfinite(y)).argmin())
            where = ", ".join(f"{each:.10g}" for each in found[bad])
            why = f"position {where} has no place on the globe in its CRS"
            raise BadOption(f"{part.place}: {why}: set its real CRS with `ogr2ogr -a_srs EPSG:CODE OUT.gpkg IN`")
        positions: Floats = np.column_stack([x, y])
        return positions if part.owner == POINTS else _continued(positions, ring=part.owner >= 0)


def _continued(positions: Floats, *, ring: bool) -> Floats:
    """A path whose longitudes continue across the antimeridian; a ring around a pole is closed along it."""
    longitudes = np.unwrap(positions[:, 0], period=TURN)
    path: Floats = np.column_stack([longitudes, positions[:, 1]])
    around = longitudes[-1] - longitudes[0]
    if ring and abs(around) > TURN / 2:
        pole = 90.0 if positions[:, 1].mean() > 0 else -90.0
        path = np.vstack([path, [[longitudes[-1], pole], [longitudes[0], pole]], path[:1]])
    return path
