"""Deleting many objects: a thousand a request, many requests at once, what is refused tried again and told by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

from tiler.errors import StoreError
from tiler.storage.concurrent import in_batches, overlap
from tiler.storage.store import DELETE_BATCH, Store

ATTEMPTS = 4  # at keys that are refused
TOLD = 20  # keys that are remembered by name
RETRYING = Retrying(
    retry=retry_if_result(lambda refused: bool(refused[0])),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential(multiplier=0.5, max=8),
    retry_error_callback=lambda state: state.outcome and state.outcome.result(),
)


@dataclass(slots=True)
class Purged:
    """What became of the keys: so many were removed by so many requests, and so many could not be, and why."""

    removed: int = 0
    requests: int = 0
    failed: int = 0
    keys: list[str] = field(default_factory=list)  # a few that failed
    why: str = ""


def purge(store: Store, keys: Iterable[str], progress: Callable[[int], object]) -> Purged:
    """Delete `keys`, all of which are there, as they are drawn; `progress` is told of those that are gone.

    A request may delete some keys and refuse others. What it refused is what is still there; that is tried again.

    Raises:
        StoreError: not one of a thousand could be deleted, so that nothing more was tried.
    """
    told = Purged()

    def delete(batch: list[str]) -> tuple[list[str], StoreError | None]:
        try:
            store.delete(batch)
        except StoreError as error:
            return batch, error
        return batch, None

    for batch, error in overlap(delete, in_batches(keys, DELETE_BATCH)):
        told.requests += 1
        left: list[str] = []
        if error is not None:
            left, why = RETRYING.copy()(_again, store, batch, told)
            if len(left) == len(batch):
                raise error if why is None else why
            _remember(told, left, why or error)
        told.removed += len(batch) - len(left)
        progress(len(batch) - len(left))
    return told


def _again(store: Store, batch: list[str], told: Purged) -> tuple[list[str], StoreError | None]:
    """Delete what is still there of a batch; returns what is left then, and why."""
    why = None
    try:
        rest = sorted(store.existing(batch))
        told.requests += bool(rest)
        store.delete(rest)
    except StoreError as error:
        why = error
    return sorted(store.existing(batch)) if why else [], why


def _remember(told: Purged, left: list[str], why: StoreError) -> None:
    if left:
        told.failed += len(left)
        told.keys += left[: TOLD - len(told.keys)]
        told.why = str(why)
