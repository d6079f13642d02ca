"""The README names no option that does not exist; every link and every named path exists."""

from __future__ import annotations

import re

import click
import pytest

from seeder.cli import main as cli
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = sorted(cli.main.commands)


def options(command: str) -> set[str]:
    return {
        name
        for parameter in cli.main.commands[command].params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def test_no_option_is_told_that_does_not_exist() -> None:
    known = set.union({"--help"}, *(options(command) for command in COMMANDS))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_path_for_contributors_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"(?<![\w/])((?:tests|tiler|seeder|scripts|bench|docs|preview|deploy|\.ci)/[\w./-]*)", text))
    assert len(paths) > 20
    assert {path for path in paths if not (ROOT / path).exists()} == set()


RASTERS = (ROOT / "docs" / "reference" / "rasters.md").read_text()
ROWS = [
    line for line in RASTERS.splitlines() if line.startswith("| ") and not line.startswith(("| the raster", "| ---"))
]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_about_rasters_names_tests_that_exist(row: str) -> None:
    *_, proof, end = row.split(" |")
    assert end == ""
    named = re.findall(r"`(?:([\w/]*test_\w+\.py)(?:::)?)?(test_\w+)?`", proof)
    assert named or proof.strip().startswith("the same")
    file = ""
    for where, name in named:
        file = where or file
        text = (ROOT / "tests" / file).read_text()
        assert not name or f"def {name}(" in text, f"{file}::{name}"


def test_scripts_are_executable() -> None:
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix]
    assert len(scripts) > 5
    for path in (*scripts, ROOT / ".ci" / "run"):
        assert path.stat().st_mode & 0o111, path.name
