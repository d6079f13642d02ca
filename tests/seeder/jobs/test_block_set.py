"""A set of blocks: large blocks are their parts, and a plan sends the blocks outside the set."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.jobs.block_set import BlockSet
from seeder.jobs.messages import Job, Message, Spec
from seeder.jobs.plan import Plan, Tally
from seeder.select.blocks import BlockMask
from seeder.select.selection import Selection, count, regions
from tests.support.effort import examples
from tests.support.job_strategies import messages, variants
from tests.support.layer_strategies import GLOBE
from tests.support.strategies import bounds
from tiler.grid import LEAF, Block
from tiler.layers.fill import Request
from tiler.layers.render import TileVariant

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SIZES = (8, 16, 32, 64, 128, 256, 512)
SENT = ((8,), (8, 64), (8, 64, 512))


@st.composite
def near_blocks(draw: st.DrawFn, sizes: tuple[int, ...] = (LEAF,)) -> Block:
    """Blocks of a few zooms near the corner of the grid, so that many are equal or nested."""
    z, size = draw(st.sampled_from((0, 2, 4, 7, 11))), draw(st.sampled_from(sizes))
    place = st.integers(0, min(2**z, 1024) - 1)
    side = min(size, 2**z)
    return Block(z, draw(place) // side * side, draw(place) // side * side, size)


def leaves(block: Block) -> Iterator[Block]:
    """The 8 x 8 blocks of a block, or the block itself."""
    if block.size == LEAF:
        yield block
    else:
        for part in block.parts():
            yield from leaves(part)


def marked(blocks: Iterable[Block]) -> BlockSet:
    marks = BlockSet()
    for block in blocks:
        marks.add(block)
    return marks


@given(st.lists(near_blocks(), max_size=40), near_blocks())
def test_marks_are_a_set(added: list[Block], other: Block) -> None:
    marks = marked(added)
    assert len(marks) == len(set(added))
    assert bool(marks) == bool(added)
    assert all(block in marks for block in added)
    assert (other in marks) == (other in set(added))


@given(st.sets(near_blocks(), max_size=20), near_blocks(SIZES))
def test_a_block_is_touched_if_any_block_within_is_marked(added: set[Block], block: Block) -> None:
    within = [each for each in added if len(each.range & block.range) and each.z == block.z]
    assert marked(added).touches(block) == bool(within)


@pytest.mark.parametrize("size", SIZES)
def test_one_mark_touches_just_the_blocks_that_hold_it(size: int) -> None:
    marks = marked([Block(12, 1016, 2040)])
    assert marks.touches(Block(12, 1016 // size * size, 2040 // size * size, size))
    for x, y in ((1, 0), (0, 1)):
        assert not marks.touches(Block(12, (1016 // size + x) * size, (2040 // size + y) * size, size))


def test_marks_of_a_million_tiles_take_less_than_100_kb() -> None:
    tracemalloc.start()
    try:
        marks = marked(Block(20, 2**19 + x, 2**19 + y) for x in range(0, 1024, LEAF) for y in range(0, 1024, LEAF))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(marks) == 2**20 // 64
    assert size < 100_000


@settings(max_examples=examples(30))
@given(near_blocks(SIZES[1:-1]), messages())
def test_the_parts_of_a_block_cover_it_once_and_are_wholly_wanted(block: Block, other: Message) -> None:
    variant, force = other.request.variant, other.request.force
    message = Message(other.job, other.layer, other.revision, Request(block, 0, variant, force))

    def split(whole: Message) -> Iterator[Message]:
        if whole.request.block.size == LEAF:
            yield whole
        else:
            for part in whole.parts():
                yield from split(part)

    found = list(split(message))
    covered = [tile for part in found for tile in part.request.block.tiles(part.request.tiles)]
    area = block.range
    assert len(covered) == len(set(covered)) == len(area)
    assert all(tile in area for tile in covered)
    assert {(part.job, part.layer, part.revision) for part in found} == {(other.job, other.layer, other.revision)}
    assert {(part.request.variant, part.request.force) for part in found} == {(variant, force)}


def test_the_blocks_that_are_sent_split_into_64() -> None:
    for size in (64, 512):
        message = Message("nightly", "relief", "9f2c", Request(Block(12, 512, 1024, size), 0, TileVariant()))
        parts = list(message.parts())
        assert len(parts) == 64
        assert {part.request.block.size for part in parts} == {size // 8}


def planned(selection: Selection, done: Iterable[Block], *, fresh: Iterable[int] = ()) -> Plan:
    job = Job.new(Spec(GLOBE.id, GLOBE.revision, selection, TileVariant()), NOON)
    counts = count(GLOBE, selection)
    tally = Tally(job.id, GLOBE.id, GLOBE.revision, sum(each.tiles for each in counts.values()))
    return Plan(job, GLOBE, counts, tally, marked(done), frozenset(fresh))


def wanted(selection: Selection) -> dict[Block, int]:
    """The 8 x 8 blocks of a selection, with the masks of their tiles."""
    block_masks = [block_mask for region in regions(GLOBE, selection) for block_mask in region.block_masks()]
    return {block_mask.block: block_mask.tiles for block_mask in block_masks}


@st.composite
def interrupted(draw: st.DrawFn) -> tuple[Selection, set[Block]]:
    """A selection of at least a tenth of the world, and finished blocks of it, single and in groups."""
    z = draw(st.sampled_from((2, 5, 6, 7)))
    wide = bounds().filter(lambda box: (box.east - box.west) % 360 * (box.north - box.south) > 6400)
    selection = Selection((z,), tuple(draw(st.lists(wide, max_size=2))))
    left = sorted(wanted(selection))
    done = set(draw(st.lists(st.sampled_from(left), max_size=5)))
    for block in draw(st.lists(st.sampled_from(left), max_size=2)):
        side = min(draw(st.sampled_from((32, 64, 128))), 2**z)
        heap = Block(z, block.x // side * side, block.y // side * side, max(LEAF, side))
        done |= {each for each in left if len(each.range & heap.range)}
    return selection, done


@settings(max_examples=examples(25))
@given(interrupted(), st.sampled_from(SENT))
def test_a_plan_sends_each_block_that_is_not_done_once(case: tuple[Selection, set[Block]], sizes: tuple[int]) -> None:
    selection, done = case
    plan = planned(selection, done)
    requests = [message.request for message in plan.messages(sizes)]
    assert {request.block.size for request in requests} <= set(sizes)
    found = [
        (leaf, request.tiles if request.block.size == LEAF else leaf.full)
        for request in requests
        for leaf in leaves(request.block)
    ]
    assert len(found) == len(dict(found))
    assert dict(found) == {block: mask for block, mask in wanted(selection).items() if block not in done}
    assert len(found) == plan.blocks - len(done)


@settings(max_examples=examples(25))
@given(interrupted())
def test_a_large_block_stays_whole_unless_part_of_it_is_done(case: tuple[Selection, set[Block]]) -> None:
    selection, done = case
    messages = {message.request.block for message in planned(selection, done).messages((8, 64, 512))}
    for region in regions(GLOBE, selection):
        for block_mask in region.block_masks((8, 64, 512)):
            if block_mask.block.size > LEAF:
                assert (block_mask.block in messages) == done.isdisjoint(leaves(block_mask.block))


def test_the_world_down_to_zoom_9_is_sent_in_few_messages() -> None:
    plan = planned(Selection(tuple(range(10))), [])
    blocks = [message.request.block for message in plan.messages((8, 64, 512))]
    assert [block.z for block in blocks] == sorted(block.z for block in blocks)
    assert Counter(block.size for block in blocks) == {8: 1 + 1 + 1 + 1 + 4 + 16, 64: 1 + 4 + 16, 512: 1}
    assert sum(len(BlockMask(block, block.full if block.size == LEAF else 0)) for block in blocks) == plan.tally.tiles


def test_one_block_that_is_done_splits_only_those_that_hold_it() -> None:
    plan = planned(Selection((9,)), [Block(9, 200, 304)])
    sizes = [message.request.block.size for message in plan.messages((8, 64, 512))]
    assert (sizes.count(512), sizes.count(64), sizes.count(8)) == (0, 63, 63)


def test_zooms_without_any_tile_are_rendered_without_a_look_for_tiles() -> None:
    plan = planned(Selection((3, 4, 5)), [], fresh=[4])
    assert {(message.request.block.z, message.request.force) for message in plan.messages((8,))} == {
        (3, False),
        (4, True),
        (5, False),
    }


@given(near_blocks(SIZES), variants, st.booleans())
def test_large_blocks_survive_the_queue(block: Block, variant: TileVariant, force: bool) -> None:
    tiles = block.full if block.size == LEAF else 0
    message = Message("nightly", "relief", "9f2c", Request(block, tiles, variant, force))
    assert Message.decode(message.encode()) == message
