"""Whatever ends a command from outside, it is one line and the right exit code, never a traceback.

The command is held at a known point: it reads a list of tiles from a pipe that the test holds open.
"""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from seeder.cli import messages
from seeder.cli.messages import exit_code, guarded
from tests.support.rasters import Recipe, scene, write_raster
from tiler.processes import stream

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

HOLD = """
import sys, types
import click
from seeder.__main__ import seeder
from seeder.cli.messages import guarded

@click.command()
@guarded
def held():
    try:
        print("held", flush=True)
        sys.stdin.readline()
    finally:
        print("clearing up", flush=True)
        sys.stdin.readline()

@click.command()
@click.argument("word", callback=lambda *_: held.callback())
def parsing(word): ...

sys.modules["seeder.cli.main"] = types.SimpleNamespace(main={command})
sys.argv = ["seeder", "word"][:{words}]
seeder()
"""

IMPORTING = """
import sys
from seeder.__main__ import seeder

class Held:
    def find_spec(self, name, *_):
        if name == "seeder.cli.main":
            print("held", flush=True)
            sys.stdin.readline()

sys.meta_path.insert(0, Held())
seeder()
"""


def held(script: str, *before: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([*before, sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def script(command: str = "held") -> str:
    return HOLD.format(command=command, words=1 if command == "held" else 2)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("code", [script(), script("parsing"), IMPORTING], ids=["working", "parsing", "importing"])
def test_what_stops_a_command_is_answered_with_130(end: signal.Signals, code: str) -> None:
    with held(code) as process:
        process.send_signal(end)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors in {"", "interrupted\n"}


def test_a_second_interrupt_does_not_disturb_clearing_up_and_a_third_ends_it() -> None:
    with held(script()) as process:
        assert process.stdout
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "clearing up\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors in {"", "interrupted\n"}


def test_what_is_ignored_stays_ignored() -> None:
    with held(script(), "sh", "-c", 'trap "" HUP; exec "$@"', "sh") as process:
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
    assert not errors


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "No space left on device: /data/x; free"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; raise the limit"),
        (PermissionError(errno.EACCES, "Permission denied", b"/data/\xff"), "Permission denied: /data/"),
        (OSError("strange"), "strange"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_the_operating_system_says_is_one_line(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @guarded
    def fails() -> None:
        raise error

    done = CliRunner().invoke(fails)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1

    def parse(*_: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fails", "word"])
        patch.setattr(messages.warnings, "simplefilter", lambda _: None)
        parsed = click.Command("fails", params=[click.Argument(["word"], callback=parse)])
        assert exit_code(parsed, "fails") == 1
    assert capsys.readouterr().err == done.stderr


@pytest.mark.parametrize("handles", [3, 11, 13, 18])  # before the scratch folder, in it, and in the pool
def test_too_few_file_handles_are_one_line(handles: int, tmp_path: Path) -> None:
    script = (
        "import resource, seeder.cli.main, seeder.cli.ingest; from seeder.__main__ import seeder; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({handles}, {handles})); seeder()"
    )
    source = write_raster(tmp_path / "alps.tif", Recipe(values=scene(1400, 1800, 1)))  # several chunks
    data = tmp_path / "data"
    words = ["ingest", str(source), "--data", str(data), "--jobs", "2"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode in {1, 2}
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert {path.name for path in data.rglob("*")} <= {"tiles", "private"}


def starved() -> NoReturn:
    """What a worker begins with, where the system refuses it a handle."""
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_cannot_begin_says_why_instead_of_dying(jobs: int, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="Too many open files"):
        list(stream(starved, range(5), jobs=jobs))
    assert not capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_output_that_nobody_can_take_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "seeder", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device")
    assert done.stderr.count("\n") == 1
