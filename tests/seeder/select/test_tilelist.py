"""Lists of tiles in any form become sets, and selections intersect with them."""

from __future__ import annotations

import io
import json
import random
import re
import tracemalloc
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock
from uuid import uuid4

import click
import mercantile
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile
from mercantile.scripts import cli as mercantile_cli
from supermercado import burntiles
from supermercado.scripts.cli import cli as supermercado_cli

from seeder.cli import main as cli
from seeder.jobs.ledger import load_job, put_job, unfinished
from seeder.jobs.messages import Job, Spec
from seeder.select import tilelist
from seeder.select.blocks import Count
from seeder.select.morton import places
from seeder.select.selection import Selection, regions
from seeder.select.tilelist import json_line, parse_tiles, tile_line
from seeder.select.tileset import TileSet, TileSets
from tests.support import strategies
from tests.support.effort import examples
from tests.support.job_strategies import specs
from tests.support.layer_strategies import GLOBE, layers
from tests.support.oracle import files_under, lines
from tests.support.selections import asked, tiles_of, wanted, z_order
from tests.support.tilesets import ANY_SIZE
from tiler.errors import BadOption, MessageError, ZoomOutside
from tiler.grid import LEAF, MAX_ZOOM, Bounds
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, open_store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
Question = tuple[Layer, Selection]

tile_sets = st.sets(strategies.tiles(), max_size=30)


def listed(tiles: Iterable[Tile]) -> TileSets:
    return parse_tiles(map(tile_line, tiles), "tiles.txt")


def named(tiles: TileSets) -> list[Tile]:
    """The tiles of a list in order."""
    numbers = (map(int, line.split("/")) for line in lines(tiles))
    return [Tile(x=x, y=y, z=z) for z, x, y in numbers]


def curve(tile: Tile) -> int:
    """The position of a tile on the Z curve of its zoom."""
    return sum((tile.x >> bit & 1) << 2 * bit | (tile.y >> bit & 1) << 2 * bit + 1 for bit in range(tile.z))


# forms of a tile: a line, or several lines


FORMS: dict[str, Callable[[Tile], str]] = {
    "slashes": lambda tile: f"{tile.z}/{tile.x}/{tile.y}",
    "dashes": lambda tile: f"{tile.z}-{tile.x}-{tile.y}",
    "quadkey": lambda tile: mercantile.quadkey(tile) or "0/0/0",  # the world's quadkey is empty
    "array": json.dumps,
    "compact array": lambda tile: json.dumps(tile, separators=(",", ":")),
    "array after a separator": lambda tile: f"\x1e{json.dumps(tile)}",
    "object": lambda tile: json.dumps(tile._asdict()),
    "object, otherwise": lambda tile: json.dumps({"z": tile.z, "id": None, "y": tile.y, "x": tile.x}),
    "array over lines": lambda tile: json.dumps(tile, indent=1),
    "object over lines": lambda tile: json.dumps(tile._asdict(), indent=2),
    "array of one": lambda tile: json.dumps([tile]),
    "array of one over lines": lambda tile: json.dumps([tile._asdict()], indent=2),
}
ONE_LINE = [name for name in FORMS if "over lines" not in name]


def written(form: str, tiles: Iterable[Tile]) -> list[str]:
    """The lines of tiles in one form."""
    return [line for tile in tiles for line in FORMS[form](tile).split("\n")]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(20))
@given(tile_sets)
def test_every_form_reads_as_the_same_tiles(form: str, tiles: set[Tile]) -> None:
    assert parse_tiles(written(form, tiles), "tiles.txt") == TileSets(
        {z: TileSet.of(z, np.array([curve(tile) for tile in tiles if tile.z == z])) for z in {tile.z for tile in tiles}}
    )


@given(st.lists(st.tuples(strategies.tiles(), st.sampled_from(list(FORMS))), max_size=30), st.integers(1, 9))
def test_forms_may_be_mixed_and_read_some_lines_at_a_time(some: list[tuple[Tile, str]], many: int) -> None:
    mixed = [line for tile, form in some for line in written(form, [tile])]
    with mock.patch.object(tilelist, "_CHUNK_LINES", many):
        assert parse_tiles(iter(mixed), "mixed.txt") == listed(tile for tile, _ in some)


@given(st.lists(st.tuples(strategies.tiles(), st.booleans()), max_size=9), st.data())
def test_an_array_of_tiles_may_be_broken_wherever_json_may(some: list[tuple[Tile, bool]], data: st.DataObject) -> None:
    text = json.dumps([tile._asdict() if objects else tile for tile, objects in some])
    blanks = st.sampled_from(["", "", "", " ", "\n", "\n\n", "\r\n", " # [[why]]\n"])
    broken = "".join(token + data.draw(blanks) for token in re.findall(r'[\[\]{},:]|"\w"|\d+', text))
    around = ["1/0/1", *broken.split("\n"), "1-0-0"]
    assert parse_tiles(around, "array.json") == listed({Tile(0, 1, 1), Tile(0, 0, 1), *(tile for tile, _ in some)})


@given(tile_sets)
def test_an_array_and_an_object_are_told_from_their_order(tiles: set[Tile]) -> None:
    turned = {Tile(x=tile.y, y=tile.x, z=tile.z) for tile in tiles}
    assert parse_tiles((f"[{tile.y}, {tile.x}, {tile.z}]" for tile in tiles), "a") == listed(turned)
    assert parse_tiles((f'{{"y": {tile.x}, "x": {tile.y}, "z": {tile.z}}}' for tile in tiles), "a") == listed(turned)


def test_digits_up_to_3_alone_are_a_quadkey() -> None:
    quadkeys = ["0", "1", "2", "3", "13", "3" * MAX_ZOOM]
    assert parse_tiles(quadkeys, "a") == listed(map(mercantile.quadkey_to_tile, quadkeys))
    assert lines(parse_tiles(["0"], "a")) == ["1/0/0"]


# lines written and read by other tools


def ran(command: click.Group, *words: str, stdin: Iterable[str] = ()) -> list[str]:
    """The output lines of another tool's command."""
    result = CliRunner().invoke(command, words, input="".join(f"{line}\n" for line in stdin))
    assert result.exit_code == 0, result.output
    return list(io.StringIO(result.stdout))  # splitlines would split at record separators


BOX = (5.2, 44.9, 21.3, 57.8)


def test_what_mercantile_prints_is_read() -> None:
    tiles = set(mercantile.tiles(*BOX, 7))
    printed = ran(mercantile_cli, "tiles", "7", stdin=[str([*BOX])])
    sequence = ran(mercantile_cli, "tiles", "--seq", "7", stdin=[str([*BOX])])
    assert "\x1e\n" in sequence
    assert parse_tiles(printed, "-") == parse_tiles(sequence, "-") == listed(tiles)
    assert parse_tiles(ran(mercantile_cli, "quadkey", stdin=printed), "-") == listed(tiles)
    assert parse_tiles(ran(mercantile_cli, "parent", stdin=printed), "-") == listed(map(mercantile.parent, tiles))
    below = {child for tile in tiles for child in mercantile.children(tile)}
    assert parse_tiles(ran(mercantile_cli, "children", stdin=printed), "-") == listed(below)


@settings(max_examples=examples(15))
@given(st.sets(strategies.tiles().filter(lambda tile: tile.z > 0), min_size=1, max_size=30))
def test_mercantile_reads_what_is_listed_as_json_and_the_other_way_round(tiles: set[Tile]) -> None:
    wanted = listed(tiles)
    quadkeys = ran(mercantile_cli, "quadkey", stdin=map(json_line, named(wanted)))
    assert {mercantile.quadkey_to_tile(key.strip()) for key in quadkeys} == tiles
    assert parse_tiles(ran(mercantile_cli, "quadkey", stdin=quadkeys), "-") == wanted


@pytest.mark.filterwarnings("ignore:Sequences of Features:FutureWarning")
def test_supermercado_reads_what_is_listed_and_what_it_prints_is_read() -> None:
    tiles = set(mercantile.tiles(*BOX, 8))
    outer = {tile for tile in tiles if not tiles.issuperset(mercantile.neighbors(tile))}
    assert outer < tiles
    assert parse_tiles(ran(supermercado_cli, "edges", stdin=map(json_line, tiles)), "-") == listed(outer)
    triangle = [[[5, 45], [21, 51], [9, 57], [5, 45]]]
    shape = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": triangle}}
    burnt = burntiles.burn([shape], 8).tolist()
    assert parse_tiles(ran(supermercado_cli, "burn", "8", stdin=[json.dumps(shape)]), "-") == listed(
        Tile(x=x, y=y, z=z) for x, y, z in burnt
    )


@pytest.mark.parametrize(
    "shapes",
    [
        ran(mercantile_cli, "shapes", stdin=["[16, 11, 5]"]),
        ran(mercantile_cli, "shapes", "--seq", stdin=["[16, 11, 5]"]),
        ran(mercantile_cli, "shapes", "--collect", "--indent", "2", stdin=["[16, 11, 5]"]),
        ran(supermercado_cli, "union", stdin=["[16, 11, 5]", "[17, 11, 5]"]),
        ['{"type": "FeatureCollection", "features": [', '{"type": "Feature"},'],  # truncated
    ],
    ids=["features", "sequence", "collection", "union", "cut off"],
)
def test_shapes_are_no_list_and_who_gives_them_hears_where_they_belong(shapes: list[str]) -> None:
    first = 3 if "\x1e" in shapes[0] else 2
    with pytest.raises(BadOption) as refused:
        parse_tiles(["5/16/11", *shapes], "shapes.json")
    assert str(refused.value) == f"shapes.json, line {first}: GeoJSON is not a list of tiles: use --geojson"


def test_an_expiry_list_of_osm2pgsql_is_read() -> None:
    tiles = set(mercantile.tiles(*BOX, (9, 10, 11)))
    expired = random.Random(1).choices(sorted(tiles), k=500)  # the same tile again where the list was edited
    assert parse_tiles((f"{tile.z}/{tile.x}/{tile.y}\n" for tile in expired), "expire.txt") == listed(expired)


# the set itself


@given(tile_sets)
def test_a_list_holds_the_tiles_that_its_lines_name(tiles: set[Tile]) -> None:
    made = listed(tiles)
    assert set(named(made)) == tiles
    assert len(made) == len(named(made)) == len(tiles)
    assert made.zooms == tuple(sorted({tile.z for tile in tiles}))
    assert parse_tiles(map(json_line, named(made)), "again") == parse_tiles(lines(made), "again") == made


def test_a_list_takes_the_memory_of_its_tiles_however_often_it_names_them() -> None:
    side = 64
    again = (f"18/{place % side * 2}/{place // side % side * 2}\n" for place in range(50 * side**2))
    tracemalloc.start()
    with mock.patch.object(tilelist, "_CHUNK_LINES", side**2):
        made = parse_tiles(again, "again.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(made) == len(made.at(18).starts) == side**2
    assert peak < 3e6  # half of it is the text of the lines


@given(tile_sets, st.data())
def test_order_repetition_comments_and_blanks_change_nothing(tiles: set[Tile], data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(ONE_LINE))
    once = written(form, tiles)
    noise = st.sampled_from(["", " ", "\t\n", "# 5/16/11", "  # nothing", "\x1e", "\ufeff# list"])
    tails = st.sampled_from(["", "\n", "\r\n", "  ", "# why", " # 1/0/0 is another\r\n"])
    repeated = data.draw(st.lists(st.sampled_from(once), max_size=9)) if once else []
    mixed = [f"  {line}{data.draw(tails)}" for line in once + repeated] + data.draw(st.lists(noise, max_size=4))
    other = parse_tiles(data.draw(st.permutations(mixed)), "other.txt")
    assert other == listed(tiles)
    assert other.digest == listed(tiles).digest
    assert hash(other) == hash(listed(tiles))


@given(tile_sets, tile_sets)
def test_lists_are_equal_where_their_tiles_are(one: set[Tile], other: set[Tile]) -> None:
    assert (listed(one) == listed(other)) == (one == other)
    assert (listed(one).digest == listed(other).digest) == (one == other)


def test_the_same_numbers_at_another_zoom_are_another_list() -> None:
    lists = [parse_tiles([line], "a") for line in ("5/1/2", "6/1/2", "5/2/1", "5/1/3")]
    lists += [parse_tiles(["5/1/2", line], "a") for line in ("6/1/2", "5/2/1")]
    assert len({each.digest for each in lists}) == len(lists)


@pytest.mark.parametrize("nothing", [[], ["", "# nothing"], ["\x1e", "\ufeff"], ["[]"], ["[ # none", "]"]])
def test_no_tile_is_an_empty_list(nothing: list[str]) -> None:
    made = parse_tiles(nothing, "none.txt")
    assert (len(made), made.zooms, lines(made)) == (0, (), [])


@given(st.integers(0, MAX_ZOOM), st.data())
def test_codes_are_the_places_of_the_z_curve(z: int, data: st.DataObject) -> None:
    corner = st.sampled_from((0, 2**z - 1)) | st.integers(0, 2**z - 1)
    tile = Tile(x=data.draw(corner), y=data.draw(corner), z=z)
    codes = listed({tile}).at(z).codes
    assert codes.tolist() == [curve(tile)]
    assert [each.tolist() for each in places(codes)] == [[tile.x], [tile.y]]


JUNK = [
    "5/16",
    "5/16/11/3",
    "5/16/11.png",
    "alps/5/16/11",
    "5,16,11",
    "5 16 11",
    "5/ 16/11",
    "5/-1/3",
    "-5/1/3",
    "5-16/11",
    "5/1.0/3",
    "5/16/11 5/16/12",
    "0231 0232",
    "z/x/y",
    '{"z": 5}',
    '{"x": 1, "y": 2, "zoom": 5}',
    '{"x": "1", "y": "2", "z": "5"}',
    "0x5/1/1",
    "5/1e1/1",
    "5//11",
    "/5/16/11",
    "5/16/11/",
    "100/0/0",
    "4",
    "0124",
    "0" * (MAX_ZOOM + 1),
    "\x00",
    "5/16/\ufffd",
    "\u0665/1/1",  # a digit, but not an ASCII one
    "9" * 500,
    "[1, 2]",
    "[1, 2, 3, 4]",
    "[1, 2, 3.0]",
    "[true, 0, 1]",
    "[null, 0, 1]",
    "[[]]",
    "[[1, 2, 3], []]",
    "[[1, 2, 3] [4, 5, 6]]",
    "[[1, 2, 3], 4]",
    "[[[1, 2, 3]]]",
    "[[1, 2, 3],]",
    "[[1, 2, 3]] [4, 5, 6]",
    "[1, 2, 3] [4, 5, 6]",
    "[1, 2, 3]]",
    "[1, 2, 3},",
    "[" * 10_000 + "]" * 10_000,
    f"[{'9' * 5000}, 0, 0]",
    "]",
]


@pytest.mark.parametrize("junk", JUNK, ids=[each[:30] for each in JUNK])
@pytest.mark.parametrize("before", [0, 3, 6])
def test_what_is_no_tile_is_refused_with_file_and_line(junk: str, before: int) -> None:
    good = ["# a comment", "", "5/16/11", "[1,", "2, 3]", "0231"][:before]
    with pytest.raises(BadOption) as refused:
        parse_tiles([*good, junk, *["also junk"][:before]], "list.txt")
    said = str(refused.value)
    assert said.startswith(f"list.txt, line {before + 1}: ")
    assert said.endswith(" is not a tile: write z/x/y, z-x-y, a quadkey or [x, y, z], one per line, such as 5/16/11")
    assert len(said) < 500


@pytest.mark.parametrize("opened", ["[1, 2", "[[1, 2, 3],", "[", '{"x": 1,'])
def test_a_bracket_that_is_never_closed_is_refused_where_it_was_opened(opened: str) -> None:
    with pytest.raises(BadOption, match=r"^cut.txt, line 2: .* has an unclosed bracket: write z/x/y") as refused:
        parse_tiles(["5/16/11", opened, *1000 * ["5/16/11"]], "cut.txt")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("junk", "line"), [(["[1, 2, 3", ",4]", "]"], 4), (["[4, 5, 6]", ",", "[7, 8, 9]", "5]"], 6), (["", "x"], 5)]
)
def test_junk_within_an_array_is_refused_with_the_line_in_which_it_begins(junk: list[str], line: int) -> None:
    with pytest.raises(BadOption, match=f"^array.json, line {line}: .* is not a tile: write"):
        parse_tiles(["5/16/11", "[[1, 2, 3],", "", *junk, "]"], "array.json")


OFF = ["0/1/0", "0/0/1", "5/32/0", "5/0/32", "5/999999999/0", "28/268435456/0", "29/0/0", "99/0/0"]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "quadkey"])
@pytest.mark.parametrize("off", OFF)
def test_a_tile_off_the_grid_is_refused_with_file_and_line(form: str, off: str) -> None:
    z, x, y = map(int, off.split("/"))
    inside = written(form, [Tile(2**28 - 1, 2**28 - 1, 28)])
    first, *more = written(form, [Tile._make((x, y, z))])
    with pytest.raises(BadOption) as refused:
        parse_tiles([*inside, f"  {first} # here", *more], "list.txt")
    found = re.fullmatch(
        r"list.txt, line (\d+): tile (\S+) does not exist: "
        r"(zooms|columns and rows)(?: of zoom \d+)? run from 0 to (\d+)",
        str(refused.value),
    )
    assert found
    line = len(inside) + (2 if form == "array of one over lines" else 1)  # here it is below its bracket
    last = MAX_ZOOM if z > MAX_ZOOM else 2**z - 1
    assert found.groups() == (str(line), off, "zooms" if z > MAX_ZOOM else "columns and rows", str(last))


@pytest.mark.parametrize("off", ["[-1, 0, 3]", "[0, 0, -1]", f"[0, 0, {'9' * 99}]", f"[{'9' * 99}, 0, 28]"])
def test_numbers_that_no_tile_has_are_off_the_grid(off: str) -> None:
    with pytest.raises(BadOption, match=r"^a, line 1: tile .* does not exist: ") as refused:
        parse_tiles([off], "a")
    assert len(str(refused.value)) < 150


def outcome(given: Iterable[str], many: int = 99) -> TileSets | None:
    """The tiles, or None if the lines are refused."""
    with mock.patch.object(tilelist, "_CHUNK_LINES", many):
        try:
            return parse_tiles(given, "a")
        except BadOption:
            return None


@settings(max_examples=examples(300))
@given(st.lists(st.text(list('0123459/-[]{},:"xyz # \t\r\x1e\ufeff.e'), max_size=20), max_size=4), st.integers(1, 4))
def test_a_line_means_the_same_whatever_stands_around_it(some: list[str], many: int) -> None:
    alone = outcome(some)
    mixed = outcome([*some, "0231", "5/16/11", "5-16-11", "[1, 2, 3]"], many)
    more = listed({mercantile.quadkey_to_tile("0231"), Tile(16, 11, 5), Tile(1, 2, 3)})
    if alone is None:
        assert mixed is None
    else:
        assert mixed == listed({*named(alone), *named(more)})


@settings(max_examples=examples(100))
@given(tile_sets.filter(bool), st.sampled_from(ONE_LINE), st.sampled_from(JUNK), st.integers(1, 40), st.data())
def test_the_line_of_an_error_is_counted_over_all_that_is_read(
    tiles: set[Tile], form: str, junk: str, many: int, data: st.DataObject
) -> None:
    some = written(form, tiles)
    place = data.draw(st.integers(0, len(some)))
    with (
        mock.patch.object(tilelist, "_CHUNK_LINES", many),
        pytest.raises(BadOption, match=f"^a, line {place + 1}: .* is not a tile"),
    ):
        parse_tiles([*some[:place], junk, *some[place:]], "a")


def test_many_tiles_are_as_large_as_their_edge_is_long() -> None:
    side = 256
    many = (f"18/{x}/{y}" for x in range(1024, 1024 + side) for y in range(2048, 2048 + side))
    made = parse_tiles(many, "many.txt")
    assert len(made) == side**2
    assert len(made.at(18).starts) == 1
    (region,) = regions(replace(GLOBE, maxzoom=18), Selection((18,), tiles=made))
    assert region.total() == Count(side**2, (side // LEAF) ** 2)
    assert sum(len(block_mask) for block_mask in region.block_masks()) == side**2


# selections with a list


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """A layer, and a selection of it with a list: of selected tiles, of tiles nearby, of any tiles."""
    layer, selection = draw(asked())
    z = draw(st.sampled_from(selection.zooms))
    inside = sorted(wanted(layer, selection.boxes, z)) or [Tile(x=0, y=0, z=z)]
    near = strategies.tiles(layer.maxzoom)
    some = draw(st.sets(st.sampled_from(inside), max_size=40)) | draw(st.sets(near, max_size=20))
    if draw(st.booleans()):
        some |= set(inside)
    return layer, replace(selection, tiles=listed(some))


@given(questions(), st.sampled_from([(LEAF,), (LEAF, 64, 512), ANY_SIZE]))
def test_a_list_selects_what_is_listed_and_would_have_been_selected_anyway(
    question: Question, sizes: Container[int]
) -> None:
    layer, selection = question
    assert selection.tiles is not None
    mine = set(named(selection.tiles))
    for region in regions(layer, selection):
        block_masks = list(region.block_masks(sizes))
        found = [tile for block_mask in block_masks for tile in tiles_of(block_mask)]
        assert len(found) == len(set(found))
        assert set(found) == mine & wanted(layer, selection.boxes, region.z)
        assert all(
            block_mask.tiles and block_mask.tiles & ~block_mask.block.full == 0
            for block_mask in block_masks
            if block_mask.block.size == LEAF
        )


@given(questions())
def test_listed_blocks_follow_the_z_curve_once_each_as_many_as_the_total_says(question: Question) -> None:
    found = list(regions(*question))
    assert [region.z for region in found] == list(question[1].zooms)
    for region in found:
        block_masks = list(region.block_masks())
        order = [z_order(block_mask.block) for block_mask in block_masks]
        assert order == sorted(set(order))
        assert region.total() == Count(sum(map(len, block_masks)), len(block_masks))


@settings(max_examples=examples(25))
@given(asked())
def test_a_list_of_all_that_is_selected_changes_nothing(question: Question) -> None:
    layer, selection = question
    plain = list(regions(layer, selection))
    everything = {tile for region in plain for block_mask in region.block_masks() for tile in tiles_of(block_mask)}
    assert list(regions(layer, replace(selection, tiles=listed(everything)))) == plain


@settings(max_examples=examples(30))
@given(questions() | asked())
def test_the_tiles_of_a_region_are_numbered_along_its_pieces(question: Question) -> None:
    for region in regions(*question):
        numbered = [block_mask for block_mask in region.block_masks() for _ in range(len(block_mask))]
        assert [region.block_mask_of(number) for number in range(region.total().tiles)] == numbered


@settings(max_examples=examples(40))
@given(questions() | asked())
def test_strips_part_the_pieces_by_their_columns(question: Question) -> None:
    for region in regions(*question):
        strips = list(region.strips())
        columns = [x for x, _ in strips]
        assert columns == sorted(set(columns))
        for x, strip in strips:
            assert x % LEAF == 0
            assert strip.z == region.z
            assert {block_mask.block.x for block_mask in strip.block_masks()} <= {x}
            assert list(strip.block_masks()) == [
                block_mask for block_mask in region.block_masks() if block_mask.block.x == x
            ]
        assert sum(strip.total().tiles for _, strip in strips) == region.total().tiles
        assert sum(strip.total().blocks for _, strip in strips) == region.total().blocks


def test_zooms_of_a_list_that_are_not_selected_are_left_out() -> None:
    tiles = listed({Tile(x=1, y=1, z=4), Tile(x=1, y=1, z=5), Tile(x=1, y=1, z=6)})
    found = list(regions(GLOBE, Selection((4, 6, 7), tiles=tiles)))
    assert [(region.z, region.total().tiles) for region in found] == [(4, 1), (6, 1), (7, 0)]
    assert list(found[2].block_masks()) == []
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


# in the ledger


SPEC = Spec(
    "relief", "9f2c", Selection((4, 5), tiles=listed({Tile(x=3, y=1, z=4), Tile(x=2, y=2, z=5)})), TileVariant()
)


@given(tile_sets, st.data())
def test_a_job_with_a_list_survives_the_ledger(tiles: set[Tile], data: st.DataObject) -> None:
    spec = data.draw(specs())
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
    again = replace(SPEC, selection=Selection((4, 5), tiles=parse_tiles(lines, "again.txt")))
    assert unfinished(ledger, again) == job
    less = replace(SPEC, selection=Selection((4, 5), tiles=parse_tiles(lines[:1], "less.txt")))
    assert unfinished(ledger, less) is None


@pytest.mark.parametrize("junk", [b"", b"5/2/2\n", b"PK\x03\x04", b"\xff\xfe"])
def test_a_job_whose_list_is_spoilt_is_refused(junk: bytes) -> None:
    ledger = open_store(f"memory://{uuid4().hex}")
    job = Job.new(SPEC, NOON)
    put_job(ledger, job)
    ledger.put(f"jobs/{job.id}/tiles.npz", junk, content_type="application/zip")
    with pytest.raises(MessageError):
        load_job(ledger, job.id)


# the command


def seed(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.main, ["seed", "alps", "--jobs", "1", *words], input=Stdin(stdin.encode()))


class Stdin(io.BytesIO):
    """Standard input with a name."""

    name = "<stdin>"


def made(data: Path) -> set[str]:
    """The stored tiles."""
    return {str(path.relative_to(data / "tiles/alps")) for path in data.glob("tiles/alps/*/*/*.png")}


def test_a_list_is_seeded_but_for_tiles_that_the_layer_lacks(alps_copy: Path) -> None:
    lines = "6/33/22\n9/264/182 # a comment\n\n6/0/0\n12/1/1\n6/33/22\n"
    result = seed("--tiles", "-", "--json", stdin=lines)
    assert (result.exit_code, json.loads(result.stdout)["written"]) == (0, 2)
    assert "2 of 4 listed tiles are left out: outside the layer" in result.stderr
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
        ("", 0, "the list is empty: nothing to do"),
        ("# nothing\n\n", 0, "the list is empty: nothing to do"),
        ("6/33/22\n\n6/33\n", 2, "<stdin>, line 3: '6/33' is not a tile: write z/x/y"),
        ("6/33/22\n6/64/0\n", 2, "<stdin>, line 2: tile 6/64/0 does not exist"),
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
