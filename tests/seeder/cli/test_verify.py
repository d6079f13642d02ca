"""`verify`: findings for a rendered layer in every store; `seed --tiles` repairs exactly these."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seeder.cache.audit import Audit, sampled
from seeder.cache.deep import TOLERANCE, _alike, deep_findings
from seeder.cache.prepare_job import prepare
from seeder.cli import main as cli
from seeder.select.selection import Selection
from seeder.select.tilelist import parse_tiles
from seeder.select.tileset import TileSets
from seeder.workers.local_pool import LocalPool
from tests.support.audited import PNG, Told, everything, key_of, listed, put, told
from tests.support.effort import examples
from tests.support.layers import silent
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.selections import wanted
from tests.support.site import memory
from tiler.grid import LEAF
from tiler.image.encode import blank_tile, decode
from tiler.image.style import Pixels
from tiler.ingest.ingest import ingest
from tiler.keys import CONTENT_TYPES, Format, Scale
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.settings import S3, Settings
from tiler.storage.store import Store, Stores, open_store


@dataclass(frozen=True)
class Reef:
    """A seeded layer with holes: its folder, its private store, its tiles by key.

    Zooms 0 to 6; the last is past the raster's own, and only rendering shows which of its tiles are empty.
    """

    folder: Path
    layer: Layer
    sources: Store
    tiles: dict[str, bytes]

    def on(self, tiles: Store) -> Stores:
        """The reef on a tile store, filled with its tiles."""
        put(tiles, self.tiles)
        return Stores(tiles, self.sources, "http://tiles.test")

    def empty(self) -> list[str]:
        """The keys of planned empty tiles."""
        planned = {key_of(self.layer, tile) for z in range(7) for tile in wanted(self.layer, (), z)}
        return sorted(planned - self.tiles.keys())

    def looked(self, tiles: Store, *zooms: int, named: TileSets | None = None) -> Told:
        """The findings of a deep check of some zooms, or of `named`, without those of a listing."""
        where = Settings(tiles.url, self.sources.url, s3=tiles.s3)
        audit = Audit.of(self.layer, Selection(zooms, tiles=named), PNG, Stores(tiles, self.sources, ""))
        return told(deep_findings(audit, sampled(audit, None), where, jobs=1, progress=lambda _: None))


@pytest.fixture(scope="session")
def reef(tmp_path_factory: pytest.TempPathFactory) -> Reef:
    """The layer `reef`."""
    folder = tmp_path_factory.mktemp("reef")
    values = scene(560, 720)
    for rows, columns in (
        (slice(80, 240), slice(120, 320)),
        (slice(360, 560), slice(480, 720)),
        (slice(270, 300), ...),
    ):
        values[:, rows, columns] = 0
    path = write_raster(folder / "reef.tif", Recipe(values=values, bounds=(-20.0, -15.0, 25.0, 20.0), nodata=0))
    where = Settings.from_env({}, data=str(folder / "data"))
    stores = Stores.open(where, create=True)
    layer = ingest(str(path), "reef", Options(max_zoom=6), stores, jobs=1, progress=silent).layer
    plan = prepare(layer, everything(layer), PNG, force=False, stores=stores)
    LocalPool(where, 1, lambda _: None).send(plan.messages((LEAF,)))
    root = folder / "data" / "tiles"
    tiles = {str(tile.relative_to(root)): tile.read_bytes() for tile in root.rglob("*.png")}
    return Reef(folder / "data", layer, stores.sources, tiles)


# findings of a deep check


def saved(pixels: Pixels, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert("RGB") if form == "JPEG" else image).save(out, form, **options)
    return out.getvalue()


def lighter(pixels: Pixels, by: int, where: Any = ...) -> Pixels:
    """Change the red of some pixels by an amount, downwards where they are too bright."""
    red = pixels[..., 0].astype(int)
    red[where] = np.where(red + by < 256, red + by, red - by)[where]
    return np.dstack((red.astype(np.uint8), pixels[..., 1:]))


def veiled(pixels: Pixels, alpha: int) -> Pixels:
    """Limit the opacity of all pixels."""
    return np.dstack((pixels[..., :3], np.minimum(pixels[..., 3], alpha)))


def hidden_red(pixels: Pixels) -> Pixels:
    """Red in invisible pixels."""
    return np.where(pixels[..., 3:] > 0, pixels, np.array([255, 0, 0, 0], np.uint8))


def dot(pixels: Pixels) -> tuple[Any, ...]:
    """One visible pixel."""
    return tuple(np.argwhere(pixels[..., 3] == 255)[0])


def vast(side: int) -> bytes:
    """A PNG of a few bytes with a very large declared size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {  # change, and finding of a deep check
    "cut short": (lambda data: data[: len(data) // 2], "damaged"),
    "the head only": (lambda data: data[:20], "damaged"),
    "text": (lambda _: b"<Error><Code>AccessDenied</Code></Error>", "damaged"),
    "zeros": (lambda data: bytes(len(data)), "damaged"),
    "turned bits": (lambda data: data[:60] + bytes(each ^ 255 for each in data[60:]), "damaged"),
    "larger than any picture": (lambda _: vast(60_000), "damaged or wrong type"),
    "blank": (lambda _: blank_tile(256, "png"), "differs"),
    "no bytes": (lambda _: b"", ""),  # found by listing
}
PAINTED: dict[str, tuple[Callable[[Pixels], bytes], str]] = {
    "a JPEG": (lambda pixels: saved(pixels, "JPEG"), "wrong type"),
    "a WebP": (lambda pixels: saved(pixels, "WEBP", lossless=True), "wrong type"),
    "a GIF": (lambda pixels: saved(pixels, "GIF"), "wrong type or damaged"),
    "twice as large": (lambda pixels: saved(pixels.repeat(2, 0).repeat(2, 1)), "wrong type"),
    "not square": (lambda pixels: saved(pixels[1:]), "wrong type"),
    "too light": (lambda pixels: saved(lighter(pixels, TOLERANCE + 1)), "differs"),
    "one pixel": (lambda pixels: saved(lighter(pixels, TOLERANCE + 1, dot(pixels))), "differs"),
    "half hidden": (lambda pixels: saved(veiled(pixels, 254 - TOLERANCE)), "differs"),
    "upside down": (lambda pixels: saved(pixels[::-1]), "differs"),
    "hardly lighter": (lambda pixels: saved(lighter(pixels, TOLERANCE)), ""),
    "hardly one pixel": (lambda pixels: saved(lighter(pixels, TOLERANCE, dot(pixels))), ""),
    "hardly hidden": (lambda pixels: saved(veiled(pixels, 255 - TOLERANCE)), ""),
    "by another encoder": (lambda pixels: saved(pixels, compress_level=1), ""),
    "colours that nobody sees": (lambda pixels: saved(hidden_red(pixels)), ""),
}


def changed(data: bytes, kind: str) -> bytes:
    """The changed bytes of a tile."""
    return SPOILT[kind][0](data) if kind in SPOILT else PAINTED[kind][0](decode(data)[1])


def verdict(kind: str) -> str:
    return (SPOILT | PAINTED)[kind][1]


@pytest.mark.parametrize("kind", [*SPOILT, *PAINTED])
def test_a_deep_look_tells_what_became_of_a_tile(kind: str, reef: Reef) -> None:
    key = "reef/3/3/3.png"
    tiles = reef.on(memory()).tiles
    put(tiles, {key: changed(reef.tiles[key], kind)})
    found = reef.looked(tiles, 3)
    assert [each for each, _ in found] == ([key] if verdict(kind) else [])
    assert all(said in verdict(kind) for _, said in found)


SURE = sorted(kind for kind in (*SPOILT, *PAINTED) if " or " not in verdict(kind))


@settings(max_examples=examples(25))
@given(st.data())
def test_what_was_removed_and_spoilt_is_found_and_nothing_else(reef: Reef, data: st.DataObject) -> None:
    zooms = (2, 3, 4)
    some = sorted(key for key in reef.tiles if int(key.split("/")[1]) in zooms)
    edits = data.draw(st.dictionaries(st.sampled_from(some), st.sampled_from([*SURE, "removed"]), max_size=5))
    tiles = reef.on(memory()).tiles
    tiles.delete(key for key, kind in edits.items() if kind == "removed")
    put(tiles, {key: changed(reef.tiles[key], kind) for key, kind in edits.items() if kind != "removed"})
    deep = {key: "" if kind == "removed" else verdict(kind) for key, kind in edits.items()}
    assert reef.looked(tiles, *zooms) == sorted(pair for pair in deep.items() if pair[1])
    flat = {key: {"removed": "missing", "no bytes": "no bytes"}.get(kind, "") for key, kind in edits.items()}
    audit = Audit.of(reef.layer, Selection(zooms), PNG, Stores(tiles, reef.sources, ""))
    assert listed(audit) == sorted(pair for pair in flat.items() if pair[1])


@settings(max_examples=examples(60))
@given(st.data())
def test_whatever_bytes_are_stored_a_deep_look_goes_on(reef: Reef, data: st.DataObject) -> None:
    key = "reef/1/0/0.png"
    start = data.draw(
        st.sampled_from([reef.tiles[key], *(changed(reef.tiles[key], f"a {form}") for form in ("JPEG", "WebP"))])
    )
    torn = bytearray(start[: data.draw(st.integers(0, len(start)))] + data.draw(st.binary(max_size=40)))
    for place, value in data.draw(st.dictionaries(st.integers(0, 99), st.integers(0, 255), max_size=4)).items():
        torn[place : place + 1] = bytes([value])
    tiles = memory()
    put(tiles, {key: bytes(torn)})
    assert [each for each, _ in reef.looked(tiles, 1)] in ([], [key])


def test_black_is_told_from_nothing() -> None:
    black = np.full((1, 1, 4), (0, 0, 0, 255), np.uint8)
    assert _alike(black, black)
    assert not _alike(black, np.zeros_like(black))


def line_of(key: str) -> str:
    """A tile's key as a line of a list."""
    return key.removeprefix("reef/").removesuffix(".png")


def test_a_tile_on_which_there_is_nothing_may_be_missing_or_blank(reef: Reef) -> None:
    first, second, third, *_ = reef.empty()
    tiles = reef.on(memory()).tiles
    put(tiles, {first: blank_tile(256, "png"), second: reef.tiles["reef/3/3/3.png"], third: b"\x89PNG"})
    named = parse_tiles(map(line_of, reef.empty()), "holes")
    assert reef.looked(tiles, 6, named=named) == sorted([(second, "differs"), (third, "damaged")])


@pytest.mark.parametrize(("scale", "form"), [(1, "jpg"), (2, "webp"), (2, "png")])
def test_each_look_is_held_against_its_own_render(scale: Scale, form: Format, reef: Reef) -> None:
    variant, selection = TileVariant(scale, form), Selection((1,))
    stores = Stores(memory(), reef.sources, "http://tiles.test")
    where = Settings(stores.tiles.url, stores.sources.url)
    plan = prepare(reef.layer, selection, variant, force=True, stores=stores)
    LocalPool(where, 1, lambda _: None).send(plan.messages((LEAF,)))
    audit = Audit.of(reef.layer, selection, variant, stores)
    key, good = next((entry.key, stores.tiles.get(entry.key)) for entry in stores.tiles.list("reef/1/"))
    own, other = {"png": ("PNG", "WEBP"), "webp": ("WEBP", "JPEG"), "jpg": ("JPEG", "PNG")}[form]
    grey = np.full((variant.size, variant.size, 4), 99, np.uint8)
    for data, problem in (
        (good, []),
        (saved(decode(good)[1], other), ["wrong type"]),
        (good[:40], ["damaged"]),
        (saved(grey, own), ["differs"]),
        (reef.tiles["reef/3/3/3.png"], ["wrong type"]),
    ):
        put(stores.tiles, {key: data}, CONTENT_TYPES[form])
        found = told(deep_findings(audit, sampled(audit, None), where, jobs=1, progress=lambda _: None))
        assert [said for _, said in found] == problem


@pytest.fixture
def reached(store: Store, request: pytest.FixtureRequest) -> Store:
    """The store with the address of its server, for other processes."""
    return replace(store, s3=S3(request.getfixturevalue("s3_server"), "us-east-1")) if store.ordered else store


def test_every_store_tells_the_same(reef: Reef, reached: Store) -> None:
    stores = reef.on(reached)
    assert listed(Audit.of(reef.layer, everything(reef.layer), PNG, stores)) == []
    removed = ["reef/0/0/0.png", "reef/6/31/31.png", "reef/6/32/33.png"]
    stray = ["5/3/4.png", "5/17/30.png", "5/17/notes.txt", "5/old/a/b.txt", "5/notes.txt", "7/60/60.png", "old/1.png"]
    ignored = ["reef/5/17/15@2x.png", "reef/5/17/15.webp", "reef-2/5/17/15.png", "reef2/5/3/4.png", "reef/index.html"]
    spoilt = {"reef/4/7/7.png": "cut short", "reef/4/8/8.png": "one pixel", "reef/3/4/3.png": "a JPEG"}
    put(stores.tiles, {key: changed(reef.tiles[key], kind) for key, kind in spoilt.items()})
    put(stores.tiles, dict.fromkeys([*(f"reef/{name}" for name in stray), *ignored], b"stale"))
    put(stores.tiles, {"reef/5/15/14.png": b"", reef.empty()[0]: blank_tile(256, "png")})
    stores.tiles.delete(removed)
    expected = [*((f"reef/{name}", "unexpected") for name in stray), *((key, "missing") for key in removed)]
    expected.append(("reef/5/15/14.png", "no bytes"))
    assert listed(Audit.of(reef.layer, everything(reef.layer), PNG, stores)) == sorted(expected)
    assert reef.looked(reached, 3, 4, 5) == sorted((key, verdict(kind)) for key, kind in spoilt.items())


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/jpeg"])
def test_another_content_type_is_told_of_a_store_that_keeps_it(
    kind: str, reef: Reef, s3_url: str, s3_server: str
) -> None:
    store = replace(open_store(s3_url), s3=S3(s3_server, "us-east-1"))
    put(store, {key: data for key, data in reef.tiles.items() if key.startswith("reef/2/")})
    assert reef.looked(store, 2) == []
    put(store, {"reef/2/1/1.png": reef.tiles["reef/2/1/1.png"]}, kind)
    assert reef.looked(store, 2) == [("reef/2/1/1.png", "wrong type")]


# the command


@pytest.fixture
def tiles(reef: Reef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of the tiles of `reef`, for commands."""
    data = Path(shutil.copytree(reef.folder, tmp_path / "data"))
    monkeypatch.setenv("TILER_DATA", str(data))
    return data / "tiles"


class Stdin(io.BytesIO):
    """Standard input with a name."""

    name = "<stdin>"


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.main, [*words, "--jobs", "1"], input=Stdin(stdin.encode()))


def test_a_layer_as_it_should_be_exits_0_and_prints_nothing(tiles: Path, reef: Reef) -> None:
    result = run("verify", "reef", "--deep", "--sample", "40")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no problems" in result.stderr
    assert {str(path.relative_to(tiles)) for path in tiles.rglob("*.png")} == reef.tiles.keys()


def test_what_is_printed_seeds_just_what_is_wrong(tiles: Path, reef: Reef) -> None:
    (tiles / "reef/4/7/7.png").unlink()
    (tiles / "reef/5/15/14.png").write_bytes(b"")
    (tiles / "reef/3/3/3.png").write_bytes(b"junk")
    first = run("verify", "reef")
    assert (first.exit_code, sorted(first.stdout.splitlines())) == (1, ["4/7/7", "5/15/14"])
    assert {"1 missing", "1 no bytes"} <= set(first.stderr.splitlines()[-2].split(": ")[1].split(", "))
    assert "`seed reef --tiles - --force`" in first.stderr
    deep = run("verify", "reef", "--deep", "--sample", "all", "--zooms", "0-5")
    assert sorted(deep.stdout.splitlines()) == ["3/3/3", "4/7/7", "5/15/14"]
    said = run("seed", "reef", "--tiles", "-", "--force", "--json", stdin=deep.stdout)
    assert json.loads(said.stdout)["written"] == json.loads(said.stdout)["tiles"] == 3
    again = run("verify", "reef", "--deep", "--sample", "40")
    assert (again.exit_code, again.stdout) == (0, "")
    assert {str(path.relative_to(tiles)): path.read_bytes() for path in tiles.rglob("*.png")} == reef.tiles


@pytest.mark.parametrize("junk", [b"", b"junk"])
def test_what_lies_where_nothing_should_is_mended_too(junk: bytes, tiles: Path, reef: Reef) -> None:
    place = tiles / reef.empty()[0]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(junk)
    variant = ("verify", "reef", "--deep", "--sample", "all", "--tiles", "-")
    first = run(*variant, stdin=line_of(reef.empty()[0]))
    assert first.exit_code == 1
    assert run("seed", "reef", "--tiles", "-", "--force", stdin=first.stdout).exit_code == 0
    assert run(*variant, stdin=line_of(reef.empty()[0])).stdout == ""


def test_missing_tiles_alone_need_no_force(tiles: Path) -> None:
    shutil.rmtree(tiles / "reef/5/15")
    first = run("verify", "reef", "--zooms", "5")
    assert sorted(first.stdout.splitlines()) == [f"5/15/{y}" for y in range(14, 18)]
    assert "`seed reef --tiles -`" in first.stderr
    assert run("seed", "reef", "--tiles", "-", stdin=first.stdout).exit_code == 0
    assert run("verify", "reef", "--zooms", "5").exit_code == 0


def test_what_is_unexpected_is_named_apart_from_what_can_be_seeded(tiles: Path) -> None:
    for y in range(25):
        (tiles / "reef/5/17" / f"{y + 1}.txt").write_bytes(b"stray")
    (tiles / "reef/4/7/7.png").unlink()
    result = run("verify", "reef")
    assert (result.exit_code, result.stdout) == (1, "4/7/7\n")
    assert result.stderr.count("unexpected: reef/5/17/") == 20
    assert "25 unexpected" in result.stderr
    alone = run("verify", "reef", "--zooms", "5")
    assert (alone.exit_code, alone.stdout) == (1, "")
    found = [json.loads(line) for line in run("verify", "reef", "--json").stdout.splitlines()]
    assert {"key": "reef/4/7/7.png", "problem": "missing", "tile": "4/7/7"} in found
    assert {"key": "reef/5/17/1.txt", "problem": "unexpected", "tile": ""} in found
    assert len(found) == 26


def test_only_what_is_selected_is_verified(tiles: Path) -> None:
    shutil.rmtree(tiles / "reef")
    assert run("verify", "reef", "--zooms", "1", "--bbox", "1,1,2,2").stdout == "1/1/0\n"
    listed = run("verify", "reef", "--tiles", "-", stdin="2/1/1\n9/1/1\n2/0/0\n")
    assert (listed.exit_code, listed.stdout) == (1, "2/1/1\n")
    assert "2 of 3 listed tiles are left out: outside the layer" in listed.stderr


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("reefs",), "did you mean reef?"),
        (("reef", "--zooms", "7"), "zooms 0-6, not 7"),
        (("reef", "--bbox", "100,0,101,1"), "no tile of layer 'reef' is selected"),
        (("reef", "--deep", "--sample", "0"), "a number of tiles from 1, or all"),
        (("reef", "--tiles", "nowhere.txt"), "nowhere.txt"),
        (("reef", "--tiles", "-"), "the list of tiles is empty"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(words: tuple[str, ...], says: str) -> None:
    result = run("verify", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    errors = [line for line in result.stderr.splitlines() if line.lower().startswith("error")]
    assert [says in line for line in errors] == [True]
