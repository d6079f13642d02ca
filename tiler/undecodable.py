"""Log GDAL's messages with invalid UTF-8, which quote damaged metadata.

rasterio's handlers (`log_error` in `_env.pyx`) fail to decode them. GDAL continues, so nothing is raised, but Cython
prints a traceback; only the interpreter's hooks can prevent that.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType

log = logging.getLogger(__name__)


def log_undecodable() -> None:
    """Log these messages at level INFO, as rasterio logs others, and print no tracebacks."""
    if getattr(sys.unraisablehook, "__module__", "") == __name__:
        return  # the hooks are in place
    raised, unraisable = sys.excepthook, sys.unraisablehook

    def on_raised(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if trace or not isinstance(error, UnicodeDecodeError):  # errors of Python code have a traceback
            raised(kind, error, trace)

    def on_unraisable(event: sys.UnraisableHookArgs) -> None:
        error = event.exc_value
        if isinstance(error, UnicodeDecodeError) and str(event.object).startswith("rasterio."):
            log.info("GDAL: %s", error.object.decode(errors="backslashreplace"))
        else:
            unraisable(event)

    sys.excepthook, sys.unraisablehook = on_raised, on_unraisable
