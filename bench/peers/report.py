"""What was measured, as JSON and as tables."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demo import Figures

from peers.quality import EXACT, Quality
from peers.timing import Run
from peers.tools import JOBS, TOOLS

HEAD = (
    "| | wall s | CPU s | peak MB | tiles | MB | / Pillow's | best peer's wall / this | {like} | sharpness "
    "| alpha off |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)
LEGEND = """\
Runs of each tool: {runs}, in turns; medians, wall seconds with the least and the most. {jobs} processes or threads,
PNG tiles of 256 pixels. Memory is the largest sum of proportional set sizes seen; "/ Pillow's" the bytes of a sample of
tiles relative to those of Pillow's encoder as it comes, for the same pictures. Quality is that of the highest zoom /
of the lower zooms, medians over a sample of tiles, against each tile warped by itself from the full resolution: PSNR in
dB, or for a palette the share of pixels of the same colour; sharpness is the energy of the gradients relative to that
reference (below 1 is blurred, above 1 jagged); alpha off is the share of pixels that are wrongly transparent or wrongly
not."""


@dataclass
class Entry:
    """One tool on one source."""

    tool: str
    runs: list[Run] = field(default_factory=list)
    quality: Quality | None = None
    failed: str = ""

    def walls(self, commands: slice) -> list[float]:
        """Seconds of each run that `commands` took."""
        return [sum(step.wall for step in run.steps[commands]) for run in self.runs]


@dataclass
class Measured:
    """All tools on one source."""

    source: str
    title: str
    zooms: tuple[int, int]
    tiles: int  # that its extent touches
    palette: bool
    resampling: str
    entries: list[Entry] = field(default_factory=list)

    def best(self) -> float:
        """The median wall seconds of the fastest peer; nan where there is none."""
        peers = [entry for entry in self.entries if entry.runs and not TOOLS[entry.tool].ours]
        return min((statistics.median(entry.walls(slice(None))) for entry in peers), default=math.nan)


@dataclass
class Report:
    """Everything, with the machine it was measured on."""

    machine: dict[str, str]
    versions: dict[str, str]
    runs: int
    sources: list[Measured] = field(default_factory=list)

    def dump(self, path: Path) -> None:
        """Write it to `path`."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """What `dump` wrote to `path`."""
        said = json.loads(path.read_text())
        for source in said["sources"]:
            source["entries"] = [_entry(each) for each in source["entries"]]
        return cls(**said | {"sources": [Measured(**each) for each in said["sources"]]})


def _entry(said: dict[str, Any]) -> Entry:
    runs = [Run(**run | {"steps": tuple(Figures(**step) for step in run["steps"])}) for run in said["runs"]]
    return Entry(**said | {"runs": runs, "quality": said["quality"] and Quality(**said["quality"])})


def machine() -> dict[str, str]:
    """What this machine is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"processor": model, "cores": str(os.cpu_count()), "python": platform.python_version()}


def tables(report: Report) -> Iterator[str]:
    """The report in Markdown, line by line."""
    yield "{processor}, {cores} cores, Python {python}.".format(**report.machine)
    yield from ("", LEGEND.format(runs=report.runs, jobs=JOBS), "")
    yield from (f"- {name}: {version}" for name, version in report.versions.items())
    for source in report.sources:
        low, high = source.zooms
        yield from ("", f"### {source.title}, zooms {low}-{high}, {source.tiles:,} tiles, {source.resampling}", "")
        yield HEAD.format(like="same colour" if source.palette else "PSNR, dB")
        notes: list[str] = []
        for entry in source.entries:
            yield from _rows(source, entry)
            notes += _notes(source, entry, report.runs)
        yield from ("", *notes)


def _rows(source: Measured, entry: Entry) -> Iterator[str]:
    for name, commands in TOOLS[entry.tool].rows.items():
        if not entry.runs:
            yield f"| {name} | failed: {entry.failed}{' |' * 10}"
            continue
        steps = [run.steps[commands] for run in entry.runs]
        walls = entry.walls(commands)
        wall = statistics.median(walls)
        spread = f" ({min(walls):.1f}-{max(walls):.1f})" if len(walls) > 1 else ""
        cells = [
            f"{wall:.1f}{spread}",
            f"{statistics.median(sum(step.cpu for step in each) for each in steps):.1f}",
            f"{statistics.median(max(step.memory for step in each) for each in steps):.0f}",
            f"{entry.runs[0].tiles:,}",
            f"{entry.runs[0].size / 1e6:.1f}",
            f"{entry.quality.pillow:.2f}" if entry.quality else "",
            f"{source.best() / wall:.2f}",
            *_judged(source, entry.quality),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _judged(source: Measured, quality: Quality | None) -> tuple[str, str, str]:
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


def _notes(source: Measured, entry: Entry, runs: int) -> Iterator[str]:
    tool = TOOLS[entry.tool]
    said = [*tool.notes, *([tool.on[source.source]] if source.source in tool.on else [])]
    if 0 < len(entry.runs) < runs:
        said.append("1 run" if len(entry.runs) == 1 else f"{len(entry.runs)} runs")
    if entry.failed and entry.runs:
        said.append(f"failed after that: {entry.failed}")
    if said and entry.runs:
        yield f"- {tool.name}: {'; '.join(said)}."
