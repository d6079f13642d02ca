"""An audit finds each removed, emptied, damaged, replaced and added object once, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile

from seeder.cache.audit import TO_SEED, Audit, sampled
from seeder.jobs.ledger import put_job, put_receipt
from seeder.jobs.messages import Job, Receipt, Spec
from seeder.select.blocks import BlockMask
from seeder.select.selection import Selection, regions
from seeder.select.tilelist import parse_tiles, tile_line
from tests.support.audited import NEAR, NOON, OWN, PNG, Case, Wide, cases, everything, key_of, listed, told, whole
from tests.support.effort import examples
from tests.support.layer_strategies import GLOBE, layers
from tests.support.oracle import lines
from tests.support.selections import tiles_of, wanted
from tests.support.site import memory
from tests.support.strategies import bounds
from tiler.grid import LEAF, Block, Bounds
from tiler.image.encode import blank_tile
from tiler.layers.catalog import Layer
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, Stores

# any layer, selection and objects; no tile is rendered


@settings(max_examples=examples(120))
@given(cases())
def test_an_audit_tells_what_is_wrong_once_and_nothing_else(case: Case) -> None:
    steps: list[int] = []
    found = list(case.audit().findings(steps.append))
    assert told(found) == case.expected()
    assert sum(steps) == len(case.planned())
    wrong = [finding.tile for finding in found if finding.problem in TO_SEED]
    again = parse_tiles(wrong, "found")
    assert set(lines(again)) == set(wrong) <= {tile_line(tile) for tile in case.planned()}


@pytest.mark.parametrize("column", [15, 22, 23, 24, 31, 0])
def test_a_tile_beside_the_bounds_is_told_once(column: int) -> None:
    key = f"near/5/{column}/12.png"
    assert listed(whole().audit()) == []
    assert listed(whole({key: b"stale"}).audit()) == [(key, "unexpected")]


@pytest.mark.parametrize(
    "name", ["near/5/22/12@2x.png", "near/5/22/12.webp", "near/5/17/31.jpg", "near/6/40/24@2x.png"]
)
def test_variants_are_left_to_their_own_audit_wherever_they_lie(name: str) -> None:
    assert listed(whole({name: b"stale"}).audit()) == []


@pytest.mark.parametrize(
    "name", ["6/40/24.png", "2/1/1.png", "6/40/x", "05/17/12.png", "old/5/17/12.png", "5/x/12.png"]
)
def test_what_lies_in_no_folder_of_the_layers_is_told_of_the_whole_layer_only(name: str) -> None:
    case = whole({f"near/{name}": b"stale"})
    assert listed(case.audit()) == [(f"near/{name}", "unexpected")]
    assert listed(replace(case, selection=Selection((3, 4))).audit()) == []


@pytest.mark.parametrize("folder", ["²", "٣", "-5", "+5", "5.0", " 5", "%35"])
def test_a_folder_that_looks_like_a_number_is_told(folder: str) -> None:
    found = listed(whole({f"near/{folder}/17/12.png": b"stale"}).audit())
    assert [problem for _, problem in found] == ["unexpected"]


@pytest.mark.parametrize(
    "selection",
    [Selection((5,), (Bounds(5, 5, 6, 6),)), Selection((5,), tiles=parse_tiles(["5/16/15"], "one"))],
    ids=["box", "list"],
)
def test_an_audit_of_a_part_asks_nothing_of_the_rest(selection: Selection) -> None:
    case = replace(whole(), selection=selection)
    for key in ("near/5/17/12.png", "near/5/16/14.png"):
        del case.stored[key]
    case.stored.update(
        dict.fromkeys(["near/5/16/20.png", "near/5/16/readme", "near/5/30/1.png", "near/7/1/1.png"], b"")
    )
    assert listed(case.audit()) == []
    del case.stored["near/5/16/15.png"]
    assert listed(case.audit()) == [("near/5/16/15.png", "missing")]


@pytest.mark.parametrize(
    "variant", [TileVariant(), TileVariant(scale=2), TileVariant(format="webp"), TileVariant(format="jpg")]
)
def test_blanks_that_the_redirect_path_stores_are_fine_inside_the_bounds_only(variant: TileVariant) -> None:
    hole = replace(NEAR.footprint, z=5, x=17, y=9, cells=np.ones((2, 2), np.bool_))
    case = whole(None, replace(NEAR, footprint=hole), variant)
    void = blank_tile(variant.size, variant.format)
    inside, outside = (key_of(NEAR, Tile(x=20, y=y, z=5), variant) for y in (12, 20))
    case.stored.update({inside: void, outside: void})
    assert listed(case.audit()) == [(outside, "unexpected")]
    case.stored[inside] += b"!"
    assert listed(case.audit()) == [(inside, "unexpected"), (outside, "unexpected")]


def without(*lines: str) -> Case:
    """The layer without one or two tiles."""
    case = whole()
    for line in lines:
        del case.stored[f"near/{line}.png"]
    return case


def note(stores: Stores, spec: Spec, line: str, fate: str = "empty") -> None:
    """A receipt with the result of one tile."""
    z, x, y = map(int, line.split("/"))
    block = Block.of(Tile(x=x, y=y, z=z))
    mask = block.bit(Tile(x=x, y=y, z=z))
    known = {"empty": Outcome(empty=mask), "written": Outcome(mask), "skipped": Outcome(skipped=mask)}
    job = Job.new(spec, NOON)
    put_job(stores.sources, job)
    put_receipt(stores.sources, job.id, Receipt(block, known.get(fate, Outcome(failed=mask))))


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        (OWN, True),
        (replace(OWN, variant=TileVariant(format="webp")), True),  # empty tiles are empty in every format
        (replace(OWN, selection=Selection((3, 4, 5), (Bounds(0, 0, 1, 1),))), True),
        (replace(OWN, revision="0123"), False),
        (replace(OWN, variant=TileVariant(scale=2)), False),
        (replace(OWN, layer="near-2"), False),
        (replace(OWN, layer="nea"), False),
    ],
)
def test_tiles_are_known_to_be_empty_by_receipts_of_the_revision_at_the_scale(spec: Spec, known: bool) -> None:
    case = without("5/17/12", "5/20/10")
    stores = case.stores()
    note(stores, spec, "5/17/12")
    missing = ["near/5/20/10.png"] if known else ["near/5/17/12.png", "near/5/20/10.png"]
    audit = Audit.of(case.layer, case.selection, PNG, stores)
    assert listed(audit) == [(key, "missing") for key in missing]


@pytest.mark.parametrize("fate", ["written", "skipped", "failed"])
def test_other_receipts_excuse_no_missing_tile(fate: str) -> None:
    case = without("5/17/12")
    stores = case.stores()
    note(stores, OWN, "5/17/12", fate)
    assert listed(Audit.of(case.layer, case.selection, PNG, stores)) == [("near/5/17/12.png", "missing")]


def test_a_job_that_was_cut_off_before_it_was_on_record_stops_no_audit() -> None:
    case = without("5/17/12")
    stores = case.stores()
    note(stores, OWN, "5/17/12")
    tiles = parse_tiles(["5/17/12"], "a")
    cut = Job.new(replace(OWN, selection=Selection((5,), tiles=tiles)), NOON)
    stores.sources.put(f"jobs/{cut.id}/tiles.npz", tiles.encode(), content_type="application/octet-stream")
    assert listed(Audit.of(case.layer, case.selection, PNG, stores)) == []


# memory


def test_findings_come_while_most_columns_are_not_yet_listed() -> None:
    z = 13
    layer = replace(GLOBE, minzoom=z, maxzoom=z, bounds=Bounds(-180, 0.001, 180, 0.1))
    (belt,) = layer.ranges(z)
    store, steps, ahead = Wide(z), [0], []
    audit = Audit(layer, Selection((z,)), PNG, Stores(cast(Store, store), memory(), ""), ())
    problems: Counter[str] = Counter()
    for finding in audit.findings(steps.append):
        problems[finding.problem] += 1
        ahead.append(store.begun - LEAF * len(steps[1:]))
    assert problems == {"missing": len(belt), "unexpected": 2 * 2**z}
    assert sum(steps) == len(belt)
    assert max(ahead) <= 40 * LEAF, "of 1024 columns of blocks, some for each thread"


# samples


def tile_of(block_mask: BlockMask) -> Tile:
    (tile,) = tiles_of(block_mask)
    return tile


@settings(max_examples=examples(60))
@given(layers(deepest=4), st.lists(bounds(), max_size=1), st.integers(1, 60))
def test_a_sample_is_of_planned_tiles_once_each_and_always(layer: Layer, boxes: list[Bounds], number: int) -> None:
    selection = Selection(everything(layer).zooms, tuple(boxes))
    audit = Audit(layer, selection, PNG, Stores(memory(), memory(), ""), ())
    planned = {tile for z in selection.zooms for tile in wanted(layer, selection.boxes, z)}
    found = [tile_of(block_mask) for block_mask in sampled(audit, number)]
    assert planned.issuperset(found)
    assert len(found) == min(number, len(planned))
    assert len(set(found)) == len(found)
    assert [tile_of(block_mask) for block_mask in sampled(audit, number)] == found


@given(layers(deepest=4))
def test_all_as_a_sample_is_all_that_is_planned(layer: Layer) -> None:
    audit = Audit(layer, everything(layer), PNG, Stores(memory(), memory(), ""), ())
    found = [block_mask for region in regions(layer, audit.selection) for block_mask in region.block_masks()]
    assert list(sampled(audit, None)) == found


def test_a_sample_as_large_as_the_layer_leaves_no_tile_out() -> None:
    planned = {tile for z in (3, 4, 5) for tile in wanted(NEAR, (), z)}
    audit = Audit(NEAR, everything(NEAR), PNG, Stores(memory(), memory(), ""), ())
    assert {tile_of(block_mask) for block_mask in sampled(audit, len(planned))} == planned


def test_a_small_sample_of_the_world_is_drawn_from_all_over_it() -> None:
    audit = Audit(GLOBE, Selection((7, 8)), PNG, Stores(memory(), memory(), ""), ())
    found = [tile_of(block_mask) for block_mask in sampled(audit, 200)]
    corners = Counter((tile.z, tile.x >> tile.z - 1, tile.y >> tile.z - 1) for tile in found)
    assert len(corners) == 8
    assert {z: sum(number for key, number in corners.items() if key[0] == z) for z in (7, 8)} == {
        7: pytest.approx(40, abs=4),
        8: pytest.approx(160, abs=4),
    }
    assert min(number for (z, *_), number in corners.items() if z == 8) >= 30
