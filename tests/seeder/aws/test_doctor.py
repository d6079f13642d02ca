"""`seeder doctor` passes a working installation, and names each fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import mercantile
import numpy as np
import pytest
from mercantile import Tile
from moto.core.exceptions import InvalidClientTokenIdError
from moto.sts.responses import TokenResponse

from seeder.aws.stack import read_stack
from tests.e2e.proxy import Fault, Proxy
from tests.e2e.wire import Exchange, Server
from tests.support import moto_server
from tests.support.aws import MakeStack, upload
from tests.support.damaged import cut, damage
from tests.support.examined import ALL, doctor, endpoint, findings, make_workers, wrong
from tests.support.rasters import Recipe, scene, write_raster
from tiler.http import Service
from tiler.image.encode import blank_tile
from tiler.image.style import Values
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import load_layer
from tiler.layers.footprint import Footprint
from tiler.layers.layer_cache import Layers
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant, render_tile
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage import access
from tiler.storage.store import Stores

LOCAL = ["machine", "tiles", "sources", "layers", "render"]


@dataclass
class Website:
    """The website of a tile bucket and its API. `faults` replaces responses."""

    root: str
    stores: Stores | None = None
    faults: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)  # by the first part of the path

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a GET."""
        assert self.stores is not None
        part, _, key = path.removeprefix("/").partition("/")
        if part in self.faults:
            return self.faults[part]
        if part == "api" and key.startswith("alps/"):
            self.stores.tiles.put(key, b"a tile", content_type="image/png")
            return 302, {"Location": f"{self.root}/direct/{key}"}, b""
        if part == "api":
            service = Service(self.stores, Layers(self.stores.sources), f"{self.root}/direct")
            said = service.answer({"rawPath": f"/{key}", "requestContext": {"http": {"method": "GET"}}})
            return said["statusCode"], said["headers"], said["body"].encode()
        if self.stores.tiles.has(key):
            return 200, {"Content-Type": "image/png"}, self.stores.tiles.get(key)
        return 307, {"Location": f"{self.root}/api/{key}"}, b""


@pytest.fixture
def website() -> Iterator[Website]:
    """A website on this machine."""

    def answer(exchange: Exchange) -> None:
        status, headers, body = made.answer(exchange.target)
        exchange.send(status, headers.items(), body)

    with closing(Server(answer)) as server:
        made = Website(f"http://127.0.0.1:{server.port}")
        yield made


@dataclass(frozen=True)
class Deployed:
    """A stack with workers, a website and, once it is uploaded, a layer."""

    stack: str
    website: Website
    outputs: dict[str, str]

    def forget_tiles(self) -> None:
        """Remove the tile of the last check."""
        assert self.website.stores is not None
        tiles = self.website.stores.tiles
        tiles.delete([entry.key for entry in tiles.list("alps/")])

    def empty(self, bucket: str) -> None:
        """Remove a bucket with all its objects."""
        client, name = boto3.client("s3"), self.outputs[bucket]
        for each in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=each["Key"])
        client.delete_bucket(Bucket=name)


@pytest.fixture
def bare(make_stack: MakeStack, website: Website) -> Deployed:
    """A stack after the first deployment."""
    worker = f"worker-{website.root.rpartition(':')[2]}"
    urls = {"WebsiteUrl": f"{website.root}/site", "TileUrl": f"{website.root}/direct", "ApiUrl": f"{website.root}/api"}
    stack = read_stack(make_stack(**urls, WorkerFunction=worker), "us-east-1")
    website.stores = Stores.open(stack.settings(Settings.from_env({"AWS_ACCESS_KEY_ID": "testing", **endpoint()})))
    return Deployed(stack.name, website, stack.outputs)


@pytest.fixture
def deployed(bare: Deployed, alps_data: Path) -> Deployed:
    """A stack with a layer."""
    upload(alps_data / "private", bare.outputs["SourceBucket"])
    return bare


@pytest.mark.usefixtures("alps_copy")
def test_a_folder_with_a_layer_is_well() -> None:
    result = doctor()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["ok", what] for what in LOCAL]
    assert "alps" in result.stdout
    assert re.search(r"alps/9/\d+/\d+\.png: [\d,]{3,} bytes", result.stdout)


def test_a_look_at_a_folder_changes_nothing(alps_copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in alps_copy.rglob("*")}
    assert wrong(doctor("--json")) == {}
    assert {path: path.stat().st_mtime_ns for path in alps_copy.rglob("*")} == before


def test_a_stack_with_all_that_belongs_to_it_is_well(deployed: Deployed) -> None:
    make_workers(deployed.outputs["WorkerFunction"], deployed.outputs["QueueUrl"])
    result = doctor("--stack", deployed.stack, "--json")
    assert wrong(result) == {}
    found = findings(result)
    assert list(found) == [*ALL, "limit", "website", "api", "tile"]
    assert found["stack"]["seen"] == f"{deployed.stack}: CREATE_COMPLETE"
    assert found["tile"]["seen"].endswith("200 image/png")
    rendered = found["render"]["seen"].partition(":")[0]
    assert f"/{rendered}: " in found["tile"]["seen"], "both look at the tile that holds data"
    assert found["workers"]["seen"] == "event-source mapping Enabled"


@pytest.mark.parametrize(
    ("bucket", "what"), [("TileBucket", {"tiles"}), ("SourceBucket", {"sources", "layers"})], ids=["tiles", "sources"]
)
def test_a_bucket_that_is_gone_is_named(deployed: Deployed, bucket: str, what: set[str]) -> None:
    deployed.empty(bucket)
    deployed.website.faults["site"] = (404, {}, b"")
    found = wrong(doctor("--stack", deployed.stack, "--json"))
    assert what <= set(found)
    assert all("NoSuchBucket" in found[each] for each in what)


def test_dead_letters_are_counted_and_left_where_they_are(deployed: Deployed) -> None:
    client = boto3.client("sqs")
    (dead,) = [url for url in client.list_queues()["QueueUrls"] if f"{deployed.stack}-DeadLetterQueue" in url]
    for number in range(3):
        client.send_message(QueueUrl=dead, MessageBody=str(number))
    for _ in range(2):
        found = wrong(doctor("--stack", deployed.stack, "--json"))
        assert found["dead letters"].startswith("3 in ")


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("event-source-mappings", "workers"),
        ("account-settings", "concurrency"),
        ("GetQueueAttributes", "queue"),
    ],
)
def test_what_a_policy_does_not_allow_is_passed_over_with_a_hint(
    deployed: Deployed, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, call: str, what: str
) -> None:
    make_workers(deployed.outputs["WorkerFunction"], deployed.outputs["QueueUrl"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    proxy.add(Fault("denied", key=call))
    result = doctor("--stack", deployed.stack, "--json")
    assert wrong(result) == {}
    assert findings(result)[what]["seen"].startswith("not checked; deploy/policies/reader.json allows it: ")


@pytest.mark.parametrize(("limit", "workers", "cure"), [(10, 32, 4), (37, 32, 31), (10, 5, 4), (7, 2, 2)])
def test_an_account_with_a_low_concurrency_is_named_with_the_quota_to_raise(
    limit: int, workers: int, cure: int, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = make_workers(deployed.outputs["WorkerFunction"], deployed.outputs["QueueUrl"])
    scaling = {"ScalingConfig": {"MaximumConcurrency": workers}}
    boto3.client("lambda").update_event_source_mapping(UUID=mapping, **scaling)
    monkeypatch.setitem(moto_server.account, "UnreservedConcurrentExecutions", workers + 6)
    assert wrong(doctor("--stack", deployed.stack, "--json")) == {}
    monkeypatch.setitem(moto_server.account, "UnreservedConcurrentExecutions", limit)
    found = wrong(doctor("--stack", deployed.stack, "--json"))
    assert list(found) == ["concurrency"]
    assert found["concurrency"].startswith(f"at most {limit} functions run at once in this account and region, but ")
    assert f"{workers} workers and 6 requests of a browser need {workers + 6}: " in found["concurrency"]
    assert "Service Quotas, AWS Lambda, Concurrent executions (L-B99A9384)" in found["concurrency"]
    assert found["concurrency"].endswith(f"deploy with --param maximumConcurrency={cure}")


@pytest.fixture
def baking(make_stack: MakeStack, website: Website) -> Deployed:
    """A stack with a bake queue and both functions, each with 32 at once."""
    port = website.root.rpartition(":")[2]
    functions = {"WorkerFunction": f"worker-{port}", "BakeFunction": f"bake-{port}"}
    urls = {"WebsiteUrl": f"{website.root}/site", "TileUrl": f"{website.root}/direct", "ApiUrl": f"{website.root}/api"}
    outputs = {**urls, **functions, "SceneBuckets": "flights,survey-*"}
    stack = read_stack(make_stack(bakes=True, **outputs), "us-east-1")
    for function, queue in (("WorkerFunction", "QueueUrl"), ("BakeFunction", "BakeQueueUrl")):
        mapping = make_workers(stack.outputs[function], stack.outputs[queue])
        scaling = {"ScalingConfig": {"MaximumConcurrency": 32}}
        boto3.client("lambda").update_event_source_mapping(UUID=mapping, **scaling)
    website.stores = Stores.open(stack.settings(Settings.from_env({"AWS_ACCESS_KEY_ID": "testing", **endpoint()})))
    return Deployed(stack.name, website, stack.outputs)


def test_the_bake_queue_and_its_function_are_checked_as_those_of_tiles(baking: Deployed) -> None:
    result = doctor("--stack", baking.stack, "--json")
    assert wrong(result) == {}
    found = {what: each["seen"] for what, each in findings(result).items()}
    assert found["bake queue"] == f"{baking.outputs['BakeQueueUrl']}: 0 waiting, 0 in progress"
    assert found["bake function"] == "event-source mapping Enabled, reads scenes in flights,survey-*"
    assert found["workers"] == "event-source mapping Enabled"
    assert found["concurrency"].endswith(", of this stack at most 32 workers, 32 bakes")


def test_dead_letters_of_bakes_and_a_bake_function_that_nothing_feeds_are_named(baking: Deployed) -> None:
    client, lambdas = boto3.client("sqs"), boto3.client("lambda")
    (dead,) = [url for url in client.list_queues()["QueueUrls"] if f"{baking.stack}-BakeDeadLetters" in url]
    client.send_message(QueueUrl=dead, MessageBody="a part")
    for mapping in lambdas.list_event_source_mappings(FunctionName=baking.outputs["BakeFunction"])[
        "EventSourceMappings"
    ]:
        lambdas.delete_event_source_mapping(UUID=mapping["UUID"])
    found = wrong(doctor("--stack", baking.stack, "--json"))
    assert found.keys() == {"bake dead letters", "bake function"}
    assert found["bake dead letters"].startswith("1 in ")
    assert found["bake dead letters"].endswith("then run `seeder resume JOB`")
    assert found["bake function"].startswith("event-source mapping is missing")


def test_a_concurrency_that_is_too_low_for_both_functions_is_shared_between_them(
    baking: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(moto_server.account, "UnreservedConcurrentExecutions", 69)
    seen = wrong(doctor("--stack", baking.stack, "--json"))["concurrency"]
    assert "but 32 workers, 32 bakes and 6 requests of a browser need 70: " in seen
    assert seen.endswith("deploy with --param maximumConcurrency=31 --param bakeConcurrency=31")
    monkeypatch.setitem(moto_server.account, "UnreservedConcurrentExecutions", 10)
    seen = wrong(doctor("--stack", baking.stack, "--json"))["concurrency"]
    assert seen.endswith("deploy with --param maximumConcurrency=2 --param bakeConcurrency=2")


def test_a_stack_of_an_earlier_version_is_told_how_to_get_a_bake_queue(bare: Deployed) -> None:
    found = findings(doctor("--stack", bare.stack, "--json"))["bake queue"]
    assert found["well"]
    assert found["seen"] == "none; `npm run deploy` adds one, to bake with `ingest --queue sqs`"


def test_a_queue_without_dead_letters_is_named(
    deployed: Deployed, cloud: str, monkeypatch: pytest.MonkeyPatch, alps_copy: Path
) -> None:
    assert deployed
    assert alps_copy
    url = boto3.client("sqs", endpoint_url=cloud).create_queue(QueueName=f"{deployed.stack}-plain")["QueueUrl"]
    monkeypatch.setenv("TILER_QUEUE", url)
    assert "return forever" in wrong(doctor("--json"))["dead letters"]
    monkeypatch.setenv("TILER_BAKE_QUEUE", url)
    assert "return forever" in wrong(doctor("--json"))["bake dead letters"]


@pytest.mark.usefixtures("alps_copy")
@pytest.mark.parametrize(("variable", "what"), [("TILER_QUEUE", "queue"), ("TILER_BAKE_QUEUE", "bake queue")])
def test_a_queue_that_is_gone_is_named(cloud: str, monkeypatch: pytest.MonkeyPatch, variable: str, what: str) -> None:
    monkeypatch.setenv(variable, f"{cloud}/123456789012/nowhere")
    assert "queue does not exist" in wrong(doctor("--json"))[what]


def test_a_bake_function_that_is_paused_is_named(baking: Deployed) -> None:
    lambdas = boto3.client("lambda")
    (mapping,) = lambdas.list_event_source_mappings(FunctionName=baking.outputs["BakeFunction"])["EventSourceMappings"]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    found = wrong(doctor("--stack", baking.stack, "--json"))
    assert found == {"bake function": "event-source mapping Disabled, reads scenes in flights,survey-*"}


def test_workers_that_nothing_feeds_are_named(deployed: Deployed) -> None:
    assert wrong(doctor("--stack", deployed.stack, "--json")) == {"workers": "event-source mapping is missing"}
    mapping = make_workers(deployed.outputs["WorkerFunction"], deployed.outputs["QueueUrl"])
    boto3.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    assert wrong(doctor("--stack", deployed.stack, "--json")) == {"workers": "event-source mapping Disabled"}


def test_a_stack_without_a_layer_says_what_to_do_next(bare: Deployed) -> None:
    found = findings(doctor("--stack", bare.stack, "--json"))
    assert found["layers"]["seen"] == "none yet: run `seeder ingest SOURCE`"
    assert not {"render", "tile"} & set(found)


@pytest.mark.usefixtures("alps_copy")
def test_a_layer_that_is_not_there_is_named() -> None:
    assert "did you mean alps?" in wrong(doctor("--layer", "alp", "--json"))["layers"]


def test_a_source_that_cannot_be_read_is_named(alps_copy: Path) -> None:
    damage(alps_copy, cut)
    seen = wrong(doctor("--json"))["render"]
    assert "cannot read" in seen
    assert "ingest it again" in seen


def test_a_source_of_no_bytes_is_named(alps_copy: Path) -> None:
    damage(alps_copy, lambda _: b"")
    assert "ingest it again" in wrong(doctor("--json"))["render"]
    result = doctor()
    assert result.exit_code == 1
    assert next(line for line in result.stdout.splitlines() if " render " in line).startswith("WRONG")


def ring_mask(rows: int = 700, columns: int = 900) -> Values:
    """A mask with a large hole in its middle."""
    mask = np.full((rows, columns), 255, np.uint8)
    mask[rows // 4 : -rows // 4, columns // 4 : -columns // 4] = 0
    return mask


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """A folder with a layer with a hole in its middle."""
    path = write_raster(tmp_path / "ring.tif", Recipe(values=scene(), mask=ring_mask()))
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    stores = Stores.open(Settings.from_env({}, data=str(tmp_path / "data")), create=True)
    ingest(str(path), "ring", Options(), stores, jobs=1, progress=lambda *_: None)
    return stores


def test_a_layer_whose_middle_is_a_hole_is_well(ring: Stores) -> None:
    layer = load_layer(ring.sources, "ring")
    middle = mercantile.tile(*layer.bounds.center, layer.maxzoom)
    assert render_tile(layer, ring.sources, middle, TileVariant()) is None
    result = doctor("--json")
    assert wrong(result) == {}
    seen = findings(result)["render"]["seen"]
    assert int(re.sub(r".*: ([\d,]+) bytes.*", r"\1", seen).replace(",", "")) > 1000, seen


def test_a_layer_smaller_than_a_pixel_of_its_lowest_zoom_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "drone.tif", Recipe(values=scene(300, 400), bounds=(7.0, 46.0, 7.0004, 46.0003)))
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    stores = Stores.open(Settings.from_env({}, data=str(tmp_path / "data")), create=True)
    layer = ingest(str(path), "drone", Options(min_zoom=0), stores, jobs=1, progress=lambda *_: None).layer
    assert render_tile(layer, stores.sources, Tile(x=0, y=0, z=0), TileVariant()) is None
    result = doctor("--json")
    assert wrong(result) == {}
    assert not findings(result)["render"]["seen"].startswith("drone/0/")


def test_a_render_that_is_empty_is_named(ring: Stores) -> None:
    layer = load_layer(ring.sources, "ring")
    hole = mercantile.tile(*layer.bounds.center, layer.maxzoom)
    elsewhere = Footprint(layer.maxzoom, hole.x, hole.y, np.ones((1, 1), bool))
    publish(replace(layer, footprint=elsewhere), ring)
    seen = wrong(doctor("--json"))["render"]
    assert seen.startswith(f"ring/{hole.z}/{hole.x}/{hole.y}.png: empty")
    assert "ingest it again" in seen
    publish(replace(layer, footprint=replace(elsewhere, cells=np.zeros((1, 1), bool))), ring)
    assert "has no data" in wrong(doctor("--json"))["render"]


def test_a_stored_tile_that_is_empty_is_named(deployed: Deployed) -> None:
    make_workers(deployed.outputs["WorkerFunction"], deployed.outputs["QueueUrl"])
    blank = blank_tile(256, "png")
    deployed.website.faults["direct"] = (200, {"Content-Type": "image/png"}, blank)
    found = wrong(doctor("--stack", deployed.stack, "--json"))
    assert set(found) == {"tile"}
    assert "seeder invalidate alps --all" in found["tile"]


def test_a_way_of_a_browser_that_ends_elsewhere_is_named(deployed: Deployed) -> None:
    make_workers(deployed.outputs["WorkerFunction"], deployed.outputs["QueueUrl"])
    cases: list[tuple[str, str, int, dict[str, str], bytes]] = [
        ("website", "site", 404, {}, b"NoSuchKey"),
        ("website", "site", 403, {}, b"AccessDenied"),
        ("website", "site", 307, {"Location": "https://elsewhere.test/"}, b""),
        ("api", "api", 500, {}, b'{"message":"Internal Server Error"}'),
        ("api", "api", 404, {}, b'{"message":"Not Found"}'),
        ("api", "api", 400, {}, b"<html>Bad Request</html>"),
        ("api", "api", 400, {}, b"7"),
        ("tile", "direct", 403, {}, b"AccessDenied"),
        ("tile", "direct", 200, {"Content-Type": "text/html"}, b"<html>"),
    ]
    for what, part, status, headers, body in cases:
        deployed.website.faults = {part: (status, headers, body)}
        found = wrong(doctor("--stack", deployed.stack, "--json"))
        assert set(found) == {what}, (part, status, body)
        assert str(status) in found[what]
        deployed.forget_tiles()


def test_a_website_that_does_not_answer_is_named(make_stack: MakeStack) -> None:
    name = make_stack(WebsiteUrl="http://127.0.0.1:9", TileUrl="http://127.0.0.1:9")
    found = wrong(doctor("--stack", name, "--json"))
    assert set(found) == {"redirect"}
    assert "127.0.0.1" in found["redirect"]


def test_a_stack_that_is_being_removed_is_named(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_stack(deployed.stack, "us-east-1")
    monkeypatch.setattr(
        "seeder.aws.doctor.read_stack", lambda *_: type(found)(found.name, "DELETE_FAILED", found.outputs)
    )
    assert wrong(doctor("--stack", deployed.stack, "--json"))["stack"] == f"{deployed.stack}: DELETE_FAILED"


def test_credentials_that_are_not_valid_are_named(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: TokenResponse) -> None:
        raise InvalidClientTokenIdError

    monkeypatch.setattr(TokenResponse, "get_caller_identity", refuse)
    found = wrong(doctor("--stack", deployed.stack, "--json"))
    assert "security token included in the request is invalid" in found["credentials"]


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without any configuration, with stores in S3."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    access.session.cache_clear()
    monkeypatch.setenv("TILER_TILES", "s3://tiles")
    monkeypatch.setenv("TILER_SOURCES", "s3://sources")


@pytest.mark.usefixtures("stranger")
def test_missing_credentials_are_named_with_the_cure() -> None:
    found = wrong(doctor("--json"))
    assert "AWS_ACCESS_KEY_ID" in found["credentials"]
    assert {"tiles", "sources", "layers"} <= set(found)


@pytest.mark.usefixtures("stranger")
def test_a_missing_region_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "set AWS_REGION" in wrong(doctor("--json"))["credentials"]


def test_a_fault_is_marked_for_people(alps_copy: Path) -> None:
    assert alps_copy
    result = doctor("--layer", "nowhere")
    assert result.exit_code == 1
    marks = [line.split()[0] for line in result.stdout.splitlines()]
    assert set(marks[:-1]) == {"ok"}
    assert result.stdout.splitlines()[-1].split()[:2] == ["WRONG", "layers"]
