"""Tiles named one by one are a set, and a selection takes of them just what it would have taken anyway."""

from __future__ import annotations

import io
import json
from collections.abc import Container
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile

from seeder import cli
from seeder.jobs import Job, Spec
from seeder.ledger import load_job, put_job, unfinished
from seeder.selection import ANY_SIZE, Count, Piece, Region, Selection, regions
from seeder.tilelist import TileList, places, tile_line
from tests import strategies
from tests.oracle import files_under
from tests.strategies import GLOBE, footprints, layers
from tests.test_selection import asked, tiles_of, wanted, z_order
from tiler.catalog import Layer
from tiler.errors import BadOption, MessageError, ZoomOutside
from tiler.footprint import Footprint
from tiler.grid import LEAF, MAX_ZOOM, Bounds, TileRange
from tiler.render import Look
from tiler.storage import Store, open_store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
Question = tuple[Layer, Selection]

tile_sets = st.sets(strategies.tiles(), max_size=30)


def listed(tiles: set[Tile]) -> TileList:
    return TileList.parse(map(tile_line, tiles), "tiles.txt")


def named(tiles: TileList) -> list[Tile]:
    """The tiles of a list in its order."""
    numbers = (map(int, line.split("/")) for line in tiles.lines())
    return [Tile(x=x, y=y, z=z) for z, x, y in numbers]


def curve(tile: Tile) -> int:
    """The place of a tile on the Z curve of its zoom."""
    return sum((tile.x >> bit & 1) << 2 * bit | (tile.y >> bit & 1) << 2 * bit + 1 for bit in range(tile.z))


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """A layer, and a selection of it with a list: of wanted tiles, of tiles nearby, of tiles anywhere."""
    layer, selection = draw(asked())
    z = draw(st.sampled_from(selection.zooms))
    inside = sorted(wanted(layer, selection.boxes, z)) or [Tile(x=0, y=0, z=z)]
    near = strategies.tiles(layer.maxzoom)
    some = draw(st.sets(st.sampled_from(inside), max_size=40)) | draw(st.sets(near, max_size=20))
    if draw(st.booleans()):
        some |= set(inside)
    return layer, replace(selection, tiles=listed(some))


# the list itself


@given(tile_sets)
def test_a_list_holds_the_tiles_that_its_lines_name(tiles: set[Tile]) -> None:
    made = listed(tiles)
    assert set(named(made)) == tiles
    assert len(made) == len(named(made)) == len(tiles)
    assert made.zooms == tuple(sorted({tile.z for tile in tiles}))
    assert TileList.parse(made.lines(), "again") == made


@given(tile_sets)
def test_lines_come_low_zooms_first_then_along_the_z_curve(tiles: set[Tile]) -> None:
    order = [(tile.z, curve(tile)) for tile in named(listed(tiles))]
    assert order == sorted(order)


@given(tile_sets, st.data())
def test_order_repetition_comments_and_blanks_change_nothing(tiles: set[Tile], data: st.DataObject) -> None:
    lines = [tile_line(tile) for tile in tiles]
    noise = st.sampled_from(["", " ", "\t\n", "# 5/16/11", "  # nothing"])
    tails = st.sampled_from(["", "\n", "\r\n", "  ", "# why", " # 1/0/0 is another"])
    repeated = data.draw(st.lists(st.sampled_from(lines), max_size=9)) if lines else []
    mixed = [f"  {line}{data.draw(tails)}" for line in lines + repeated] + data.draw(st.lists(noise, max_size=4))
    other = TileList.parse(data.draw(st.permutations(mixed)), "other.txt")
    assert other == listed(tiles)
    assert other.digest == listed(tiles).digest
    assert hash(other) == hash(listed(tiles))


@given(tile_sets, tile_sets)
def test_lists_are_equal_where_their_tiles_are(one: set[Tile], other: set[Tile]) -> None:
    assert (listed(one) == listed(other)) == (one == other)
    assert (listed(one).digest == listed(other).digest) == (one == other)


def test_the_same_numbers_at_another_zoom_are_another_list() -> None:
    lists = [TileList.parse([line], "a") for line in ("5/1/2", "6/1/2", "5/2/1", "5/1/3")]
    lists += [TileList.parse(["5/1/2", line], "a") for line in ("6/1/2", "5/2/1")]
    assert len({each.digest for each in lists}) == len(lists)


def test_no_line_is_an_empty_list() -> None:
    nothing = TileList.parse(["", "# nothing"], "none.txt")
    assert (len(nothing), nothing.zooms, list(nothing.lines())) == (0, (), [])


@given(st.integers(0, MAX_ZOOM), st.data())
def test_codes_are_the_places_of_the_z_curve(z: int, data: st.DataObject) -> None:
    corner = st.sampled_from((0, 2**z - 1)) | st.integers(0, 2**z - 1)
    tile = Tile(x=data.draw(corner), y=data.draw(corner), z=z)
    codes = listed({tile}).codes[z]
    assert codes.tolist() == [curve(tile)]
    assert [each.tolist() for each in places(codes)] == [[tile.x], [tile.y]]


@pytest.mark.parametrize(
    "junk",
    [
        "5/16",
        "5/16/11/3",
        "5/16/11.png",
        "alps/5/16/11",
        "5,16,11",
        "5 16 11",
        "5/ 16/11",
        "5/-1/3",
        "-5/1/3",
        "5/1.0/3",
        "5/16/11 5/16/12",
        "z/x/y",
        '{"z": 5}',
        "0x5/1/1",
        "5/1e1/1",
        "5//11",
        "/5/16/11",
        "5/16/11/",
        "100/0/0",
        "\x00",
        "5/16/\ufffd",
        "9" * 500,
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_what_is_no_tile_is_refused_with_file_and_line(junk: str, before: int) -> None:
    lines = ["# a comment", "", "5/16/11"][:before]
    with pytest.raises(BadOption, match=f"^list.txt, line {before + 1}: .* is not a tile: write z/x/y") as refused:
        TileList.parse([*lines, junk, "also junk"], "list.txt")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("off", ["0/1/0", "0/0/1", "5/32/0", "5/0/32", "5/999999999/0", "28/268435456/0", "29/0/0"])
def test_a_tile_off_the_grid_is_refused_with_file_and_line(off: str) -> None:
    with pytest.raises(BadOption, match=f"^list.txt, line 2: tile {off} is off the grid of its zoom$"):
        TileList.parse(["28/268435455/268435455", f"  {off} # here"], "list.txt")


def test_many_tiles_take_eight_bytes_each() -> None:
    side = 256
    lines = (f"18/{x}/{y}" for x in range(1000, 1000 + side) for y in range(2000, 2000 + side))
    made = TileList.parse(lines, "many.txt")
    assert len(made) == side**2
    assert made.codes[18].nbytes == 8 * side**2
    (region,) = regions(replace(GLOBE, maxzoom=18), Selection((18,), tiles=made))
    assert region.total() == Count(side**2, (side // LEAF) ** 2)
    assert sum(len(piece) for piece in region.pieces()) == side**2


# what a selection takes of it


@given(questions(), st.sampled_from([(LEAF,), (LEAF, 64, 512), ANY_SIZE]))
def test_a_list_selects_what_is_listed_and_would_have_been_selected_anyway(
    question: Question, sizes: Container[int]
) -> None:
    layer, selection = question
    assert selection.tiles is not None
    mine = set(named(selection.tiles))
    for region in regions(layer, selection):
        pieces = list(region.pieces(sizes))
        found = [tile for piece in pieces for tile in tiles_of(piece)]
        assert len(found) == len(set(found))
        assert set(found) == mine & wanted(layer, selection.boxes, region.z)
        assert all(piece.block.size == LEAF and piece.tiles for piece in pieces)
        assert all(piece.tiles & ~piece.block.full == 0 for piece in pieces)


@given(questions())
def test_listed_blocks_follow_the_z_curve_once_each_as_many_as_the_total_says(question: Question) -> None:
    found = list(regions(*question))
    assert [region.z for region in found] == list(question[1].zooms)
    for region in found:
        pieces = list(region.pieces())
        order = [z_order(piece.block) for piece in pieces]
        assert order == sorted(set(order))
        assert region.total() == Count(sum(map(len, pieces)), len(pieces))


@settings(max_examples=25)
@given(asked(), st.data())
def test_a_list_of_all_that_is_selected_changes_nothing(question: Question, data: st.DataObject) -> None:
    layer, selection = question
    plain = list(regions(layer, selection))
    everything = {tile for region in plain for piece in region.pieces() for tile in tiles_of(piece)}
    for one, other in zip(plain, regions(layer, replace(selection, tiles=listed(everything))), strict=True):
        assert list(one.pieces()) == list(other.pieces())
        assert one.total() == other.total()
        assert strips_of(one) == strips_of(other)
        numbers = st.integers(0, max(0, one.total().tiles - 1))
        for number in data.draw(st.lists(numbers, max_size=8)) if one.total().tiles else []:
            assert one.piece_of(number) == other.piece_of(number)


def strips_of(region: Region) -> dict[int, list[Piece]]:
    """The pieces of each strip that has any, by the strip's column."""
    return {x: pieces for x, strip in region.strips() if (pieces := list(strip.pieces()))}


@settings(max_examples=30)
@given(questions() | asked())
def test_the_tiles_of_a_region_are_numbered_along_its_pieces(question: Question) -> None:
    for region in regions(*question):
        numbered = [piece for piece in region.pieces() for _ in range(len(piece))]
        assert [region.piece_of(number) for number in range(region.total().tiles)] == numbered


@settings(max_examples=40)
@given(questions() | asked())
def test_strips_part_the_pieces_by_their_columns(question: Question) -> None:
    for region in regions(*question):
        strips = list(region.strips())
        columns = [x for x, _ in strips]
        assert columns == sorted(set(columns))
        for x, strip in strips:
            assert x % LEAF == 0
            assert strip.z == region.z
            assert {piece.block.x for piece in strip.pieces()} <= {x}
            assert list(strip.pieces()) == [piece for piece in region.pieces() if piece.block.x == x]
        assert sum(strip.total().tiles for _, strip in strips) == region.total().tiles
        assert sum(strip.total().blocks for _, strip in strips) == region.total().blocks


@given(footprints(), st.data())
def test_a_footprint_holds_the_tiles_that_it_counts(footprint: Footprint, data: st.DataObject) -> None:
    z = data.draw(st.integers(footprint.z, footprint.z + 4) | st.just(MAX_ZOOM))
    cells = st.integers(footprint.x - 1, footprint.x + footprint.cells.shape[1])
    far = st.integers(0, 2**z - 1)
    near = cells.map(lambda cell: (cell << z - footprint.z) % 2**z)
    rows = st.integers(0, 2**z - 1) | st.just(min(footprint.y << z - footprint.z, 2**z - 1))
    pairs = data.draw(st.lists(st.tuples(near | far, rows), min_size=1, max_size=20))
    x, y = np.array(pairs, np.int64).T
    counted = [footprint.count(TileRange(z, x, y, x + 1, y + 1)) for x, y in pairs]
    assert footprint.holds(z, x, y).tolist() == [bool(each) for each in counted]
    assert set(counted) <= {0, 1}


def test_zooms_of_a_list_that_are_not_selected_are_left_out() -> None:
    tiles = listed({Tile(x=1, y=1, z=4), Tile(x=1, y=1, z=5), Tile(x=1, y=1, z=6)})
    found = list(regions(GLOBE, Selection((4, 6, 7), tiles=tiles)))
    assert [(region.z, region.total().tiles) for region in found] == [(4, 1), (6, 1), (7, 0)]
    assert list(found[2].pieces()) == []
    assert list(found[2].strips()) == []


@given(layers(), tile_sets)
def test_zooms_that_the_layer_lacks_are_refused_whatever_is_listed(layer: Layer, tiles: set[Tile]) -> None:
    with pytest.raises(ZoomOutside):
        regions(layer, Selection((layer.maxzoom + 1,), tiles=listed(tiles)))


def test_a_box_beside_the_layer_selects_nothing_that_is_listed() -> None:
    layer = replace(GLOBE, bounds=Bounds(5, 45, 10, 48))
    (region,) = regions(layer, Selection((0,), (Bounds(10, 45, 11, 48),), listed({Tile(0, 0, 0)})))
    assert region.total() == Count(0, 0)


def test_a_selection_with_a_list_is_not_whole() -> None:
    assert Selection((5,)).whole
    assert not Selection((5,), tiles=listed(set())).whole
    assert not Selection((5,), (Bounds(0, 0, 1, 1),)).whole


# on record


SPEC = Spec("relief", "9f2c", Selection((4, 5), tiles=listed({Tile(x=3, y=1, z=4), Tile(x=2, y=2, z=5)})), Look())


@given(tile_sets, st.data())
def test_a_job_with_a_list_survives_the_ledger(tiles: set[Tile], data: st.DataObject) -> None:
    spec = data.draw(strategies.specs())
    job = Job.new(replace(spec, selection=replace(spec.selection, tiles=listed(tiles))), NOON)
    ledger = open_store(f"memory://{uuid4().hex}")
    put_job(ledger, job)
    read = load_job(ledger, job.id)
    assert read == job
    assert read.spec.selection.tiles is not None
    assert set(named(read.spec.selection.tiles)) == tiles
    assert unfinished(ledger, job.spec) == job


def test_a_job_with_a_list_survives_every_store(store: Store) -> None:
    job = Job.new(SPEC, NOON)
    put_job(store, job)
    assert load_job(store, job.id) == job


@given(tile_sets, tile_sets)
def test_specs_are_told_apart_by_the_tiles_of_their_lists(one: set[Tile], other: set[Tile]) -> None:
    specs = [replace(SPEC, selection=Selection((4, 5), tiles=listed(each))) for each in (one, other)]
    assert (specs[0].digest == specs[1].digest) == (one == other)
    assert replace(SPEC, selection=Selection((4, 5))).digest not in {spec.digest for spec in specs}


def test_a_job_is_found_again_by_the_same_list_in_another_order() -> None:
    ledger = open_store(f"memory://{uuid4().hex}")
    job = Job.new(SPEC, NOON)
    put_job(ledger, job)
    lines = ["5/2/2", "# the same", "5/2/2", "4/3/1"]
    again = replace(SPEC, selection=Selection((4, 5), tiles=TileList.parse(lines, "again.txt")))
    assert unfinished(ledger, again) == job
    less = replace(SPEC, selection=Selection((4, 5), tiles=TileList.parse(lines[:1], "less.txt")))
    assert unfinished(ledger, less) is None


@pytest.mark.parametrize("text", [b"5/2/2\njunk\n", b"5/2/99\n", b"\xff\xfe"])
def test_a_job_whose_list_is_spoilt_is_refused(text: bytes) -> None:
    ledger = open_store(f"memory://{uuid4().hex}")
    job = Job.new(SPEC, NOON)
    put_job(ledger, job)
    ledger.put(f"jobs/{job.id}/tiles.txt", text, content_type="text/plain")
    with pytest.raises(MessageError):
        load_job(ledger, job.id)


# the command


def seed(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.main, ["seed", "alps", "--jobs", "1", *words], input=Stdin(stdin.encode()))


class Stdin(io.BytesIO):
    """Standard input, which has a name."""

    name = "<stdin>"


def made(data: Path) -> set[str]:
    """The tiles that are stored."""
    return {str(path.relative_to(data / "tiles/alps")) for path in data.glob("tiles/alps/*/*/*.png")}


def test_a_list_is_seeded_but_for_tiles_that_the_layer_lacks(alps_copy: Path) -> None:
    lines = "6/33/22\n9/264/182 # a comment\n\n6/0/0\n12/1/1\n6/33/22\n"
    result = seed("--tiles", "-", "--json", stdin=lines)
    assert (result.exit_code, json.loads(result.stdout)["written"]) == (0, 2)
    assert "2 of 4 listed tiles are not among the layer's" in result.stderr
    assert made(alps_copy) == {"6/33/22.png", "9/264/182.png"}


def test_a_list_may_be_a_file_and_is_limited_by_zooms_and_boxes(alps_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("6/33/22\n8/133/91\n9/264/182\n9/267/180\n")
    words = ("--tiles", str(tmp_path / "list.txt"), "--zooms", "8-9", "--bbox", "5,45,6.5,48")
    counted = seed(*words, "--dry-run", "--json")
    assert json.loads(counted.stdout)["tiles"] == 1
    assert made(alps_copy) == set()
    assert seed(*words).exit_code == 0
    assert made(alps_copy) == {"9/264/182.png"}


@pytest.mark.parametrize(
    ("lines", "code", "says"),
    [
        ("", 0, "the list names no tile: nothing to do"),
        ("# nothing\n\n", 0, "the list names no tile: nothing to do"),
        ("6/33/22\n\n6/33\n", 2, "<stdin>, line 3: '6/33' is not a tile: write z/x/y"),
        ("6/33/22\n6/64/0\n", 2, "<stdin>, line 2: tile 6/64/0 is off the grid of its zoom"),
        ("6/0/0\n12/1/1\n", 2, "no tile of layer 'alps' is selected"),
        ("12/1/1\n", 2, "no tile of layer 'alps' is selected"),
        ("\x00\x01\n", 2, "<stdin>, line 1: "),
    ],
)
def test_a_list_of_nothing_or_junk_changes_nothing(lines: str, code: int, says: str, alps_copy: Path) -> None:
    before = files_under(alps_copy)
    result = seed("--tiles", "-", "--force", stdin=lines)
    assert (result.exit_code, result.stdout) == (code, "")
    assert [line for line in result.stderr.splitlines() if says in line]
    assert files_under(alps_copy) == before
