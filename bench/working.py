"""The worker function in this process, with messages as SQS hands them to it: what memory it holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from verify import held

from seeder.jobs.messages import Job, Spec
from seeder.select.selection import Selection, regions
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant

BATCH = 5  # messages that the function gets at once
Case = tuple[Layer, TileVariant, int]  # and how many blocks


class Context:
    """Lambda's."""

    function_name = "worker"

    def get_remaining_time_in_millis(self) -> int:
        """Enough."""
        return 120_000


def peaks(environment: Mapping[str, str], cases: Iterable[Case]) -> list[float]:
    """Megabytes that this process held at most, before it began and after each layer's blocks."""
    os.environ |= environment
    silence = Path(os.devnull).open("w")  # noqa: SIM115 - the function logs for as long as it lives
    with redirect_stdout(silence):
        return [*_peaks(cases)]


def _peaks(cases: Iterable[Case]) -> Iterator[float]:
    from seeder.workers import lambda_handler  # noqa: PLC0415 - it writes where stdout is now

    yield held("VmHWM")
    for layer, variant, blocks in cases:
        bodies = list(islice(cycle(_bodies(layer, variant)), blocks))
        for first in range(0, blocks, BATCH):
            answer = lambda_handler.handler(
                {"Records": [_record(body) for body in bodies[first : first + BATCH]]}, Context()
            )
            assert answer == {"batchItemFailures": []}, answer
        yield held("VmHWM")


def _bodies(layer: Layer, variant: TileVariant) -> list[str]:
    """The messages of all blocks of which the pixels lie in the COG, the deepest first, rendered in any case."""
    zooms = tuple(range(layer.minzoom, layer.maxzoom + 2 - variant.scale))
    selection = Selection(zooms)
    job = Job.new(Spec(layer.id, layer.revision, selection, variant, force=True), datetime.now(UTC))
    masks = [mask for region in regions(layer, selection) for mask in region.block_masks()]
    return [job.message(mask).encode() for mask in reversed(masks)]


def _record(body: str) -> dict[str, Any]:
    return {
        "messageId": "0",
        "receiptHandle": "0",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
    }
