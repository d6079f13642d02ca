"""Prefixes, patterns and lists in S3 as scenes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.support.aws import new_bucket
from tests.support.moto_server import serving
from tests.support.sources import collection, item, paths, refusal
from tiler.errors import BadSource, SourceReadError
from tiler.raster.datasets import opened
from tiler.scenes import s3_listing
from tiler.scenes.expand import expand
from tiler.scenes.scene import Listed

KEYS = ("f/a.tif", "f/b.TIF", "f/c.jp2", "f/.d.tif", "f/g/e.tif", "f/notes.txt", "f/a.tif.ovr", "f/x.dat", "fa.tif")


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def bucket(running: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with KEYS, and an empty object."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", running)
    name = new_bucket()
    for key in KEYS:
        put(name, key, b"x")
    put(name, "f/empty.tif", b"")
    return name


def put(bucket: str, key: str, data: bytes | dict[str, Any]) -> str:
    """An object; its address."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}"


def below(bucket: str, source: str, **options: Any) -> list[str]:
    """The keys of the scenes of a source in the bucket."""
    return [each.removeprefix(f"s3://{bucket}/") for each in paths(f"s3://{bucket}/{source}", **options)]


def test_a_prefix_gives_the_rasters_below_it(bucket: str) -> None:
    found = ["f/a.tif", "f/b.TIF", "f/c.jp2", "f/g/e.tif"]
    assert below(bucket, "f/") == found
    assert below(bucket, "f/g/") == ["f/g/e.tif"]
    assert below(bucket, "") == [*found, "fa.tif"]
    assert paths(f"s3://{bucket}") == paths(f"s3://{bucket}/")
    assert below(bucket, "f/", requester_pays=True) == below(bucket, "f/", anonymous=True) == found


def test_a_pattern_gives_what_a_folder_would_give(bucket: str) -> None:
    assert below(bucket, "f/*.tif") == ["f/a.tif"]
    assert below(bucket, "f/*") == ["f/a.tif", "f/b.TIF", "f/c.jp2"]
    assert below(bucket, "*/**/*.tif") == ["f/a.tif", "f/g/e.tif"]
    assert below(bucket, "*.tif") == ["fa.tif"]
    assert below(bucket, "f/?.dat") == ["f/x.dat"]


def test_a_listing_has_pages(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = below(bucket, "")
    monkeypatch.setattr(s3_listing, "PAGE", 2)
    assert below(bucket, "") == whole


def test_a_number_sign_in_a_key_is_kept(bucket: str) -> None:
    address = put(bucket, "g/a #1?.tif", b"x")
    assert expand([f"s3://{bucket}/g/"]) == (Listed(address, f"/vsis3/{bucket}/g/a #1?.tif"),)
    with pytest.raises(SourceReadError, match="not recognized"):  # the object is found, and is no raster
        opened(expand([f"s3://{bucket}/g/"])[0].path)


def test_an_object_stays_as_it_is(bucket: str) -> None:
    address = f"s3://{bucket}/no.tif"
    assert expand([address]) == (Listed(address, address),)


def test_items_in_s3_name_what_is_beside_them(bucket: str) -> None:
    url = put(bucket, "stac/items.json", collection(item(data="../f/a.tif"), item(data="s3://other/b.tif")))
    date = "2026-05-01T10:00:00Z"
    a, b = f"s3://{bucket}/f/a.tif", "s3://other/b.tif"
    assert expand([url]) == (Listed(a, a, date), Listed(b, b, date))


@pytest.mark.parametrize(
    "name", ["file:///etc/passwd", "https://10.0.0.1/a.tif", "/vsis3/x/a.tif", "https://[::1]/a.tif"]
)
def test_a_list_in_s3_names_no_file_here_and_no_private_host(bucket: str, name: str) -> None:
    url = put(bucket, "items.json", item(data={"href": name, "type": "image/tiff"}))
    message = refusal(url, trusted=True)
    assert "it refers to" in message or "leads to" in message


def test_mistakes_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no raster has this prefix: list it with `aws s3 ls" in refusal(f"s3://{bucket}/none/")
    assert "no raster matches this pattern: list the objects" in refusal(f"s3://{bucket}/f/*.png")
    assert "there is no bucket no-such-bucket-1: check its name" in refusal("s3://no-such-bucket-1/f/")
    assert "bucket" in refusal("s3://")
    assert "is not the name of a bucket" in refusal("s3://b*/f/")
    assert "has no object no.json: list them" in refusal(f"s3://{bucket}/no.json")
    monkeypatch.setattr(s3_listing, "LARGEST", 10)
    with pytest.raises(BadSource, match="larger than"):
        expand([put(bucket, "large.json", item(data="a.tif"))])
