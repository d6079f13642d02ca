"""scripts/messages prints every help text and the message of every error class."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator

import pytest

from seeder.cli.grouping import GROUPS
from tests.support.paths import ROOT
from tests.support.scripts import script
from tiler import errors
from tiler.errors import TilerError

messages = script("messages")


@pytest.fixture(scope="module")
def printed() -> str:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr(messages.click, "echo", lambda text, **_: lines.append(text))
        assert messages.run() == 0
    return "\n".join(lines)


def declared() -> Iterator[tuple[str, str]]:
    """The commands as the source declares them, and the first line of each help."""
    for path in (ROOT / "seeder" / "cli").glob("*.py"):
        yield from re.findall(r'^@command\("([\w-]+)"\)\n(?:.*\n)*?    """(.*)', path.read_text(), re.MULTILINE)


def test_every_help_is_printed_once(printed: str) -> None:
    found = dict(declared())
    assert len(found) == len(messages.main.homes) > 15
    for name, summary in found.items():
        (text,) = re.findall(rf"^### seeder {name} --help\n(.*?)\n### ", printed, re.MULTILINE | re.DOTALL)
        assert f"\n  {summary}\n" in text
        assert [title for title in re.findall(r"^(\w+):$", text, re.MULTILINE) if title in GROUPS][-1] == "General"


def test_every_error_class_is_printed(printed: str) -> None:
    text = printed.split("### Error classes")[1].split("### Messages in the code", maxsplit=1)[0]
    drawn = re.findall(r"([A-Z]\w+)  +[a-z]", errors.__doc__ or "")
    assert len(drawn) >= 20
    for name in drawn:
        assert re.search(rf"^{name}: \S", text, re.MULTILINE), name


def test_an_error_class_without_sample_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type("Unheard", (errors.BadInput,), {})
    try:
        assert messages.without_samples() == ["Unheard"]
        monkeypatch.setattr(messages.click, "echo", lambda *_, **__: None)
        assert messages.run() == 1
    finally:
        del kind
        gc.collect()
    assert messages.without_samples() == []


def test_every_class_is_seen_wherever_it_stands() -> None:
    """The tree that Python knows once all modules are imported."""

    def below(kind: type[TilerError]) -> set[type[TilerError]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    assert set(messages.classes()) == below(TilerError)


def test_messages_in_the_code_are_printed_with_their_place(printed: str) -> None:
    lines = printed.split("### Messages in the code")[1].splitlines()
    assert len(lines) > 200
    for text in ("no queue: name a deployed stack with --stack NAME", "no layers yet in {place_name(settings)}"):
        assert any(re.match(r"seeder/cli/\w+\.py:\d+: ", line) and text in line for line in lines), text
