"""How many workers a job should have, how long it takes and what it costs: `python bench/scale.py`.

Simulates jobs of up to a billion tiles over N Lambdas, with SQS's ramp and S3's request limits (docs/scale.md tells
how), and prints Markdown tables. `--validate` runs real workers on a server that stands for S3 and holds the model
against them; that takes some minutes and wants a quiet machine. `--docs` writes what was printed into docs/scale.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pages import dollars, publish, table
from scale_fluid import Run, simulate
from scale_world import FOREVER, PRICES, Bucket, Job, Queue, Worker, World, job
from tiny import TINY, arguments, parser_for, sized

from seeder.jobs.prices import LISTS, Cost, Demand
from seeder.jobs.prices import cost as priced

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
JOBS = sized({"1 M": 1_000_000, "100 M": 100_000_000, "1 B": 1_000_000_000}, {"100 k": 100_000})
CONCURRENCY = sized((16, 32, 64, 128, 256, 512, 1000), (16,))
TRIED = sized((8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1000), (16, 24))
WORLDS = sized(slice(None), slice(1))  # of those below
DEAR = 1.1  # times the least cost that is borne for speed
ENOUGH = 1.15  # times the shortest time that is had for that
HOUR, MINUTE = 3600.0, 60.0
WORLD = World()


@dataclass(frozen=True)
class Case:
    """A job in a world, played out."""

    world: World
    job: Job
    run: Run

    @property
    def dead(self) -> int:
        """Dead letters; the part of a block is none."""
        return round(self.run.dead)

    @property
    def cost(self) -> Cost:
        """At the prices of `seeder.jobs.prices`. S3 does not bill what it refuses."""
        run = self.run
        calls = run.received + run.splits
        demand = Demand(
            tiles=0,  # workers' waiting is in their seconds
            blocks=calls,
            stored=run.puts + run.done - calls + LISTS * run.again,  # only blocks that are done leave a receipt
            bytes=self.job.tiles * self.world.tile_bytes * run.done / self.job.leaves,
            seconds=run.busy * PRICES.lambda_speed,
            messages=1,
            checked=False,
        )
        memory = self.world.worker.memory / 1024
        return priced(demand, replace(PRICES, lambda_gb=memory), in_s3=True)

    @property
    def once(self) -> float:
        """Dollars, without storage."""
        return self.cost.total - self.cost.storage


@cache
def case(world: World, tiles: int, concurrency: int) -> Case:
    """The job with so many workers."""
    here = replace(world, queue=replace(world.queue, concurrency=concurrency))
    made = job(tiles)
    return Case(here, made, simulate(here, made))


def knee(world: World, tiles: int) -> Case:
    """The fewest workers with which the job takes hardly longer than with any that cost hardly more than the cheapest.

    Dead letters cost somebody's time, so there are none.
    """
    cases = [case(world, tiles, workers) for workers in TRIED]
    whole = [each for each in cases if not each.dead] or cases[:1]
    borne = DEAR * min(each.once for each in whole)
    cheap = [each for each in whole if each.once <= borne]
    least = min(each.run.seconds for each in cheap)
    return next(each for each in cheap if each.run.seconds <= ENOUGH * least)


def span(seconds: float) -> str:
    """Hours, or minutes where that is less than two hours, or days where it is more than four."""
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 96 * HOUR else f"{seconds / HOUR / 24:.1f} days"


def share(part: float) -> str:
    """Percent."""
    return f"{100 * part:.0f}%"


def of_job(name: str) -> Iterator[str]:
    """How one job goes with more and more workers."""

    def rows() -> Iterator[list[str]]:
        for workers in CONCURRENCY:
            one = case(WORLD, JOBS[name], workers)
            run = one.run
            yield [
                f"{workers:,}", span(run.seconds), dollars(one.once), dollars(one.cost.compute),
                f"{one.job.tiles / run.seconds:,.0f}", share(run.throttled), f"{run.again:,.0f}", f"{one.dead:,}",
                f"{run.partitions}",
            ]  # fmt: skip

    made = job(JOBS[name])
    yield f"**{name} tiles** ({made.tiles:,} in {made.leaves:,} blocks, {sum(made.messages.values()):,} messages sent)"
    yield ""
    head = "workers, time, cost, of it Lambda, tiles/s, PUTs refused, redeliveries, dead letters, partitions at the end"
    yield from table(head, rows())


def advice() -> Iterator[str]:
    """The right number of workers for each job."""

    def rows() -> Iterator[list[str]]:
        for name, tiles in JOBS.items():
            one = knee(WORLD, tiles)
            yield [
                name, f"**{one.world.queue.concurrency}**", span(one.run.seconds), dollars(one.once),
                dollars(one.cost.storage), share(one.run.throttled), f"{one.run.again:,.0f}",
            ]  # fmt: skip

    yield from table("tiles, `maximumConcurrency`, time, cost, storage a month, PUTs refused, redeliveries", rows())


def worlds() -> Iterator[tuple[str, World]]:
    """What may be otherwise than assumed, one thing at a time."""
    yield "as assumed", WORLD
    for minutes in (5, 15, 60):
        yield f"partitions split after {minutes} min", replace(WORLD, bucket=Bucket(split=minutes * MINUTE))
    yield "partitions never split", replace(WORLD, bucket=Bucket(split=FOREVER))
    yield "16 partitions from the start", replace(WORLD, bucket=Bucket(partitions=16))
    yield "messages come along the Z curve", replace(WORLD, queue=Queue(shuffled=False))
    yield "the same, 16 boxes sent at the same time", replace(WORLD, queue=Queue(shuffled=False, boxes=16))
    for milliseconds in (20, 50, 100):
        yield f"S3 answers in {milliseconds} ms", replace(WORLD, worker=Worker(latency=milliseconds / 1000))
    for milliseconds in (1, 4, 8):
        yield f"{milliseconds} ms of CPU a tile", replace(WORLD, worker=Worker(tile=milliseconds / 1000))
    yield "workers of 885 MB, half a CPU", replace(WORLD, worker=Worker(memory=885))
    yield "refused PUTs tried again ten times only", replace(WORLD, worker=Worker(retries=10))


def sensitivity(name: str) -> Iterator[str]:
    """The right number of workers, were things otherwise, and what becomes of 256 then."""

    def rows() -> Iterator[list[str]]:
        for title, world in [*worlds()][WORLDS]:
            print(title, file=sys.stderr)
            one, many = knee(world, JOBS[name]), case(world, JOBS[name], 256)
            yield [
                title, f"{one.world.queue.concurrency}", span(one.run.seconds), dollars(one.once),
                share(one.run.throttled), span(many.run.seconds), dollars(many.once), f"{many.dead:,}",
            ]  # fmt: skip

    head = "1 B tiles, workers, time, cost, PUTs refused, with 256 workers: time, cost, dead letters"
    yield from table(head.replace("1 B", name), rows())


def modelled() -> dict[str, str]:
    """Every table of the model, by the name of its place in docs/scale.md."""
    jobs = "\n\n".join("\n".join(of_job(name)) for name in JOBS)
    return {"advice": "\n".join(advice()), "jobs": jobs, "sensitivity": "\n".join(sensitivity([*JOBS][-1]))}


def validation(*, quick: bool) -> str:
    """The table of real runs."""
    from scale_real import HASTY, Setting, validate  # noqa: PLC0415 - it changes http.server, only real runs need it

    size = 1 if quick else 4
    settings = [Setting(workers, FOREVER, size * (10 + 8 * workers)) for workers in (1, 2, 4, 8)]
    settings += [Setting(workers, limit, size * 16) for limit in (300, 150) for workers in (2, 4, 8)]
    settings += [Setting(8, limit, size * 8, HASTY) for limit in (150, 100, 75)]
    if TINY:
        settings = [Setting(1, FOREVER, 1), Setting(1, 20, 1, HASTY / 5)]  # the second comes again
    return "\n".join(validate(settings))


def main() -> None:
    """Print the tables."""
    parser = parser_for(__doc__)
    parser.add_argument("--validate", action="store_true", help="hold the model against real runs")
    parser.add_argument("--quick", action="store_true", help="with small ones")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/scale.md")
    given = arguments(parser)
    tables = modelled()
    if given.validate:
        tables["validation"] = validation(quick=given.quick)
    publish(tables, PAGE if given.docs else None)


if __name__ == "__main__":
    main()
