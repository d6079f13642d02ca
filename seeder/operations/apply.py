"""Apply a file of layers: ingest new layers, refresh changed ones, seed missing tiles; remove nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seeder.operations.apply_plan import LayerPlan, Terms, current_of, next_source, plan_layer
from seeder.operations.bake import BakeOptions, BakeSent, plan_bake, send_bake
from seeder.operations.budget import dollars
from seeder.operations.ingest import created_stores, ingest, with_zooms
from seeder.operations.layer_file import LayerEntry, as_keys, one_line, read_layers
from seeder.operations.refresh import refresh, refresh_by_workers
from seeder.operations.report import Report
from seeder.operations.run import RunResult
from seeder.operations.scenes import read_to_ingest
from seeder.operations.seed import SeedRequest, seed
from tiler.errors import BadEntries, BadInput, BadOption, BadSource, TilerError
from tiler.ingest.bake_plan import BakePlan
from tiler.layers.catalog import list_layers
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of a file: of each layer, in its order; and the layers that are there and not in the file."""

    layers: tuple[LayerPlan, ...]
    others: tuple[str, ...]

    @property
    def dollars(self) -> float:
        """US dollars of all layers, at most."""
        return sum(plan.dollars for plan in self.layers)

    @property
    def failed(self) -> tuple[str, ...]:
        """The layers that could not be planned."""
        return tuple(plan.layer for plan in self.layers if plan.state == "failed")

    def to_json(self) -> dict[str, Any]:
        """The JSON form of all but the layers."""
        to_do = [plan.layer for plan in self.layers if plan.to_do]
        return {"to_do": to_do, "failed": list(self.failed), "others": list(self.others), "dollars": self.dollars}


@dataclass(frozen=True, slots=True)
class LayerDone:
    """The end of a layer: the bake job that was sent, if workers bake it; what failed, if anything did."""

    layer: str
    revision: str = ""
    job: str = ""
    written: int = 0  # tiles
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.layer,
            "revision": self.revision,
            "job": self.job,
            "written": self.written,
            **({"error": self.error} if self.error else {}),
        }


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a file: its plan, and the end of each layer in which anything differed."""

    plan: Planned
    done: tuple[LayerDone, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """The layers that failed, in the order of the file."""
        return (*self.plan.failed, *(each.layer for each in self.done if each.error))

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.done)

    @property
    def passed(self) -> bool:
        """Whether no layer failed."""
        return not self.failed


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """Limits of an apply: the most US dollars, None for none at all; change nothing (`dry_run`); trust the file."""

    dollars: float | None = None
    dry_run: bool = False
    trusted: bool = False


def apply(path: str, options: ApplyOptions, terms: Terms, report: Report) -> Applied:
    """Make the layers of a file what it describes: show what differs, then do it. Nothing is removed.

    A dry run changes nothing and, unless the file is trusted, opens only sources in its folder. A layer whose sources
    cannot be read, or that fails, does not stop the others. The steps that end are each `LayerPlan`, the `Planned`,
    then each `LayerDone`.

    Raises:
        BadOption: the file cannot be read; or work costs money, and its limit is missing or too low.
        BadEntries: the file has faults, or values that do not fit a layer; all are named, and nothing was changed.
        StoreError: the layers cannot be listed.
    """
    file = read_layers(path, fenced=options.dry_run and not options.trusted)
    terms = replace(terms, fence=file.fence)
    plans, faults = [], []
    for entry in file.entries:
        planned = _planned(_trusted(entry, options), terms, report)
        if isinstance(planned, LayerPlan):
            plans.append(planned)
            report.ended(planned)
        else:
            faults.append(planned)
    if faults:
        raise BadEntries(path, faults)
    names = {entry.name for entry in file.entries}
    others = sorted(set(list_layers(Stores.open(terms.settings).sources)) - names)
    plan = Planned(tuple(plans), tuple(others))
    report.ended(plan)
    if options.dry_run:
        return Applied(plan)
    _check_paid(plan, options)
    return Applied(plan, tuple(_all_done(file.entries, plan, options, terms, report)))


def _trusted(entry: LayerEntry, options: ApplyOptions) -> LayerEntry:
    """An entry with trust in its sources, if all are trusted."""
    return replace(entry, values={**entry.values, "trust_source": True}) if options.trusted else entry


def _planned(entry: LayerEntry, terms: Terms, report: Report) -> LayerPlan | str:
    """The plan of a layer, or its failure; a text if a value of the file is invalid."""
    try:
        return plan_layer(entry, terms, report)
    except TilerError as error:
        if isinstance(error, BadInput) and not isinstance(error, BadSource):
            return one_line(f"layer {entry.name}: {as_keys(str(error))}")
        return LayerPlan(entry.name, "failed", error=one_line(str(error)))


def _check_paid(plan: Planned, options: ApplyOptions) -> None:
    """Check that paid work is within the limit.

    Raises:
        BadOption: there is no limit, or it is too low.
    """
    limit = math.ceil(100 * plan.dollars) / 100
    if plan.dollars and options.dollars is None:
        raise BadOption(
            f"this work costs up to {dollars(plan.dollars)}: add --max-cost {limit:g} to allow that (--dry-run shows "
            "the plan)"
        )
    if options.dollars is not None and plan.dollars > options.dollars:
        raise BadOption(
            f"the estimate is up to {dollars(plan.dollars)}, above --max-cost {options.dollars:g}: "
            f"apply fewer layers, or raise the limit to {limit:g}"
        )


def _all_done(
    entries: Sequence[LayerEntry], plan: Planned, options: ApplyOptions, terms: Terms, report: Report
) -> list[LayerDone]:
    """Do what differs, layer after layer."""
    done = []
    for entry, planned in zip(entries, plan.layers, strict=True):
        if not planned.to_do:
            continue
        try:
            each = _Doing(_trusted(entry, options), terms, report).done(planned)
        except TilerError as error:
            each = LayerDone(entry.name, error=one_line(str(error)))
        report.ended(each)
        done.append(each)
    return done


@dataclass(slots=True)
class _Doing:
    """The work on a layer; counts written tiles."""

    entry: LayerEntry
    terms: Terms
    report: Report
    written: int = 0
    errors: list[str] = field(default_factory=list)

    def done(self, plan: LayerPlan) -> LayerDone:
        """Ingest, refresh or seed it.

        Raises:
            TilerError: something failed.
        """
        name, job = self.entry.name, ""
        if plan.state == "new":
            job = self.ingested()
        elif plan.state == "changed":
            job = self.refreshed()
        if job:
            return LayerDone(name, job=job)
        if self.entry.query and not self.errors:
            run = self.terms.run_options(self.entry)
            budget = self.terms.budget
            request = SeedRequest(name, self.entry.query, concurrency=budget.workers, prices=budget.prices)
            self.count(seed(request, run, self.terms.settings, self.report))
        current = current_of(self.entry, self.terms.settings)
        return LayerDone(name, current.revision if current else "", "", self.written, "; ".join(self.errors))

    def count(self, result: RunResult | None) -> None:
        """Count the tiles of a run, and note why it failed."""
        if result is None:
            return
        self.written += result.tally.written
        if not result.passed:
            self.errors.append(
                result.why or f"{result.tally.failed:,} tiles failed or are missing: run the same command again"
            )

    def ingested(self) -> str:
        """Ingest a new layer; returns the id of the bake job if workers bake it."""
        entry, terms = self.entry, self.terms
        options, name, run = entry.options(None), entry.name, terms.run_options(entry)
        stored = Stores.open(terms.settings).sources
        rasters, _ = read_to_ingest(entry.sources, name, options, stored, self.report, jobs=run.processes)
        approve = with_zooms(name, entry.zooms)
        with created_stores(terms.settings) as stores:
            if terms.baked_by_workers(entry):
                plan = plan_bake(rasters, name, options, stores, self.report, approve=approve)
                if isinstance(plan, BakePlan):
                    return send_bake(plan, self.baking(), terms.settings, stores, self.report).job.id
                return ""
            ingest(
                rasters, name, options, stores, self.report, jobs=run.processes, staging=terms.staging, approve=approve
            )
        return ""

    def refreshed(self) -> str:
        """Refresh a layer that is there; returns the id of the bake job if workers bake it.

        Raises:
            Superseded: the layer is gone.
        """
        entry, terms = self.entry, self.terms
        current = current_of(entry, terms.settings)
        if current is None:
            return self.ingested()
        context, run = terms.context(entry, self.report), terms.run_options(entry)
        source = next_source(entry, current, terms)
        if terms.baked_by_workers(entry):
            result = refresh_by_workers(current.id, context, run, self.baking(), source, count_new=False)
            if isinstance(result, BakeSent):
                return result.job.id
        else:
            result = refresh(current.id, context, run, source, count_new=False)
        for each in result.runs:
            self.count(each)
        if not result.passed and not self.errors:
            self.errors.append("tiles could not be re-rendered or removed: run the same command again")
        return ""

    def baking(self) -> BakeOptions:
        """How workers bake it; they seed zooms only without selectors of places."""
        settings, entry = self.terms.settings, self.entry
        first = entry.zooms if entry.anywhere else ()
        queue = self.terms.run_options(entry).queue
        return BakeOptions(settings.bake_queue, queue, first=first, cdn=settings.cloudfront)
