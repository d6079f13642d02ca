"""The figures as tables, and beside the goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kept import machine

from peers.quality import EXACT, Quality
from peers.sources import Source
from peers.timing import Run
from peers.tools import JOBS, Row, Tool

HEAD = (
    "| | wall s | CPU s | peak MB | tiles | MB | / Pillow's | best peer's wall / this | CPU | {like} | sharpness "
    "| alpha off |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)
LEGEND = """\
{processor}, {cores} cores. Runs in turns; medians, wall seconds with the least and the most. {jobs} processes or
threads, tiles of 256 pixels. Memory is the largest observed sum of proportional set sizes; "/ Pillow's" the bytes of a
sample of tiles relative to those of Pillow's encoder with its defaults, for the same pictures. The best peer is the
fastest, its CPU seconds are compared, too. Quality is that of the highest zoom / of the lower zooms, medians over a
sample of tiles, against each tile warped by itself from the full resolution: PSNR in dB, or for a palette the share of
pixels of the same colour; sharpness is the energy of the gradients relative to that reference (below 1 is blurred,
above 1 jagged); alpha off is the share of pixels that are wrongly transparent or wrongly not."""
NAMES = {"dem": "heights"}  # of sources, for a comparison
GOALS = "| goal | source | best peer's wall / this | CPU | goal | |\n| --- | --- | ---: | ---: | ---: | --- |"


@dataclass
class Entry:
    """One tool on one source."""

    tool: Tool
    runs: list[Run] = field(default_factory=list)
    quality: Quality | None = None
    failed: str = ""

    def walls(self, row: Row) -> list[float]:
        """Seconds by the clock that the row's commands took, run by run."""
        return [sum(step.wall for step in run.steps[row.first :]) for run in self.runs]

    def wall(self, row: Row) -> float:
        """Their median."""
        return statistics.median(self.walls(row))

    def cpu(self, row: Row) -> float:
        """The median of the CPU seconds of all processes of the row's commands."""
        return statistics.median(sum(step.cpu for step in run.steps[row.first :]) for run in self.runs)


@dataclass
class Measured:
    """All tools on one source."""

    source: Source
    tiles: int  # that its extent touches
    entries: list[Entry]

    def ratios(self, entry: Entry, row: Row) -> tuple[float, ...]:
        """Wall and CPU seconds of the fastest peer relative to the row's; empty if no peer ran."""
        peers = [each for each in self.entries if each.runs and not each.tool.ours]
        if not peers:
            return ()
        best = min(peers, key=lambda each: each.wall(each.tool.rows[0]))
        first = best.tool.rows[0]
        return best.wall(first) / entry.wall(row), best.cpu(first) / entry.cpu(row)


def tables(measured: Sequence[Measured], tools: Mapping[str, str]) -> Iterator[str]:
    """Everything in Markdown, line by line; `tools` are names by version."""
    yield from (LEGEND.format(jobs=JOBS, **machine()), "")
    yield from (f"- {name}: {version}" for version, name in tools.items())
    for each in measured:
        source = each.source
        yield from ("", f"### {source.title}, zooms {source.zooms}, {each.tiles:,} tiles, {source.resampling}", "")
        yield HEAD.format(like="same colour" if source.palette else "PSNR, dB")
        for entry in each.entries:
            yield from _rows(each, entry)
        yield from ("", *(line for entry in each.entries for line in _notes(source, entry)))
    if goals := [line for each in measured for line in _goals(each)]:
        yield from ("", "### Goals", "", GOALS, *goals)


def short(measured: Sequence[Measured], tools: Mapping[str, str]) -> Iterator[str]:
    """One row a command: seconds by the clock on each source, the most memory, and the versions of the tools."""
    heads = (f"{NAMES.get(each.source.name, each.source.name)}, {each.tiles:,} tiles: s" for each in measured)
    yield f"| | {' | '.join(heads)} | MB of memory |"
    yield "| --- |" + " ---: |" * (len(measured) + 1)
    for entries in zip(*(each.entries for each in measured), strict=True):
        for row in entries[0].tool.rows:
            walls = [f"{entry.wall(row):.1f}" if entry.runs else "failed" for entry in entries]
            steps = [step.memory for entry in entries for run in entry.runs for step in run.steps[row.first :]]
            memory = f"{max(steps):.0f}" if steps else ""
            yield f"| {row.label} | {' | '.join(walls)} | {memory} |"
    yield from ("", *(f"- {name}: {version}" for version, name in tools.items()))


def _rows(measured: Measured, entry: Entry) -> Iterator[str]:
    for row in entry.tool.rows:
        if not entry.runs:
            yield f"| {row.label} | failed: {entry.failed}{' |' * 11}"
            continue
        walls, steps = entry.walls(row), [run.steps[row.first :] for run in entry.runs]
        spread = f" ({min(walls):.1f}-{max(walls):.1f})" if len(walls) > 1 else ""
        cells = [
            f"{entry.wall(row):.1f}{spread}",
            f"{entry.cpu(row):.1f}",
            f"{statistics.median(max(step.memory for step in each) for each in steps):.0f}",
            f"{entry.runs[0].tiles:,}",
            f"{entry.runs[0].size / 1e6:.1f}",
            f"{entry.quality.pillow:.2f}" if entry.quality else "",
            *([f"{each:.2f}" for each in measured.ratios(entry, row)] or ["", ""]),
            *_judged(measured.source, entry.quality),
        ]
        yield f"| {row.label} | {' | '.join(cells)} |"


def _judged(source: Source, quality: Quality | None) -> tuple[str, str, str]:
    """The cells of quality."""
    if quality is None:
        return "", "", ""
    like: Callable[[float], str] = "{:.2%}".format if source.palette else _decibels
    return (
        " / ".join(like(each) for each in quality.like),
        " / ".join(f"{each:.2f}" for each in quality.sharp),
        f"{quality.alpha:.3%}",
    )


def _decibels(value: float) -> str:
    return "exact" if value >= EXACT else f"{value:.1f}"


def _notes(source: Source, entry: Entry) -> Iterator[str]:
    notes = [*entry.tool.notes, *([entry.tool.on[source.name]] if source.name in entry.tool.on else [])]
    notes.append("1 run" if len(entry.runs) == 1 else f"{len(entry.runs)} runs")
    if entry.failed and entry.runs:
        notes.append(f"failed after that: {entry.failed}")
    if entry.runs:
        yield f"- {entry.tool.name}: {'; '.join(notes)}."


def _goals(measured: Measured) -> Iterator[str]:
    name = measured.source.name
    for entry in measured.entries:
        for row in entry.tool.rows:
            if name in row.goals and entry.runs and (ratios := measured.ratios(entry, row)):
                wall, cpu = ratios
                outcome = "met" if wall >= row.goals[name] else "**missed**"
                yield f"| {row.label} | {name} | {wall:.2f} | {cpu:.2f} | {row.goals[name]:g} | {outcome} |"
