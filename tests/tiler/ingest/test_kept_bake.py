"""An ingest into a bucket whose upload fails keeps its COG, and the same call goes on with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from seeder.operations.ingest import ingest as operation
from tests.e2e.proxy import Fault, Proxy
from tests.e2e.wire import eventually
from tests.support.commands import seeder
from tests.support.layers import silent
from tests.support.paths import ROOT
from tests.support.rasters import MakeRaster, scene
from tests.support.reports import Recorded
from tiler.errors import BadOption, StoreError
from tiler.ingest import ingest as ingesting
from tiler.ingest.ingest import Ingested, ingest
from tiler.ingest.kept_bake import KEEP_SECONDS, PREFIX, kept_bake
from tiler.ingest.staging import Staging
from tiler.keys import index_key, source_key
from tiler.layers.catalog import load_layer
from tiler.raster.options import Options
from tiler.settings import S3
from tiler.storage import upload as uploads
from tiler.storage.store import Stores, open_store
from tiler.storage.upload import Line

PART = 1 << 15


@dataclass
class Bucket:
    """A bucket behind a proxy, a scratch folder, and the bakes so far."""

    name: str
    proxy: Proxy
    scratch: Path
    notes: list[str]
    bakes: int = 0

    def stores(self, prefix: str = "") -> Stores:
        """Its stores."""
        s3 = S3(endpoint=self.proxy.url, region="us-east-1", patience=0.2)
        parts = (open_store(f"s3://{self.name}{prefix}/{part}", s3=s3) for part in ("tiles", "private"))
        return Stores(*parts, "http://tiles.test")

    def take(self, path: Path, prefix: str = "", **options: Any) -> Ingested:
        """Ingest a raster as `layer`."""
        staging = Staging(str(self.scratch), note=self.notes.append)
        stores = self.stores(prefix)
        return ingest(str(path), "layer", Options(**options), stores, jobs=1, progress=silent, staging=staging)

    def kept(self) -> list[Path]:
        """What the scratch folder holds."""
        return sorted(self.scratch.glob("*/*"))

    def pending(self) -> list[str]:
        """The ids of uploads under way."""
        answer = boto3.client("s3").list_multipart_uploads(Bucket=self.name)
        return [each["UploadId"] for each in answer.get("Uploads", ())]


@pytest.fixture
def bucket(s3_url: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setattr(uploads, "LINE", Line(least_part=PART, tries=1))
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    made, bake = Bucket(s3_url[5:], proxy, tmp_path / "scratch", []), ingesting.bake_cog

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.bakes += 1
        return bake(*args, **kwargs)

    monkeypatch.setattr(ingesting, "bake_cog", counted)
    return made


@pytest.fixture
def raster(make_raster: MakeRaster) -> Path:
    return make_raster(values=scene(120, 160))


PUTS = Fault("denied", method="PUT", key=r"partNumber=(3|5)\b")
COMPLETION = Fault("denied", method="POST", key=r"uploadId=")
METADATA = Fault("denied", method="PUT", key=r"index\.json")


@pytest.mark.parametrize("fault", [PUTS, COMPLETION, METADATA], ids=["parts", "completion", "metadata"])
def test_a_failed_upload_is_finished_without_another_bake_and_publishes_the_same_bytes(
    fault: Fault, bucket: Bucket, raster: Path
) -> None:
    undisturbed = bucket.take(raster, "/undisturbed").layer
    key = source_key("layer", undisturbed.revision)
    bucket.proxy.add(fault)
    for _ in range(2):
        with pytest.raises(StoreError):
            bucket.take(raster)
    assert bucket.bakes == 2
    assert "baked.json" in {path.name for path in bucket.kept()}
    assert all(str(bucket.scratch) in note for note in bucket.notes)
    assert len(bucket.notes) == 2
    bucket.proxy.clear()
    bucket.proxy.requests.clear()
    done = bucket.take(raster)
    assert bucket.bakes == 2
    assert done.fresh
    assert done.layer == undisturbed
    one, other = (bucket.stores(prefix).sources for prefix in ("", "/undisturbed"))
    assert one.get(key) == other.get(key)
    assert one.get(index_key("layer")) == other.get(index_key("layer"))
    assert list(bucket.scratch.iterdir()) == []
    assert bucket.pending() == []
    assert not bucket.take(raster).fresh
    assert bucket.bakes == 2


def test_what_another_gdal_baked_is_baked_again(bucket: Bucket, raster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = bucket.take(raster, "/undisturbed").layer
    bucket.proxy.add(PUTS)
    with monkeypatch.context() as patched:
        patched.setattr(ingesting, "versions", lambda: ("3.0.0", "1.4.4"))
        with pytest.raises(StoreError):
            bucket.take(raster)
    assert len(bucket.pending()) == 1
    bucket.proxy.clear()
    assert bucket.take(raster).layer == undisturbed
    assert bucket.bakes == 3
    assert list(bucket.scratch.iterdir()) == []
    assert bucket.pending() == []


def test_another_revision_takes_away_what_is_kept_and_its_upload(
    bucket: Bucket, raster: Path, make_raster: MakeRaster
) -> None:
    bucket.proxy.add(PUTS)
    with pytest.raises(StoreError):
        bucket.take(raster)
    assert len(bucket.pending()) == 1
    bucket.proxy.clear()
    bucket.take(make_raster(values=scene(130, 160), name="next.tif"))
    assert bucket.pending() == []
    assert list(bucket.scratch.iterdir()) == []
    assert bucket.bakes == 2


def test_what_nobody_used_for_a_month_is_removed(bucket: Bucket, raster: Path) -> None:
    old, young, foreign = f"{PREFIX}{0:012x}-old-{1:012x}", f"{PREFIX}{0:012x}-young-{1:012x}", f"{PREFIX}photos-2024"
    for name, age in ((old, KEEP_SECONDS + 9), (young, KEEP_SECONDS - 99), (foreign, KEEP_SECONDS + 9)):
        folder = bucket.scratch / name
        folder.mkdir(parents=True)
        (folder / "index.tif").touch()
        for path in (folder / "index.tif", folder):
            os.utime(path, (time.time() - age,) * 2)
    bucket.take(raster)
    assert {path.name for path in bucket.scratch.iterdir()} == {young, foreign}


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "facts"])
def test_a_damaged_cog_is_baked_again(damage: str, bucket: Bucket, raster: Path) -> None:
    bucket.proxy.add(PUTS)
    with pytest.raises(StoreError):
        bucket.take(raster)
    bucket.proxy.clear()
    (cog,) = bucket.scratch.glob("*/index.tif")
    if damage == "cut":
        os.truncate(cog, 100)
    elif damage == "changed":
        cog.write_bytes(bytes(cog.stat().st_size))
    elif damage == "gone":
        cog.unlink()
    else:
        (cog.parent / "baked.json").write_text("{")
    layer = bucket.take(raster).layer
    assert bucket.bakes == 2
    undisturbed = bucket.take(raster, "/undisturbed").layer
    one, other = (bucket.stores(prefix).sources for prefix in ("", "/undisturbed"))
    assert one.get(layer.source) == other.get(undisturbed.source)


def test_a_bake_that_fails_keeps_nothing(bucket: Bucket, raster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ingesting, "bake_cog", broken)
    with pytest.raises(KeyboardInterrupt):
        bucket.take(raster)
    assert list(bucket.scratch.iterdir()) == []
    assert bucket.notes == []


def test_two_processes_do_not_upload_the_same(bucket: Bucket, raster: Path) -> None:
    bucket.proxy.add(PUTS)
    with pytest.raises(StoreError):
        bucket.take(raster)
    (folder,) = bucket.scratch.iterdir()
    program = (
        f"import fcntl, os, time; fcntl.flock(os.open({str(folder)!r}, os.O_RDONLY), fcntl.LOCK_EX);"
        "print(flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(BadOption, match=f"another process uploads from {folder}"):
            bucket.take(raster)
        other.send_signal(signal.SIGKILL)
    bucket.proxy.clear()
    assert bucket.take(raster).fresh
    assert bucket.bakes == 1


def test_a_folder_of_somebody_else_is_not_trusted(bucket: Bucket, raster: Path) -> None:
    bucket.proxy.add(PUTS)
    with pytest.raises(StoreError):
        bucket.take(raster)
    (folder,) = bucket.scratch.iterdir()
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(elsewhere)
    with pytest.raises(BadOption, match="belongs to another user"):
        bucket.take(raster)


def test_a_folder_store_and_a_virtual_layer_keep_nothing(bucket: Bucket, raster: Path, stores: Stores) -> None:
    staging = Staging(str(bucket.scratch))
    layer = ingest(str(raster), "layer", Options(), stores, jobs=1, progress=silent, staging=staging).layer
    with kept_bake(layer, stores.sources, staging) as kept:
        assert kept is None
    virtual = replace(layer, asked=Options(virtual=True))
    with kept_bake(virtual, bucket.stores().sources, staging) as kept:
        assert kept is None
    assert list(bucket.scratch.iterdir()) == []


def test_an_upload_is_a_stage_in_bytes(bucket: Bucket, raster: Path) -> None:
    report, staging = Recorded(), Staging(str(bucket.scratch))
    bucket.proxy.add(PUTS)
    with pytest.raises(StoreError):
        operation(str(raster), "layer", Options(), bucket.stores(), report, jobs=1, staging=staging)
    (first,) = report.stages
    (cog,) = bucket.scratch.glob("*/index.tif")
    size = cog.stat().st_size
    assert (first.label, first.unit, first.total, first.begun) == ("upload layer", "byte", size, 0)
    bucket.proxy.clear()
    report = Recorded()
    operation(str(raster), "layer", Options(), bucket.stores(), report, jobs=1, staging=staging)
    (second,) = report.stages
    assert second.begun % PART == 0
    assert report.unfinished == []


def test_the_command_goes_on_with_an_upload(
    bucket: Bucket, raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.proxy.url)
    monkeypatch.setenv("TILER_TILES", f"s3://{bucket.name}/tiles")
    monkeypatch.setenv("TILER_SOURCES", f"s3://{bucket.name}/private")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    words = ("ingest", raster, "--layer", "layer", "--jobs", 1)
    bucket.proxy.add(PUTS)
    failed = seeder(*words)
    assert failed.exit_code == 1
    (folder,) = (tmp_path / "temporary").iterdir()
    assert f"kept the baked COG in {folder}: run the same command again to resume the upload" in failed.stderr
    assert "error: cannot write sources/layer/" in failed.stderr
    bucket.proxy.clear()
    done = seeder(*words)
    assert done.exit_code == 0, done.output
    assert bucket.bakes == 1
    assert load_layer(bucket.stores().sources, "layer").revision in done.stdout
    assert list((tmp_path / "temporary").iterdir()) == []
    eventually(lambda: bucket.pending() == [])


def test_ctrl_c_in_an_upload_ends_the_command_at_once_and_keeps_the_cog(
    bucket: Bucket, raster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.proxy.url)
    monkeypatch.setenv("TILER_TILES", f"s3://{bucket.name}/tiles")
    monkeypatch.setenv("TILER_SOURCES", f"s3://{bucket.name}/private")
    bucket.proxy.add(Fault("delay", "PUT", r"index\.tif", seconds=4))
    words = ("ingest", str(raster), "--layer", "layer", "--jobs", "1", "--scratch", str(bucket.scratch))
    command = [sys.executable, "-m", "seeder", *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: bucket.proxy.requests["PUT", "delay"] > 0, 60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert bucket.stores().sources.empty("sources/layer/")  # the request did not end
    (folder,) = bucket.scratch.iterdir()
    assert f"kept the baked COG in {folder}: run the same command again to resume the upload" in errors
    assert "interrupted: run the same command again to resume the upload" in errors
    bucket.proxy.clear()
    assert bucket.take(raster).fresh
    assert bucket.bakes == 0
