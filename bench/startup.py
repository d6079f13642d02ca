"""What commands take before and beside their work: `python bench/startup.py [--runs N] [--docs]`.

Help, and seeding a few tiles of a layer, in turns with peers that are installed. Compiled modules are written by a
first run that does not count. CPU seconds are of all processes of a command. The least of all runs is shown, because
a busy machine only ever adds. --docs also writes the table into docs/performance.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import markers
from tiny import arguments, parser_for, sized, write_relief

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "performance.md"
RUNS = sized(7, 1)
WIDTH = sized(8192, 512)  # pixels of the raster: the layer has zooms 0 to 5, or 0 to 1
TILES = sized((1, 10, 1000), (1, 4))
ZOOM = sized(5, 1)  # of the tiles beyond the first
COLUMNS = ("command", "CPU ms", "wall ms", "CPU of python -c pass")
SEEDER = (sys.executable, "-m", "seeder")


class Took(NamedTuple):
    """Seconds of the processor, in all processes, and by the clock."""

    cpu: float
    wall: float


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows: a name and its command."""
    yield "python -c pass", [sys.executable, "-c", "pass"]
    yield "seeder --help", [*SEEDER, "--help"]
    yield "seeder seed --help", [*SEEDER, "seed", "--help"]
    for number in TILES:
        name = f"seed of {number:,} tile{'' if number == 1 else 's'}"
        yield name, [*SEEDER, "seed", "relief", "--data", str(folder), "--force", "--quiet", *_selected(folder, number)]
    if translate := shutil.which("gdal_translate"):
        yield "gdal_translate --version", [translate, "--version"]
    if rio := shutil.which("rio", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"):
        yield "rio --help", [rio, "--help"]
    if gdal := shutil.which("gdal"):
        yield "gdal raster tile --help", [gdal, "raster", "tile", "--help"]
        zoom = ["--min-zoom", "0", "--max-zoom", "0"]
        source, tiles = str(folder / "relief.tif"), str(folder / "gdal")
        yield "gdal raster tile of 1 tile", [gdal, "raster", "tile", *zoom, source, tiles]


def _selected(folder: Path, number: int) -> list[str]:
    """The options that select so many tiles: the first of a zoom in rows, or the tile of zoom 0."""
    if number == 1:
        return ["--zooms", "0"]
    file, side = folder / f"{number}.txt", 1 << ZOOM
    file.write_text("".join(f"{ZOOM}/{place % side}/{place // side}\n" for place in range(number)), "utf-8")
    return ["--tiles", str(file)]


def ran(command: list[str]) -> Took:
    """Run a command to its end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TILER_", "PYTHONDONTWRITE"))}
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed: {process.returncode}")
    return Took(used.ru_utime + used.ru_stime, wall)


def main() -> None:
    """Print the table."""
    parser = parser_for(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="runs of each command")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md")
    given = arguments(parser)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_relief(folder / "relief.tif", WIDTH)
        ran([*SEEDER, "ingest", str(folder / "relief.tif"), "--jobs", "1", "--data", name, "--format", "png"])
        rows = dict(commands(folder))
        least: dict[str, Took] = {}
        for number in range(given.runs + 1):
            for label, command in rows.items():
                took = ran(command)
                if number:
                    before = least.get(label, took)
                    least[label] = Took(min(took.cpu, before.cpu), min(took.wall, before.wall))
    floor = least["python -c pass"].cpu
    lines = [
        f"| {label} | {1000 * took.cpu:.0f} | {1000 * took.wall:.0f} | {took.cpu / floor:.1f} x |"
        for label, took in least.items()
    ]
    table = "\n".join((f"| {' | '.join(COLUMNS)} |", "| --- | ---: | ---: | ---: |", *lines))
    print(table)
    if given.docs:
        markers.fill(DOCS, "startup", table)


if __name__ == "__main__":
    main()
