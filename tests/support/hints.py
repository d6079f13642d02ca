"""Commands suggested by the program's output, and how to run them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from seeder.cli.seed import seed
from tiler.storage.store import Store

JOBS = ("ingest", "seed", "refresh", "verify", "rollback", "resume")
NAMED = re.compile(r"`((?:seeder|seed) [^`]*)`|next: ((?:seeder|seed) [^(\n]*)")


def run(*words: object) -> Result:
    """A command, with one process."""
    some = ("--jobs", "1") if words[0] in JOBS else ()
    program, rest = (seed, words[1:]) if words[0] == "seed" else (cli.main, words)
    return CliRunner().invoke(program, [*map(str, rest), *some])


def hints(result: Result) -> list[str]:
    """The commands in the output."""
    return [one or other for one, other in NAMED.findall(result.output)]


def follow(hint: str) -> Result:
    """Run a hint as a shell would."""
    words = shlex.split(hint)
    return run(*(words[1:] if words[0] == "seeder" else words))


Run = Callable[..., Result]


def cut_off(run: Run, words: tuple[str, ...], verb: str, number: int) -> None:
    """Interrupt the command at the nth put tile or the nth deleted batch."""
    real, seen = getattr(Store, verb), 0

    def cut(store: Store, what: Any, *data: bytes, **headers: str) -> None:
        nonlocal seen
        keys = [what] if isinstance(what, str) else list(what)
        seen += bool(keys and re.match(r"land/\d+/", keys[0]))
        if seen == number:
            raise KeyboardInterrupt
        real(store, what if data else keys, *data, **headers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, verb, cut)
        run(*words, code=130)
