"""Ended jobs are compacted and expire; nothing that a command may still need is touched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.cli.main import main
from seeder.jobs.bake_ledger import End, bakes, put_end
from seeder.jobs.expiry import delete_job, expired
from seeder.jobs.ledger import (
    KEPT,
    Run,
    complete,
    find_job,
    jobs,
    put_job,
    put_plan,
    put_receipt,
    put_run,
    receipts,
)
from seeder.jobs.messages import Job, Receipt, Spec
from seeder.operations import housekeeping
from seeder.operations.housekeeping import tidy
from seeder.operations.report import Report
from seeder.select.blocks import Count
from seeder.select.selection import Selection
from tests.support.bake_jobs import bake_all, bake_job, put
from tests.support.effort import examples
from tests.support.layer_strategies import GLOBE
from tests.support.site import Spy
from tiler.errors import StoreError, UnknownJob
from tiler.grid import Block
from tiler.keys import index_key, revision_key
from tiler.layers.catalog import dump
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Store, Stores, open_store

DAY = timedelta(days=1)
NOW = datetime.now(UTC) + 200 * DAY  # receipts are written by the clock of this machine
OLD, RECENT = datetime.now(UTC) - DAY, NOW - 30 * DAY
BLOCKS = [Block(4, x, y) for x in (0, 8) for y in (0, 8)]
GONE = "0" * 8  # a revision without sources


def memory() -> Store:
    """A store in memory with the layer."""
    store = open_store(f"memory://{uuid4().hex}")
    for key in (index_key("globe"), revision_key("globe", GLOBE.revision)):
        store.put(key, dump(GLOBE), content_type="application/json")
    return store


@dataclass(frozen=True)
class Past:
    """A job of the past: its start, revision, zooms, number of done blocks of four, and whether its run has ended."""

    begun: datetime = OLD
    revision: str = GLOBE.revision
    zooms: tuple[int, ...] = (4,)
    done: int = 4
    run: datetime | None = None  # start of the latest run
    layer: str = "globe"

    def put(self, store: Store) -> str:
        """Record the job; return its id."""
        job = Job.new(Spec(self.layer, self.revision, Selection(self.zooms), TileVariant()), self.begun)
        put_job(store, job)
        put_plan(store, job.id, {4: Count(256, 4)})
        put_run(store, job.id, Run("", self.run or self.begun, 0.01, ended=True))
        for block in BLOCKS[: self.done]:
            put_receipt(store, job.id, Receipt(block, Outcome(empty=1)))
        return job.id


EXPIRING = {
    "its revision is gone": [Past(revision=GONE)],
    "unfinished, and its revision is gone": [Past(revision=GONE, done=2)],
    "the same selection was done later": [Past(), Past(begun=RECENT)],
    "the same selection was done later, and this one never": [Past(done=1), Past(begun=RECENT)],
    "its layer was removed": [Past(layer="other")],
}
STAYING = {
    "recent": [Past(begun=RECENT, revision=GONE)],
    "old, and run again recently": [Past(run=RECENT, revision=GONE)],
    "the last of its selection": [Past()],
    "a later one of another selection": [Past(), Past(begun=RECENT, zooms=(4, 5))],
    "a later one that is not done": [Past(), Past(begun=RECENT, done=3)],
}


@pytest.mark.parametrize("past", EXPIRING.values(), ids=EXPIRING)
def test_a_job_without_use_expires_after_90_days(past: list[Past]) -> None:
    store = memory()
    names = [each.put(store) for each in past]
    assert list(expired(store, NOW)) == names[:1]
    assert list(expired(store, OLD + KEPT)) == []


@pytest.mark.parametrize("past", STAYING.values(), ids=STAYING)
def test_a_job_of_use_does_not_expire(past: list[Past]) -> None:
    store = memory()
    for each in past:
        each.put(store)
    assert list(expired(store, NOW)) == []


def test_a_job_that_runs_does_not_expire() -> None:
    store = memory()
    name = Past(revision=GLOBE.revision, done=2).put(store)
    later = Past(begun=RECENT).put(store)
    put_run(store, name, Run("", NOW - timedelta(seconds=5), 0.01))
    assert list(expired(store, NOW)) == []
    put_run(store, name, Run("", OLD, 0.01, ended=True))
    assert list(expired(store, NOW)) == [name] != [later]


def test_a_job_of_another_version_does_not_expire() -> None:
    store = memory()
    name = Past(revision=GONE).put(store)
    store.put(f"jobs/{name}/job.json", b'{"v": 9}', content_type="application/json")
    assert list(expired(store, NOW)) == []


NEWER = b'{"version": 99}'


@pytest.mark.parametrize("metadata", [NEWER, b"{}"], ids=["newer", "damaged"])
def test_a_layer_without_readable_metadata_keeps_its_jobs_and_hinders_no_others(metadata: bytes) -> None:
    store = memory()
    store.put(index_key("newer"), metadata, content_type="application/json")
    kept, old = Past(layer="newer", revision=GONE).put(store), Past(revision=GONE).put(store)
    assert list(expired(store, NOW)) == [old]
    assert kept in jobs(store)
    tidy("newer", store, Report(), least=1)
    assert kept in jobs(store)


@pytest.mark.parametrize("metadata", [NEWER, b"{}"], ids=["newer", "damaged"])
def test_status_lists_the_jobs_of_other_layers(metadata: bytes, tmp_path: Path) -> None:
    runner, env = CliRunner(), {"TILER_DATA": str(tmp_path)}
    store = Stores.open(Settings.from_env(env), create=True).sources
    store.put(index_key("newer"), metadata, content_type="application/json")
    hidden, shown = Past(layer="newer").put(store), Past(layer="other").put(store)
    result = runner.invoke(main, ["status"], env=env)
    assert result.exit_code == 0, result.output
    assert shown in result.stdout
    assert hidden not in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"cannot read job {hidden}: ")


pasts = st.builds(
    Past,
    begun=st.integers(0, 400).map(lambda days: NOW - days * DAY),
    revision=st.sampled_from([GLOBE.revision, GONE]),
    zooms=st.sampled_from([(4,), (4, 5)]),
    done=st.integers(0, 4),
    layer=st.sampled_from(["globe", "other"]),
)


@given(st.lists(pasts, max_size=6, unique_by=lambda past: past.begun))
@settings(max_examples=examples(40))
def test_expiry_deletes_expired_jobs_and_no_other_object(past: list[Past]) -> None:
    store = memory()
    for each in past:
        each.put(store)
    store.put("sources/globe/0000/index.tif", b"", content_type="image/tiff")
    before = {entry.key for entry in store.list("")}
    known = {(each.revision, each.zooms) for each in past if each.done == 4 and each.layer == "globe"}
    gone = list(expired(store, NOW))
    for name in gone:
        delete_job(store, name)
    deleted = before - {entry.key for entry in store.list("")}
    assert deleted == {key for key in before for name in gone if key.startswith(f"jobs/{name}/")}
    assert list(expired(store, NOW)) == []
    left = {find_job(store, name).spec for name in jobs(store) if complete(store, name)}
    kept = {(spec.revision, spec.selection.zooms) for spec in left if spec.layer == "globe"}
    assert {pair for pair in known if pair[0] == GLOBE.revision} <= kept, "the empty tiles of a selection are forgotten"


@pytest.mark.parametrize("end", [End("done"), End("failed"), None])
def test_a_silent_bake_job_expires_after_90_days(end: End | None) -> None:
    store, start = memory(), datetime.now(UTC) - 100 * DAY
    old, young = (put(store, bake_job("globe", now=begun)) for begun in (start, datetime.now(UTC) + DAY))
    bake_all(store, old)
    if end:
        put_end(store, old.id, end)
    assert list(expired(store, datetime.now(UTC) + 89 * DAY)) == []  # its receipts are younger than its id
    gone = datetime.now(UTC) + 90 * DAY + timedelta(hours=1)
    assert list(expired(store, gone)) == [old.ledger]
    delete_job(store, old.ledger)
    assert bakes(store) == [young.id]
    assert list(expired(store, gone)) == []


def test_without_old_jobs_expiry_takes_two_requests() -> None:
    spy = Spy(memory())
    for days in range(5):
        Past(begun=NOW - days * DAY).put(cast(Store, spy))
    spy.seen.clear()
    assert list(expired(cast(Store, spy), NOW)) == []
    assert len(spy.seen) == 2


def test_the_name_of_an_expired_job_is_refused_with_the_reason() -> None:
    store = memory()
    name = Past(begun=datetime.now(UTC) - 91 * DAY).put(store)
    delete_job(store, name)
    with pytest.raises(UnknownJob, match="jobs expire 90 days after their end; run `seeder status`") as refused:
        find_job(store, name)
    assert "\n" not in str(refused.value)
    recent = name.replace(name.rpartition("-")[2], f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
    with pytest.raises(UnknownJob) as refused:
        find_job(store, recent)
    assert "expire" not in str(refused.value)


def test_tidying_compacts_ended_jobs_of_the_layer_and_leaves_running_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    store, now = memory(), datetime.now(UTC)
    ended = Past(begun=now - DAY).put(store)
    other = Past(begun=now - DAY, layer="other").put(store)
    running = Past(begun=now, done=3).put(store)
    put_run(store, running, Run("", now, 0.01))
    tidy("globe", store, Report(), least=3)
    assert {name: store.empty(f"jobs/{name}/done/") for name in (ended, other, running)} == {
        ended: True,
        other: False,
        running: False,
    }
    assert [entry.key.rpartition("/")[0] for entry in store.list(f"jobs/{ended}/compacted/")] == [
        f"jobs/{ended}/compacted/done"
    ]
    assert {receipt.block for receipt in receipts(store, ended)} == set(BLOCKS)
    old = Past(revision=GONE).put(store)
    monkeypatch.setattr(housekeeping, "utcnow", lambda: NOW)
    tidy("globe", store, Report(), least=100)
    assert old not in jobs(store)


class Refusing(Spy):
    """A store that may be read only."""

    def __getattr__(self, name: str) -> Any:
        if name in ("put", "delete"):
            raise StoreError("write", "jobs/", "access denied")
        return super().__getattr__(name)


def test_tidying_without_permission_is_logged_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    store = memory()
    name = Past().put(store)
    tidy("globe", cast(Store, Refusing(store)), Report(), least=3)
    assert "access denied" in caplog.text
    assert {receipt.block for receipt in receipts(store, name)} == set(BLOCKS)
