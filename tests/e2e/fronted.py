"""The delivery `cloudfront` of a deployed website: a private bucket, a function with a URL, and a distribution."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.e2e.cloudfront import Distribution, Origin, bucket_grants, read_template, running
from tests.e2e.gateway import Gateway
from tests.e2e.lambdas import REGION, Lambda
from tests.e2e.s3 import READER
from tests.e2e.wire import Exchange
from tests.e2e.world import Deployed, LateFunction

KEYS = Credentials("CLOUDFRONT", "of the service itself")  # that sign requests to the function's URL
READER_KEYS = Credentials(READER, READER)  # that sign requests to the bucket


def url_signer(request: AWSRequest) -> object:
    """The access control of a function's URL."""
    return SigV4Auth(KEYS, "lambda", REGION).add_auth(request)


def bucket_signer(request: AWSRequest) -> object:
    """The access control of the bucket: a user that has the rights of the bucket's policy and no others."""
    return S3SigV4Auth(READER_KEYS, "s3", REGION).add_auth(request)


class FunctionUrl(Gateway):
    """A function's URL of type AWS_IAM: it takes requests that KEYS signed, and passes paths on as they were sent."""

    def __init__(self, function: Any) -> None:
        super().__init__(function, decode=False)

    def _serve(self, exchange: Exchange) -> None:
        if _signature(exchange) in exchange.headers.get("Authorization", "unsigned"):
            super()._serve(exchange)
            return
        forbidden = {
            "Message": "Forbidden. For troubleshooting Function URL authorization issues, see the documentation."
        }
        exchange.send(403, [("Content-Type", "application/json")], json.dumps(forbidden).encode())


def _signature(exchange: Exchange) -> str:
    """The signature that a request with these headers must have."""
    signed = re.search(r"SignedHeaders=([^,]+)", exchange.headers.get("Authorization", ""))
    names = signed[1].split(";") if signed else ["host"]
    headers = {name: exchange.headers.get(name, "") for name in names}
    request = AWSRequest(exchange.method, f"http://{exchange.headers.get('Host')}{exchange.target}", headers=headers)
    request.context["timestamp"] = exchange.headers.get("X-Amz-Date", "")
    auth = SigV4Auth(KEYS, "lambda", REGION)
    return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


@dataclass(frozen=True)
class Fronted:
    """A deployment and its distribution."""

    stack: Deployed
    cdn: Distribution


@contextmanager
def fronted(website: Deployed, folder: Path) -> Iterator[Fronted]:
    """The delivery of `website` changed to `cloudfront` until the end of the block; buckets and queue stay.

    The certificate goes into `folder`.
    """
    s3, tiles, late = website.s3, website.tiles, LateFunction()
    http_env = {**website.function_env, "TILER_DELIVERY": "cloudfront"}
    with (
        FunctionUrl(late) as url,
        Lambda("tiler.http.handler", http_env, timeout=29, concurrency=2) as http,
        running(
            folder,
            {
                "tiles": Origin(f"http://127.0.0.1:{s3.website_port}", f"/{tiles}", bucket_signer),
                "http": Origin(url.url, "", url_signer),
            },
        ) as (cdn, api),
    ):
        late.function = http
        s3.close_website(tiles, bucket_grants(read_template(), tiles))
        env = {**website.env, "TILER_URL": cdn.url, "AWS_ENDPOINT_URL_CLOUDFRONT": api}
        try:
            yield Fronted(replace(website, env=env, http=http, gateway=url), cdn)
        finally:
            s3.open_website(tiles, website.gateway.host)
