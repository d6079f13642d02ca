"""A compacted ledger reads as one in which every receipt has an object of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import wait_none

from seeder.jobs import receipts as receipts_module
from seeder.jobs.compaction import Compactor, compact
from seeder.jobs.expiry import delete_job
from seeder.jobs.failures import failed_blocks
from seeder.jobs.ledger import (
    Run,
    complete,
    delete_receipts,
    finished,
    load_job,
    load_plan,
    mark_compacted,
    put_job,
    put_plan,
    put_receipt,
    put_run,
    read_receipts,
    receipts,
    republished,
)
from seeder.jobs.messages import Job, Receipt, Spec, check_version
from seeder.jobs.receipts import Kind, Receipts, read_entries
from seeder.jobs.segment import CHUNK, Rows, Segment
from seeder.jobs.status import progress
from seeder.select.blocks import Count
from seeder.select.selection import Selection
from tests.support.effort import examples
from tests.support.layer_strategies import GLOBE
from tests.support.site import Spy
from tiler.errors import MessageError, MissingObject, StoreError, TilerError
from tiler.grid import Block
from tiler.keys import index_key
from tiler.layers.catalog import dump
from tiler.layers.fill import Outcome
from tiler.layers.layer_cache import Layers
from tiler.layers.render import TileVariant
from tiler.storage.store import Entry, Store, open_store

JOB = Job.new(Spec("globe", GLOBE.revision, Selection((3, 4, 5, 7)), TileVariant()), datetime(2026, 3, 1, tzinfo=UTC))
NOW = datetime(2026, 3, 2, tzinfo=UTC)
BLOCKS = [Block(z, x, y) for z in (3, 4, 5) for x in range(0, 2**z, 8) for y in range(0, 2**z, 8)]
PLAN = {3: Count(64, 1), 4: Count(256, 4), 5: Count(1000, 16)}
KINDS: tuple[Kind, ...] = ("done", "failed")

masks = st.integers(0, 2**64 - 1)
numbers = st.integers(0, 2**53)
times = st.integers(0, 10**6).map(lambda seconds: NOW - timedelta(seconds=seconds, microseconds=7 * seconds))


def memory() -> Store:
    """A store in memory with the layer."""
    store = open_store(f"memory://{uuid4().hex}")
    store.put(index_key("globe"), dump(GLOBE), content_type="application/json")
    return store


def outcome_of(kind: Kind) -> st.SearchStrategy[Outcome]:
    failed, error = (st.integers(1, 2**64 - 1), st.text()) if kind == "failed" else (st.just(0), st.just(""))
    return st.builds(Outcome, masks, masks, masks, failed, numbers, numbers, error)


def places(deepest: int = 28) -> st.SearchStrategy[Block]:
    """Any 8 x 8 block."""

    def of(z: int) -> st.SearchStrategy[Block]:
        column = st.integers(0, (2**z - 1) // 8).map(lambda each: 8 * each)
        return st.builds(Block, st.just(z), column, column)

    return st.integers(0, deepest).flatmap(of)


def newest(pairs: list[tuple[Receipt, datetime]]) -> dict[Block, datetime]:
    latest: dict[Block, datetime] = {}
    for receipt, modified in pairs:
        latest[receipt.block] = max(modified, latest.get(receipt.block, modified))
    return latest


@given(st.lists(st.tuples(st.builds(Receipt, places(), outcome_of("failed")), times), min_size=1))
def test_a_segment_holds_the_newest_receipt_of_each_block(pairs: list[tuple[Receipt, datetime]]) -> None:
    store, rows = memory(), Rows.of(pairs)
    store.put("segment", rows.encode(), content_type="")
    segment = Segment.open(store, "segment")
    back = [pair for chunk in segment.chunks(store) for pair in chunk]
    assert all(pair in pairs for pair in back)
    assert {receipt.block: modified for receipt, modified in back} == newest(pairs)
    assert (segment.receipts, segment.last) == (len(back), max(newest(pairs).values()))


def test_a_receipt_takes_few_bytes_and_is_read_without_the_others() -> None:
    side, start = 200, NOW.timestamp()
    pairs = [
        (
            Receipt(Block(14, 8 * x, 8 * y), Outcome(2**64 - 1, bytes=900_000 + x * y % 77_777, milliseconds=200 + y)),
            datetime.fromtimestamp(int(start + x * 3), UTC),
        )
        for x in range(side)
        for y in range(side)
    ]
    store = Spy(memory())
    store.put("segment", Rows.of(pairs).encode(), content_type="")
    segment = Segment.open(cast(Store, store), "segment")
    assert len(store.get("segment")) < 9 * side * side
    assert len(segment.places) == -(-side * side // CHUNK)
    store.seen.clear()
    for receipt, modified in (pairs[0], pairs[side * side // 2], pairs[-1]):
        number = segment.holding(receipt.block)
        assert number is not None
        assert segment.chunk(cast(Store, store), number).find(receipt.block) == (receipt, modified)
    assert [verb for verb, _ in store.seen] == ["ranges"] * 3


@pytest.mark.parametrize("damage", [b"{}\n", b"[]\n", b'{"v": 1, "receipts": 1, "last": 0, "sizes": [3, 3, 3]}\nabc'])
def test_a_damaged_segment_is_refused_in_one_line(damage: bytes) -> None:
    store = memory()
    store.put("segment", damage, content_type="")
    with pytest.raises(TilerError, match="segment") as refused:
        Segment.open(store, "segment")
    assert "\n" not in str(refused.value)


def test_a_segment_of_another_version_is_refused() -> None:
    store = memory()
    store.put("segment", b'{"v": 2}\n', content_type="")
    with pytest.raises(MessageError, match="segment has version 2: this program reads version 1"):
        Segment.open(store, "segment")


class Died(Exception):
    """The process was killed."""


@dataclass
class Dying:
    """A store whose process dies after a number of puts and deletes."""

    store: Store
    left: int

    def __getattr__(self, name: str) -> Any:
        if name in ("put", "delete"):
            self.left -= 1
            if self.left < 0:
                raise Died
        return getattr(self.store, name)


@dataclass
class Timed:
    """A store with a clock of its own: listings have the time of the put, in seconds from the start."""

    store: Store = field(default_factory=memory)
    second: int = 0
    at: dict[str, datetime] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """See `Store.put`."""
        self.second += 1
        self.at[key] = NOW + timedelta(seconds=self.second)
        self.store.put(key, data, content_type=content_type)

    def list(self, prefix: str, *, after: str = "", before: str = "") -> Iterator[Entry]:
        """See `Store.list`."""
        for entry in self.store.list(prefix, after=after, before=before):
            yield Entry(entry.key, entry.size, self.at[entry.key])


def recorded(store: Any) -> Store:
    """The store with the job."""
    put_job(store, JOB)
    put_plan(store, JOB.id, PLAN)
    put_run(store, JOB.id, Run("", NOW, 0.01, ended=True))
    return cast(Store, store)


def seen(store: Store) -> dict[str, Any]:
    """What the readers of a ledger say."""
    done = sorted(receipts(store, JOB.id), key=lambda each: str(each.block))
    return {
        "status": progress(JOB, store, Layers(store), lambda _: None, NOW + timedelta(days=1)).to_json(),
        "blocks": {kind: sorted(map(str, finished(store, JOB.id, kind))) for kind in KINDS},
        "by zoom": {z: sorted(map(str, Receipts(store, JOB.id, "failed").blocks(z))) for z in (3, 4, 5)},
        "receipts": done,
        "errors": sorted(failed_blocks(store, JOB.id), key=lambda each: str(each.block)),
        "read": {
            kind: sorted(read_receipts(store, JOB.id, BLOCKS, kind), key=lambda each: str(each.block)) for kind in KINDS
        },
        "has": [block for block in BLOCKS if Receipts(store, JOB.id).has(block)],
        "complete": complete(store, JOB.id),
    }


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KINDS), st.lists(st.sampled_from(BLOCKS[:7]), max_size=8)),
        st.tuples(st.just("delete"), st.sampled_from(KINDS), st.none() | st.lists(st.sampled_from(BLOCKS), max_size=4)),
        st.tuples(st.just("compact"), st.integers(1, 9), st.just([])),
        st.tuples(st.just("die"), st.integers(0, 6), st.just([])),
        st.tuples(st.just("beside"), st.integers(1, 9), st.just([])),
    ),
    max_size=10,
)


@given(steps, st.randoms(use_true_random=False))
@settings(max_examples=examples(60))
def test_a_compacted_ledger_says_what_the_receipts_say(history: list[Any], random: Any) -> None:
    """Whatever was put, deleted or compacted, by processes at once or killed, in any order."""
    plain, compacted = recorded(Timed()), recorded(Timed())
    for verb, first, blocks in history:
        if verb == "put":
            error = f"block {random.random()} cannot be read"
            for block in blocks:
                bits, size = random.getrandbits(64), random.getrandbits(20)
                one = Outcome(bits, failed=1, error=error) if first == "failed" else Outcome(empty=bits, bytes=size)
                for store in (plain, compacted):
                    put_receipt(store, JOB.id, Receipt(block, one))
        elif verb == "delete":
            for store in (plain, compacted):
                delete_receipts(store, JOB.id, first, blocks)
        else:
            compaction(compacted, verb, first)
        align(plain, compacted)
    assert seen(compacted) == seen(plain)
    for store in (plain, compacted):
        for failed in (0, 1):
            put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(failed=failed)))
    compact(compacted, JOB.id, size=100, least=1)
    assert seen(compacted) == seen(plain)
    assert not [entry for kind in KINDS for entry in compacted.list(f"jobs/{JOB.id}/{kind}/")]
    assert len([*compacted.list(f"jobs/{JOB.id}/compacted/")]) == 2, "segments were not joined"


def compaction(store: Store, verb: str, number: int) -> None:
    """Compact the ledger in segments of `number` receipts, die after `number` steps, or compact it twice at once."""
    if verb == "die":
        with suppress(Died):
            compact(cast(Store, Dying(store, number)), JOB.id, size=5, least=1)
    elif verb == "beside":
        beside(store, size=number)
    else:
        compact(store, JOB.id, size=number, least=1)


def align(*stores: Any) -> None:
    """Let the clocks go on alike: a compaction puts objects too."""
    latest = max(store.second for store in stores)
    for store in stores:
        store.second = latest


def beside(store: Store, *, size: int) -> None:
    """Two compactors take the same receipts before either is done."""
    both = [Compactor(store, JOB.id, size=size, least=1) for _ in range(2)]
    entries = [*store.list(f"jobs/{JOB.id}/done/")]
    read = [(receipt, entry.modified) for entry in entries for receipt in [decoded(store, entry)]]
    for pair in read:
        for compactor in both:
            compactor.add(*pair)
    for compactor in both:
        compactor.close()


def decoded(store: Store, entry: Entry) -> Receipt:
    try:
        return Receipt.decode(entry.key.rpartition("/")[2], store.get(entry.key))
    except StoreError:  # compacted by the other
        return next(each for each in receipts(store, JOB.id) if entry.key.endswith(f"/{each.block}"))


def test_a_receipt_that_arrives_later_counts_once() -> None:
    store = recorded(memory())
    for block in BLOCKS[:-1]:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=1)))
    compact(store, JOB.id, least=1)
    assert not complete(store, JOB.id)
    put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(skipped=1)))  # a second delivery
    assert not complete(store, JOB.id)
    put_receipt(store, JOB.id, Receipt(BLOCKS[-1], Outcome(written=1)))
    assert complete(store, JOB.id)
    assert len(list(receipts(store, JOB.id))) == len(BLOCKS)


def test_a_receipt_that_no_segment_can_hold_stays_as_it_is() -> None:
    store = recorded(memory())
    odd = Receipt(BLOCKS[0], Outcome(written=1, bytes=-1))
    for receipt in (odd, Receipt(BLOCKS[1], Outcome(written=1))):
        put_receipt(store, JOB.id, receipt)
    compact(store, JOB.id, least=1)
    assert [entry.key for entry in store.list(f"jobs/{JOB.id}/done/")] == [f"jobs/{JOB.id}/done/{BLOCKS[0]}"]
    assert {receipt.block for receipt in receipts(store, JOB.id)} == set(BLOCKS[:2])


def test_of_two_segments_with_a_block_the_newer_one_counts() -> None:
    plain, compacted = recorded(Timed()), recorded(Timed())
    for empty in (1, 2, 3):
        for store in (plain, compacted):
            put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(empty=empty)))
        compact(compacted, JOB.id, size=1, least=1)
        align(plain, compacted)
    assert len([*compacted.list(f"jobs/{JOB.id}/compacted/")]) == 3
    assert seen(compacted) == seen(plain)
    for store in (plain, compacted):
        put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(empty=4)))
    assert seen(compacted) == seen(plain)


def test_few_receipts_stay_as_they_are() -> None:
    store = recorded(memory())
    for block in BLOCKS:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=1)))
    before = {entry.key: entry.modified for entry in store.list("jobs/")}
    compact(store, JOB.id)
    assert {entry.key: entry.modified for entry in store.list("jobs/")} == before


def test_programs_without_compaction_refuse_a_compacted_job_in_one_line() -> None:
    store = recorded(memory())
    put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(written=1)))
    compact(store, JOB.id, least=1)
    for name in ("job.json", "plan.json"):
        document = json.loads(store.get(f"jobs/{JOB.id}/{name}"))
        with pytest.raises(MessageError, match="has version 2: this program reads version 1"):
            check_version(document, name)  # as they do
    assert load_job(store, JOB.id) == JOB
    assert load_plan(store, JOB.id) == PLAN
    put_job(store, JOB)  # resumed
    put_plan(store, JOB.id, PLAN)
    assert {json.loads(store.get(f"jobs/{JOB.id}/{name}"))["v"] for name in ("job.json", "plan.json")} == {2}


def test_compaction_does_not_hide_a_publication_after_the_job(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}", create=True)
    put_job(store, JOB)
    put_plan(store, JOB.id, PLAN)
    store.put(index_key("globe"), dump(GLOBE), content_type="application/json")
    for name, seconds in ((f"jobs/{JOB.id}/job.json", 1000), (index_key("globe"), 2000)):
        os.utime(tmp_path / name, (seconds, seconds))
    assert republished(store, JOB)
    assert mark_compacted(store, JOB.id)
    assert store.written(f"jobs/{JOB.id}/job.json") > store.written(index_key("globe"))
    assert republished(store, JOB)


def test_a_plan_put_before_the_first_segment_keeps_the_raised_version() -> None:
    store = recorded(memory())
    assert mark_compacted(store, JOB.id)
    put_plan(store, JOB.id, PLAN)
    put_job(store, JOB)
    assert {json.loads(store.get(f"jobs/{JOB.id}/{name}"))["v"] for name in ("job.json", "plan.json")} == {2}


@dataclass
class Racing:
    """A store in which another process acts once, just before the first call of `verb` on a key with `part`."""

    store: Store
    verb: str
    part: str
    act: Callable[[], object]
    done: bool = False

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name) if name == self.verb else getattr(self.store, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if not self.done and self.part in str(args[0]):
            self.done = True
            self.act()
        return getattr(self.store, name)(*args, **kwargs)


def compactor_of(store: Store, kind: Kind) -> Compactor:
    """A compactor that has read all receipts of a kind."""
    compactor = Compactor(store, JOB.id, kind, least=1)
    for receipt, modified in read_entries(store, store.list(f"jobs/{JOB.id}/{kind}/")):
        compactor.add(receipt, modified)
    return compactor


@pytest.mark.parametrize("kind", KINDS)
def test_receipts_deleted_while_others_compact_do_not_come_back(kind: Kind) -> None:
    store = recorded(memory())
    for block in BLOCKS:
        put_receipt(store, JOB.id, Receipt(block, Outcome(failed=kind == "failed")))
    compactor = compactor_of(store, kind)
    delete_receipts(store, JOB.id, kind, BLOCKS[::2])
    compactor.close()
    assert set(finished(store, JOB.id, kind)) == set(BLOCKS[1::2])
    assert store.empty(f"jobs/{JOB.id}/{kind}/")
    assert not store.empty(f"jobs/{JOB.id}/compacted/{kind}/")


def test_a_receipt_replaced_while_others_compact_stays() -> None:
    store = recorded(Timed())
    for block in BLOCKS:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=1)))
    compactor = compactor_of(store, "done")
    newer = Receipt(BLOCKS[3], Outcome(empty=7))
    put_receipt(store, JOB.id, newer)
    compactor.close()
    assert list(read_receipts(store, JOB.id, [BLOCKS[3]])) == [newer]
    assert [entry.key for entry in store.list(f"jobs/{JOB.id}/done/")] == [f"jobs/{JOB.id}/done/{BLOCKS[3]}"]
    assert set(finished(store, JOB.id)) == set(BLOCKS)


def test_compaction_ends_when_a_new_run_begins() -> None:
    store = recorded(memory())
    put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(failed=1)))
    compactor = compactor_of(store, "failed")

    def resume() -> None:
        put_run(store, JOB.id, Run("", NOW + timedelta(hours=1), 0.01))
        delete_receipts(store, JOB.id, "failed")

    racing = Racing(store, "get", "run.json", resume)  # after the receipts are listed again
    compactor._sources = cast(Store, racing)
    compactor.close()
    assert racing.done
    assert list(finished(store, JOB.id, "failed")) == []


def test_receipts_deleted_from_a_segment_while_others_join_it_do_not_come_back() -> None:
    store = recorded(memory())
    for block in BLOCKS[:6]:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=1)))
    compact(store, JOB.id, least=1)
    put_receipt(store, JOB.id, Receipt(BLOCKS[7], Outcome(written=1)))
    compactor = compactor_of(store, "done")
    racing = Racing(store, "list", f"{JOB.id}/done/", lambda: delete_receipts(store, JOB.id, "done", BLOCKS[:2]))
    compactor._receipts._sources = cast(Store, racing)  # just before the receipts are listed again
    compactor.close()
    assert racing.done
    assert set(finished(store, JOB.id)) == {*BLOCKS[2:6], BLOCKS[7]}


def test_a_compaction_that_may_not_write_reads_no_receipt() -> None:
    store = recorded(memory())
    for block in BLOCKS:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=1)))

    class ReadOnly(Spy):
        def __getattr__(self, name: str) -> Any:
            if name in ("put", "delete"):
                raise StoreError("write", "jobs/", "access denied")
            return super().__getattr__(name)

    spy = ReadOnly(store)
    compact(cast(Store, spy), JOB.id, least=1)
    assert not [key for verb, key in spy.seen if "/done/" in key and verb == "get"]


@pytest.mark.usefixtures("hasty")
def test_receipts_are_deleted_from_a_segment_that_was_replaced_meanwhile() -> None:
    store = recorded(memory())
    for block in BLOCKS[:5]:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=1)))
    compact(store, JOB.id, least=1)
    racing = Racing(store, "ranges", "compacted", lambda: delete_receipts(store, JOB.id, "done", BLOCKS[3:5]))
    delete_receipts(cast(Store, racing), JOB.id, "done", BLOCKS[:2])
    assert racing.done
    assert list(finished(store, JOB.id)) == [BLOCKS[2]]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits between attempts."""
    monkeypatch.setattr(receipts_module, "RETRYING", receipts_module.RETRYING.copy(wait=wait_none()))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "read",
    [
        lambda store: Receipts(store, JOB.id).segments,
        lambda store: list(receipts(store, JOB.id)),
        lambda store: Receipts(store, JOB.id).read(BLOCKS[0]),
        lambda store: delete_receipts(store, JOB.id, "done", BLOCKS[:1]),
        lambda store: progress(JOB, store, Layers(store), lambda _: None, NOW),
    ],
    ids=["list", "iterate", "read", "delete", "status"],
)
def test_a_listed_segment_that_stays_missing_is_an_error(read: Callable[[Store], object]) -> None:
    store = recorded(memory())

    class Stale(Spy):
        def list(self, prefix: str, **span: str) -> Iterator[Entry]:
            yield from self.store.list(prefix, **span)
            if prefix.endswith("compacted/done/"):
                yield Entry(f"{prefix}0123", 5, NOW)

    with pytest.raises(MissingObject, match="compacted/done/0123"):
        read(cast(Store, Stale(store)))


@pytest.mark.parametrize("verb", ["get", "written", "put"])
def test_a_job_removed_while_it_is_marked_does_not_come_back(verb: str) -> None:
    store = recorded(memory())
    racing = Racing(store, verb, "job.json", lambda: delete_job(store, JOB.id))
    assert not mark_compacted(cast(Store, racing), JOB.id)
    assert racing.done
    assert store.empty(f"jobs/{JOB.id}/")


@pytest.mark.parametrize("name", ["job.json", "plan.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"v": 1'])
def test_a_damaged_job_is_not_compacted_and_does_no_harm(
    name: str, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = recorded(memory())
    put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(written=1)))
    store.put(f"jobs/{JOB.id}/{name}", damage, content_type="")
    compactor = Compactor(store, JOB.id, least=1)
    for receipt, modified in read_entries(store, store.list(f"jobs/{JOB.id}/done/")):
        compactor.add(receipt, modified)
    compactor.close()
    assert "are not compacted" in caplog.text
    assert [entry.key for entry in store.list(f"jobs/{JOB.id}/done/")] == [f"jobs/{JOB.id}/done/{BLOCKS[0]}"]


def test_a_removed_job_is_not_compacted() -> None:
    store = memory()
    put_receipt(store, JOB.id, Receipt(BLOCKS[0], Outcome(written=1)))
    compact(store, JOB.id, least=1)
    assert store.empty(f"jobs/{JOB.id}/compacted/")


def test_compaction_of_a_bucket_takes_few_requests(s3_url: str) -> None:
    store = recorded(open_store(s3_url))
    blocks = [Block(9, 8 * x, 8 * y) for x in range(5) for y in range(8)]
    for block in blocks:
        put_receipt(store, JOB.id, Receipt(block, Outcome(written=3)))
    spy = Spy(store)
    compact(cast(Store, spy), JOB.id, least=len(blocks))
    asked = {verb: spy.count(verb) for verb in ("list", "get", "put", "delete")}
    assert asked["get"] <= len(blocks) + 4  # each receipt, job.json, plan.json, and run.json twice
    assert asked["put"] == 3  # the segment, job.json and plan.json
    assert asked["list"] <= 5
    assert [entry.key for entry in store.list(f"jobs/{JOB.id}/done/")] == []
    spy.seen.clear()
    assert sorted(finished(cast(Store, spy), JOB.id), key=str) == sorted(blocks, key=str)
    assert spy.count("list", "get", "first", "ranges") <= 3
