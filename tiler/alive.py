"""Whether a process lives; apart from `processes`, whose imports a Lambda need not wait for."""

from __future__ import annotations

import os


def alive(pid: int) -> bool:
    """Whether a process with this id exists on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True
