"""CloudFront on this machine: one distribution over TLS that acts on what deploy/cloudfront.yml says.

Of the service it has the viewer function (the deployed code, run by Node), the cache and its lifetimes, the origin
group, access controls that sign each request to an origin, and of its API the invalidations. It does not compress, and
it asks an origin anew instead of revalidating.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree as ET

from botocore.awsrequest import AWSRequest

from tests.e2e.template import Template, read_yaml
from tests.e2e.tls import TlsServer, certificate
from tests.e2e.wire import FRAMING, Exchange, Server
from tests.support.paths import ROOT

TEMPLATE = ROOT / "deploy" / "cloudfront.yml"
ID = "E2E3A1B2C3D4F5"
UNLISTED = 10  # seconds that CloudFront keeps an error for which nothing is configured
NEVER_KEPT = 429  # no status for which CloudFront has a lifetime
NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"

Headers = list[tuple[str, str]]


def read_template() -> Template:
    """The properties of the distribution, its cache policy and its bucket policy, as deploy/cloudfront.yml has them."""
    resources = read_yaml(TEMPLATE)["Resources"]
    return {
        "Distribution": resources["Distribution"]["Properties"]["DistributionConfig"],
        "TileCachePolicy": resources["TileCachePolicy"]["Properties"]["CachePolicyConfig"],
        "ViewerRequests": resources["ViewerRequests"]["Properties"]["FunctionCode"],
        "TileBucketPolicy": resources["TileBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"],
    }


@dataclass(frozen=True, slots=True)
class Config:
    """What a distribution does: its origins in the order of the group, and lifetimes in seconds."""

    origins: tuple[str, ...]
    failover: frozenset[int]  # statuses of the first origin
    methods: frozenset[str]
    queries: tuple[str, ...]  # that divide the cache
    lifetimes: tuple[int, int, int]  # the least, the usual, the most
    errors: dict[int, int]
    root: str


def config_of(template: Template) -> Config:
    """What the properties of a distribution and its cache policy say."""
    distribution, policy = template["Distribution"], template["TileCachePolicy"]
    (group,) = distribution["OriginGroups"]["Items"]
    queries = policy["ParametersInCacheKeyAndForwardedToOrigin"]["QueryStringsConfig"]
    return Config(
        origins=tuple(each["OriginId"] for each in group["Members"]["Items"]),
        failover=frozenset(group["FailoverCriteria"]["StatusCodes"]["Items"]),
        methods=frozenset(distribution["DefaultCacheBehavior"]["AllowedMethods"]),
        queries=tuple(queries["QueryStrings"]),
        lifetimes=(policy["MinTTL"], policy["DefaultTTL"], policy["MaxTTL"]),
        errors={each["ErrorCode"]: each["ErrorCachingMinTTL"] for each in distribution["CustomErrorResponses"]},
        root=distribution["DefaultRootObject"],
    )


def bucket_grants(template: Template, bucket: str) -> list[tuple[str, str]]:
    """The actions of the bucket policy, each with the resource in a bucket of that name."""
    arn = f"arn:aws:s3:::{bucket}"
    return [
        (each["Action"], each["Resource"].replace("${TileBucket.Arn}", arn).replace("TileBucket.Arn", arn))
        for each in template["TileBucketPolicy"]
    ]


@dataclass
class Origin:
    """A server of HTTP; `signer` makes the access control's signature."""

    url: str
    prefix: str  # before every path
    signer: Callable[[AWSRequest], object]

    def get(self, method: str, target: str, *, signed: bool) -> Answer:
        """The answer to a request; nothing of the viewer's headers is passed on."""
        path, _, query = target.partition("?")
        where = quote(self.prefix + unquote(path), safe="/~") + (f"?{query}" if query else "")
        request = AWSRequest(method, self.url + where, headers={"X-Amz-Content-SHA256": hashlib.sha256().hexdigest()})
        if signed:
            self.signer(request)
        parts = urlsplit(self.url)
        upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            upstream.request(method, where, headers=dict(request.headers))
            with upstream.getresponse() as response:
                headers = [each for each in response.getheaders() if each[0].lower() not in FRAMING]
                return Answer(response.status, headers, response.read())
        finally:
            upstream.close()


class Answer(NamedTuple):
    """What an origin answered."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """A header's value, empty where there is none."""
        return next((value for each, value in self.headers if each.lower() == name), "")

    def lifetime(self, config: Config) -> int:
        """Seconds for which CloudFront keeps the answer."""
        control = self.header("cache-control")
        max_age = re.search(r"s-maxage=(\d+)", control) or re.search(r"max-age=(\d+)", control)
        if self.status == NEVER_KEPT:
            return 0
        if self.status >= 400:
            return max(config.errors.get(self.status, UNLISTED), int(max_age[1]) if max_age else 0)
        least, usual, most = config.lifetimes
        never = re.search(r"no-store|no-cache|private", control)
        return min(max(least, 0 if never else int(max_age[1]) if max_age else usual), most)


class Served(NamedTuple):
    """A request, its answer and the origins that it reached."""

    method: str
    target: str
    status: int
    cache: str  # `Hit`, `Miss` or `Error`
    origins: tuple[str, ...]


@dataclass
class CacheEntry:
    """An answer in the cache, from when until when."""

    answer: Answer
    since: float
    until: float


class Viewer:
    """The viewer function: the code that is deployed, in a process of Node."""

    def __init__(self, code: str) -> None:
        script = f"""{code}
        require('readline').createInterface({{ input: process.stdin }})
          .on('line', (line) => console.log(JSON.stringify(handler(JSON.parse(line)))));"""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(["node", "-e", script], stdin=pipe, stdout=pipe, text=True)
        self._guard = threading.Lock()

    def __call__(self, method: str, uri: str) -> dict[str, Any]:
        """The request or response that the function returns."""
        assert self._process.stdin
        assert self._process.stdout
        with self._guard:
            self._process.stdin.write(json.dumps({"request": {"method": method, "uri": uri}}) + "\n")
            self._process.stdin.flush()
            result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result

    def close(self) -> None:
        """End the process."""
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()


@dataclass
class Distribution:
    """A distribution in front of `origins`, at `url` once it runs.

    `clock` counts seconds; the access controls of the `unsigned` origins are broken.
    """

    origins: dict[str, Origin]
    viewer: Viewer
    config: Config
    url: str = ""
    clock: Callable[[], float] = time.monotonic
    served: list[Served] = field(default_factory=list)
    invalidated: list[list[str]] = field(default_factory=list)
    unsigned: set[str] = field(default_factory=set)
    _cache: dict[tuple[str, str], CacheEntry] = field(default_factory=dict)

    def answer(self, exchange: Exchange) -> None:
        """Answer a viewer."""
        method, (path, _, query) = exchange.method, exchange.target.partition("?")
        exchange.body()
        if method not in self.config.methods:
            self._send(exchange, Answer(403, [], b"this distribution does not allow that method"), "Error", ())
            return
        request = self.viewer(method, f"/{self.config.root}" if path == "/" else path)
        if "statusCode" in request:
            headers = [(name, each["value"]) for name, each in request["headers"].items()]
            self._send(exchange, Answer(request["statusCode"], headers, b""), "Miss", ())
            return
        values = parse_qs(query)
        kept = "&".join(f"{name}={values[name][0]}" for name in self.config.queries if name in values)
        answer, cache, origins = self._get(method, request["uri"], kept)
        self._send(exchange, answer, cache, origins)

    def _get(self, method: str, uri: str, query: str) -> tuple[Answer, str, tuple[str, ...]]:
        """The answer from the cache, or from the first origin, or after a failure that counts from the second."""
        now, key = self.clock(), (uri, query)
        entry = self._cache.get(key)
        if entry and now < entry.until:
            age = ("Age", str(int(now - entry.since)))
            answer = entry.answer._replace(headers=[*entry.answer.headers, age])
            return answer, "Error" if answer.status >= 400 else "Hit", ()
        origins: list[str] = []
        for name in self.config.origins:
            origins.append(name)
            target, signed = f"{uri}?{query}" if query else uri, name not in self.unsigned
            answer = self.origins[name].get(method, target, signed=signed)
            if answer.status not in self.config.failover:
                break
        if (lifetime := answer.lifetime(self.config)) and method == "GET":
            self._cache[key] = CacheEntry(answer, now, now + lifetime)
        return answer, "Error" if answer.status >= 400 else "Miss", tuple(origins)

    def _send(self, exchange: Exchange, answer: Answer, cache: str, origins: tuple[str, ...]) -> None:
        self.served.append(Served(exchange.method, exchange.target, answer.status, cache, origins))
        headers = [*answer.headers, ("X-Cache", f"{cache} from cloudfront"), ("Via", "1.1 e2e (CloudFront)")]
        if exchange.headers.get("Origin") and not answer.header("access-control-allow-origin"):
            headers.append(("Access-Control-Allow-Origin", "*"))  # Managed-SimpleCORS
        tag = answer.header("etag")
        if answer.status == 200 and tag and exchange.headers.get("If-None-Match") == tag:
            exchange.send(304, headers)
        else:
            exchange.send(answer.status, headers, answer.body)

    def reset(self) -> None:
        """Make it as it was at the start."""
        self.clock = time.monotonic
        for each in (self.served, self.invalidated, self.unsigned, self._cache):
            each.clear()

    def forget(self, paths: list[str]) -> None:
        """Drop what those paths cover from the cache; a wildcard ends a path."""
        self.invalidated.append(paths)
        for key in list(self._cache):
            if any(_covers(path, key[0]) for path in paths):
                del self._cache[key]

    def outcomes(self, suffix: str = "") -> list[tuple[str, tuple[str, ...]]]:
        """Cache result and origins of each request whose path ends in `suffix`."""
        return [(each.cache, each.origins) for each in self.served if each.target.partition("?")[0].endswith(suffix)]


def _covers(path: str, uri: str) -> bool:
    return uri.startswith(path[:-1]) if path.endswith("*") else uri == path


def _api(distribution: Distribution) -> Callable[[Exchange], None]:
    """CloudFront's API, as far as the commands call it."""

    def answer(exchange: Exchange) -> None:
        body = exchange.body()
        path = f"/2020-05-31/distribution/{ID}"
        if exchange.target == path:
            body_xml = f"<Distribution><Id>{ID}</Id><Status>Deployed</Status></Distribution>"
            exchange.send(200, [("Content-Type", "text/xml")], body_xml.encode())
            return
        if not exchange.target.startswith(f"{path}/invalidation"):
            code = (
                "<ErrorResponse><Error><Code>NoSuchDistribution</Code><Message>none</Message></Error></ErrorResponse>"
            )
            exchange.send(404, [("Content-Type", "text/xml")], code.encode())
            return
        if exchange.method == "POST":
            distribution.forget([item.text or "" for item in ET.fromstring(body).iter(f"{{{NAMESPACE}}}Path")])
        body_xml = f"<Invalidation><Id>I{len(distribution.invalidated)}</Id><Status>Completed</Status></Invalidation>"
        exchange.send(201 if exchange.method == "POST" else 200, [("Content-Type", "text/xml")], body_xml.encode())

    return answer


@contextmanager
def running(folder: Path, origins: dict[str, Origin], host: str = "cdn.test") -> Iterator[tuple[Distribution, str]]:
    """A distribution at https://`host`, with a certificate in `folder`, and the address of CloudFront's API."""
    template = read_template()
    viewer = Viewer(template["ViewerRequests"])
    distribution = Distribution(origins, viewer, config_of(template))
    front, api = TlsServer(distribution.answer, certificate(folder, host)), Server(_api(distribution))
    distribution.url = f"https://{host}:{front.port}"
    try:
        yield distribution, f"http://127.0.0.1:{api.port}"
    finally:
        front.close()
        api.close()
        viewer.close()
