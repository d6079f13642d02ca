"""The ledger of bake jobs: what is put is read, the first receipt counts, and nothing is mistaken for a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.jobs import bake_ledger as ledger
from seeder.jobs.bake_ledger import BakeJob, End, FirstTiles
from seeder.jobs.bake_parts import forget_lost, parts_in_use
from seeder.jobs.ledger import jobs, put_job
from seeder.jobs.messages import Job, Spec
from seeder.select.selection import Selection
from tests.support.bake_jobs import NOON, TIERS, bake_all, bake_job, memory, put
from tests.support.job_strategies import key_parts
from tests.support.strategies import layer_ids
from tiler.errors import MessageError, MissingObject
from tiler.keys import index_key, part_facts_key, part_key
from tiler.layers.pyramid import Place
from tiler.layers.render import TileVariant
from tiler.storage.store import Store

ALL = [Place(tier, *place) for tier, places in enumerate(TIERS) for place in places]
ZOOMS = st.sets(st.integers(0, 24), min_size=1).map(lambda zooms: tuple(sorted(zooms)))
FIRST = st.none() | st.builds(FirstTiles, ZOOMS, key_parts)
TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(layer_ids, TIMES, FIRST, st.floats(0, 1), st.text(max_size=30))
@settings(max_examples=40)
def test_a_job_is_read_as_it_was_put(
    layer: str, now: datetime, first: FirstTiles | None, most: float, url: str
) -> None:
    sources = memory()
    job = put(sources, bake_job(layer, now=now, first=first, most=most, url=url, queue=url, cdn=url))
    assert ledger.load_bake(sources, job.id) == job
    assert ledger.load_scenes(sources, job.id) == b"[]"
    assert ledger.bakes(sources) == ledger.bakes_of(sources, layer) == [job.id]
    assert ledger.begun(job.id) == now
    assert job.tiers == tuple(frozenset(each for each in ALL if each.tier == tier) for tier in range(3))
    assert not jobs(sources)


def test_the_first_receipt_counts(store: Store) -> None:
    job = put(store, bake_job())
    assert ledger.put_receipt(store, job.id, ALL[0], {"name": "one"})
    assert not ledger.put_receipt(store, job.id, ALL[0], {"name": "two"})
    assert ledger.read_receipt(store, job.id, ALL[0]) == {"v": 1, "name": "one"}
    assert ledger.read_receipt(store, job.id, ALL[1]) is None
    assert [ledger.claim_build(store, job.id, build) for build in ("a", "b")] == ["a", "a"]


@given(st.sets(st.sampled_from(ALL)), st.sets(st.sampled_from(ALL)))
@settings(max_examples=60)
def test_receipts_are_listed_as_they_were_put(done: set[Place], gone: set[Place]) -> None:
    sources = memory()
    job = put(sources, bake_job())
    bake_all(sources, job, done)
    ledger.delete_receipts(sources, job.id, gone)
    assert {place for place, _ in ledger.done_parts(sources, job.id)} == done - gone
    for tier in range(3):
        wanted = [place for place in ALL if place.tier == tier]
        assert ledger.has_receipts(sources, job.id, wanted) == (set(wanted) <= done - gone)
    assert dict(ledger.read_receipts(sources, job.id, ALL)) == {
        place: {"v": 1, "name": ""} if place in done - gone else None for place in ALL
    }


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b'{"v": 9, "name": ""}', b'{"name": ""}'])
def test_a_damaged_ledger_is_refused(data: bytes) -> None:
    sources = memory()
    job = put(sources, bake_job())
    bake_all(sources, job, ALL[:1])
    for entry in list(sources.list("jobs/")):
        sources.put(entry.key, data, content_type="application/json")
    ledger.put_end(sources, job.id, End("done"))
    sources.put(ledger.bake_key(job.id, "end.json"), data, content_type="application/json")
    reads = (ledger.load_bake, ledger.load_end, lambda *job: ledger.read_receipt(*job, ALL[0]))
    for read in reads:
        with pytest.raises(MessageError):
            read(sources, job.id)


@pytest.mark.parametrize("end", [End("done"), End("failed", "no pixels"), End("superseded", "by another")])
def test_an_end_is_read_as_it_was_put_until_it_is_deleted(end: End) -> None:
    sources = memory()
    job = put(sources, bake_job())
    assert ledger.load_end(sources, job.id) is None
    ledger.put_end(sources, job.id, end)
    assert ledger.load_end(sources, job.id) == end
    ledger.delete_end(sources, job.id)
    assert ledger.load_end(sources, job.id) is None


def test_failures_are_read_until_they_are_deleted() -> None:
    sources = memory()
    job = put(sources, bake_job())
    for place in ALL[:2]:
        ledger.put_failure(sources, job.id, place, f"{place.column} is torn")
    assert ledger.failed_parts(sources, job.id) == ALL[:2]
    assert dict(ledger.read_failures(sources, job.id, ALL[:3])) == {
        ALL[0]: "0 is torn",
        ALL[1]: "1 is torn",
        ALL[2]: "its error cannot be read",
    }
    ledger.delete_failures(sources, job.id)
    assert not ledger.failed_parts(sources, job.id)


def test_a_renewal_is_read_as_it_was_put() -> None:
    sources = memory()
    assert ledger.load_renewal(sources, "x") is None
    ledger.put_renewal(sources, "x", ["a", "b"])
    assert ledger.load_renewal(sources, "x") == ("a", "b")


def at(minutes: int, digest: str = "9f2c81aa", layer: str = "relief") -> BakeJob:
    return bake_job(layer, digest, NOON + timedelta(minutes=minutes))


def test_the_unfinished_job_is_the_latest_recorded_one_of_the_same_purpose() -> None:
    sources = memory()
    assert ledger.unfinished_bake(sources, "relief", "9f2c81aa") is None
    older, newer, other = put(sources, at(0)), put(sources, at(1)), put(sources, at(2, "00000000"))
    assert ledger.unfinished_bake(sources, "relief", "9f2c81aa") == newer.id
    half = at(3)  # its sender was killed before job.json was put
    sources.put(ledger.bake_key(half.id, "scenes.json"), b"[]", content_type="application/json")
    assert ledger.unfinished_bake(sources, "relief", "9f2c81aa") == newer.id
    ledger.put_end(sources, newer.id, End("failed"))
    assert ledger.unfinished_bake(sources, "relief", "9f2c81aa") is None
    assert ledger.unfinished_bake(sources, "relief", "00000000") == other.id
    assert older.id != newer.id


def test_a_name_means_the_newest_job_of_either_kind() -> None:
    sources = memory()
    ours, other = put(sources, at(5)), put(sources, at(0, layer="relief2"))
    spec = Spec("relief", "r", Selection((0,)), TileVariant())
    assert ledger.find_bake(sources, ours.id) == ledger.find_bake(sources, "relief") == ours.id
    assert ledger.find_bake(sources, "relief2-") == other.id
    assert [ledger.find_bake(sources, name) for name in ("rel", "", "nothing", "bakes")] == [None] * 4
    older, newer = (Job.new(spec, NOON + timedelta(minutes=minutes)) for minutes in (1, 9))
    put_job(sources, older)
    assert ledger.find_bake(sources, "relief") == ours.id
    put_job(sources, newer)
    assert ledger.find_bake(sources, "relief") is None
    assert ledger.find_bake(sources, newer.id) is None
    assert jobs(sources) == [older.id, newer.id]


def test_a_removed_job_is_unknown() -> None:
    sources = memory()
    job = put(sources, bake_job())
    assert ledger.is_recorded(sources, job.id)
    ledger.delete_bakes(sources, [job.id])
    assert not ledger.is_recorded(sources, job.id)
    with pytest.raises(MissingObject):
        ledger.load_bake(sources, job.id)


def stored(sources: Store, layer: str, *names: str) -> None:
    for name in names:
        sources.put(part_key(layer, name), b"", content_type="image/tiff")


def test_receipts_of_removed_parts_are_forgotten() -> None:
    sources = memory()
    job = put(sources, bake_job())
    bake_all(sources, job, ALL[:1])  # an empty part
    bake_all(sources, job, ALL[1:4], "part")
    stored(sources, "relief", "part-010", "part-100")
    assert forget_lost(job, sources) == [ALL[2]]
    assert {place for place, _ in ledger.done_parts(sources, job.id)} == {ALL[0], ALL[1], ALL[3]}
    assert forget_lost(job, sources) == []


@pytest.mark.parametrize(
    ("end", "used"), [(None, True), (End("failed"), True), (End("done"), False), (End("superseded"), False)]
)
def test_parts_are_in_use_until_their_job_cannot_be_published(end: End | None, used: bool) -> None:
    sources = memory()
    job = put(sources, bake_job())
    bake_all(sources, job, ALL[:1])
    bake_all(sources, job, ALL[1:2], "part")
    if end:
        ledger.put_end(sources, job.id, end)
    keys = {part_key("relief", "part-010"), part_facts_key("relief", "part-010")} if used else set()
    assert parts_in_use("relief", sources) == keys
    assert not parts_in_use("relief2", sources)
    sources.put(index_key("relief"), b"{}", content_type="application/json")  # published by another
    assert not parts_in_use("relief", sources)
