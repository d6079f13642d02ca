"""Tiles, metadata and commands over the wire, by both deliveries: through CloudFront and from a website."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.e2e.delivery import Delivery, cloudfront, names_resolved, website
from tests.e2e.proxy import Fault, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.template import read_yaml
from tests.e2e.world import ALPS, BELT, Deployed, deployed, key
from tests.support.aws_actions import FREE, Recorder, allowed, recorded
from tests.support.effort import LONG
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, scene, write_raster
from tiler.layers.fill import CACHE_CONTROL

TILE = key(ALPS, 7, 66, 45)
ORIGIN = {"Origin": "https://map.test"}
TEMPLATE = ".//{http://www.opengis.net/wmts/1.0}ResourceURL"
long = pytest.mark.skipif(not LONG, reason="scripts/full runs it")


@pytest.fixture(scope="module")
def wire(s3: S3) -> Iterator[Proxy]:
    """What stands between visitors and S3."""
    with Proxy(s3.endpoint) as made:
        yield made


@pytest.fixture(scope="module")
def functions(s3: S3) -> Iterator[Recorder]:
    """What stands between the functions and S3."""
    with Recorder(s3.endpoint) as made:
        yield made


@pytest.fixture(scope="module")
def stack(s3: S3, sqs: Sqs, data: Path, wire: Proxy, functions: Recorder) -> Iterator[Deployed]:
    """A deployment, not yet by either delivery."""
    visited = replace(s3, website_port=wire.port)
    with names_resolved(), deployed(visited, sqs, data, endpoint=functions.url) as made:
        yield made


@pytest.fixture(scope="module", params=["website", "cloudfront"])
def delivery(
    request: pytest.FixtureRequest, stack: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Delivery, set[str]]]:
    """Each delivery of the deployment, and the actions that its commands have called."""
    made = website(stack) if request.param == "website" else cloudfront(stack, tmp_path_factory.mktemp("tls"))
    with made as site, recorded(site.stack.env) as (env, actions):
        yield replace(site, stack=replace(site.stack, env=env)), actions


@pytest.fixture
def site(delivery: tuple[Delivery, set[str]], wire: Proxy, functions: Recorder) -> Iterator[Delivery]:
    """The deployment without stored tiles and faults; it stays within its policies."""
    made, actions = delivery
    wire.clear()
    made.reset(ALPS)
    yield made
    assert actions - {FREE} <= allowed("operator")
    assert functions.actions <= {
        action
        for policy in read_yaml(ROOT / "deploy" / "roles.yml")["Resources"]["HttpRole"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }


def wrong(site: Delivery) -> dict[str, str]:
    """The failed checks of `doctor`."""
    results = [json.loads(line) for line in site.run("doctor", "--json", check=False).stdout.splitlines()]
    assert {"addresses", "tile"} <= {each["what"] for each in results}
    return {each["what"]: each["seen"] for each in results if not each["well"]}


def address(site: Delivery) -> str:
    """The tile address in the layer's TileJSON."""
    (found,) = json.loads(site.get(f"{ALPS}/tile.json").last.data)["tiles"]
    return str(found)


def test_a_missing_tile_is_rendered_once_then_cached_or_stored(site: Delivery, alps: dict[str, bytes]) -> None:
    first, second = (site.get(TILE, headers=ORIGIN) for _ in range(2))
    site.forget()
    third = site.get(TILE, headers=ORIGIN)
    assert [each.state for each in (first, second, third)] == ["rendered", site.again, "stored"]
    assert (first.statuses, second.statuses, third.statuses) == (site.rendered, (200,), (200,))
    for visit in (first, second, third):
        assert (visit.last.data, visit.last.headers["Content-Type"]) == (alps[TILE], "image/png")
        assert visit.last.headers["Cache-Control"] == CACHE_CONTROL
        assert {each.headers["Access-Control-Allow-Origin"] for each in visit.answers} == {"*"}
    assert site.renders == 1
    assert site.stack.stored(ALPS) == {TILE: alps[TILE]}


def test_a_sharp_tile_keeps_its_sign_on_the_way(site: Delivery) -> None:
    states = [site.get(f"{ALPS}/6/33/{name}").state for name in ("22%402x.png", "22@2x.png")]
    assert states == ["rendered", site.again]
    assert list(site.stack.stored(ALPS)) == [f"{ALPS}/6/33/22@2x.png"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("nowhere/3/1/2.png", 404), (f"{ALPS}/3/0/0.png", 404), (f"{ALPS}/20/0/0.png", 404), ("favicon.ico", 400)],
)
def test_a_request_for_no_tile_ends_in_a_message(site: Delivery, path: str, status: int) -> None:
    visit = site.get(path, headers=ORIGIN)
    assert (visit.last.status, visit.last.headers["Access-Control-Allow-Origin"]) == (status, "*")
    assert visit.message
    assert site.stack.stored(ALPS) == {}


def test_nobody_may_list_or_write(site: Delivery) -> None:
    for path in ("", "?list-type=2"):
        assert b"<ListBucketResult" not in site.get(path).last.data
    for method in ("PUT", "DELETE"):
        assert site.get(TILE, method).statuses == (site.not_allowed,)
    assert site.stack.stored(ALPS) == {}
    assert site.pool.request("GET", f"{site.stack.s3.endpoint}/{site.stack.tiles}/", redirect=False).status == 403


@pytest.mark.parametrize(("kind", "status"), [("slow down", 503), ("error", 500)])
def test_a_failing_s3_causes_no_rendering(site: Delivery, wire: Proxy, kind: str, status: int) -> None:
    assert site.get(TILE).state == "rendered"
    site.forget()
    wire.add(Fault(kind, "GET", TILE))  # type: ignore[arg-type]
    assert site.get(TILE).statuses == (status,)
    wire.clear()
    site.forget()
    assert site.get(TILE).state == "stored"
    assert site.renders == 1


def test_tilejson_wmts_and_page_name_the_address_of_the_delivery(site: Delivery, alps: dict[str, bytes]) -> None:
    site.refresh(ALPS)
    site.run("publish-preview", ALPS)
    site.forget()
    templates = [address(site)]
    for each in ET.fromstring(site.get(f"{ALPS}/wmts.xml").last.data).iterfind(TEMPLATE):
        named = each.attrib["template"].replace("{TileMatrix}", "{z}").replace("{TileCol}", "{x}")
        templates.append(named.replace("{TileRow}", "{y}"))
    assert len(templates) == 2
    for each in templates:
        assert each.startswith(f"{site.url}/{ALPS}/")
        path = each.removeprefix(f"{site.url}/").format(z=7, x=66, y=45)
        assert site.get(path).last.data == alps[TILE]
    page = site.get(f"{ALPS}/").last
    assert (page.status, page.headers["Content-Type"].partition(";")[0]) == (200, "text/html")


def test_a_tilejson_that_was_removed_is_written_by_a_refresh(site: Delivery) -> None:
    site.refresh(ALPS)
    site.forget()
    before = address(site)
    site.remove(f"{ALPS}/tile.json")
    site.forget()
    assert site.get(f"{ALPS}/tile.json").last.status == site.unwritten
    site.refresh(ALPS)
    site.forget()
    assert address(site) == before
    assert site.get(f"{ALPS}/tile.json").statuses == (200,)


def test_the_doctor_finds_nothing_wrong_and_names_another_address(site: Delivery, data: Path) -> None:
    site.refresh(ALPS)
    site.refresh(BELT)
    assert wrong(site) == {}
    stored = (data / "tiles" / ALPS / "tile.json").read_bytes()  # of before the deployment
    site.stack.s3.client().put_object(Bucket=site.stack.tiles, Key=f"{ALPS}/tile.json", Body=stored)
    assert set(wrong(site)) == {"addresses"}


@long
def test_an_unchanged_raster_ingested_again_writes_the_address(site: Delivery, data: Path) -> None:
    site.remove(f"{ALPS}/tile.json")
    site.run("ingest", str(data.parent / "alps.tif"), "--layer", ALPS, "--jobs", "1")
    site.forget()
    assert address(site).startswith(f"{site.url}/{ALPS}/{{z}}/{{x}}/{{y}}.png?v=")


@long
def test_a_refresh_shows_new_tiles_under_old_addresses_too(
    site: Delivery, data: Path, alps: dict[str, bytes], tmp_path: Path
) -> None:
    assert site.get(TILE).last.data == site.get(f"{TILE}?v=old").last.data == alps[TILE]
    raster = write_raster(tmp_path / "later.tif", Recipe(values=scene(seed=11)))
    site.refresh(ALPS, str(raster))
    new, old = site.get(TILE), site.get(f"{TILE}?v=old")
    assert new.last.data == old.last.data == site.stack.stored(ALPS)[TILE] != alps[TILE]
    assert (new.state, old.state) == ("stored", "stored")
    site.refresh(ALPS, str(data.parent / "alps.tif"))
    assert site.get(TILE).last.data == alps[TILE]


@long
def test_an_invalidated_tile_is_rendered_again(site: Delivery) -> None:
    assert site.get(TILE).state == "rendered"
    site.run("invalidate", ALPS, "--zooms", "7", "--no-wait")
    assert site.stack.stored(ALPS) == {}
    assert site.get(TILE).state == "rendered"


STEPS = re.compile(r"^## Change the delivery\n.*?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@long
def test_a_stage_changes_its_delivery_and_back_without_losing_a_tile(
    s3: S3, sqs: Sqs, data: Path, tmp_path: Path
) -> None:
    found = STEPS.search((ROOT / "docs" / "operate.md").read_text())
    assert found
    steps = [line.partition("#")[0].split() for line in found[1].splitlines()]
    assert [words[0] for words in steps[:2]] == ["npm", "export"]  # the stack and its name change below

    def follow(site: Delivery) -> list[int]:
        return [
            site.run(*(ALPS if word == "ortho" else word for word in words[1:]), check=False).exit_code
            for words in steps
            if words[0] == "seeder"
        ]

    def kept(site: Delivery) -> bool:
        site.forget()
        site.stack.gateway.served.clear()  # of the tile that doctor requests
        visits = {name: site.get(name) for name in before}
        assert {visit.state for visit in visits.values()} == {"stored"}
        assert site.renders == 0
        stored = site.stack.stored(ALPS)
        return (
            before
            == {name: visit.last.data for name, visit in visits.items()}
            == {name: stored[name] for name in before}
        )

    with names_resolved(), deployed(s3, sqs, data) as stack, website(stack) as site:
        site.run("seed", ALPS, "--zooms", "0-7", "--queue", "local", "--jobs", "1")
        site.get(f"{ALPS}/6/33/22@2x.png")
        before = stack.stored(ALPS)
        with cloudfront(stack, tmp_path) as changed:
            assert site.get(TILE).last.status >= 400
            assert follow(changed) == [1, 0, 0]  # doctor lists the old addresses, which the others replace
            assert kept(changed)
            assert address(changed).startswith(changed.url)
        assert follow(site) == [1, 0, 0]
        assert kept(site)
        assert address(site).startswith(site.url)
