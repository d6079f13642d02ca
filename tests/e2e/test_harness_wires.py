"""The S3 server redirects as AWS does, and the proxy before it fails as it is told to."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.store import S3Store

from tests.e2e import s3 as s3_module
from tests.e2e.gateway import Gateway
from tests.e2e.handlers import Canned
from tests.e2e.proxy import PASSED, Fault, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.wire import eventually, free_port

# --- S3 and its websites


def test_a_stored_key_is_served_and_a_missing_one_redirected_to_the_api(
    s3: S3, http_client: urllib3.PoolManager
) -> None:
    with Gateway(Canned({"statusCode": 200, "body": "rendered"})) as gateway:
        bucket = s3.website_bucket(gateway.host)
        s3.client().put_object(Bucket=bucket, Key="relief/1/2/3.png", Body=b"tile", ContentType="image/png")
        get = s3.website(bucket, http_client)
        origin = {"Origin": "https://map.test"}
        hit = get("relief/1/2/3.png", headers=origin)
        miss = get("relief/1/2/4.png", headers=origin)
        assert (hit.status, hit.data, hit.headers["Content-Type"]) == (200, b"tile", "image/png")
        assert (miss.status, miss.headers["Location"]) == (307, f"{gateway.url}/relief/1/2/4.png")
        assert {answer.headers["Access-Control-Allow-Origin"] for answer in (hit, miss)} == {"*"}
        assert "Access-Control-Allow-Origin" not in get("relief/1/2/4.png").headers
        assert get("relief/1/2/4.png", method="HEAD").status == 307
        assert http_client.request("GET", miss.headers["Location"]).data == b"rendered"


def test_strangers_read_the_public_buckets_objects_and_list_nothing(s3: S3, http_client: urllib3.PoolManager) -> None:
    public, private = s3.website_bucket("127.0.0.1:9"), s3.private_bucket()
    for bucket in (public, private):
        s3.client().put_object(Bucket=bucket, Key="key", Body=b"value")
    status = {
        (name, path): http_client.request("GET", f"{s3.endpoint}/{bucket}{path}").status
        for name, bucket in (("public", public), ("private", private))
        for path in ("/key", "/missing", "?list-type=2")
    }
    assert status == {
        ("public", "/key"): 200,
        ("public", "/missing"): 403,
        ("public", "?list-type=2"): 403,
        ("private", "/key"): 403,
        ("private", "/missing"): 403,
        ("private", "?list-type=2"): 403,
    }


def test_a_server_without_its_packages_tells_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("bash", "mkdir"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(RuntimeError, match="apt-get install --no-install-recommends radosgw"),
        s3_module.running(tmp_path),
    ):
        pass


def test_a_server_that_cannot_start_tells_why_and_leaves_nothing(tmp_path: Path) -> None:
    with Gateway(Canned()) as gateway:
        taken = gateway.host.partition(":")[2]
        told = subprocess.run(
            [s3_module.SCRIPT, "start", tmp_path, taken, str(free_port())], capture_output=True, text=True, check=False
        )
    assert (told.returncode, told.stderr) == (1, f"s3server: port {taken} is taken\n")
    assert daemons(tmp_path) == set()


def test_stopping_a_server_ends_its_daemons_only(s3: S3, tmp_path: Path) -> None:
    subprocess.run([s3_module.SCRIPT, "start", tmp_path, str(free_port()), str(free_port())], check=True)
    assert daemons(tmp_path) == {"ceph-mon", "ceph-osd", "radosgw"}
    subprocess.run([s3_module.SCRIPT, "stop", tmp_path], check=True)
    assert daemons(tmp_path) == set()
    assert s3.client().list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_server_whose_daemon_dies_tells_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="osd died"), s3_module.running(tmp_path):
        kill_store(tmp_path)
    assert daemons(tmp_path) == set()


def kill_store(folder: Path) -> None:
    """Kill one daemon of three and wait for the script to notice."""
    os.kill(int((folder / "osd.pid").read_text()), signal.SIGKILL)
    eventually(lambda: daemons(folder) == set())


def daemons(folder: Path) -> set[str]:
    """The names of the programs whose command line names the configuration in `folder`."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            lines.append(path.read_bytes().split(b"\0"))
    return {os.fsdecode(line[0]) for line in lines if os.fsencode(folder / "ceph.conf") in line}


# --- faults on the wire


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with Proxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.private_bucket()


@pytest.fixture
def client(s3: S3, proxy: Proxy) -> Any:
    """A client that tries once."""
    return boto3.client(
        "s3",
        endpoint_url=proxy.url,
        aws_access_key_id=s3.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=s3.env["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=5),
    )


def store(s3: S3, proxy: Proxy, bucket: str, retries: int) -> S3Store:
    return S3Store(
        bucket,
        endpoint=proxy.url,
        access_key_id=s3.env["AWS_ACCESS_KEY_ID"],
        secret_access_key=s3.env["AWS_SECRET_ACCESS_KEY"],
        region=s3.env["AWS_REGION"],
        client_options={"allow_http": True},
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=20),
            "backoff": {
                "init_backoff": timedelta(milliseconds=10),
                "max_backoff": timedelta(milliseconds=50),
                "base": 2,
            },
        },
    )


def test_signed_requests_pass_unchanged(proxy: Proxy, client: Any, bucket: str, s3: S3) -> None:
    data = os.urandom(3_000_000)
    client.put_object(Bucket=bucket, Key="a b/\u00fc+%2F.bin", Body=data)
    assert client.get_object(Bucket=bucket, Key="a b/\u00fc+%2F.bin")["Body"].read() == data
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    through = store(s3, proxy, bucket, 0)
    obstore.put(through, "big", gzip.compress(data), use_multipart=True, chunk_size=5 * 1024 * 1024)
    assert gzip.decompress(bytes(obstore.get(through, "big").bytes())) == data
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket=bucket, Key="missing")
    assert {kind for _, kind in proxy.requests} == {PASSED}
    assert proxy.requests["HEAD", PASSED] == 1


@pytest.mark.parametrize(
    ("kind", "code"), [("slow down", "SlowDown"), ("error", "InternalError"), ("denied", "AccessDenied")]
)
def test_a_refusal_is_seen_as_such(proxy: Proxy, client: Any, bucket: str, kind: Any, code: str) -> None:
    proxy.add(Fault(kind, method="PUT", key="/tile"))
    with pytest.raises(ClientError, match=code):
        client.put_object(Bucket=bucket, Key="tile", Body=b"x" * 100_000)
    client.put_object(Bucket=bucket, Key="other", Body=b"x")
    proxy.clear()
    client.put_object(Bucket=bucket, Key="tile", Body=b"x")
    assert proxy.requests == {("PUT", kind): 1, ("PUT", PASSED): 2}


@pytest.mark.parametrize("kind", ["drop", "cut"])
def test_a_broken_put_is_seen_and_stores_nothing(proxy: Proxy, client: Any, bucket: str, s3: S3, kind: Any) -> None:
    proxy.add(Fault(kind, method="PUT", count=1))
    with pytest.raises(BotoCoreError):
        client.put_object(Bucket=bucket, Key="tile", Body=b"x" * 500_000)
    assert s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_lost_answer_is_seen_though_the_server_has_done_it(proxy: Proxy, client: Any, bucket: str, s3: S3) -> None:
    proxy.add(Fault("lose", count=1))
    with pytest.raises(BotoCoreError):
        client.put_object(Bucket=bucket, Key="tile", Body=b"x")
    assert s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_an_answer_can_end_half_way(proxy: Proxy, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="tile", Body=b"x" * 500_000)
    proxy.add(Fault("cut", method="GET", count=1))
    body = client.get_object(Bucket=bucket, Key="tile")["Body"]
    with pytest.raises(BotoCoreError):
        body.read()
    assert len(client.get_object(Bucket=bucket, Key="tile")["Body"].read()) == 500_000


def test_an_answer_can_be_late(proxy: Proxy, client: Any, bucket: str) -> None:
    proxy.add(Fault("delay", seconds=0.3, count=1))
    start = time.monotonic()
    client.list_objects_v2(Bucket=bucket)
    assert time.monotonic() - start > 0.3


def test_some_requests_of_many_fail_the_same_ones_each_time(s3: S3, http_client: urllib3.PoolManager) -> None:
    def outcome() -> list[int]:
        with Proxy(s3.endpoint, seed=7) as proxy:
            proxy.add(Fault("error", probability=0.3))
            return [http_client.request("GET", proxy.url).status for _ in range(40)]

    first = outcome()
    assert set(first) == {200, 500}
    assert first == outcome()


def test_a_retrying_store_gets_over_its_faults(proxy: Proxy, bucket: str, s3: S3) -> None:
    proxy.add(Fault("slow down", count=2), Fault("drop", count=1))
    through = store(s3, proxy, bucket, 5)
    obstore.put(through, "tile", b"x", use_multipart=False)
    assert proxy.requests == {("PUT", "slow down"): 2, ("PUT", "drop"): 1, ("PUT", PASSED): 1}


def test_a_lost_endpoint_refuses_and_comes_back(proxy: Proxy, client: Any, bucket: str) -> None:
    client.list_objects_v2(Bucket=bucket)
    proxy.stop_listening()
    with pytest.raises(BotoCoreError):
        client.list_objects_v2(Bucket=bucket)
    proxy.resume()
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_sqs_through_a_proxy_fails_by_action(sqs: Sqs) -> None:
    queue = sqs.queue()
    with Proxy(sqs.endpoint) as proxy:
        proxy.add(Fault("slow down", key=r"AmazonSQS\.SendMessageBatch$", count=1))
        through = sqs.client(proxy.url)
        through.send_message_batch(QueueUrl=queue.url, Entries=[{"Id": "0", "MessageBody": "one"}])  # boto3 tries again
        assert proxy.requests == {("POST", "slow down"): 1, ("POST", PASSED): 1}
        (message,) = through.receive_message(QueueUrl=queue.url)["Messages"]
    assert json.dumps(message["Body"]) == '"one"'
