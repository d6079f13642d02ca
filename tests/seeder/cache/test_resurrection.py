"""Late workers, visitors and seedings while a layer changes its revision: no tile of the old one remains.

Time is played: every actor is a thread of which one runs at a time, and the clock jumps to whoever wakes next. So waits
have their real lengths, delays fall where they hurt most, and a run takes milliseconds.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, cycle, product
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from seeder.cache import fence
from seeder.cache.prepare_job import prepare
from seeder.cli import main as cli
from seeder.jobs.messages import Message
from seeder.select.selection import Selection
from seeder.workers import process_block
from seeder.workers.breaker import Breaker
from seeder.workers.process_block import Worker
from tests.support.effort import examples, some
from tests.support.layers import silent
from tests.support.rasters import Recipe, write_raster
from tests.support.site import copied, event, memory
from tiler import timing
from tiler.errors import BadInput, StoreError
from tiler.http import Service
from tiler.image.encode import decode
from tiler.ingest.ingest import ingest
from tiler.keys import index_key, parse_tile_key
from tiler.layers import fill, layer_cache, render
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.layer_cache import Layers
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.raster import datasets
from tiler.raster.options import Options
from tiler.storage.store import Entry, Store, Stores, open_store

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
CHANGE = 30.9  # time of the publication; nearly a whole second that S3's times leave out
SLOWEST = (
    timing.WORKER_RETRY_SECONDS + timing.STORE_REQUEST_SECONDS
)  # seconds that a worker's put may take with retries
OLD, NEW = 60, 200  # the grey values of the revisions
ASKED = ("tile.json", "6/33/22.png", "7/66/45.png", "7/65/45@2x.png", "7/66/44.webp", "5/16/11.png")

Kind = Literal["local", "memory", "s3"]
KINDS: tuple[Kind, ...] = ("local", "memory", "s3")
COMMANDS = ("invalidate", "reseed", "refresh", "rollback")


@dataclass(frozen=True)
class Pace:
    """Seconds that an actor takes: to read metadata, to read the ledger, to render a tile, to put it."""

    told: float = 0.0
    batch: float = 0.0
    drawn: float = 0.0
    put: float = 0.0


class Stage:
    """A clock, and actors that start at given times. Its `monotonic` and `sleep` replace those of `time`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._turns: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()
        self._over = threading.Event()
        self._local = threading.local()
        self._fault: BaseException | None = None

    @property
    def pace(self) -> Pace:
        """The pace of the current actor."""
        found: Pace = getattr(self._local, "pace", Pace())
        return found

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let other actors run."""
        if seconds > 0:
            turn = threading.Event()
            self.at(self.now + seconds, lambda: self._give(turn.set))
            self._over.set()
            turn.wait()

    def at(self, when: float, deed: Callable[[], object]) -> None:
        """Schedule an event."""
        heapq.heappush(self._turns, (when, next(self._number), deed))

    def enter(self, when: float, part: Callable[[], object], pace: Pace) -> None:
        """Start an actor."""

        def act() -> None:
            self._local.pace = pace
            try:
                part()
            except BaseException as fault:  # noqa: BLE001 - raised where the play is run
                self._fault = fault
            datasets.forget()
            self._over.set()

        self.at(when, lambda: self._give(threading.Thread(target=act, daemon=True).start))

    def _give(self, on: Callable[[], object]) -> None:
        self._over.clear()
        on()
        assert self._over.wait(120), "an actor hangs"

    def run(self) -> None:
        """Run to the end."""
        while self._turns:
            self.now, _, deed = heapq.heappop(self._turns)
            deed()
            if self._fault:
                raise self._fault


@dataclass
class Played:
    """A store with the stage's clock, and with calls that take time. Puts to S3 are parallel."""

    stage: Stage
    store: Store
    kind: Kind
    times: dict[str, float] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        try:
            return self.store.get(key)
        finally:
            self.stage.sleep(self.stage.pace.told * (key == index_key("grey")))

    def has(self, key: str) -> bool:
        """See `Store.has`."""
        found = self.store.has(key)
        self.stage.sleep(self.stage.pace.batch * key.endswith("/cancelled"))
        return found

    def put(self, key: str, data: bytes, **headers: str) -> None:
        """See `Store.put`."""
        self.store.put(key, data, **cast(Any, headers))
        self.times[key] = self.stage.now

    def put_all(self, objects: Iterable[tuple[str, bytes]], *, lone: bool = False, **headers: str) -> Iterator[str]:
        """See `Store.put_all`."""
        stage, under_way = self.stage, []
        for key, data in objects:
            if self.kind == "s3" and stage.pace.put and not lone:
                stage.at(stage.now + stage.pace.put, partial(self.put, key, data, **headers))
                under_way.append(key)
            else:
                stage.sleep(stage.pace.put)
                self.put(key, data, **headers)
                yield key
        stage.sleep(stage.pace.put * bool(under_way))
        yield from under_way

    def pages(self, prefix: str, **between: str) -> Iterator[Sequence[Entry]]:
        """See `Store.pages`."""
        for page in self.store.pages(prefix, **between):
            yield [Entry(entry.key, entry.size, self.written(entry.key)) for entry in page]

    def list(self, prefix: str, **between: str) -> Iterator[Entry]:
        """See `Store.list`."""
        return (entry for page in self.pages(prefix, **between) for entry in page)

    def written(self, key: str) -> datetime:
        """See `Store.written`."""
        when = self.times[key]
        return EPOCH + timedelta(seconds=int(when) if self.kind == "s3" else when)

    def clock(self, key: str) -> datetime:
        """See `Store.clock`."""
        self.put(key, b"", content_type="text/plain")
        return self.written(key)


@dataclass(frozen=True)
class Greys:
    """A layer's two revisions in a store, and the raster of the newer one, which covers less."""

    sources: Store
    old: Layer
    new: Layer
    raster: Path
    drawn: dict[tuple[Any, ...], list[Any]] = field(default_factory=dict)

    def render(self, layer: Layer, *asked: Any) -> list[Any]:
        """The result of `tiler.layers.render.render`, computed once."""
        if (layer.revision, *asked) not in self.drawn:
            self.drawn[layer.revision, *asked] = list(render.render(layer, self.sources, *asked))
            datasets.forget()
        return self.drawn[layer.revision, *asked]


@pytest.fixture(scope="module")
def greys(tmp_path_factory: pytest.TempPathFactory) -> Greys:
    """Revisions distinguished by the colour of any tile."""
    folder, stores = tmp_path_factory.mktemp("greys"), Stores(memory(), memory(), "")

    def made(grey: int, east: float) -> Layer:
        recipe = Recipe(values=np.full((1, 400, 400), grey, np.uint8), bounds=(5.0, 45.0, east, 48.0))
        path = write_raster(folder / f"{grey}.tif", recipe)
        return ingest(str(path), "grey", Options(), stores, jobs=1, progress=silent).layer

    old, new = made(OLD, 9.0), made(NEW, 8.2)
    datasets.forget()
    return Greys(stores.sources, old, new, folder / f"{NEW}.tif")


class Play:
    """One run: stores, actors, and the change of the revision."""

    def __init__(self, greys: Greys, tiles: Store, kind: Kind, command: str) -> None:
        self.greys = greys
        self.stage = Stage()
        self.before, self.after = (greys.new, greys.old) if command == "rollback" else (greys.old, greys.new)
        self.grey = OLD if command == "rollback" else NEW
        self.command = command
        sources = Played(self.stage, copied(greys.sources, memory()), kind)
        sources.times |= dict.fromkeys((entry.key for entry in sources.store.list("")), 0.0)
        self.tiles = Played(self.stage, tiles, kind)
        self.stores = Stores(cast(Store, self.tiles), cast(Store, sources), "http://tiles.test")
        for layer in (greys.old, greys.new, self.before):
            publish(layer, self.stores)
        plan = prepare(self.before, Selection((6, 7)), TileVariant(), force=False, stores=self.stores)
        self.messages = list(plan.messages((8,)))
        forced = prepare(self.before, Selection((6, 7)), TileVariant(), force=True, stores=self.stores)
        self.messages += forced.messages((8,))

    def worker(self, when: float, pace: Pace) -> None:
        """A worker gets the job's messages, delivered before or redelivered."""

        def refuse(_: Iterable[Message]) -> int:
            raise AssertionError

        sources = self.stores.sources
        station = Worker(self.stores, Layers(sources), refuse, Breaker(sources))

        def work() -> None:
            for message in self.messages:
                with suppress(StoreError):  # too slow: the message is redelivered
                    station.work(message)

        self.stage.enter(when, work, pace)

    def visitor(self, when: float, pace: Pace, gap: float = timing.LAYER_TTL_SECONDS) -> None:
        """An instance of the http function that renders one tile after the other."""
        service = Service(self.stores, Layers(self.stores.sources, timing.LAYER_TTL_SECONDS), "http://tiles.test")

        def ask() -> None:
            for path in ASKED:
                service.answer(event(f"/grey/{path}"))
                self.stage.sleep(gap)

        self.stage.enter(when, ask, pace)

    def operate(self, *more: str) -> None:
        """The operator's actions at the given time."""
        words = {
            "invalidate": ["invalidate", "grey", "--all"],
            "reseed": ["invalidate", "grey", "--all", "--reseed", "--jobs", "1"],
            "refresh": ["refresh", "grey", str(self.greys.raster), "--jobs", "1"],
            "rollback": ["rollback", "grey", "--jobs", "1"],
        }[self.command]
        if self.command in ("invalidate", "reseed"):
            publish(self.after, self.stores)
        result = CliRunner().invoke(cli.main, [*words, "--yes", *more])
        assert result.exit_code == 0, result.output
        assert load_layer(self.stores.sources, "grey").revision == self.after.revision

    def left(self, *more: str) -> set[str]:
        """The remaining tiles of the old revision at the end; there are others."""
        self.stage.enter(CHANGE, lambda: self.operate(*more), Pace())
        with pytest.MonkeyPatch.context() as patch:
            for module in (layer_cache, fill, fence, process_block):
                patch.setattr(module, "time", self.stage, raising=False)
            guard = fill.Guard  # it reads the time when its class is created
            for module in (fill, process_block):
                patch.setattr(module, "Guard", lambda superseded: guard(superseded, self.stage.now))
            patch.setattr(Stores, "open", lambda *_, **__: self.stores)
            patch.setattr(fill, "render", self._render)
            self.stage.run()
        return {entry.key for entry in self.tiles.store.list("grey/") if self._old(entry.key)}

    def _old(self, key: str) -> bool:
        try:
            parse_tile_key(key)
        except BadInput:
            return False
        pixels = decode(self.tiles.store.get(key))[1]
        seen = pixels[pixels[..., 3] == 255][:, 0].astype(int)
        assert all(np.ptp(seen) < 9 for _ in seen[:1]), "it shows both revisions"
        return bool(np.any(abs(seen - self.grey) > 9))  # WebP is lossy

    def _render(self, layer: Layer, _: Store, *asked: Any) -> Iterator[Any]:
        for each in self.greys.render(layer, *asked):
            self.stage.sleep(self.stage.pace.drawn)
            yield each


Begin = Callable[[str], Play]


@pytest.fixture(params=KINDS)
def begin(request: pytest.FixtureRequest, greys: Greys, tmp_path: Path) -> Begin:
    """Start a play of a command, for each kind of tile store."""
    kind: Kind = request.param
    bucket = request.getfixturevalue("s3_url") if kind == "s3" else ""

    def make(command: str) -> Play:
        name = uuid4().hex
        url = {"local": (tmp_path / name).as_uri(), "memory": f"memory://{name}", "s3": f"{bucket}/{name}"}[kind]
        return Play(greys, open_store(url, create=True), kind, command)

    return make


def limits(kind: Kind) -> tuple[float, float]:
    """Longest times in seconds of a worker's put and of a whole request."""
    return (
        (timing.FOLDER_PUT_SECONDS - timing.REVISION_CHECK_SECONDS, timing.FOLDER_PUT_SECONDS)
        if kind == "local"
        else (SLOWEST, timing.HTTP_ANSWER_SECONDS)
    )


def late_worker(play: Play) -> None:
    """Reads the old revision at the last moment, renders until the next check, and puts for long."""
    play.worker(CHANGE - 0.1, Pace(drawn=timing.REVISION_CHECK_SECONDS - 0.2, put=limits(play.tiles.kind)[0]))


def slow_worker(play: Play) -> None:
    """Needs half of this time to read metadata and the ledger."""
    quarter = timing.REVISION_CHECK_SECONDS / 4 - 0.1
    play.worker(CHANGE - 0.1, Pace(quarter, quarter, 2 * quarter, put=limits(play.tiles.kind)[0]))


def late_visitor(play: Play) -> None:
    """Caches the old metadata and responds as late as possible."""
    half = limits(play.tiles.kind)[1] / 2
    play.visitor(CHANGE - 0.1, Pace(drawn=half, put=half), gap=timing.LAYER_TTL_SECONDS - 0.01)


ACTORS = (late_worker, slow_worker, late_visitor)


@pytest.mark.parametrize(("actor", "command"), some(list(product(ACTORS, COMMANDS)), *zip(cycle(ACTORS), COMMANDS)))
def test_what_is_as_late_as_can_be_is_waited_for(begin: Begin, actor: Callable[[Play], None], command: str) -> None:
    hasty, patient = begin(command), begin(command)
    actor(hasty)
    assert hasty.left("--no-wait"), "nothing was late"
    actor(patient)
    assert not patient.left()


@pytest.mark.parametrize("command", COMMANDS)
def test_only_what_is_later_than_can_be_comes_back(begin: Begin, command: str) -> None:
    play = begin(command)
    play.worker(CHANGE - 0.1, Pace(put=fence.fence(play.stores.tiles).total_seconds() + 2.2))
    assert play.left()


@st.composite
def casts(draw: st.DrawFn) -> list[tuple[bool, float, list[float]]]:
    """Actors: whether they are workers, their start, and fractions of their time for each step."""
    times = st.floats(0, 1).map(lambda share: round(share, 2)) | st.sampled_from([0.0, 1.0])
    when = st.floats(0, 2 * CHANGE).map(lambda moment: round(moment, 1)) | st.sampled_from([CHANGE - 0.1, CHANGE + 0.1])
    return draw(
        st.lists(st.tuples(st.booleans(), when, st.lists(times, min_size=3, max_size=3)), min_size=1, max_size=4)
    )


@pytest.mark.parametrize("command", COMMANDS)
@settings(
    max_examples=examples(5), phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cast=casts())
def test_no_tile_of_the_old_revision_is_left(
    begin: Begin, command: str, cast: list[tuple[bool, float, list[float]]]
) -> None:
    play = begin(command)
    longest, answer = limits(play.tiles.kind)
    for works, when, (one, two, three) in cast:
        if works:
            play.worker(when, Pace(SLOWEST * one**2 * two, SLOWEST * one**2 * (1 - two), 20 * two, longest * three))
        else:
            pace = Pace(answer * one / 3, 0, answer * two / 3, answer * three / 3)
            play.visitor(when, pace, gap=timing.LAYER_TTL_SECONDS * one)
    assert not play.left()
