"""Every command line in the documentation names a command and options that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from seeder.cli import main as cli
from tests.support.paths import ROOT

REFERENCE = ROOT / "docs" / "reference" / "cli.md"  # generated from the commands
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(set((ROOT / "docs").rglob("*.md")) - {REFERENCE})]
FENCED = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:seeder|seed) [^`]+)`")
COMMENT = re.compile(r"\s#.*$|^#.*$", re.MULTILINE)


def lines(page: Path) -> Iterator[str]:
    """Each call of a command on a page, in a block or within a sentence."""
    text = page.read_text()
    for block in FENCED.findall(text):
        for line in COMMENT.sub("", block).replace("\\\n", " ").splitlines():
            yield from re.split(r"\||&&", line.removeprefix("$ "))
    yield from (span.replace("\n", " ") for span in INLINE.findall(text))


def calls(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The calls of a page: name of the command, and the options that it is given."""
    for line in lines(page):
        words = shlex.split(line)
        if words[:1] == ["seeder"]:
            words = words[1:]
        elif words[:1] != ["seed"]:
            continue
        if words and re.fullmatch("[a-z-]+", words[0]) and not words[0].startswith("-"):
            yield words[0], [word.partition("=")[0] for word in words[1:] if word.startswith("--")]


def options(command: str) -> set[str]:
    """The options that the help of a command shows."""
    given = [each for each in cli.main.commands[command].params if isinstance(each, click.Option) and not each.hidden]
    return {"--help", *(name for each in given for name in (*each.opts, *each.secondary_opts))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    for name, given in calls(page):
        assert name in cli.main.commands
        assert set(given) <= options(name), name


def test_most_commands_are_on_some_page() -> None:
    named = {name for page in PAGES for name, _ in calls(page)}
    assert set(cli.main.commands) - named <= {"layers", "list", "completion"}
