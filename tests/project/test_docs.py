"""The reference has every command and option, and no page has one that does not exist."""

from __future__ import annotations

import re

import click
import pytest

from seeder.cli import main as cli
from tests.support.paths import ROOT
from tests.support.scripts import script

README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "cli.md").read_text()
SECTIONS = {part.split("\n", 1)[0]: part for part in REFERENCE.split("\n## ")}
COMMANDS = sorted(cli.main.commands)


def options(command: str) -> set[str]:
    return {
        name
        for parameter in cli.main.commands[command].params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def test_the_reference_is_up_to_date() -> None:
    assert script("reference").page() == REFERENCE, "run scripts/reference"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_its_options_are_in_the_reference(command: str) -> None:
    assert f"](#seeder-{command})" in SECTIONS["All commands"]
    rows = re.findall(r"^\| <code>(-.*?)</code> \| \S", SECTIONS[f"seeder {command}"], re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row)]
    assert len(documented) == len(set(documented))
    assert set(documented) == options(command) | {"-h", "--help"}


def test_no_page_names_an_option_that_does_not_exist() -> None:
    known = set.union({"--help"}, *(options(command) for command in COMMANDS))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README + REFERENCE)) <= known | {"--version"}


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


def test_the_changelog_tells_each_change_once() -> None:
    entries = re.split(r"^- ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    assert sorted(entries) == sorted(set(entries))


def test_scripts_are_executable() -> None:
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix]
    assert len(scripts) > 5
    for path in (*scripts, ROOT / ".ci" / "run"):
        assert path.stat().st_mode & 0o111, path.name
