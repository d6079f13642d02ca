"""The time in which a superseded revision may still put tiles, and that none is put later."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seeder.cache import fence
from seeder.cache.fence import countdown, seconds_remaining, settled
from seeder.cache.prepare_job import prepare
from seeder.jobs.ledger import finished
from seeder.jobs.messages import Message, Receipt
from seeder.select.selection import Selection
from seeder.workers import process_block
from seeder.workers.breaker import Breaker
from seeder.workers.process_block import Worker
from tests.support.layer_strategies import GLOBE
from tests.support.queues import MakeQueue, taken, working
from tests.support.site import Site, memory
from tiler import timing
from tiler.grid import Block
from tiler.keys import index_key
from tiler.layers import fill, layer_cache
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Request
from tiler.layers.history import UNKNOWN
from tiler.layers.layer_cache import Layers
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.layers.tilejson import announce, shown
from tiler.settings import Settings
from tiler.storage.store import Store, Stores, open_store

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
A_TILE = 0.4  # seconds


class Clock:
    """A clock advanced by the test, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """See `time.monotonic`."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """See `time.sleep`."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of caches, fills and waits."""
    clock, guard = Clock(), fill.Guard  # it reads the time when its class is created
    for module in (layer_cache, fill, fence, process_block):
        monkeypatch.setattr(module, "time", clock, raising=False)
    for module in (fill, process_block):
        monkeypatch.setattr(module, "Guard", lambda superseded: guard(superseded, clock.now))
    return clock


class Dated:
    """A store with its own clock, `skew` seconds behind ours, with times in steps of `step` seconds."""

    def __init__(self, store: Store, *, step: float = 0.0, skew: float = 0.0) -> None:
        self.store = store
        self.now = 0.0
        self._step, self._skew = step, skew
        self._times: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, key: str, data: bytes, **headers: str) -> None:
        """See `Store.put`."""
        self.store.put(key, data, **cast(Any, headers))
        self._times[key] = self.now

    def written(self, key: str) -> datetime:
        """See `Store.written`."""
        told = self._times[key] + self._skew
        return NOON + timedelta(seconds=told // self._step * self._step if self._step else told)

    def date(self, key: str, moment: float) -> None:
        """Set the time of last write of the object at `key`."""
        self._times[key] = moment

    def clock(self, key: str) -> datetime:
        """See `Store.clock`."""
        self.put(key, b"", content_type="text/plain")
        return self.written(key)


def dated(tiles: Store, **kind: float) -> tuple[Dated, Stores]:
    sources = Dated(memory(), **kind)
    return sources, Stores(tiles, cast(Store, sources), "http://tiles.test")


OLDER, NEWER = replace(GLOBE, revision="0001"), replace(GLOBE, revision="0002", previous="0001")


def test_the_fence_outlasts_whoever_may_still_put(store: Store) -> None:
    spent = fence.fence(store).total_seconds()
    assert spent >= timing.LAYER_TTL_SECONDS + (0 if store.root else timing.HTTP_ANSWER_SECONDS)
    assert (
        store.root
        or spent >= timing.REVISION_CHECK_SECONDS + timing.WORKER_RETRY_SECONDS + timing.STORE_REQUEST_SECONDS
    )
    assert spent <= 2 * (timing.REVISION_CHECK_SECONDS + timing.WORKER_RETRY_SECONDS + timing.STORE_REQUEST_SECONDS), (
        "nobody waits so long"
    )


@dataclass(frozen=True)
class Case:
    """A store's clock with steps and an offset, a publication in a folder or not, and the time of a check.

    `late` are the seconds from the end of the fence to the look.
    """

    step: float
    skew: float
    published: float
    folder: bool
    late: float

    @property
    def tiles(self) -> Store:
        """The tile store."""
        return open_store("file:///tmp") if self.folder else memory()

    def begun(self) -> tuple[Dated, Stores, float]:
        """The private store at the time of the check, and the end of the fence."""
        sources, stores = dated(self.tiles, step=self.step, skew=self.skew)
        for layer in (OLDER, NEWER):
            publish(layer, replace(stores, tiles=memory()))
            sources.now = self.published
        publish(NEWER, replace(stores, tiles=memory()))
        end = self.published + fence.fence(stores.tiles).total_seconds()
        sources.now = max(self.published, end + self.late)
        return sources, stores, end


seconds = st.floats(0, 500).map(lambda moment: round(moment, 2))
cases = st.builds(
    Case,
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([0.0, -3600.0, 3600.0]),
    seconds,
    st.booleans(),
    st.floats(-90, 90) | st.floats(-1, 1),
)
JUST_BEFORE = Case(1.0, 0.0, 10.9, folder=False, late=-0.5)


@given(cases)
@example(JUST_BEFORE)
def test_nobody_stops_waiting_before_the_fence_is_past(case: Case) -> None:
    sources, stores, end = case.begun()
    wait = seconds_remaining(NEWER, stores)
    assert sources.now + wait >= end - 1e-5
    assert sources.now + wait <= max(sources.now, end + 2 * case.step + 2), "it is waited for longer than need be"


@given(cases)
@example(JUST_BEFORE)
def test_what_is_put_before_the_fence_is_past_is_told_from_what_is_put_later(case: Case) -> None:
    sources, stores, end = case.begun()
    sources.put("tile", b"", content_type="image/png")
    if sources.now < end - 1e-5:
        assert sources.written("tile") < settled(NEWER, stores), "an old tile counts as new"
    sources.now += seconds_remaining(NEWER, stores) + 1e-5
    sources.put("tile", b"", content_type="image/png")
    assert sources.written("tile") >= settled(NEWER, stores), "a new tile counts as old"


@given(st.booleans(), st.sampled_from([0.0, 1.0]), st.floats(0, 1e9))
def test_no_wait_is_longer_than_the_fence_whatever_the_date(folder: bool, step: float, ahead: float) -> None:
    case = Case(step, 0.0, 10.0, folder=folder, late=0.0)
    sources, stores, _ = case.begun()
    sources.date(index_key("globe"), sources.now + ahead)
    whole = fence.fence(stores.tiles).total_seconds()
    assert seconds_remaining(NEWER, stores) <= whole + timing.S3_ROUNDING_SECONDS
    sources.put("tile", b"", content_type="image/png")
    if ahead > step:
        assert seconds_remaining(NEWER, stores) >= min(ahead, whole) - step, "it may have been published just now"
        assert sources.written("tile") < settled(NEWER, stores), "nothing tells that the tile is new"


def test_a_first_revision_dated_ahead_is_not_waited_for_longer_either() -> None:
    sources, stores = dated(memory())
    publish(OLDER, replace(stores, tiles=memory()))
    sources.date(index_key("globe"), 365 * 86400.0)
    assert seconds_remaining(OLDER, stores) <= fence.fence(stores.tiles).total_seconds() + timing.S3_ROUNDING_SECONDS


def test_a_first_revision_is_not_waited_for(stores: Stores) -> None:
    publish(OLDER, stores)
    assert settled(OLDER, stores) == stores.sources.written(index_key("globe"))
    assert seconds_remaining(OLDER, stores) == 0


def test_the_clock_of_this_machine_is_not_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = Stores(memory(), store, "")
    for layer in (OLDER, NEWER):
        publish(layer, stores)
    monkeypatch.setattr(fence, "time", None)
    most = fence.fence(stores.tiles).total_seconds() + 2 * timing.S3_ROUNDING_SECONDS
    assert most - 3 <= seconds_remaining(NEWER, stores) <= most


@given(st.floats(0, 200))
def test_the_countdown_takes_its_time(seconds: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(fence, "time", clock)
        told = list(countdown(seconds))
    assert clock.now - 1000 == pytest.approx(seconds, abs=1e-6)
    assert told == sorted(told, reverse=True)
    assert all(0 < rest <= seconds + 1e-6 for rest in told)
    assert all(one - other <= 1 + 1e-6 for one, other in pairwise(told))


class Slow:
    """A store with slow responses."""

    def __init__(self, store: Store, clock: Clock, seconds: float) -> None:
        self._store, self._clock, self._seconds = store, clock, seconds

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        data = self._store.get(key)
        self._clock.now += self._seconds
        return data


@pytest.mark.parametrize("seconds", [0.0, 3.0, 40.0])
def test_metadata_is_believed_only_since_it_was_asked_for(clock: Clock, seconds: float) -> None:
    stores = Stores(memory(), memory(), "")
    publish(OLDER, stores)
    layers = Layers(cast(Store, Slow(stores.sources, clock, seconds)), timing.LAYER_TTL_SECONDS)
    asked = clock.now
    assert layers.get("globe") == OLDER
    publish(NEWER, stores)
    clock.now = max(clock.now, asked + timing.LAYER_TTL_SECONDS - 0.01)
    late = clock.now - asked >= timing.LAYER_TTL_SECONDS
    assert layers.get("globe") == (NEWER if late else OLDER)
    clock.now = max(clock.now, asked + timing.LAYER_TTL_SECONDS)
    assert layers.get("globe") == NEWER


@dataclass
class Bench:
    """A worker on `alps` that needs A_TILE per tile; its puts with their times, and a change of the revision."""

    clock: Clock
    stores: Stores
    layer: Layer
    changed: float = 1e9
    slow: Callable[[str], float] = lambda _: 0.0

    def __post_init__(self) -> None:
        self.puts: list[tuple[str, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stores.tiles, name)

    def pass_by(self, seconds: float) -> None:
        """Let time pass, with a publication if it is due."""
        if self.clock.now < self.changed <= self.clock.now + seconds:
            publish(replace(self.layer, revision="0002"), self.stores)
        self.clock.now += seconds

    def put_all(self, objects: Any, **_: Any) -> Iterator[str]:
        """See `Store.put_all`."""
        for key, _data in objects:
            self.puts.append((key, self.clock.now))
            self.pass_by(self.slow("put"))
            yield key

    def render(self, *asked: Any) -> Iterator[Any]:
        """Blank tiles; every second one is empty."""
        for number, tile in enumerate(asked[2].tiles(asked[3])):
            self.pass_by(A_TILE)
            yield tile, None if number % 2 else b"drawn"

    def fill(self, *, force: bool) -> Receipt:
        """A block of 8 x 8 tiles."""
        block = Block(9, 256, 176)
        plan = prepare(self.layer, Selection((9,)), TileVariant(), force=force, stores=self.stores)
        bench = self

        class Ledger:
            def __getattr__(self, name: str) -> Any:
                return getattr(bench.stores.sources, name)

            def has(self, key: str) -> bool:
                found = bench.stores.sources.has(key)
                bench.pass_by(bench.slow("has"))
                return found

            def get(self, key: str) -> bytes:
                data = bench.stores.sources.get(key)
                bench.pass_by(bench.slow("get"))
                return data

        stores = Stores(cast(Store, self), cast(Store, Ledger()), "")
        worker = Worker(stores, Layers(stores.sources), lambda _: 0, Breaker(stores.sources))
        request = Request(block, block.full, TileVariant(), force)
        receipt = worker.work(Message(plan.job.id, "alps", self.layer.revision, request))
        self.receipts = list(finished(self.stores.sources, plan.job.id))
        return receipt


@pytest.fixture
def bench(clock: Clock, site: Site, alps: Layer, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A worker, and stored tiles in every place of its block."""
    bench = Bench(clock, Stores(site.tiles.store, site.sources.store, ""), alps)
    monkeypatch.setattr(fill, "render", bench.render)
    return bench


def stocked(bench: Bench) -> None:
    for tile in Block(9, 256, 176).tiles(Block(9, 256, 176).full):
        bench.stores.tiles.put(f"alps/9/{tile.x}/{tile.y}.png", b"old", content_type="image/png")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("after", [0.1, 7.0, 19.0])
def test_no_put_begins_long_after_the_revision_changed(bench: Bench, after: float, force: bool) -> None:
    if force:
        stocked(bench)
    bench.changed = bench.clock.now + after
    receipt = bench.fill(force=force)
    assert receipt.fate == "dropped"
    assert "superseded by revision 0002" in receipt.outcome.error
    assert bench.receipts == []
    assert after < A_TILE or bench.puts, "nothing was put before"
    assert all(begun <= bench.changed + timing.REVISION_CHECK_SECONDS + A_TILE for _, begun in bench.puts)


def test_a_block_whose_revision_stays_is_filled_whole(bench: Bench) -> None:
    stocked(bench)
    receipt = bench.fill(force=True)
    assert receipt.fate == "filled"
    assert (receipt.outcome.written.bit_count(), receipt.outcome.empty.bit_count()) == (32, 32)
    assert len({key for key, _ in bench.puts}) == len(bench.puts) == 64
    assert bench.receipts == [receipt.block]


def test_no_blank_is_put_long_after_the_revision_changed(bench: Bench) -> None:
    stocked(bench)
    bench.slow = lambda verb: 2.0 * (verb == "put" and len(bench.puts) > 32)
    bench.changed = bench.clock.now + 64 * A_TILE + 3  # by then the rendered ones are put
    assert bench.fill(force=True).fate == "dropped"
    assert len(bench.puts) > 32
    assert all(begun <= bench.changed + timing.REVISION_CHECK_SECONDS + A_TILE for _, begun in bench.puts)


@pytest.mark.parametrize("verb", ["has", "get"])
@pytest.mark.parametrize("after", [0.1, 5.3])  # at the first check, and at the next
def test_a_slow_ledger_lets_no_put_begin_later(bench: Bench, verb: str, after: float) -> None:
    bench.changed = bench.clock.now + after
    bench.slow = lambda asked: 20.0 * (asked == verb and bench.changed - bench.clock.now < A_TILE)
    assert bench.fill(force=False).fate == "dropped"
    assert [begun for _, begun in bench.puts if begun > bench.changed + timing.REVISION_CHECK_SECONDS + A_TILE] == []


def test_the_redirect_names_the_revision_that_was_rendered(site: Site, alps: Layer) -> None:
    site.service.layers._ttl = 0
    first = site.ask("/alps/5/16/11.png")
    assert first.headers["Location"] == f"http://direct.test/alps/5/16/11.png?v={alps.revision}"
    publish(replace(alps, revision="0002"), Stores(site.tiles.store, site.sources.store, ""))
    assert site.ask("/alps/5/16/11.png").headers["Location"].endswith("?v=0002")
    assert json.loads(site.ask("/alps/tile.json").body)["tiles"] == ["http://tiles.test/alps/{z}/{x}/{y}.png?v=0002"]


def named(stores: Stores) -> str:
    """The revision that the public TileJSON names."""
    (address,) = json.loads(stores.tiles.get("globe/tile.json"))["tiles"]
    return str(address).partition("?v=")[2]


def test_the_old_revision_is_named_while_its_tiles_are_stored(store: Store) -> None:
    stores = Stores(store, memory(), "http://tiles.test")
    publish(OLDER, stores)
    publish(NEWER, stores)
    assert named(stores) == "0002", "no tile of the old one is stored"
    assert shown("globe", store) == ""
    store.put("globe/3/4/5.png", b"tile", content_type="image/png")
    publish(replace(NEWER, revision="0003", maxzoom=5), stores)
    assert shown("globe", store) == named(stores) == "0002"
    assert json.loads(store.get("globe/tile.json"))["maxzoom"] == 5
    publish(replace(NEWER, revision="0004"), stores)
    assert named(stores) == "0002", "its tiles are of that one still"
    announce(load_layer(stores.sources, "globe"), stores)
    assert shown("globe", store) == named(stores) == "0004"


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"[]", b'{"tiles": []}', b'{"tiles": 3}', b"\xff"])
def test_a_tilejson_that_nobody_understands_is_replaced(stores: Stores, rubbish: bytes) -> None:
    stores.tiles.put("globe/3/4/5.png", b"tile", content_type="image/png")
    stores.tiles.put("globe/tile.json", rubbish, content_type="application/json")
    publish(NEWER, stores)
    assert named(stores) == UNKNOWN, "the revision of stored tiles"
    announce(load_layer(stores.sources, "globe"), stores)
    assert named(stores) == "0002"


def test_messages_of_the_old_revision_are_dropped_by_whoever_gets_them(make_queue: MakeQueue, alps_copy: Any) -> None:
    queue, settings = make_queue(), Settings.from_env({}, data=str(alps_copy))
    stores = Stores.open(settings)
    layer = load_layer(stores.sources, "alps")
    plan = prepare(layer, Selection((5, 6, 7)), TileVariant(), force=True, stores=stores)
    queue.send(plan.messages(queue.sizes))
    publish(replace(layer, revision="0002"), stores)
    with working(queue, settings):
        while queue.depth():
            time.sleep(0.02)
    assert taken(queue) == []
    assert list(stores.tiles.list("alps/5/")) == list(stores.tiles.list("alps/7/")) == []
    assert list(finished(stores.sources, plan.job.id)) == []
