"""The programs `seeder` and `seed`, from the first import to the exit code.

Only what is cheap is imported before Ctrl-C is answered: the rest takes a second.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

from seeder import INTERRUPTED

PATIENCE = 3  # interrupts until the program ends without clearing up
STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
USUAL = (signal.default_int_handler, signal.SIG_DFL)  # what a signal does that nobody asked to be ignored

_interrupts = 0


def seeder() -> NoReturn:
    """`seeder`, and `python -m seeder`."""
    _run("seeder.cli.main", "main", "seeder")


def seed() -> NoReturn:
    """`seed`."""
    _run("seeder.cli.seed", "seed", "seed")


def _run(module: str, name: str, program: str) -> NoReturn:
    code = INTERRUPTED
    try:
        _answer(_interrupt)
        command = getattr(import_module(module), name)
        code = import_module("seeder.cli.messages").exit_code(command, program)
    except KeyboardInterrupt:
        pass
    finally:
        _answer(_leave)
    sys.exit(INTERRUPTED if _interrupts else code)


def _answer(act: signal._HANDLER) -> None:
    """Call `act` on Ctrl-C, SIGTERM and SIGHUP, except signals ignored by the shell or `nohup`."""
    for number in STOPS:
        if signal.getsignal(number) in (*USUAL, _interrupt):
            signal.signal(number, act)


def _interrupt(*_: object) -> None:
    """Raise for the first one; while that is answered let others pass, and end at once if they go on."""
    global _interrupts  # noqa: PLW0603 - signals have no other memory
    _interrupts += 1
    if _interrupts == 1:
        raise KeyboardInterrupt
    if _interrupts >= PATIENCE:
        _leave()


def _leave(*_: object) -> None:
    """End without another word; workers end with their parent."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    seeder()
