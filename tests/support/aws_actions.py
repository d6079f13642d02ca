"""IAM's names of the actions that clients ask of AWS, by what goes over the wire."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.e2e.proxy import Proxy
from tests.e2e.wire import Exchange
from tests.support.paths import ROOT

FREE = "sts:GetCallerIdentity"  # everybody may ask this
LOGS = {"logs:DescribeLogStreams", "logs:FilterLogEvents"}  # actions of `npm run logs`
LIMITS = {"lambda:GetAccountSettings", "lambda:GetFunctionConcurrency"}  # actions of deploy/concurrency.js
FRAMEWORK = {  # actions of `npm run deploy` and `npm run remove`
    *("cloudformation:CreateStack", "cloudformation:DeleteStack", "cloudformation:DescribeStackEvents"),
    *("cloudformation:DescribeStackResource", "cloudformation:DescribeStacks", "cloudformation:ListStackResources"),
    *("cloudformation:UpdateStack", "cloudformation:ValidateTemplate", "lambda:GetFunction"),
    *("s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"),
    *("s3:ListBucketMultipartUploads", "s3:ListBucketVersions"),
}
PROTECTION = {"cloudformation:UpdateTerminationProtection"}  # of a deployment to prod
ENDPOINT = "AWS_ENDPOINT_URL_"
SERVICE = re.compile(r"Credential=[^/]+/\d{8}/[\w-]*/(\w+)/aws4_request")
REST = (  # service, method, pattern of the path, action
    ("lambda", "GET", r"/2015-03-31/event-source-mappings/?", "ListEventSourceMappings"),
    ("lambda", "GET", r"/2016-08-19/account-settings/?", "GetAccountSettings"),
    ("lambda", "GET", r"/2015-03-31/functions/[\w-]+/?", "GetFunction"),
    ("lambda", "GET", r"/2019-09-30/functions/[\w-]+/concurrency", "GetFunctionConcurrency"),
    ("apigateway", "GET", r"/v2/apis/\w+", "GET"),
    ("cloudfront", "POST", r"/2020-05-31/distribution/\w+/invalidation", "CreateInvalidation"),
    ("cloudfront", "GET", r"/2020-05-31/distribution/\w+/invalidation/\w+", "GetInvalidation"),
    ("cloudfront", "GET", r"/2020-05-31/distribution/\w+", "GetDistribution"),
)
S3 = (  # method, a parameter of the query or nothing, action on an object
    ("POST", "delete", "DeleteObject"),
    ("POST", "uploads", "PutObject"),
    ("POST", "uploadId", "PutObject"),
    ("GET", "uploadId", "ListMultipartUploadParts"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("GET", "", "GetObject"),
    ("HEAD", "", "GetObject"),
    ("PUT", "", "PutObject"),
    ("DELETE", "", "DeleteObject"),
)


class Recorder(Proxy):
    """A proxy that notes the actions of all requests, in `actions`."""

    TIMEOUT = 600.0  # moto checks a template before it answers

    def __init__(self, upstream: str, actions: set[str] | None = None) -> None:
        self.actions = set() if actions is None else actions
        super().__init__(upstream)

    def _serve(self, exchange: Exchange) -> None:
        self.actions.add(action(exchange))
        super()._serve(exchange)
        vars(exchange).pop("pieces", None)  # the next request of the connection has a body of its own


@contextmanager
def recorded(env: Mapping[str, str]) -> Iterator[tuple[dict[str, str], set[str]]]:
    """An environment with a recorder in front of each of its endpoints, and the actions noted so far."""
    actions = set[str]()
    with ExitStack() as recorders:
        yield (
            {
                name: recorders.enter_context(Recorder(value, actions)).url if name.startswith(ENDPOINT) else value
                for name, value in env.items()
            },
            actions,
        )


def action(exchange: Exchange) -> str:
    """The action of a signed request.

    Raises:
        AssertionError: it is none that is known here.
    """
    authorization = exchange.headers.get("Authorization", "")
    scope = SERVICE.search(authorization)
    assert scope, f"{exchange.method} {exchange.target} is not signed"
    service, parts = scope[1], urlsplit(exchange.target)
    if service in ("sqs", "sts", "cloudformation", "logs", "ecr"):
        return f"{service}:{_called(exchange)}"
    if service == "s3":
        return f"s3:{_of_s3(exchange.method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))}"
    for owner, method, pattern, name in REST:
        if (owner, method) == (service, exchange.method) and re.fullmatch(pattern, parts.path):
            return f"{service}:{name}"
    raise AssertionError(f"{service}: {exchange.method} {exchange.target} is an unknown action")


def _called(exchange: Exchange) -> str:
    """The operation that a header or the form names; a batch needs the right to one."""
    if target := exchange.headers.get("X-Amz-Target", ""):
        return target.partition(".")[2].removesuffix("Batch")
    body = exchange.body()
    exchange.pieces = lambda: iter((body,))  # type: ignore[method-assign] - it is passed on
    return dict(parse_qsl(body.decode()))["Action"]


def _of_s3(method: str, path: str, query: dict[str, str]) -> str:
    if method == "GET" and "list-type" in query:
        return "ListBucket"
    if method == "HEAD" and path.count("/") == 1:
        return "ListBucket"
    if method == "GET" and "versions" in query:
        return "ListBucketVersions"
    if method == "GET" and "uploads" in query:
        return "ListBucketMultipartUploads"
    for verb, parameter, name in S3:
        if verb == method and (not parameter or parameter in query) and (parameter == "delete" or path.count("/") > 1):
            return name
    raise AssertionError(f"s3: {method} {path} {query} is an unknown action")


def policy(name: str) -> Path:
    """The file of a policy in deploy/policies."""
    return ROOT / "deploy" / "policies" / f"{name}.json"


def allowed(name: str) -> set[str]:
    """The actions that a policy allows."""
    return {each for statement in statements(name) for each in statement["Action"]}


def statements(name: str) -> list[dict[str, Any]]:
    """The statements of a policy, all of which allow something."""
    found: list[dict[str, Any]] = json.loads(policy(name).read_text())["Statement"]
    assert {statement["Effect"] for statement in found} == {"Allow"}
    return found


def resources(name: str, action: str) -> list[str]:
    """The patterns of the resources on which a policy allows an action."""
    return [each for statement in statements(name) if action in statement["Action"] for each in statement["Resource"]]


def covers(patterns: Iterable[str], arn: str) -> bool:
    """Whether one of IAM's patterns matches."""
    return any(fnmatch.fnmatchcase(arn, pattern) for pattern in patterns)
