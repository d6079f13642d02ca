"""A real S3 server for a test run, its buckets set up as the stack's are."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import urllib3

from tests.e2e.wire import free_port

SCRIPT = Path(__file__).with_name("s3server")
WEBSITE = "s3-website.local.test"
READER = "cdn"  # user, key and secret in one: bucket policies alone grant it something

Get = Callable[..., urllib3.BaseHTTPResponse]


@dataclass(frozen=True)
class S3:
    """An S3 server; every client of it needs `env`."""

    endpoint: str
    website_port: int
    env: Mapping[str, str]

    def client(self, endpoint: str | None = None) -> Any:
        """A boto3 client, of this server or of a proxy before it."""
        return boto3.client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.env["AWS_REGION"],
        )

    def private_bucket(self) -> str:
        """The name of a new bucket that only its owner reads."""
        name = f"private-{uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def website_bucket(self, misses_to: str) -> str:
        """The name of a new bucket with an open website; see `open_website`."""
        name = f"tiles-{uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        self.open_website(name, misses_to)
        return name

    def open_website(self, name: str, misses_to: str) -> None:
        """Make a bucket public, with a website that redirects what is missing to `misses_to`, `host:port`.

        Everybody may read objects and nobody may list them, so what is missing counts as forbidden.
        """
        # The template's tests cover the rest: Ceph has no ownership controls, and refuses every put where public
        # ACLs are blocked.
        client = self.client()
        public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
        client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}))
        everyone = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "HEAD"], "AllowedHeaders": ["*"]}
        client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [everyone]})
        redirect = {"HostName": misses_to, "Protocol": "http", "HttpRedirectCode": "307"}
        client.put_bucket_website(
            Bucket=name,
            WebsiteConfiguration={
                "IndexDocument": {"Suffix": "index.html"},
                "RoutingRules": [
                    {"Condition": {"HttpErrorCodeReturnedEquals": code}, "Redirect": redirect}
                    for code in ("403", "404")
                ],
            },
        )

    def close_website(self, name: str, granted: Iterable[tuple[str, str]]) -> None:
        """Make a bucket private, except for READER and the actions `granted` on resources."""
        principal = {"AWS": [f"arn:aws:iam:::user/{READER}"]}
        statements = [
            {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
            for action, resource in granted
        ]
        client = self.client()
        client.delete_bucket_website(Bucket=name)
        client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))

    def website(self, bucket: str, http: urllib3.PoolManager) -> Get:
        """A function that gets a key from the website of `bucket`: `get(key, method="GET", headers={})`."""

        def get(key: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
            host = {"Host": f"{bucket}.{WEBSITE}"}
            return http.request(
                method,
                f"http://127.0.0.1:{self.website_port}/{key}",
                headers=host | dict(headers or {}),
                redirect=False,
            )

        return get


@contextmanager
def running(folder: Path) -> Iterator[S3]:
    """A server whose data and logs are in `folder`, until the end of the block.

    Raises:
        RuntimeError: it does not start, or dies before the end of the block; the message says what to install,
            or what its log ends with.
    """
    port = free_port()
    process = subprocess.Popen(
        [SCRIPT, "run", folder, str(port), str(free_port())],
        stdin=subprocess.PIPE,  # its end is the server's
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(process.stderr or []), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        if not line:
            reader.join()
            raise RuntimeError("".join(told))
        env = dict(pair.split("=", 1) for pair in line.split())
        yield S3(endpoint=env["AWS_ENDPOINT_URL_S3"], website_port=port, env=env)
    finally:
        process.stdin.close()
        process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()
    if process.returncode:
        raise RuntimeError("".join(told))
