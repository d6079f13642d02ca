"""Live data for pages: requested often, read rarely."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from seeder.cli.main import main
from seeder.jobs.ledger import jobs
from seeder.jobs.status import utcnow
from seeder.serve import events
from seeder.serve.events import SHOWN, Feed
from tests.support.bake_jobs import bake_all, bake_job, put
from tests.support.clock import Clock
from tiler import timing
from tiler.storage.store import Store, open_store


@pytest.fixture
def sources(alps_copy: Path) -> Store:
    return open_store((alps_copy / "private").as_uri())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(events, "time", made)
    return made


def seed(zooms: str, *more: str) -> None:
    assert CliRunner().invoke(main, ["seed", "alps", "--zooms", zooms, "--jobs", "1", *more]).exit_code == 0


def test_who_asks_at_once_is_told_the_same_and_a_new_job_after_a_pause(sources: Store, clock: Clock) -> None:
    watched = Feed(sources, lambda _: None)
    assert watched.snapshot()["jobs"] == []
    seed("0-3")
    assert watched.snapshot()["jobs"] == []
    clock.now += timing.POLL_SECONDS
    (job,) = watched.snapshot()["jobs"]
    assert (job["state"], job["done"], job["failed"]) == ("done", job["tiles"], 0)


def test_bake_jobs_are_no_jobs_for_tiles(sources: Store, clock: Clock) -> None:
    bake_all(sources, put(sources, bake_job("alps", now=utcnow())))
    seed("0-3")
    clock.now += timing.POLL_SECONDS
    (job,) = Feed(sources, lambda _: None).snapshot()["jobs"]
    assert job["state"] == "done"
    assert [job["job"]] == jobs(sources)


def test_a_look_that_takes_long_is_rarely_taken(sources: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, variants = Feed(sources, lambda _: None), []

    def slow(store: Store) -> list[str]:
        variants.append(clock.now)
        clock.now += 7
        return jobs(store)

    monkeypatch.setattr(events, "jobs", slow)
    start = clock.now
    while clock.now < start + 1000:
        watched.snapshot()
        clock.now += 1
    assert 7 * len(variants) <= 1000 / events.LISTING_RATIO + 7


@pytest.mark.usefixtures("clock")
def test_of_each_layer_the_newest_jobs_are_told_the_newest_first(sources: Store) -> None:
    for z in range(SHOWN + 2):
        seed(str(z))
    told = [job["job"] for job in Feed(sources, lambda _: None).snapshot("alps")["jobs"]]
    assert told == list(reversed(jobs(sources)))[:SHOWN]


def test_a_job_that_is_done_is_not_looked_at_again(
    sources: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed("0-3")
    watched = Feed(sources, lambda _: None)
    first = watched.snapshot()
    monkeypatch.setattr(events, "progress", None)  # calling it would raise
    clock.now += 10 * events.STOPPED_TTL_SECONDS
    assert watched.snapshot() == first


def test_a_job_that_stopped_is_seen_to_go_on(sources: Store, clock: Clock) -> None:
    seed("0-3")
    (job,) = jobs(sources)
    done = [entry.key for entry in sources.list(f"jobs/{job}/done/")]
    kept = {key: sources.get(key) for key in done}
    sources.delete(done)
    watched = Feed(sources, lambda _: None)
    assert watched.snapshot()["jobs"][0]["state"] == "stalled"
    for key, data in kept.items():
        sources.put(key, data, content_type="application/json")
    clock.now += events.STOPPED_TTL_SECONDS
    assert watched.snapshot()["jobs"][0]["state"] == "done"


def test_a_job_that_cannot_be_read_is_passed_over(sources: Store) -> None:
    seed("0-3")
    (job,) = jobs(sources)
    sources.put(f"jobs/{job}/job.json", b"{}", content_type="application/json")
    assert Feed(sources, lambda _: None).snapshot()["jobs"] == []
