"""A dry run of a stranger's file of layers opens nothing outside its folder, by whatever way it is named."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import complaint, seeder
from tests.support.files import described, raw
from tests.support.opened import Watched, watched
from tests.support.rasters import Recipe, scene, write_raster
from tiler.scenes import s3_listing, web

LAND = Recipe(scene(32, 32))
SOURCE = 'source = "{}"'
Attack = Callable[[Path, Path], str]  # makes files in the first folder, and a table that leads to the second's raster


def named(_folder: Path, secret: Path) -> str:
    return SOURCE.format(secret)


def above(folder: Path, secret: Path) -> str:
    return SOURCE.format(os.path.relpath(secret, folder))


def linked(folder: Path, secret: Path) -> str:
    (folder / "link.tif").symlink_to(secret)
    return SOURCE.format("link.tif")


def linked_folder(folder: Path, secret: Path) -> str:
    (folder / "scenes").symlink_to(secret.parent)
    return SOURCE.format("scenes")


def link_in_a_folder(folder: Path, secret: Path) -> str:
    (folder / "scenes").mkdir()
    (folder / "scenes/more").symlink_to(secret.parent)
    write_raster(folder / "scenes/own.tif", LAND)
    return SOURCE.format("scenes")


def pattern(folder: Path, secret: Path) -> str:
    return SOURCE.format(os.path.relpath(secret.parent, folder) + "/*.tif")


def pattern_through_a_link(folder: Path, secret: Path) -> str:
    (folder / "scenes").symlink_to(secret.parent)
    return SOURCE.format("*/*.tif")


def text_list(folder: Path, secret: Path) -> str:
    (folder / "list.txt").write_text(f"{secret}\n")
    return SOURCE.format("@list.txt")


def far_list(_folder: Path, secret: Path) -> str:
    secret.with_name("list.txt").write_text("secret.tif\n")
    return SOURCE.format(f"@{secret.with_name('list.txt')}")


def features(folder: Path, secret: Path) -> str:
    feature = {"type": "Feature", "geometry": None, "properties": {"location": str(secret)}}
    (folder / "list.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return SOURCE.format("list.geojson")


def index(file: Path, secret: Path) -> Path:
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT)")
        database.execute("INSERT INTO gpkg_contents VALUES ('tiles', 'features')")
        database.execute("CREATE TABLE tiles (location TEXT)")
        database.execute("INSERT INTO tiles VALUES (?)", (str(secret),))
    database.close()
    return file


def geopackage(folder: Path, secret: Path) -> str:
    return SOURCE.format(index(folder / "index.gti.gpkg", secret).name)


def xml_index(folder: Path, secret: Path) -> str:
    index(folder / "index.gpkg", secret)
    (folder / "index.gti").write_text(
        "<GDALTileIndexDataset><IndexDataset>index.gpkg</IndexDataset></GDALTileIndexDataset>"
    )
    return SOURCE.format("index.gti")


def far_index(folder: Path, secret: Path) -> str:
    far = index(secret.with_name("index.gpkg"), secret)
    (folder / "index.gti").write_text(
        f"<GDALTileIndexDataset><IndexDataset>{far}</IndexDataset></GDALTileIndexDataset>"
    )
    return SOURCE.format("index.gti")


def vrt(folder: Path, secret: Path) -> str:
    return SOURCE.format(described(folder / "all.vrt", secret).name)


def vrt_of_a_vrt(folder: Path, secret: Path) -> str:
    described(folder / "one.vrt", secret)
    return SOURCE.format(described(folder / "all.vrt", folder / "one.vrt").name)


def vrt_named_as_a_tiff(folder: Path, secret: Path) -> str:
    return SOURCE.format(described(folder / "all.tif", secret).name)


def vrt_of_bytes(folder: Path, secret: Path) -> str:
    return SOURCE.format(raw(folder / "raw.vrt", secret).name)


def vrt_of_a_vrt_in_a_line(folder: Path, secret: Path) -> str:
    return SOURCE.format(described(folder / "all.vrt", f"vrt://{secret}?bands=1").name)


def steps(file: Path, name: object) -> Path:
    """A VRT that adds a raster to another one, as a step of processing."""
    words = "".join(f"<Argument name='gain_dataset_filename_{band}'>{name}</Argument>" for band in (1, 2, 3))
    source = "<Input><SourceFilename relativeToVRT='1'>own.tif</SourceFilename></Input>"
    step = f"<Step><Algorithm>LocalScaleOffset</Algorithm>{words}</Step>"
    processing = f"<ProcessingSteps>{step}</ProcessingSteps>"
    file.write_text(f"<VRTDataset subClass='VRTProcessedDataset'>{source}{processing}</VRTDataset>")
    return file


def vrt_of_steps(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    return SOURCE.format(steps(folder / "steps.vrt", secret).name)


def vrt_as_overviews(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    described(folder / "own.tif.ovr", secret)
    return SOURCE.format("own.tif")


def linked_overviews(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    (folder / "own.tif.ovr").symlink_to(secret)
    return SOURCE.format("own.tif")


def linked_sidecar(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    (folder / "own.tif.aux.xml").symlink_to(secret)
    return SOURCE.format("own.tif")


def linked_member(folder: Path, secret: Path) -> str:
    (folder / "member.tif").symlink_to(secret)
    return SOURCE.format(described(folder / "all.vrt", "member.tif").name)


def subdataset(_folder: Path, secret: Path) -> str:
    return SOURCE.format(f"GTIFF_DIR:1:{secret}")


def archive(_folder: Path, secret: Path) -> str:
    return SOURCE.format(f"/vsizip/{secret}")


def in_a_line(_folder: Path, secret: Path) -> str:
    return SOURCE.format(f"vrt://{secret}")


def file_address(_folder: Path, secret: Path) -> str:
    return SOURCE.format(secret.as_uri())


def trusting(folder: Path, secret: Path) -> str:
    described(folder / "all.vrt", secret)
    return f"trust-source = true\n{SOURCE.format('all.vrt')}"


def raw_trusting(folder: Path, secret: Path) -> str:
    raw(folder / "raw.vrt", secret)
    return f"trust-source = true\n{SOURCE.format('raw.vrt')}"


def ilwis(folder: Path, secret: Path) -> str:
    (folder / "map.mpr").write_text(f"[Ilwis]\nType=BaseMap\n[MapStore]\nData={secret}\nType=Byte\n")
    return SOURCE.format("map.mpr")


def colormap(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    return f'{SOURCE.format("own.tif")}\ncolormap = "{secret}"'


def shapes(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    return f'{SOURCE.format("own.tif")}\nseed = "0-3"\ngeojson = "{secret}"'


def shapes_of_a_layer(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    return f'{SOURCE.format("own.tif")}\nseed = "0-3"\nshapes = "{secret}:layer"'


def shapes_in_a_geopackage(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    (folder / "shapes.gpkg").symlink_to(secret)
    return f'{SOURCE.format("own.tif")}\nseed = "0-3"\nexclude = "shapes.gpkg:layer"'


def area(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    (folder / "area.json").symlink_to(secret)
    return f'{SOURCE.format("own.tif")}\narea = {{ "0-3" = "area.json" }}'


def grid(folder: Path, secret: Path) -> str:
    write_raster(folder / "own.tif", LAND)
    return f'{SOURCE.format("own.tif")}\ncrs = "+proj=longlat +ellps=WGS84 +nadgrids={secret}"'


ATTACKS: tuple[Attack, ...] = (
    *(named, above, linked, linked_folder, link_in_a_folder, pattern, pattern_through_a_link, text_list, far_list),
    *(features, geopackage, xml_index, far_index, vrt, vrt_of_a_vrt, vrt_named_as_a_tiff, vrt_of_bytes),
    *(
        vrt_of_a_vrt_in_a_line,
        vrt_of_steps,
        vrt_as_overviews,
        linked_overviews,
        linked_sidecar,
        linked_member,
        subdataset,
        archive,
    ),
    *(in_a_line, file_address, trusting, raw_trusting, ilwis, colormap, shapes, area, grid),
    *(shapes_of_a_layer, shapes_in_a_geopackage),
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A raster that no stranger may have opened."""
    (tmp_path / "home").mkdir()
    return write_raster(tmp_path / "home/secret.tif", LAND)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stranger's file."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs"


def written(folder: Path, table: str) -> Path:
    file = folder / "layers.toml"
    file.write_text(f"[layers.theirs]\n{table}\n")
    return file


@pytest.fixture
def watch(secret: Path) -> Iterator[Watched]:
    with watched(secret) as watch:
        yield watch


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_way_leads_out_of_the_folder(attack: Attack, folder: Path, secret: Path, watch: Watched) -> None:
    result = seeder("apply", written(folder, attack(folder, secret)), "--dry-run", "--jobs", 1)
    assert not watch.opened(), result.output
    assert result.exit_code in (1, 2), result.output
    assert not (folder.parent / "data").exists()


@pytest.mark.parametrize("attack", [named, vrt, text_list, linked_folder, trusting], ids=lambda each: each.__name__)
def test_a_trusted_file_may_lead_anywhere(attack: Attack, folder: Path, secret: Path, watch: Watched) -> None:
    result = seeder("apply", written(folder, attack(folder, secret)), "--dry-run", "--jobs", 1, "--trust-source")
    assert watch.opened(), "the watch sees what is opened"
    assert result.exit_code == 0, result.output
    assert "theirs: new" in result.stdout


@pytest.mark.parametrize(
    "source",
    [
        *("https://example.com/a.tif", "http://169.254.169.254/latest", "s3://bucket/key.tif", "s3://bucket/prefix/"),
        *("/vsicurl/https://example.com/a.tif", "/vsis3/bucket/key.tif", "https://example.com/items.json"),
        *("gs://bucket/key.tif", "WMS:https://example.com/wms", "@https://example.com/list.txt", "-", "<VRTDataset/>"),
    ],
)
def test_no_request_is_made(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("a request was made")

    monkeypatch.setattr(web.Web, "fetch", forbidden)
    monkeypatch.setattr(s3_listing.Bucket, "of", forbidden)
    monkeypatch.setattr("socket.create_connection", forbidden)
    for table in (SOURCE.format(source), f"source = '@list.txt'\nanonymous = true\n#{source}"):
        (folder / "list.txt").write_text(f"{source}\n")
        result = seeder("apply", written(folder, table), "--dry-run", "--jobs", 1)
        assert result.exit_code in (1, 2), result.output
        assert "request was made" not in result.output


@pytest.mark.parametrize("table", [SOURCE.format(each) for each in ("own.tif", "scenes", "scenes/*.tif", "@list.txt")])
def test_what_is_in_the_folder_is_planned(table: str, folder: Path) -> None:
    (folder / "scenes").mkdir()
    for name in ("own.tif", "scenes/a.tif"):
        write_raster(folder / name, LAND)
    (folder / "scenes/b.tif").symlink_to(folder / "own.tif")
    (folder / "list.txt").write_text("own.tif\n")
    described(folder / "all.vrt", "own.tif")
    result = seeder("apply", written(folder, table), "--dry-run", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "theirs: new" in result.stdout


def test_a_vrt_of_rasters_in_the_folder_is_planned(folder: Path) -> None:
    write_raster(folder / "own.tif", LAND)
    described(folder / "all.vrt", folder / "own.tif")
    result = seeder("apply", written(folder, SOURCE.format("all.vrt")), "--dry-run", "--jobs", 1)
    assert result.exit_code == 0, result.output


def test_text_of_strangers_prints_no_line_of_its_own(folder: Path) -> None:
    """Lines of a log may be commands, as in GitHub's workflows; others move the cursor of a terminal."""
    write_raster(folder / "own.tif", LAND)
    write_raster(folder / "a\n::warning::b.png", Recipe(scene(8, 8), crs="EPSG:4326"))
    for table in (
        r'source = "x\n::error::y\u001b[2J.tif"',
        r'"key\n::error::y" = 1',
        r'source = "own.tif"' + "\n" + r'colormap = "\n::error::y"',
        r'source = "own.tif"' + "\n" + r'attribution = "\n::error::y"',
        r'source = "."',
    ):
        result = seeder("apply", written(folder, table), "--dry-run", "--jobs", 1)
        assert not [line for line in result.output.splitlines() if line.lstrip().startswith("::")], result.output
        assert "\x1b" not in result.output


def test_steps_of_processing_refer_to_no_network_in_an_ingest_either(folder: Path) -> None:
    write_raster(folder / "own.tif", LAND)
    far = steps(folder / "steps.vrt", "/vsicurl/http://127.0.0.1:9/a.tif")
    assert "a network or special address" in complaint(seeder("ingest", far, "--dry-run"))


def test_a_missing_source_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "layers.toml").write_text('[layers.a]\nsource = "gone.tif"')
    result = seeder("apply", tmp_path / "layers.toml", "--dry-run", "--data", tmp_path / "data")
    assert "gone.tif: no such file" in result.output
