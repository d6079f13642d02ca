"""`--upload` puts scenes of this machine into the private bucket, once, and removes them when nothing uses them."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result

from seeder.jobs.bake_ledger import bakes
from seeder.jobs.ledger import begun
from seeder.operations import upload_scenes
from seeder.operations.kept_uploads import unused_uploads
from seeder.operations.report import Report
from tests.support.aws import new_bucket
from tests.support.baked import bytes_of_parts
from tests.support.bakery import Bakery
from tests.support.commands import complaint, said, seeder
from tests.support.layers import local_stores
from tests.support.moto_server import serving_apart
from tests.support.rasters import Recipe, scene, write_raster
from tiler import timing
from tiler.errors import StoreError
from tiler.ingest.staging import Staging
from tiler.layers.catalog import load_layer
from tiler.raster.options import Options
from tiler.scenes.scene import Listed
from tiler.scenes.scene_list import parse
from tiler.settings import Settings
from tiler.storage.store import Stores

PREFIX = "sources/flight/scenes/"


def raster(folder: Path, name: str, seed: int, west: float = 0.0) -> Path:
    """A scene of 64 x 64 pixels, 16 degrees wide, so that its layer has few parts."""
    box = (16 * west, 30.0, 16 * west + 16, 46.0)
    return write_raster(folder / f"{name}.tif", Recipe(scene(64, 64, seed=seed), crs="EPSG:4326", bounds=box))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server in another process, from which GDAL can read scenes."""
    with serving_apart() as address:
        yield address


@pytest.fixture
def bucket(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> str:
    """The private bucket; tiles are in another one."""
    assert bakery
    tiles, private = new_bucket(), new_bucket()
    monkeypatch.delenv("TILER_DATA")
    monkeypatch.setenv("TILER_TILES", f"s3://{tiles}")
    monkeypatch.setenv("TILER_SOURCES", f"s3://{private}")
    return private


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A folder of two scenes."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    raster(folder, "april", 1)
    raster(folder, "may", 2, west=0.5)
    return folder


def send(*sources: object, words: tuple[object, ...] = ("--upload", "--json")) -> Result:
    return seeder("ingest", *sources, "--layer", "flight", "--queue", "sqs", "--jobs", "1", *words)


def refresh(*words: object) -> Result:
    return seeder("refresh", "flight", *words, "--queue", "sqs", "--jobs", "1", "--yes", "--upload", "--json")


def uploaded(bucket: str) -> dict[str, str]:
    """The version of each uploaded object, by its name."""
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=PREFIX).get("Contents", [])
    assert len(listed) == len({each["Key"] for each in listed})
    return {each["Key"].removeprefix(PREFIX): str(each["LastModified"]) for each in listed}


def names(bucket: str) -> list[str]:
    return sorted(key.rpartition("/")[2] for key in uploaded(bucket))


def addresses(bakery: Bakery) -> list[str]:
    """The addresses of the layer's scenes."""
    layer, sources = load_layer(bakery.stores.sources, "flight"), bakery.stores.sources
    key = f"sources/flight/{layer.revision}/scenes.json"
    return [scene.address for scene in parse(sources.get(key), key).scenes]


def test_workers_bake_uploaded_scenes_to_the_bytes_of_the_files(
    bakery: Bakery, bucket: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "add --upload" in complaint(send(scenes, words=()))
    assert names(bucket) == []
    sent = said(send(scenes))
    assert names(bucket) == ["april.tif", "may.tif"]
    shutil.move(scenes, tmp_path / "gone")
    bakery.work()
    assert said(seeder("status", sent["job"], "--json"))["state"] == "done"
    assert addresses(bakery) == [f"s3://{bucket}/{PREFIX}{key}" for key in sorted(uploaded(bucket), key=by_name)]
    there = bakery.stores
    monkeypatch.delenv("TILER_TILES")
    monkeypatch.delenv("TILER_SOURCES")
    here = tmp_path / "here"
    local = seeder("ingest", tmp_path / "gone", "--layer", "flight", "--data", here, "--jobs", "1")
    assert local.exit_code == 0, local.output
    stores = local_stores(here)
    ours, theirs = (
        sorted(bytes_of_parts(load_layer(each.sources, "flight"), each).values()) for each in (there, stores)
    )
    assert ours == theirs


def by_name(key: str) -> str:
    return key.rpartition("/")[2]


def test_what_is_there_is_not_sent_again(
    bakery: Bakery, bucket: str, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, sent = upload_scenes.upload, list[str]()

    def once(path: Path, to: Any, advance: Any) -> None:
        if len(sent) == 1:
            raise StoreError("write", to.key, "cut off")
        sent.append(to.key)
        put(path, to, advance)

    with monkeypatch.context() as patch:
        patch.setattr(upload_scenes, "upload", once)
        result = send(scenes)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cut off" in result.stderr
    assert len(uploaded(bucket)) == 1
    before = uploaded(bucket)
    assert said(send(scenes))["messages"] > 0
    assert before.items() <= uploaded(bucket).items()
    bakery.work()
    (scenes / "april.tif").touch()  # same content, another time
    monkeypatch.setattr(upload_scenes, "upload", None)
    assert not said(send(scenes))["fresh"]


def test_a_file_replaces_the_uploaded_scene_of_its_name(bakery: Bakery, bucket: str, scenes: Path) -> None:
    send(scenes)
    bakery.work()
    may = raster(scenes, "may", 9, west=0.5)
    result = refresh("--replace", may)
    assert result.exit_code == 0, result.output
    changed = json.loads(result.stdout.splitlines()[0])
    assert [changed[name] for name in ("added", "replaced", "dropped", "kept")] == [0, 1, 0, 1]
    bakery.work()
    assert names(bucket) == ["april.tif", "may.tif", "may.tif"]
    again = json.loads(refresh("--replace", may).stdout.splitlines()[0])
    assert [again[name] for name in ("added", "replaced", "dropped", "kept")] == [0, 0, 0, 2]
    assert "--upload needs SOURCE, --add or --replace" in complaint(refresh("--drop", "may.tif"))
    added = json.loads(refresh("--add", scenes / "april.tif").stdout.splitlines()[0])
    assert added["added"] == 0


def test_one_raster_is_uploaded_and_known_again(bakery: Bakery, bucket: str, scenes: Path) -> None:
    sent = send(scenes / "may.tif")
    assert (sent.exit_code, "go unnoticed" in sent.stderr) == (0, False)
    bakery.work()
    layer = load_layer(bakery.stores.sources, "flight")
    assert (layer.scenes, names(bucket)) == (0, ["may.tif"])
    assert not said(send(scenes / "may.tif"))["fresh"]


def test_sidecars_go_with_their_scene(bakery: Bakery, bucket: str, scenes: Path) -> None:
    bands = "".join(f'<PAMRasterBand band="{each}"><NoDataValue>7</NoDataValue></PAMRasterBand>' for each in (1, 2, 3))
    (scenes / "may.tif.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    said(send(scenes))
    keys = sorted(uploaded(bucket), key=by_name)
    assert names(bucket) == ["april.tif", "may.tif", "may.tif.aux.xml"]
    assert keys[1].partition("/")[0] == keys[2].partition("/")[0]
    (job,) = bakes(bakery.stores.sources)
    listed = parse(bakery.stores.sources.get(f"jobs/bakes/{job}/scenes.json"), "scenes")
    assert [scene.reading.nodata for scene in listed.scenes] == [(), (7, 7, 7)]


def test_what_cannot_be_uploaded_is_refused_before_anything_is_sent(bakery: Bakery, bucket: str, scenes: Path) -> None:
    vrt = scenes / "both.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:4326</SRS>'
        "<GeoTransform>0,0.015625,0,41,0,-0.015625</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">may.tif'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    assert "cannot be uploaded: a VRT or tile index refers to files" in complaint(send(vrt))
    assert "a VRT or tile index" in complaint(send(vrt, words=()))
    assert "name the rasters themselves" in complaint(send(scenes / "may.tif", vrt))
    (scenes / "june.tif").write_bytes(b"II*\0 no raster")
    assert "june.tif" in complaint(send(scenes))
    assert names(bucket) == []
    assert bakes(bakery.stores.sources) == []


def test_a_scene_that_changes_while_it_is_sent_is_not_kept(
    bucket: str, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = upload_scenes.upload

    def changed(path: Path, to: Any, advance: Any) -> None:
        put(path, to, advance)
        if to.key.endswith("may.tif"):
            os.utime(scenes / "may.tif", (1, 1))

    monkeypatch.setattr(upload_scenes, "upload", changed)
    assert "may.tif" in complaint(send(scenes))
    assert names(bucket) == ["april.tif"]


def test_upload_needs_a_bucket_and_a_dry_run_sends_nothing(
    bucket: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seeder("ingest", scenes, "--layer", "flight", "--upload", "--seed", "0-2", "--dry-run").exit_code == 0
    assert names(bucket) == []
    monkeypatch.delenv("TILER_TILES")
    monkeypatch.delenv("TILER_SOURCES")
    line = complaint(seeder("ingest", scenes, "--layer", "flight", "--upload", "--data", tmp_path / "data"))
    assert "--upload copies files to a bucket" in line


def test_a_dry_run_refuses_what_workers_cannot_read_as_the_run_does(
    bakery: Bakery, bucket: str, scenes: Path, tmp_path: Path
) -> None:
    june = raster(tmp_path, "june", 3, west=0.7)
    for one in (scenes, scenes / "may.tif"):
        real, dry = complaint(send(one, words=())), complaint(send(one, words=("--dry-run",)))
        assert real == dry
        assert "which only this machine has: add --upload" in dry
    virtual = complaint(send(scenes / "may.tif", words=("--virtual", "--dry-run")))
    assert virtual == complaint(send(scenes / "may.tif", words=("--virtual",)))
    assert send(scenes, words=("--dry-run", "--upload")).exit_code == 0
    assert send(scenes).exit_code == 0
    bakery.work()
    words = ("refresh", "flight", "--add", june, "--queue", "sqs", "--jobs", "1", "--yes")
    real, dry = seeder(*words), seeder(*words, "--dry-run")
    assert (real.exit_code, real.stderr) == (dry.exit_code, dry.stderr)
    assert "which only this machine has: add --upload" in dry.stderr
    assert "leave --no-wait out" in seeder(*words, "--dry-run", "--no-wait").stderr
    assert names(bucket) == ["april.tif", "may.tif"]


def test_a_dry_run_names_the_revision_only_once_its_scenes_are_uploaded(
    bakery: Bakery, bucket: str, scenes: Path
) -> None:
    first = ("--upload", "--json", "--dry-run")
    assert bucket
    assert said(send(scenes, words=first))["revision"] is None
    assert "would be ingested: zooms" in send(scenes, words=first[::2]).stdout
    done = said(send(scenes))["revision"]
    assert said(send(scenes, words=first))["revision"] == done
    bakery.work()
    may = raster(scenes, "may", 9, west=0.5)
    told = refresh("--replace", may, "--dry-run").stdout.splitlines()
    change = next(each for each in map(json.loads, told) if "previous" in each)
    assert change == {"layer": "flight", "revision": None, "previous": done}
    sent = json.loads(refresh("--replace", may).stdout.splitlines()[-1])
    told = refresh("--replace", may, "--dry-run").stdout.splitlines()
    change = next(each for each in map(json.loads, told) if "previous" in each)
    assert change["revision"] == sent["revision"] != done


@pytest.mark.usefixtures("bucket")
def test_old_revisions_go_with_the_scenes_that_nothing_else_uses(
    bakery: Bakery, bucket: str, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (2, 3, 4):
        raster(scenes, "may", seed, west=0.5)
        assert send(scenes).exit_code == 0
        bakery.work()
    orphan = f"{PREFIX}c0/june.tif"
    bakery.stores.sources.put(orphan, b"x", content_type="image/tiff")
    raster(scenes, "may", 5, west=0.5)
    send(scenes)  # an unfinished bake
    everything = uploaded(bucket)
    assert len({key for key in everything if not key.endswith(upload_scenes.USED)}) == 6
    kept = seeder("remove", "flight", "--old-revisions", "--yes", "--json")
    assert kept.exit_code == 0, kept.output
    assert uploaded(bucket) == everything  # too young
    aged(monkeypatch)
    first = said(seeder("remove", "flight", "--old-revisions", "--dry-run", "--json"))
    assert first["scenes"]["objects"] == 2
    said(seeder("remove", "flight", "--old-revisions", "--yes", "--json"))
    gone = everything.keys() - uploaded(bucket).keys()
    assert sorted(key.rpartition("/")[2] for key in gone) == ["june.tif", "may.tif"]
    bakery.work()
    newest = max(bakes(bakery.stores.sources), key=begun)
    assert json.loads(seeder("status", newest, "--json").stdout)["state"] in ("renewing", "done")
    assert seeder("remove", "flight", "--yes", "--no-wait").exit_code == 0
    assert uploaded(bucket) == {}
    assert bakes(bakery.stores.sources) == []


@pytest.mark.usefixtures("bucket")
def test_one_uploaded_raster_stays_while_a_job_may_need_it_and_no_later_command_misses_a_baked_one(
    bakery: Bakery, bucket: str, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = scenes / "may.tif"
    for seed in (2, 3, 4):
        raster(scenes, "may", seed, west=0.5)
        said(send(may))
        bakery.work()
    raster(scenes, "may", 5, west=0.5)
    assert seeder("cancel", said(send(may))["job"]).exit_code == 0
    newest = max(uploaded(bucket).items(), key=lambda pair: pair[1])[0]
    aged(monkeypatch)
    said(seeder("remove", "flight", "--old-revisions", "--yes", "--json"))
    assert newest in uploaded(bucket)
    assert len(uploaded(bucket)) < 4  # a baked raster is not read again
    back = seeder("rollback", "flight", "--yes")
    assert back.exit_code == 0, back.stderr
    raster(scenes, "may", 3, west=0.5)
    assert not said(send(may))["fresh"]  # uploaded anew, and known
    bakery.work()
    raster(scenes, "may", 5, west=0.5)
    job = said(send(may))["job"]
    bakery.work()
    assert said(seeder("status", job, "--json"))["state"] in ("renewing", "done")  # published


@pytest.mark.usefixtures("bakery")
def test_an_upload_that_is_used_again_is_not_removed_before_its_bake_has_begun(
    bucket: str, scenes: Path, tmp_path: Path
) -> None:
    stores = Stores.open(Settings.from_env(os.environ), create=True)
    uploads = upload_scenes.Uploads("flight", stores.sources, Staging(str(tmp_path)))
    listed = [Listed("may.tif", str(scenes / "may.tif"))]
    (first,) = uploads(listed, Options(), Report())
    sent = datetime.now(UTC)
    assert list(unused_uploads("flight", stores.sources, [], (), sent + timedelta(minutes=1)))
    time.sleep(1.1)  # S3 tells whole seconds
    assert uploads(listed, Options(), Report()) == (first,)
    assert names(bucket) == [".used", "may.tif"]
    (used,) = (entry.modified for entry in stores.sources.list(PREFIX) if entry.key.endswith(".used"))
    assert list(unused_uploads("flight", stores.sources, [], (), used)) == []


def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be older than the longest bake."""
    monkeypatch.setattr(timing, "BAKE_SECONDS", -60.0)
