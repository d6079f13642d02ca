"""scripts/pythons lists the Pythons that run, in the given order, and no others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def program(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def listed(home: Path, *versions: str) -> list[str]:
    """The lines for `versions` in a home folder with its own `bin`."""
    environment = {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"}
    done = subprocess.run(
        [ROOT / "scripts" / "pythons", *versions], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("folder", [".pyenv/versions/9.13.4", ".local/share/uv/python/cpython-9.13.4-linux"])
def test_a_python_is_listed_although_another_of_its_version_does_not_run(folder: str, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "python9.13", "echo 'pyenv: python9.13: command not found' >&2\nexit 127")
    works = program(tmp_path / folder / "bin" / "python9.13", 'echo "9.13.4 $0"')
    older = program(tmp_path / "bin" / "python9.11", 'echo "9.11.7 $0"')
    assert listed(tmp_path, "9.13", "9.12", "9.11") == [f"9.13.4 {works}", f"9.11.7 {older}"]
    assert listed(tmp_path, "9.12") == []
