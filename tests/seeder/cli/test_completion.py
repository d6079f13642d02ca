"""Shells complete commands, options, values, files and layers, and do not wait for what completion does not need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from seeder.cli.main import main
from seeder.cli.seed import seed

SHELLS = ("bash", "zsh", "fish")
HEAVY = ("numpy", "rasterio", "boto3", "obstore", "shapely", "tqdm")
PROGRAM = (
    "import atexit, sys; from seeder.__main__ import {program} as run\n"
    "atexit.register(lambda: print(*(each for each in {heavy} if each in sys.modules), file=sys.stderr))\n"
    "run()"
)


def completed(*words: str, program: str = "seeder", shell: str = "zsh") -> tuple[list[str], list[str]]:
    """The completions of the last word, as a shell gets them, and the heavy packages that were imported."""
    typed = " ".join([program, *words]).rstrip()
    number = str(len(words))
    variables = {
        f"_{program.upper()}_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": words[-1] if shell == "fish" else number,
    }
    code = PROGRAM.format(program=program, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    if shell == "zsh":  # kind, value, help
        return lines[1::3], done.stderr.split()
    return [line.partition(",")[2].partition("\t")[0] for line in lines], done.stderr.split()


def offered(program: str, words: Sequence[str]) -> list[str]:
    """The same completions in this process."""
    command = {"seeder": main, "seed": seed}[program]
    found = ShellComplete(command, {}, program, "").get_completions(list(words[:-1]), words[-1])
    return [item.value for item in found]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_complete_without_waiting_for_what_they_import(shell: str) -> None:
    found, imported = completed("", shell=shell)
    assert [name.partition("\n")[0] for name in found if name in main.homes] == list(main.homes)
    assert imported == []


def test_the_help_of_the_program_imports_no_command() -> None:
    code = PROGRAM.format(program="seeder", heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert "publish-preview" in done.stdout
    assert done.stderr.split() == []


def test_a_command_completes_from_its_first_letters() -> None:
    assert offered("seeder", ["re"]) == ["refresh", "remove", "resume"]


@pytest.mark.parametrize(("program", "words"), [("seeder", ("seed", "alps")), ("seed", ("alps",))])
def test_options_and_their_values_complete(program: str, words: Sequence[str]) -> None:
    found, imported = completed(*words, "--max-", program=program)
    assert found == ["--max-cost", "--max-failed"]
    assert imported == []
    assert completed(*words, "--format", "", program=program)[0] == ["png", "jpg", "webp"]


@pytest.mark.parametrize(
    "words",
    [
        ("seeder", "seed", ""),
        ("seed", ""),
        ("seeder", "status", ""),
        ("seeder", "doctor", "--layer", ""),
        ("seed", "--data", "DATA", ""),
    ],
)
def test_layers_of_the_data_folder_complete(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alps", "reef", "half"):
        (tmp_path / "private" / "sources" / name).mkdir(parents=True)
    for name in ("alps", "reef"):
        (tmp_path / "private" / "sources" / name / "index.json").write_text("{}")
    program, *rest = (word.replace("DATA", str(tmp_path)) for word in words)
    if "DATA" not in words:
        monkeypatch.setenv("TILER_DATA", str(tmp_path))
    assert offered(program, rest) == ["alps", "reef"]
    assert offered(program, [*rest[:-1], "r"]) == ["reef"]


@pytest.mark.parametrize("words", [("--stack", "s", "seed", ""), ("seed", "--stack", "s", "")])
def test_layers_of_a_stack_are_not_fetched(words: tuple[str, ...]) -> None:
    assert completed(*words)[0] == []


def test_paths_are_completed_by_the_shell() -> None:
    assert completed("ingest", "or", shell="bash")[0] == ["or"]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("program", "words", "wanted"), [("seeder", "inv", "invalidate"), ("seed", "x --foot", "--footprint")]
)
def test_bash_completes_for_real(program: str, words: str, wanted: str, tmp_path: Path) -> None:
    command = tmp_path / program
    command.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from seeder.__main__ import {program}; {program}()' \"$@\""
    )
    command.chmod(0o755)
    script = (
        f'eval "$(_{program.upper()}_COMPLETE=bash_source {program})"\n'
        f"COMP_WORDS=({program} {words}) COMP_CWORD={len(words.split())}\n"
        f'_{program}_completion {program}; echo "${{COMPREPLY[@]}}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [wanted], done.stderr
