"""Stores: one contract for a folder, memory and S3, then the promises of each."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from obstore.store import S3Store

from tests.support.effort import examples
from tiler.errors import BadStore, Changed, MissingObject, StoreError
from tiler.settings import Settings
from tiler.storage import access
from tiler.storage.store import DELETE_BATCH, Store, open_store

PNG = "image/png"
DECOYS = ["relief/5.png", "relief/5/3.png", "relief/5/30/9.png", "relief2/5/3/9.png", "relief/5/3/deep/9.png"]


@dataclass
class Gate:
    """A door before an S3 server: notes each request and can answer in its stead."""

    server: str
    answers: list[int] = field(default_factory=list)  # statuses of the next answers; then all pass
    lost: int = 0  # requests that are passed on, and answered with a fault
    always: int = 0  # the status of every answer; 0 lets them pass
    seen: list[tuple[str, str]] = field(default_factory=list)  # method, path with query
    signed: list[str] = field(default_factory=list)  # key id, day and region of each request's signature

    def pass_on(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to `request`."""
        self.seen.append((request.command, request.path))
        found = re.search(r"Credential=(\S+)/s3/aws4_request", request.headers.get("Authorization", ""))
        self.signed.append(found[1] if found else "")
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        status = self.answers.pop(0) if self.answers else self.always
        if status:
            return status, {}, b"<Error><Code>Injected</Code></Error>"
        connection = HTTPConnection(urlsplit(self.server).netloc, timeout=10)
        connection.request(request.command, request.path, body, dict(request.headers))
        with connection.getresponse() as answer:
            passed = answer.status, dict(answer.headers), answer.read()
        connection.close()
        if self.lost:
            self.lost -= 1
            return 500, {}, b"<Error><Code>InternalError</Code></Error>"
        return passed


@pytest.fixture
def gate(s3_server: str) -> Iterator[tuple[Gate, str]]:
    """A gate before the S3 server, and its address."""
    gate = Gate(s3_server)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            status, headers, body = gate.pass_on(self)
            self.send_response(status)
            length = headers.pop("Content-Length", str(len(body)))
            for name, value in headers.items():
                if name not in ("Transfer-Encoding", "Connection", "Date", "Server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815 - the names http.server calls

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name in http.server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield gate, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.fixture
def gated(gate: tuple[Gate, str], s3_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Gate]:
    """An empty S3 store behind a gate, as `open_store` makes it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate[1])
    return open_store(f"{s3_url}/some/prefix"), gate[0]


def fill(store: Store, keys: Iterator[str] | list[str] | set[str], data: bytes = b"x") -> None:
    """Put `data` under each of `keys`."""
    for key in keys:
        store.put(key, data, content_type=PNG)


def listed(store: Store, prefix: str) -> list[str]:
    """The keys of a listing, in order."""
    return sorted(entry.key for entry in store.list(prefix))


@pytest.mark.parametrize("data", [b"", b"\x00\xff tile", bytes(300_000)], ids=["empty", "short", "long"])
def test_what_was_put_is_what_one_gets(store: Store, data: bytes) -> None:
    store.put("relief/5/3/9.png", data, content_type=PNG, cache_control="max-age=60")
    assert store.get("relief/5/3/9.png") == data
    assert store.has("relief/5/3/9.png")
    (entry,) = store.list("relief/")
    assert (entry.key, entry.size) == ("relief/5/3/9.png", len(data))
    assert abs((datetime.now(UTC) - entry.modified).total_seconds()) < 60


def test_a_listing_can_be_made_in_parts(store: Store) -> None:
    keys = sorted(f"relief/{number}.png" for number in range(30))
    fill(store, keys)
    for cuts in ([], ["relief/15.png"], ["relief/1", "relief/2", "relief/3"]):
        parts = [
            [entry.key for entry in store.list("relief/", after=after, before=before)]
            for after, before in pairwise(["", *cuts, ""])
        ]
        between = [key for part in parts for key in part]
        assert sorted(between) == [key for key in keys if key not in cuts]
        for part, (after, before) in zip(parts, pairwise(["", *cuts, ""]), strict=True):
            assert all(key > after and (not before or key < before) for key in part)


def test_what_lies_directly_below_is_told_from_what_lies_deeper(store: Store) -> None:
    fill(store, ["relief/tile.json", "relief/5/3/9.png", "relief/6/1/1.png", "relief-2/5/1/1.png"])
    names, entries = store.below("relief/")
    assert (sorted(names), [entry.key for entry in entries]) == (["5", "6"], ["relief/tile.json"])
    assert sorted(store.folders("relief/")) == ["5", "6"]


def test_the_type_is_told_where_it_is_kept(store: Store) -> None:
    store.put("relief/9.png", b"tile", content_type=PNG)
    assert store.typed("relief/9.png") == (b"tile", "" if store.root else PNG)
    with pytest.raises(MissingObject):
        store.typed("relief/8.png")


def test_a_missing_key_is_a_missing_object(store: Store) -> None:
    fill(store, ["relief/5/3/90.png"])
    with pytest.raises(MissingObject, match=r"relief/5/3/9\.png") as caught:
        store.get("relief/5/3/9.png")
    assert caught.value.key == "relief/5/3/9.png"
    assert not store.has("relief/5/3/9.png")
    assert not store.has("relief/5/3")  # a folder is no object


def test_a_second_put_replaces_the_first(store: Store) -> None:
    fill(store, ["relief/9.png"], b"a long first version")
    fill(store, ["relief/9.png"], b"second")
    assert store.get("relief/9.png") == b"second"
    assert [(entry.key, entry.size) for entry in store.list("relief/")] == [("relief/9.png", 6)]


@pytest.mark.parametrize("old", [False, True], ids=["fresh", "over an old one"])
def test_put_file_moves_the_file(store: Store, tmp_path: Path, *, old: bool) -> None:
    key, path, data = "sources/relief/r1/index.tif", tmp_path / "made.tif", bytes(range(256)) * 5000
    if old:
        fill(store, [key])
    path.write_bytes(data)
    store.put_file(key, path, content_type="image/tiff")
    assert store.get(key) == data
    assert not path.exists()


def test_list_and_existing_follow_pages_and_delete_goes_in_batches(store: Store) -> None:
    between = {f"relief/10{number}.png" for number in range(1000, 1001 + DELETE_BATCH)}  # S3 pages by 1000
    keys = between | {"relief/10.png", "relief/12.png"}  # text sorts all the others between these two
    fill(store, keys)
    assert set(listed(store, "relief/")) == keys
    assert store.existing(f"relief/{number}.png" for number in range(10, 14)) == keys - between
    kept = {"relief/10.png", "relief/101500.png"}
    missing = (f"relief/{number}.png" for number in range(5000, 5000 + DELETE_BATCH))
    store.delete(key for some in (sorted(keys - kept), missing) for key in some)
    assert set(listed(store, "relief/")) == kept


def test_a_list_sees_its_own_folder_only(store: Store) -> None:
    fill(store, DECOYS)
    assert listed(store, "relief/") == sorted(key for key in DECOYS if key.startswith("relief/"))
    assert listed(store, "relief/5/3/") == ["relief/5/3/deep/9.png"]
    assert listed(store, "") == sorted(DECOYS)
    assert listed(store, "rel/") == []


def test_folders_are_what_stands_before_the_next_slash(store: Store) -> None:
    fill(store, [*DECOYS, "sources/relief/index.json", "top.json"])
    assert sorted(store.folders("")) == ["relief", "relief2", "sources"]
    assert sorted(store.folders("relief/5/")) == ["3", "30"]
    assert not store.folders("relief/5/30/")
    assert not store.folders("nowhere/")


def test_a_prefix_is_empty_where_no_key_begins_with_it(store: Store) -> None:
    assert store.empty("")
    fill(store, ["relief/5/3/9.png"])
    found = {
        prefix: store.empty(prefix) for prefix in ("", "relief/", "relief/5/", "relief/5/3/", "relief/50/", "rel/")
    }
    assert [prefix for prefix, empty in found.items() if empty] == ["relief/50/", "rel/"]
    store.delete(["relief/5/3/9.png"])
    assert store.empty("relief/")


@pytest.mark.parametrize("length", [1, 99, 100, 101, 100_000])
def test_the_first_bytes_come_with_the_size_of_all(store: Store, length: int) -> None:
    data = bytes(range(100))
    store.put("sources/index.tif", data, content_type="image/tiff")
    assert store.first("sources/index.tif", length) == (data[:length], 100)


def test_a_process_that_receives_a_store_opens_it(store: Store) -> None:
    store.put("sources/index.tif", b"data", content_type="image/tiff")
    received = pickle.loads(pickle.dumps(store))
    assert (received.url, received.s3, received.root) == (store.url, store.s3, store.root)
    assert received.get("sources/index.tif") == b"data"


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2999), st.integers(1, 3000)), max_size=12))
def test_ranges_are_the_parts_asked_for_in_their_order(store: Store, parts: list[tuple[int, int]]) -> None:
    data = bytes(number * 7 % 251 for number in range(3000))
    if not store.has("sources/index.tif"):
        store.put("sources/index.tif", data, content_type="image/tiff")
    starts, lengths = [start for start, _ in parts], [min(length, 3000 - start) for start, length in parts]
    found = store.ranges("sources/index.tif", starts, lengths)
    assert found == [data[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def test_parts_of_a_missing_object_are_missing(store: Store) -> None:
    with pytest.raises(MissingObject):
        store.first("sources/index.tif", 100)
    with pytest.raises(MissingObject):
        store.ranges("sources/index.tif", [0, 50], [10, 10])


@pytest.mark.parametrize(("starts", "lengths"), [([2000], [10]), ([0, 2000], [10, 10]), ([900, 2000], [300, 10])])
def test_parts_beyond_the_end_are_a_store_error(store: Store, starts: list[int], lengths: list[int]) -> None:
    store.put("sources/index.tif", bytes(1000), content_type="image/tiff")
    with pytest.raises(StoreError, match=r"index\.tif"):
        store.ranges("sources/index.tif", starts, lengths)


def test_near_parts_share_a_request(gated: tuple[Store, Gate]) -> None:
    store, gate = gated
    store.put("sources/index.tif", bytes(10_000), content_type="image/tiff")
    gate.seen.clear()
    store.ranges("sources/index.tif", [0, 500, 9000], [500, 100, 1000])
    assert [method for method, _ in gate.seen] == ["GET"]


def test_delete_passes_over_what_is_missing(store: Store) -> None:
    fill(store, ["relief/1.png", "relief/2.png"])
    store.delete([])
    store.delete(["relief/3.png", "relief/1.png", "nowhere/1.png"])
    store.delete(["relief/1.png"])
    assert listed(store, "") == ["relief/2.png"]


NUMBERS = st.sampled_from([0, 1, 8, 9, 10, 11, 19, 90, 99, 100, 101, 999, 1000, 1001, 8191])
TILE_KEYS = st.builds("5/{}/{}{}".format, st.sampled_from([3, 30]), NUMBERS, st.sampled_from([".png", "@2x.png"]))
LOOSE_KEYS = st.sampled_from(["tile.json", "5/3.png", "5/3/deep/9.png", "5/3/9.webp", "5/3/9.png.bak", "5/3/9"])


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(TILE_KEYS | LOOSE_KEYS, max_size=14), st.lists(TILE_KEYS | LOOSE_KEYS, max_size=40))
@example({f"5/3/{y}.png" for y in (9, 10, 99, 100)}, [f"5/3/{y}.png" for y in (100, 99, 11, 10, 9, 8, 9)])
@example({f"5/3/{y}@2x.png" for y in (9, 10)}, [f"5/3/{y}{end}" for y in (9, 10) for end in (".png", "@2x.png")])
def test_existing_is_what_one_by_one_would_find(store: Store, held: set[str], asked: list[str]) -> None:
    layer = f"layer-{uuid4().hex}"  # the store is one for all examples
    fill(store, {f"{layer}/{key}" for key in held})
    wanted = [f"{layer}/{key}" for key in asked]
    assert store.existing(iter(wanted)) == {key for key in wanted if key.removeprefix(f"{layer}/") in held}


def test_s3_lists_once_per_column_and_digit_count_rather_than_asking_per_key(gated: tuple[Store, Gate]) -> None:
    store, gate = gated
    asked = {f"relief/14/{x}/{y}.png" for x in range(8, 12) for y in (*range(8, 16), *range(96, 104))}
    held = {key for number, key in enumerate(sorted(asked)) if number % 3}
    fill(store, [*held, *DECOYS])
    gate.seen.clear()
    assert store.existing(asked) == held
    lists = [path for method, path in gate.seen if method == "GET" and "list-type=2" in path]
    assert len(lists) == len(gate.seen) <= 4 * 3
    assert all("start-after=" in path for path in lists)  # what sorts before the first key is not paged through


def test_s3_deletes_a_thousand_keys_a_request_as_they_come(gated: tuple[Store, Gate]) -> None:
    store, gate = gated
    sent = []

    def keys() -> Iterator[str]:
        for number in range(2 * DELETE_BATCH + 1):
            sent.append(len(gate.seen))
            yield f"relief/{number}.png"

    store.delete(keys())
    assert [method for method, _ in gate.seen] == ["POST"] * 3
    assert sent == [0] * DELETE_BATCH + [1] * DELETE_BATCH + [2]


def test_headers_reach_s3(s3_server: str, s3_url: str, tmp_path: Path) -> None:
    store = open_store(f"{s3_url}/some/prefix")
    store.put("a/tile.png", b"x", content_type=PNG, cache_control="public, max-age=60")
    store.put("a/plain.json", b"{}", content_type="application/json")
    (tmp_path / "made.tif").write_bytes(b"II")
    store.put_file("a/index.tif", tmp_path / "made.tif", content_type="image/tiff")
    client = boto3.client("s3", endpoint_url=s3_server)
    heads = {
        name: client.head_object(Bucket=s3_url[5:], Key=f"some/prefix/a/{name}")
        for name in ("tile.png", "plain.json", "index.tif")
    }
    assert {name: (head["ContentType"], head.get("CacheControl")) for name, head in heads.items()} == {
        "tile.png": (PNG, "public, max-age=60"),
        "plain.json": ("application/json", None),
        "index.tif": ("image/tiff", None),
    }


DEEDS: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("relief/9.png", b"x", content_type=PNG),
    "put over": lambda store: store.put("relief/9.png", b"x", content_type=PNG, expected=f'"{md5(b"x").hexdigest()}"'),
    "version": lambda store: store.version("relief/9.png"),
    "get": lambda store: store.get("relief/9.png"),
    "has": lambda store: store.has("relief/9.png"),
    "list": lambda store: list(store.list("relief/")),
    "folders": lambda store: store.folders("relief/"),
    "existing": lambda store: store.existing(["relief/8.png", "relief/9.png"]),
    "delete": lambda store: store.delete(["relief/9.png"]),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("status", [403, 500, 503])
def test_what_the_server_refuses_is_a_store_error(gate: tuple[Gate, str], deed: str, status: int) -> None:
    options = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
    store = Store("s3://tiles", S3Store("tiles", endpoint=gate[1], region="us-east-1", **options))
    gate[0].always = status
    with pytest.raises(StoreError, match="relief/") as caught:
        DEEDS[deed](store)
    assert not isinstance(caught.value, MissingObject)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_busy_server_is_asked_again(gated: tuple[Store, Gate], deed: str) -> None:
    store, gate = gated
    fill(store, ["relief/9.png"])
    gate.seen.clear()
    gate.answers = [503, 500]
    DEEDS[deed](store)
    assert len(gate.seen) == 3


@pytest.mark.parametrize("deed", ["first", "next"])
def test_a_put_whose_answer_is_lost_succeeds_and_is_not_told_as_another_s(gated: tuple[Store, Gate], deed: str) -> None:
    store, gate = gated
    if deed == "next":
        store.put("relief/9.png", b"old", content_type=PNG)
    version = store.version("relief/9.png")
    gate.lost = 1
    store.put("relief/9.png", b"new", content_type=PNG, expected=version)
    assert store.get("relief/9.png") == b"new"
    with pytest.raises(Changed):
        store.put("relief/9.png", b"other", content_type=PNG, expected=version)


@pytest.mark.parametrize("deed", ["put", "list", "folders", "existing", "delete"])
def test_a_missing_bucket_is_no_missing_object(s3_url: str, deed: str) -> None:
    store = open_store(f"{s3_url}-gone/prefix")
    with pytest.raises(StoreError) as caught:
        DEEDS[deed](store)
    assert not isinstance(caught.value, MissingObject)


@pytest.fixture
def profiles(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket's URL; no keys in the environment, but two profiles, of which `maps` is chosen."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    keys = "aws_access_key_id = {}\naws_secret_access_key = secret\n"
    (tmp_path / "credentials").write_text(f"[default]\n{keys.format('DEFAULT')}[maps]\n{keys.format('MAPS')}")
    (tmp_path / "config").write_text("[profile maps]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_PROFILE", "maps")
    access.session.cache_clear()
    return s3_url


def opened(url: str) -> Store:
    """The store at `url` as the environment has it."""
    return open_store(url, s3=Settings.from_env(os.environ).s3)


@pytest.mark.parametrize(
    ("environ", "key", "region"),
    [
        ({}, "MAPS", "eu-west-3"),
        ({"AWS_REGION": "us-west-2"}, "MAPS", "us-west-2"),
        ({"AWS_PROFILE": "default", "AWS_DEFAULT_REGION": "eu-north-1"}, "DEFAULT", "eu-north-1"),
        ({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}, "ENV", "eu-west-1"),
    ],
)
def test_keys_and_region_come_from_the_profile_unless_the_environment_has_them(
    environ: dict[str, str],
    key: str,
    region: str,
    profiles: str,
    gate: tuple[Gate, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate[1])
    store = opened(profiles)
    store.put("relief/9.png", b"x", content_type=PNG)
    assert store.get("relief/9.png") == b"x"
    assert [re.sub(r"/\d{8}/", " ", signed) for signed in gate[0].signed] == [f"{key} {region}"] * 2


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize("missing", ["files", "profile"])
def test_without_keys_the_error_names_the_cure(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "files":
        monkeypatch.delenv("AWS_PROFILE")
        (tmp_path / "credentials").unlink()
    else:
        monkeypatch.setenv("AWS_PROFILE", "charts")
    with pytest.raises(BadStore, match=r"AWS_PROFILE.*AWS_ACCESS_KEY_ID") as caught:
        opened("s3://tiles")
    assert "\n" not in str(caught.value)
