"""The command; see the package."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.case import Case, run

WALL = 300.0  # seconds that a case may take on a busy machine
FORK = multiprocessing.get_context("fork")  # imports take longer than a case


class Ended(NamedTuple):
    """A case and what came of it: its kind, the exit codes of its commands, what is wrong."""

    case: Case
    kind: str
    codes: tuple[tuple[str, int], ...]
    wrong: tuple[str, ...]


class Running(NamedTuple):
    """A case on its way."""

    case: Case
    folder: Path
    process: BaseProcess
    until: float


def begun(case: Case, folder: Path) -> Running:
    """The case, in a process of its own."""
    folder.mkdir(parents=True)
    process = FORK.Process(target=run, args=(case, folder))
    process.start()
    return Running(case, folder, process, time.monotonic() + WALL)


def ended(each: Running) -> Ended:
    """What came of a case whose process has ended, or took too long."""
    process, report = each.process, each.folder / "report.json"
    late = process.is_alive()
    assert process.pid
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)  # its own group: workers too
    process.join()
    said = {"kind": "?", "codes": {}, "wrong": []}
    with suppress(FileNotFoundError):
        said = json.loads(report.read_text())
    wrong = said["wrong"]
    if late:
        wrong += [f"more than {WALL:.0f} s, after: {said.get('at')}"]
    elif process.exitcode:
        died = process.exitcode < 0
        how = signal.Signals(-process.exitcode).name if died else f"exit code {process.exitcode}"
        wrong += [f"the process ended by {how}, after: {said.get('at')}"]
    return Ended(each.case, said["kind"], tuple(said["codes"].items()), tuple(wrong))


def through(cases: Iterable[Case], folder: Path, jobs: int) -> Iterator[Ended]:
    """All cases, so many at once."""
    todo, running = iter(cases), list[Running]()
    while True:
        running += [begun(case, folder / str(case.number)) for case in islice(todo, jobs - len(running))]
        if not running:
            return
        left = min(each.until for each in running) - time.monotonic()
        wait([each.process.sentinel for each in running], max(0.0, left))
        over = [each for each in running if not each.process.is_alive() or each.until < time.monotonic()]
        running = [each for each in running if each not in over]
        yield from map(ended, over)


def main() -> int:
    """Run the cases: 0 if nothing is wrong, else 1 and lines that say how to repeat each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Ingest and seed damaged rasters.")
    parser.add_argument("--number", type=int, default=500, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--keep", type=Path, help="a new folder for the files and for what was said")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    asked = parser.parse_args()
    numbers = range(asked.number) if asked.case is None else [asked.case]
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for each in through((Case(asked.seed, number) for number in numbers), asked.keep or Path(scratch), asked.jobs):
            codes = dict(each.codes)
            tally["wrong" if each.wrong else f"ingest {codes['ingest']}, seed {codes.get('seed', '-')}"] += 1
            for why in each.wrong:
                print(f"{each.kind}: {why}; again: python -m tests.fuzz --seed {asked.seed} --case {each.case.number}")
    print(f"{len(numbers)} rasters: " + "; ".join(f"{number} {what}" for what, number in sorted(tally.items())))
    return int(tally["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
