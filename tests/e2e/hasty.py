"""The bake function, and as a module the command `seeder`, with short waits after a publication."""

from __future__ import annotations

from seeder.bakes import lambda_handler
from tiler import timing

FENCE = 3.0  # seconds instead of 80

timing.fence_seconds = lambda *, folder: FENCE  # noqa: ARG005
timing.BAKE_POLL_SECONDS = 1.0
handler = lambda_handler.handler

if __name__ == "__main__":
    from seeder.cli.main import main

    main()
