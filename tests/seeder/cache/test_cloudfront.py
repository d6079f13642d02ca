"""Invalidations cover all selected tiles, only these where paths allow it, and are sent only if intended."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

import boto3
import numpy as np
import pytest
from botocore import waiter
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile
from moto.cloudfront.models import Invalidation

from seeder.aws.stack import read_stack
from seeder.cache import cloudfront
from seeder.cache.cloudfront import MOST, invalidate, paths, wait
from seeder.cache.stored import StoredFilter
from seeder.cli import main as cli
from seeder.jobs.prices import CDN_PATH
from seeder.select.tilelist import parse_tiles, tile_line
from seeder.select.tileset import TileSets
from tests.support.aws import MakeStack
from tests.support.layer_strategies import GLOBE
from tests.support.oracle import lines
from tests.support.rasters import MakeRaster, scene
from tests.support.strategies import WORLD, bounds, layer_ids, tiles
from tiler.errors import BadCloud, QueueError
from tiler.grid import Bounds, tile_ranges
from tiler.keys import FORMATS, Format, TileName, index_key, tile_key
from tiler.layers.catalog import Layer, dump
from tiler.layers.publication import publish
from tiler.settings import Settings
from tiler.storage.store import Stores

DEEPEST = 5  # zoom of the tiles checked one by one
GRID = [Tile(x=x, y=y, z=z) for z in range(DEEPEST + 1) for x in range(2**z) for y in range(2**z)]
SMALL = Bounds(6.9, 45.8, 7.1, 46.0)
NOWHERE = "E0NOWHERE00000"
REGION = "us-east-1"

Command = Literal["invalidate", "refresh", "remove"]
COMMANDS = get_args(Command)


def url(layer: str, tile: Tile, scale: Literal[1, 2] = 1, form: Format = "png") -> str:
    """A tile's path in CloudFront."""
    return f"/{tile_key(TileName(layer, tile, scale, form))}?v=9f2c"


def urls(layer: str, chosen: Iterable[Tile]) -> set[str]:
    """One path per scale: formats differ after the dot, where no wildcard starts."""
    return {url(layer, tile, scale) for tile in chosen for scale in (1, 2)}


def reached(found: Iterable[str], among: Iterable[str]) -> set[str]:
    """The paths of `among` that CloudFront invalidates, by its rule."""
    return {each for each in among for path in found if each.startswith(path.removesuffix("*"))}


def listed(*chosen: Tile) -> TileSets:
    return parse_tiles(map(tile_line, chosen), "-")


def selected(stored_filter: StoredFilter) -> set[Tile]:
    """The selected tiles, one by one."""
    own = None if stored_filter.tiles is None else set(lines(stored_filter.tiles))
    return {
        tile
        for tile in GRID
        if (stored_filter.zooms is None or tile.z in stored_filter.zooms)
        and (
            not stored_filter.boxes
            or any(tile in each for box in stored_filter.boxes for each in tile_ranges(box, tile.z))
        )
        and (own is None or tile_line(tile) in own)
    }


def fewest(meant: set[str], others: set[str]) -> set[str]:
    """The shortest prefixes of `meant` without any of `others`: a lower bound for any exact set of paths."""
    taken = {other[:end] for other in others for end in range(len(other) + 1)}
    return {
        next(each[:end] for end in range(each.index("/", 1) + 1, len(each)) if each[:end] not in taken)
        for each in meant
    }


@st.composite
def picks(draw: st.DrawFn) -> StoredFilter:
    """Selections of layers of low zooms, some outside the layer's range."""
    low, high = sorted((draw(st.integers(0, DEEPEST)), draw(st.integers(0, DEEPEST))))
    box = draw(st.sampled_from([WORLD, SMALL]) | bounds())
    layer = replace(GLOBE, id=draw(layer_ids), bounds=box, minzoom=low, maxzoom=high)
    zooms = tuple(sorted(draw(st.sets(st.integers(0, DEEPEST), min_size=1))))
    boxes = tuple(draw(st.lists(bounds(), max_size=2)))
    few = st.lists(tiles(DEEPEST) | st.sampled_from(GRID[-300:]), min_size=1, max_size=8)
    chosen = draw(st.none() | few.map(lambda found: listed(*found)))
    return StoredFilter(layer, zooms, boxes, chosen)


@given(picks())
def test_every_tile_that_is_meant_is_reached_at_every_scale_and_in_every_format(stored_filter: StoredFilter) -> None:
    found = paths(stored_filter)
    meant = {
        url(stored_filter.layer.id, tile, scale, form)
        for tile in selected(stored_filter)
        for scale in (1, 2)
        for form in FORMATS
    }
    assert reached(found, meant) == meant


@given(picks())
def test_a_path_has_one_wildcard_at_its_end_and_names_one_layer(stored_filter: StoredFilter) -> None:
    found = paths(stored_filter)
    assert len(set(found)) == len(found) <= MOST
    for path in found:
        assert re.fullmatch(rf"/{re.escape(stored_filter.layer.id)}/[0-9/.@]*\*", path)


def owned(stored_filter: StoredFilter, zooms: Iterable[int]) -> set[str]:
    """The paths of unselected tiles within the layer's bounds."""
    ranges = {z: tile_ranges(stored_filter.layer.bounds, z) for z in zooms if z <= DEEPEST}
    inside = {tile for tile in GRID if any(tile in each for each in ranges.get(tile.z, ()))}
    return urls(stored_filter.layer.id, inside - selected(stored_filter))


@given(picks())
def test_where_few_paths_do_they_are_the_fewest_and_reach_nothing_else_of_the_layer(
    stored_filter: StoredFilter,
) -> None:
    own = range(stored_filter.layer.minzoom, stored_filter.layer.maxzoom + 1)
    meant, others = urls(stored_filter.layer.id, selected(stored_filter)), owned(stored_filter, own)
    wary = fewest(
        meant, owned(stored_filter, (*own, *(stored_filter.zooms or ())))
    )  # an older revision may have had these zooms too
    if len(wary) <= MOST:
        found = paths(stored_filter)
        assert reached(found, others) == set()
        assert len(fewest(meant, others)) <= len(found) <= len(wary)


@given(st.data())
def test_all_of_a_layer_is_one_path_and_a_zoom_is_one_that_reaches_no_other(data: st.DataObject) -> None:
    low, high = sorted((data.draw(st.integers(0, 28)), data.draw(st.integers(0, 28))))
    layer = replace(GLOBE, minzoom=low, maxzoom=high, bounds=data.draw(bounds()))
    assert paths(StoredFilter(layer)) == ["/globe/*"]
    z = data.draw(st.integers(low, high))
    (path,) = paths(StoredFilter(layer, (z,)))
    zooms = {other: url(layer.id, Tile(x=0, y=0, z=other)) for other in range(low, high + 1)}
    assert reached([path], zooms.values()) == {zooms[z]}


def test_tiles_that_look_alike_in_writing_share_a_path() -> None:
    alike = [Tile(x=300, y=y, z=9) for y in (4, *range(40, 50), *range(400, 500))]
    assert paths(StoredFilter(GLOBE, (9,), (), listed(*alike))) == ["/globe/9/300/4*"]


def test_a_list_without_a_tile_of_those_zooms_is_no_path() -> None:
    assert paths(StoredFilter(GLOBE, (3,), (), listed(Tile(x=1, y=1, z=9)))) == []


def test_a_hundred_thousand_scattered_tiles_are_looked_through_a_few_hundred_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = np.random.default_rng(7).integers(0, 2**14, (100_000, 2)).tolist()
    chosen = parse_tiles((f"14/{x}/{y}" for x, y in numbers), "-")
    variants, within = Counter[str](), cloudfront._Rectangles.within
    monkeypatch.setattr(
        cloudfront._Rectangles,
        "within",
        lambda found, *spans: (variants.update(tiles=len(found.x0)), within(found, *spans))[1],
    )
    assert paths(StoredFilter(replace(GLOBE, maxzoom=14), None, (), chosen)) == ["/globe/14*"]
    assert variants.total() < 60_000_000  # 0.02 s per million


@pytest.mark.parametrize("box", [WORLD, Bounds(5.5, 45.0, 10.5, 47.5)], ids=["world", "alps"])
@pytest.mark.parametrize("chosen", [SMALL, Bounds(-60, -45, 77, 46)], ids=["small", "large"])
def test_boxes_of_deep_zooms_are_counted_some_thousand_times(
    box: Bounds, chosen: Bounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, count = Counter[str](), cloudfront._count
    monkeypatch.setattr(cloudfront, "_count", lambda *args: (counts.update(["calls"]), count(*args))[1])
    found = paths(StoredFilter(replace(GLOBE, bounds=box, maxzoom=20), None, (chosen,)))
    assert counts.total() < 50_000
    ranges = [each for z in range(21) for each in tile_ranges(chosen, z)]
    meant = urls("globe", (Tile(x=each.x1 - 1, y=each.y0, z=each.z) for each in ranges))
    assert reached(found, meant) == meant


@dataclass(frozen=True)
class Distribution:
    """A distribution, and the paths of its invalidations."""

    id: str

    def told(self) -> list[list[str]]:
        """The paths of each invalidation, the oldest first."""
        client = boto3.client("cloudfront")
        listing = client.list_invalidations(DistributionId=self.id)["InvalidationList"]
        found = [
            client.get_invalidation(DistributionId=self.id, Id=each["Id"])["Invalidation"]
            for each in listing.get("Items", [])
        ]
        return [each["InvalidationBatch"]["Paths"]["Items"] for each in found]


@pytest.fixture
def distribution(cloud: str) -> Distribution:
    """A distribution without invalidations."""
    assert cloud
    origin = {"Id": "tiles", "DomainName": "tiles.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    config = {
        "CallerReference": uuid4().hex,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {"TargetOriginId": "tiles", "ViewerProtocolPolicy": "allow-all"},
        "Comment": "",
        "Enabled": True,
    }
    return Distribution(boto3.client("cloudfront").create_distribution(DistributionConfig=config)["Distribution"]["Id"])


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Statuses of an invalidation in consecutive polls, the last one repeated; nothing sleeps between polls."""
    states = ["InProgress", "InProgress", "Completed"]
    status = property(lambda _: states.pop(0) if len(states) > 1 else states[0], lambda *_: None)
    monkeypatch.setattr(Invalidation, "status", status, raising=False)
    monkeypatch.setattr(waiter.time, "sleep", lambda _: None)
    return states


def test_the_paths_arrive_and_each_time_is_an_invalidation_of_its_own(distribution: Distribution) -> None:
    first, second = (invalidate(distribution.id, found, REGION) for found in (["/a/*"], ["/a/1/*", "/a/2/*"]))
    assert first != second
    assert sorted(distribution.told()) == [["/a/*"], ["/a/1/*", "/a/2/*"]]


def test_waiting_ends_when_cloudfront_is_done(distribution: Distribution, slow: list[str]) -> None:
    number = invalidate(distribution.id, ["/a/*"], REGION)
    wait(distribution.id, number, REGION)
    assert slow == ["Completed"]


def test_an_invalidation_that_does_not_end_is_a_failure_and_no_matter_of_credentials(
    distribution: Distribution, slow: list[str]
) -> None:
    number = invalidate(distribution.id, ["/a/*"], REGION)
    slow[:] = ["InProgress"]
    with pytest.raises(QueueError, match=f"wait for invalidation {number}") as caught:
        wait(distribution.id, number, REGION)
    assert "AWS_PROFILE" not in str(caught.value)


def test_an_unknown_distribution_is_bad_input(cloud: str) -> None:
    assert cloud
    with pytest.raises(BadCloud, match=f"CloudFront distribution {NOWHERE}: .*does not exist"):
        invalidate(NOWHERE, ["/a/*"], REGION)


RELIEF = replace(GLOBE, id="relief", maxzoom=5)
OTHER = replace(RELIEF, id="relief-2")
CENTRE = [next(iter(Tile(x=each.x0, y=each.y0, z=z) for each in tile_ranges(SMALL, z))) for z in range(10)]
Words = tuple[str, ...]


def fill(stores: Stores, layer: Layer, zooms: Iterable[int]) -> set[str]:
    """Store a tile of each zoom; return their keys."""
    names = {tile_key(TileName(layer.id, CENTRE[z], 1, "png")) for z in zooms}
    for key in names:
        stores.tiles.put(key, b"old", content_type="image/png")
    return names


@pytest.fixture
def data(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The layers `relief` and `relief-2`, with six tiles each, for all commands of a test."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    for layer in (RELIEF, OTHER):
        publish(layer, stores)
        fill(stores, layer, range(6))
    return stores


@pytest.fixture
def words(make_raster: MakeRaster) -> Callable[[Command], Words]:
    """Commands that change all tiles of `relief`."""
    raster = str(make_raster(values=scene(64, 64), bounds=SMALL))
    typed: dict[Command, Words] = {
        "invalidate": ("invalidate", "relief", "--all"),
        "refresh": ("refresh", "relief", raster, "--no-wait", "--jobs", "1"),
        "remove": ("remove", "relief", "--confirm", "relief", "--no-wait"),
    }
    return typed.__getitem__


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, words)


def contents(stores: Stores) -> dict[str, bytes]:
    return {entry.key: store.get(entry.key) for store in (stores.tiles, stores.sources) for entry in store.list("")}


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_tells_cloudfront_of_the_layer_and_says_what_it_costs(
    command: Command, as_json: bool, words: Callable[[Command], Words], distribution: Distribution, data: Stores
) -> None:
    result = run(*words(command), "--cloudfront", distribution.id, *["--json"] * as_json)
    assert (result.exit_code, distribution.told()) == (0, [["/relief/*"]])
    assert OTHER.id in {entry.key.split("/")[0] for entry in data.tiles.list("")}
    if as_json:
        said = json.loads(result.stdout.splitlines()[-1])
        assert (said["cloudfront"], said["paths"], said["most"]) == (distribution.id, ["/relief/*"], CDN_PATH)
    else:
        assert f"CloudFront {distribution.id}: 1 path (/relief/*), at most $0.005" in result.stdout


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_dry_run_tells_paths_and_price_and_sends_and_changes_nothing(
    command: Command, as_json: bool, words: Callable[[Command], Words], distribution: Distribution, data: Stores
) -> None:
    typed, before = words(command), contents(data)
    result = run(*typed, "--cloudfront", distribution.id, "--dry-run", *["--json"] * as_json)
    assert (result.exit_code, distribution.told(), contents(data)) == (0, [], before)
    last = result.stdout.splitlines()[-1]
    if as_json:
        assert json.loads(last)["paths"] == ["/relief/*"]
    else:
        assert last.startswith(f"CloudFront {distribution.id}: 1 path (/relief/*), at most $0.005")


@pytest.mark.parametrize("command", COMMANDS)
def test_to_wait_for_no_distribution_is_refused_before_anything_is_changed(
    command: Command, words: Callable[[Command], Words], data: Stores
) -> None:
    typed, before = (*words(command), "--wait"), contents(data)
    result = run(*typed)
    assert (result.exit_code, result.stdout, contents(data)) == (2, "", before)
    assert "--wait needs a CloudFront distribution: add --cloudfront ID" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_waits_for_cloudfront_if_asked(
    command: Command, words: Callable[[Command], Words], distribution: Distribution, slow: list[str], data: Stores
) -> None:
    assert data
    result = run(*words(command), "--cloudfront", distribution.id, "--wait")
    assert (result.exit_code, slow) == (0, ["Completed"])
    assert re.search(r"; invalidation \w+ is done$", result.stdout, re.MULTILINE)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_distribution_is_one_line_before_anything_is_changed(
    command: Command, words: Callable[[Command], Words], data: Stores
) -> None:
    typed, before = words(command), contents(data)
    result = run(*typed, "--cloudfront", NOWHERE)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(f"CloudFront distribution .{NOWHERE}.*does not exist", line)
    assert (result.exit_code, result.stdout, contents(data)) == (2, "", before)


@pytest.mark.parametrize("chosen", ["--bbox", "--tiles"])
def test_what_was_removed_is_told_of_though_the_layer_has_such_zooms_no_more(
    chosen: str, data: Stores, distribution: Distribution, tmp_path: Path
) -> None:
    deep = fill(data, RELIEF, range(6, 10))
    (tmp_path / "tiles.txt").write_text("".join(f"{tile_line(tile)}\n" for tile in CENTRE))
    place = {"--bbox": ",".join(map(str, SMALL)), "--tiles": str(tmp_path / "tiles.txt")}[chosen]
    result = run("invalidate", "relief", chosen, place, "--cloudfront", distribution.id)
    assert (result.exit_code, any(data.tiles.has(key) for key in deep)) == (0, False)
    (found,) = distribution.told()
    assert len(reached(found, {f"/{key}" for key in deep})) == len(deep)


@pytest.fixture
def staged(make_stack: MakeStack) -> Callable[[str], str]:
    """Create a stack with the layer `relief` and a distribution; return its name."""

    def make(output: str) -> str:
        name = make_stack(WebsiteUrl="http://tiles.test", TileUrl="https://tiles.test", CloudFront=output)
        outputs = read_stack(name, REGION).outputs
        boto3.client("s3").put_object(Bucket=outputs["SourceBucket"], Key=index_key("relief"), Body=dump(RELIEF))
        return name

    return make


def test_the_stacks_distribution_is_the_default_and_another_one_counts_more(
    staged: Callable[[str], str], distribution: Distribution
) -> None:
    typed = ("invalidate", "relief", "--zooms", "3", "--stack", staged(distribution.id))
    assert run(*typed).exit_code == 0
    assert distribution.told() == [["/relief/3*"]]
    assert run(*typed, "--cloudfront", NOWHERE).exit_code == 2
    assert run(*typed, "--cloudfront", "").exit_code == 0
    assert len(distribution.told()) == 1


def test_a_stack_without_a_distribution_says_none_and_none_is_asked(
    staged: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudfront, "invalidate", pytest.fail)
    name = staged("none")
    assert read_stack(name, REGION).settings(Settings.from_env({})).cloudfront == ""
    assert run("invalidate", "relief", "--zooms", "3", "--stack", name).exit_code == 0
    assert run("invalidate", "relief", "--zooms", "3", "--stack", name, "--wait").exit_code == 2
