"""Vector files of every format and CRS are the shapes of their GeoJSON; wrong ones are named with the cure."""

from __future__ import annotations

import json
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rasterio.warp
import shapely
from pyarrow import parquet
from pyogrio.raw import write
from rasterio.crs import CRS

import seeder as api
from seeder.select import parts, vector
from seeder.select.burn import LINE, Shapes
from seeder.select.geojson import read_geojson
from seeder.select.vector import read_vector
from seeder.select.vector_file import VectorFile, vector_file
from tests.support.commands import complaint, listed
from tiler.errors import BadOption
from tiler.grid import TileRange

DRIVERS = {
    ".gpkg": "GPKG",
    ".shp": "ESRI Shapefile",
    ".fgb": "FlatGeobuf",
    ".kml": "KML",
    ".parquet": "",
}
ALPS = shapely.from_wkt("POLYGON ((6 45, 9 45.2, 8.5 47, 6.2 46.5, 6 45), (7 45.5, 7.5 45.5, 7.5 46, 7 45.5))")
FARM = shapely.from_wkt("MULTIPOLYGON (((9.5 46, 9.9 46, 9.9 46.4, 9.5 46)), ((10 46, 10.2 46, 10.2 46.2, 10 46)))")
ZOOM = 11
WORLD = TileRange(ZOOM, 0, 0, 2**ZOOM, 2**ZOOM)


def save(path: Path, shapes: list[Any], crs: str | None = "EPSG:4326", *, layer: str | None = None) -> Path:
    """Write a vector file of polygons, or of points."""
    wkb = shapely.to_wkb(np.array(shapes, object))
    kind = "Point" if all(shapely.get_type_id(shapes) == 0) else "Unknown"
    if path.suffix == ".shp" and kind == "Unknown":
        kind = "Polygon"
    if path.suffix == ".parquet":
        column: dict[str, Any] = {"encoding": "WKB", "geometry_types": []}
        if crs != "EPSG:4326":
            column["crs"] = CRS.from_user_input(crs).to_dict(projjson=True) if crs else None
        geo = {"version": "1.0.0", "primary_column": "shape", "columns": {"shape": column}}
        table = pa.table({"name": ["x"] * len(wkb), "shape": pa.array(wkb.tolist(), pa.binary())})
        parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
        return path
    options = {"append": True} if layer and path.exists() else {}
    with warnings.catch_warnings(action="ignore"):  # of a missing CRS
        write(path, wkb, [], [], driver=DRIVERS[path.suffix], geometry_type=kind, crs=crs, layer=layer, **options)
    return path


def opened(text: object) -> VectorFile:
    found = vector_file(str(text))
    assert found
    return found


def read(text: object, **options: Any) -> Shapes:
    return read_vector(opened(text), **options)


def as_geojson(*shapes: Any) -> Shapes:
    text = shapely.to_geojson(shapely.geometrycollections(list(shapes)))
    return read_geojson(text, "oracle")


def same(one: Shapes, other: Shapes) -> bool:
    return bool(
        np.allclose(one.segments, other.segments, atol=1e-12, rtol=0)
        and np.array_equal(one.polygons, other.polygons)
        and np.allclose(one.points, other.points, atol=1e-12, rtol=0)
    )


def moved(shape: Any, crs: str) -> Any:
    """A geometry in another CRS, its edges as short as to lie where those in degrees lie."""

    def carry(at: Any) -> Any:
        return np.column_stack(rasterio.warp.transform("EPSG:4326", crs, *at.T))

    return shapely.transform(shapely.segmentize(shape, 0.02), carry)


@pytest.mark.parametrize("suffix", DRIVERS)
def test_every_format_gives_the_shapes_of_its_geojson(suffix: str, tmp_path: Path) -> None:
    found = read(save(tmp_path / f"alps{suffix}", [ALPS, FARM]))
    assert found.touched(ZOOM, WORLD) == as_geojson(ALPS, FARM).touched(ZOOM, WORLD)
    if suffix not in (".shp", ".fgb"):  # which turns rings around, and sorts features
        assert same(found, as_geojson(ALPS, FARM))
    point = shapely.Point(7, 46)
    assert same(read(save(tmp_path / f"point{suffix}", [point])), as_geojson(point))


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3857", "EPSG:2056", "EPSG:4258", "EPSG:3035"])
@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".parquet"])
def test_every_crs_selects_the_same_tiles(suffix: str, crs: str, tmp_path: Path) -> None:
    found = read(save(tmp_path / f"alps{suffix}", [moved(ALPS, crs)], crs)).touched(ZOOM, WORLD)
    expected = as_geojson(ALPS).touched(ZOOM, WORLD)
    assert len(found - expected) + len(expected - found) <= len(expected) / 500  # edges within metres of a tile's


def _lonlat(at: Any, crs: str) -> Any:
    return np.column_stack(rasterio.warp.transform(crs, "EPSG:4326", *at.T))


def test_a_straight_edge_of_a_map_in_metres_stays_on_it(tmp_path: Path) -> None:
    """UTM's line between two far corners is no straight line on the map."""
    box = shapely.box(200_000, 5_000_000, 800_000, 5_600_000)
    fine = shapely.transform(
        shapely.segmentize(box, 500),
        lambda at: np.column_stack(rasterio.warp.transform("EPSG:32632", "EPSG:4326", *at.T)),
    )
    found = read(save(tmp_path / "box.gpkg", [box], "EPSG:32632")).touched(ZOOM, WORLD)
    expected = as_geojson(fine).touched(ZOOM, WORLD)
    assert len(found - expected) + len(expected - found) <= 3


def test_a_shape_across_the_antimeridian_or_a_pole_stays_whole(tmp_path: Path) -> None:
    z, world = 5, TileRange(5, 0, 0, 32, 32)
    fiji = shapely.box(-400_000, -2_200_000, 400_000, -1_800_000)  # EPSG:3832 turns around 150 degrees east
    far = read(
        save(tmp_path / "fiji.gpkg", [shapely.transform(fiji, lambda at: np.add(at, [3_339_584.7, 0]))], "EPSG:3832")
    )
    assert 0 < len(far.touched(z, world)) <= 6
    around = read(save(tmp_path / "pole.gpkg", [shapely.Point(0, 0).buffer(2_500_000)], "EPSG:3995"))
    touched = around.touched(z, world)
    assert {int(x) for x in range(32) if touched.holds(np.array([_code(x, 0)]))[0]} == set(range(32))
    assert not touched.holds(np.array([_code(0, 20)]))[0]


def _code(x: int, y: int) -> int:
    from seeder.select.morton import interleaved  # noqa: PLC0415

    return int(interleaved(np.array([x]), np.array([y]))[0])


def test_layers_of_a_file_are_named_and_chosen(tmp_path: Path) -> None:
    path = tmp_path / "land.gpkg"
    for layer, shape in (("parks", ALPS), ("farms", FARM)):
        save(path, [shape], layer=layer)
    with pytest.raises(BadOption, match=r"has 2 layers (parks, farms|farms, parks); choose one, as in .*land.gpkg:"):
        read(path)
    assert same(read(f"{path}:farms"), as_geojson(FARM))
    with pytest.raises(BadOption, match="no layer 'roads': choose one"):
        read(f"{path}:roads")


def test_folders_of_a_kml_file_are_read_together(tmp_path: Path) -> None:
    path = tmp_path / "doc.kml"
    point = "<Placemark><Point><coordinates>{},46</coordinates></Point></Placemark>"
    folders = "".join(f"<Folder><name>f{number}</name>{point.format(number)}</Folder>" for number in (7, 8))
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>')
    assert len(read(path).points) == 2
    with zipfile.ZipFile(tmp_path / "doc.kmz", "w") as archive:
        archive.write(path, "doc.kml")
    assert len(read(tmp_path / "doc.kmz").points) == 2


def test_zipped_files_are_read_where_they_are(tmp_path: Path) -> None:
    save(tmp_path / "alps.shp", [ALPS])
    save(tmp_path / "farm.gpkg", [FARM])
    archive = tmp_path / "land.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in tmp_path.glob("alps.*"):
            out.write(path, f"deep folder/{path.name}")
    assert read(archive).touched(ZOOM, WORLD) == as_geojson(ALPS).touched(ZOOM, WORLD)
    with zipfile.ZipFile(archive, "a") as out:
        out.write(tmp_path / "farm.gpkg", "farm.gpkg")
    with pytest.raises(BadOption, match=r"holds 2 vector files: choose one, as in .*land.zip:"):
        read(archive)
    assert same(read(f"{archive}:farm.gpkg"), as_geojson(FARM))
    assert read(f"{archive}:alps").touched(ZOOM, WORLD) == as_geojson(ALPS).touched(ZOOM, WORLD)


METRES = shapely.transform(ALPS, lambda at: at * 100_000)
BAD: dict[str, tuple[str, list[Any], str | None, str]] = {
    "no crs": (
        "a.shp",
        [METRES],
        None,
        "no CRS, and position .* is not in degrees: name it with `ogr2ogr -a_srs",
    ),
    "metres as degrees": ("a.gpkg", [METRES], "EPSG:4326", "looks like metres: set its real CRS with `ogr2ogr -a_srs"),
    "swapped": (
        "a.gpkg",
        [shapely.Point(7, 100)],
        "EPSG:4326",
        "outside -90 to 90: write the longitude first",
    ),
    "nothing": ("a.gpkg", [None], "EPSG:4326", "no geometry, so no tile is selected"),
    "curves": ("a.gpkg", ["curve"], "EPSG:4326", "cannot be read as GeoPackage .*CONVERT_TO_LINEAR"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_place_on_the_globe_is_named_with_the_cure(name: str, tmp_path: Path) -> None:
    file, shapes, crs, why = BAD[name]
    path = tmp_path / file
    if shapes == ["curve"]:
        wkb = b"\x01\x08\0\0\0\x03\0\0\0" + np.array([7, 46, 8, 47, 9, 46], "<f8").tobytes()
        write(path, np.array([wkb], object), [], [], driver="GPKG", geometry_type="Unknown", crs=crs)
    elif shapes == [None]:
        write(path, np.array([None], object), [], [], driver="GPKG", geometry_type="Unknown", crs=crs)
    else:
        save(path, shapes, crs)
    with pytest.raises(BadOption, match=why) as told:
        read(path)
    assert str(path) in str(told.value)


def test_large_files_are_refused_before_they_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [shapely.Point(number / 100, 46) for number in range(1000)]
    path = save(tmp_path / "many.fgb", points)
    for most in (1000, 999, 10):
        monkeypatch.setattr(vector, "MOST_POSITIONS", most)
        if most == 1000:
            assert len(read(path).points) == 1000
            continue
        with pytest.raises(BadOption, match=f"more than {most} positions: split or simplify it"):
            read(path)


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet", ".zip"])
def test_a_damaged_file_is_one_error(suffix: str, tmp_path: Path) -> None:
    inner = save(tmp_path / f"alps{'.gpkg' if suffix == '.zip' else suffix}", [ALPS] * 50)
    path = tmp_path / f"torn{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as out:
            out.write(inner, inner.name)
    else:
        path.write_bytes(inner.read_bytes())
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(BadOption, match=re.escape(str(path))):
        read(path)


def test_a_missing_package_is_named_with_its_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "alps.gpkg", [ALPS])
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(BadOption, match=r"GeoPackage files need .*: run `pip install pyogrio pyarrow`"):
        read(path)


def test_files_are_recognized_by_their_content(tmp_path: Path) -> None:
    text = tmp_path / "a.gpkg"
    text.write_text(shapely.to_geojson(ALPS))
    assert vector_file(str(text)) is None
    assert vector_file("-") is None
    assert vector_file(str(tmp_path / "none.gpkg:x")) is None
    path = save(tmp_path / "alps.shp", [ALPS])
    with pytest.raises(BadOption, match=r"is a part of a Shapefile: give alps\.shp"):
        vector_file(str(path.with_suffix(".dbf")))
    (tmp_path / "a.gml").write_text("<?xml version='1.0'?><gml:FeatureCollection/>")
    with pytest.raises(BadOption, match="is XML, but not KML: convert it with `ogr2ogr"):
        vector_file(str(tmp_path / "a.gml"))


def test_lines_and_nested_collections_are_taken_apart(tmp_path: Path) -> None:
    line, point = shapely.LineString([(1, 2), (3, 4)]), shapely.Point(5, 6)
    nested = shapely.GeometryCollection([ALPS, shapely.GeometryCollection([line, FARM]), point, shapely.Point()])
    found = read(save(tmp_path / "all.gpkg", [nested, line]))
    assert (found.polygons == LINE).sum() == 2
    assert same(found, as_geojson(ALPS, line, FARM, point, line)) or (
        found.touched(ZOOM, WORLD) == as_geojson(ALPS, line, FARM, point, line).touched(ZOOM, WORLD)
    )


@pytest.mark.usefixtures("alps_copy")
@pytest.mark.parametrize("option", ["--shapes", "--geojson"])
def test_commands_take_them_wherever_they_take_geojson(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = shapely.box(6.2, 45.7, 7.1, 46.4)
    plain = tmp_path / "box.geojson"
    plain.write_text(shapely.to_geojson(shape))
    path = save(tmp_path / "box.gpkg", [shape], layer="box")
    for given in (str(path), f"{path}:box"):
        assert listed("alps", "--zooms", 9, option, given) == listed("alps", "--zooms", 9, "--geojson", plain)
        wide = ("alps", "--zooms", 9, "--buffer", 9000)
        assert listed(*wide, option, given) == listed(*wide, "--geojson", plain)
        assert listed("alps", "--area", f"9={given}") == listed("alps", "--area", f"9={plain}")
        assert listed("alps", "--zooms", 9, "--exclude", given) == listed("alps", "--zooms", 9, "--exclude", plain)
    assert "has no layer" in complaint_of("alps", option, save(tmp_path / "a.fgb", [shape]), monkeypatch)


def complaint_of(layer: str, option: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from tests.support.commands import seeder  # noqa: PLC0415

    monkeypatch.setattr("pyogrio.list_layers", lambda _: np.zeros((0, 2), object))
    return complaint(seeder("list", layer, option, path))


def test_the_limits_are_those_of_geojson() -> None:
    assert vector.MOST_POSITIONS == parts.MOST_POSITIONS


def test_python_takes_them_under_both_names(alps_copy: Path, tmp_path: Path) -> None:
    shape = shapely.box(6.2, 45.7, 7.1, 46.4)
    path = save(tmp_path / "box.fgb", [shape])
    layer = api.open(alps_copy).layer("alps")
    expected = set(layer.select(zooms=9, shapes=json.loads(shapely.to_geojson(shape))))
    assert expected
    for given in (path, str(path), [path]):
        assert set(layer.select(zooms=9, shapes=given)) == expected
        assert set(layer.select(zooms=9, geojson=given)) == expected
    assert set(layer.select(area={"9": path})) == expected
    with pytest.raises(BadOption, match="geojson is the former name of shapes: give shapes only"):
        layer.select(shapes=path, geojson=path)


VRT = '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{other}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'


@pytest.mark.parametrize(
    "form", ["<!-- <kml> -->{vrt}", '<?xml version="1.0"?><!-- <kml> -->{vrt}', "<kml/>{vrt}", "{vrt}"]
)
@pytest.mark.parametrize("name", ["a.kml", "a.geojson", "a.gpkg"])
@pytest.mark.parametrize("zipped", [False, True])
def test_no_file_names_others(form: str, name: str, zipped: bool, tmp_path: Path) -> None:
    other = save(tmp_path / "other.gpkg", [ALPS])
    path = tmp_path / name
    path.write_text(form.format(vrt=VRT.format(other=other)))
    if zipped:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / name, name)
    with pytest.raises(BadOption, match=r"names other files|XML, but not KML"):
        read(path)


def test_zipped_geojson_is_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.geojson", shapely.to_geojson(ALPS))
    assert same(read(path), as_geojson(ALPS))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.geojson", '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline"}')
    with pytest.raises(BadOption, match="is not GeoJSON"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.shp", shapely.to_geojson(ALPS))
    with pytest.raises(BadOption, match=r"a\.shp is no Shapefile, as its name says"):
        read(path)
