"""The SQS queue: parallel batches of ten; refused messages are retried, and finally reported by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from seeder.aws.queue import BATCH, QueueClient
from seeder.jobs.messages import SIZES
from tiler.errors import QueueError
from tiler.storage.concurrent import in_batches, overlap

ATTEMPTS = 6  # per message refused by SQS
_RETRYING = Retrying(
    retry=retry_if_result(bool),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.2, max=10),
    retry_error_callback=lambda state: state.outcome and state.outcome.result(),
)


class Sendable(Protocol):
    """A message with a name for errors."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def encode(self) -> str:
        """Its text."""
        ...


@dataclass(frozen=True, slots=True)
class SqsQueue(QueueClient):
    """The queue at `url`, as a queue for blocks."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """See `Queue.sizes`."""
        return SIZES

    def send(self, messages: Iterable[Sendable], delay: int = 0) -> int:
        """Send a stream of `messages`, ten per request, several requests in parallel; return their number.

        Workers receive them `delay` seconds later, at most 900.

        Raises:
            BadCloud: the queue does not exist, or access is denied.
            QueueError: some messages were refused after all retries; names their blocks. Of the other messages, some
                may be unsent too.
        """
        refused: list[str] = []
        reason = ""

        def batches() -> Iterator[list[Sendable]]:
            for batch in in_batches(messages, BATCH):
                if refused:
                    return
                yield batch

        sent = 0
        for number, failed in overlap(partial(self._send, delay=delay), batches()):
            sent += number
            for block, why in failed.items():
                refused.append(block)
                reason = why
        if refused:
            raise QueueError(f"the queue refused {len(refused)} messages ({reason})", refused)
        return sent

    def _send(self, batch: Sequence[Sendable], delay: int) -> tuple[int, dict[str, str]]:
        """Send up to ten messages; return the number sent, and the reasons of the refused ones by name."""
        unsent = {str(number): message for number, message in enumerate(batch)}

        def attempt() -> dict[str, str]:
            nonlocal unsent
            refused = self._try_to_send(unsent, delay)
            unsent = {name: unsent[name] for name in refused}
            return refused

        reasons = _RETRYING(attempt)
        return len(batch) - len(unsent), {unsent[name].name: why for name, why in reasons.items()}

    def _try_to_send(self, messages: dict[str, Sendable], delay: int) -> dict[str, str]:
        """Send up to ten messages; return the refused ones with the reason."""
        return self.send_bodies({name: message.encode() for name, message in messages.items()}, delay=delay)
