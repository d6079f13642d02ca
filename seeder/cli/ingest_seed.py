"""Options and output of `ingest --seed`: the seeding after an ingest, and its plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from seeder.cli.common import parsed
from seeder.cli.grouping import option
from seeder.cli.messages import count_of_tiles, duration, megabytes, note
from seeder.cli.run_job import RunArguments, run_flags
from seeder.cli.seed import LimitArguments, cost_in_words, limit_flags, print_estimate, run_seed
from seeder.defaults import CORES
from tiler import timing
from tiler.errors import BadOption
from tiler.grid import format_zooms, parse_zooms
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.operations.bake import BakeOptions
    from seeder.operations.budget import Budget
    from seeder.operations.estimate_bake import BakeEstimate
    from seeder.operations.ingest import IngestPlan
    from seeder.operations.run import RunOptions
    from seeder.operations.seed import SeedRequest

Command = Callable[..., None]
BY_QUEUE = ("queue", "max_failed", "wait")  # parameters that a bake through a queue also has
SEED_ONLY = ("confirm_above", "yes", *BY_QUEUE)  # parameters
LAMBDA_SECONDS = 900.0 - timing.BAKE_MARGIN_SECONDS  # for a part


@dataclass(frozen=True, slots=True)
class Seeding:
    """The seeding of a layer after its ingest."""

    request: SeedRequest
    run_options: RunOptions
    limits: LimitArguments
    settings: Settings

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zooms of its tiles."""
        return self.request.query.zooms or ()

    def run(self, *, as_json: bool) -> None:
        """Seed the layer, and print the result; note after a failure that the layer is ingested.

        Raises:
            Exit: with 1 if tiles failed or are missing.
        """
        layer, continuation = self.request.layer, self._continuation()
        try:
            run_seed(self.request, self.run_options, self.limits, self.settings, as_json=as_json)
        except BaseException:
            note(f"layer {layer} is ingested: {continuation}")
            raise

    def _continuation(self) -> str:
        """The command to continue an interrupted or failed seeding; with stale tiles, `refresh` first."""
        from tiler.layers.catalog import load_layer
        from tiler.layers.tilejson import pending
        from tiler.storage.store import Stores

        layer, stores = self.request.layer, Stores.open(self.settings)
        if pending(load_layer(stores.sources, layer), stores):
            return f"re-render its stale tiles with `seeder refresh {layer}`, then run the same command again"
        return f"continue with `seed {layer} --zooms {format_zooms(self.zooms)}` or the same command"


def print_plan(plan: IngestPlan, seeding: Seeding | None, *, as_json: bool) -> None:
    """Print the layer, the estimate of its bake, and its number of tiles; of a layer that is up to date, theirs."""
    click.echo(json.dumps(plan.to_json()) if as_json else "\n".join(_planned(plan)))
    if seeding and not plan.fresh:
        print_estimate(seeding.request, seeding.run_options, seeding.settings, as_json=as_json)


def _planned(plan: IngestPlan) -> Iterator[str]:
    from seeder.operations.budget import dollars

    state = "would be ingested" if plan.fresh else "is up to date"
    revision = f"revision {plan.revision}, " if plan.revision else ""
    yield f"layer {plan.layer} {state}: {revision}zooms {plan.minzoom}-{plan.maxzoom}"
    yield f"bounds {plan.bounds.rounded}"
    if plan.bake:
        yield from _baked(plan.bake)
    if plan.fresh and plan.zooms:
        zooms, paid = format_zooms(tuple(plan.zooms)), plan.rendering.total
        rest = f", at most {dollars(paid)}" if paid else "; an estimate needs the ingested layer"
        yield f"zooms {zooms}: at most {count_of_tiles(plan.tiles)}{rest}"


def _baked(bake: BakeEstimate) -> Iterator[str]:
    """The estimate of a bake."""
    forecast, number = bake.forecast, bake.bakers.number
    size = megabytes(forecast.bytes)
    parts = f"{bake.work.parts:,} of {bake.whole.parts:,} part{'' if bake.whole.parts == 1 else 's'}"
    above = f"{bake.work.overviews:,} overview part{'' if bake.work.overviews == 1 else 's'}"
    yield f"would bake at most {parts} and {above}, about {size}"
    who = f"{number:,} worker" if bake.bakers.queued else f"{number:,} process"
    several = "" if number == 1 else "s" if bake.bakers.queued else "es"
    here = "" if bake.bakers.queued else " on this machine"
    yield f"time: about {duration(forecast.seconds)} with {who}{several}{here}"
    if forecast.part_seconds > LAMBDA_SECONDS:
        longest = f"a part takes up to {duration(forecast.part_seconds)}, longer than a function may run"
        yield f"{longest}: bake with `seeder worker` on any machine"
    if forecast.cost.total:
        yield f"cost: {cost_in_words(forecast.cost)} (prices of {bake.prices})"
    else:
        yield "cost: nothing, because all work is done on this machine"


@dataclass(frozen=True, slots=True)
class SeedArguments:
    """Options of `ingest --seed`, as typed."""

    zooms: tuple[int, ...] | None
    limits: LimitArguments
    run_options: RunArguments

    @property
    def jobs(self) -> int:
        """The number of processes of the ingest."""
        return self.run_options.jobs or CORES

    def bake_queue(self, settings: Settings) -> str:
        """The URL of the bake queue if a queue was typed; empty for this machine.

        A stack of an earlier version has no bake queue: its layers are baked here, and seeded through its queue.

        Raises:
            BadOption: no bake queue is known, and there is nothing to seed.
        """
        from seeder.cli.bake_job import typed_queue
        from seeder.operations.bake import bake_queue

        typed = typed_queue()
        if not typed or (self.zooms is not None and not settings.bake_queue):
            return ""
        return bake_queue(typed, settings)

    def budget(self, settings: Settings) -> Budget:
        """The budget of the ingest.

        Raises:
            BadOption: the prices are invalid, or the bake queue is unknown.
        """
        return self.limits.budget_arguments(by_workers=bool(self.bake_queue(settings)))

    def how(self, settings: Settings) -> BakeOptions:
        """How to bake by workers.

        Raises:
            BadOption: the queue for tiles is unknown.
        """
        from seeder.operations.bake import BakeOptions

        run = self.run_options(settings, "")
        return BakeOptions(self.bake_queue(settings), run.queue, run.most, self.zooms or (), settings.cloudfront)

    def seeding(self, layer: str, settings: Settings) -> Seeding | None:
        """The seeding of `layer`; None without `--seed`.

        Raises:
            BadOption: an option needs `--seed`, or the queue or the prices are invalid.
        """
        from seeder.cache.query import TileQuery

        if self.zooms is None:
            _check_alone(BY_QUEUE if self.bake_queue(settings) else ("queue",))  # typed, it is `local`
            return None
        request = self.limits.request(layer, TileQuery(self.zooms))
        return Seeding(request, self.run_options(settings, ""), self.limits, settings)


def _check_alone(valid: Container[str]) -> None:
    """Reject typed options that have no effect without `--seed`, except `valid` ones.

    Raises:
        BadOption: one was typed.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        typed = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if typed and parameter.name in SEED_ONLY and parameter.name not in valid:
            raise BadOption(f"{parameter.opts[0]} needs --seed: add --seed ZOOMS, or leave {parameter.opts[0]} out")


def seed_options(command: Command) -> Command:
    """The option `--seed` and those of `seed` that go with it; the command gets them as `seed_arguments`."""

    @option(
        "--seed",
        "zooms",
        group="Render",
        metavar="ZOOMS",
        callback=parsed(parse_zooms),
        help="Then render the tiles of these zooms, as `seed --zooms` does: 7, 5-14 or 0-3,7,9-11.",
    )
    @limit_flags("Show an estimate of parts, megabytes, time and cost, and the number of tiles; change nothing.")
    @run_flags("local")
    @wraps(command)
    def with_seeding(
        *args: Any, zooms: tuple[int, ...] | None, limits: LimitArguments, run_options: RunArguments, **kwargs: Any
    ) -> None:
        command(*args, seed_arguments=SeedArguments(zooms, limits, run_options), **kwargs)

    return with_seeding
