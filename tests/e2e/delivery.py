"""A deployment as its visitors see it, by either delivery. All differences between the two are stated here."""

from __future__ import annotations

import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import unquote

import boto3
import pytest
import urllib3
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from tests.e2e.cloudfront import ID, Distribution
from tests.e2e.fronted import fronted
from tests.e2e.wire import Exchange, Server
from tests.e2e.world import Deployed
from tiler.layers.version import METADATA

State = Literal["rendered", "cached", "stored"]
HOST = "cdn.test"
NAME = "tile-seeder-e2e"  # of the stack

Answer = urllib3.BaseHTTPResponse


class Visit(NamedTuple):
    """The answers to a request and to those that its redirects asked for; the origin of the last one's bytes."""

    answers: list[Answer]
    state: State

    @property
    def last(self) -> Answer:
        """The answer that a visitor sees."""
        return self.answers[-1]

    @property
    def statuses(self) -> tuple[int, ...]:
        """The statuses of all answers."""
        return tuple(each.status for each in self.answers)

    @property
    def message(self) -> str:
        """The message of an error in JSON."""
        found = json.loads(self.last.data)
        assert list(found) == ["message"]
        return str(found["message"])


@dataclass(frozen=True)
class Delivery(ABC):
    """A deployment at `url`, and a client that trusts its certificate."""

    stack: Deployed
    url: str
    pool: urllib3.PoolManager

    rendered: ClassVar[tuple[int, ...]]  # statuses on the path of a missing tile
    function: ClassVar[int]  # status of the function's answer to that
    again: ClassVar[State]  # of a tile that is requested again at once
    unwritten: ClassVar[int]  # status of a TileJSON that no command has written
    not_allowed: ClassVar[int]  # status of methods that write
    on_https_pages: ClassVar[bool]  # whether browsers show the tiles there
    profile: ClassVar[Mapping[str, bool]]  # options of a browser

    def get(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Visit:
        """A visitor's request."""
        answers = [self._request(method, f"{self.url}/{path}", headers)]
        while target := answers[-1].headers.get("Location"):
            self._check_redirect(answers, unquote(target), unquote(path.partition("?")[0]))
            answers.append(self._request(method, target, headers))
        return Visit(answers, self._state(answers))

    def _request(self, method: str, url: str, headers: Mapping[str, str] | None) -> Answer:
        return self.pool.request(method, url, headers=headers, redirect=False, timeout=60)

    @abstractmethod
    def _check_redirect(self, answers: Sequence[Answer], target: str, key: str) -> None:
        """Fail unless the last answer to a request for `key` may send the visitor to `target`."""

    @abstractmethod
    def _state(self, answers: Sequence[Answer]) -> State: ...

    @abstractmethod
    def forget(self) -> None:
        """Empty all caches between S3 and visitors."""

    @property
    @abstractmethod
    def home(self) -> set[str]:
        """Other origins that a page requests."""

    @property
    def renders(self) -> int:
        """Requests that have reached the function."""
        return len(self.stack.gateway.served)

    def reset(self, layer: str) -> None:
        """Remove the tiles of `layer` and all traces of earlier visits."""
        self.remove(*self.stack.stored(layer))
        self.forget()
        self.stack.gateway.served.clear()

    def remove(self, *keys: str) -> None:
        """Remove objects from the tile bucket."""
        client = self.stack.s3.client()
        for each in keys:
            client.delete_object(Bucket=self.stack.tiles, Key=each)

    def run(self, *words: str, check: bool = True) -> Result:
        """A command of the project on the stack, in this process, to its end."""
        boto3.DEFAULT_SESSION = None  # it keeps the credentials of its first client
        done = CliRunner().invoke(cli.main, [*words], env=dict(self.stack.env))
        assert not check or done.exit_code == 0, done.output
        return done

    def refresh(self, layer: str, *raster: str) -> None:
        """Refresh a layer, without the wait of the fence and without the queue, which nobody works off."""
        self.run("refresh", layer, *raster, "--no-wait", "--yes", "--queue", "local", "--jobs", "1")


@dataclass(frozen=True)
class Website(Delivery):
    """An S3 website, whose missing tiles are at the API."""

    rendered = (307, 302, 200)
    function = 302
    again = "stored"
    unwritten = 200  # the function knows the website's address
    not_allowed = 405
    on_https_pages = False
    profile: ClassVar[Mapping[str, bool]] = {}

    def _check_redirect(self, answers: Sequence[Answer], target: str, key: str) -> None:
        if answers[-1].status == 307:
            assert (len(answers), target) == (1, f"{self.stack.gateway.url}/{key}")
        else:
            assert (len(answers), answers[-1].headers["Cache-Control"]) == (2, "no-store")
            assert target.startswith(f"{self.stack.s3.endpoint}/{self.stack.tiles}/{key}?v=")

    def _state(self, answers: Sequence[Answer]) -> State:
        return "rendered" if len(answers) > 1 else "stored"

    def forget(self) -> None:
        """Nothing: a website has no cache."""

    @property
    def home(self) -> set[str]:
        """The API and the bucket."""
        return {self.stack.gateway.url, self.stack.s3.endpoint}


@dataclass(frozen=True)
class CloudFront(Delivery):
    """A distribution in front of the bucket and of the function."""

    cdn: Distribution

    rendered = (200,)
    function = 200
    again = "cached"
    unwritten = 404  # the distribution depends on the function, which does not know its address
    not_allowed = 403
    on_https_pages = True
    profile: ClassVar[Mapping[str, bool]] = {"ignore_https_errors": True}

    def _check_redirect(self, answers: Sequence[Answer], target: str, key: str) -> None:
        raise AssertionError(f"{key} is redirected to {target}: {[each.status for each in answers]}")

    def _state(self, answers: Sequence[Answer]) -> State:
        if answers[-1].headers["X-Cache"].startswith("Hit"):
            return "cached"
        return "rendered" if answers[-1].headers.get("X-Tile-State") == "rendered" else "stored"

    def forget(self) -> None:
        """Empty the cache of the distribution, mend it, and drop its records."""
        self.cdn.reset()

    @property
    def home(self) -> set[str]:
        """None: everything is at one address."""
        return set()


@contextmanager
def website(stack: Deployed) -> Iterator[Website]:
    """The website of a deployment."""
    outputs = {
        "Delivery": "website",
        "CloudFront": "none",
        "WebsiteUrl": stack.env["TILER_URL"],
        "TileUrl": f"{stack.s3.endpoint}/{stack.tiles}",
        "ApiUrl": stack.gateway.url,
    }
    with described(stack, outputs) as made, urllib3.PoolManager(retries=False) as pool:
        yield Website(made, stack.env["TILER_URL"], pool)


@contextmanager
def cloudfront(stack: Deployed, folder: Path) -> Iterator[CloudFront]:
    """A deployed website with its delivery changed to CloudFront; the certificate goes into `folder`."""
    pem = str(folder / f"{HOST}.pem")
    with fronted(stack, folder) as changed:
        url = changed.cdn.url
        outputs = {"Delivery": "cloudfront", "CloudFront": ID, "WebsiteUrl": url, "TileUrl": url}
        trusting = replace(changed.stack, env={**changed.stack.env, "SSL_CERT_FILE": pem})
        with described(trusting, outputs) as made, urllib3.PoolManager(retries=False, ca_certs=pem) as pool:
            yield CloudFront(made, url, pool, changed.cdn)


@contextmanager
def described(stack: Deployed, outputs: Mapping[str, str]) -> Iterator[Deployed]:
    """The deployment with a CloudFormation that describes it as one stack with those outputs."""
    told = {"TileBucket": stack.tiles, "SourceBucket": stack.sources, "QueueUrl": stack.queue.url, **outputs}
    told["MetadataVersion"] = str(METADATA)  # the functions are those of this code
    members = "".join(
        f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for key, value in told.items()
    )
    facts = "<StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>"
    document = (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>"
        f"<StackName>{NAME}</StackName>{facts}<Outputs>{members}</Outputs>"
        "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )

    def answer(exchange: Exchange) -> None:
        known = "Action=DescribeStacks" in exchange.body().decode()
        exchange.send(200 if known else 400, [("Content-Type", "text/xml")], document.encode() if known else b"")

    with closing(Server(answer)) as server:
        place = f"http://127.0.0.1:{server.port}"
        yield replace(stack, env={**stack.env, "AWS_ENDPOINT_URL_CLOUDFORMATION": place, "TILER_STACK": NAME})


@contextmanager
def names_resolved() -> Iterator[None]:
    """All hosts of the domain `test` are this machine to clients of this process."""
    resolve = socket.getaddrinfo

    def local(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(".test") else host, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", local)
        yield
