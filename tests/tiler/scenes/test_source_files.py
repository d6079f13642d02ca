"""The hashed files are the baked ones; all files that GDAL reads count, and only permitted files are read."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.vrt import WarpedVRT

from tests.support.baked import keys_of_parts, stored_parts
from tests.support.files import SOURCE, accompanied, described, raw
from tests.support.layers import silent
from tests.support.oracle import files_under
from tests.support.rasters import MakeRaster, Recipe, scene, write_raster
from tests.support.site import memory
from tiler.errors import BadSource, SourceReadError, TilerError, UnknownLayer
from tiler.ingest import drafts as drafts_module
from tiler.ingest import examine as examine_module
from tiler.ingest import ingest as ingest_module
from tiler.ingest.bake import Bake
from tiler.ingest.ingest import ingest
from tiler.ingest.survey import revision_of
from tiler.layers.catalog import load_layer
from tiler.raster.datasets import OpenOptions, opened
from tiler.raster.options import Options
from tiler.scenes import source_files as beneath_module
from tiler.scenes.source_files import beneath
from tiler.storage.store import Stores

QUICK: dict[str, Any] = {"resampling": "nearest", "max_zoom": 6}


def plain(path: Path, seed: int) -> Path:
    """An uncompressed raster, the same size for each seed."""
    return write_raster(path, Recipe(values=scene(50, 60, 1, seed=seed)))


def empty() -> Stores:
    return Stores(memory(), memory(), "http://tiles.test")


def take(path: Path, stores: Stores, **options: Any) -> Any:
    return ingest(str(path), "layer", Options(**{**QUICK, **options}), stores, jobs=1, progress=silent)


def overwritten(old: Path, new: Path) -> None:
    """In place: the same size, and the time of the last change put back."""
    assert old.stat().st_size == new.stat().st_size
    state = old.stat()
    old.write_bytes(new.read_bytes())
    os.utime(old, ns=(state.st_atime_ns, state.st_mtime_ns))


def renamed(old: Path, new: Path) -> None:
    old.with_name("next.tif").write_bytes(new.read_bytes())
    old.with_name("next.tif").replace(old)


def gone(old: Path, _new: Path) -> None:
    old.unlink()


@cache
def undisturbed(seed: int, form: str, how: str, *, sidecar: bool) -> tuple[str, frozenset[str]]:
    """Revision and parts of an undisturbed ingest."""
    with tempfile.TemporaryDirectory() as folder:
        member = plain(Path(folder, "member.tif"), seed)
        if sidecar:
            accompanied(member, member)
        path = {"tif": member, "vrt": described(Path(folder, "one.vrt"), "member.tif")}.get(form, member)
        if form == "vrt of vrt":
            path = described(Path(folder, "two.vrt"), described(Path(folder, "one.vrt"), "member.tif").name)
        stores = empty()
        layer = take(path, stores, format=how).layer
        return layer.revision, frozenset(keys_of_parts(layer, stores))


POINTS: dict[str, tuple[Any, str]] = {
    "survey": (examine_module, "survey"),
    "hash": (examine_module, "hashes_of"),
    "bake": (ingest_module, "bake_layer"),
    "part": (Bake, "_write"),
    "choose": (drafts_module, "choose"),
    "footprint": (ingest_module, "_footprint"),
}


@given(
    st.sampled_from(sorted(POINTS)),
    st.booleans(),
    st.sampled_from([overwritten, renamed, accompanied, gone]),
    st.sampled_from(["tif", "vrt", "vrt of vrt"]),
    st.sampled_from([{}, {"format": "auto"}, {"virtual": True}, {"virtual": True, "format": "auto"}]),
)
def test_whatever_changes_between_two_reads_the_pixels_are_those_that_were_hashed_or_nothing_is_published(
    point: str, before: bool, change: Callable[[Path, Path], None], form: str, asked: dict[str, Any]
) -> None:
    """Nor is a part stored as one of other pixels: the next ingest would use it."""
    with tempfile.TemporaryDirectory() as folder:
        member, other = plain(Path(folder, "member.tif"), 1), plain(Path(folder, "other.tif"), 2)
        path = member if form == "tif" else described(Path(folder, "one.vrt"), "member.tif")
        path = described(Path(folder, "two.vrt"), "one.vrt") if form == "vrt of vrt" else path
        owner, name = POINTS[point]
        real, changed = getattr(owner, name), []

        def disturbed(*args: Any, **kwargs: Any) -> Any:
            if before and not changed:
                changed.append(change(member, other))
            done = real(*args, **kwargs)
            if not before and not changed:
                changed.append(change(member, other))
            return done

        stores, how = empty(), asked.get("format", "png")
        known = {undisturbed(seed, form, how, sidecar=sidecar) for seed, sidecar in ((1, False), (2, False), (1, True))}
        layer = None
        with patch.object(owner, name, disturbed):
            try:
                layer = take(path, stores, **asked).layer
            except TilerError:
                assert list(stores.tiles.list("")) == []
                assert all(re.match("sources/layer/(parts|shards)/", each.key) for each in stores.sources.list(""))
                with pytest.raises(UnknownLayer):
                    load_layer(stores.sources, "layer")
        assert any(stored_parts("layer", stores) <= parts for _, parts in known)
        if layer is None:
            return
        if layer.bake is None:
            assert not changed
            return
        parts = frozenset(keys_of_parts(layer, stores))
        assert parts in {each for _, each in known}
        if not asked:
            assert (layer.revision, parts) in known
        if changed:  # only what comes after the last look at the raster does no harm
            assert point == "choose"


def test_what_changed_says_what_to_do_and_the_raster_that_was_there_is_baked_next_time(tmp_path: Path) -> None:
    path, other, stores = plain(tmp_path / "a.tif", 1), plain(tmp_path / "b.tif", 2), empty()

    def change(done: int, _total: int) -> None:
        if done == 1:
            renamed(path, other)

    with pytest.raises(BadSource, match=r"a\.tif: it changed while it was read: run the same command again"):
        ingest(str(path), "layer", Options(**QUICK), stores, jobs=1, progress=change)
    assert take(path, stores).layer.revision == take(other, empty()).layer.revision


def test_a_raster_that_nobody_touches_for_a_while_is_hashed_once(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.tif", 1)
    seen = beneath(str(path))
    assert not seen.sure  # just written
    assert not seen.as_before(beneath(str(renamed_of(path))))


def renamed_of(path: Path) -> Path:
    renamed(path, path)
    return path


@pytest.mark.parametrize("kind", ["vrt", "vrt of vrt", "warped", "warped vrt", "index", "zip", "sidecar of a member"])
def test_a_member_that_changes_however_deep_makes_another_revision(kind: str, tmp_path: Path) -> None:
    member = plain(tmp_path / "member.tif", 1)
    one = described(tmp_path / "one.vrt", "member.tif")
    path = str(one)
    if kind == "vrt of vrt":
        path = str(described(tmp_path / "two.vrt", "one.vrt"))
    elif kind.startswith("warped"):
        path = str(warped_vrt(tmp_path / "w.vrt", one if kind == "warped vrt" else member))
    elif kind == "index":
        path = str(index(tmp_path / "all.gti.gpkg", "member.tif"))
    elif kind == "zip":
        path = f"/vsizip/{zipped(tmp_path / 'all.zip', member)}/member.tif"
    old = revision_of(path, Options())
    assert revision_of(path, Options()) == old
    if kind == "sidecar of a member":
        accompanied(member, member)
    else:
        overwritten(member, plain(tmp_path / "other.tif", 2))
        if kind == "zip":
            zipped(tmp_path / "all.zip", member)
    assert revision_of(path, Options()) != old


def warped_vrt(path: Path, source: Path) -> Path:
    with rasterio.open(source) as dataset, WarpedVRT(dataset, crs="EPSG:3857") as view:
        rasterio.shutil.copy(view, path, driver="VRT")
    return path


def zipped(path: Path, member: Path) -> Path:

    with zipfile.ZipFile(path, "w") as archive:
        archive.write(member, member.name)
    return path


def index(path: Path, *names: str) -> Path:
    """A tile index as gdaltindex makes them, without its spatial index."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(INDEX)
        for name in names:
            database.execute("INSERT INTO tiles (geom, location) VALUES (?, ?)", (SQUARE, name))
        database.commit()
    return path


def square(west: float, south: float, east: float, north: float) -> bytes:
    """A GeoPackage's polygon."""
    ring = np.array([[west, south], [east, south], [east, north], [west, north], [west, south]], "<f8").tobytes()
    head = b"GP\0\x01" + np.array([4326], "<i4").tobytes()
    return head + b"\x01" + np.array([3, 1, 5], "<u4").tobytes() + ring


SQUARE = square(5, 45, 9, 48)
INDEX = """
PRAGMA application_id = 1196444487; PRAGMA user_version = 10300;
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT,
    organization_coordsys_id INTEGER, definition TEXT, description TEXT);
INSERT INTO gpkg_spatial_ref_sys VALUES ('WGS 84', 4326, 'EPSG', 4326, 'GEOGCS["WGS 84",DATUM["WGS_1984",
    SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],
    AUTHORITY["EPSG","4326"]]', '');
CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT, identifier TEXT, description TEXT,
    last_change DATETIME DEFAULT '2026-01-01T00:00:00.000Z', min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,
    srs_id INTEGER);
INSERT INTO gpkg_contents (table_name, data_type, identifier, min_x, min_y, max_x, max_y, srs_id)
    VALUES ('tiles', 'features', 'tiles', 5, 45, 9, 48, 4326);
CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT, srs_id INTEGER,
    z TINYINT, m TINYINT);
INSERT INTO gpkg_geometry_columns VALUES ('tiles', 'geom', 'POLYGON', 4326, 0, 0);
CREATE TABLE tiles (fid INTEGER PRIMARY KEY AUTOINCREMENT, geom BLOB, location TEXT);
"""


def told(name: str, *, raster: bool = False) -> Callable[[Path], Path]:
    inside = SOURCE.format(name=name)
    return lambda folder: described(folder / "bad.vrt", inside=inside if raster else inside.replace('"1">', '"0">'))


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "raw": (lambda folder: raw(folder / "bad.vrt", secret(folder)), "VRTRawRasterBand"),
    "raw below": (
        lambda folder: described(folder / "bad.vrt", raw(folder / "raw.vrt", secret(folder)).name),
        "VRTRawRasterBand",
    ),
    "network": (told("/vsicurl/http://127.0.0.1:9/a.tif"), "network"),
    "network within": (told("/vsizip//vsicurl/http://127.0.0.1:9/a.zip/a.tif"), "network"),
    "network plainly": (told("HTTP://127.0.0.1:9/a.tif"), "network"),
    "network, a CDATA": (told("<![CDATA[/vsicurl/http://127.0.0.1:9/a.tif]]>"), "network"),
    "network, escaped": (told("&#47;vsicurl/http://127.0.0.1:9/a.tif"), "network"),
    "no raster": (lambda folder: told(str(secret(folder)))(folder), "not a raster"),
    "standard input": (told("/vsistdin/"), "instead of a file on this disk"),
    "a description in place": (told("&lt;VRTDataset/&gt;"), "description"),
}


def secret(folder: Path) -> Path:
    path = folder / "secret.txt"
    path.write_bytes(b"the password is swordfish\n" * 200)
    return path


@pytest.mark.parametrize("case", HOSTILE)
def test_a_description_that_names_what_it_may_not_is_refused_before_any_of_that_is_opened(
    case: str, tmp_path: Path
) -> None:
    make, why = HOSTILE[case]
    path, stores = make(tmp_path), empty()
    before = files_under(tmp_path)
    with pytest.raises(BadSource, match=why):
        take(path, stores)
    assert list(stores.sources.list("")) == []
    assert files_under(tmp_path) == before


def test_raw_bytes_are_read_of_a_source_that_is_trusted_and_tell_what_is_read(tmp_path: Path) -> None:
    path, stores = raw(tmp_path / "raw.vrt", secret(tmp_path)), empty()
    done = take(path, stores, trust_source=True)
    assert done.notes == (f"reads 1 other file: {tmp_path / 'secret.txt'}",)


@pytest.mark.skipif(rasterio.__gdal_version__ < "3.12", reason="needs GDAL 3.12")
def test_gdal_too_refuses_raw_bytes_after_a_source_that_is_trusted(tmp_path: Path) -> None:
    path = str(raw(tmp_path / "raw.vrt", secret(tmp_path)))
    assert opened(path, open_options=OpenOptions(trusted=True)).read().any()
    with pytest.raises(SourceReadError, match="GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE"):
        opened(path)


def test_programs_in_a_description_never_run(tmp_path: Path) -> None:
    program = "<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionType>f</PixelFunctionType>"
    path = described(tmp_path / "p.vrt", inside=program)
    path.write_text(path.read_text().replace('band="1"', 'band="1" subClass="VRTDerivedRasterBand"'))
    for trusted in (False, True):
        with pytest.raises(BadSource, match="is never run"):
            take(path, empty(), trust_source=trusted)


def test_rasters_elsewhere_on_the_disk_are_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    plain(tmp_path / "member.tif", 1)
    path = described(tmp_path / "below" / "one.vrt", "../member.tif")
    (note,) = take(path, empty()).notes
    assert note.startswith("reads 1 other file: ")
    assert note.endswith("member.tif")


def test_descriptions_that_name_each_other_end(tmp_path: Path) -> None:
    described(tmp_path / "a.vrt", "b.vrt")
    described(tmp_path / "b.vrt", "a.vrt")
    with pytest.raises(TilerError):
        take(tmp_path / "a.vrt", empty())


def test_trust_makes_no_other_revision(tmp_path: Path) -> None:
    path = str(plain(tmp_path / "a.tif", 1))
    assert revision_of(path, Options(trust_source=True)) == revision_of(path, Options())


@pytest.mark.parametrize("radius", [1_560_800, 1_737_400, 3_396_190])
@pytest.mark.parametrize("projection", ["eqc", "longlat"])
def test_a_raster_of_another_body_is_refused_at_once_in_a_short_line(
    projection: str, radius: int, make_raster: MakeRaster
) -> None:
    crs = CRS.from_proj4(f"+proj={projection} +R={radius} +no_defs")
    path = make_raster(values=scene(50, 60, 1))
    with rasterio.open(path, "r+") as dataset:
        dataset.crs = crs
    with patch("tiler.raster.place.carried", side_effect=AssertionError), pytest.raises(BadSource) as caught:
        take(path, empty())
    message = str(caught.value).replace(str(path), "")
    assert f"{radius:,} m" in message
    assert len(message) < 160
    assert "[" not in message


def test_a_vrt_in_one_line_is_read_and_its_parts_are_other_revisions(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "abc.tif", Recipe(values=scene(50, 60, 3, seed=1)))
    names = [f"vrt://{path}?bands={bands}" for bands in ("1,2,3", "3,2,1", "2")]
    seen = [revision_of(name, Options()) for name in names]
    assert len(set(seen)) == 3
    assert beneath(names[0]).files == (path,)
    overwritten(path, write_raster(tmp_path / "other.tif", Recipe(values=scene(50, 60, 3, seed=2))))
    assert all(revision_of(name, Options()) != old for name, old in zip(names, seen, strict=True))


@pytest.mark.parametrize("inside", ["/vsicurl/http://127.0.0.1/a.tif", "{secret}"])
def test_a_vrt_in_one_line_names_only_rasters_on_this_disk(inside: str, tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="--trust-source"):
        beneath(f"vrt://{inside.format(secret=secret(tmp_path))}?bands=1")


NETWORK_VRT = SOURCE.replace('relativeToVRT="1"', 'relativeToVRT="0"').format(name="/vsicurl/http://127.0.0.1:9/a.tif")


def hidden(folder: Path, how: str) -> Path:
    """A raster that refers to a network in an inconspicuous way."""
    path = plain(folder / "a.tif", 1)
    evil = described(folder / "evil.vrt", inside=NETWORK_VRT).read_text()
    if how == "behind other text":
        (folder / "b.vrt").write_text(f"x{evil}")
        return folder / "b.vrt"
    if how in (".ovr", ".msk", ".OVR"):
        path.with_name(f"a.tif{how}").write_text(evil)
        return path
    key = {"low": 'key="overview_file"', "entity": 'key="OVERVIEW&#95;FILE"', "plain": 'key="OVERVIEW_FILE"'}[how]
    path.with_name("a.tif.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI {key}>/vsicurl/http://127.0.0.1:9/a</MDI></Metadata></PAMDataset>'
    )
    return path


@pytest.mark.parametrize("how", ["behind other text", ".ovr", ".msk", ".OVR", "low", "entity", "plain"])
def test_no_way_of_writing_it_reaches_a_network(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hidden(tmp_path, how)
    monkeypatch.setattr(beneath_module, "probed", lambda name, _: pytest.fail(f"{name} was opened"))
    with pytest.raises(BadSource):
        beneath(str(path))


def test_overviews_that_a_tiff_itself_places_elsewhere_are_refused(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.tif", 1)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/http://127.0.0.1:9/a")
    path.with_name("a.tif.aux.xml").unlink(missing_ok=True)
    with pytest.raises(BadSource, match="elsewhere"):
        beneath(str(path))


def test_an_aux_file_in_latin_1_is_no_fault(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.tif", 1)
    said = '<PAMDataset><Metadata><MDI key="place">Z\u00fcrich</MDI></Metadata></PAMDataset>'
    path.with_name("a.tif.aux.xml").write_bytes(said.encode("latin-1"))
    assert path in beneath(str(path)).files


@pytest.mark.parametrize("name", ["vrt://", "vrt://?", "vrt://?bands=1"])
def test_a_vrt_in_one_line_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(TilerError):
        beneath(name)
