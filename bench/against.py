"""Every tile of a few rasters, by this project and by its peers: `bench/against.py [OPTIONS]`.

Same source, zooms, tile size, format, resampling and number of processes for all, and they take turns. Prints tables
in Markdown on stdout, and each row's ratio to the best peer beside its goal. Sources are in peers/sources.py; tools,
rows and goals in peers/tools.py. Peers are installed into bench/peers/.venv; `gdal2tiles` is used if the system has it.
Figures are kept in bench/.kept, so an interrupted run continues. Needs the packages of scripts/demo, and Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import kept
import markers
from demo import Figures
from mercantile import Tile
from peers import sources
from peers.quality import Pixels, Quality, judge, reference, sample
from peers.report import Entry, Measured, short, tables
from peers.sources import MAKERS, Source, make
from peers.timing import Failed, Run, timed
from peers.tools import OURS, PEERS, Tool, ours
from tiny import TINY, arguments, parser_for, sized

DOCS = Path(__file__).parent.parent / "docs"
RECIPE = hashlib.sha256(Path(sources.__file__).read_bytes()).hexdigest()[:8]  # of the sources


def main() -> None:
    """Measure and print."""
    options = parsed()
    figures = kept.Kept("against", fresh=options.fresh)
    with kept.clocked(), tempfile.TemporaryDirectory(dir=options.work) as folder:
        tools = [*available(options)]
        measured = []
        for name in options.sources:
            say(f"{name}: making the source")
            source = make(name, (options.work or Path(folder)) / f"sources-{RECIPE}", small=options.small)
            everywhere = options.tools or ()
            here = [tool for tool in tools if tool.name in everywhere or not tool.sources or name in tool.sources]
            measured.append(on_source(source, here, figures, runs=options.runs, folder=Path(folder)))
    named: dict[str, str] = {}
    for tool in tools:
        named.setdefault(versions(tool), tool.name)
    text = "\n".join(tables(measured, named))
    print(text)
    if options.docs:
        markers.fill(DOCS / "performance.md", "peers", text)
    if options.comparison:
        markers.fill(DOCS / "comparison.md", "comparison", "\n".join(short(measured, named)))


def on_source(source: Source, tools: Sequence[Tool], figures: kept.Kept, *, runs: int, folder: Path) -> Measured:
    """All `tools` on `source`, in turns."""
    measured = Measured(source, source.count(), [Entry(tool) for tool in tools])
    say(f"{source.name}: zooms {source.zooms}, {measured.tiles} tiles")

    @cache
    def references() -> dict[Tile, Pixels]:
        return {tile: reference(source, tile) for tile in sample(source)}

    for number in range(runs):
        for entry in measured.entries:
            if entry.failed or number >= (entry.tool.runs or runs):
                continue
            words = source.name, f"run {number + 1}", entry.tool.name
            try:
                key = (*words, identity(entry.tool, source))
                if value := figures.get(*key):
                    say(f"{', '.join(words)}: kept")
                else:
                    # Nothing is deleted before the end: ext4 is slow to make files for minutes after many were
                    target = folder / source.name / entry.tool.name.replace(" ", "-") / str(number)
                    run = run_of(entry.tool, source, target)
                    quality = None if number else judge(source, references(), entry.tool.written(source, target))
                    value = {"run": asdict(run), "quality": quality and asdict(quality)}
                    figures.put(value, *key)
                    say(f"{', '.join(words)}: {sum(step.wall for step in run.steps):.1f} s")
            except (Failed, OSError, sqlite3.Error) as error:
                entry.failed = str(error)
                say(f"{', '.join(words)}: failed: {error}")
            else:
                run, quality = loaded(value)
                entry.runs.append(run)
                entry.quality = entry.quality or quality
    return measured


def run_of(tool: Tool, source: Source, target: Path) -> Run:
    """One run of `tool` into the folder `target`."""
    target.mkdir(parents=True)
    commands = tool.commands(source, target)
    os.sync()  # nobody waits for the files of the tool before
    steps = tuple(timed(command) for command in commands)
    tiles, size = tool.written(source, target).size()
    if not tiles:
        raise Failed("no tiles were written")
    return Run(steps, tiles, size)


def loaded(value: dict[str, Any]) -> tuple[Run, Quality | None]:
    """A run and the quality of its tiles, from JSON."""
    run, quality = value["run"], value["quality"]
    steps = tuple(Figures(**step) for step in run["steps"])
    return Run(steps, run["tiles"], run["size"]), quality and Quality(**quality)


def identity(tool: Tool, source: Source) -> str:
    """A hash of all that the figures of `tool` on `source` depend on."""
    commands = str(tool.commands(source, Path("out"))).replace(str(source.path.parent), "")
    return kept.digest(source.title, RECIPE, tool.version(), commands, kept.code() if tool.ours else "")


def available(options: argparse.Namespace) -> Iterator[Tool]:
    """The tools; a tiny run, which installs none, skips missing ones and names them."""
    names = options.tools or [OURS, *PEERS]
    if OURS in names:
        yield from options.ours
    for tool in (PEERS[name] for name in names if name != OURS):
        try:
            tool.version()
        except Failed as error:
            if TINY:
                say(f"{tool.name} is skipped: {error}")
                continue
        yield tool


def versions(tool: Tool) -> str:
    """The versions of `tool` and its GDAL, or the reason of their absence."""
    try:
        return tool.version()
    except Failed as error:
        return str(error)


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr)


def parsed() -> argparse.Namespace:
    """The options; `ours` are the tools of all `--python`."""

    def among(known: Sequence[str]) -> Callable[[str], list[str]]:
        def names(text: str) -> list[str]:
            if unknown := set(text.split(",")) - set(known):
                raise argparse.ArgumentTypeError(
                    f"unknown: {', '.join(sorted(unknown))}; choose from {','.join(known)}"
                )
            return text.split(",")

        return names

    parser = parser_for(__doc__)
    tools, places = [OURS, *PEERS], [*MAKERS]
    parser.add_argument("--sources", type=among(places), default=places, metavar="NAME,...", help=",".join(places))
    parser.add_argument(
        "--tools",
        type=among(tools),
        metavar="NAME,...",
        help=f"on every source: {','.join(tools)}; default: slow tools on few",
    )
    parser.add_argument("--runs", type=int, default=sized(2, 1), metavar="N", help="runs of each fast tool")
    parser.add_argument(
        "--python",
        action="append",
        metavar="PATH",
        help="a Python to run this project with; repeatable; default: this one",
    )
    parser.add_argument("--small", action="store_true", help="sources of a quarter the width, for a first try")
    parser.add_argument(
        "--work",
        type=Path,
        default=sized(kept.FOLDER, None),
        metavar="DIR",
        help="folder of sources and tiles; default: bench/.kept",
    )
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md, too")
    parser.add_argument("--comparison", action="store_true", help="write a short table into docs/comparison.md, too")
    options = arguments(parser)
    if options.small and (options.docs or options.comparison):
        parser.error("--small is a first try, not for the documentation: drop --docs, --comparison or --small")
    try:
        options.ours = ours(options.python or [sys.executable])
    except Failed as error:
        parser.error(f"--python: {error}")
    if options.work:
        options.work = options.work.resolve()
        options.work.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
