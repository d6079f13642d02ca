"""`seeder doctor` of a stack behind CloudFront: each broken part is named; TileJSON that names other addresses too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seeder.aws.distribution import SHOWN, check_limit, distribution_fault
from seeder.aws.stack import Stack, read_stack
from tests.e2e.wire import Exchange, Server
from tests.support.aws import MakeStack, upload
from tests.support.examined import ALL, doctor, endpoint, findings, make_workers, wrong
from tests.support.site import answered, event
from tiler.http import Service
from tiler.keys import tilejson_key
from tiler.layers.catalog import dump, load_layer
from tiler.layers.layer_cache import Layers
from tiler.layers.tilejson import rewrite_address
from tiler.settings import Settings
from tiler.storage.store import Stores

DISTRIBUTION = "E1A2B3C4D5E6F7"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
NO_KEY = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Key>jobs/0/0/0.png</Key></Error>"
FORBIDDEN = b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see ..."}'
BLOCKED = b"<HTML><TITLE>ERROR: The request could not be satisfied</TITLE>Request blocked.</HTML>"
STACK = Stack("tiles", "CREATE_COMPLETE", {"TileBucket": "the-bucket", "HttpFunction": "the-function"})


@dataclass
class Cdn:
    """A distribution without a cache. `faults` answer in place of the bucket or the function."""

    url: str
    stores: Stores | None = None
    faults: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, type and body of a GET."""
        assert self.stores
        key = path.removeprefix("/")
        if "tiles" in self.faults:
            return self.faults["tiles"]
        if self.stores.tiles.has(key):
            return 200, "image/png", self.stores.tiles.get(key)
        if "http" in self.faults:
            return self.faults["http"]
        service = Service(self.stores, Layers(self.stores.sources), "", inline=True)
        found = answered(service.answer(event(path)))
        return found.status, found.headers["Content-Type"], found.body


@pytest.fixture
def cdn() -> Iterator[Cdn]:
    """A distribution on this machine."""

    def answer(exchange: Exchange) -> None:
        status, kind, body = made.answer(exchange.target)
        exchange.send(status, [("Content-Type", kind)], body)

    with closing(Server(answer)) as server:
        made = Cdn(f"http://127.0.0.1:{server.port}")
        yield made


@pytest.fixture
def stack(make_stack: MakeStack, cdn: Cdn, alps_data: Path) -> Stack:
    """A stack behind the distribution, with a layer."""
    worker = f"worker-{cdn.url.rpartition(':')[2]}"
    outputs = {"WebsiteUrl": cdn.url, "TileUrl": cdn.url, "Delivery": "cloudfront", "CloudFront": DISTRIBUTION}
    found = read_stack(make_stack(**outputs, WorkerFunction=worker, HttpFunction="the-function"), "us-east-1")
    make_workers(worker, found.outputs["QueueUrl"])
    upload(alps_data / "private", found.outputs["SourceBucket"])
    cdn.stores = Stores.open(found.settings(Settings.from_env({"AWS_ACCESS_KEY_ID": "testing", **endpoint()})))
    rewrite_address(load_layer(cdn.stores.sources, "alps"), cdn.stores)
    return found


def test_the_stack_s_distribution_and_address_become_settings(stack: Stack, cdn: Cdn) -> None:
    found = stack.settings(Settings.from_env({}))
    assert (stack.delivery, found.cloudfront, found.url) == ("cloudfront", DISTRIBUTION, cdn.url)


@pytest.mark.parametrize(
    ("outputs", "seen"),
    [
        ({}, "not limited: deploy again, or with params httpRate and httpBurst"),
        ({"Delivery": "cloudfront"}, "not limited: deploy again, or with params httpReserved or webAcl"),
        ({"Delivery": "cloudfront", "HttpLimit": "none"}, "or with params httpReserved or webAcl"),
        ({"Delivery": "cloudfront", "HttpLimit": "httpReserved=20"}, "limited by httpReserved=20"),
        ({"HttpLimit": "httpRate=100, httpBurst=300"}, "limited by httpRate=100, httpBurst=300"),
    ],
)
def test_what_limits_requests_is_named(outputs: dict[str, str], seen: str) -> None:
    found = check_limit(Stack("tiles", "CREATE_COMPLETE", outputs))
    assert (found.what, found.well) == ("limit", True)
    assert found.seen.endswith(seen)


def test_a_stack_of_before_the_choice_is_a_website() -> None:
    assert STACK.delivery == "website"


def test_a_stack_with_all_that_belongs_to_it_is_well(stack: Stack, cdn: Cdn) -> None:
    for _ in ("rendered", "stored"):
        result = doctor("--stack", stack.name, "--json")
        assert wrong(result) == {}
        found = findings(result)
        assert list(found) == [*ALL, "limit", "addresses", "distribution", "tile"]
        assert found["tile"]["seen"].endswith("200 image/png")
        assert found["distribution"]["seen"] == f"{cdn.url}/jobs/0/0/0.png: 400"


@pytest.mark.parametrize(
    ("part", "status", "body", "named"),
    [
        ("tiles", 403, DENIED, "S3 denies CloudFront access to bucket"),
        ("http", 403, FORBIDDEN, "Lambda denies CloudFront access to the URL of function the-function"),
        ("tiles", 403, BLOCKED, "check the web ACL"),
        ("http", 404, NO_KEY, "does not fail over to the function"),
        ("http", 502, b"", "502"),
        ("http", 200, b"<html>", "200"),
        ("http", 400, b"<html>", "400"),
    ],
)
def test_a_broken_way_is_named_and_the_tile_behind_it_not_asked_for(
    stack: Stack, cdn: Cdn, part: str, status: int, body: bytes, named: str
) -> None:
    cdn.faults = {part: (status, "text/html", body)}
    found = wrong(doctor("--stack", stack.name, "--json"))
    assert set(found) == {"distribution"}
    assert named in found["distribution"]


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 500, 503])
@pytest.mark.parametrize("body", [b"", b"7", b"[]", b"{", b"\xff", b'{"message":"x"}', DENIED, FORBIDDEN])
def test_only_our_own_refusal_of_the_probe_is_well(status: int, body: bytes) -> None:
    fault = distribution_fault(status, body, STACK)
    assert (fault == "") == ((status, body) == (400, b'{"message":"x"}'))
    assert ("the-bucket" in fault) == ((status, body) == (403, DENIED))
    assert ("the-function" in fault) == ((status, body) == (403, FORBIDDEN))


@pytest.mark.parametrize("before", ["http://tiles.s3-website.test/alps/7/66/45.png?v=1", ""])
def test_a_tilejson_that_names_another_address_or_is_missing_is_named_with_the_command(
    stack: Stack, cdn: Cdn, before: str
) -> None:
    assert cdn.stores
    cdn.stores.tiles.delete([tilejson_key("alps")])
    if before:
        cdn.stores.tiles.put(
            tilejson_key("alps"), json.dumps({"tiles": [before]}).encode(), content_type="application/json"
        )
    found = wrong(doctor("--stack", stack.name, "--json"))
    assert set(found) == {"addresses"}
    assert "tile.json of layer alps" in found["addresses"]
    assert (before or "is missing") in found["addresses"]
    assert f"`seeder refresh alps --stack {stack.name}`" in doctor("--stack", stack.name).stdout


def test_of_many_layers_some_are_named_and_the_rest_counted(stack: Stack, cdn: Cdn) -> None:
    assert cdn.stores
    for number in range(SHOWN + 2):
        cdn.stores.sources.put(
            f"sources/x{number}/index.json", dump(load_layer(cdn.stores.sources, "alps")), content_type=""
        )
    lines = [line for line in doctor("--stack", stack.name).stdout.splitlines() if " addresses " in line]
    assert len(lines) == SHOWN + 1
    assert "2 more layers" in lines[-1]
