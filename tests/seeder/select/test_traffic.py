"""Access logs of every kind give the same counts, and the selected tiles are the fewest for a share."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile, parent

from seeder.select import traffic
from seeder.select.morton import interleaved, places
from seeder.select.tileset import TileSet, TileSets
from seeder.select.traffic import Traffic, parse_share, read_traffic
from tests.support import strategies
from tiler.errors import BadName, BadOption
from tiler.keys import TileName, tile_key

LAYER = "relief"
FIELDS = [
    *("date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs-method", "cs(Host)", "cs-uri-stem", "sc-status"),
    *("cs(Referer)", "cs(User-Agent)", "cs-uri-query", "cs(Cookie)", "x-edge-result-type", "time-taken"),
]
OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
TOOLS = ["arn:aws:iam::123456789012:user/cloudfront-deployer", "arn:aws:sts::123456789012:assumed-role/seed/1", OWNER]
VISITORS = ["-", "Anonymous", "svc:cloudfront.amazonaws.com", "arn:aws:iam::cloudfront:user/CloudFront Origin E1ABC"]
READS = ["WEBSITE.GET.OBJECT", "REST.GET.OBJECT"]


@dataclass(frozen=True)
class Hit:
    """A request: of `tile`, if the path is a tile's."""

    path: str
    tile: Tile | None
    method: str = "GET"
    status: str = "200"
    query: str = ""

    @property
    def counts(self) -> bool:
        """Whether a visitor got a tile."""
        return self.tile is not None and self.method == "GET" and self.status in {"200", "204", "206", "304"}


# Formats of logs


def w3c(hit: Hit, fields: Sequence[str] = FIELDS, between: str = "\t") -> str:
    """A line of CloudFront, with a dash for absent fields."""
    return between.join(record(hit).get(field) or "-" for field in fields)


def record(hit: Hit) -> dict[str, str]:
    known = {"cs-method": hit.method, "cs-uri-stem": hit.path, "sc-status": hit.status, "cs-uri-query": hit.query}
    return {"date": "2026-03-01", "time": "21:02:31", **known, "cs(User-Agent)": "Mozilla/5.0%20(X11)%20GET"}


def header(fields: Sequence[str]) -> str:
    return f"#Version: 1.0\n#Fields: {' '.join(fields)}\n"


def common(hit: Hit) -> str:
    target = f"{hit.path}?{hit.query}" if hit.query else hit.path
    return f'192.0.2.3 - jo smith [01/Mar/2026:21:02:31 +0100] "{hit.method} {target} HTTP/1.1" {hit.status} 1234'


def combined(hit: Hit) -> str:
    return f'{common(hit)} "https://example.org/[map]" "Mozilla/5.0 (a \\"quoted\\" agent) 200 "'


def s3(hit: Hit, operation: str, requester: str = "-", agent: str = "Mozilla/5.0") -> str:
    target = f"{hit.path}?{hit.query}" if hit.query else hit.path
    return (
        f"{OWNER} tiles.example.org [01/Mar/2026:21:02:31 +0000] 192.0.2.3 {requester} 3E57427F3EXAMPLE {operation} "
        f'{hit.path.removeprefix("/")} "{hit.method} {target} HTTP/1.1" {hit.status} - 113 113 7 6 "-" "{agent}" - '
        "s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3= - - - tiles.example.org - - -"
    )


@st.composite
def lines(draw: st.DrawFn, hit: Hit) -> str:
    """The line of the request, or several lines of which the first ones are headers."""
    kind = draw(st.sampled_from(["w3c", "json", "common", "combined", "s3"]))
    if kind == "w3c":
        fields = draw(st.permutations(FIELDS))
        return header(fields) + w3c(hit, fields, draw(st.sampled_from("\t ")))
    if kind == "json":
        text = json.dumps(record(hit), separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])))
        return text.replace("/", "\\/") if draw(st.booleans()) else text
    if kind == "s3":
        reads = draw(st.sampled_from(READS))
        other = f"REST.{hit.method}.OBJECT"
        return s3(hit, reads if hit.method == "GET" else other, draw(st.sampled_from(VISITORS)))
    return common(hit) if kind == "common" else combined(hit)


@st.composite
def paths(draw: st.DrawFn, tile: Tile) -> str:
    """Paths of a tile, with any prefix before the layer and any encoding."""
    key = tile_key(TileName(LAYER, tile, draw(st.sampled_from(strategies.SCALES)), draw(strategies.formats)))
    for _ in range(draw(st.integers(0, 2))):
        key = quote(key, safe="/" if draw(st.booleans()) else "/@")
    return draw(st.sampled_from(["/", "/my-bucket/", "//", "/other/1/2/3/", "https://example.org/"])) + key


NO_TILES = [
    "/",
    "/relief/tile.json",
    "/relief/3/1/8.png",
    "/relief/3/01/2.png",
    "/relief/3/1/2.gif",
    "/relief/3/1/2@3x.png",
    "/relief/29/1/2.png",
    "/3/1/2.png",
    "/relief-2/3/1/2.png",
    "/my-relief/3/1/2.png",
    "/ortho/3/1/2.png",
    "/relief/3/1/2.png/",
    "/\xe4/3/1/2.png",
]


@st.composite
def hits(draw: st.DrawFn) -> Hit:
    tile = draw(st.none() | strategies.tiles(1) | strategies.tiles())
    return Hit(
        draw(st.sampled_from(NO_TILES) if tile is None else paths(tile)),
        tile,
        draw(st.sampled_from(["GET"] * 6 + ["HEAD", "OPTIONS", "POST"])),
        draw(st.sampled_from(["200"] * 6 + ["204", "206", "304", "000", "301", "302", "307", "403", "404", "502"])),
        draw(st.sampled_from(["", "v=9f2c", "a=/relief/1/1/1.png"])),
    )


logs = st.lists(hits().flatmap(lambda hit: st.tuples(st.just(hit), lines(hit))), min_size=1, max_size=30)


# Helpers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


def counted(found: Traffic) -> Counter[Tile]:
    """The requests by tile."""
    tally: Counter[Tile] = Counter()
    for z, (codes, counts) in found.by_zoom.items():
        assert (np.diff(codes) > 0).all()
        for x, y, count in zip(*(each.tolist() for each in (*places(codes), counts)), strict=True):
            tally[Tile(x=x, y=y, z=z)] = count
    return tally


def code(tile: Tile) -> int:
    return int(interleaved(np.array([tile.x]), np.array([tile.y]))[0])


def made(requests: Counter[Tile]) -> Traffic:
    """Traffic of these requests."""
    by_zoom = {}
    for z in {tile.z for tile in requests}:
        pairs = sorted((code(tile), count) for tile, count in requests.items() if tile.z == z)
        by_zoom[z] = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    return Traffic(by_zoom, requests.total(), 0)


def tiles_of(sets: TileSets) -> set[Tile]:
    found = set()
    for z in sets.zooms:
        found |= {Tile(x=x, y=y, z=z) for x, y in zip(*(n.tolist() for n in places(sets.at(z).codes)), strict=True)}
    return found


def above(tiles: Iterable[Tile], zooms: Container[int]) -> set[Tile]:
    """Tiles, and their ancestors in `zooms`."""
    found = set(tiles)
    for tile in tiles:
        found |= {parent(tile, zoom=z) for z in range(tile.z) if z in zooms}
    return found


def write(path: Path, *texts: str) -> Path:
    path.write_bytes("".join(f"{text}\n" for text in texts).encode("latin-1"))
    return path


def tile_hit(x: int = 1) -> Hit:
    return Hit(f"/relief/5/{x}/2.png", Tile(x=x, y=2, z=5))


# Reading


@given(logs, st.integers(1, 4), st.integers(0, 4))
def test_every_kind_of_log_mixed_gives_the_requests_that_were_made(
    folder: Path, log: list[tuple[Hit, str]], together: int, waiting: int
) -> None:
    made = Counter(hit.tile for hit, _ in log if hit.counts)
    path = write(folder / "mixed.log", *(text for _, text in log))
    with mock.patch.multiple(traffic, TOGETHER=together, WAITING=waiting):
        if made:
            found = read_traffic([path], LAYER)
            assert counted(found) == made
            assert counted(read_traffic([path, path], LAYER)) == made + made
            assert found.requests == made.total()
            assert (found.lines, found.unread) == (len(log), 0)
        else:
            with pytest.raises(BadOption, match=rf"mixed.log: none of {len(log)} requests .* layer 'relief'"):
                read_traffic([path], LAYER)


@given(logs, st.data())
def test_how_a_log_is_cut_packed_and_named_does_not_matter(
    folder: Path, log: list[tuple[Hit, str]], data: st.DataObject
) -> None:
    texts = ["", *(text for _, text in log), common(tile_hit())]
    whole = read_traffic([write(folder / "whole.log", *texts)], LAYER)
    inner = folder / "cut" / "2026" / "03"
    inner.mkdir(parents=True, exist_ok=True)
    for old in inner.iterdir():
        old.unlink()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(texts)], strict=True)):
        path = write(inner / f"{number}.log", *texts[first:last])
        if data.draw(st.booleans()):
            path.write_bytes(gzip.compress(path.read_bytes(), 1))
    members = b"".join(gzip.compress(path.read_bytes(), 1) for path in [folder / "whole.log"] * 2)
    (folder / "twice").write_bytes(members)
    assert counted(read_traffic([folder / "cut"], LAYER)) == counted(whole)
    assert counted(read_traffic([folder / "twice"], LAYER)) == counted(whole) + counted(whole)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_a_log_and_stays_open(monkeypatch: pytest.MonkeyPatch, pack: type[bytes]) -> None:
    given = io.TextIOWrapper(io.BytesIO(pack(common(tile_hit()).encode())))
    monkeypatch.setattr(sys, "stdin", given)
    assert read_traffic([Path("-")], LAYER).requests == 1
    assert not given.closed


def test_lines_that_are_no_request_are_counted_and_passed_over(tmp_path: Path) -> None:
    good = [w3c(tile_hit(1)), common(tile_hit(2)), s3(tile_hit(3), READS[0]), json.dumps(record(tile_hit(4)))]
    bad = [
        "2026-03-01\t21:02:31\tLAX1",
        w3c(tile_hit(), FIELDS[:8]),
        w3c(tile_hit()).replace("GET", "get"),
        w3c(tile_hit()).replace("200", "20"),
        '192.0.2.3 - - [01/Mar/2026:21:02:31 +0100] "GET /relief/5/1/2.png HTTP/1.1"',
        '{"cs-method": "GET", "cs-uri-stem": "/relief/5/1/2.png"}',
        "{}",
        "what is this",
        "\x00\x01\x02",
    ]
    path = write(tmp_path / "log", *bad, "", *good, "   ", "#Remark: relief/5/1/2.png", *bad)
    found = read_traffic([path], LAYER)
    assert sorted(tile.x for tile in counted(found)) == [1, 2, 3, 4]
    assert (found.lines, found.unread) == (len(good), 2 * len(bad))


def test_requests_that_no_browser_makes_are_requests(tmp_path: Path) -> None:
    """A server logs its requests, and S3 its own operations."""
    odd = [
        '192.0.2.3 - - [01/Mar/2026:21:02:31 +0100] "\\x16\\x03\\x01" 400 157 "-" "-"',
        '192.0.2.3 - - [01/Mar/2026:21:02:31 +0100] "-" 408 0',
        common(Hit("/robots.txt", None)).replace('"GET', 'tiles.example.org "GET'),
        '192.0.2.3 - - [01/Mar/2026:21:02:31 +0100] "GET /relief/5/9/9.png?q="x" HTTP/1.1" 400 0',
        f'{OWNER} tiles [01/Mar/2026:21:02:31 +0000] - AmazonS3 3E57 S3.EXPIRE.OBJECT relief/5/9/9.png "-" - - - 9 - -',
    ]
    found = read_traffic([write(tmp_path / "log", *odd, common(tile_hit()))], LAYER)
    assert (found.lines, found.unread, found.requests) == (len(odd) + 1, 0, 1)


@pytest.mark.parametrize("last", ["cs-method", "cs-uri-stem", "sc-status", "time-taken"])
def test_fields_are_where_the_last_line_about_them_says(tmp_path: Path, last: str) -> None:
    turned = sorted(FIELDS, key=lambda field: field == last)
    nothing = header(["date", "time"])  # without the needed fields
    texts = [w3c(tile_hit(1)), header(turned) + nothing + w3c(tile_hit(2), turned), header(FIELDS) + w3c(tile_hit(3))]
    assert sorted(tile.x for tile in counted(read_traffic([write(tmp_path / "log", *texts)], LAYER))) == [1, 2, 3]


def test_each_file_begins_with_the_fields_of_old_logs(tmp_path: Path) -> None:
    write(tmp_path / "a", header(FIELDS[::-1]) + w3c(tile_hit(1), FIELDS[::-1]))
    write(tmp_path / "b", w3c(tile_hit(2)))
    assert sorted(tile.x for tile in counted(read_traffic([tmp_path], LAYER))) == [1, 2]


@pytest.mark.parametrize("requester", VISITORS)
@pytest.mark.parametrize("operation", READS)
def test_in_the_logs_of_s3_visitors_count(tmp_path: Path, requester: str, operation: str) -> None:
    path = write(tmp_path / "log", s3(tile_hit(), operation, requester))
    assert read_traffic([path], LAYER).requests == 1


@pytest.mark.parametrize("requester", TOOLS)
@pytest.mark.parametrize("operation", READS)
def test_in_the_logs_of_s3_what_has_a_name_counts_only_behind_cloudfront(
    tmp_path: Path, requester: str, operation: str
) -> None:
    own = s3(tile_hit(1), operation, requester, "object_store/0.12")
    found = read_traffic(
        [write(tmp_path / "log", own, s3(tile_hit(2), operation, requester, "Amazon CloudFront"))], LAYER
    )
    assert [tile.x for tile in counted(found)] == [2]
    assert (found.lines, found.unread) == (2, 0)


@pytest.mark.parametrize("operation", ["REST.COPY.OBJECT_GET", "REST.PUT.OBJECT", "REST.GET.ACL", "REST.HEAD.OBJECT"])
def test_in_the_logs_of_s3_only_reading_objects_counts(tmp_path: Path, operation: str) -> None:
    found = read_traffic([write(tmp_path / "log", s3(tile_hit(1), operation), s3(tile_hit(2), READS[0]))], LAYER)
    assert [tile.x for tile in counted(found)] == [2]


def test_a_line_without_end_is_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 * traffic.LONGEST) + b"\n" + common(tile_hit()).encode())
    assert read_traffic([path], LAYER).unread == 3


@given(logs)
def test_a_layer_gets_no_request_of_another(folder: Path, log: list[tuple[Hit, str]]) -> None:
    texts = [text for _, text in log]
    path = write(folder / "layers.log", *texts, common(Hit("/relief-2/3/1/2.png", None)))
    assert counted(read_traffic([path], "relief-2"))[Tile(x=1, y=2, z=3)] > 0
    with pytest.raises(BadOption, match=r"none .* layer 'elief'"):
        read_traffic([path], "elief")


# Errors


def test_a_file_without_a_request_is_named_with_what_can_be_read(tmp_path: Path) -> None:
    write(tmp_path / "a.log", common(tile_hit()))
    write(tmp_path / "empty.log", header(FIELDS))
    write(tmp_path / ".notes", "no log")
    assert read_traffic([tmp_path], LAYER).requests == 1
    write(tmp_path / "readme.md", "no", "log")
    with pytest.raises(BadOption, match=r"readme.md: no request found in 2 lines: give CloudFront .* S3 .* Common"):
        read_traffic([tmp_path], LAYER)


@pytest.mark.parametrize("keep", [slice(0, -4), slice(0, 12)])
def test_a_log_that_was_cut_off_is_not_half_read(tmp_path: Path, keep: slice) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(common(tile_hit()).encode())[keep])
    with pytest.raises(BadOption, match=r"log\.gz is damaged or truncated .*: download it again"):
        read_traffic([path], LAYER)


def test_a_damaged_log_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(common(tile_hit()).encode()))
    packed[20] ^= 0xFF
    (tmp_path / "log.gz").write_bytes(packed)
    with pytest.raises(BadOption, match=r"log\.gz is damaged or truncated"):
        read_traffic([tmp_path / "log.gz"], LAYER)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"cannot read .*gone\.log: No such file"):
        read_traffic([tmp_path / "gone.log"], LAYER)
    with pytest.raises(BadOption, match=r"the folder is empty"):
        read_traffic([tmp_path], LAYER)
    with pytest.raises(BadName):
        read_traffic([tmp_path], "Relief")


# Selection of tiles

tallies = st.dictionaries(strategies.tiles(4) | strategies.tiles(), st.integers(1, 5), min_size=1, max_size=25).map(
    Counter
)
some_zooms = st.sets(st.integers(0, 28), min_size=1).map(frozenset) | st.just(range(29))
percents = st.integers(1, 1000).map(lambda tenths: f"{tenths / 10}%")


def ranked(requests: Counter[Tile], zooms: Container[int]) -> list[Tile]:
    own = [tile for tile in requests if tile.z in zooms]
    return sorted(own, key=lambda tile: (-requests[tile], tile.z, code(tile)))


@given(tallies, st.integers(1, 30), some_zooms)
def test_the_top_are_the_most_requested_tiles_with_what_lies_above(
    requests: Counter[Tile], n: int, zooms: Container[int]
) -> None:
    assert tiles_of(made(requests).top(n, zooms)) == above(ranked(requests, zooms)[:n], zooms)


@given(tallies, percents, some_zooms)
def test_a_share_takes_the_fewest_tiles_that_had_it(requests: Counter[Tile], text: str, zooms: Container[int]) -> None:
    found = made(requests)
    order = ranked(requests, zooms)
    least = Fraction(text.rstrip("%")) / 100 * sum(requests[tile] for tile in order)
    fewest = next(n for n in range(len(order) + 1) if sum(requests[tile] for tile in order[:n]) >= least)
    chosen = found.share(parse_share(text), zooms)
    assert tiles_of(chosen) == above(order[:fewest], zooms)
    assert found.served(chosen) >= least
    assert found.requests_at(zooms) == sum(requests[tile] for tile in order)


@pytest.mark.parametrize("step", [1, 7])
def test_a_percent_of_a_hundred_tiles_is_one(step: int) -> None:
    found = made(Counter({Tile(x=x, y=63, z=7): step for x in range(100)}))
    assert [len(found.share(parse_share(f"{n}%"), [7])) for n in range(1, 101)] == list(range(1, 101))


def test_of_many_tiles_that_were_asked_for_as_often_the_first_are_taken() -> None:
    requests = Counter({Tile(x=x, y=y, z=z): 1 + (x & y & 1) for z in (5, 6) for x in range(32) for y in range(32)})
    order = ranked(requests, range(29))
    for n in (1, 100, 512, 700, 1500, 2047):
        assert tiles_of(made(requests).top(n, [5, 6])) == above(order[:n], [5, 6])


@given(tallies, percents, percents, some_zooms)
def test_more_is_never_less(requests: Counter[Tile], one: str, other: str, zooms: Container[int]) -> None:
    found = made(requests)
    less, more = (tiles_of(found.share(part, zooms)) for part in sorted(map(parse_share, (one, other))))
    assert less <= more
    assert tiles_of(found.top(len(less) or 1, zooms)) <= tiles_of(found.top(len(more) or 1, zooms))


@given(tallies, some_zooms)
def test_all_of_the_requests_are_all_of_the_tiles(requests: Counter[Tile], zooms: Container[int]) -> None:
    found = made(requests)
    assert found.share(1.0, zooms) == found.top(len(requests), zooms)
    assert found.served(found.share(1.0, zooms)) == found.requests_at(zooms)


@given(tallies, st.sets(strategies.tiles(4), max_size=20))
def test_what_is_served_are_the_requests_for_tiles_that_are_there(requests: Counter[Tile], there: set[Tile]) -> None:
    sets = {z: TileSet.of(z, np.array([code(tile) for tile in there if tile.z == z])) for z in {t.z for t in there}}
    expected = sum(count for tile, count in requests.items() if tile in there)
    assert made(requests).served(TileSets(sets)) == made(requests).served(sets) == expected


@given(st.integers(1, 10**4), st.integers(0, 99))
def test_a_share_in_percent_is_exact(whole: int, tenths: int) -> None:
    text = f"{whole / 100:.2f}"
    assert Fraction(str(parse_share(f"{text}%"))) == Fraction(text) / 100
    assert parse_share(f" {tenths / 10 + 1.1:.1f} ") == parse_share(f"{tenths / 10 + 1.1:.1f} %")


@pytest.mark.parametrize("text", ["", "%", "0", "0%", "100.1%", "-5%", "95%%", "half", "1e1", "9,5%", "nan", "٩٥"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="is not a share of requests: write a percentage"):
        parse_share(text)


@pytest.mark.parametrize(("text", "cure"), [("0.95", "0.95% or 95.00%"), ("1", "1% or 100%")])
def test_a_share_that_may_mean_a_part_of_one_is_asked_back(text: str, cure: str) -> None:
    with pytest.raises(BadOption, match=f"ambiguous share {text}: write {cure}"):
        parse_share(text)
    assert parse_share(f"{text}%") < 0.02
