"""How near the estimate comes: `python bench/estimate.py [--tiny] [DATA]`.

Estimates the demo's relief and seeds the same into a throwaway folder, five times in turn, and compares the bytes and
the milliseconds of all receipts: medians. DATA is the folder in which `scripts/demo` made the layer; nothing is
written there.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import layers
from tiny import arguments, parser_for, sized

from seeder.cache.prepare_job import prepare
from seeder.jobs.estimate import Question, estimate
from seeder.jobs.messages import Receipt
from seeder.jobs.prices import Prices
from seeder.select.blocks import Count
from seeder.select.selection import Selection, count
from seeder.workers.local_pool import LocalPool
from tiler.grid import Bounds
from tiler.keys import layer_prefix
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

NAME = "relief"
RUNS = sized(5, 1)
JOBS = sized(os.cpu_count() or 1, 1)
SELECTIONS = sized(
    {
        "all zooms": Selection(tuple(range(7))),
        "zoom 6": Selection((6,)),
        "zoom 6 of Europe and Africa": Selection((6,), (Bounds(-20, -35, 60, 70),)),
        "zooms 0-6 of the Alps": Selection(tuple(range(7)), (Bounds(5, 43, 17, 49),)),
    },
    {"all zooms": Selection((0, 1))},
)


@dataclass(frozen=True)
class Figures:
    """What a selection comes to."""

    bytes: float
    seconds: float  # of rendering, over all processes
    wall: float  # that it took to find out


def estimated(layer: Layer, selection: Selection, settings: Settings) -> Figures:
    """What the estimate says."""
    start = time.perf_counter()
    question = Question(layer, selection, TileVariant(), force=False, queued=False, workers=JOBS, prices=Prices())
    found = estimate(question, settings, jobs=JOBS, progress=lambda _: None)
    return Figures(found.demand.bytes, found.demand.seconds, time.perf_counter() - start)


def seeded(layer: Layer, selection: Selection, settings: Settings) -> Figures:
    """What the receipts of a seeding say that begins with no tile."""
    stores = Stores.open(settings, create=True)
    stores.tiles.delete([entry.key for entry in stores.tiles.list(layer_prefix(layer.id))])
    receipts: list[Receipt] = []
    start = time.perf_counter()
    plan = prepare(layer, selection, TileVariant(), force=True, stores=stores)
    LocalPool(settings, JOBS, receipts.append).send(plan.messages((8,)))
    wall = time.perf_counter() - start
    outcomes = [receipt.outcome for receipt in receipts]
    if any(each.failed for each in outcomes):
        sys.exit(f"seeding failed: {next(each.error for each in outcomes if each.failed)}")
    return Figures(sum(each.bytes for each in outcomes), sum(each.milliseconds for each in outcomes) / 1000, wall)


def main(data: Path) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder)
        shutil.copytree(data / "private" / "sources" / NAME, own / "private" / "sources" / NAME)
        settings = Settings.from_env({}, data=folder)
        layer = load_layer(Stores.open(settings).sources, NAME)
        print(f"{NAME} at revision {layer.revision}, {JOBS} processes, Python {sys.version.split()[0]}\n")
        print("| | tiles | MB said | MB made | ratio | s said | s taken | ratio | least to most | estimating, s |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for title, selection in SELECTIONS.items():
            tiles = Count.total(count(layer, selection)).tiles
            runs = [[figures(layer, selection, settings) for figures in (estimated, seeded)] for _ in range(RUNS)]
            said, made = (
                Figures(*map(median, zip(*map(astuple, each), strict=True))) for each in zip(*runs, strict=True)
            )
            ratios = [one.seconds / other.seconds for one, other in runs]
            print(f"| {title} | {tiles:,}", end="")
            print(f" | {said.bytes / 1e6:.1f} | {made.bytes / 1e6:.1f} | {said.bytes / made.bytes:.2f}", end="")
            print(f" | {said.seconds:.2f} | {made.seconds:.2f} | {median(ratios):.2f}", end="")
            print(f" | {min(ratios):.2f} to {max(ratios):.2f} | {said.wall:.1f} |", flush=True)


if __name__ == "__main__":
    parser = parser_for(__doc__)
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="where scripts/demo made its layer")
    with layers.demo(arguments(parser).data) as data:
        main(data)
