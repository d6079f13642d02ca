"""A pool starts no more processes than its tiles are worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.messages import Message
from seeder.workers import local_pool
from seeder.workers.local_pool import TILES_PER_PROCESS, LocalPool
from tiler.grid import LEAF, Block
from tiler.keys import Scale
from tiler.layers.fill import Request
from tiler.layers.render import TileVariant
from tiler.settings import Settings

CORES = 4
FULL = (1 << LEAF * LEAF) - 1


def message(tiles: int, scale: Scale = 1, column: int = 0) -> Message:
    """A message of a block whose first `tiles` tiles are selected."""
    block = Block(z=20, x=LEAF * column, y=0, size=LEAF)
    return Message("job", "layer", "revision", Request(block, FULL >> (64 - tiles), TileVariant(scale, "png")))


def shared(messages: Iterable[Message], jobs: int | None = None) -> tuple[int, Iterator[Message]]:
    """The processes that a pool on a machine of `CORES` cores starts, and the messages given to them."""
    started: list[tuple[int, Iterator[Message]]] = []

    def stream(_make: object, items: Iterable[Message], *, jobs: int) -> Iterator[Any]:
        started.append((jobs, iter(items)))
        return iter(())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_pool, "CORES", CORES)
        patch.setattr(local_pool, "stream", stream)
        LocalPool(Settings.from_env({}, data=str(Path.cwd())), jobs, lambda _: None).send(messages)
    return started[0]


@given(st.lists(st.builds(message, st.integers(1, 64), st.sampled_from([1, 2]), st.integers(0, 999)), max_size=40))
def test_each_process_has_its_share_of_tiles_and_no_message_is_lost(messages: list[Message]) -> None:
    jobs, given_messages = shared(messages)
    work = sum(each.request.tiles.bit_count() * each.request.variant.scale**2 for each in messages)
    assert 1 <= jobs <= CORES
    assert jobs == 1 or work >= jobs * TILES_PER_PROCESS
    assert jobs == CORES or work < (jobs + 1) * TILES_PER_PROCESS
    assert list(given_messages) == messages


def test_the_messages_of_a_large_job_are_not_held() -> None:
    taken = count()
    endless = (message(64, column=next(taken)) for _ in count())
    jobs, given_messages = shared(endless)
    assert jobs == CORES
    assert next(taken) <= CORES * TILES_PER_PROCESS // 64 + 1
    assert [each.request.block.x // LEAF for each in islice(given_messages, 3)] == [0, 1, 2]


@pytest.mark.parametrize("jobs", [1, 3, 8])
def test_a_given_number_of_processes_is_kept(jobs: int) -> None:
    assert shared([message(1)], jobs)[0] == jobs
