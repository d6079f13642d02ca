"""Uploads of any size over any line: the plan of parts, what is sent, and how a broken upload goes on."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.e2e.proxy import Fault, Proxy
from tests.e2e.wire import eventually
from tests.support.counting_s3 import Counting, counting_s3
from tests.support.effort import LONG
from tests.support.paths import ROOT
from tiler import timing
from tiler.errors import StoreError
from tiler.settings import S3
from tiler.storage import upload as uploads
from tiler.storage.store import open_store
from tiler.storage.upload import Destination, Line, upload
from tiler.storage.upload_parts import LARGEST_PART, MIB, MOST_PARTS, PartPlan, record_of

TIFF = "image/tiff"
KEY = "sources/relief/r1/index.tif"
PART = 1 << 16
SIZE = 5 * PART + 999  # six parts
NUMBERS = range(1, 7)
sizes = st.integers(0, 48 << 40) | st.integers(0, 48).map(lambda n: n << 40) | st.integers(0, 1 << 37)


@pytest.fixture(scope="module")
def server() -> Iterator[Counting]:
    with counting_s3() as server:
        yield server


@pytest.fixture
def s3(server: Counting) -> Counting:
    """A counting server, as new."""
    server.reset()
    return server


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts, and one try a request."""
    monkeypatch.setattr(uploads, "LINE", Line(least_part=PART, tries=1))
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "index.tif"
    path.write_bytes(os.urandom(SIZE))
    return path


def to(s3: Counting) -> Destination:
    return Destination("s3://bucket/prefix", KEY, TIFF, S3(endpoint=s3.url, region="us-east-1"))


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def peak() -> int:
    """The most memory that this process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


# The plan


@given(size=sizes)
@example(size=48 << 40)
@example(size=MOST_PARTS * LARGEST_PART)
@example(size=8 * MIB)
@example(size=8 * MIB + 1)
@example(size=72000 * MIB + 1)
def test_parts_are_few_and_of_sizes_that_s3_takes_and_cover_the_file_exactly(size: int) -> None:
    plan = PartPlan.of(size)
    assert 1 <= plan.count <= MOST_PARTS
    assert 8 * MIB <= plan.part <= 5 << 30
    ends = [plan.offset(number) + plan.length(number) for number in range(1, plan.count + 1)]
    assert [0, *ends[:-1]] == [plan.offset(number) for number in range(1, plan.count + 1)]
    assert ends[-1] == size
    assert {plan.length(number) for number in range(1, plan.count)} <= {plan.part}
    assert plan.length(plan.count) > 0 or size == 0


@given(size=sizes)
def test_no_part_is_larger_than_the_file_asks_for(size: int) -> None:
    """So that little is sent again, and a part is soon sent."""
    part = PartPlan.of(size).part
    assert part <= max(8 * MIB, size / 9000 + MIB)


def test_a_file_larger_than_any_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"48\.8 TiB"):
        PartPlan.of(MOST_PARTS * LARGEST_PART + 1)


def test_a_line_of_1_mbit_a_second_meets_the_timeouts() -> None:
    """With as many full buffers of 4 MB as parts are sent at once; a third of one must be free before more leaves."""
    buffers = Line().at_once * 4e6
    assert 2 * buffers / 125e3 < timing.UPLOAD_SILENCE_SECONDS
    assert buffers / 3 / 125e3 < timing.UPLOAD_CONNECT_SECONDS


# The line


def test_a_slow_line_gets_each_byte_once_from_few_parts_at_a_time(
    s3: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, rate = 12_000_000, 6_000_000
    monkeypatch.setattr(uploads, "LINE", Line(least_part=MIB))
    _slowly(s3, tmp_path, size, rate)


@pytest.mark.skipif(not LONG, reason="LONG=yes: 200 s")
def test_200_mb_pass_a_line_of_1_mb_a_second(s3: Counting, tmp_path: Path) -> None:
    _slowly(s3, tmp_path, 200_000_000, 1_000_000)


def _slowly(s3: Counting, folder: Path, size: int, rate: int) -> None:
    path = sparse(folder / "index.tif", size)
    s3.set(rate=rate)
    began, before = time.monotonic(), peak()
    upload(path, to(s3))
    seconds, grown = time.monotonic() - began, peak() - before
    state = s3.state()
    count = PartPlan.of(size, uploads.LINE.least_part).count
    print(f"{size} bytes: {seconds:.1f} s, {grown / 1e6:.1f} MB more memory")  # noqa: T201 - for who runs it with -s
    assert seconds > 0.9 * size / rate
    assert state["sent"] == dict.fromkeys(range(1, count + 1), 1)
    assert (state["bytes"], state["objects"]) == (size, {f"/bucket/prefix/{KEY}": size})
    assert state["at_once"] <= 4
    assert grown < 64e6


@pytest.mark.skipif(not LONG, reason="LONG=yes: minutes")
def test_60_gib_take_no_more_memory_than_a_small_file(s3: Counting, tmp_path: Path) -> None:
    path, size = sparse(tmp_path / "index.tif", 60 << 30), 60 << 30
    before, began = peak(), time.monotonic()
    upload(path, to(s3))
    grown, seconds = peak() - before, time.monotonic() - began
    state = s3.state()
    print(f"60 GiB: {seconds:.1f} s, {grown / 1e6:.1f} MB more memory, {len(state['parts'])} parts")  # noqa: T201
    assert (state["bytes"], list(state["objects"].values())) == (size, [size])
    assert len(state["parts"]) == PartPlan.of(size).count > 5000
    assert grown < 64e6


def test_a_line_that_drops_throttles_and_loses_answers_gets_the_whole_file(
    s3: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LINE", Line(least_part=PART))
    path = sparse(tmp_path / "index.tif", SIZE)
    s3.set(faults={"1": ["drop", 1], "2": ["503", 1], "3": ["lose", 1], "4": ["500", 1], "0": ["lose", 1]})
    upload(path, to(s3))
    state = s3.state()
    assert state["objects"] == {f"/bucket/prefix/{KEY}": SIZE}
    assert state["sent"] == dict.fromkeys(NUMBERS, 1) | {3: 2}
    assert not record_of(path).exists()


@pytest.mark.parametrize("size", [0, 1, PART])
@pytest.mark.usefixtures("short")
def test_a_small_file_is_one_put(size: int, s3: Counting, tmp_path: Path) -> None:
    upload(sparse(tmp_path / "index.tif", size), to(s3))
    assert s3.state()["requests"] == {"put": 1}
    assert s3.state()["objects"] == {f"/bucket/prefix/{KEY}": size}


# On from where it ended


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.usefixtures("short", "cloud")
def test_after_a_failure_at_any_part_only_missing_parts_are_sent_and_the_object_is_the_same(
    number: int, proxy: Proxy, s3_url: str, file: Path
) -> None:
    content = file.read_bytes()
    s3 = S3(endpoint=proxy.url, region="us-east-1")
    bucket = boto3.client("s3")
    proxy.add(
        Fault("denied", method="PUT", key=f"partNumber={number}$"), Fault("denied", "PUT", f"partNumber={number}&")
    )
    with pytest.raises(StoreError, match=f"cannot write {KEY}: Access Denied"):
        upload(file, Destination(s3_url, KEY, TIFF, s3))
    (pending,) = bucket.list_multipart_uploads(Bucket=s3_url[5:])["Uploads"]
    there = bucket.list_parts(Bucket=s3_url[5:], Key=KEY, UploadId=pending["UploadId"]).get("Parts", [])
    assert number not in {part["PartNumber"] for part in there}
    proxy.clear()
    proxy.requests.clear()
    upload(file, Destination(s3_url, KEY, TIFF, s3))
    assert proxy.requests["PUT", "passed"] == len(NUMBERS) - len(there)
    assert proxy.requests["POST", "passed"] == 1  # it is completed, and not begun again
    found = bucket.get_object(Bucket=s3_url[5:], Key=KEY)
    assert (found["Body"].read(), found["ContentType"]) == (content, TIFF)
    assert "Uploads" not in bucket.list_multipart_uploads(Bucket=s3_url[5:])


@pytest.mark.parametrize("page", [1, 2, 1000])
@pytest.mark.usefixtures("short")
def test_every_page_of_stored_parts_counts(page: int, s3: Counting, file: Path) -> None:
    s3.set(faults={"6": ["403", 1]})
    with pytest.raises(StoreError):
        upload(file, to(s3))
    eventually(lambda: s3.state()["under_way"] == 0)
    stored = s3.state()["parts"]
    s3.set(page=page)
    upload(file, to(s3))
    assert s3.state()["requests"]["part"] == 7
    assert s3.state()["sent"] == dict.fromkeys(NUMBERS, 1)
    assert len(stored) == 5


def test_ctrl_c_stops_at_once_and_the_next_call_goes_on(
    s3: Counting, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LINE", Line(least_part=PART, at_once=2))

    def stop() -> None:
        eventually(lambda: s3.state()["bytes"] > 2.5 * PART)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    s3.set(rate=200_000)
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        upload(file, to(s3))
    thread.join()
    eventually(lambda: s3.state()["under_way"] == 0)
    s3.set(rate=0)
    stored = s3.state()["parts"]
    assert 2 <= len(stored) < len(NUMBERS)
    upload(file, to(s3))
    state = s3.state()
    assert state["objects"] == {f"/bucket/prefix/{KEY}": SIZE}
    assert {number: state["sent"][number] for number in stored} == dict.fromkeys(stored, 1)
    assert state["requests"]["create"] == 1


@pytest.mark.usefixtures("short")
def test_a_process_that_is_killed_leaves_what_the_next_one_goes_on_with(s3: Counting, file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tiler.settings import S3; from tiler.storage import upload as up;"
        f"up.LINE = up.Line(least_part={PART});"
        f"up.upload(Path(sys.argv[1]), up.Destination('s3://bucket/prefix', {KEY!r}, {TIFF!r}, S3({s3.url!r})))"
    )
    s3.set(rate=150_000)
    with subprocess.Popen([sys.executable, "-c", program, str(file)], cwd=ROOT) as process:
        eventually(lambda: len(s3.state()["parts"]) >= 1, 30)
        process.send_signal(signal.SIGKILL)
    eventually(lambda: s3.state()["under_way"] == 0)
    s3.set(rate=0)
    stored = s3.state()["parts"]
    assert 1 <= len(stored) < len(NUMBERS)
    upload(file, to(s3))
    state = s3.state()
    assert {number: state["sent"][number] for number in stored} == dict.fromkeys(stored, 1)
    assert state["objects"] == {f"/bucket/prefix/{KEY}": SIZE}


def _forget(s3: Counting, _: Path) -> None:
    s3.set(upload="")


def _touch(_: Counting, path: Path) -> None:
    os.utime(path, (1, 1))


def _grow(_: Counting, path: Path) -> None:
    path.write_bytes(os.urandom(SIZE + 1))


def _spoil(_: Counting, path: Path) -> None:
    record_of(path).write_text('{"upload": 5')


@pytest.mark.parametrize(("change", "aborted"), [(_forget, 0), (_touch, 1), (_grow, 1), (_spoil, 0)])
@pytest.mark.usefixtures("short")
def test_an_upload_that_s3_forgot_and_one_of_another_file_start_over(
    change: Callable[[Counting, Path], None], aborted: int, s3: Counting, file: Path
) -> None:
    s3.set(faults={"5": ["403", 1]})
    with pytest.raises(StoreError):
        upload(file, to(s3))
    eventually(lambda: s3.state()["under_way"] == 0)
    change(s3, file)
    upload(file, to(s3))
    state = s3.state()
    assert state["objects"] == {f"/bucket/prefix/{KEY}": file.stat().st_size}
    assert state["requests"]["create"] == 2
    assert state["requests"].get("abort", 0) == aborted


@pytest.mark.usefixtures("short")
def test_an_upload_whose_last_answer_was_lost_is_done(s3: Counting, file: Path) -> None:
    s3.set(faults={"0": ["lose", 1]})
    with pytest.raises(StoreError):
        upload(file, to(s3))
    before = s3.state()
    upload(file, to(s3))
    assert s3.state()["bytes"] == before["bytes"] == SIZE
    assert s3.state()["requests"]["create"] == 1
    assert not record_of(file).exists()


@pytest.mark.usefixtures("short")
def test_parts_that_cannot_be_joined_are_not_tried_again(s3: Counting, file: Path) -> None:
    s3.set(faults={"0": ["400", 1]})
    with pytest.raises(StoreError, match="InvalidPart"):
        upload(file, to(s3))
    upload(file, to(s3))
    assert s3.state()["requests"]["create"] == 2
    assert s3.state()["objects"] == {f"/bucket/prefix/{KEY}": SIZE}


@pytest.mark.usefixtures("short")
def test_the_first_error_ends_an_upload_soon(s3: Counting, file: Path) -> None:
    """However slow the other parts are."""
    s3.set(rate=20_000, faults={"1": ["early", 1]})
    began = time.monotonic()
    with pytest.raises(StoreError, match=re.escape("no (AccessDenied)")):
        upload(file, to(s3))
    assert time.monotonic() - began < SIZE / 20_000 / 2


def test_a_server_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LINE", Line(tries=1, silence=1))
    path = sparse(tmp_path / "index.tif", 10)
    with pytest.raises(StoreError, match=f"cannot write {KEY}: .*127.0.0.1:9"):
        upload(path, Destination("s3://bucket", KEY, TIFF, S3("http://127.0.0.1:9")))


@pytest.mark.parametrize("prefix", ["", "/a", "/a/b/", "/with%20a%20space", "/with a space", "/plus+"])
@pytest.mark.usefixtures("cloud")
def test_the_key_is_the_one_that_the_store_reads(prefix: str, s3_url: str, tmp_path: Path) -> None:
    store, path = open_store(s3_url + prefix), tmp_path / "index.tif"
    path.write_bytes(b"II")
    store.put_file(KEY, path, content_type=TIFF)
    assert store.get(KEY) == b"II"
