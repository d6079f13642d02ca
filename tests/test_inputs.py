"""Inputs that have no end, or that cannot be what they stand for: one line, at once."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from seeder import geojson, plane, selectors
from seeder.cli import main
from seeder.geojson import read_geojson
from seeder.jobs import Message
from seeder.prices import Prices
from seeder.tilelist import parse_tiles
from seeder.traffic import read_traffic
from tiler.errors import BadOption, MessageError
from tiler.inputs import lines, whole
from tiler.settings import Settings

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
    """A named pipe that nobody writes into."""
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
    from seeder.selectors import TEXT  # noqa: PLC0415 - beside what it is for

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
    monkeypatch.setattr(geojson, "MOST", 60)
    monkeypatch.setattr(geojson.json, "JSONDecoder", None)
    with pytest.raises(BadOption, match="coast has more than 30 positions: split or simplify it"):
        read_geojson(json.dumps(LINE), "coast")


def test_widening_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "AT_ONCE", 256)
    monkeypatch.setattr(selectors, "PATIENCE", 0.0)
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


def test_json_that_is_nested_too_deeply_is_no_message() -> None:
    with pytest.raises(MessageError):
        Message.decode("[" * 200_000)


@pytest.mark.parametrize("name", ["da\udcffta", "da\0ta"])
def test_a_folder_that_no_url_can_spell_is_refused(name: str) -> None:
    with pytest.raises(BadOption, match="data folder"):
        Settings.from_env({"TILER_DATA": name})
