"""Files of a folder that holds objects."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_ISREG


def inside(place: Path, root: Path) -> bool:
    """Whether `place` lies within `root` after links are followed."""
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root))


def holds(file: Path, least: int) -> bool:
    """Whether `file` exists and has at least `least` bytes."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return S_ISREG(found.st_mode) and found.st_size >= least
