"""Files of a folder that holds objects."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_ISREG


def inside(place: Path, root: Path) -> bool:
    """Whether no link on the way to `place` leads out of `root`, which may itself be a link."""
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root))


def holds(file: Path, least: int) -> bool:
    """Whether there is a file of at least so many bytes."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return S_ISREG(found.st_mode) and found.st_size >= least
