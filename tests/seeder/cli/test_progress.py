"""What a command prints beside its result: bars on a terminal, lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from seeder.cli import progress
from seeder.cli.grouping import Command, command
from seeder.cli.main import main
from seeder.cli.progress import LINE_SECONDS, Lines, Meter, Stages, TerminalReport
from tests.support.clock import Rounds


class Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture
def alps(alps_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a layer."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    return Path(shutil.copytree(alps_data, tmp_path / "data"))


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def within(act: Callable[[], None], *options: str) -> Result:
    """The result of a command that does `act`."""

    @command("act")
    def run_act() -> None:
        act()

    return CliRunner().invoke(run_act, options)


def test_lines_come_every_ten_seconds_with_what_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lines, "start", lambda self: self)
    times = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    meter = Meter("seed alps", 1000, 100)
    assert meter._lines
    monkeypatch.setattr(meter._lines, "_ended", clock := Rounds(2))
    meter.update(150)
    meter._lines.watch()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "seed alps: 250 of 1,000 tiles (25%), 50 s left",
        "seed alps: 250 of 1,000 tiles (25%), 100 s left",
    ]
    assert clock.pauses == [LINE_SECONDS] * 3 == [10, 10, 10]


@pytest.mark.parametrize(
    ("total", "done", "says"),
    [
        (None, 5, r"look: 5 tiles, [\d,]+ per second"),
        (0, 0, "look: 0 of 0 tiles"),
        (3, 0, r"look: 0 of 3 tiles \(0%\)"),
    ],
)
def test_a_line_needs_no_total_and_no_progress(total: int | None, done: int, says: str) -> None:
    with Meter("look", total) as meter:
        meter.update(done)
        assert re.fullmatch(says, meter.line())


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    everything()
    text = terminal.getvalue()
    assert "seed alps: 100%" in text
    assert "ingest alps:  50%" in text
    assert "waiting (--no-wait skips this): 1 of 2 s" in text


def everything() -> None:
    """Every kind of progress, with all lines printed at once."""
    report = TerminalReport()
    with report.stage("seed alps", 4) as advance:
        advance(4)
    with report.bake("ingest alps") as (chunks, activity):
        activity("looking")
        chunks(1, 2)
    with report.countdown("waiting", 2) as remaining:
        remaining(1)
    report.note("a note")
    click.echo("the result")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Lines are printed when they end, instead of in time."""
    started: list[str] = []
    real = Lines.start

    def end(self: Lines) -> None:
        if self in started:
            click.echo(self._line(), err=True)

    def start(self: Lines) -> Lines:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress.threading, "Thread", lambda **_: Started(started, self))
            return real(self)

    monkeypatch.setattr(Lines, "start", start)
    monkeypatch.setattr(Lines, "end", end)
    return started


class Started:
    """A thread that only counts as begun."""

    def __init__(self, started: list[object], lines: Lines) -> None:
        self._started, self._lines = started, lines

    def start(self) -> None:
        """Begin."""
        self._started.append(self._lines)


@pytest.mark.usefixtures("no_pauses")
def test_without_a_terminal_there_are_plain_lines() -> None:
    result = within(everything)
    assert result.stdout == "the result\n"
    assert "\r" not in result.stderr
    for line in ("seed alps: 4 of 4 tiles (100%)", "ingest alps: 1 of 2 chunks (50%)", "ingest alps: looking (0 s)"):
        assert any(each.startswith(line) for each in result.stderr.splitlines()), line
    assert "waiting (--no-wait skips this): 1 s left" in result.stderr
    assert "a note" in result.stderr


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_leaves_the_result_alone(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: terminal)
    result = within(everything, "-q")
    assert (result.stdout, result.stderr) == ("the result\n", "")


def test_stages_slow_down_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, pauses in ((True, [4, 8, 16, 32, 60, 60]), (False, [10] * 6)):
        monkeypatch.setattr(progress, "on_terminal", lambda terminal=terminal: terminal)
        stages = Stages("ingest alps")
        monkeypatch.setattr(stages, "_ended", clock := Rounds(5))
        stages.watch()
        assert clock.pauses == pauses


# Whole commands


@pytest.mark.usefixtures("alps")
@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_quiet_seed_prints_its_result_alone(place: str) -> None:
    words = ("seed", "alps", "--zooms", "5", "--jobs", "1")
    result = run("-q", *words) if place == "before" else run(*words, "-q")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert re.fullmatch(r"\d+ tiles? in .* failed\njob \S+; tiles in \S+\n", result.stdout)
    assert "next: seeder serve" in run(*words).stdout


def test_a_quiet_command_still_says_what_is_wrong(alps: Path) -> None:
    result = run("seed", "apls", "-q")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no layer 'apls'")
    assert run("layers", "--data", alps / "private", "-q").stderr == ""
    assert "no layers yet in" in run("layers", "--data", alps / "private").stderr


@pytest.mark.usefixtures("alps")
def test_json_is_the_same_with_quiet() -> None:
    loud, silent = (json.loads(run("count", "alps", "--json", *more).stdout) for more in ((), ("-q",)))
    assert loud == silent


@pytest.mark.parametrize(("words", "level"), [((), None), (("-v",), "INFO"), (("-vv",), "DEBUG"), (("-vvv",), "DEBUG")])
def test_verbose_logs(words: tuple[str, ...], level: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[int] = []
    monkeypatch.setattr(logging.Logger, "setLevel", lambda _, number: levels.append(number))
    assert within(lambda: None, *words).exit_code == 0
    assert levels == ([logging.getLevelName(level)] if level else [])


def test_no_log_has_the_query_string_of_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        CliRunner().invoke(main, ["layers", "--help"])
        logging.getLogger("rasterio._env").error("HTTP 403: %s", "https://example.com/a.tif?sig=SECRET")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err == "HTTP 403: https://example.com/a.tif\n"


@pytest.mark.parametrize(
    ("words", "logged"), [(("-v", "layers"), True), (("layers", "-v"), True), (("layers",), False)], ids=str
)
def test_a_verbose_program_logs_to_stderr(words: tuple[str, ...], logged: bool, tmp_path: Path) -> None:
    env = {**os.environ, "TILER_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "seeder", *words], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert (f"INFO seeder.cli.common: tiles in {tmp_path.as_uri()}/tiles" in done.stderr) is logged


def test_a_command_knows_its_own_options_only() -> None:
    assert isinstance(main.commands["layers"], Command)
    assert run("layers", "--qiet").exit_code == 2
