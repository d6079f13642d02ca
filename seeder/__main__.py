"""The programs `seeder` and `seed`, from the first import to the exit code.

Little is imported before Ctrl-C is handled: the rest takes up to a second.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

from seeder import INTERRUPTED

PATIENCE = 3  # signals until the program ends without clean-up
STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
USUAL = (signal.default_int_handler, signal.SIG_DFL)  # handlers of a signal that the shell does not ignore

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
        _handle(_interrupt)
        command = getattr(import_module(module), name)
        code = import_module("seeder.cli.messages").exit_code(command, program)
    except KeyboardInterrupt:
        pass
    finally:
        _handle(_leave)
    sys.exit(INTERRUPTED if _interrupts else code)


def _handle(act: signal._HANDLER) -> None:
    """Call `act` on Ctrl-C, SIGTERM and SIGHUP, except signals ignored by the shell or `nohup`."""
    for number in STOPS:
        if signal.getsignal(number) in (*USUAL, _interrupt):
            signal.signal(number, act)


def _interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt at the first signal; ignore the second during clean-up; end at once at the third."""
    global _interrupts  # noqa: PLW0603 - signals have no other memory
    _interrupts += 1
    if _interrupts == 1:
        raise KeyboardInterrupt
    if _interrupts >= PATIENCE:
        _leave()


def _leave(*_: object) -> None:
    """End at once, without clean-up; worker processes end with their parent."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    seeder()
