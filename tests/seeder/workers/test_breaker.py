"""A job stops if too many blocks fail or a user cancels it, and can be resumed."""

from __future__ import annotations

import random
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from seeder.cache.prepare_job import prepare, resume
from seeder.cli import main as cli
from seeder.defaults import MAX_FAILED_SHARE
from seeder.jobs.ledger import (
    CANCELLED,
    Run,
    Stop,
    delete_receipts,
    load_run,
    put_receipt,
    put_run,
    receipts,
    stop,
    stopped,
)
from seeder.jobs.messages import Receipt
from seeder.jobs.plan import Plan, run
from seeder.jobs.status import progress
from seeder.select.selection import Selection
from seeder.select.tilelist import parse_tiles
from seeder.workers import process_block
from seeder.workers.breaker import KNOWN, LEAST_FAILED, NEVER, WINDOW_BLOCKS, Breaker, reason_to_stop
from seeder.workers.local_pool import LocalPool
from tests.support.damaged import damage, halved
from tests.support.layer_strategies import GLOBE
from tests.support.layers import silent
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.site import Spy, memory
from tiler.grid import Block
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer
from tiler.layers.fill import Outcome, Request
from tiler.layers.layer_cache import Layers
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

JOB = "globe-00000000-20250301T120000.000000"
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
GOOD, BAD = Outcome(written=1), Outcome(failed=1, error="cannot read index.tif")
BLOCKS = [Block(10, x, y) for x in range(0, 1024, 8) for y in range(0, 1024, 8)]  # more than any test needs


@given(st.integers(0, 3000), st.integers(0, 3000), st.fractions(0, 1, max_denominator=1000))
def test_a_job_is_stopped_from_twenty_failures_on_if_they_are_more_than_its_share(
    failed: int, good: int, most: Fraction
) -> None:
    blocks = failed + good
    passed = failed >= 20 and Fraction(failed, blocks) > most
    assert bool(reason_to_stop(failed, blocks, float(most))) == passed or abs(failed - most * blocks) < 1e-9


@pytest.mark.parametrize(
    ("failed", "blocks", "most", "says"),
    [
        (19, 19, 0.0, ""),
        (20, 20, 0.0, "20 of 20 blocks failed, more than 0%"),
        (20, 2000, 0.01, ""),
        (20, 1999, 0.01, "20 of 1,999 blocks failed, more than 1%"),
        (5000, 9999, 0.5, "5,000 of 9,999 blocks failed, more than 50%"),
        (5000, 10000, 0.5, ""),
        (10**6, 10**6, NEVER, ""),
    ],
)
def test_the_reason_names_the_figures(failed: int, blocks: int, most: float, says: str) -> None:
    assert reason_to_stop(failed, blocks, most) == says


class Crew:
    """Workers of a job, each with its own window, over one ledger."""

    def __init__(self, workers: int = 1, *, most: float = MAX_FAILED_SHARE, sources: Store | None = None) -> None:
        self.sources = sources or memory()
        self.breakers = [Breaker(self.sources) for _ in range(workers)]
        self.blocks = iter(BLOCKS)
        self.most = most
        self.runs = 0
        self.begin()

    def begin(self) -> None:
        """Start a run, as `seed` and `resume` do."""
        self.runs += 1
        delete_receipts(self.sources, JOB, "failed")
        put_run(self.sources, JOB, Run("", NOON + timedelta(hours=self.runs), self.most))

    def hear(self, blocks: str, worker: int = 0) -> bool:
        """A worker puts receipts, of a failed block for each `x`; return whether the job is stopped then."""
        for each in blocks:
            receipt = Receipt(next(self.blocks), BAD if each == "x" else GOOD)
            put_receipt(self.sources, JOB, receipt)
            self.breakers[worker].add_receipt(JOB, receipt)
        return self.stopped

    @property
    def stopped(self) -> bool:
        """Whether the job is stopped."""
        return stopped(self.sources, JOB) is not None


@given(st.text("x.", max_size=120), st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 1.0]))
def test_one_worker_stops_its_job_at_the_first_failure_that_is_too_many(blocks: str, most: float) -> None:
    crew = Crew(most=most)
    for number, each in enumerate(blocks, 1):
        so_far = blocks[:number].count("x")
        too_many = each == "x" and so_far >= LEAST_FAILED and so_far > most * number and most < NEVER
        assert crew.hear(each) == too_many
        if too_many:
            return


@given(st.integers(0, 30), st.integers(0, 200), st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_order_of_messages_and_who_gets_which_does_not_matter(
    bad: int, good: int, workers: int, chance: random.Random
) -> None:
    """For up to a thousand blocks at one percent: 20 are always too many, 19 never."""
    crew = Crew(workers)
    order = [*"x" * bad, *"." * good]
    chance.shuffle(order)
    for each in order:
        crew.hear(each, worker=chance.randrange(workers))
    assert crew.stopped == (bad >= LEAST_FAILED)


def test_failures_that_are_scattered_over_workers_are_counted_together() -> None:
    crew = Crew(LEAST_FAILED)
    for worker in range(LEAST_FAILED - 1):
        assert not crew.hear(".x", worker)
    assert crew.hear("x", LEAST_FAILED - 1)
    assert stopped(crew.sources, JOB) == Stop(
        "20 of 39 blocks failed, more than 1%; the last one: cannot read index.tif", asked=False
    )


def test_scattered_failures_are_borne_where_much_more_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)  # the ledger is read at each failure
    crew = Crew(LEAST_FAILED + 1)
    for block in BLOCKS[-1980:]:
        put_receipt(crew.sources, JOB, Receipt(block, GOOD))
    for worker in range(LEAST_FAILED):
        assert not crew.hear("x", worker)
    assert crew.hear("x", LEAST_FAILED)


def test_the_ledger_is_asked_the_more_rarely_the_more_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(memory())
    crew = Crew(200, most=0.5, sources=spy)  # type: ignore[arg-type]
    for block in BLOCKS[-300:]:
        put_receipt(crew.sources, JOB, Receipt(block, GOOD))
    chance = random.Random(1)
    monkeypatch.setattr(random, "random", chance.random)
    for worker in range(200):
        crew.hear("x", worker)
    asked = sum(seen == ("list", f"jobs/{JOB}/done/") for seen in spy.seen)
    assert not crew.stopped
    assert 20 < asked < 120  # 66 are expected: 20 (1 + 1/20 + ... + 1/200)


@pytest.mark.parametrize("workers", [1, 40])
def test_a_share_of_all_never_stops_a_job(workers: int) -> None:
    crew = Crew(workers, most=NEVER)
    for worker in range(workers):
        assert not crew.hear("x" * (80 // workers), worker)


def test_a_worker_looks_back_a_thousand_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)  # the ledger is not read
    crew = Crew(most=0.02)
    assert not crew.hear("x" * 19 + "." * (WINDOW_BLOCKS - 19) + "x" * 20)
    assert crew.hear("x")


def test_what_failed_in_an_earlier_run_is_forgiven() -> None:
    crew = Crew()
    assert not crew.hear("x" * 19)
    crew.begin()
    assert not crew.hear("x" * 19)
    assert crew.hear("x")


def test_what_went_well_in_a_new_run_counts_though_an_earlier_one_failed() -> None:
    crew = Crew(most=0.5)
    crew.hear("x")
    crew.begin()
    assert not crew.hear("." * 100 + "x" * 20)


def test_a_job_whose_run_is_not_on_record_is_stopped_at_the_usual_share() -> None:
    crew = Crew()
    crew.sources.delete([f"jobs/{JOB}/run.json"])
    assert not crew.hear("x" * 19)
    assert crew.hear("x")


def test_jobs_are_judged_apart_and_few_are_remembered() -> None:
    crew = Crew()
    for number in range(3 * KNOWN):
        receipt = Receipt(BLOCKS[number], BAD)
        put_receipt(crew.sources, f"{JOB}{number}", receipt)
        crew.breakers[0].add_receipt(f"{JOB}{number}", receipt)
        assert stopped(crew.sources, f"{JOB}{number}") is None
    assert len(crew.breakers[0]._windows) == KNOWN
    assert not crew.stopped


WORLD = [f"6/{8 * x + 4}/{8 * y + 4}" for x in range(8) for y in range(8)]  # one tile in each of 64 blocks


@pytest.fixture(scope="module")
def world_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer `world`; each block of zoom 6 is in one block of its source."""
    folder = tmp_path_factory.mktemp("world")
    raster = write_raster(folder / "world.tif", Recipe(values=scene(512, 1024, 1), bounds=(-180, -85, 180, 85)))
    root = folder / "data"
    stores = Stores.open(Settings.from_env({}, data=str(root)), create=True)
    ingest(str(raster), "world", Options(max_zoom=6, resampling="nearest"), stores, jobs=1, progress=silent)
    (root / "list.txt").write_text("".join(f"{line}\n" for line in WORLD))
    return root


@pytest.fixture
def world(world_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collected: None) -> Path:
    """A copy of `world_data` for every command."""
    assert collected is None
    data = Path(shutil.copytree(world_data, tmp_path / "data"))
    monkeypatch.setenv("TILER_DATA", str(data))
    return data


def drawn(data: Path) -> dict[str, bytes]:
    """The stored tiles."""
    return {str(path.relative_to(data)): path.read_bytes() for path in data.glob("tiles/world/6/*/*.png")}


@pytest.fixture(scope="module")
def whole(world_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tiles of an undisturbed seeding."""
    data = Path(shutil.copytree(world_data, tmp_path_factory.mktemp("whole") / "data"))
    assert seed(data, "--data", str(data)).exit_code == 0
    return drawn(data)


def seeder(*words: str) -> Result:
    return CliRunner().invoke(cli.main, [*words, *(() if "--jobs" in words else ("--jobs", "1"))])


def seed(data: Path, *words: str) -> Result:
    return seeder("seed", "world", "--tiles", str(data / "list.txt"), *words)


def halve(data: Path) -> Callable[[], object]:
    """Make half of each part unreadable; return a function that restores them."""
    return damage(data, halved, "world")


def counted(data: Path) -> tuple[int, int]:
    """Numbers of receipts: done and failed blocks."""
    return len(list(data.glob("private/jobs/*/done/*"))), len(list(data.glob("private/jobs/*/failed/*")))


def test_a_seeding_whose_source_is_half_unreadable_stops_and_says_why(world: Path, whole: dict[str, bytes]) -> None:
    halve(world)
    result = seed(world, "--jobs", "2")
    done, failed = counted(world)
    assert result.exit_code == 1
    assert re.search(
        r"error: \d\d tiles not rendered: 2\d of \d\d blocks failed, more than 1%; .* cannot read", result.stderr
    )
    assert LEAST_FAILED <= failed < LEAST_FAILED + 8
    assert done + failed < 60, "the rest was rendered all the same"
    assert drawn(world).items() <= whole.items()
    seen = CliRunner().invoke(cli.main, ["status", "world"])
    assert seen.exit_code == 1
    assert ": failed, 2" in seen.stdout


def test_a_seeding_that_is_never_to_stop_makes_all_that_can_be_made(world: Path, whole: dict[str, bytes]) -> None:
    halve(world)
    result = seed(world, "--max-failed", "100")
    done, failed = counted(world)
    assert (result.exit_code, done + failed) == (1, 64)
    assert failed > LEAST_FAILED
    assert len(drawn(world)) == done
    assert drawn(world).items() <= whole.items()


@pytest.mark.parametrize("verb", ["seed", "resume", "retry"])
def test_a_job_that_was_stopped_goes_on_when_its_source_is_mended(
    world: Path, whole: dict[str, bytes], verb: str
) -> None:
    mend = halve(world)
    assert seed(world).exit_code == 1
    if verb == "resume":
        assert seeder("resume", "world").exit_code == 1
    done, failed = counted(world)
    assert (failed, done + failed < 64) == (LEAST_FAILED, True)
    mend()
    words = {"resume": ("resume", "world"), "retry": ("errors", "world", "--retry")}
    result = seed(world) if verb == "seed" else seeder(*words[verb])
    assert result.exit_code == 0, result.stderr
    if verb == "retry":
        assert counted(world) == (done + failed, 0), "it did more, or less, than what had failed"
        assert seeder("resume", "world").exit_code == 0
    assert counted(world) == (64, 0)
    assert drawn(world) == whole
    assert len(list(world.glob("private/jobs/*"))) == 1, "a job was not resumed but begun again"


class Arena:
    """A job in memory with free blocks. A user cancels it at random."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        self.settings = Settings.from_env({f"TILER_{name}": f"memory://{uuid4().hex}" for name in ("TILES", "SOURCES")})
        self.stores = Stores.open(self.settings)
        publish(GLOBE, self.stores)
        lines = [f"5/{x}/{y}" for x in range(0, 32, 8) for y in range(0, 32, 8)]
        selection = Selection((5,), (), parse_tiles(lines, "lines"))
        self.plan = prepare(GLOBE, selection, TileVariant(), force=False, stores=self.stores)
        self.job, self.chance, self.lock, self.likely = self.plan.job, random.Random(seed), threading.Lock(), 0.1
        self.ends: list[object] = []
        monkeypatch.setattr(process_block, "fill", self.fill)

    def fill(self, _: Layer, stores: Stores, request: Request, __: object) -> Outcome:
        """Put tiles without rendering."""
        with self.lock:
            if self.chance.random() < self.likely:
                stop(self.stores.sources, self.job.id, Stop(CANCELLED))
        for tile in request.block.tiles(request.tiles):
            stores.tiles.put(f"globe/{tile.z}/{tile.x}/{tile.y}.png", b"tile", content_type="image/png")
        return Outcome(written=request.tiles, bytes=4)

    def calm(self) -> None:
        """Stop cancelling."""
        with self.lock:
            self.likely = 0

    def resume(self) -> tuple[Plan, str]:
        """Do the same as `resume`; return the plan with its tally, and the reason of an early end."""
        plan = resume(self.job, self.stores)
        return plan, run(plan, partial(LocalPool, self.settings, 1), self.stores, most=1, progress=lambda _: None)

    def resume_often(self) -> None:
        """Resume three times."""
        try:
            self.ends += [self.resume()[1] for _ in range(3)]
        except BaseException as fault:  # noqa: BLE001 - a thread's error would be lost
            self.ends.append(fault)


@pytest.fixture
def nervous() -> Iterator[None]:
    """Threads switch far more often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("nervous")
@pytest.mark.parametrize("patient", [True, False], ids=["when all have ended", "while others still resume"])
def test_cancel_and_resume_may_race_and_the_last_word_holds(monkeypatch: pytest.MonkeyPatch, patient: bool) -> None:
    ends: set[object] = set()
    for number in range(20):
        arena = Arena(monkeypatch, number)
        threads = [threading.Thread(target=arena.resume_often) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads if patient else threads[:1]:
            thread.join()
        arena.calm()
        plan, why = arena.resume()
        for thread in threads:
            thread.join()
        sources = arena.stores.sources
        assert (why, stopped(sources, arena.job.id)) == ("", None)
        assert (plan.tally.done, plan.tally.written, plan.tally.bytes) == (16, 16, 64)
        found = list(receipts(sources, arena.job.id))
        assert len(found) == sum(receipt.outcome.written.bit_count() for receipt in found) == 16
        assert len(list(arena.stores.tiles.list("globe/5/"))) == 16
        seen = progress(arena.job, sources, Layers(sources), lambda _: None, datetime.now(UTC))
        assert (seen.state, seen.percent, seen.done) == ("done", 100, 16)
        ends |= set(arena.ends)
    assert CANCELLED in ends, "nobody was ever cancelled"
    assert all(end in ("", CANCELLED) or str(end).endswith("was stopped") for end in ends), ends


def test_a_run_that_ends_late_does_not_speak_for_the_one_that_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    arena = Arena(monkeypatch, 0)
    arena.calm()
    other = Run("https://sqs.test/1/blocks", datetime.now(UTC) + timedelta(seconds=9), 0.5, sent=True)
    sources, pool = arena.stores.sources, partial(LocalPool, arena.settings, 1)
    run(arena.plan, pool, arena.stores, most=1, progress=lambda _: put_run(sources, arena.job.id, other))
    assert load_run(sources, arena.job.id) == other
