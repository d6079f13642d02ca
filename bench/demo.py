"""How long the demo's ingest and seed take and how much memory they hold: `bench/demo.py [--tiny] [RUNS]`.

Needs what scripts/demo installs. Prints a Markdown table of medians; memory is the largest sum, over time, of the
proportional set sizes of all processes (Linux).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tiny import JOBS, TINY, arguments, parser_for, sized, write_relief

ROOT = Path(__file__).parent.parent
TICK = sized(0.5, 0.2)  # seconds between two looks at the memory
INGEST = sized("ingest 10800 x 5400 RGB", "ingest 512 x 256 RGB")
ZOOMS, TILES = sized(("0-6", 5461), ("0-1", 5))
SEED = f"seed zooms {ZOOMS}, {TILES} tiles"


@dataclass(frozen=True)
class Figures:
    """What one run of a command took."""

    wall: float  # seconds
    cpu: float  # seconds, of all its processes
    memory: float  # megabytes


def family(pid: int) -> list[int]:
    """`pid` and all processes below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in family(int(child)))]


def held(pid: int) -> float:
    """Megabytes that the processes at and below `pid` hold, shared pages counted once."""
    total = 0
    for each in family(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def measured(*command: str) -> Figures:
    """Run `command` and measure it."""
    before, start, peak = os.times(), time.monotonic(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        while process.poll() is None:
            peak = max(peak, held(process.pid))
            time.sleep(TICK)
    after = os.times()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed: {process.returncode}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Figures(time.monotonic() - start, cpu, peak)


def make_source(path: str) -> None:
    """Write the demo's raster."""
    if TINY:
        write_relief(Path(path))
    else:
        subprocess.run([sys.executable, str(ROOT / "scripts" / "demo_source.py"), path], check=True)


def main(runs: int) -> None:
    """Print the table."""
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "relief.tif")
        make_source(source)
        figures: dict[str, list[Figures]] = {}
        for number in range(runs):
            data = str(Path(folder) / str(number))  # ext4 makes files slowly where many were just deleted
            steps = {
                INGEST: [str(tools / "seeder"), "ingest", source, "--data", data, *JOBS],
                SEED: [str(tools / "seed"), "relief", "--zooms", ZOOMS, "--data", data, *JOBS],
            }
            for name, command in steps.items():
                figures.setdefault(name, []).append(measured(*command))
    print(f"Medians of {runs} runs on {os.cpu_count()} cores, Python {sys.version.split()[0]}.\n")
    print("| | wall s | CPU s | peak MB |\n| --- | ---: | ---: | ---: |")
    for name, several in figures.items():
        wall, cpu, memory = (
            statistics.median(getattr(one, field) for one in several) for field in ("wall", "cpu", "memory")
        )
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {memory:.0f} |")


if __name__ == "__main__":
    parser = parser_for(__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=sized(5, 1), metavar="RUNS")
    main(arguments(parser).runs)
