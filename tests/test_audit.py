"""An audit finds what was removed, emptied, spoilt, replaced and added, each once, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile

from seeder.audit import TO_SEED, Audit, Finding, sampled
from seeder.jobs import Job, Receipt, Spec
from seeder.ledger import put_job, put_receipt
from seeder.pieces import Piece
from seeder.selection import Selection, regions
from seeder.tilelist import parse_tiles, tile_line
from tests.oracle import lines
from tests.site import memory
from tests.strategies import GLOBE, bounds, layers, looks, tiles
from tests.test_selection import tiles_of, wanted
from tiler.catalog import Layer
from tiler.encode import blank
from tiler.errors import BadInput
from tiler.fill import Outcome
from tiler.grid import LEAF, Block, Bounds
from tiler.keys import TileName, parse_tile_key, tile_key
from tiler.render import Look
from tiler.storage import Entry, Store, Stores

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
PNG, LARGE = Look(), Look(scale=2)
Told = list[tuple[str, str]]  # key, problem


def told(found: Iterable[Finding]) -> Told:
    return sorted((finding.key, finding.problem) for finding in found)


def listed(audit: Audit) -> Told:
    return told(audit.findings(lambda _: None))


def put(store: Store, objects: dict[str, bytes], kind: str = "image/png") -> None:
    for key, data in objects.items():
        store.put(key, data, content_type=kind)


def key_of(layer: Layer, tile: Tile, look: Look = PNG) -> str:
    return tile_key(TileName(layer.id, tile, look.scale, look.format))


def everything(layer: Layer) -> Selection:
    return Selection(tuple(range(layer.minzoom, layer.maxzoom + 1)))


# any layer, any selection, any objects; no tile is rendered


@dataclass(frozen=True)
class Case:
    """A layer of which these tiles are known to be empty, and what is stored, by key."""

    layer: Layer
    selection: Selection
    look: Look
    empty: set[Tile]
    stored: dict[str, bytes]

    def planned(self) -> set[Tile]:
        """The tiles that are selected."""
        found = {tile for z in self.selection.zooms for tile in wanted(self.layer, self.selection.boxes, z)}
        if self.selection.tiles is None:
            return found
        named = set(lines(self.selection.tiles))
        return {tile for tile in found if tile_line(tile) in named}

    def expected(self) -> Told:
        """What an audit must tell, found object by object."""
        planned = {key_of(self.layer, tile, self.look): tile for tile in self.planned()}
        told = [(key, "missing") for key in planned.keys() - self.stored.keys() if planned[key] not in self.empty]
        for key, data in self.stored.items():
            if key in planned:
                told += [] if data else [(key, "no bytes")]
            elif self._in_scope(key) and self._is_wrong(key, data):
                told.append((key, "unexpected"))
        return sorted(told)

    def _in_scope(self, key: str) -> bool:
        """Whether the audit answers for the object: it lies in one of the zooms' folders, or any, if all are asked."""
        layer, *rest = key.split("/")
        if layer != self.layer.id or len(rest) < 2 or not self.selection.whole:
            return False
        return rest[0] in map(str, self.selection.zooms) or self.selection.zooms == everything(self.layer).zooms

    def _is_wrong(self, key: str, data: bytes) -> bool:
        try:
            name = parse_tile_key(key)
        except BadInput:
            return True
        inside = any(name.tile in each for each in self.layer.ranges(name.tile.z))
        variant = (name.scale, name.format) != (self.look.scale, self.look.format)
        return not variant and not (inside and len(data) == len(blank(self.look.size, self.look.format)))

    def stores(self) -> Stores:
        """Stores in memory that hold all that."""
        stores = Stores(memory(), memory(), "http://tiles.test")
        put(stores.tiles, self.stored)
        masks: dict[Block, int] = defaultdict(int)
        for tile in self.empty:
            masks[Block.of(tile)] |= Block.of(tile).bit(tile)
        for turn, (block, mask) in enumerate(masks.items()):
            low = mask & -mask  # one job knows of one tile, another of the rest
            for number, part in enumerate((low, mask & ~low) if turn % 2 else (mask, 0)):
                spec = Spec(self.layer.id, self.layer.revision, self.selection, self.look)
                job = Job.new(spec, NOON + timedelta(hours=number))
                put_job(stores.sources, job)
                put_receipt(stores.sources, job.id, Receipt(block, Outcome(empty=part, written=1)))
        return stores

    def audit(self) -> Audit:
        """The audit of all that."""
        return Audit.of(self.layer, self.selection, self.look, self.stores())


JUNK = (
    "{z}/readme.txt",
    "{z}/{x}/notes",
    "{z}/{x}/1/2.png",
    "{z}/{x}/01.png",
    "{z}/{x}/1.PNG",
    "{z}/{x}/1@3x.png",
    "{z}/{x}/999999.png",
    "{z}/0{x}/1.png",
    "{z}/999999/1.png",
    "{z}/x/1.png",
    "0{z}/{x}/1.png",
    "z/{x}/1.png",
    "29/1/1.png",
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Layers of low zooms, and changes among and around their tiles."""
    layer = draw(layers(deepest=4))
    zooms = everything(layer).zooms
    if draw(st.booleans()):
        zooms = tuple(sorted(draw(st.sets(st.sampled_from(zooms), min_size=1))))
    selection = Selection(zooms, tuple(draw(st.sampled_from(([], [draw(bounds())], [draw(bounds()), layer.bounds])))))
    case = Case(layer, selection, draw(looks), set(), {})
    if draw(st.integers(0, 3)) == 0:
        some = draw(st.sets(tiles(4), max_size=5)) | set(sorted(case.planned())[::3])
        case = replace(case, selection=replace(selection, tiles=parse_tiles(map(tile_line, some), "tiles")))
    all_tiles = sorted(tile for z in everything(layer).zooms for tile in wanted(layer, (), z))
    own = st.sampled_from(all_tiles or [Tile(0, 0, 0)])
    stored = {key_of(layer, tile, case.look): b"tile" for tile in all_tiles}
    empty = draw(st.sets(own, max_size=6))
    for tile in draw(st.sets(own, max_size=6)) | set(sorted(empty)[1:]):
        stored.pop(key_of(layer, tile, case.look), None)
    void = blank(case.look.size, case.look.format)
    beside = st.builds(lambda tile, x: Tile(x=(tile.x ^ x) % 2**tile.z, y=tile.y, z=tile.z), own, st.integers(1, 7))
    for tile in draw(st.sets(own | beside | tiles(6), max_size=8)):
        stored[key_of(layer, tile, case.look)] = draw(st.sampled_from((b"", b"more", void)))
    for tile in draw(st.sets(own, max_size=4)):
        other = draw(looks)
        if other != case.look:
            stored[key_of(layer, tile, other)] = b""
        for name in draw(st.sets(st.sampled_from(JUNK), max_size=3)):
            stored[f"{layer.id}/{name.format(z=tile.z, x=tile.x)}"] = draw(st.sampled_from((b"", b"junk", void)))
        stored[f"{layer.id}-2/{tile.z}/{tile.x}/{tile.y}.png"] = b"of a layer whose name begins alike"
    stored |= dict.fromkeys([f"{layer.id}/tile.json", f"{layer.id}/index.html", f"{layer.id}x"], b"beside the tiles")
    return replace(case, empty=empty, stored=stored)


@settings(max_examples=120)
@given(cases())
def test_an_audit_tells_what_is_wrong_once_and_nothing_else(case: Case) -> None:
    steps: list[int] = []
    found = list(case.audit().findings(steps.append))
    assert told(found) == case.expected()
    assert sum(steps) == len(case.planned())
    wrong = [finding.tile for finding in found if finding.problem in TO_SEED]
    again = parse_tiles(wrong, "found")
    assert set(lines(again)) == set(wrong) <= {tile_line(tile) for tile in case.planned()}


NEAR = replace(GLOBE, id="near", minzoom=3, maxzoom=5, bounds=Bounds(5, 5, 60, 60))  # columns 16 to 21 at zoom 5


def whole(more: dict[str, bytes] | None = None, layer: Layer = NEAR, look: Look = PNG) -> Case:
    """A layer all of whose tiles are stored, and more."""
    stored = {key_of(layer, tile, look): b"tile" for z in everything(layer).zooms for tile in wanted(layer, (), z)}
    return Case(layer, everything(layer), look, set(), stored | (more or {}))


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


@pytest.mark.parametrize("look", [Look(), Look(scale=2), Look(format="webp"), Look(format="jpg")])
def test_blanks_that_the_redirect_path_stores_are_fine_inside_the_bounds_only(look: Look) -> None:
    hole = replace(NEAR.footprint, z=5, x=17, y=9, cells=np.ones((2, 2), np.bool_))
    case = whole(None, replace(NEAR, footprint=hole), look)
    void = blank(look.size, look.format)
    inside, outside = (key_of(NEAR, Tile(x=20, y=y, z=5), look) for y in (12, 20))
    case.stored.update({inside: void, outside: void})
    assert listed(case.audit()) == [(outside, "unexpected")]
    case.stored[inside] += b"!"
    assert listed(case.audit()) == [(inside, "unexpected"), (outside, "unexpected")]


def without(*lines: str) -> Case:
    """The layer without a tile or two."""
    case = whole()
    for line in lines:
        del case.stored[f"near/{line}.png"]
    return case


def note(stores: Stores, spec: Spec, line: str, fate: str = "empty") -> None:
    """A receipt that says what became of one tile."""
    z, x, y = map(int, line.split("/"))
    block = Block.of(Tile(x=x, y=y, z=z))
    mask = block.bit(Tile(x=x, y=y, z=z))
    known = {"empty": Outcome(empty=mask), "written": Outcome(mask), "skipped": Outcome(skipped=mask)}
    job = Job.new(spec, NOON)
    put_job(stores.sources, job)
    put_receipt(stores.sources, job.id, Receipt(block, known.get(fate, Outcome(failed=mask))))


OWN = Spec("near", NEAR.revision, Selection((5,)), PNG)


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        (OWN, True),
        (replace(OWN, look=Look(format="webp")), True),  # what is empty is so in every format
        (replace(OWN, selection=Selection((3, 4, 5), (Bounds(0, 0, 1, 1),))), True),
        (replace(OWN, revision="0123"), False),
        (replace(OWN, look=Look(scale=2)), False),
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


class Wide:
    """A tile store of one zoom, with two tiles in each column; counts the columns that were listed."""

    def __init__(self, z: int) -> None:
        self.z, self.begun = z, 0

    def folders(self, prefix: str) -> tuple[str, ...]:
        """See `Store.folders`."""
        return (str(self.z),) if prefix.count("/") == 1 else tuple(map(str, range(2**self.z)))

    def below(self, prefix: str) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
        """See `Store.below`."""
        return self.folders(prefix), ()

    def list(self, prefix: str) -> Iterator[Entry]:
        """See `Store.list`."""
        self.begun += 1
        return (Entry(f"{prefix}{y}.png", 9, NOON) for y in (0, 1))


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


def tile_of(piece: Piece) -> Tile:
    (tile,) = tiles_of(piece)
    return tile


@settings(max_examples=60)
@given(layers(deepest=4), st.lists(bounds(), max_size=1), st.integers(1, 60))
def test_a_sample_is_of_planned_tiles_once_each_and_always(layer: Layer, boxes: list[Bounds], number: int) -> None:
    selection = Selection(everything(layer).zooms, tuple(boxes))
    audit = Audit(layer, selection, PNG, Stores(memory(), memory(), ""), ())
    planned = {tile for z in selection.zooms for tile in wanted(layer, selection.boxes, z)}
    found = [tile_of(piece) for piece in sampled(audit, number)]
    assert planned.issuperset(found)
    assert len(found) == min(number, len(planned))
    assert len(set(found)) == len(found)
    assert [tile_of(piece) for piece in sampled(audit, number)] == found


@given(layers(deepest=4))
def test_all_as_a_sample_is_all_that_is_planned(layer: Layer) -> None:
    audit = Audit(layer, everything(layer), PNG, Stores(memory(), memory(), ""), ())
    found = [piece for region in regions(layer, audit.selection) for piece in region.pieces()]
    assert list(sampled(audit, None)) == found


def test_a_sample_as_large_as_the_layer_leaves_no_tile_out() -> None:
    planned = {tile for z in (3, 4, 5) for tile in wanted(NEAR, (), z)}
    audit = Audit(NEAR, everything(NEAR), PNG, Stores(memory(), memory(), ""), ())
    assert {tile_of(piece) for piece in sampled(audit, len(planned))} == planned


def test_a_small_sample_of_the_world_is_drawn_from_all_over_it() -> None:
    audit = Audit(GLOBE, Selection((7, 8)), PNG, Stores(memory(), memory(), ""), ())
    found = [tile_of(piece) for piece in sampled(audit, 200)]
    corners = Counter((tile.z, tile.x >> tile.z - 1, tile.y >> tile.z - 1) for tile in found)
    assert len(corners) == 8
    assert {z: sum(number for key, number in corners.items() if key[0] == z) for z in (7, 8)} == {
        7: pytest.approx(40, abs=4),
        8: pytest.approx(160, abs=4),
    }
    assert min(number for (z, *_), number in corners.items() if z == 8) >= 30
