"""Print every text of the programs: each help, the message of each error class, and each message in the code.

Fail if an error class has no sample arguments in SAMPLES.
"""

from __future__ import annotations

import ast
import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import seeder
import tiler
from seeder.cli.main import main
from seeder.cli.seed import seed
from tiler import errors
from tiler.errors import TilerError

WIDTH = 100  # columns of a help
PACKAGES = (tiler, seeder)
SAMPLES: dict[type[TilerError], tuple[Any, ...]] = {
    errors.TilerError: ("MESSAGE",),
    errors.BadInput: ("MESSAGE",),
    errors.GridError: ("MESSAGE",),
    errors.BadName: ("My Layer",),
    errors.UnknownLayer: ("releif", ("relief", "alps")),
    errors.UnknownJob: ("releif", ("relief-20261101T120000-1a2b",)),
    errors.ZoomOutside: ("relief", (12, 13), 0, 9),
    errors.TileOutside: ("relief", "relief/12/3/4.png", "0c3b"),
    errors.VariantNotRendered: ("relief", "relief/12/3/4@2x.png"),
    errors.BadSource: ("relief.tif", "REASON"),
    errors.ChangedSource: ("relief.tif",),
    errors.BadScenes: (40, (("a.tif", "REASON"), ("b.tif", "REASON"), ("c.tif", "REASON"))),
    errors.BadOption: ("MESSAGE",),
    errors.BadEntries: ("layers.toml", ("layer ortho: max_zom: unknown key: did you mean max-zoom?", "FAULT", "FAULT")),
    errors.BadStore: ("ftp://example.com/tiles", "REASON"),
    errors.BadCloud: ("MESSAGE",),
    errors.NewerMetadata: ("sources/relief/index.json", 2, 1),
    errors.OutOfMemory: (),
    errors.SourceReadError: ("relief.tif", "REASON"),
    errors.StoreError: ("write", "relief/1/2/3.png", "REASON"),
    errors.MissingObject: ("relief/1/2/3.png",),
    errors.Changed: ("sources/relief/index.json",),
    errors.Superseded: ("MESSAGE",),
    errors.CatalogError: ("sources/relief/index.json", "REASON"),
    errors.QueueError: ("REASON", ("7-16-8", "7-24-8")),
    errors.MessageError: ("MESSAGE",),
    errors.BadImage: ("MESSAGE",),
    errors.NoRoom: ("/data/private", 12_300_000_000, 4_500_000_000),
    errors.WorkerDied: (),
}
SPEAKERS = {  # functions and methods with a text for users as an argument
    *("say", "note", "say_next", "echo", "require_confirmation", "confirm", "prompt", "fail", "BadParameter", "stage"),
    *("bake", "countdown", "interruptible", "info", "warning", "error", "interrupted"),
}


def helps() -> Iterator[tuple[str, str]]:
    """The command line of each help, and its text: both programs, and all commands."""
    programs: list[tuple[str, click.Command]] = [("seeder", main), ("seed", seed)]
    for name, command in [*programs, *((f"seeder {each}", main.commands[each]) for each in main.homes)]:
        context = click.Context(command, info_name=name, terminal_width=WIDTH, **command.context_settings)
        yield f"{name} --help", command.get_help(context)


def classes() -> list[type[TilerError]]:
    """Every error class of both packages, base classes first."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    found, new = [], [TilerError]
    while new:
        found += new
        new = [each for kind in new for each in kind.__subclasses__() if each not in found]
    return found


def without_samples() -> list[str]:
    """The names of error classes missing from SAMPLES."""
    return [kind.__name__ for kind in classes() if kind not in SAMPLES]


def messages() -> Iterator[tuple[str, str]]:
    """The name of each error class, and its message."""
    for kind in classes():
        if kind in SAMPLES:
            yield kind.__name__, str(kind(*SAMPLES[kind]))


def texts_in_code() -> Iterator[tuple[str, str]]:
    """The place and the text of each message built in the code; `{...}` is a value."""
    names = {kind.__name__ for kind in classes()} | SPEAKERS
    for package in PACKAGES:
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            place = path.relative_to(Path(package.__path__[0]).parent)
            nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.expr | ast.stmt)]
            for node in sorted(nodes, key=lambda node: node.lineno):
                for text in _texts(node, names):
                    yield f"{place}:{node.lineno}", text


def _texts(node: ast.AST, names: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Yield | ast.Return) and isinstance(node.value, ast.JoinedStr):
        values = [node.value]
    elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
        values = [*node.args, *(each.value for each in node.keywords)]
    else:
        return
    for value in values:
        text = _text(value)
        if " " in text.strip():
            yield text


def _text(value: ast.expr) -> str:
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) for part in parts)
        case ast.FormattedValue(value=inner):
            return f"{{{ast.unparse(inner)}}}"
        case ast.IfExp(body=one, orelse=other):
            return f"{_text(one)} | {_text(other)}"
    return ""


def run() -> int:
    """Print everything; return 1 if an error class has no sample arguments."""
    for title, text in helps():
        click.echo(f"\n### {title}\n\n{text}")
    click.echo("\n### Error classes\n")
    for title, text in messages():
        click.echo(f"{title}: {text}")
    click.echo("\n### Messages in the code\n")
    for title, text in texts_in_code():
        click.echo(f"{title}: {text}")
    left = without_samples()
    if left:
        click.echo(f"error: no sample arguments for {', '.join(left)}: add them to SAMPLES", err=True)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(run())
