"""A bake queue and a queue for tiles, and workers of both in this process."""

from __future__ import annotations

import os
from dataclasses import dataclass

from seeder.bakes.handle import handle
from seeder.workers.bake_part import BakeWorker
from seeder.workers.lambda_handler import handle_record
from seeder.workers.process_block import Worker
from seeder.workers.settle import settle
from seeder.workers.sqs import SqsQueue
from tiler.raster import datasets
from tiler.settings import Settings
from tiler.storage.store import Stores

MOST = 500  # messages of one test


@dataclass(frozen=True)
class Bakery:
    """The queues, in the environment of every command."""

    bakes: SqsQueue
    tiles: SqsQueue

    @property
    def settings(self) -> Settings:
        """Those of the environment."""
        return Settings.from_env(os.environ)

    @property
    def stores(self) -> Stores:
        """The stores of the environment."""
        return Stores.open(self.settings, create=True)

    def work(self, most: int = MOST, *, tries: int = 0) -> int:
        """Work off both queues, at most some messages of bakes; returns their number.

        With `tries`, each message is handled as if it were delivered for that time.
        """
        number, idle = 0, False
        while not idle and number < most:
            idle = True
            for delivery in self.bakes.receive(1, wait=0):
                worker = BakeWorker(self.stores, self.bakes.send, 1)
                result = handle(worker, self.settings, delivery.body, tries or delivery.tries)
                datasets.forget()
                settle(self.bakes, delivery, result)
                number, idle = number + 1, False
            for delivery in self.tiles.receive(10, wait=0):
                station = Worker.open(self.settings, self.tiles.send)
                settle(self.tiles, delivery, handle_record(station, delivery.body, delivery.tries))
                idle = False
        datasets.forget()
        return number
