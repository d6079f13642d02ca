"""Any path: no server error, and no read or write except for the layer's own tiles."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import quote, unquote

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tests.support.layers import silent
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.site import DIRECT, READS, URL, WRITES, Site, Spy, memory
from tiler.ingest.ingest import ingest
from tiler.keys import parse_tile_key
from tiler.raster.options import Options
from tiler.storage.store import Stores

LAYERS = ("tiny", "tiny-2")
METHODS = st.sampled_from(["GET"] * 9 + ["HEAD"])
PATHS = 25  # an example

SEPARATORS = ["/", "//", "\\", "%2F", "%2f", "%5C", "/./", "/../", "/%2e%2e/", "/..%2f", "%252F", "", " ", "?", "#"]
DOTS = [".", "..", "...", "%2e", "%2E%2e", "%252e%252e", "~", "$", "*"]
CONTROLS = ["\0", "%00", "\n", "%0a", "%0d%0aSet-Cookie:a=b", "\t", "\x7f", "\x1b[31m", "\u202e", "\ufeff", "\ud800"]
NUMBERS = [*range(9), 16, 17, *range(28, 34), 63, 64, 255, 999_999_999, 10**9, 2**31, 2**63, 10**40]
NAMES = ["", "tiny", "tiny-2", "tiny-3", "TINY", "t%69ny", "sources", "jobs", "a" * 63, "a" * 64, "null", "tiny%20"]
ENDS = [".png", ".jpg", ".webp", ".PNG", ".gif", ".jpeg", "", ".", ".png.", ".png/", ".png.bak", ".json", "png"]
SCALES = ["", "", "", "@2x", "%402x", "@1x", "@3x", "@2X", "@", "@2x@2x", "@02x", "@-1x"]


def encoded(text: str) -> str:
    """`text` percent-encoded."""
    return quote(text, safe="", errors="surrogatepass")


def digits() -> st.SearchStrategy[str]:
    """What may stand for a number."""
    plain = st.sampled_from(NUMBERS).map(str) | st.integers(0, 40).map(str)
    odd = st.tuples(st.sampled_from(["-", "+", "0", "00", "0x", " ", "%20", "٣", "²"]), plain).map("".join)
    other = st.tuples(plain, st.sampled_from([".0", "e1", "_0", "%30", "L", "٣", "\n"])).map("".join)
    return plain | plain | plain | odd | other | st.text(max_size=4)


@st.composite
def shaped(draw: st.DrawFn) -> str:
    """A path with the parts of a tile's path, most of them valid."""
    parts = [draw(st.sampled_from(NAMES) | st.text(max_size=6))] + [draw(digits()) for _ in range(3)]
    glue = [draw(st.just("/") | st.just("/") | st.just("/") | st.sampled_from(SEPARATORS)) for _ in parts]
    path = "".join(each for pair in zip(glue, parts, strict=True) for each in pair)
    return path + draw(st.sampled_from(SCALES)) + draw(st.sampled_from(ENDS))


@st.composite
def good(draw: st.DrawFn) -> str:
    """A path of a layer's tile, within its bounds or not."""
    z = draw(st.integers(0, 7))
    near = st.integers(0, 2**z - 1) | st.sampled_from([2**z // 2, 2**z * 11 // 32]).map(lambda n: min(n, 2**z - 1))
    name, scale = draw(st.sampled_from(LAYERS)), draw(st.sampled_from(["", "@2x"]))
    return f"/{name}/{z}/{draw(near)}/{draw(near)}{scale}{draw(st.sampled_from(ENDS[:3]))}"


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good path, or a TileJSON's, with a few pieces cut out, put in, doubled or encoded."""
    path = draw(good() | st.sampled_from([f"/{name}/tile.json" for name in NAMES]))
    for _ in range(draw(st.integers(1, 3))):
        first, last = sorted((draw(st.integers(0, len(path))), draw(st.integers(0, len(path)))))
        piece = path[first:last]
        instead = draw(
            st.sampled_from(["", piece * 2, encoded(piece), encoded(encoded(piece)), piece.upper()])
            | st.sampled_from([*SEPARATORS, *DOTS, *CONTROLS])
            | st.text(max_size=3)
        )
        path = path[:first] + instead + path[last:]
    return path


def long() -> st.SearchStrategy[str]:
    """A path far longer than any tile's."""
    grown = st.sampled_from(["/tiny", "/0", "/..", "%2e%2e/", "a", "%00", "é"])
    return st.tuples(grown, st.integers(50, 3000)).map(lambda pair: "/" + pair[0] * pair[1])


def paths() -> st.SearchStrategy[str]:
    """Any text as a path, also such as no client can send."""
    known = st.sampled_from([f"/{name}/tile.json" for name in NAMES])
    return shaped() | mutated() | mutated() | good() | good() | known | long() | st.text(max_size=30).map("/".__add__)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two small layers, their tiles and their sources in one bucket."""
    folder, bucket = tmp_path_factory.mktemp("tiny"), memory()
    for number, name in enumerate(LAYERS):
        values = scene(40, 50, seed=number)
        values[:, 20:30] = 0
        path = write_raster(folder / f"{name}.tif", Recipe(values=values, nodata=0))
        ingest(str(path), name, Options(), Stores(bucket, bucket, URL), jobs=1, progress=silent)
    return Site(Spy(bucket), Spy(bucket))


def checked(site: Site, path: str, method: str) -> int:
    """The expected status of the answer to a request."""
    site.tiles.seen.clear()
    site.sources.seen.clear()
    answer = site.ask(path, method)
    put = [key for verb, key in site.tiles.seen if verb in WRITES]
    read = site.sources.count(*READS)
    assert not site.sources.count(*WRITES)
    if answer.status == 302:
        key, _, revision = answer.headers["Location"].removeprefix(f"{DIRECT}/").partition("?v=")
        assert revision.isalnum()
        assert key == unquote(path).removeprefix("/")
        assert parse_tile_key(key).layer in LAYERS
        assert site.tiles.store.has(key)
        assert put in ([], [key])
    else:
        assert not site.tiles.seen
        assert not read
        said = json.loads(answer.body)
        if answer.status == 200:
            assert f"{said['name']}/tile.json" == unquote(path).removeprefix("/")
        else:
            assert answer.status in (400, 404)
            assert said["message"]
            assert answer.status == 404 or not site.sources.seen
    return answer.status


def test_no_path_makes_a_server_error_or_reaches_past_its_layer(site: Site) -> None:
    found: Counter[int] = Counter()
    sources = list(site.sources.store.list("sources/"))

    @settings(
        max_examples=examples(100), phases=[Phase.explicit, Phase.generate]
    )  # a path that fails is plain as it is
    @given(st.lists(st.tuples(paths(), METHODS), min_size=PATHS, max_size=PATHS))
    def each(asked: list[tuple[str, str]]) -> None:
        found.update(checked(site, path, method) for path, method in asked)

    each()
    assert found.total() >= PATHS * examples(100)
    assert min(found[status] for status in (200, 302, 400, 404)) >= examples(100) // 3
    written = [entry.key for name in LAYERS for entry in site.tiles.store.list(f"{name}/")]
    assert len(written) > 5
    assert list(site.sources.store.list("sources/")) == sources
    assert len(written) + len(sources) == len(list(site.tiles.store.list("")))
    assert {parse_tile_key(key).layer for key in written if not key.endswith("/tile.json")} == set(LAYERS)
