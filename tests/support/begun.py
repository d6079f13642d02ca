"""An unfinished job, and commands for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from seeder.cache.prepare_job import prepare
from seeder.cli import main as cli
from seeder.jobs.ledger import finished
from seeder.jobs.status import State
from seeder.select.selection import Selection
from seeder.workers.process_block import Worker
from tests.support.damaged import cut, damage
from tiler.layers.catalog import load_layer
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

ZOOMS = (5, 6, 7)  # of `alps`: 14 tiles in 3 blocks


def seeder(*words: str) -> Result:
    """Run `seeder` with one process."""
    several = words[0] in ("seed", "resume", "errors")
    return CliRunner().invoke(cli.main, [*words, *(("--jobs", "1") if several else ())])


def told(result: Result) -> dict[str, Any]:
    """The last line of JSON on stdout."""
    said: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return said


class Begun:
    """A job of zooms 5 to 7 of `alps` in a data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.settings = Settings.from_env({}, data=str(data))
        self.stores = Stores.open(self.settings)
        self.sources = self.stores.sources
        layer = load_layer(self.sources, "alps")
        self.plan = prepare(layer, Selection(ZOOMS), TileVariant(), force=False, stores=self.stores)
        self.id = self.plan.job.id

    def work(self, first: int = 0, end: int = 3) -> None:
        """Render some of its blocks."""
        worker = Worker.open(self.settings)
        for message in list(self.plan.messages((8,)))[first:end]:
            worker.work(message)

    @contextmanager
    def unreadable(self) -> Iterator[None]:
        """Truncate the layer's parts within the block."""
        restore = damage(self.data, cut)
        yield
        restore()

    def blocks(self) -> int:
        """The number of finished blocks."""
        return sum(1 for _ in finished(self.sources, self.id))

    def state(self) -> State:
        """Its state according to `status`."""
        said: State = told(seeder("status", self.id, "--json"))["state"]
        return said
