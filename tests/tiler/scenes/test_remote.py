"""Scenes in S3 and on the web: their versions decide, their faults are named with the cure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest

from tests.support.credentials import Profiles
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.recorded_s3 import RecordedS3, recorded
from tests.support.scenes import silent
from tests.support.wanderer import Wanderer, wandering
from tiler.errors import BadScenes, BadSource, StoreError, shown
from tiler.raster import datasets, s3_reads
from tiler.raster.options import Options
from tiler.scenes import remote
from tiler.scenes.fingerprint import fingerprint
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed


@pytest.fixture(scope="module")
def server() -> Iterator[RecordedS3]:
    with recorded() as server:
        yield server


@pytest.fixture
def put(server: RecordedS3, profiles: Profiles, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a file into a bucket and returns its address."""
    monkeypatch.setitem(datasets.NETWORK, "GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setattr(s3_reads, "TRIES", 1)
    owner = {"aws_access_key_id": "owner", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.Session().client("s3", endpoint_url=server.direct, **owner)
    bucket = f"maps-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    profiles.issue_keys(settings=f"endpoint_url = {server.url}", minutes=60, key="MAPS")

    def put(path: Path) -> str:
        client.put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes(), ACL="public-read")
        return f"s3://{bucket}/{path.name}"

    return put


def mark(path: str, **options: Any) -> str:
    return fingerprint(Listed(path, path), Options(**options))


def test_the_version_of_an_object_decides(put: Any, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", Recipe(values=scene(30, 30)))
    address = put(path)
    before = mark(address)
    assert before == mark(address) == mark(address.replace("s3://", "/vsis3/")) == mark(address, anonymous=True)
    put(write_raster(path, Recipe(values=scene(30, 30, seed=8))))
    assert mark(address) != before


def test_scenes_in_s3_are_read_and_missing_ones_named_with_the_cure(put: Any, tmp_path: Path) -> None:
    address = put(write_raster(tmp_path / "a.tif", Recipe(values=scene(30, 40))))
    missing = [address.replace("a.tif", name) for name in ("b.tif", "c.tif")]
    (found,) = read_scenes([Listed(address, address)], Options(), jobs=1, progress=silent)
    assert found.size == (40, 30)
    with pytest.raises(BadScenes) as caught:
        read_scenes([Listed(each, each) for each in (*missing, address)], Options(), jobs=1, progress=silent)
    assert [each for each, _ in caught.value.scenes] == missing
    assert "has no object b.tif: list them with `aws s3 ls" in str(caught.value)
    again = read_scenes([Listed(address, address)], Options(), jobs=1, progress=silent, known={address: found})
    assert again == (found,)


def answering(**headers: str) -> Any:
    answer = SimpleNamespace(status=206, headers=headers, close=lambda: None)
    return lambda: SimpleNamespace(request=lambda *_, **__: answer)


@pytest.mark.parametrize("name", ["ETag", "Last-Modified", "Content-Range", "Content-Length"])
def test_each_header_of_a_version_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = set()
    for value in ("bytes 0-0/1", "bytes 0-0/2"):
        monkeypatch.setattr(remote, "_pool", answering(**{name: value}))
        versions.add(remote.version_of("https://a.test/b.tif", Options()))
    assert len(versions) == 2


@pytest.fixture
def web() -> Iterator[Wanderer]:
    with wandering() as server:
        yield server


def test_a_private_address_is_refused_to_scenes_of_a_remote_list_only(web: Wanderer) -> None:
    """Also after a redirect; what the user typed may be in a private network."""
    url = web.set("/a.tif", web.set("/b.tif", b"pixels"))
    assert mark(url) == mark(url.replace("a.tif", "b.tif"))
    web.requests.clear()
    with pytest.raises(BadSource, match=r"leads to 127\.0\.0\.1, an address of a private network"):
        fingerprint(Listed(url, url, strange=True), Options())
    assert web.requests == []


def test_a_scene_of_a_remote_list_has_the_same_version_as_if_typed(
    web: Wanderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = web.set("/a.tif", b"pixels")
    monkeypatch.setattr(remote, "public", lambda _address: True)
    assert fingerprint(Listed(url, url, strange=True), Options()) == mark(url)
    for status, error in ((404, BadSource), (429, StoreError), (503, StoreError)):
        for strange in (False, True):
            path = web.set("/b.tif", status) + "?sig=SECRET"
            with pytest.raises(error, match=f"HTTP status {status}") as caught:
                fingerprint(Listed(shown(path), path, strange=strange), Options())
            assert "SECRET" not in str(caught.value)


def test_a_refused_object_is_named(put: Any) -> None:
    with pytest.raises(BadSource, match="there is no bucket"):
        mark("s3://no-such-bucket-here/a.tif")
    assert put
