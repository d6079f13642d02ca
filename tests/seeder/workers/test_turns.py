"""No message is a dead letter before a worker tried it, and one that always fails is one after five tries."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.aws.delivery import Delivery, delivered
from seeder.workers.turns import MAX_TRIES, is_spent, turns

RECEIVES = 5  # that SQS allows before a message is a dead letter
INVOCATION = 120.0  # seconds
BATCH = 5


def deliveries(tries: Sequence[int]) -> list[Delivery]:
    return [Delivery(str(number), str(number), "", each) for number, each in enumerate(tries)]


@given(st.lists(st.integers(1, 9), max_size=10), st.integers(0, 10))
def test_each_message_is_begun_or_released_once_and_one_that_was_tried_is_begun_alone(
    tries: list[int], time: int
) -> None:
    released: list[Delivery] = []
    begun: list[Delivery] = []
    given_out = deliveries(tries)
    for delivery in turns(given_out, lambda number: number < time, released.extend, lambda _: False):
        begun.append(delivery)
        if delivery.tries > 1:
            assert len(begun) + len(released) == len(given_out), "others would be lost with it"
    assert sorted(begun + released, key=str) == sorted(given_out, key=str)
    assert [delivery.tries for delivery in begun] == sorted(delivery.tries for delivery in begun)
    assert bool(begun) == bool(given_out and time)


@dataclass
class Message:
    """A message of a simulated queue, whose block takes `seconds`, fails, or ends the process."""

    name: str
    seconds: float
    fails: bool = False
    kills: bool = False
    receives: int = 0
    earlier: int = 0

    @property
    def delivery(self) -> Delivery:
        """What a worker receives."""
        return delivered(self.name, self.name, "", str(self.receives), str(self.earlier))


@dataclass
class Simulation:
    """A queue as SQS describes it, and workers that begin messages in turns, in an order by chance."""

    messages: list[Message]
    chance: random.Random
    begun: Counter[str] = field(default_factory=Counter)
    dead: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Invoke workers until the queue is empty."""
        for _ in range(100_000):
            if not self.messages:
                return
            self.chance.shuffle(self.messages)
            batch = []
            for message in self.messages[:BATCH]:
                message.receives += 1
                if message.receives > RECEIVES:
                    self.messages.remove(message)
                    self.dead.append(message.name)
                else:
                    batch.append(message)
            self.invoke(batch)
        raise AssertionError("the queue does not empty")

    def invoke(self, batch: list[Message]) -> None:
        """One invocation; without an answer, all messages come again."""
        known = {each.name: each for each in batch}
        left, slowest, done = INVOCATION, 0.0, list[Message]()

        def release(rest: Sequence[Delivery]) -> None:
            self.delete(done)
            for each in rest:
                message = known[each.id]
                message.receives, message.earlier = 0, each.tries - 1

        def goes_on(begun: int) -> bool:
            return not begun or left >= max(10.0, 2 * slowest)

        def bury(delivery: Delivery) -> bool:
            self.messages.remove(known[delivery.id])
            self.dead.append(delivery.id)
            return True

        for delivery in turns([each.delivery for each in batch], goes_on, release, bury):
            message = known[delivery.id]
            self.begun[message.name] += 1
            left, slowest = left - message.seconds, max(slowest, message.seconds)
            if message.kills or left < 0:
                return
            if not message.fails:
                done.append(message)
            elif is_spent(delivery):
                bury(delivery)
        self.delete(done)

    def delete(self, done: list[Message]) -> None:
        """Delete messages that are done."""
        for message in done:
            self.messages.remove(message)
        done.clear()


@pytest.mark.parametrize("seconds", [1.0, 30.0, 35.0, 45.0, 80.0])
@pytest.mark.parametrize("seed", range(5))
def test_no_message_is_dead_before_it_was_begun(seconds: float, seed: int) -> None:
    chance = random.Random(seed)
    good = [Message(f"good {number}", seconds * chance.uniform(0.8, 1.2)) for number in range(200)]
    bad = [Message(f"bad {number}", seconds, fails=True) for number in range(10)]
    fatal = [Message(f"fatal {number}", seconds, kills=True) for number in range(10)]
    run = Simulation([*good, *bad, *fatal], chance)
    run.run()
    assert set(run.dead) == {message.name for message in (*bad, *fatal)}
    assert min(run.begun[message.name] for message in good) >= 1
    assert {run.begun[message.name] for message in bad} <= {*range(1, MAX_TRIES + 1)}
    assert {run.begun[message.name] for message in fatal} <= {*range(1, MAX_TRIES + 1)}


def test_a_message_that_always_fails_is_tried_five_times() -> None:
    bad = [Message(f"bad {number}", 45.0, fails=True) for number in range(50)]
    run = Simulation(list(bad), random.Random(1))
    run.run()
    assert {run.begun[message.name] for message in bad} == {MAX_TRIES}
