"""The ledger: jobs are found by id, prefix or layer, stops are kept, and other versions are refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.ledger import (
    CANCELLED,
    Run,
    Stop,
    begun,
    cancelled,
    delete_receipts,
    find_job,
    finished,
    jobs,
    layer_of,
    load_job,
    load_plan,
    load_run,
    put_job,
    put_plan,
    put_receipt,
    put_run,
    read_receipts,
    reopen,
    stop,
    stopped,
    unfinished,
)
from seeder.jobs.messages import Job, Receipt, Spec
from seeder.select.blocks import Count
from seeder.select.selection import Selection
from seeder.select.tilelist import parse_tiles
from tests.support.job_strategies import jobs as any_jobs
from tiler.errors import MessageError, MissingObject, UnknownJob
from tiler.grid import Block
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, open_store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SPEC = Spec("relief", "9f2c", Selection((5, 6)), TileVariant())
JOB = Job.new(SPEC, NOON)
PLAN = {5: Count(7, 1), 12: Count(70, 3)}
RUN = Run("https://sqs.test/1/blocks", NOON, 0.25, sent=True, ended=True, why="interrupted")
JUNK = ("", "{", "null", "5", '"text"', "[]", "[1]", "{}", '{"v":1}', "\udcff", "1" * 5000)
JSON = "application/json"
LAYERS = ("alps", "alps-2", "alp", "relief", "a.b_c")

moments = st.datetimes(datetime(2024, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
runs = st.builds(Run, st.text(), moments, st.floats(0, 1), st.booleans(), st.booleans(), st.text())
plans = st.dictionaries(st.integers(0, 28), st.builds(Count, st.integers(0), st.integers(0)))
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["why", "asked", "x"]), inner),
)


def memory() -> Store:
    return open_store(f"memory://{uuid4().hex}")


def of(layer: str, minutes: int) -> Job:
    """A job of a layer, started a number of minutes after noon."""
    return Job.new(replace(SPEC, layer=layer), NOON + timedelta(minutes=minutes))


def edited(data: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(data), **changes}).encode()


@given(runs)
def test_a_run_survives_the_ledger(run: Run) -> None:
    store = memory()
    put_run(store, JOB.id, run)
    assert load_run(store, JOB.id) == run


def test_a_run_survives_every_store_and_takes_the_place_of_the_last(store: Store) -> None:
    assert load_run(store, JOB.id) is None
    for run in (replace(RUN, ended=False), RUN):
        put_run(store, JOB.id, run)
        assert load_run(store, JOB.id) == run


@given(plans)
def test_a_plan_survives_the_ledger(plan: dict[int, Count]) -> None:
    store = memory()
    put_plan(store, JOB.id, plan)
    assert load_plan(store, JOB.id) == plan


def test_a_job_that_was_not_planned_has_no_plan(store: Store) -> None:
    put_job(store, JOB)
    assert load_plan(store, JOB.id) is None


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_no_run_and_no_plan(junk: str) -> None:
    store = memory()
    for name in ("run.json", "plan.json"):
        store.put(f"jobs/{JOB.id}/{name}", junk.encode(errors="surrogateescape"), content_type=JSON)
    with pytest.raises(MessageError):
        load_run(store, JOB.id)
    with pytest.raises(MessageError):
        load_plan(store, JOB.id)


@pytest.mark.parametrize("zooms", [None, [], 5, "5", {"5": [1, 2]}, {"5": {"tiles": 1}}, {"x": {}}], ids=str)
def test_a_plan_whose_zooms_are_none_is_refused(zooms: object) -> None:
    store = memory()
    store.put(f"jobs/{JOB.id}/plan.json", json.dumps({"v": 1, "zooms": zooms}).encode(), content_type=JSON)
    with pytest.raises(MessageError):
        load_plan(store, JOB.id)


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_runs_and_plans_of_other_versions_are_refused(version: object) -> None:
    store = memory()
    put_run(store, JOB.id, RUN)
    put_plan(store, JOB.id, PLAN)
    for name in ("run.json", "plan.json"):
        key = f"jobs/{JOB.id}/{name}"
        store.put(key, edited(store.get(key), v=version), content_type=JSON)
    with pytest.raises(MessageError):
        load_run(store, JOB.id)
    with pytest.raises(MessageError):
        load_plan(store, JOB.id)


@pytest.mark.parametrize("field", ["queue", "begun", "most", "sent", "ended", "why"])
def test_a_run_without_a_field_is_refused(field: str) -> None:
    store, key = memory(), f"jobs/{JOB.id}/run.json"
    put_run(store, JOB.id, RUN)
    said = json.loads(store.get(key))
    del said[field]
    store.put(key, json.dumps(said).encode(), content_type=JSON)
    with pytest.raises(MessageError):
        load_run(store, JOB.id)


@given(st.text(), st.booleans())
def test_a_stop_is_read_as_it_was_put(why: str, asked: bool) -> None:
    store = memory()
    stop(store, JOB.id, Stop(why, asked))
    assert stopped(store, JOB.id) == Stop(why, asked)


def test_a_job_is_stopped_until_it_is_opened_again(store: Store) -> None:
    assert (cancelled(store, JOB.id), stopped(store, JOB.id)) == (False, None)
    stop(store, JOB.id, Stop("too much failed", asked=False))
    assert (cancelled(store, JOB.id), stopped(store, JOB.id)) == (True, Stop("too much failed", asked=False))
    reopen(store, JOB.id)
    reopen(store, JOB.id)
    assert (cancelled(store, JOB.id), stopped(store, JOB.id)) == (False, None)


@given(st.binary(max_size=20) | values.map(lambda value: json.dumps(value).encode()))
def test_a_job_is_stopped_whatever_the_object_holds(data: bytes) -> None:
    store = memory()
    store.put(f"jobs/{JOB.id}/cancelled", data, content_type=JSON)
    assert cancelled(store, JOB.id)
    found = stopped(store, JOB.id)
    assert found is not None
    assert isinstance(found.why, str)
    assert isinstance(found.asked, bool)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[1]", b'{"why": "x"}', b'{"asked": false}', b"null"], ids=repr)
def test_a_stop_that_says_nothing_was_asked_for(store: Store, data: bytes) -> None:
    store.put(f"jobs/{JOB.id}/cancelled", data, content_type="text/plain")
    assert stopped(store, JOB.id) == Stop(CANCELLED)


def test_stopping_one_job_stops_no_other(store: Store) -> None:
    stop(store, JOB.id, Stop(CANCELLED))
    assert not cancelled(store, JOB.id[:-1])
    assert not cancelled(store, f"{JOB.id}0")


@given(any_jobs())
def test_an_id_says_layer_and_time(job: Job) -> None:
    assert layer_of(job.id) == job.spec.layer
    stamp = job.id.rpartition("-")[2]
    assert f"{begun(job.id):%Y%m%dT%H%M%S.%f}" == stamp
    assert begun(job.id).tzinfo == UTC


def test_jobs_come_in_the_order_in_which_they_were_begun(store: Store) -> None:
    assert jobs(store) == []
    made = [of(layer, minutes) for minutes, layer in enumerate(("zoo", "alps", "relief", "alps", "a"))]
    for job in random.Random(1).sample(made, len(made)):
        put_job(store, job)
    assert jobs(store) == [job.id for job in made]


def test_a_job_is_found_by_its_id_and_by_the_beginning_of_it(store: Store) -> None:
    one, other = of("relief", 0), of("relief", 9)
    for job in (one, other):
        put_job(store, job)
    assert find_job(store, one.id) == one
    assert find_job(store, other.id) == other
    assert find_job(store, one.id[:-8]) == one
    assert find_job(store, other.id[:-8]) == other


def test_a_layers_name_finds_its_newest_job_and_no_other_layers(store: Store) -> None:
    for layer in LAYERS:
        for minutes in (3, 0, 7):
            put_job(store, of(layer, minutes))
    for layer in LAYERS:
        assert find_job(store, layer) == of(layer, 7)


@given(st.lists(st.tuples(st.sampled_from(LAYERS), st.integers(0, 20)), min_size=1, max_size=6, unique=True), st.data())
def test_what_begins_several_ids_finds_nothing_unless_it_is_a_layer(
    made: list[tuple[str, int]], data: st.DataObject
) -> None:
    store = memory()
    known = {job.id: job for job in (of(*each) for each in made)}
    for job in known.values():
        put_job(store, job)
    whole = data.draw(st.sampled_from(sorted(known)))
    named = whole[: data.draw(st.integers(1, len(whole)))]
    alike = [job for job in known if job.startswith(named)]
    of_layer = [job for job in known if known[job].spec.layer == named]
    if named in known or len(alike) == 1 or of_layer:
        expected = named if named in known else max(of_layer, key=begun) if of_layer else alike[0]
        assert find_job(store, named) == known[expected]
    else:
        with pytest.raises(UnknownJob) as refused:
            find_job(store, named)
        assert any(job in str(refused.value) for job in alike)


def test_an_unknown_job_is_answered_with_those_of_a_similar_name() -> None:
    store = memory()
    put_job(store, JOB)
    with pytest.raises(UnknownJob, match=f"did you mean {JOB.id}"):
        find_job(store, JOB.id.replace("relief", "releif"))
    with pytest.raises(UnknownJob, match="run `seeder status` to list jobs"):
        find_job(store, "zzz")


@pytest.mark.parametrize("named", ["", "relief", JOB.id])
def test_where_there_are_no_jobs_none_is_found(store: Store, named: str) -> None:
    with pytest.raises(UnknownJob):
        find_job(store, named)


def test_an_id_with_an_impossible_date_is_no_job() -> None:
    store = memory()
    named = "relief-12345678-20259999T999999.000000"
    with pytest.raises(UnknownJob, match=named):
        find_job(store, named)
    store.put(f"jobs/{named}/job.json", b"{}", content_type="")
    assert jobs(store) == []


def test_an_empty_name_finds_no_job_even_if_there_is_only_one() -> None:
    store = memory()
    put_job(store, JOB)
    with pytest.raises(UnknownJob):
        find_job(store, "")


def test_what_is_no_job_hides_no_job(store: Store) -> None:
    put_job(store, JOB)
    for name in ("notes", JOB.id[:-7], f"{JOB.id}.old"):
        store.put(f"jobs/{name}/todo.txt", b"", content_type="text/plain")
    assert jobs(store) == [JOB.id]
    assert find_job(store, "relief") == JOB


def test_the_tiles_of_a_job_survive_every_store(store: Store) -> None:
    tiles = parse_tiles(["9/260/170", "5/16/11", "9/261/170"], "x")
    job = Job.new(replace(SPEC, selection=Selection((5, 9), (), tiles)), NOON)
    put_job(store, job)
    assert load_job(store, job.id) == job
    assert find_job(store, "relief").spec.selection.tiles == tiles
    store.delete([f"jobs/{job.id}/tiles.npz"])
    with pytest.raises(MissingObject):
        load_job(store, job.id)


def test_struck_receipts_are_gone_and_no_others(store: Store) -> None:
    blocks = [Block(5, 8 * x, 0) for x in range(4)]
    for block in blocks:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=1)))
        put_receipt(store, JOB.id, Receipt(block, Outcome(failed=1)))
    delete_receipts(store, JOB.id, "done", blocks[:1])
    assert set(finished(store, JOB.id)) == set(blocks[1:])
    assert set(finished(store, JOB.id, "failed")) == set(blocks)
    delete_receipts(store, JOB.id, "failed")
    assert set(finished(store, JOB.id)) == set(blocks[1:])
    assert set(finished(store, JOB.id, "failed")) == set()
    delete_receipts(store, JOB.id, "failed")


def test_failed_receipts_are_read_apart_from_those_that_are_done(store: Store) -> None:
    block = Block(5, 8, 16)
    good, bad = Receipt(block, Outcome(written=3, bytes=9)), Receipt(block, Outcome(failed=3, error="cannot read"))
    for receipt in (bad, good):
        put_receipt(store, JOB.id, receipt)
    assert list(read_receipts(store, JOB.id, [block])) == [good]
    assert list(read_receipts(store, JOB.id, [block], "failed")) == [bad]


def test_a_job_that_somebody_cancelled_is_not_gone_on_with_and_one_that_was_stopped_for_failures_is(
    store: Store,
) -> None:
    put_job(store, JOB)
    put_plan(store, JOB.id, PLAN)
    stop(store, JOB.id, Stop("20 of 30 blocks failed", asked=False))
    assert unfinished(store, SPEC) == JOB
    stop(store, JOB.id, Stop(CANCELLED))
    assert unfinished(store, SPEC) is None
    reopen(store, JOB.id)
    assert unfinished(store, SPEC) == JOB
