"""Leftovers of killed puts in a folder: obstore writes a file as NAME#1 (or #2), then renames it.

No listing shows such files, and no key can have such a name. Only their age distinguishes them from files that are
being written, because they do not name their process.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from tiler import timing

STAGED = re.compile(r"[^#]+#\d+")


def sweep_beside(file: str) -> None:
    """Remove leftovers of earlier puts of `file`; one stat if there are none."""
    for number in count(1):
        staged = f"{file}#{number}"  # a text, because pathlib takes longer than the stat
        if not os.path.lexists(staged):
            return
        _remove(Path(staged))


def sweep(root: Path | None, folder: str, *, deep: bool = False) -> int:
    """Remove leftovers in `folder` of a store's `root`, with `deep` also below it; return their number.

    Other stores have no root, and nothing to remove.
    """
    place = root / folder if root else None
    return sum(map(_remove, _staged(place, deep=deep))) if place else 0


def _staged(place: Path, *, deep: bool) -> Iterator[Path]:
    for parent, folders, names in os.walk(place):
        yield from (Path(parent, name) for name in names if STAGED.fullmatch(name))
        if not deep:
            folders.clear()


def _remove(staged: Path) -> bool:
    """Remove a file if it is old enough, and return whether it was removed; keep it without permission."""
    with suppress(OSError):
        if time.time() - staged.lstat().st_mtime > timing.LEFTOVER_SECONDS:
            staged.unlink()
            return True
    return False
