"""Verify a layer: compare stored tiles with the plan, and on request with a fresh render."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from seeder.cache.audit import TO_SEED, Audit, Finding, Problem, sampled
from seeder.cache.deep import deep_findings
from seeder.cache.query import TileQuery
from seeder.defaults import CORES, DEEP_SAMPLE
from seeder.operations.report import Report
from seeder.operations.select import select_tiles
from seeder.select.blocks import Count
from tiler.ingest.unchanged import check_unchanged
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

if TYPE_CHECKING:
    from seeder.select.blocks import BlockMask

INTERRUPTED = "interrupted: some tiles were not verified"


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """`deep` also compares `sample` stored tiles (None: all) with a fresh render, in `jobs` processes."""

    deep: bool = False
    sample: int | None = DEEP_SAMPLE
    jobs: int = CORES


@dataclass(slots=True)
class VerifyResult:
    """The number of verified tiles, and of findings by problem."""

    layer: str
    tiles: int
    problems: Counter[Problem] = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        """Whether there are no findings."""
        return not self.problems

    @property
    def to_seed(self) -> frozenset[Problem]:
        """The problems found that seeding mends."""
        return TO_SEED & self.problems.keys()


def verify(
    layer: str,
    query: TileQuery,
    options: VerifyOptions,
    settings: Settings,
    report: Report,
    on_finding: Callable[[Finding], object],
) -> VerifyResult:
    """List the stored tiles of a selection and compare them with the plan; `on_finding` takes each finding.

    Tiles with a receipt of being empty are not missing. If tiles of several revisions may be stored, those that a
    listing cannot tell apart are compared with a fresh render.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile of the layer is selected.
        BadSource: the raster of a virtual layer changed.
        SourceReadError, StoreError, WorkerDied: tiles cannot be listed, read or rendered.
    """
    stores = Stores.open(settings)
    current = load_layer(stores.sources, layer)
    check_unchanged(current)
    variant = query.variant(current)
    selection, counts = select_tiles(query, current, stores, report)
    result = VerifyResult(layer, Count.total(counts).tiles)
    audit = Audit.of(current, selection, variant, stores)

    def tell(finding: Finding) -> None:
        result.problems[finding.problem] += 1
        on_finding(finding)

    def compare(block_masks: Iterable[BlockMask], total: int, problem: Problem | None = None) -> None:
        with report.stage("compare", total, interrupted=INTERRUPTED) as advance:
            for finding in deep_findings(audit, block_masks, settings, jobs=options.jobs, progress=advance):
                tell(replace(finding, problem=problem) if problem else finding)

    with report.interruptible(INTERRUPTED):
        audit.sweep()
        with report.stage(f"verify {layer}", result.tiles, interrupted=INTERRUPTED) as advance:
            for finding in audit.findings(advance):
                tell(finding)
        unsure = list(audit.unsure())
        if unsure:
            compare(unsure, sum(map(len, unsure)), "stale")
        if options.deep:
            sample = result.tiles if options.sample is None else min(options.sample, result.tiles)
            compare(sampled(audit, options.sample), sample)
    return result
