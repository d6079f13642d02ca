"""The queue in SQS: batches of ten, many under way, what is refused tried again and at last reported by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from seeder.aws.queue import BATCH, QueueClient
from seeder.jobs.messages import SIZES, Message
from tiler.errors import QueueError
from tiler.storage.concurrent import in_batches, overlap

ATTEMPTS = 6  # at an entry that SQS refuses
_RETRYING = Retrying(
    retry=retry_if_result(bool),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.2, max=10),
    retry_error_callback=lambda state: state.outcome and state.outcome.result(),
)


@dataclass(frozen=True, slots=True)
class SqsQueue(QueueClient):
    """The queue at `url`, which takes blocks."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the blocks that it takes."""
        return SIZES

    def send(self, messages: Iterable[Message]) -> int:
        """Send `messages` as they come, ten to a request, many requests under way; return how many.

        Raises:
            BadCloud: the queue is not there, or may not be used.
            QueueError: some were refused again and again; names their blocks. Of the others, some may not have been
                sent either.
        """
        refused: list[str] = []
        reason = ""

        def batches() -> Iterator[list[Message]]:
            for batch in in_batches(messages, BATCH):
                if refused:
                    return
                yield batch

        sent = 0
        for number, left in overlap(self._send, batches()):
            sent += number
            for block, why in left.items():
                refused.append(block)
                reason = why
        if refused:
            raise QueueError(f"the queue refused {len(refused)} blocks ({reason})", refused)
        return sent

    def _send(self, batch: Sequence[Message]) -> tuple[int, dict[str, str]]:
        """Send up to ten; returns how many were sent, and of the others block and reason."""
        left = {str(number): message for number, message in enumerate(batch)}

        def attempt() -> dict[str, str]:
            nonlocal left
            refused = self._try_to_send(left)
            left = {name: left[name] for name in refused}
            return refused

        reasons = _RETRYING(attempt)
        return len(batch) - len(left), {str(left[name].request.block): why for name, why in reasons.items()}

    def _try_to_send(self, messages: dict[str, Message]) -> dict[str, str]:
        """Send up to ten; returns the refused ones with the reason."""
        return self.send_bodies({name: message.encode() for name, message in messages.items()})
