"""Files of a folder that holds objects."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG


@lru_cache(maxsize=1)  # files of a folder come together
def inside(folder: str, root: str) -> bool:
    """Whether no link leads out of `root`."""
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root))


def holds(file: Path, least: int) -> bool:
    """Whether there is a file of at least so many bytes."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return S_ISREG(found.st_mode) and found.st_size >= least
