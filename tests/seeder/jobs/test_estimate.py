"""Estimates: exact where documented, unbiased elsewhere, with a correct spread."""

from __future__ import annotations

import math
import random
import statistics
import tempfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from seeder.cache.prepare_job import prepare
from seeder.jobs import estimate as estimation
from seeder.jobs.estimate import SAMPLE_BLOCKS, SAMPLE_BLOCKS_DEEPEST, Estimate, ZoomEstimate, estimate
from seeder.jobs.messages import SIZES
from seeder.select.blocks import BlockMask, Count
from seeder.select.order import GOLDEN
from seeder.select.selection import Selection, count, regions
from seeder.select.tilelist import parse_tiles
from seeder.select.tileset import TileSet
from seeder.workers.local_pool import LocalPool
from tests.support.effort import examples
from tests.support.estimates import (
    EVERY,
    NOWHERE,
    Weigh,
    answer,
    question,
    rates,
    settings_of,
    unlike,
    unrendered,
)
from tests.support.files import snapshot
from tests.support.layer_strategies import GLOBE
from tests.support.layers import MakeLayer
from tests.support.rasters import MakeRaster, scene
from tests.support.selections import asked
from tiler.grid import Block
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

STARTS = 997  # different samples, for different revisions of a layer


def zoom_estimate(number: int, sample: list[Outcome]) -> ZoomEstimate:
    """The estimate of a zoom with a number of whole blocks."""
    return estimation._zoom(Count(64 * number, number), sample)


def outcome(mean: float, *, tiles: int = 64, empty: int = 0) -> Outcome:
    """A block with these average bytes and milliseconds per tile."""
    whole = (1 << tiles) - 1
    none = (1 << empty) - 1
    return Outcome(written=whole & ~none, empty=none, bytes=round(mean * tiles), milliseconds=round(mean * tiles))


# Counts


@hypothesis_settings(max_examples=examples(30))
@given(asked())
def test_counts_and_messages_are_those_of_the_plan_and_what_all_tiles_have_alike_is_exact(
    about: tuple[Layer, Selection],
) -> None:
    layer, selection = about
    found = list(regions(layer, selection))
    assume(any(region.total().tiles for region in found))
    with pytest.MonkeyPatch.context() as patch:
        unrendered(patch)
        here, far = (answer(question(layer, selection, queued=queued)) for queued in (False, True))
    planned = {z: each for z, each in count(layer, selection).items() if each.tiles}
    assert {z: Count(zoom.tiles, zoom.blocks) for z, zoom in here.zooms.items()} == planned
    assert here.demand.tiles == sum(each.tiles for each in planned.values())
    assert here.demand.blocks == sum(each.blocks for each in planned.values())
    assert far.demand.messages == sum(1 for region in found for _ in region.block_masks(SIZES))
    assert here.demand.messages == 0
    for zoom in here.zooms.values():
        assert (zoom.bytes, zoom.seconds) == pytest.approx((1000 * zoom.tiles, 0.005 * zoom.tiles))
        assert (round(zoom.spread, 9), zoom.empty) == (0, 0)


def test_few_blocks_of_a_zoom_and_many_of_the_largest_are_rendered_and_all_where_there_are_not_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = unrendered(monkeypatch)
    told: list[int] = []
    found = estimate(question(GLOBE, Selection((3, 4, 5, 7))), NOWHERE, jobs=1, progress=told.append)
    blocks = Counter(z for z, _ in seen)
    assert {z: (each.blocks, blocks[z]) for z, each in found.zooms.items()} == {
        3: (1, 1),
        4: (4, 4),
        5: (16, SAMPLE_BLOCKS),
        7: (256, SAMPLE_BLOCKS_DEEPEST),
    }
    assert sum(told) == sum(zoom.sample for zoom in found.zooms.values()) == 64 * sum(blocks.values())


def test_once_the_time_is_over_no_zoom_has_more_than_its_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = unrendered(monkeypatch)
    monkeypatch.setattr(estimation, "SAMPLE_SECONDS", -1.0)
    found = answer(question(GLOBE, Selection((4, 6, 8))))
    assert Counter(z for z, _ in seen) == {4: 4, 6: 1, 8: 1}
    assert [zoom.spread for zoom in found.zooms.values()] == [0, math.inf, math.inf]


# A census


def seeded(settings: Settings, name: str, selection: Selection) -> dict[int, list[Outcome]]:
    """The outcomes of the blocks of a local seeding, by zoom."""
    made: dict[int, list[Outcome]] = defaultdict(list)
    stores = Stores.open(settings)
    plan = prepare(load_layer(stores.sources, name), selection, TileVariant(), force=False, stores=stores)
    pool = LocalPool(settings, 1, lambda receipt: made[receipt.block.z].append(receipt.outcome))
    pool.send(plan.messages(pool.sizes))
    return made


def check_census(found: Estimate, made: dict[int, list[Outcome]]) -> None:
    assert found.zooms.keys() == made.keys()
    for z, zoom in found.zooms.items():
        assert (zoom.sample, zoom.spread, zoom.slack) == (zoom.tiles, 0, 0)
        assert zoom.bytes == pytest.approx(sum(each.bytes for each in made[z]))
        assert zoom.empty * zoom.tiles == pytest.approx(sum(each.empty.bit_count() for each in made[z]))
        assert zoom.seconds > 0


def test_where_all_blocks_are_rendered_bytes_are_exactly_those_of_the_seeding(alps_copy: Path) -> None:
    settings = settings_of(alps_copy)
    found = answer(question(load_layer(Stores.open(settings).sources, "alps")), settings)
    made = seeded(settings, "alps", EVERY)
    check_census(found, made)
    on_disk = sum(path.stat().st_size for path in alps_copy.glob("tiles/alps/*/*/*.png"))
    assert found.demand.bytes == pytest.approx(on_disk)
    assert found.demand.stored == found.demand.tiles


def test_a_layer_with_holes_has_an_empty_share_and_stores_less(
    make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path
) -> None:
    mask = np.zeros((175, 225), np.uint8)
    mask[10:80, 10:100] = 255
    mask[100:120, 165:175] = 255
    layer = make_layer(make_raster(values=scene(175, 225), mask=mask), max_zoom=8)
    settings, selection = settings_of(tmp_path / "data"), Selection((6, 7, 8))
    found = answer(question(layer, selection), settings)
    made = seeded(settings, "layer", selection)
    check_census(found, made)
    written = sum(each.written.bit_count() for several in made.values() for each in several)
    assert 0.1 < found.zooms[8].empty < 0.9
    assert found.demand.stored == pytest.approx(written)
    assert written < found.demand.tiles


# A sample


def scattered() -> list[TileSet]:
    """Zooms 6 and 8 of a world, as a list of tiles: about 10% to 90% of each block are selected."""
    chance = np.random.default_rng(5)
    lines = []
    for z in (6, 8):
        share = np.repeat(np.repeat(chance.uniform(0.1, 0.9, (2**z // 8, 2**z // 8)), 8, axis=0), 8, axis=1)
        wanted = chance.random((2**z, 2**z)) < share
        wanted[: 2**z // 2, : 2**z // 2] = False
        lines += [f"{z}/{x}/{y}" for y, x in np.argwhere(wanted).tolist()]
    return list(regions(GLOBE, Selection((6, 8), tiles=parse_tiles(lines, "-"))))


@pytest.fixture(scope="module")
def world() -> list[TileSet]:
    """Zooms of 48 and 768 blocks with different numbers of selected tiles."""
    return scattered()


def counts_of(found: list[TileSet]) -> dict[int, Count]:
    return {region.z: region.total() for region in found}


def sample_of(found: list[TileSet], start: int) -> dict[int, list[BlockMask]]:
    """The drawn blocks of each zoom, for one of the STARTS."""
    drawn: dict[int, list[BlockMask]] = defaultdict(list)
    for z, block_mask in estimation._drawn(found, counts_of(found), f"{start:x}"):
        drawn[z].append(block_mask)
    return drawn


@pytest.fixture(scope="module")
def samples(world: list[TileSet]) -> list[dict[int, list[BlockMask]]]:
    """The blocks for many different starts."""
    return [sample_of(world, start) for start in random.Random(3).sample(range(STARTS), 250)]


def truth(region: TileSet, weigh: Weigh) -> dict[str, float]:
    """The totals of all blocks."""
    every = [weigh(block_mask) for block_mask in region.block_masks()]
    return {
        "bytes": sum(each.bytes for each in every),
        "seconds": sum(each.milliseconds for each in every) / 1000,
        "empty": sum(each.empty.bit_count() for each in every) / region.total().tiles,
    }


def test_a_block_is_drawn_as_often_as_it_has_tiles(world: list[TileSet]) -> None:
    region = world[0]
    counts = counts_of([region])
    for number in (0, 1, 5):
        drawn: Counter[Block] = Counter()
        for start in range(STARTS):
            place = (start / STARTS + number * GOLDEN) % 1
            drawn[region.block_mask_of(int(place * counts[region.z].tiles)).block] += 1
        for block_mask in region.block_masks():
            due = STARTS * len(block_mask) / counts[region.z].tiles
            assert drawn[block_mask.block] == pytest.approx(due, abs=1.001)
    for start in (0, 1, 500, STARTS - 1):  # and the estimate uses these blocks
        places = [(start / STARTS + number * GOLDEN) % 1 for number in range(SAMPLE_BLOCKS_DEEPEST)]
        want = [region.block_mask_of(int(place * counts[region.z].tiles)) for place in places]
        assert sample_of([region], start)[region.z] == want


@pytest.mark.parametrize("kind", ["random", "smooth", "skewed", "crowded"])
def test_many_different_samples_average_to_the_truth(
    world: list[TileSet], samples: list[dict[int, list[BlockMask]]], kind: str
) -> None:
    weigh = unlike(1, kind)
    for region in world:
        real = truth(region, weigh)
        found = [estimation._zoom(region.total(), [weigh(each) for each in drawn[region.z]]) for drawn in samples]
        for name, value in real.items():
            guesses = [getattr(each, name) for each in found]
            error = statistics.stdev(guesses) / math.sqrt(len(guesses))
            assert statistics.mean(guesses) == pytest.approx(value, abs=4 * error)
            assert error < 0.05 * value, "the bound says nothing"


def covered(region: TileSet, samples: list[dict[int, list[BlockMask]]], kind: str) -> float:
    """How often the spread around an estimate contains the true value, over different layers and samples."""
    total, hits = region.total(), 0
    places = [
        (block_mask.block.y // 8, block_mask.block.x // 8, len(block_mask)) for block_mask in region.block_masks()
    ]
    rows, columns, tiles = np.array(places).T
    for seed, drawn in enumerate(samples):
        rate = rates(seed, kind, region.z)
        sample = [
            Outcome(written=each.tiles, bytes=round(rate[each.block.y // 8, each.block.x // 8] * len(each)))
            for each in drawn[region.z]
        ]
        found = estimation._zoom(total, sample)
        hits += abs(found.bytes - (rate[rows, columns] * tiles).sum()) <= found.spread * found.bytes
    return hits / len(samples)


def test_the_spread_of_many_blocks_holds_the_truth_about_95_times_in_100(
    world: list[TileSet], samples: list[dict[int, list[BlockMask]]]
) -> None:
    assert 0.91 <= covered(world[1], samples, "random") <= 0.99
    assert covered(world[1], samples, "smooth") >= 0.91


def test_the_spread_of_few_blocks_holds_the_truth_about_90_times_in_100(
    world: list[TileSet], samples: list[dict[int, list[BlockMask]]]
) -> None:
    assert 0.83 <= covered(world[0], samples, "random") <= 0.97


def test_the_same_layer_gives_the_same_sample_and_another_revision_another(world: list[TileSet]) -> None:
    assert sample_of(world, 12) == sample_of(world, 12)
    assert sample_of(world, 12) != sample_of(world, 13)
    assert sample_of(world, 12) == sample_of(world, 12 + STARTS)


@given(st.floats(0.1, 1e6), st.integers(2, 10**6))
def test_the_spread_of_a_sample_of_one_is_infinite(mean: float, blocks: int) -> None:
    found = zoom_estimate(blocks, [outcome(1000 * mean)])
    assert (found.spread, found.slack) == (math.inf, math.inf)


def test_one_block_of_many_that_is_empty_does_not_make_the_spread_nothing() -> None:
    found = zoom_estimate(1000, [replace(outcome(0, empty=64), milliseconds=3)])
    assert (found.bytes, found.empty) == (0, 1)
    assert (found.spread, found.slack) == (math.inf, math.inf)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 1e5)), min_size=1, max_size=20))
def test_a_census_is_a_sum_without_any_spread(blocks: list[tuple[int, float]]) -> None:
    sample = [outcome(mean, tiles=tiles, empty=tiles // 3) for tiles, mean in blocks]
    tiles = sum(each for each, _ in blocks)
    found = estimation._zoom(Count(tiles, len(blocks)), sample)
    assert found.bytes == pytest.approx(sum(each.bytes for each in sample))
    assert found.seconds == pytest.approx(sum(each.milliseconds for each in sample) / 1000)
    assert found.empty == pytest.approx(sum(each // 3 for each, _ in blocks) / tiles)
    assert (found.sample, found.spread, found.slack) == (tiles, 0, 0)


def test_the_spread_is_twice_the_standard_error_as_a_share_by_hand() -> None:
    found = zoom_estimate(16, [outcome(mean) for mean in (100, 200, 300, 400)])
    assert found.bytes == 250 * 16 * 64
    error = math.sqrt((150**2 + 50**2 + 50**2 + 150**2) / 3 / 4 * (1 - 4 / 16))  # for a sample without repetition
    assert found.spread == pytest.approx(2 * error / 250)
    assert found.slack == pytest.approx(found.spread)


# Side effects


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and its children."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_an_estimate_writes_nothing_and_leaves_no_temporary_file_by_one_process_or_two(
    alps_copy: Path, temporary: Path
) -> None:
    settings = settings_of(alps_copy)
    elsewhere: list[bool] = []
    before = snapshot(alps_copy)
    about = question(load_layer(Stores.open(settings).sources, "alps"), Selection((6, 7)))

    def progress(_: int) -> None:
        elsewhere.append(any(temporary.glob("seeder-*/alps/*/*/*.png")))

    one, two = (estimate(about, settings, jobs=jobs, progress=progress) for jobs in (1, 2))
    assert elsewhere == [True] * 4
    assert snapshot(alps_copy) == before
    assert list(temporary.iterdir()) == []
    assert {z: zoom.bytes for z, zoom in two.zooms.items()} == {z: zoom.bytes for z, zoom in one.zooms.items()}
