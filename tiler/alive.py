"""Check whether a process is running; apart from `processes`, whose imports would slow down a Lambda."""

from __future__ import annotations

import os


def alive(pid: int) -> bool:
    """Whether a process with this id exists on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's process
        return True
    return True
