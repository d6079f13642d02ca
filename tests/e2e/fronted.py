"""The product as the delivery `cloudfront` deploys it: a private bucket, both functions, and a distribution."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.e2e.cloudfront import Distribution, Origin, running, s3_signer
from tests.e2e.gateway import Gateway
from tests.e2e.lambdas import REGION, Lambda
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.wire import Exchange
from tests.e2e.world import Deployed, _Late, _upload

KEYS = Credentials("CLOUDFRONT", "of the service itself")  # that sign requests to the function's URL


def url_signer(request: AWSRequest) -> object:
    """The access control of a function's URL."""
    return SigV4Auth(KEYS, "lambda", REGION).add_auth(request)


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

    def delete(self, *keys: str) -> None:
        """Remove objects from the tile bucket."""
        for key in keys:
            self.stack.s3.client().delete_object(Bucket=self.stack.tiles, Key=key)


@contextmanager
def fronted(s3: S3, sqs: Sqs, data: Path, folder: Path, *, endpoint: str = "") -> Iterator[Fronted]:
    """A deployment whose layers are those of a local `data` folder.

    `endpoint` is what the distribution takes for S3; the certificate goes into `folder`.
    """
    blocks, tiles, sources = sqs.queue(), s3.private_bucket(), s3.private_bucket()
    keys = {**s3.env, "AWS_ENDPOINT_URL_SQS": sqs.endpoint, "AWS_ENDPOINT_URL_STS": sqs.endpoint}
    stores = {"TILER_SOURCES": f"s3://{sources}", "TILER_TILES": f"s3://{tiles}"}
    late = _Late()
    with (
        FunctionUrl(late) as url,
        running(
            folder,
            {
                "tiles": Origin(endpoint or s3.endpoint, f"/{tiles}", s3_signer(s3.env)),
                "http": Origin(url.url, "", url_signer),
            },
        ) as (cdn, api),
        Lambda(
            "tiler.http.handler", {**keys, **stores, "TILER_DELIVERY": "cloudfront"}, timeout=29, concurrency=2
        ) as http,
        Lambda(
            "seeder.workers.lambda_handler.handler",
            {**keys, **stores, "TILER_QUEUE": blocks.url},
            timeout=60,
            concurrency=2,
        ) as worker,
    ):
        late.function = http
        env = {"PATH": os.environ["PATH"], **keys, **stores, "TILER_URL": cdn.url, "AWS_ENDPOINT_URL_CLOUDFRONT": api}
        _upload(s3, data, tiles, sources)
        yield Fronted(Deployed(s3, sqs, blocks, tiles, sources, env, http, worker, url), cdn)
