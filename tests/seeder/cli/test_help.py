"""The help texts guide: commands by subject, options by purpose, examples that parse, nothing cut off."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from seeder.cli.grouping import GROUPS, Command, GroupedOption, options_by_group
from seeder.cli.main import main
from seeder.cli.seed import seed

COMMANDS = dict(main.commands)
TERMINAL = 80  # columns


def help_of(*words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--help"], terminal_width=TERMINAL)
    assert result.exit_code == 0, result.output
    return result.stdout


def sections(text: str) -> dict[str, str]:
    """The sections of a help by title."""
    found = re.split(r"^(\w+):\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def examples(name: str) -> list[list[str]]:
    """The words of each command line in the help of a command that runs one of ours; pipes are divided."""
    text = COMMANDS[name].help or ""
    lines = [line.strip() for line in text.partition("Examples:\n")[2].splitlines() if line.strip()]
    parts = [part.split() for line in lines for part in line.split(" | ")]
    return [words[1:] if words[0] == "seeder" else words for words in parts if words[0] in ("seeder", "seed")]


def test_the_program_lists_every_command_once_in_its_section_on_one_line() -> None:
    found = sections(help_of())
    assert list(found)[-5:] == ["Layers", "Tiles", "Jobs", "Operate", "General"]
    rows = [
        re.fullmatch(r"  (\S+) {2,}(\S.*\.)", line)
        for title in ("Layers", "Tiles", "Jobs", "Operate")
        for line in found[title].strip("\n").splitlines()
    ]
    assert all(rows), found
    listed = [row[1] for row in rows if row]
    assert sorted(listed) == sorted(COMMANDS)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_the_first_of_its_help(name: str) -> None:
    assert main.homes[name].summary == (COMMANDS[name].help or "").splitlines()[0]
    assert COMMANDS[name].name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_one_group_and_has_a_help(name: str) -> None:
    found = sections(help_of(name))
    assert [title for title in found if title in GROUPS] == [group for group in GROUPS if group in found]
    context = click.Context(COMMANDS[name], **COMMANDS[name].context_settings)
    for group, options in options_by_group(COMMANDS[name], context).items():
        for each in options:
            assert isinstance(each, GroupedOption) or "--help" in each.opts
            assert each.help
            names = {spelling for spelling in (*each.opts, *each.secondary_opts) if spelling.startswith("--")}
            for spelling in names:
                places = [
                    title for title, text in found.items() if re.search(rf"^  .*{spelling}\b(?!-)", text, re.MULTILINE)
                ]
                assert group in places, spelling


def prose() -> Iterator[tuple[str, str]]:
    for name, command in COMMANDS.items():
        for each in command.params:
            if isinstance(each, click.Option):
                yield f"{name} {each.opts[-1]}", each.help or ""
        yield name, (command.help or "").partition("\b")[0]


@pytest.mark.parametrize("text", sorted({text for _, text in prose()}))
def test_no_sentence_is_longer_than_twenty_words(text: str) -> None:
    plain = re.sub(r"\[default.*?\]|\s+", " ", text).strip()
    assert plain.endswith(".")
    for sentence in re.split(r"(?<=[.;])\s", plain):
        assert len(sentence.split()) <= 20, sentence


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_two_examples_of_options_that_exist(name: str) -> None:
    assert len([words for words in examples(name) if words[0] == name]) >= 2
    for first, *words in examples(name):
        known = {spelling for each in COMMANDS[first].params for spelling in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known | {"--help"}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "errors"])
def test_the_examples_parse(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for each in ("towns.geojson", "town.geojson"):
        Path(each).write_text('{"type": "Point", "coordinates": [7, 46]}')
    for first, *words in examples(name):
        with CliRunner().isolation(), COMMANDS[first].make_context(first, shlex.split(" ".join(words))):
            pass


@pytest.mark.parametrize("command", [*COMMANDS.values(), main, seed], ids=lambda command: str(command.name))
def test_quiet_and_verbose_are_everywhere_and_h_is_help(command: click.Command) -> None:
    known = {spelling for each in command.params for spelling in each.opts}
    assert {"-q", "--quiet", "-v", "--verbose"} <= known
    short, long = (CliRunner().invoke(command, [word]).stdout for word in ("-h", "--help"))
    assert short == long != ""


def test_an_option_needs_a_group_of_the_help() -> None:
    with pytest.raises(TypeError):
        GroupedOption(["--new"])  # type: ignore[call-arg]
    command = Command("c", params=[GroupedOption(["--late"], group="Safety"), GroupedOption(["--new"], group="Select")])
    assert [*options_by_group(command, click.Context(command))] == ["Select", "Safety", "General"]
