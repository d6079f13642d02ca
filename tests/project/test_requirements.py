"""The locked requirements: every package with a version and hashes, and nothing that says where they come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.packaging import package_lambda
from tests.support.paths import ROOT

FOLDERS = (ROOT, ROOT / "bench" / "peers", ROOT / "tests" / "clients")
LOCKED = sorted(path for folder in FOLDERS for path in folder.glob("requirements*.txt"))
SOURCES = sorted(path for folder in FOLDERS for path in folder.glob("requirements*.in"))
HASHES = r"( \\\n    --hash=sha256:[0-9a-f]{64})+"


def pins(path: Path, python: str = "") -> dict[str, set[str]]:
    """The packages that a file names for a Python, or for any, as an index spells them, with their versions."""
    found: dict[str, set[str]] = {}
    for line in re.sub(r"^(#|-c ).*\n| \\\n +--hash=\S+", "", path.read_text(), flags=re.MULTILINE).splitlines():
        named = Requirement(line)
        environment = {"python_version": python, "python_full_version": f"{python}.0"}
        if not python or named.marker is None or named.marker.evaluate(environment):
            found.setdefault(canonicalize_name(named.name), set()).add(str(named.specifier))
    return found


def test_every_source_is_locked() -> None:
    assert [path.with_suffix(".txt") for path in SOURCES] == LOCKED


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_requirement_has_a_version_and_hashes(path: Path) -> None:
    lines = re.sub(r"^ *#.*\n", "", path.read_text(), flags=re.MULTILINE)
    assert re.fullmatch(rf"([\w.-]+(\[[\w,]+\])?==[\w.+-]+( ; [^\\\n]+)?{HASHES}\n)+", lines)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_locked_file_has_what_its_source_names(path: Path) -> None:
    locked = pins(path.with_suffix(".txt"))
    for name, versions in pins(path).items():
        assert name in locked
        assert versions in ({""}, locked[name])


@pytest.mark.parametrize("path", [path for path in LOCKED if path.parent == ROOT], ids=lambda path: path.name)
def test_files_that_are_installed_together_agree(path: Path) -> None:
    ours = pins(ROOT / "requirements.txt", package_lambda.PYTHON if path.name == package_lambda.LOCKED else "")
    assert {name: each for name, each in pins(path).items() if name in ours and each != ours[name]} == {}


@pytest.mark.parametrize("path", LOCKED + SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_says_where_packages_come_from(path: Path) -> None:
    assert not re.search(r"://|^--?(i|f|index|extra|find|trusted)\b", path.read_text(), re.MULTILINE)
