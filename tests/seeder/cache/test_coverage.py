"""Coverage has the state of each planned tile according to its object and receipts, and agrees with verify."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import cast

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile

from seeder.cache import coverage as rooms
from seeder.cache.audit import Audit
from seeder.cache.coverage import Covered, Tiles, ZoomCoverage, check_size, coverage
from seeder.cli.main import main
from seeder.jobs.ledger import finished, put_job
from seeder.jobs.messages import Job, Receipt, Spec
from seeder.jobs.receipts import Kind
from seeder.select.selection import Selection, count
from seeder.workers.local_pool import LocalPool
from tests.support.audited import NEAR, NOON, OWN, PNG, Case, Wide, cases, everything, key_of, whole
from tests.support.effort import examples
from tests.support.function import ZOOMS, planned
from tests.support.held import unreadable
from tests.support.layer_strategies import GLOBE
from tests.support.selections import wanted
from tests.support.site import Nothing, Spy, memory
from tiler.errors import BadOption, ZoomOutside
from tiler.grid import LEAF, Block, Bounds
from tiler.image.encode import blank_tile
from tiler.keys import job_key
from tiler.layers.fill import Outcome
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

STATES = ("stored", "empty", "missing", "failed")


def state_of(found: list[Covered]) -> dict[Tile, str]:
    """The state of each planned tile, which must be exactly one."""
    told: dict[Tile, str] = {}
    for each in found:
        for tile in each.block.tiles(each.planned):
            bit = each.block.bit(tile)
            (state,) = (name for name in STATES if getattr(each, name) & bit)
            assert tile not in told
            told[tile] = state
        assert each.stored | each.empty | each.missing | each.failed == each.planned
    return told


def uncovered(audit: Audit) -> int:
    """The number of tiles that verify reports as to be seeded."""
    problems = Counter(finding.problem for finding in audit.findings(lambda _: None))
    return problems["missing"] + problems["no bytes"]


# receipts of several jobs, object by object


@dataclass(frozen=True)
class Word:
    """The result of one tile in a receipt."""

    job: Job
    kind: Kind
    tile: Tile
    fate: str


def jobs_for(case: Case) -> list[Job]:
    """Jobs, the newest first, all newer than the case's; the first one is of another revision and must not count."""
    spec = Spec(case.layer.id, case.layer.revision, everything(case.layer), case.variant)
    old = replace(spec, revision=f"{spec.revision}0")
    ages = ((old, 5), (spec, 4), (replace(spec, force=True), 3), (spec, 2))
    return [Job.new(each, NOON + timedelta(hours=hour)) for each, hour in ages]


@st.composite
def worded(draw: st.DrawFn) -> tuple[Case, list[Word]]:
    """A case with receipts for a few of its tiles, most of them not stored; some contradict others."""
    case = draw(cases() | st.builds(whole))
    tiles = draw(st.sets(st.sampled_from(sorted(case.planned())), max_size=4)) if case.planned() else set()
    gone = {key_of(case.layer, tile, case.variant) for tile in sorted(tiles)[1:]}
    case = replace(case, stored={key: data for key, data in case.stored.items() if key not in gone})
    fates: dict[Kind, tuple[str, ...]] = {"done": ("written", "skipped", "empty"), "failed": ("failed", "written")}
    words = []
    for job in jobs_for(case):
        for tile in sorted(tiles):
            for kind, likely in (("done", 4), ("failed", 2)):
                if draw(st.integers(1, likely)) == 1:
                    words.append(Word(job, kind, tile, draw(st.sampled_from(fates[kind]))))
    return case, words


def note(sources: Store, words: list[Word]) -> None:
    """Record receipts, one per job and block."""
    masks: dict[tuple[str, Kind, Block], Counter[str]] = defaultdict(Counter)
    for word in words:
        put_job(sources, word.job)
        block = Block.of(word.tile)
        masks[word.job.id, word.kind, block][word.fate] |= block.bit(word.tile)
    for (job, kind, block), said in masks.items():
        receipt = Receipt(block, Outcome(**said))
        sources.put(job_key(job, kind, str(block)), receipt.encode(), content_type="application/json")


def expected(case: Case, words: list[Word]) -> dict[Tile, str]:
    """The state of each planned tile, tile by tile."""
    jobs = [job for job in jobs_for(case) if job.spec.revision == case.layer.revision]
    said = {(word.job.id, word.kind, word.tile): word.fate for word in words}
    told = {}
    for tile in case.planned():
        data = case.stored.get(key_of(case.layer, tile, case.variant))
        fates = [said.get((job.id, kind, tile)) for job in jobs for kind in ("done", "failed")]
        if data is not None:
            told[tile] = "stored" if data else "missing"
        elif tile in case.empty or "empty" in fates:
            told[tile] = "empty"
        else:
            told[tile] = "failed" if next(filter(None, fates), "") == "failed" else "missing"
    return told


@settings(max_examples=examples(110))
@given(worded())
def test_each_planned_tile_is_in_the_state_that_its_object_and_the_latest_receipt_say(
    drawn: tuple[Case, list[Word]],
) -> None:
    case, words = drawn
    stores = case.stores()
    note(stores.sources, words)
    audit = Audit.of(case.layer, case.selection, case.variant, stores)
    told = state_of(list(coverage(audit)))
    assert told == expected(case, words)
    counts = Counter(told.values())
    assert counts["missing"] + counts["failed"] == uncovered(audit)
    for z in case.selection.zooms:
        found = ZoomCoverage.of(audit, z)
        own = {tile: state for tile, state in told.items() if tile.z == z}
        assert state_of(list(found.blocks)) == own
        numbers = Counter(own.values())
        assert found.tiles == Tiles(len(own), *(numbers[state] for state in STATES))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_store_tells_the_same_and_agrees_with_verify(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    planned = sorted(tile for z in everything(NEAR).zooms for tile in wanted(NEAR, (), z))
    job = Job.new(replace(OWN, selection=everything(NEAR)), NOON)
    truth, words = {}, []
    for tile in planned:
        truth[tile] = chance.choice(("stored", "empty", "missing", "failed", "no bytes"))
        data = {"stored": chance.choice((b"tile", blank_tile(256, "png"))), "no bytes": b""}.get(truth[tile])
        if data is not None:
            store.put(key_of(NEAR, tile), data, content_type="image/png")
        if truth[tile] == "failed":
            words.append(Word(job, "failed", tile, "failed"))
        if truth[tile] == "empty":
            words.append(Word(job, "done", tile, "empty"))
    note(store, words)
    audit = Audit.of(NEAR, everything(NEAR), PNG, Stores(store, store, ""))
    assert state_of(list(coverage(audit))) == {
        tile: "missing" if state == "no bytes" else state for tile, state in truth.items()
    }
    assert uncovered(audit) == sum(state in ("missing", "failed", "no bytes") for state in truth.values())


def test_the_counts_of_a_job_that_failed_are_those_of_verify_and_of_the_ledger(alps_copy: Path) -> None:
    settings = Settings.from_env({}, data=str(alps_copy))
    plan, stores = planned(alps_copy), Stores.open(settings)
    with unreadable(alps_copy):
        LocalPool(settings, 1, lambda _: None).send(plan.messages((LEAF,)))
    failed = {z: [block for block in finished(stores.sources, plan.job.id, "failed") if block.z == z] for z in ZOOMS}
    assert any(failed.values())
    audit = Audit.of(plan.layer, Selection(ZOOMS), PNG, stores)
    for z, total in count(plan.layer, Selection(ZOOMS)).items():
        found = ZoomCoverage.of(audit, z)
        lines = CliRunner().invoke(main, ["verify", "alps", "--zooms", str(z)]).stdout.splitlines()
        assert (found.tiles.planned, len(found.blocks)) == (total.tiles, total.blocks)
        assert {each.block for each in found.blocks if each.failed} == set(failed[z])
        assert (found.tiles.failed, found.tiles.missing) == (len(lines), 0)
        assert found.tiles.stored == len(list((alps_copy / "tiles/alps" / str(z)).glob("*/*.png")))
    assert CliRunner().invoke(main, ["resume", plan.job.id, "--jobs", "1"]).exit_code == 0
    tiles = [ZoomCoverage.of(audit, z).tiles for z in ZOOMS]
    assert [each.stored for each in tiles] == [each.planned for each in tiles]


# the JSON for a map


def test_a_zoom_in_json_names_each_block_once_with_numbers_that_add_up() -> None:
    case = whole()
    del case.stored["near/5/17/12.png"]
    case.stored["near/5/20/10.png"] = b""
    for z in everything(NEAR).zooms:
        said = json.loads(json.dumps(ZoomCoverage.of(case.audit(), z).to_json()))
        assert set(said) == {"z", "side", "tiles", "blocks", "gaps"}
        assert (said["z"], said["side"]) == (z, 8)
        corners = {(Block.of(tile).x, Block.of(tile).y) for tile in wanted(NEAR, (), z)}
        assert sorted((x, y) for x, y, *_ in said["blocks"]) == sorted(corners)
        columns = list(zip(*said["blocks"], strict=True))[2:]
        assert list(said["tiles"].items()) == [
            (name, sum(numbers)) for name, numbers in zip(("planned", *STATES, "stale"), columns, strict=True)
        ]
        assert said["tiles"]["planned"] == len(list(wanted(NEAR, (), z)))
        assert said["tiles"]["missing"] == (2 if z == 5 else 0)


def test_the_gaps_in_json_are_the_missing_the_stale_and_the_failed_tiles() -> None:
    case = whole()
    lost = Tile(x=17, y=12, z=5)
    del case.stored[f"near/5/{lost.x}/{lost.y}.png"]
    found = ZoomCoverage.of(case.audit(), 5)
    said = json.loads(json.dumps(found.to_json()))["gaps"]
    tiles = [
        {tile for x, y, *masks in said for tile in Block(5, x, y).tiles(int(masks[which], 16))} for which in (0, 1)
    ]
    assert tiles[0] == {tile for each in found.blocks for tile in each.block.tiles(each.missing | each.stale)}
    assert tiles[1] == {tile for each in found.blocks for tile in each.block.tiles(each.failed)}
    assert lost in tiles[0]


@pytest.mark.parametrize(("z", "side"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 8)])
def test_a_block_is_the_whole_grid_where_that_is_smaller(z: int, side: int) -> None:
    layer = replace(GLOBE, maxzoom=4)
    found = ZoomCoverage.of(Audit(layer, Selection((z,)), PNG, Stores(memory(), memory(), ""), ()), z)
    assert found.to_json()["side"] == side
    assert found.tiles == Tiles(4**z, 0, 0, 4**z, 0)
    assert [(each.block.x, each.block.y) for each in found.blocks] == [
        (x, y) for y in range(0, 2**z, side) for x in range(0, 2**z, side)
    ]


def test_a_box_off_the_layer_covers_nothing() -> None:
    audit = Audit(NEAR, Selection((5,), (Bounds(100, 5, 101, 6),)), PNG, Stores(memory(), memory(), ""), ())
    assert ZoomCoverage.of(audit, 5).to_json()["blocks"] == []
    assert ZoomCoverage.of(audit, 5).tiles == Tiles(0, 0, 0, 0, 0)


def nowhere() -> Stores:
    """Stores that fail on any call."""
    nothing = cast(Store, Nothing())
    return Stores(nothing, nothing, "")


def test_too_many_blocks_are_refused_before_anything_is_looked_at() -> None:
    layer = replace(GLOBE, maxzoom=12)
    with pytest.raises(BadOption, match=re.escape("262,144 blocks of layer 'globe'")) as caught:
        coverage(Audit(layer, Selection((12,)), PNG, nowhere(), ()))
    assert "bbox" in str(caught.value)
    check_size(layer, Selection((12,), (Bounds(5, 45, 10, 48),)))
    with pytest.raises(ZoomOutside):
        coverage(Audit(layer, Selection((13,)), PNG, nowhere(), ()))


def test_blocks_are_refused_just_when_there_are_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = sum(each.blocks for each in count(NEAR, everything(NEAR)).values())
    monkeypatch.setattr(rooms, "MAX_BLOCKS", blocks)
    check_size(NEAR, everything(NEAR))
    monkeypatch.setattr(rooms, "MAX_BLOCKS", blocks - 1)
    with pytest.raises(BadOption, match=f"{blocks} blocks"):
        check_size(NEAR, everything(NEAR))


# requests and memory


def spied(case: Case, words: list[Word]) -> tuple[Audit, Spy, Spy]:
    """An audit of stores that record calls."""
    stores = case.stores()
    note(stores.sources, words)
    tiles, sources = Spy(stores.tiles), Spy(stores.sources)
    watched = Stores(cast(Store, tiles), cast(Store, sources), "")
    audit = Audit.of(case.layer, case.selection, case.variant, watched)
    tiles.seen.clear()
    sources.seen.clear()
    return audit, tiles, sources


def test_of_a_layer_that_is_wholly_stored_the_ledger_is_not_asked() -> None:
    case = whole()
    jobs = [Job.new(replace(OWN, force=force), NOON) for force in (False, True)]
    audit, tiles, sources = spied(case, [Word(job, "failed", Tile(x=17, y=12, z=5), "failed") for job in jobs])
    assert len(audit.known) == 2
    assert set(state_of(list(coverage(audit))).values()) == {"stored"}
    assert sources.seen == []
    assert set(tiles.seen) == {("folders", f"near/{z}/") for z in (3, 4, 5)} | {
        ("list", f"near/{tile.z}/{tile.x}/") for tile in case.planned()
    }


def test_receipts_are_listed_once_a_job_that_has_the_zoom_and_read_only_of_blocks_with_gaps() -> None:
    case = whole()
    for key in ("near/5/17/12.png", "near/5/20/15.png", "near/5/20/10.png"):
        del case.stored[key]
    gap, stored = Tile(x=17, y=12, z=5), Tile(x=8, y=6, z=4)
    jobs = [Job.new(replace(OWN, force=force), NOON) for force in (False, True)]
    other = Job.new(replace(OWN, selection=Selection((4,))), NOON)
    words = [Word(job, "failed", tile, "failed") for job in jobs for tile in (gap, Tile(x=17, y=8, z=5))]
    audit, _, sources = spied(case, [*words, Word(other, "failed", stored, "failed")])
    told = state_of(list(coverage(audit)))
    assert Counter(told.values()) == Counter({"stored": len(told) - 3, "missing": 2, "failed": 1})
    asked = Counter(sources.seen)
    own = [job.id for job in jobs]
    listed = {key: n for (verb, key), n in asked.items() if verb == "list"}
    segments = {f"jobs/{job}/compacted/{kind}/" for job in own for kind in ("done", "failed")}
    assert {key: n for key, n in listed.items() if key not in segments} == {f"jobs/{job}/failed/": 1 for job in own}
    assert segments <= listed.keys()
    assert sum(listed.values()) <= len(own) * 4, "segments were listed block by block"
    assert {key for verb, key in asked if verb == "get"} == {
        *(f"jobs/{job}/{kind}/5-16-8" for job in own for kind in ("done", "failed"))
    }


class Patient(Spy):
    """A store that returns receipts only two at a time."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.both = Barrier(2, timeout=120)  # seconds

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        self.both.wait()
        return self.store.get(key)


def test_the_receipts_of_a_column_of_blocks_are_read_at_the_same_time() -> None:
    layer = replace(GLOBE, maxzoom=4)
    job = Job.new(Spec(layer.id, layer.revision, Selection((4,)), PNG), NOON)
    sources = memory()
    note(sources, [Word(job, "done", Tile(x=0, y=y, z=4), "empty") for y in (1, 14)])
    stores = Stores(memory(), cast(Store, Patient(sources)), "")
    audit = Audit(layer, Selection((4,), (Bounds(-179, -84, -178, 84),)), PNG, stores, (job,))
    assert Counter(state_of(list(coverage(audit))).values()) == Counter({"missing": 14, "empty": 2})


def test_of_a_box_only_the_columns_that_it_touches_are_listed() -> None:
    audit, tiles, _ = spied(replace(whole(), selection=Selection((5,), (Bounds(24, 8, 33, 12),))), [])
    assert {tile.x for tile in state_of(list(coverage(audit)))} == {18}
    assert tiles.seen == [("list", "near/5/18/")]


def test_a_wide_box_asks_first_which_columns_are_there() -> None:
    box = Bounds(-170, -60, 170, 60)
    case = Case(replace(GLOBE, maxzoom=6), Selection((6,), (box,)), PNG, set(), {"globe/6/33/20.png": b"tile"})
    audit, tiles, _ = spied(case, [])
    assert Counter(state_of(list(coverage(audit))).values())["stored"] == 1
    assert tiles.seen == [("folders", "globe/6/"), ("list", "globe/6/33/")]


def test_blocks_come_while_most_columns_are_not_yet_listed() -> None:
    z = 12
    layer = replace(GLOBE, minzoom=z, maxzoom=z, bounds=Bounds(-180, 0.001, 180, 0.1))
    store, ahead = Wide(z), []
    audit = Audit(layer, Selection((z,)), PNG, Stores(cast(Store, store), memory(), ""), ())
    for number, each in enumerate(coverage(audit)):
        assert each.tiles.missing == each.tiles.planned > 0
        ahead.append(store.begun - LEAF * number)
    assert len(ahead) == 512
    assert max(ahead) <= 40 * LEAF, "of 512 columns of blocks, some for each thread"
