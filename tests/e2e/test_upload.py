"""A broken upload to a real S3 server goes on with the missing parts, and gives the same object."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.proxy import PASSED, Fault, Proxy
from tests.e2e.s3 import S3
from tests.support.effort import LONG
from tiler import settings
from tiler.errors import StoreError
from tiler.storage import upload as uploads
from tiler.storage.upload import Destination, Line, upload
from tiler.storage.upload_parts import MIB, PartPlan, record_of

pytestmark = pytest.mark.skipif(not LONG, reason="scripts/full runs it")
SIZE = 17 * MIB + 1
PART = 5 * MIB  # the least of S3
KEY = "sources/relief/parts/a1-b2.tif"


@pytest.mark.parametrize("kind", ["denied", "drop", "cut", "lose"])
def test_an_upload_goes_on(kind: str, s3: S3, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(uploads, "LINE", Line(least_part=PART, at_once=1, tries=1))
    path, content, bucket = tmp_path / "index.tif", os.urandom(SIZE), s3.private_bucket()
    path.write_bytes(content)
    to = Destination(f"s3://{bucket}/a b", KEY, "image/tiff", settings.S3(proxy.url, s3.env["AWS_REGION"]))
    proxy.add(Fault(kind, "PUT", "partNumber=3"))  # type: ignore[arg-type] - one of its kinds
    with pytest.raises(StoreError):
        upload(path, to)
    proxy.clear()
    proxy.requests.clear()
    upload(path, to)
    count = PartPlan.of(SIZE, PART).count
    stored = 3 if kind == "lose" else 2
    assert proxy.requests["PUT", PASSED] == count - stored
    found = s3.client().get_object(Bucket=bucket, Key=f"a b/{KEY}")
    assert (found["Body"].read(), found["ContentType"]) == (content, "image/tiff")
    assert not record_of(path).exists()
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket=bucket)


def test_an_upload_whose_last_answer_was_lost_is_done(
    s3: S3, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(uploads, "LINE", Line(least_part=PART, tries=1))
    path, bucket = tmp_path / "index.tif", s3.private_bucket()
    path.write_bytes(os.urandom(SIZE))
    to = Destination(f"s3://{bucket}", KEY, "image/tiff", settings.S3(proxy.url, s3.env["AWS_REGION"]))
    proxy.add(Fault("lose", "POST", "uploadId="))
    with pytest.raises(StoreError):
        upload(path, to)
    proxy.clear()
    proxy.requests.clear()
    upload(path, to)
    assert proxy.requests["PUT", PASSED] == 0
    assert s3.client().get_object(Bucket=bucket, Key=KEY)["Body"].read() == path.read_bytes()
