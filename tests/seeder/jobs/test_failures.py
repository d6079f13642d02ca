"""Failed, dead and lost blocks are shown and done again, locally and in a queue; other jobs are unchanged."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seeder.aws.delivery import Delivery
from seeder.jobs.failures import (
    DEAD,
    DeadLetter,
    DeadLetters,
    DeadQueue,
    Failure,
    Retry,
    dead_letters,
    failed_blocks,
    failures,
    grouped,
)
from seeder.jobs.ledger import delete_receipts, put_receipt
from seeder.jobs.messages import Job, Message, Receipt, Spec
from seeder.jobs.plan import Tally
from seeder.select.blocks import BlockMask
from seeder.select.selection import Selection
from seeder.select.tilelist import parse_tiles
from seeder.workers import fanout
from seeder.workers.sqs import SqsQueue
from tests.support.begun import Begun, seeder, told
from tests.support.files import snapshot
from tests.support.function import png_tiles
from tests.support.job_strategies import specs
from tests.support.oracle import lines
from tests.support.queues import MakeQueue, emptied, taken, working
from tests.support.site import Spy, memory
from tests.support.strategies import blocks
from tiler import timing
from tiler.errors import TilerError
from tiler.grid import Block
from tiler.layers.fill import Outcome, Request
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Store

SPEC = Spec("alps", "9f2c", Selection((5, 9)), TileVariant())
JOB = Job("alps-00000000-20250301T120000.000000", SPEC)
ONE, TWO, THREE = Block(5, 8, 8), Block(9, 256, 176), Block(9, 264, 176)

block_masks = st.builds(
    lambda block, mask: BlockMask(block, (mask & block.full) or 1), blocks(sizes=(8,)), st.integers(1)
)
found_failures = st.lists(st.builds(Failure, block_masks, st.sampled_from(["cannot read a", "cannot read b", "#"])))


def fail(store: Store, block: Block, **outcome: Any) -> None:
    put_receipt(store, JOB.id, Receipt(block, Outcome(**{"failed": 3, "error": "cannot read", **outcome})))


@given(block_masks, st.text())
@example(BlockMask(ONE, 3), "cannot read index.tif:\nband 1\r\nband 2")
def test_a_list_of_failed_tiles_is_taken_back(block_mask: BlockMask, error: str) -> None:
    text = "".join(f"{line}\n" for line in Failure(block_mask, error).lines())
    parsed = parse_tiles(io.StringIO(text, newline=None), "failed.txt")
    wanted = [f"{tile.z}/{tile.x}/{tile.y}" for tile in block_mask.block.tiles(block_mask.tiles)]
    assert sorted(lines(parsed)) == sorted(wanted)


def test_a_large_block_that_failed_is_listed_tile_by_tile() -> None:
    block_mask = BlockMask(Block(9, 256, 128, 64), 0)
    assert len(parse_tiles(Failure(block_mask, DEAD).lines(), "x")) == len(block_mask) == 4096


@given(found_failures)
def test_groups_add_up_and_the_most_frequent_comes_first(given: list[Failure]) -> None:
    groups = grouped(given)
    blocks, tiles = Counter(each.error for each in given), Counter[str]()
    for each in given:
        tiles[each.error] += each.block_mask.tiles.bit_count()
    assert {group.error: (group.blocks, group.tiles) for group in groups} == {
        error: (blocks[error], tiles[error]) for error in blocks
    }
    assert [group.tiles for group in groups] == sorted(tiles.values(), reverse=True)
    for group in groups:
        assert group.first == [str(each.block_mask.block) for each in given if each.error == group.error][:3]


def test_what_failed_and_was_done_since_is_no_failure(store: Store) -> None:
    for block in (ONE, TWO, THREE):
        fail(store, block)
    put_receipt(store, JOB.id, Receipt(TWO, Outcome(written=3)))
    assert {receipt.block for receipt in failed_blocks(store, JOB.id)} == {ONE, THREE}
    assert {(each.block_mask, each.error) for each in failures(store, JOB.id)} == {
        (BlockMask(ONE, 3), "cannot read"),
        (BlockMask(THREE, 3), "cannot read"),
    }


def test_only_the_tiles_that_failed_are_failures() -> None:
    store = memory()
    fail(store, ONE, written=4, empty=8, failed=2)
    (found,) = failures(store, JOB.id)
    assert found.block_mask == BlockMask(ONE, 2)


def test_a_failure_that_is_struck_while_it_is_read_is_passed_over() -> None:
    """A retry or resume of the job at this moment."""
    store = memory()

    class Struck(Spy):
        def has(self, key: str) -> bool:
            delete_receipts(store, JOB.id, "failed")
            return self.store.has(key)

    fail(store, ONE)
    assert list(failures(cast(Store, Struck(store)), JOB.id)) == []


@given(st.lists(st.tuples(blocks(sizes=(8,)), st.booleans(), st.booleans(), st.booleans()), max_size=12), specs())
def test_a_retry_takes_every_failure_and_every_letter_once(
    given: list[tuple[Block, bool, bool, bool]], spec: Spec
) -> None:
    store, job = memory(), replace(JOB, spec=spec)
    letters = []
    wanted: dict[Block, int] = {}
    for block, failed, done, dead in {each[0]: each for each in given}.values():
        if failed:
            fail(store, block, failed=1, written=block.full & ~1)
        if done:
            put_receipt(store, job.id, Receipt(block, Outcome(written=block.full)))
        if dead and not done:
            message = job.message(BlockMask(block, block.full))
            letters += [letter(message), letter(message)]
        if (failed or dead) and not done:
            wanted[block] = block.full
    again = Retry.of(job, store, letters)
    sent = list(again.messages((8,)))
    assert {message.request.block: message.request.tiles for message in sent} == wanted
    assert len(sent) == len(wanted)
    assert again.tally.tiles == sum(mask.bit_count() for mask in wanted.values())
    assert {(message.job, message.layer, message.revision) for message in sent} <= {(job.id, spec.layer, spec.revision)}


def letter(message: Message) -> DeadLetter:
    return DeadLetter(Delivery("id", "handle", message.encode(), 5), message)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits for messages, and short ones for receipts."""
    receive = SqsQueue.receive

    def at_once(queue: SqsQueue, most: int, *, wait: int, hide: int | None = None) -> list[Delivery]:
        assert wait >= 0
        return receive(queue, most, wait=0, hide=hide)

    monkeypatch.setattr(SqsQueue, "receive", at_once)
    monkeypatch.setattr(fanout, "Watch", partial(fanout.Watch, pause=0.02))
    monkeypatch.setattr(timing, "STUCK_SECONDS", 0.3)


def dead(queue: SqsQueue) -> SqsQueue:
    found = queue.dead_queue()
    assert found is not None
    return found


def mail(queue: SqsQueue, *bodies: str) -> None:
    """Send bodies to the dead-letter queue."""
    for body in bodies:
        queue.client.send_message(QueueUrl=dead(queue).url, MessageBody=body)


def message(job: str, block: Block) -> Message:
    return Message(job, "alps", "9f2c", Request(block, 3, TileVariant()))


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("fault", [None, TilerError("it broke")], ids=["well", "badly"])
def test_a_jobs_dead_letters_are_found_among_others_and_all_are_back_afterwards(
    make_queue: MakeQueue, fault: TilerError | None
) -> None:
    queue = make_queue()
    own = [message(JOB.id, Block(9, 8 * x, 0)) for x in range(6)]
    others = [message(f"{JOB.id}0", Block(9, 8 * x, 8)) for x in range(6)]
    mail(queue, *(each.encode() for pair in zip(own, others, strict=True) for each in pair), "{")
    seen: list[Message] = []

    def look() -> None:
        with dead_letters(queue, JOB.id) as letters:
            seen.extend(each.message for each in letters.found)
            assert dead(queue).receive(10, wait=0) == [], "somebody else could take them"
            if fault:
                raise fault

    if fault:
        with pytest.raises(TilerError, match="it broke"):
            look()
    else:
        look()
    assert Counter(seen) == Counter(own)
    assert queue.depth().dead == 13


@pytest.mark.usefixtures("prompt")
def test_deleted_letters_are_gone_and_no_others(make_queue: MakeQueue) -> None:
    queue = make_queue()
    own, other = message(JOB.id, ONE), message(f"{JOB.id}0", ONE)
    mail(queue, own.encode(), other.encode(), own.encode())
    with dead_letters(queue, JOB.id) as letters:
        assert [each.failure for each in letters.found] == [Failure(BlockMask(ONE, 3), DEAD)] * 2
        letters.delete()
    assert taken(dead(queue)) == [other]


def test_a_queue_without_a_dead_letter_queue_has_no_letters(make_queue: MakeQueue) -> None:
    with dead_letters(dead(make_queue()), JOB.id) as letters:
        assert letters == DeadLetters(DeadQueue(None), [])
        letters.delete()


@pytest.fixture
def begun(alps_copy: Path) -> Begun:
    """A job of zooms 5 to 7 of `alps` without finished blocks."""
    return Begun(alps_copy)


@pytest.fixture
def made(truth: dict[str, bytes]) -> dict[str, bytes]:
    """Its tiles from an undisturbed seeding."""
    return {name: data for name, data in truth.items() if int(name.partition("/")[0]) in (5, 6, 7)}


def test_errors_are_told_in_groups_and_exported_as_a_list(begun: Begun, tmp_path: Path) -> None:
    assert seeder("errors", "alps").stdout == f"no tile of job {begun.id} failed\n"
    with begun.unreadable():
        begun.work()
    target = tmp_path / "failed.txt"
    text = seeder("errors", "alps", "--export", str(target))
    assert text.exit_code == 1
    assert sum(int(line.partition(" tile")[0]) for line in text.stdout.splitlines()) == 14
    assert all(": cannot read " in line for line in text.stdout.splitlines())
    said = [json.loads(line) for line in seeder("errors", "alps", "--json").stdout.splitlines()]
    assert {each["job"] for each in said} == {begun.id}
    assert (sum(each["tiles"] for each in said), sum(each["blocks"] for each in said)) == (14, 3)
    piped = seeder("errors", "alps", "--export", "-")
    assert (piped.exit_code, sorted(piped.stdout.splitlines())) == (1, sorted(target.read_text().splitlines()))
    assert len(parse_tiles(piped.stdout.splitlines(), "x")) == 14
    assert seeder("seed", "alps", "--tiles", str(target)).exit_code == 0
    assert len(png_tiles(begun.data)) == 14


def test_resuming_a_job_of_a_layer_that_is_gone_is_refused(begun: Begun) -> None:
    (begun.data / "private" / "sources" / "alps" / "index.json").unlink()
    for verb in (("resume", begun.id), ("errors", begun.id, "--retry")):
        result = seeder(*verb)
        assert (result.exit_code, "no layer 'alps'" in result.stderr) == (2, True)
    assert begun.state() == "superseded"


@pytest.mark.parametrize(
    ("words", "says"),
    [(("status", "--watch"), "--watch needs a job"), (("seed", "alps", "--max-failed", "101"), "0<=x<=100")],
    ids=" ".join,
)
def test_a_command_that_cannot_be_changes_nothing(begun: Begun, words: tuple[str, ...], says: str) -> None:
    before = snapshot(begun.data)
    result = seeder(*words)
    assert (result.exit_code, result.stdout, says in result.stderr) == (2, "", True)
    assert snapshot(begun.data) == before


def sent(begun: Begun, make_queue: MakeQueue) -> SqsQueue:
    """The queue with the job's messages."""
    queue = make_queue()
    assert told(seeder("seed", "alps", "--zooms", "5-7", "--queue", queue.url, "--json"))["job"] == begun.id
    return queue


def worked_off(queue: SqsQueue, begun: Begun) -> None:
    """Run a worker until the queue is empty."""
    with working(queue, Settings.from_env({}, data=str(begun.data))):
        emptied(queue)


@pytest.mark.usefixtures("prompt")
def test_cancel_drains_a_jobs_messages_unrendered_and_leaves_others_alone(
    begun: Begun, make_queue: MakeQueue, truth: dict[str, bytes]
) -> None:
    queue = sent(begun, make_queue)
    other = told(seeder("seed", "alps", "--zooms", "8", "--queue", queue.url, "--json"))["job"]
    assert seeder("cancel", begun.id).exit_code == 0
    worked_off(queue, begun)
    assert begun.blocks() == 0
    assert png_tiles(begun.data) == {name: data for name, data in truth.items() if name.startswith("8/")}
    assert begun.state() == "cancelled"
    assert told(seeder("status", other, "--json"))["state"] == "done"
    assert queue.depth().dead == 0


@pytest.mark.usefixtures("prompt")
def test_a_job_that_was_cancelled_in_a_queue_is_resumed_there(
    begun: Begun, make_queue: MakeQueue, made: dict[str, bytes]
) -> None:
    queue = sent(begun, make_queue)
    lost = taken(queue)
    queue.send(lost[:1])
    worked_off(queue, begun)
    assert begun.blocks() == 1
    seeder("cancel", begun.id)
    queue.send(lost[1:])
    worked_off(queue, begun)
    assert begun.blocks() == 1
    result = seeder("resume", "alps", "--json")
    assert (result.exit_code, told(result)["messages"], told(result)["queue"]) == (0, 2, queue.url)
    worked_off(queue, begun)
    assert png_tiles(begun.data) == made
    assert begun.state() == "done"


@pytest.mark.usefixtures("prompt")
def test_what_was_lost_is_sent_again_by_resume_which_may_wait_for_it(
    begun: Begun, make_queue: MakeQueue, made: dict[str, bytes]
) -> None:
    queue = sent(begun, make_queue)
    queue.send(taken(queue)[:1])
    with working(queue, Settings.from_env({}, data=str(begun.data))):
        emptied(queue)
        result = seeder("resume", "alps", "--wait", "--json")
    assert (result.exit_code, told(result)["written"]) == (0, 14)
    assert png_tiles(begun.data) == made
    assert begun.state() == "done"


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("here", [True, False], ids=["from a queue to here", "from here to a queue"])
def test_resume_may_move_a_job(begun: Begun, make_queue: MakeQueue, made: dict[str, bytes], here: bool) -> None:
    queue = sent(begun, make_queue) if here else make_queue()
    taken(queue)
    begun.work(end=1)
    with working(queue, Settings.from_env({}, data=str(begun.data))):
        result = seeder("resume", "alps", "--queue", "local" if here else queue.url, "--wait")
    assert result.exit_code == 0
    assert png_tiles(begun.data) == made
    assert told(seeder("status", "alps", "--json"))["queue"] == ("" if here else queue.url)


def buried(begun: Begun, make_queue: MakeQueue) -> SqsQueue:
    """The queue of a job with one finished block and two dead letters, among those of another job."""
    queue = sent(begun, make_queue)
    gone = taken(queue)
    begun.work(end=1)
    mail(queue, message("other-00000000-20250301T120000.000000", ONE).encode(), *(each.encode() for each in gone[1:]))
    return queue


@pytest.mark.usefixtures("prompt")
def test_dead_letters_are_errors_until_they_are_retried(
    begun: Begun, make_queue: MakeQueue, made: dict[str, bytes]
) -> None:
    queue = buried(begun, make_queue)
    result = seeder("errors", "alps")
    assert (result.exit_code, result.stdout) == (1, f"13 tiles in 2 blocks (6-32-16, 7-64-40): {DEAD}\n")
    assert queue.depth().dead == 3
    result = seeder("errors", "alps", "--retry", "--json")
    assert (result.exit_code, told(result)["messages"], told(result)["tiles"]) == (0, 2, 13)
    assert queue.depth().dead == 1
    worked_off(queue, begun)
    assert png_tiles(begun.data) == made
    assert begun.state() == "done"
    assert seeder("errors", "alps").exit_code == 0


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize(
    "way",
    [("resume", "alps"), ("resume", "alps", "--queue", "local"), ("errors", "alps", "--retry", "--queue", "local")],
    ids=" ".join,
)
def test_dead_letters_of_blocks_that_were_done_since_are_no_errors(
    begun: Begun, make_queue: MakeQueue, made: dict[str, bytes], way: tuple[str, ...]
) -> None:
    queue = buried(begun, make_queue)
    assert seeder(*way).exit_code == 0
    worked_off(queue, begun)
    assert png_tiles(begun.data) == made
    assert begun.state() == "done"
    result = seeder("errors", begun.id)
    assert (result.exit_code, result.stdout) == (0, f"no tile of job {begun.id} failed\n")


def test_status_of_a_job_in_a_queue_tells_its_depth(begun: Begun, make_queue: MakeQueue) -> None:
    queue = sent(begun, make_queue)
    assert "queue: 3 messages waiting, 0 in flight, 0 dead letters" in seeder("status", "alps").stdout
    taken(queue)
    result = seeder("status", "alps", "--json")
    assert (result.exit_code, told(result)["depth"]) == (0, {"waiting": 0, "hidden": 0, "dead": 0})


PARTS = ("0f1e2d3c4b5a6978-aaaa000011112222", "fedcba9876543210-0123456789abcdef", "00000000000000aa-bb00000000000000")


@pytest.mark.parametrize(
    "torn",
    [
        [f"cannot read a.tif: failed at offset {place}" for place in (8, 16, 123)],
        [f"cannot read s3://b/sources/alps/parts/{part}.tif: no such object" for part in PARTS],
    ],
    ids=["numbers", "parts"],
)
def test_errors_that_differ_in_numbers_or_parts_only_are_told_once(torn: list[str]) -> None:
    errors = [*torn, "cannot read b.tif: failed at offset 8"]
    found = grouped(Failure(BlockMask(Block(6, 8 * n, 0), 3), error) for n, error in enumerate(errors))
    assert [(group.error, group.blocks, group.tiles) for group in found] == [(torn[0], 3, 6), (errors[3], 1, 2)]
    tally = Tally("job", "a", "1", 8)
    for error in errors:
        tally.add(Outcome(failed=3, error=error))
    assert tally.errors == {torn[0]: 6, errors[3]: 2}
