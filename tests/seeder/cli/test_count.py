"""Tiles are counted exactly and listed for other tools; the options mean the same tiles for every command."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
import mercantile
import pytest
from click.testing import CliRunner
from mercantile import Tile
from mercantile.scripts import cli as mercantile_cli
from pmtiles.tile import zxy_to_tileid
from supermercado.scripts.cli import cli as supermercado_cli

from seeder.cli import main as cli
from tests.support.commands import Tiles, complaint, geojson, listed, said, seeder, together
from tests.support.layer_strategies import GLOBE
from tests.support.oracle import files_under
from tests.support.queues import MakeQueue, emptied, taken, working
from tiler.grid import Block
from tiler.keys import parse_tile_key
from tiler.layers.publication import publish
from tiler.settings import Settings
from tiler.storage.store import Stores

TRIANGLE = {"type": "Polygon", "coordinates": [[[5.61, 45.33], [8.47, 45.82], [6.29, 47.44], [5.61, 45.33]]]}
ROAD = {"type": "LineString", "coordinates": [[5.33, 45.21], [6.87, 46.03], [8.71, 47.79]]}
LOG = "".join(
    f'192.0.2.7 - - [01/Mar/2025:12:00:00 +0000] "GET /alps/{tile}.png HTTP/1.1" 200 99\n'
    for tile, times in (("8/133/91", 70), ("8/132/90", 20), ("7/65/45", 8), ("9/264/182", 1), ("12/1/1", 50))
    for _ in range(times)
)
FILES = {
    "triangle.json": json.dumps(TRIANGLE),
    "road.json": geojson(ROAD),
    "list.txt": "6/33/22\n7-65-45\n120203\n",
    "access.log": LOG,
}
SAMPLES = {
    "zooms": ("--zooms", "3,5-7"),
    "boxes": ("--zooms", "5-8", "--bbox", "5.7,45.3,6.1,45.6", "--bbox", "8.2,47.1,8.9,47.8"),
    "polygon": ("--zooms", "4-8", "--geojson", "triangle.json"),
    "buffered line": ("--zooms", "8", "--geojson", "road.json", "--buffer", "9000"),
    "circle": ("--zooms", "6-8", "--around", "7.6586,45.9763", "--radius", "40"),
    "areas": ("--area", "0-6=world", "--area", "7=6.1,45.2,7.3,46.4", "--area", "8=triangle.json"),
    "list": ("--tiles", "list.txt"),
    "expanded list": ("--tiles", "list.txt", "--expand", "5-8"),
    "what is left": ("--zooms", "7-8", "--exclude", "list.txt", "--exclude", "triangle.json"),
    "top": ("--traffic", "access.log", "--top", "2"),
    "share": ("--traffic", "access.log", "--share", "95%", "--geojson", "triangle.json"),
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files of every kind."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def warm_alps(alps_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all tiles of `alps` stored; to be copied."""
    data = Path(shutil.copytree(alps_data, tmp_path_factory.mktemp("warm") / "data"))
    done = seeder("seed", "alps", "--data", data, "--jobs", 1)
    assert done.exit_code == 0, done.output
    return data


def stored(data: Path, ending: str = "") -> Tiles:
    """The tiles in a data folder, optionally only keys with this suffix."""
    names = (str(path.relative_to(data / "tiles")) for path in data.glob("tiles/alps/*/*/*.*"))
    return {parse_tile_key(name).tile for name in names if name.endswith(ending)}


def exported(folder: Path) -> Tiles:
    """The tiles in an exported folder."""
    names = (path.relative_to(folder).parts for path in folder.glob("*/*/*.*"))
    return {Tile(z=int(z), x=int(x), y=int(re.split("[@.]", name)[0])) for z, x, name in names}


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_command_means_the_same_tiles(sample: str, alps_copy: Path, warm_alps: Path) -> None:
    where, variant = SAMPLES[sample], ("--scale", "2", "--format", "webp") if sample == "polygon" else ()
    words = ("alps", *where, *variant)
    wanted = listed(*words)
    assert 0 < len(wanted) < len(stored(warm_alps))
    assert said(seeder("count", *words, "--json"))["tiles"] == len(wanted)
    if sample in ("polygon", "top"):  # renders a sample, which takes as long as all other commands
        assert said(seeder("seed", *words, "--dry-run", "--jobs", 1, "--json"))["tiles"] == len(wanted)
    assert not stored(alps_copy)
    before = seeder("verify", *words)
    assert (before.exit_code, len(before.stdout.splitlines())) == (1, len(wanted))
    assert said(seeder("seed", *words, "--jobs", 1, "--json"))["written"] == len(wanted)
    assert stored(alps_copy) == stored(alps_copy, "@2x.webp" if variant else ".png") == wanted
    after = seeder("verify", *words)
    assert (after.exit_code, after.stdout) == (0, "")
    shutil.copytree(warm_alps / "tiles", alps_copy / "tiles", dirs_exist_ok=True)
    assert said(seeder("export", words[0], "out", *words[1:], "--json"))["tiles"] == len(wanted)
    assert exported(Path("out")) == wanted
    removed = said(seeder("invalidate", "alps", *where, "--yes", "--json"))["removed"]
    assert removed == len(wanted) * (2 if variant else 1), "it takes those of every scale and format"
    assert stored(alps_copy) == stored(warm_alps) - wanted


@pytest.mark.usefixtures("files", "alps_copy")
def test_a_file_may_come_from_standard_input() -> None:
    for option, name in (("--geojson", "triangle.json"), ("--tiles", "list.txt"), ("--exclude", "road.json")):
        words = ("alps", "--zooms", "5-8")
        assert listed(*words, option, "-", stdin=FILES[name]) == listed(*words, option, name)
        assert listed(*words, option, "-", stdin="\ufeff" + FILES[name]) == listed(*words, option, name)
    top = ("alps", "--top", "3", "--traffic")
    assert listed(*top, "-", stdin=LOG) == listed(*top, "access.log")


@pytest.mark.usefixtures("files", "alps_copy")
@pytest.mark.parametrize(
    ("options", "zooms", "served", "every"),
    [
        (("--top", "1"), "0-9", 70, 99),
        (("--top", "2"), "0-9", 90, 99),
        (("--share", "90.9%"), "0-9", 90, 99),
        (("--share", "91%"), "0-9", 98, 99),
        (("--share", "100%"), "0-9", 99, 99),
        (("--top", "1"), "7", 8, 8),
        (("--top", "9", "--tiles", "list.txt"), "7-8", 8, 98),
    ],
)
def test_traffic_tells_what_share_would_have_been_served(
    options: tuple[str, ...], zooms: str, served: int, every: int
) -> None:
    result = seeder("count", "alps", "--zooms", zooms, "--traffic", "access.log", *options, "--json")
    number = said(result)["tiles"]
    (line,) = [line for line in result.stderr.splitlines() if "would have served" in line]
    assert line.startswith(f"{number} tile")
    assert f"would have served {served} of {every} requests" in line
    assert f"({served / every:.1%})" in line


@pytest.mark.usefixtures("files", "alps_copy")
def test_logs_add_up() -> None:
    lines = LOG.splitlines(keepends=True)
    Path("even.log").write_text("".join(lines[::2]))
    Path("odd.log").write_text("".join(lines[1::2]))
    for choice in (("--top", "2"), ("--share", "95%"), ("--share", "100%")):
        parts = listed("alps", *choice, "--traffic", "even.log", "--traffic", "odd.log")
        assert parts == listed("alps", *choice, "--traffic", "access.log")


# Errors


APART = {
    "--buffer needs --shapes": ("--buffer", "5"),
    "--radius needs --around": ("--radius", "5"),
    "--around needs --radius": ("--around", "7,46"),
    "--expand needs --tiles": ("--expand", "5-8"),
    "--top needs --traffic": ("--top", "3"),
    "--share needs --traffic": ("--share", "50%"),
    "--traffic needs --top N or --share": ("--traffic", "access.log"),
    "--traffic needs --top N or": ("--traffic", "access.log", "--top", "3", "--share", "50%"),
    "give one of them": ("--missing", "--existing"),
}
WRONG = {
    "--area '9': write ZOOMS=world": ("--area", "9"),
    "'' is not a zoom range": ("--area", "=world"),
    "nowhere.json cannot be read": ("--area", "9=nowhere.json"),
    "nowhere.json': No such file": ("--geojson", "nowhere.json"),
    "covers these --zooms": ("--area", "0-4=world", "--zooms", "5-7"),
    "has zooms 0-9, not 10, 11": ("--area", "8-11=world"),
    "list.txt, line 1: 6 is not GeoJSON": ("--geojson", "list.txt"),
    "road.json, line 1: GeoJSON is not a list of tiles": ("--tiles", "road.json"),
    "'1 km' is not": ("--radius", "1 km", "--around", "7,46"),
    "'7' is not a place": ("--around", "7", "--radius", "1"),
    "--radius: 20000 km is out of range": ("--around", "7,46", "--radius", "20000"),
    "0.5% or 50": ("--traffic", "access.log", "--share", "0.5"),
    "none.log: No such file": ("--traffic", "none.log", "--top", "1"),
    "road.json: no request found in 1 line: give": ("--traffic", "road.json", "--top", "1"),
    "no tile of layer 'alps' is selected": ("--bbox", "20,45,21,46"),
    "no tile of layer 'alps' is": ("--geojson", "far.json", "--zooms", "6-9"),
    "standard input": ("--tiles", "-", "--exclude", "-"),
}
COMMANDS = ("count", "list", "seed", "verify", "invalidate", "export")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("says", [*APART, *WRONG])
def test_what_cannot_be_is_one_line_and_changes_nothing(says: str, alps_copy: Path) -> None:
    point = {"type": "Point", "coordinates": [20, 45]}
    Path("far.json").write_text(json.dumps(point))
    (alps_copy / "tiles/alps/5/16").mkdir(parents=True)
    (alps_copy / "tiles/alps/5/16/11.png").write_bytes(b"tile")
    before = files_under(alps_copy)
    words = (APART | WRONG)[says]
    for command in COMMANDS if says in APART else COMMANDS[:3]:
        result = seeder(command, "alps", *["out"][: command == "export"], *words, stdin="6/33/22\n")
        assert says in complaint(result)
    assert files_under(alps_copy) == before
    assert not Path("out").exists()


def test_every_command_has_the_same_options() -> None:
    own = {
        name: {option for each in cli.main.commands[name].params for option in each.opts if option.startswith("--")}
        for name in COMMANDS
    }
    shared = {word for sample in SAMPLES.values() for word in sample if word.startswith("--")}
    shared |= {option for words in APART.values() for option in words if option.startswith("--")} | {"--footprint"}
    for name in COMMANDS:
        assert shared <= own[name], name
        assert ({"--scale", "--format"} <= own[name]) is (name != "invalidate")


# Jobs


@pytest.mark.usefixtures("files")
def test_a_polygon_cut_off_is_one_job_until_its_last_tile(make_queue: MakeQueue, alps_copy: Path) -> None:
    queue = make_queue()
    words = ("alps", "--zooms", "7-9", "--geojson", "triangle.json")
    wanted = listed(*words)
    sent = said(seeder("seed", *words, "--queue", queue.url, "--json"))
    assert sent["tiles"] == len(wanted)
    lost = taken(queue)
    assert together(message.request.block.tiles(message.request.tiles) for message in lost) == wanted
    queue.send(lost[:1])
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        emptied(queue)
    made = stored(alps_copy)
    assert set() < made < wanted
    ring = TRIANGLE["coordinates"][0]
    Path("again.json").write_text(geojson({"type": "MultiPolygon", "coordinates": [[ring[::-1]]]}))
    again = said(seeder("seed", "alps", "--zooms", "7-9", "--geojson", "again.json", "--queue", queue.url, "--json"))
    assert (again["job"], again["tiles"]) == (sent["job"], len(wanted))
    assert together(message.request.block.tiles(message.request.tiles) for message in taken(queue)) == wanted - made
    state = json.loads(seeder("status", sent["job"], "--json").stdout)
    assert (state["job"], state["tiles"]) == (sent["job"], len(wanted))
    for name in FILES:
        Path(name).unlink()
    done = said(seeder("resume", sent["job"], "--queue", "local", "--jobs", 1, "--json"))
    assert (done["job"], done["written"], done["failed"]) == (sent["job"], len(wanted), 0)
    assert stored(alps_copy) == wanted
    assert json.loads(seeder("status", sent["job"], "--json").stdout)["state"] == "done"


# Output of other tools


def tool(command: click.Command, *words: object, stdin: str) -> str:
    """The output of mercantile or supermercado."""
    result = CliRunner().invoke(command, [*map(str, words)], input=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(text: str) -> Tiles:
    """Tiles in the form of mercantile and supermercado."""
    return {Tile(*json.loads(line)) for line in text.splitlines()}


@pytest.mark.usefixtures("files", "alps_copy")
def test_a_list_in_json_goes_through_mercantile_and_back() -> None:
    words = ("alps", "--zooms", "7-8", "--geojson", "triangle.json")
    wanted = listed(*words)
    out = seeder("list", *words, "--json").stdout
    assert rows(out) == wanted
    shapes = [json.loads(line) for line in tool(mercantile_cli, "shapes", stdin=out).splitlines()]
    assert {tuple(map(int, re.findall(r"\d+", shape["id"]))) for shape in shapes} == {tuple(tile) for tile in wanted}
    parents = tool(mercantile_cli, "parent", "--depth", 2, stdin=out)
    low = {mercantile.parent(tile, zoom=tile.z - 2) for tile in wanted}
    assert listed("alps", "--tiles", "-", stdin=parents) == low
    children = tool(mercantile_cli, "children", stdin=out)
    assert listed("alps", "--tiles", "-", "--zooms", "9", stdin=children) == listed(
        "alps", "--tiles", "-", "--expand", "9", stdin="\n".join(f"8/{t.x}/{t.y}" for t in wanted if t.z == 8)
    )


@pytest.mark.filterwarnings("ignore:Sequences of Features:FutureWarning")  # from cligj, which supermercado uses
@pytest.mark.usefixtures("files", "alps_copy")
def test_a_list_in_json_goes_through_supermercado_and_back() -> None:
    words = ("alps", "--zooms", "9", "--geojson", "triangle.json")
    wanted, out = listed(*words), seeder("list", *words, "--json").stdout
    burnt = tool(supermercado_cli, "burn", 9, stdin=geojson(TRIANGLE))
    assert listed("alps", "--tiles", "-", stdin=burnt) == wanted == rows(burnt)
    union = tool(supermercado_cli, "union", stdin=out)
    assert listed("alps", "--zooms", "9", "--geojson", "-", stdin=union) == wanted
    edges = rows(tool(supermercado_cli, "edges", stdin=out))
    inner = {tile for tile in wanted if {*mercantile.neighbors(tile)} <= wanted}
    assert edges == wanted - inner


@pytest.mark.usefixtures("alps_copy")
def test_a_box_is_what_mercantile_lists() -> None:
    box = "[6.1, 45.7, 8.3, 47.2]"
    found = tool(mercantile_cli, "tiles", 9, stdin=box)
    assert listed("alps", "--zooms", "9", "--bbox", box.strip("[]")) == rows(found)


@pytest.mark.usefixtures("files", "alps_copy")
def test_what_verify_prints_can_be_counted_and_listed_again() -> None:
    words = ("alps", "--zooms", "5-8", "--geojson", "road.json")
    gaps = seeder("verify", *words).stdout
    assert listed("alps", "--tiles", "-", stdin=gaps) == listed(*words)
    assert said(seeder("count", "alps", "--tiles", "-", "--json", stdin=gaps))["tiles"] == len(gaps.splitlines())


# Output


def test_counts_are_json_and_a_table(alps_copy: Path) -> None:
    wanted = {z: len(set(mercantile.tiles(5, 45, 9, 48, z))) for z in range(4, 9)}
    found = said(seeder("count", "alps", "--zooms", "4-8", "--json"))
    assert found == {"tiles": sum(wanted.values()), "by_zoom": {str(z): number for z, number in wanted.items()}}
    assert list(found["by_zoom"]) == ["4", "5", "6", "7", "8"]
    _, _, *lines = (line.split() for line in seeder("count", "alps", "--zooms", "4-8").stdout.splitlines())
    blocks = {z: len({Block.of(tile) for tile in mercantile.tiles(5, 45, 9, 48, z)}) for z in wanted}
    every = ["all", str(sum(wanted.values())), str(sum(blocks.values()))]
    assert lines == [*([str(z), str(wanted[z]), str(blocks[z])] for z in wanted), every]
    assert files_under(alps_copy) == files_under(alps_copy)


def test_a_count_is_exact_however_many_tiles_there_are(tmp_path: Path) -> None:
    publish(replace(GLOBE, maxzoom=24), Stores.open(Settings.from_env({}, data=str(tmp_path)), create=True))
    words = ("globe", "--data", tmp_path, "--json")
    assert said(seeder("count", *words, "--zooms", "0-24"))["tiles"] == (4**25 - 1) // 3
    west, south, east, north = 5.96, 45.82, 10.49, 47.81
    found = said(seeder("count", *words, "--zooms", "20", "--bbox", f"{west},{south},{east},{north}"))
    first, last = mercantile.tile(west, north, 20), mercantile.tile(east, south, 20)
    assert found == {"tiles": (number := (last.x - first.x + 1) * (last.y - first.y + 1)), "by_zoom": {"20": number}}
    square = {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, north]]]}
    assert said(seeder("count", *words, "--zooms", "20", "--geojson", "-", stdin=json.dumps(square))) == found
    (tmp_path / "square.json").write_text(json.dumps(square))
    rest = said(seeder("count", *words, "--zooms", "20", "--exclude", tmp_path / "square.json"))["tiles"]
    rim = 2 * (last.x - first.x + last.y - first.y)
    assert rest == 4**20 - number + rim, "a tile that the polygon's rim runs through is not inside"


@pytest.mark.usefixtures("alps_copy")
@pytest.mark.parametrize("order", ["zoom", "hilbert", "near:8.93,45.07"])
def test_a_list_has_the_same_tiles_in_any_order(order: str) -> None:
    words = ("alps", "--zooms", "3-9")
    plain = seeder("list", *words).stdout.splitlines()
    lines = seeder("list", *words, "--order", order).stdout.splitlines()
    found = [Tile(z=int(z), x=int(x), y=int(y)) for z, x, y in (line.split("/") for line in lines)]
    assert Counter(lines) == Counter(plain)
    blocks = list(dict.fromkeys(map(Block.of, found)))
    if order == "hilbert":
        assert blocks == sorted(blocks, key=lambda block: zxy_to_tileid(block.z, block.x, block.y))
        assert lines != plain
    elif order == "zoom":
        assert lines == plain == sorted(plain, key=lambda line: int(line.split("/")[0]))
    else:
        assert lines != plain
        place = mercantile.tile(8.93, 45.07, 9)
        assert next(block for block in blocks if block.z == 9) == Block.of(place)
    as_json = seeder("list", *words, "--order", order, "--json").stdout.splitlines()
    assert [tuple(json.loads(line)) for line in as_json] == [tuple(tile) for tile in found]
