"""Parallel calls: every result once, a limited number at a time, and no running call after an error."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiler.errors import SourceReadError, StoreError, TilerError
from tiler.storage.concurrent import THREADS, in_batches, overlap
from tiler.storage.store import Store

T = TypeVar("T")

PAUSES = st.sampled_from([0.0, 0.0, 0.0005, 0.002])  # seconds


@dataclass(frozen=True)
class Call:
    """What one call does: how long it takes, whether it fails."""

    number: int
    pause: float = 0.0
    fails: bool = False


@dataclass
class Watch:
    """Runs calls and keeps count of them."""

    begun: Counter[int] = field(default_factory=Counter)
    ended: Counter[int] = field(default_factory=Counter)
    drawn: int = 0
    most: int = 0  # calls under way at once
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: Call) -> int:
        """Act as the value of `call` demands."""
        with self._guard:
            self.begun[call.number] += 1
            self.most = max(self.most, self.begun.total() - self.ended.total())
        time.sleep(call.pause)
        with self._guard:
            self.ended[call.number] += 1
        if call.fails:
            raise StoreError("write", str(call.number), "told to fail")
        return call.number

    def items(self, calls: list[Call], breaks: int | None = None) -> Iterator[Call]:
        """`calls` as they are drawn; an error in place of number `breaks`."""
        for number, call in enumerate(calls):
            if number == breaks:
                raise SourceReadError("source", "told to fail")
            self.drawn += 1
            yield call


def gathered(answers: Iterator[T]) -> tuple[Counter[T], TilerError | None]:
    """All answers, and the error after them if there was one."""
    found: Counter[T] = Counter()
    try:
        for answer in answers:
            found[answer] += 1
    except TilerError as error:
        return found, error
    return found, None


@st.composite
def calls(draw: st.DrawFn, *, failing: bool) -> list[Call]:
    pairs = draw(st.lists(st.tuples(PAUSES, st.booleans()), max_size=3 * THREADS))
    return [Call(number, pause, fails and failing) for number, (pause, fails) in enumerate(pairs)]


@given(calls(failing=False))
@example([Call(number % 3) for number in range(50)])  # equal items are so many calls
def test_each_item_is_answered_once(calls: list[Call]) -> None:
    watch = Watch()
    assert gathered(overlap(watch, watch.items(calls))) == (Counter(call.number for call in calls), None)


@given(calls(failing=True), st.none() | st.integers(0, 3 * THREADS))
@example([Call(number, fails=number == 3) for number in range(THREADS)], None)
@example([Call(number) for number in range(THREADS)], THREADS - 1)
def test_an_error_comes_after_the_end_of_every_call_and_the_answers_of_the_others(
    calls: list[Call], breaks: int | None
) -> None:
    watch = Watch()
    found, error = gathered(overlap(watch, watch.items(calls, breaks)))
    assert watch.ended == watch.begun == Counter(range(watch.drawn))
    well = {call.number for call in calls[: watch.drawn] if not call.fails}
    assert found == Counter(well)
    broke = breaks is not None and watch.drawn == breaks < len(calls)
    assert (error is not None) == (len(well) < watch.drawn or broke)


def test_the_answers_of_calls_that_end_together_are_all_given_though_one_failed() -> None:
    watch, gate = Watch(), threading.Event()

    def call(each: Call) -> int:
        gate.wait(120)
        return watch(each)

    def items() -> Iterator[Call]:
        yield from (Call(number, fails=number == 3) for number in range(THREADS - 1))
        gate.set()
        while watch.ended.total() < THREADS - 1:
            time.sleep(0.001)
        yield Call(THREADS)

    found, error = gathered(overlap(call, items()))
    assert isinstance(error, StoreError)
    assert set(found) == {*range(THREADS - 1), THREADS} - {3}


def test_an_error_that_nobody_foresaw_waits_for_the_calls_too() -> None:
    watch = Watch()

    def items() -> Iterator[Call]:
        yield from watch.items([Call(number, pause=0.05) for number in range(4)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gathered(overlap(watch, items()))
    assert watch.ended.total() == 4


@given(calls(failing=True))
def test_no_more_than_so_many_calls_are_under_way(calls: list[Call]) -> None:
    watch = Watch()
    gathered(overlap(watch, watch.items(calls)))
    assert watch.most <= THREADS


def test_as_many_calls_as_there_may_be_are_under_way_at_once() -> None:
    together = threading.Barrier(THREADS, timeout=120)
    assert sorted(overlap(lambda number: together.wait() * 0 + number, range(THREADS))) == list(range(THREADS))


def test_items_are_drawn_as_answers_are_taken() -> None:
    watch = Watch()
    answers = overlap(watch, watch.items([Call(number) for number in range(10 * THREADS)]))
    assert watch.drawn == 0
    for taken, _ in enumerate(answers):
        assert watch.drawn <= taken + THREADS  # those under way and those whose answer waits
    assert watch.drawn == 10 * THREADS


def test_after_an_error_nothing_more_is_drawn() -> None:
    watch = Watch()
    calls = [Call(number, pause=0.001, fails=number == 5) for number in range(1000)]
    found, error = gathered(overlap(watch, watch.items(calls)))
    assert isinstance(error, StoreError)
    assert 5 <= len(found) < watch.drawn <= 3 * THREADS


def named(number: int) -> tuple[str, bytes]:
    """The object of a number."""
    return f"relief/7/{number}.png", f"tile {number}".encode()


def test_put_all_names_each_object_once_it_is_stored(store: Store) -> None:
    objects = dict(map(named, range(3 * THREADS)))
    found = Counter[str]()
    for key in store.put_all(objects.items(), content_type="image/png", cache_control="max-age=60"):
        assert store.get(key) == objects[key]
        found[key] += 1
    assert found == Counter(objects.keys())


@pytest.mark.parametrize("breaks", [0, 1, THREADS - 1, THREADS, 2 * THREADS + 3])
def test_put_all_stores_and_names_all_that_was_drawn_before_the_source_broke(store: Store, breaks: int) -> None:
    def objects() -> Iterator[tuple[str, bytes]]:
        yield from map(named, range(breaks))
        raise SourceReadError("source", "told to fail")

    found, error = gathered(store.put_all(objects(), content_type="image/png", cache_control=""))
    assert isinstance(error, SourceReadError)
    assert found == Counter(key for key, _ in map(named, range(breaks)))
    assert {entry.key for entry in store.list("relief/")} == set(found)


@given(st.lists(st.integers(), max_size=40), st.integers(1, 12))
def test_batches_are_what_was_given_in_order_and_full_but_the_last(items: list[int], size: int) -> None:
    batches = list(in_batches(items, size))
    assert [each for batch in batches for each in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)
