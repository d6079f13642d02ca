"""The bake function with short waits, before a second try and after a publication, and without processes of its own."""

from __future__ import annotations

from seeder.bakes import lambda_handler
from tiler import timing

FENCE = 3.0  # seconds instead of 80

timing.fence_seconds = lambda *, folder: FENCE  # noqa: ARG005
timing.RETRY_DELAYS_SECONDS = (1, 2, 4, 8)
timing.BAKE_POLL_SECONDS = 1.0
lambda_handler.BAKE_PROCESSES = 1
handler = lambda_handler.handler
