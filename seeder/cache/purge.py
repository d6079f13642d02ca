"""Delete many objects: a thousand per request, several requests in parallel, with retries of refused keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

from tiler.errors import StoreError
from tiler.storage.concurrent import in_batches, overlap
from tiler.storage.store import DELETE_BATCH, Store

ATTEMPTS = 4  # per refused key
NAMED = 20  # failed keys listed by name
RETRYING = Retrying(
    retry=retry_if_result(lambda refused: bool(refused[0])),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential(multiplier=0.5, max=8),
    retry_error_callback=lambda state: state.outcome and state.outcome.result(),
)


@dataclass(slots=True)
class Purged:
    """The result of a purge: numbers of removed and failed keys and of requests, and the reason of failures."""

    removed: int = 0
    requests: int = 0
    failed: int = 0
    keys: list[str] = field(default_factory=list)  # some of the failed ones
    why: str = ""


def purge(store: Store, keys: Iterable[str], progress: Callable[[int], object]) -> Purged:
    """Delete a stream of existing `keys`; `progress` gets the number of deleted ones.

    A request may delete some keys and refuse others. Keys that still exist afterwards are tried again.

    Raises:
        StoreError: no key of a batch could be deleted; the remaining keys were not tried.
    """
    result = Purged()

    def delete(batch: list[str]) -> tuple[list[str], StoreError | None]:
        try:
            store.delete(batch)
        except StoreError as error:
            return batch, error
        return batch, None

    for batch, error in overlap(delete, in_batches(keys, DELETE_BATCH)):
        result.requests += 1
        refused: list[str] = []
        if error is not None:
            refused, why = RETRYING.copy()(_retry, store, batch, result)
            if len(refused) == len(batch):
                raise error if why is None else why
            _add_failures(result, refused, why or error)
        result.removed += len(batch) - len(refused)
        progress(len(batch) - len(refused))
    return result


def _retry(store: Store, batch: list[str], result: Purged) -> tuple[list[str], StoreError | None]:
    """Delete the remaining keys of a batch; return the keys that still exist, and the error."""
    why = None
    try:
        rest = sorted(store.existing(batch))
        result.requests += bool(rest)
        store.delete(rest)
    except StoreError as error:
        why = error
    return sorted(store.existing(batch)) if why else [], why


def _add_failures(result: Purged, refused: list[str], why: StoreError) -> None:
    if refused:
        result.failed += len(refused)
        result.keys += refused[: NAMED - len(result.keys)]
        result.why = str(why)
