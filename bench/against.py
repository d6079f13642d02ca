"""Every tile of a few rasters, by this project and by its peers: `bench/against.py [OPTIONS]`.

Same source, zooms, tile size, format, resampling and number of processes for all, and they take turns. Prints tables
in Markdown on stdout. The peers are installed into bench/peers/.venv; `gdal2tiles` is used where the system has it.
Needs what scripts/demo installs, and Linux.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import markers
from peers.quality import judge, reference, sample
from peers.report import Entry, Measured, Report, machine, tables
from peers.sources import MAKERS, Source, make
from peers.timing import Failed, Run, timed
from peers.tools import TOOLS, Tool
from tiny import TINY, arguments, parser_for, sized

DOCS = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> None:
    """Measure and print."""
    asked = options()
    if asked.origin:
        show(Report.load(asked.origin), docs=asked.docs)
        return
    tools = [*installed(TOOLS[name] for name in asked.tools)]
    report = Report(machine(), {tool.name: versions(tool) for tool in tools}, asked.runs)
    with tempfile.TemporaryDirectory(dir=asked.work) as folder:
        for name in asked.sources:
            say(f"{name}: making the source")
            source = make(name, Path(asked.work or folder) / "sources", small=asked.small)
            report.sources.append(measured(source, tools, asked, Path(folder)))
            if asked.json:
                report.dump(asked.json)
    show(report, docs=asked.docs)


def show(report: Report, *, docs: bool) -> None:
    """Print the tables, and put them into the documentation."""
    text = "\n".join(tables(report))
    print(text)
    if docs:
        markers.fill(DOCS, "peers", text)


def measured(source: Source, tools: list[Tool], asked: argparse.Namespace, folder: Path) -> Measured:
    """All `tools` on `source`, in turns."""
    found = Measured(
        source.name,
        source.title,
        (source.minzoom, source.maxzoom),
        source.count(),
        source.palette,
        source.resampling,
        [Entry(tool.name) for tool in tools],
    )
    say(f"{source.name}: zooms {source.minzoom}-{source.maxzoom}, {found.tiles} tiles; warping what they should be")
    references = {tile: reference(source, tile) for tile in sample(source)}
    for number in range(asked.runs):
        for tool, entry in zip(tools, found.entries, strict=True):
            if entry.failed or (entry.runs and entry.walls(slice(None))[0] > asked.slow):
                continue
            # Nothing is deleted before the end: ext4 is slow to make files for minutes after many were
            target = folder / source.name / tool.name / str(number)
            target.mkdir(parents=True)
            try:
                run = run_of(tool, source, target)
                entry.runs.append(run)
                if entry.quality is None:
                    entry.quality = judge(source, references, tool.written(source, target))
            except (Failed, OSError, sqlite3.Error) as error:
                entry.failed = str(error)
                say(f"{source.name}: {tool.name} failed: {error}")
            else:
                say(f"{source.name}: run {number + 1}, {tool.name}: {entry.walls(slice(None))[-1]:.1f} s")
    return found


def run_of(tool: Tool, source: Source, target: Path) -> Run:
    """One run of `tool` into `target`."""
    commands = tool.commands(source, target)
    os.sync()  # nobody waits for the files of who came before
    steps = tuple(timed(command) for command in commands)
    tiles, size = tool.written(source, target).size()
    if not tiles:
        raise Failed("it made no tiles")
    return Run(steps, tiles, size)


def installed(tools: Iterable[Tool]) -> Iterator[Tool]:
    """The tools; a tiny run, which installs none, goes without those that are not there, and says so."""
    for tool in tools:
        try:
            tool.version()
        except Failed as error:
            if TINY and not tool.ours:
                say(f"{tool.name} is skipped: {error}")
                continue
        yield tool


def versions(tool: Tool) -> str:
    """What `tool` is made of."""
    try:
        return tool.version()
    except Failed as error:
        return str(error)


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr)


def options() -> argparse.Namespace:
    """What was asked for."""

    def among(known: dict[str, Any]) -> Callable[[str], list[str]]:
        def names(text: str) -> list[str]:
            if unknown := set(text.split(",")) - set(known):
                raise argparse.ArgumentTypeError(f"no {', '.join(unknown)} here")
            return text.split(",")

        return names

    parser = parser_for(__doc__)
    for name, known in (("sources", MAKERS), ("tools", TOOLS)):
        parser.add_argument(
            f"--{name}", type=among(known), default=list(known), metavar="NAME[,NAME]", help=",".join(known)
        )
    parser.add_argument("--runs", type=int, default=sized(3, 1), metavar="N", help="runs of each tool; medians count")
    parser.add_argument(
        "--slow", type=float, default=120, metavar="S", help="seconds after which a tool runs only once"
    )
    parser.add_argument("--small", action="store_true", help="sources of a quarter the width, for a first try")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where sources are kept; default: nowhere")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/performance.md, too")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="origin", help="print the tables of such a file")
    return arguments(parser)


if __name__ == "__main__":
    main()
