"""All rasters of a folder, each in a process of its own, so many at once; a death or a hang is a row."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from tests.corpus.case import Limits, Report, run

CLEAN = multiprocessing.get_context("forkserver")  # imports take longer than most rasters, and threads do not fork
CLEAN.set_forkserver_preload(["tests.corpus.case"])
BESIDE = (".aux.xml", ".ovr", ".msk")  # of another raster, not one of themselves
ZARR = (".zgroup", ".zarray", "zarr.json")


class Running(NamedTuple):
    """A raster on its way."""

    name: str
    folder: Path
    process: BaseProcess
    until: float


def names_in(folder: Path) -> Iterator[str]:
    """What may be a raster: every file but companions, and a folder of zarr as one."""
    inside: list[Path] = []
    for path, folders, files in os.walk(folder):
        here = Path(path)
        folders.sort()
        if any(each in files for each in ZARR) and not any(here.is_relative_to(each) for each in inside):
            inside.append(here)
            yield path
        if not any(here.is_relative_to(each) for each in inside):
            yield from (str(here / file) for file in sorted(files) if not file.lower().endswith(BESIDE))


def begun(name: str, folder: Path, seconds: float, limits: Limits) -> Running:
    """The raster in a process of its own, with a scratch folder."""
    folder.mkdir(parents=True)
    process = CLEAN.Process(target=run, args=(name, folder, limits))
    process.start()
    return Running(name, folder, process, time.monotonic() + seconds)


def ended(each: Running, seconds: float) -> Report:
    """What came of a raster whose process has ended, or took too long."""
    late = each.process.is_alive()
    assert each.process.pid
    with suppress(OSError):
        os.killpg(each.process.pid, signal.SIGKILL)  # its own group: workers too
    each.process.join()
    report = Report(each.name)
    with suppress(FileNotFoundError):
        report = Report(**json.loads((each.folder / "report.json").read_text()))
    if late:
        report.result, report.why, report.seconds = "timed out", f"more than {seconds:g} s at {report.at}", seconds
    elif each.process.exitcode or not report.result:
        code = each.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        report.result, report.why = "crashed", f"{how} at {report.at}"
    return report


def through(
    names: Iterable[str], scratch: Path, *, jobs: int, seconds: float, limits: Limits, keep: bool = False
) -> Iterator[Report]:
    """Reports of all rasters and of what they hold, in the order in which they end; the same files only once."""
    todo, running, seen = iter(names), list[Running](), set[tuple[str, ...]]()
    found: deque[str] = deque()
    number = 0
    while True:
        while len(running) < jobs:
            name = found.popleft() if found else next(todo, None)
            if name is None:
                break
            running.append(begun(name, scratch / str(number), seconds, limits))
            number += 1
        if not running:
            return
        left = min(each.until for each in running) - time.monotonic()
        wait([each.process.sentinel for each in running], max(0.0, left))
        over = [each for each in running if not each.process.is_alive() or each.until < time.monotonic()]
        running = [each for each in running if each not in over]
        for each in over:
            report = ended(each, seconds)
            part = ":" in each.name and not Path(each.name).exists()
            if not part:
                found += report.parts
            same = (report.driver, report.size, *report.files)
            if part or not report.files or same not in seen:
                yield report
            if not part:
                seen.add(same)
            if not keep:
                shutil.rmtree(each.folder, ignore_errors=True)
