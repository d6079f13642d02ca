"""Parallel calls that wait for a network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import islice
from typing import TypeVar

from tiler.errors import TilerError

T = TypeVar("T")
R = TypeVar("R")

THREADS = 16  # S3 answers a request in 20 to 50 ms; a tile is made in 4


def overlap(call: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
    """The results of `call` for each of `items`, as they complete; `items` is consumed while calls are running.

    After an error in a call or in `items`, no further item is taken. The error is raised once all running calls have
    ended and their results were yielded.
    """
    source = iter(items)
    running: set[Future[R]] = set()
    fault: BaseException | None = None
    try:
        while True:
            try:
                for item in islice(source, 0 if fault else THREADS - len(running)):
                    running.add(_threads("overlap").submit(call, item))
            except TilerError as error:
                fault = error
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                failed = each.exception()
                fault = failed or fault
                if failed is None:
                    yield each.result()
    finally:
        wait(running)
    if fault:
        raise fault


def together(call: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The results of `call` for each of a few `items`, in their order; the calls are made at the same time.

    A call within `overlap` may wait for it: it has its own threads. The first error is raised.
    """
    return list(map(call, items) if len(items) < 2 else _threads("together").map(call, items))


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of `size`, the last one shorter."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


@cache
def _threads(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, name)
