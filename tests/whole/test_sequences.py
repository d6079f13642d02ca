"""Commands and faults in any order; the oracle knows the bytes of every tile of every revision, without `verify`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from seeder.cache import stale
from seeder.jobs.messages import Message
from seeder.workers.process_block import Worker
from tests.support.clock import nothing_in_flight
from tests.support.sequences import (
    BOXES,
    INGEST,
    LAYER,
    LOOKS,
    TOP,
    Place,
    Selected,
    Truth,
    cut,
    last_json,
    overheard,
    seed_all,
    truths,
)
from tests.support.shared import shared_folder
from tiler import timing

EXAMPLES = int(os.environ.get("SEQUENCES", "5"))  # more of them in a long run
SELECTED = st.builds(
    lambda low, high, box, variant: Selected((min(low, high), max(low, high)), box, variant),
    st.integers(0, TOP),
    st.integers(0, TOP),
    st.sampled_from(BOXES),
    st.sampled_from(LOOKS),
)
NAMES = st.sampled_from("abc")
NUMBERS = st.integers(0, 999)
KNOWN: dict[str, Truth] = {}


@pytest.fixture(scope="module", autouse=True)
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The truth, made once. Nothing is in flight here, so nobody waits."""
    with pytest.MonkeyPatch.context() as patch:
        nothing_in_flight(patch)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        KNOWN.update(truths(shared_folder(tmp_path_factory, "truths", seed_all)))
        yield
    KNOWN.clear()


class Sequences(RuleBasedStateMachine):
    """A layer whose raster changes; `now` is its current one, empty where there is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.place = self.made()
        self.now = ""
        self.gone: list[str] = []  # the rasters before, the last one last
        self.before: dict[str, bytes] = {}
        self.shown = ""
        self.messages: list[Message] = []

    def made(self) -> Place:
        """Empty stores."""
        self.root = Path(tempfile.mkdtemp())
        return Place.folder(self.root / "data")

    def teardown(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    def right(self, key: str, data: bytes) -> bool:
        """Whether a tile is of the current revision."""
        return KNOWN[self.now].right(key, data, holed=self.now == "c")

    def wrong(self) -> set[str]:
        """The stored tiles that are not of the current revision."""
        return {key for key, data in self.place.tiles().items() if not self.right(key, data)}

    def whole(self, selected: Selected) -> bool:
        """Whether all tiles of a selection that are not blank are stored, of the current revision."""
        there, truth = self.place.tiles(), KNOWN[self.now].tiles
        return all(there.get(key) == truth[key] for key in selected.of(truth))

    def done(self, result: Result, *codes: int) -> int:
        """The exit code, which must be one of these, with no traceback."""
        told = f"{result.output}{result.exception!r}"
        assert result.exit_code in codes, told
        assert result.exception is None or isinstance(result.exception, SystemExit), told
        return result.exit_code

    @initialize(name=NAMES)
    def first(self, name: str) -> None:
        """A layer to begin with."""
        self.ingest(name)

    @rule(name=NAMES)
    def ingest(self, name: str) -> None:
        """Another raster, or the same one, is published."""
        self.done(self.place.run("ingest", str(KNOWN[name].path), *INGEST), 0)
        self.turned(name)

    def turned(self, name: str) -> None:
        """Another raster is the current one."""
        if name != self.now:
            self.gone = [*self.gone, self.now] if self.now else []
        self.now = name

    @precondition(lambda self: self.now)
    @rule(selected=SELECTED, force=st.booleans(), after=st.none() | st.integers(0, 20))
    def seed(self, selected: Selected, force: bool, after: int | None) -> None:
        """Exit 0 means that all is stored and current."""
        words = ["seed", LAYER, *selected.words, "--jobs", "1", "--json", *(["--force"] if force else [])]
        with overheard(self.messages), cut(10**9 if after is None else after):
            result = self.place.run(*words)
        planned = selected.of(KNOWN[self.now].tiles)
        if not planned:
            self.done(result, 0, 1, 2, 130)
            return
        code = self.done(result, 0, 1, *([] if after is None else [130]))
        if code == 0:
            assert self.whole(selected), result.output
        elif code == 1:
            assert self.wrong(), result.output
            assert not self.whole(selected), result.output
        said = last_json(self.place.run("status", LAYER, "--json"))
        if said.get("state") == "done" and code != 130:
            assert planned <= self.place.tiles().keys()

    @precondition(lambda self: self.now)
    @rule(selected=SELECTED)
    def verify(self, selected: Selected) -> None:
        """Exit 0 means that all is stored and current, exit 1 that something is not."""
        result = self.place.run("verify", LAYER, *selected.words, "--jobs", "1")
        code = self.done(result, 0, 1, 2)
        if code == 0:
            assert self.whole(selected), result.output
        elif code == 1 and self.now != "c":  # whose blank tiles are missing until a receipt tells of them
            assert self.wrong() or not self.whole(selected), result.output

    @precondition(lambda self: self.now)
    @rule(selected=SELECTED)
    def invalidate(self, selected: Selected) -> None:
        """Exactly what is selected vanishes."""
        words = selected.words[: 4 if selected.box else 2]
        meant = {key for variant in LOOKS for key in Selected(selected.zooms, selected.box, variant).of(self.before)}
        code = self.done(self.place.run("invalidate", LAYER, *words), 0, 2)
        assert self.place.tiles() == {k: data for k, data in self.before.items() if code or k not in meant}

    @precondition(lambda self: self.now)
    @rule()
    def reseed(self) -> None:
        """Renew all that is stored."""
        self.renewed(self.place.run("invalidate", LAYER, "--all", "--reseed", "--jobs", "1"))

    @precondition(lambda self: self.now)
    @rule(name=NAMES)
    def refresh(self, name: str) -> None:
        """Publish a raster and renew all that is stored."""
        result = self.place.run("refresh", LAYER, str(KNOWN[name].path), "--jobs", "1")
        self.turned(name)
        self.renewed(result)

    @precondition(lambda self: self.gone)
    @rule(number=NUMBERS)
    def rollback(self, number: int) -> None:
        """Publish an earlier revision and renew all that is stored."""
        name = self.gone[number % len(self.gone)]
        result = self.place.run("rollback", LAYER, "--to", KNOWN[name].revision, "--jobs", "1")
        self.turned(name)
        self.renewed(result)

    def renewed(self, result: Result) -> None:
        """All stored tiles are new, and TileJSON says so."""
        self.done(result, 0)
        assert not self.wrong(), result.output
        assert self.place.shown == KNOWN[self.now].revision

    @precondition(lambda self: self.now)
    @rule()
    def remove(self) -> None:
        """Nothing is left of the layer."""
        self.done(self.place.run("remove", LAYER, "--confirm", LAYER, "--no-wait"), 0)
        assert not list(self.place.stores.tiles.list(f"{LAYER}/"))
        assert not self.place.receipts()
        self.now, self.gone = "", []

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=4))
    def lose_tiles(self, numbers: list[int]) -> None:
        """Tiles vanish behind the back of all."""
        there = sorted(self.before)
        self.place.stores.tiles.delete({there[number % len(there)] for number in numbers} if there else [])

    @rule(number=NUMBERS)
    def lose_a_receipt(self, number: int) -> None:
        """A worker died between its last tile and its receipt."""
        there = self.place.receipts()
        self.place.stores.sources.delete([there[number % len(there)]] if there else [])

    @precondition(lambda self: self.messages)
    @rule(number=NUMBERS, again=st.booleans())
    def work_late(self, number: int, again: bool) -> None:
        """A message comes once more, or late."""
        worker = Worker.open(self.place.settings)
        message = self.messages[number % len(self.messages)]
        receipt = worker.work(message, again=again)
        assert not self.now or (receipt.fate == "dropped" or message.revision == KNOWN[self.now].revision)

    @invariant()
    def only_what_was_current_is_put(self) -> None:
        """New bytes are of the current revision; TileJSON names another one only when no stale tile is left."""
        after = self.place.tiles()
        put = {key for key, data in after.items() if self.before.get(key) != data}
        assert not {key for key in put if not self.now or not self.right(key, after[key])}
        if self.now and (shown := self.place.shown) != self.shown:
            assert not self.shown or not self.before or shown == KNOWN[self.now].revision
            assert not self.wrong()
        self.before, self.shown = after, self.place.shown if self.now else ""


class InMemory(Sequences):
    """The same in stores without folders."""

    def made(self) -> Place:
        """Empty stores."""
        self.root = Path(tempfile.mkdtemp())
        return Place.memory()


class InABucket(Sequences):
    """The same in S3, which keeps times to the second."""

    url = ""

    def made(self) -> Place:
        """Empty stores."""
        self.root = Path(tempfile.mkdtemp())
        return Place.bucket(self.url)


@pytest.mark.parametrize("machine", [Sequences, InMemory])
def test_whatever_happens_in_whatever_order_no_exit_code_lies(machine: type[Sequences]) -> None:
    play(machine, EXAMPLES)


def test_nor_where_times_cannot_tell_whose_a_tile_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale, "fence", lambda _: timedelta(hours=1))
    play(Sequences, EXAMPLES)


def test_nor_in_s3(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InABucket, "url", s3_url)
    monkeypatch.setattr(timing, "S3_ROUNDING_SECONDS", 1.0)
    play(InABucket, EXAMPLES // 4)


def play(machine: type[Sequences], examples: int) -> None:
    """Run so many sequences."""
    how = settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        derandomize=EXAMPLES <= 5,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=how)


def test_tiles_of_the_raster_before_are_neither_verified_nor_seeded_as_right() -> None:
    machine, whole = Sequences(), Selected((0, TOP))
    try:
        for step in (
            lambda: machine.ingest("a"),
            lambda: machine.seed(whole, force=False, after=None),
            lambda: machine.ingest("c"),
            lambda: machine.verify(whole),
            lambda: machine.seed(whole, force=False, after=None),
            machine.reseed,
            lambda: machine.verify(whole),
        ):
            step()
            machine.only_what_was_current_is_put()
        assert machine.whole(whole)
    finally:
        machine.teardown()


def test_a_tile_that_vanished_from_a_block_with_a_receipt_is_made_again() -> None:
    machine, whole = Sequences(), Selected((0, TOP))
    try:
        machine.ingest("a")
        machine.seed(whole, force=False, after=12)  # cut off when the first blocks have their receipts
        receipts = machine.place.receipts()
        inside = [key for key in machine.place.tiles() if key.startswith(f"{LAYER}/2/")]
        middle = sorted(inside)[len(inside) // 2]
        z, x, y = middle.removeprefix(f"{LAYER}/").removesuffix(".png").split("/")
        assert any(name.endswith(f"/done/{z}-0-0") for name in receipts)
        tile = machine.root / "tile.txt"
        tile.write_text(f"{z}/{x}/{y}\n")
        assert machine.place.run("invalidate", LAYER, "--tiles", str(tile)).exit_code == 0
        assert middle not in machine.place.tiles()
        result = machine.place.run("seed", LAYER, *whole.words, "--jobs", "1")
        assert result.exit_code == 0, result.output
        assert "resuming job" in result.output
        assert machine.whole(whole)
    finally:
        machine.teardown()
