"""Rasters in S3: read with boto3's credentials, refused with the cure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import numpy as np
import pytest
from rasterio._env import del_gdal_config

from tests.support.baked import bytes_of_parts, hashes_of_parts
from tests.support.credentials import Profiles
from tests.support.layers import silent
from tests.support.oracle import alone, tiles_of
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.recorded_s3 import RecordedS3, keys, recorded
from tests.support.site import memory
from tiler.errors import BadOption, BadSource, SourceReadError, StoreError
from tiler.grid import tile_ranges
from tiler.ingest.baker import Baker, Below
from tiler.ingest.chunks import chunks_of
from tiler.ingest.ingest import Ingested, ingest
from tiler.ingest.survey import survey
from tiler.layers.catalog import load_layer
from tiler.layers.publication import publish
from tiler.layers.pyramid import SIDE, Place
from tiler.raster import datasets, s3_reads
from tiler.raster.datasets import OpenOptions, opened
from tiler.raster.options import Options
from tiler.storage import access
from tiler.storage.store import Stores

VRT = """<VRTDataset rasterXSize="600" rasterYSize="500"><SRS>EPSG:4326</SRS>
<GeoTransform>5, 0.006666666666666667, 0, 48, 0, -0.006</GeoTransform><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>
</VRTRasterBand></VRTDataset>"""


TWICE = """
import sys
from tiler.errors import StoreError
from tiler.raster import datasets

def read():
    with datasets.translated(sys.argv[1]):
        return datasets.opened(sys.argv[1], open_options=datasets.OpenOptions(trusted=True)).read()

try:
    read()
except StoreError as error:
    print(f"{error!r}", flush=True)
sys.stdin.readline()
sys.stdout.buffer.write(read().tobytes())
"""


def beside(*members: str) -> str:
    """A VRT of rasters of 600 x 500 pixels, each doubled: GDAL reads fewer than a million in one thread."""
    sources = (
        f'<SimpleSource><SourceFilename relativeToVRT="0">{name}</SourceFilename><SourceBand>1</SourceBand>'
        '<SourceProperties RasterXSize="600" RasterYSize="500" DataType="Byte" BlockXSize="256" BlockYSize="256"/>'
        '<SrcRect xOff="0" yOff="0" xSize="600" ySize="500"/>'
        f'<DstRect xOff="{1200 * at}" yOff="0" xSize="1200" ySize="1000"/></SimpleSource>'
        for at, name in enumerate(members)
    )
    return (
        f'<VRTDataset rasterXSize="{1200 * len(members)}" rasterYSize="1000"><SRS>EPSG:4326</SRS>'
        "<GeoTransform>5, 0.0033, 0, 48, 0, -0.003</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{"".join(sources)}</VRTRasterBand></VRTDataset>'
    )


@dataclass
class Bucket:
    """A bucket with the raster `maps/relief.tif`."""

    name: str
    client: Any
    server: RecordedS3
    file: Path
    profiles: Profiles
    source: str = field(init=False)

    def __post_init__(self) -> None:
        self.source = f"s3://{self.name}/maps/relief.tif"

    def issue(self, **settings: Any) -> None:
        """A profile with keys, and the recorder as its server."""
        self.profiles.issue_keys(settings=f"endpoint_url = {self.server.url}", **settings)

    def renew(self, key: str) -> None:
        """Other keys from now on."""
        access.session.cache_clear()
        self.issue(minutes=60, key=key)

    def ingest(self, source: str = "", **options: Any) -> tuple[Ingested, Stores]:
        """Ingest a source, by default the raster; the result, and the stores."""
        stores = Stores(memory(), memory(), "")
        source = source or self.source
        done = ingest(source, "relief", Options(**options), stores, jobs=1, progress=silent)
        return done, stores

    def refused(self, source: str = "", **options: Any) -> str:
        """The message of a refused ingest."""
        with pytest.raises(BadSource) as caught:
            self.ingest(source, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture(scope="module")
def server() -> Iterator[RecordedS3]:
    with recorded() as server:
        yield server


@pytest.fixture(scope="module")
def stored(server: RecordedS3, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path]:
    """A bucket with the raster, its owner's client, and the raster on disk."""
    owner = {"aws_access_key_id": "owner", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.Session().client("s3", endpoint_url=server.direct, **owner)
    name = f"maps-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    file = write_raster(tmp_path_factory.mktemp("maps") / "relief.tif", Recipe(values=scene(500, 600, 1)))
    client.put_object(Bucket=name, Key="maps/relief.tif", Body=file.read_bytes(), ACL="public-read")
    return name, client, file


@pytest.fixture
def bucket(
    server: RecordedS3, stored: tuple[str, Any, Path], profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> Bucket:
    monkeypatch.setitem(datasets.NETWORK, "GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setattr(s3_reads, "TRIES", 1)
    server.refuse(None)
    server.home("")
    server.seen()
    datasets.forget()
    name, client, file = stored
    made = Bucket(name, client, server, file, profiles)
    made.issue(minutes=60, key="MAPS")
    return made


def test_a_raster_in_s3_is_baked_as_one_on_disk(bucket: Bucket) -> None:
    """With nothing but a profile: keys from a process, and its server."""
    done, far = bucket.ingest()
    local, near = bucket.ingest(str(bucket.file))
    assert hashes_of_parts(done.layer, far) == hashes_of_parts(local.layer, near) != {}
    assert sorted(bytes_of_parts(done.layer, far).values()) == sorted(bytes_of_parts(local.layer, near).values())
    seen = bucket.server.seen()
    assert keys(seen) == {"MAPS"}
    assert not any("x-amz-request-payer" in each for each in seen)


def test_no_key_is_written_into_the_metadata(bucket: Bucket) -> None:
    done, stores = bucket.ingest(virtual=True)
    stored = b"".join(store.get(each.key) for store in (stores.sources, stores.tiles) for each in store.list(""))
    assert b"MAPS" not in stored
    assert done.layer.source == bucket.source
    assert not re.search(b"anonymous|requester_pays", stored)  # which earlier versions do not know


@pytest.mark.parametrize("option", ["anonymous", "requester_pays"])
def test_earlier_versions_read_the_metadata_of_a_baked_layer(option: str, bucket: Bucket) -> None:
    """They do not know the option, and would take the metadata for damaged."""
    _, stores = bucket.ingest(**{option: True})
    stored = b"".join(stores.sources.get(each.key) for each in stores.sources.list("") if each.key.endswith(".json"))
    assert b'"asked"' in stored
    assert option.encode() not in stored


@pytest.mark.parametrize(("virtual", "paid", "version"), [(True, True, 2), (True, False, 1), (False, True, 4)])
def test_only_metadata_that_earlier_versions_cannot_read_has_a_later_version(
    virtual: bool, paid: bool, version: int, bucket: Bucket
) -> None:
    _, stores = bucket.ingest(virtual=virtual, requester_pays=paid)
    assert json.loads(stores.sources.get("sources/relief/index.json"))["version"] == version
    assert load_layer(stores.sources, "relief").asked.requester_pays == (virtual and paid)
    behind = replace(stores, readers=1)
    if version == 1:
        publish(load_layer(stores.sources, "relief"), behind)
        return
    with pytest.raises(BadOption, match="npm run deploy"):
        publish(load_layer(stores.sources, "relief"), behind)


def test_every_request_offers_to_pay_where_the_requester_pays(bucket: Bucket) -> None:
    """GDAL's requests and boto3's, those of a virtual layer's tiles too."""
    done, stores = bucket.ingest(virtual=True, requester_pays=True)
    seen = bucket.server.seen()
    layer = load_layer(stores.sources, "relief")
    datasets.forget()
    assert alone(layer, stores, tiles_of(layer, layer.maxzoom)[0])
    later = bucket.server.seen()
    assert seen
    assert later
    assert {each.get("x-amz-request-payer") for each in seen + later} == {"requester"}
    assert done.layer.revision == bucket.ingest(virtual=True)[0].layer.revision


def test_a_bucket_in_another_region_than_the_profile_s_is_found(bucket: Bucket) -> None:
    other = f"{bucket.name}-far"  # GDAL keeps what it learned of a bucket
    bucket.client.create_bucket(Bucket=other)
    bucket.client.put_object(Bucket=other, Key="relief.tif", Body=bucket.file.read_bytes())
    bucket.server.home("eu-west-3")
    bucket.ingest(f"s3://{other}/relief.tif", virtual=True)
    assert "/eu-west-3/s3/" in bucket.server.seen()[-1]["authorization"]


def test_anonymous_requests_are_not_signed_and_need_no_credentials(bucket: Bucket) -> None:
    bucket.profiles.write(f"endpoint_url = {bucket.server.url}")
    assert "no AWS credentials" in (message := bucket.refused())
    assert "--anonymous" in message
    assert not bucket.server.seen()
    bucket.ingest(virtual=True, anonymous=True)
    assert keys(bucket.server.seen()) == {""}


def test_anonymous_requests_need_no_profile(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.server.url)
    access.session.cache_clear()
    assert "absent" in bucket.refused()
    bucket.ingest(virtual=True, anonymous=True)
    assert keys(bucket.server.seen()) == {""}


def test_the_variables_of_gdal_keep_their_meaning(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REQUEST_PAYER", "AWS_NO_SIGN_REQUEST", "AWS_S3_ENDPOINT"):  # of earlier tests
        del_gdal_config(name)
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    monkeypatch.setattr(s3_reads, "environment", cache(s3_reads.environment.__wrapped__))
    bucket.ingest(virtual=True)
    seen = bucket.server.seen()
    assert [each for each in seen if each.get("x-amz-request-payer") != "requester"] == []
    assert seen


def test_a_raster_is_opened_again_with_renewed_keys_only(bucket: Bucket) -> None:
    first = opened(bucket.source)
    assert opened(bucket.source) is first
    bucket.renew("NEXT")
    bucket.server.seen()
    again = opened(bucket.source)
    assert again is not first
    assert np.array_equal(again.read(), first.read())
    assert "NEXT" in keys(bucket.server.seen())


def test_a_long_bake_reads_on_with_renewed_keys(bucket: Bucket, tmp_path: Path) -> None:
    surveyed = survey(bucket.source, Options())
    baker = Baker(surveyed, 0, tmp_path, None, Below("layer", memory(), {}, {}))
    (range_,) = tile_ranges(surveyed.bounds, surveyed.base)
    place = Place(0, range_.x0 // SIDE, range_.y0 // SIDE)
    task = next(chunks_of(place, surveyed.base, [(range_.x0, range_.y0, range_.x1, range_.y1)]))
    baked = baker.bake_chunk(task)
    bucket.renew("NEXT")
    bucket.server.seen()
    datasets.forget()  # GDAL keeps the bytes of an open raster; the baker keeps none open
    assert len(baker.bake_chunk(task).blocks) == len(baked.blocks) > 0
    assert keys(bucket.server.seen()) == {"NEXT"}


def test_a_vrt_has_members_in_s3(bucket: Bucket, tmp_path: Path) -> None:
    layer, stores = (plain := bucket.ingest(str(bucket.file), virtual=True))[0].layer, plain[1]
    tile = tiles_of(layer, layer.maxzoom)[0]
    truth = alone(layer, stores, tile)
    vrt = tmp_path / "all.vrt"
    vrt.write_text(VRT.format(name=f"/vsis3/{bucket.name}/maps/relief.tif"))
    there = f"s3://{bucket.name}/maps/all.vrt"
    bucket.client.put_object(Bucket=bucket.name, Key="maps/all.vrt", Body=vrt.read_bytes())
    for source in (str(vrt), there):
        assert "--trust-source" in bucket.refused(source)
        done, stores = bucket.ingest(source, virtual=True, trust_source=True)
        assert alone(done.layer, stores, tile) == truth
    vrt.write_text(VRT.format(name=f"/vsis3/{bucket.name}/gone.tif"))
    assert re.search(r"refers to /vsis3/.*/gone.tif: .*no object gone.tif", bucket.refused(str(vrt), trust_source=True))
    vrt.write_text(VRT.format(name=bucket.source))
    assert f"write /vsis3/{bucket.name}/maps/relief.tif" in bucket.refused(str(vrt), trust_source=True)


def test_a_member_that_gdal_does_not_recognize_may_have_met_a_failing_network(bucket: Bucket) -> None:
    """An unknown raster is final; GDAL tells no more of a member that it could not read. The next try is good.

    In a process of its own: GDAL keeps what it knows of an object beyond a read, and here one is replaced at once.
    """
    there, member, unknown = (f"/vsis3/{bucket.name}/maps/{name}" for name in ("all.vrt", "member.tif", "unknown.tif"))
    bucket.client.put_object(Bucket=bucket.name, Key="maps/all.vrt", Body=VRT.format(name=member).encode())
    bucket.client.put_object(Bucket=bucket.name, Key="maps/unknown.tif", Body=b"no raster")
    with pytest.raises(SourceReadError, match="not recognized"):
        opened(unknown)
    bucket.client.put_object(Bucket=bucket.name, Key="maps/member.tif", Body=b"the answer was cut off")
    words = [sys.executable, "-c", TWICE, there]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        told = process.stdout.readline().decode()
        assert re.search(r"StoreError.*member\.tif' not recognized", told), told
        bucket.client.put_object(Bucket=bucket.name, Key="maps/member.tif", Body=bucket.file.read_bytes())
        pixels, _ = process.communicate(b"\n")
    assert pixels == opened(str(bucket.file)).read().tobytes()


def test_a_vrt_of_several_members_is_read_in_any_thread(bucket: Bucket, tmp_path: Path) -> None:
    """GDAL's own threads would lack the credentials, and leave zeros. A failed member fails the read."""
    bucket.client.put_object(Bucket=bucket.name, Key="maps/copy.tif", Body=bucket.file.read_bytes())
    vrt = tmp_path / "all.vrt"
    vrt.write_text(beside(*(f"/vsis3/{bucket.name}/maps/{name}.tif" for name in ("relief", "copy"))))
    trust = OpenOptions(trusted=True)

    def read() -> Any:
        with datasets.translated(str(vrt)):
            return opened(str(vrt), open_options=trust).read()

    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(read).result()
        truth = opened(str(bucket.file)).read().repeat(2, axis=1).repeat(2, axis=2)
        assert np.array_equal(there, np.concatenate([truth, truth], axis=2))
        pool.submit(datasets.forget).result()
    vrt.write_text(beside(str(bucket.file), str(tmp_path / "gone.tif")))
    with pytest.raises(SourceReadError, match=r"gone\.tif"):
        read()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s3://{0}/gone.tif", "bucket {0} has no object gone.tif"),
        ("s3://gone-{0}/gone.tif", "there is no bucket gone-{0}"),
        ("s3://{0}", "name an object"),
        ("/vsis3/{0}/gone.tif", "bucket {0} has no object gone.tif"),
        ("s3://a b/c.tif", "'a b' is not the name of a bucket"),
    ],
)
def test_a_missing_source_is_named(source: str, reason: str, bucket: Bucket) -> None:
    assert reason.format(bucket.name) in bucket.refused(source.format(bucket.name))


ANSWERS = {
    "AccessDenied": (403, "", "--requester-pays"),
    "ExpiredToken": (400, "", "have expired: run `aws sso login`"),
    "InvalidAccessKeyId": (403, "", "S3 rejects the AWS credentials"),
    "InvalidObjectState": (403, "", "restore it first"),
    "IllegalLocationConstraintException": (400, "<Region>eu-west-3</Region>", "set AWS_REGION to eu-west-3"),
}


@pytest.mark.parametrize("code", ANSWERS)
def test_a_refusal_of_s3_is_one_line_with_the_cure(code: str, bucket: Bucket) -> None:
    status, more, cure = ANSWERS[code]
    bucket.server.refuse((status, code, more))
    assert cure in bucket.refused()
    assert {each.get("range") for each in bucket.server.seen()} == {"bytes=0-0"}  # none of GDAL


def test_a_busy_server_is_neither_a_bad_source_nor_a_missing_raster(bucket: Bucket) -> None:
    """GDAL's answer to a failed request must not pass for a permanent one."""
    done, stores = bucket.ingest(virtual=True)
    tile = tiles_of(done.layer, done.layer.maxzoom)[0]
    truth = alone(done.layer, stores, tile)
    datasets.forget()
    bucket.server.refuse((503, "SlowDown", ""))
    with pytest.raises(StoreError):
        bucket.ingest()
    with pytest.raises(StoreError):
        alone(done.layer, stores, tile)
    bucket.server.refuse(None)
    assert alone(done.layer, stores, tile) == truth
    datasets.forget()
    bucket.server.refuse((404, "NoSuchKey", ""))
    with pytest.raises(SourceReadError):
        alone(done.layer, stores, tile)


def test_anonymous_requests_cannot_pay(bucket: Bucket) -> None:
    with pytest.raises(BadOption, match="--requester-pays"):
        bucket.ingest(anonymous=True, requester_pays=True)
