"""Endless or invalid inputs are rejected at once, with a message of one line."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from seeder.cli import progress, selection_options
from seeder.cli.main import main
from seeder.jobs.messages import Message
from seeder.jobs.prices import Prices
from seeder.select import geojson, geometry, tileset, traffic
from seeder.select.geojson import read_geojson
from seeder.select.tilelist import parse_tiles
from seeder.select.tileset import TileSets
from seeder.select.traffic import read_traffic
from tests.support.imports import MODULES
from tiler import inputs
from tiler.errors import BadOption, CatalogError, MessageError
from tiler.inputs import lines, whole
from tiler.layers.catalog import undone
from tiler.layers.footprint import Footprint
from tiler.layers.history import UNKNOWN
from tiler.layers.tilejson import named
from tiler.settings import Settings
from tiler.storage.store import Stores

GOOD = {
    "v": 1,
    "job": "relief-01234567-20260101T000000.000000",
    "layer": "relief",
    "revision": "0123abcd",
    "z": 4,
    "x": 0,
    "y": 0,
    "size": 8,
    "tiles": "ffffffffffffffff",
    "scale": 1,
    "format": "png",
    "force": False,
}


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A named pipe without a writer."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("option", ["--tiles", "--geojson", "--exclude", "--area"])
@pytest.mark.parametrize("special", ["fifo", "/dev/zero"])
def test_a_special_file_is_refused_in_a_line(option: str, special: str, fifo: Path, tmp_path: Path) -> None:
    path = str(fifo) if special == "fifo" else special
    value = f"0-3={path}" if option == "--area" else path
    done = CliRunner().invoke(main, ["count", "relief", "--data", str(tmp_path / "data"), option, value])
    assert done.exit_code == 2
    assert "give a file" in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_pipe_is_no_raster(fifo: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["ingest", str(fifo), "--data", str(tmp_path / "data")])
    assert done.exit_code == 2
    assert "it is a named pipe: give a file" in done.output


@pytest.mark.parametrize("name", ["fifo", "/dev/zero"])
def test_prices_and_logs_come_from_files(name: str, fifo: Path) -> None:
    path = fifo if name == "fifo" else Path(name)
    with pytest.raises(BadOption, match="give a file"):
        Prices.load(path)
    with pytest.raises(BadOption, match="give a file"):
        read_traffic([path], "relief")


def test_process_substitution_is_read() -> None:
    from seeder.cli.selection_options import TEXT  # noqa: PLC0415 - beside what it is for

    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, b"5/16/11\n"), os.close(writer)))
    thread.start()
    with TEXT.convert(f"/dev/fd/{reader}", None, None) as file:
        assert parse_tiles(lines(file, "pipe"), "pipe").sets.keys() == {5}
    thread.join()
    os.close(reader)


def test_what_has_no_end_is_bounded() -> None:
    with pytest.raises(BadOption, match="line 2: the line is longer"):
        list(lines(io.StringIO("1/0/0\n" + "\0" * 99), "zeros", longest=20))
    with pytest.raises(BadOption, match="larger"):
        list(lines(io.StringIO("1/0/0\n" * 99), "many", most=100))
    with pytest.raises(BadOption, match="larger"):
        whole(io.StringIO("x" * 99), "much", 20)


LINE = {"type": "LineString", "coordinates": [(8 + number * 0.003, 47 + number % 2 * 0.5) for number in range(40)]}


def test_positions_are_bounded_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geojson, "MOST_POSITIONS", 30)
    monkeypatch.setattr(geojson.json, "JSONDecoder", None)
    with pytest.raises(BadOption, match="coast has more than 30 positions: split or simplify it"):
        read_geojson(json.dumps(LINE), "coast")


def test_widening_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "AT_ONCE", 256)
    monkeypatch.setattr(selection_options, "BAR_DELAY", 0.0)
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    coast = tmp_path / "coast.json"
    coast.write_text(json.dumps(LINE))
    done = CliRunner().invoke(
        main, ["count", "relief", "--data", str(tmp_path / "data"), "--geojson", str(coast), "--buffer", "500"]
    )
    assert "widen" in done.stderr
    assert "/10 [" in done.stderr


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("job", bad) for bad in ("a/b", "..", "", "../x", "a\0b", "a" * 200)),
        *(("layer", bad) for bad in ("a/b", "..", "jobs", "")),
        *(("revision", bad) for bad in ("a/b", "..", "")),
        *(("tiles", bad) for bad in ("-1", "0x1", "1_0", "f" * 17)),
        *(("size", bad) for bad in (0, 7, 1 << 40)),
        *(("z", bad) for bad in (-1, 99, 10**9)),
        *(("scale", 3), ("format", "../png")),
    ],
)
def test_a_message_that_would_write_elsewhere_is_none(field: str, value: object) -> None:
    assert Message.decode(json.dumps(GOOD)).job == GOOD["job"]
    with pytest.raises(MessageError):
        Message.decode(json.dumps({**GOOD, field: value}))


DEEP = b'{"a":' * 200_000
HUGE = b" " * (inputs.METADATA + 1) + b"{}"


@pytest.mark.parametrize("data", [DEEP, HUGE, b"[]", b"null", b'"x"', b"\xff"])
def test_metadata_that_cannot_be_is_one_line(data: bytes, tmp_path: Path) -> None:
    """Wherever it stands: of a layer, its history, a job."""
    stores = Stores.open(Settings.from_env({}, data=str(tmp_path)), create=True)
    job = "relief-01234567-20260101T000000.000000"
    for key in (f"sources/relief/{name}.json" for name in ("index", "history")):
        stores.sources.put(key, data, content_type="")
    for name in ("job.json", "plan.json", "run.json", "cancelled"):
        stores.sources.put(f"jobs/{job}/{name}", data, content_type="")
    stores.tiles.put("relief/tile.json", data, content_type="")
    assert named("relief", stores.tiles) == UNKNOWN
    for words in (["seed", "relief"], ["verify", "relief"], ["status", job], ["list"], ["refresh", "relief"]):
        done = CliRunner().invoke(main, [*words, "--data", str(tmp_path)])
        assert done.exit_code in (1, 2), (words, done.output, done.exception)
        assert isinstance(done.exception, SystemExit), words
        assert len(done.stderr.splitlines()) == 1 or "Usage" in done.stderr, done.stderr
    with pytest.raises(CatalogError):
        undone(stores.sources, "relief")


def test_only_one_place_parses_json() -> None:
    """And so knows of all that can be wrong with it."""
    homes = {module for module, path in MODULES.items() if re.search(r"json\.loads?\(|JSONDecoder", path.read_text())}
    assert homes == {"tiler.inputs", "seeder.select.geojson", "seeder.select.tilelist"}


def test_a_footprint_that_unpacks_to_more_than_its_cells_is_none() -> None:
    bits = base64.b64encode(zlib.compress(bytes(1 << 24))).decode()
    said: dict[str, object] = {"zoom": 3, "x": 0, "y": 0, "columns": 8, "rows": 8, "bits": bits}
    with pytest.raises(CatalogError, match="9 bytes do not fit 8 x 8"):
        Footprint.from_json(said, "index.json")
    with pytest.raises(CatalogError, match="too many"):
        Footprint.from_json({**said, "zoom": 24, "columns": 1 << 24, "rows": 1 << 24}, "index.json")


def archive(**arrays: bytes) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in arrays.items():
            file.writestr(name, data)
    return found.getvalue()


def npy(array: object) -> bytes:
    found = io.BytesIO()
    np.save(found, array, allow_pickle=True)
    return found.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        npy(np.array([{}, []], object)),
        npy(np.zeros((2, 3))),
        npy(np.zeros((3, 2), np.int64)),
        npy(np.zeros((2, 10), np.int64)).replace(b"(2, 10), ", b"(2,10**9)"),
        npy(np.zeros((2, 100000000), np.int8)[:, :9]).replace(b"(2, 9), ", b"(2,9**18),"[:8]),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
    ],
    ids=["objects", "floats", "three", "a sum", "a shape", "brackets"],
)
def test_what_is_no_runs_is_no_tiles(array: bytes) -> None:
    with pytest.raises(ValueError, match="not an archive of tile sets"):
        TileSets.decode(archive(**{"3.npy": array}))


def test_tiles_that_unpack_to_too_much_are_refused_before_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive(**{"3.npy": npy(np.zeros((2, 100_000), np.int64))})
    monkeypatch.setattr(tileset, "LARGEST", 1 << 20)
    with pytest.raises(ValueError, match=r"more than \d+ GB unpacked"):
        TileSets.decode(data)


def test_a_log_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'1.2.3.4 - - [01/Jan/2026:00:00:00 +0000] "GET /relief/3/1/2.png HTTP/1.1" 200 5\n'
    log = tmp_path / "bomb.gz"
    log.write_bytes(gzip.compress(line + bytes(1 << 22) + b"\n"))
    assert read_traffic([log], "relief").requests == 1  # as large as that a log may be
    monkeypatch.setattr(traffic, "ROOM", 1 << 20)
    with pytest.raises(BadOption, match="expands to more than 500 times its size"):
        read_traffic([log], "relief")
    log.write_bytes(gzip.compress(b"".join(line.replace(b"1.2.3.4", b"%d" % number) for number in range(30_000))))
    assert read_traffic([log], "relief").requests == 30_000


def test_json_that_is_nested_too_deeply_is_no_message() -> None:
    with pytest.raises(MessageError):
        Message.decode("[" * 200_000)


@pytest.mark.parametrize("name", ["da\udcffta", "da\0ta"])
def test_a_folder_that_no_url_can_spell_is_refused(name: str) -> None:
    with pytest.raises(BadOption, match="data folder"):
        Settings.from_env({"TILER_DATA": name})
