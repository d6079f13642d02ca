"""The rules of HTTP that clients of the local server rely on, for every kind of address."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seeder.serve.answers import policy
from tests.support.effort import examples
from tests.support.served import ask, serving
from tiler.settings import ANY_FORMAT, Settings

STORED, MISSING = "alps/3/4/2.png", "alps/3/4/2@2x.png"
DATA = b"a tile of thirty-one characters"
LONG_AGO = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
KINDS = {
    "": "text/html; charset=utf-8",
    "alps/": "text/html; charset=utf-8",
    "preview.js": "text/javascript; charset=utf-8",
    "alps/preview.js": "text/javascript; charset=utf-8",
    "alps/tile.json": "application/json",
    "alps/wmts.xml": "application/xml",
    "wmts.xml": "application/xml",
    STORED: "image/png",
    f"_/stored/{STORED}": "image/png",
    "_/thumbnail/alps": "image/png",
}
OTHERS = [
    *("alps", MISSING, f"_/render/{STORED}", f"_/stored/{MISSING}", "_/layers", "_/layers/alps", "_/coverage/alps"),
    *(
        "_/coverage/alps/3",
        "_/revisions/alps/0123456789ab/0/0/0.png",
        "nothing/",
        "nothing/tile.json",
        "alps/3/0/0.png",
    ),
]


@pytest.fixture
def data(alps_copy: Path) -> Path:
    """A data folder with one tile, written long ago."""
    tile = alps_copy / "tiles" / STORED
    tile.parent.mkdir(parents=True)
    tile.write_bytes(DATA)
    os.utime(tile, (LONG_AGO, LONG_AGO))
    return alps_copy


@pytest.fixture
def url(data: Path, assets: Path) -> Iterator[str]:  # noqa: ARG001 - whoever needs the pages gets them built
    with serving(Settings.from_env({}, data=str(data))) as address:
        yield address


@pytest.mark.parametrize("path", KINDS)
def test_types_and_lengths_are_told_and_no_browser_guesses(url: str, path: str) -> None:
    answer = ask(f"{url}/{path}")
    assert answer.status == 200
    assert answer.headers["content-type"].split(";")[0] == KINDS[path].split(";")[0]
    assert int(answer.headers["content-length"]) == len(answer.data) > 0
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers.get("content-security-policy") == (policy() if path in ("", "alps/") else None)


@pytest.mark.parametrize("path", [*KINDS, *OTHERS])
def test_head_is_answered_as_get_without_a_body(url: str, path: str) -> None:
    got, head = ask(f"{url}/{path}"), ask(f"{url}/{path}", method="HEAD")
    assert head.status == got.status
    assert head.data == b""
    assert _lasting(head) == _lasting(got)
    assert got.headers["x-content-type-options"] == "nosniff"


def _lasting(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    """The headers without the date."""
    return {name.lower(): value for name, value in answer.headers.items() if name.lower() != "date"}


def test_head_of_the_endless_stream_ends(url: str) -> None:
    answer = ask(f"{url}/_/events", method="HEAD")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/event-stream")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    "path", ["alps", MISSING, "nothing/0/0/0.png", f"_/render/{MISSING}", "_/render/alps/3/4/2.webp"]
)
def test_every_location_is_absolute_at_the_host_that_was_asked(url: str, path: str, host: str) -> None:
    root = f"http://{host}:{urlsplit(url).port}"
    answer = ask(f"{root}/{path}")
    assert answer.status in (302, 307)
    assert answer.headers["location"].startswith(f"{root}/")


@pytest.mark.parametrize("path", KINDS)
def test_what_a_client_has_is_not_sent_again(url: str, path: str) -> None:
    first = ask(f"{url}/{path}")
    tag = first.headers["etag"]
    for tags in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = ask(f"{url}/{path}", headers={"If-None-Match": tags})
        assert (again.status, again.data, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == first.headers["cache-control"]
    other = ask(f"{url}/{path}", headers={"If-None-Match": '"other"'})
    assert (other.status, other.data) == (200, first.data)


def test_a_tile_that_changed_is_sent_and_its_tag_counts_before_its_date(url: str, data: Path) -> None:
    first = ask(f"{url}/{STORED}")
    since = {"If-Modified-Since": first.headers["last-modified"]}
    assert since == {"If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}
    assert ask(f"{url}/{STORED}", headers=since).status == 304
    assert ask(f"{url}/{STORED}", headers={"If-Modified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}).status == 200
    assert ask(f"{url}/{STORED}", headers={"If-Modified-Since": "yesterday"}).status == 200
    (data / "tiles" / STORED).write_bytes(b"another")
    os.utime(data / "tiles" / STORED, (LONG_AGO, LONG_AGO))
    both = ask(f"{url}/{STORED}", headers={**since, "If-None-Match": first.headers["etag"]})
    assert (both.status, both.data) == (200, b"another")


def test_a_tile_that_was_just_written_has_no_date(url: str, data: Path) -> None:
    """Another version may be written within the same second."""
    ahead = 1e10  # seconds since 1970
    os.utime(data / "tiles" / STORED, (ahead, ahead))
    assert "last-modified" not in ask(f"{url}/{STORED}").headers


@pytest.mark.parametrize("path", [STORED, f"_/stored/{STORED}", "preview.js", "alps/tile.json"])
def test_a_part_is_sent_on_its_own(url: str, path: str) -> None:
    whole = ask(f"{url}/{path}")
    assert whole.headers["accept-ranges"] == "bytes"
    part = ask(f"{url}/{path}", headers={"Range": "bytes=2-5"})
    assert (part.status, part.data) == (206, whole.data[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(whole.data)}"
    assert part.headers["content-type"] == whole.headers["content-type"]
    beyond = ask(f"{url}/{path}", headers={"Range": f"bytes={len(whole.data)}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.data)}")
    assert ask(f"{url}/{path}", headers={"Range": "bytes=2-5", "If-Range": '"other"'}).data == whole.data
    assert ask(f"{url}/{path}", headers={"Range": "bytes=2-5", "If-Range": whole.headers["etag"]}).status == 206


ENDS = st.integers(0, 2 * len(DATA))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60), deadline=None)
@given(first=st.none() | ENDS, last=st.none() | ENDS)
def test_parts_are_those_of_the_whole(url: str, first: int | None, last: int | None) -> None:
    said = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    answer = ask(f"{url}/{STORED}", headers={"Range": said})
    if first is None:
        wanted = DATA[-last:] if last else b""
    else:
        wanted = DATA[first:] if last is None else DATA[first : last + 1]
    valid = not (first is None and last is None) and (first is None or last is None or first <= last)
    assert (answer.status, answer.data) == ((206, wanted) if valid and wanted else (416, b"") if valid else (200, DATA))
    assert int(answer.headers["content-length"]) == len(answer.data)


@pytest.mark.parametrize("said", ["bytes=0-1,3-4", "bytes", "tiles=0-1", "bytes=a-b", "bytes=-", "bytes=5-2"])
def test_other_ranges_get_the_whole(url: str, said: str) -> None:
    answer = ask(f"{url}/{STORED}", headers={"Range": said})
    assert (answer.status, answer.data) == (200, DATA)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_no_link_leads_out_of_the_store(url: str, data: Path, tmp_path: Path, depth: int) -> None:
    """A link to a file, or of a folder above it; nothing is read or written there."""
    outside = tmp_path / "outside"
    parts = STORED.split("/")
    (outside / Path(*parts[depth - 1 :])).parent.mkdir(parents=True)
    (outside / Path(*parts[depth - 1 :])).write_bytes(b"secret")
    link = data / "tiles" / Path(*parts[:depth])
    link.unlink() if depth == 4 else shutil.rmtree(link)
    link.symlink_to(outside / parts[depth - 1])
    before = {path for path in outside.rglob("*") if path.is_file()}
    for path in (STORED, f"_/stored/{STORED}", f"_/render/{STORED}", *(["alps/3/4/3.png"] if depth < 4 else [])):
        answer = ask(f"{url}/{path}", redirect=True)
        assert answer.status == 404
        assert b"secret" not in answer.data
    assert {path for path in outside.rglob("*") if path.is_file()} == before


def test_a_link_within_the_store_and_one_to_the_whole_store_are_followed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    tiles = data / "tiles"
    (tiles / "alps/3/4/3.png").symlink_to(tiles / STORED)
    with serving(Settings.from_env({}, data=str(tmp_path / "link"))) as address:
        assert ask(f"{address}/{STORED}").data == ask(f"{address}/alps/3/4/3.png").data == DATA


@pytest.mark.parametrize("name", ["3/4/2.webp", "3/4/2@2x.jpg"])
def test_another_format_leads_to_the_layers_own_unless_it_is_stored(data: Path, name: str) -> None:
    here = Settings.from_env({}, data=str(data))
    own = name.partition(".")[0] + ".png"
    with serving(here) as address:
        assert ask(f"{address}/alps/{name}", redirect=True).data == ask(f"{address}/alps/{own}", redirect=True).data
        assert not (data / "tiles/alps" / name).exists()
        (data / "tiles/alps" / name).write_bytes(b"seeded")
        assert ask(f"{address}/alps/{name}").data == b"seeded"
        (data / "tiles/alps" / name).unlink()
    with serving(replace(here, variants=ANY_FORMAT)) as address:
        assert ask(f"{address}/alps/{name}", redirect=True).status == 200
        assert (data / "tiles/alps" / name).exists()
