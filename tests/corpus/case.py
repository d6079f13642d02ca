"""One raster in a process of its own: ingested, seeded, compared."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import rasterio

from seeder.cli.main import main
from seeder.cli.messages import exit_code
from tests.corpus.compare import StoredTile, compared
from tests.corpus.meaning import TooLarge

LAYER = "it"
ZOOMS = 3  # the deepest
WKT = re.compile(r"(GEOG|PROJ|GEOC|LOCAL_|ENG|BOUND|VERT|COMPD_|GEODETIC|COMPOUND)(CS|CRS)\[")
SAID = 500  # characters that a line may have


@dataclass
class Report:
    """What came of a raster; written to the disk at each step, so that a death tells where it was."""

    name: str
    driver: str = ""
    size: str = ""
    result: str = ""  # same, differs, refused, too large, no raster
    why: str = ""
    at: str = "open"  # the step that was begun last
    share: float = 0.0  # % of the pixels of another colour
    cover: float = 0.0  # % of the pixels of another cover
    mean: float = 0.0  # levels
    worst: int = 0
    seconds: float = 0.0
    files: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)  # subdatasets
    untidy: list[str] = field(default_factory=list)  # what is wrong with what was said


@dataclass(frozen=True)
class Limits:
    """Of a case: bytes of addresses, and pixels of a raster."""

    memory: int = 4 << 30
    pixels: int = 40_000_000


def run(name: str, folder: Path, limits: Limits) -> None:
    """Write `report.json` of the folder; for a process that was forked for it."""
    os.setsid()  # so that its workers end with it
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    began = time.monotonic()
    report = Report(name)
    try:
        for step in _steps(report, folder, limits):
            report.at = step
            report.seconds = time.monotonic() - began
            _write(report, folder)
    except MemoryError:
        report.result, report.why = "crashed", f"no memory at {report.at}"
    except Exception as error:  # noqa: BLE001  # the oracle's own, most likely: a row, not the end
        report.result, report.why = "crashed", f"{report.at}: {type(error).__name__}: {error}"
    report.seconds = time.monotonic() - began
    _write(report, folder)


def _write(report: Report, folder: Path) -> None:
    (folder / "report.tmp").write_text(json.dumps(asdict(report)))
    (folder / "report.tmp").replace(folder / "report.json")


def _steps(report: Report, folder: Path, limits: Limits) -> Iterator[str]:
    """What is done with a raster, step by step; `report` holds what came of it."""
    yield "open"
    with _quiet(folder / "open.err"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with rasterio.open(report.name) as dataset:
                report.driver, report.size = dataset.driver, f"{dataset.width}x{dataset.height}x{dataset.count}"
                report.parts, report.files = list(dataset.subdatasets), sorted(dataset.files)
                pixels = dataset.width * dataset.height
        except (rasterio.errors.RasterioError, ValueError, KeyError) as error:
            report.result, report.why = "no raster", str(error)
            return
    if pixels > limits.pixels:
        report.result, report.why = "too large", f"{pixels:,} pixels"
        return
    yield "ingest"
    code = _command("ingest", [report.name, "--layer", LAYER, "--format", "png", "--jobs", "1"], folder)
    report.untidy += untidy("ingest", folder, code)
    if code:
        report.result = "refused" if code == 2 else "failed"
        report.why = _error(folder / "ingest.err") or f"exit code {code}"
        return
    yield "seed"
    stored = StoredTile.of(folder / "data", LAYER)
    deepest = stored.said["maxzoom"]
    zooms = tuple(range(max(stored.said["minzoom"], deepest - ZOOMS + 1), deepest + 1))
    code = _command("seed", [LAYER, "--zooms", f"{zooms[0]}-{deepest}", "--jobs", "1", "--yes"], folder)
    report.untidy += untidy("seed", folder, code)
    if code:
        report.result, report.why = "failed", _error(folder / "seed.err") or f"seed: exit code {code}"
        return
    yield "compare"
    with _quiet(folder / "compare.err"):
        _judge(report, stored, zooms, limits)


def _judge(report: Report, stored: StoredTile, zooms: tuple[int, ...], limits: Limits) -> None:
    try:
        found, wrong = compared(report.name, stored, zooms, limits.pixels)
    except TooLarge:
        report.result = "too large"
        return
    base = found[zooms[-1]]
    report.share = 100 * max(each.off / max(1, each.pixels) for each in found.values())
    report.cover = 100 * max(each.cover / max(1, each.pixels) for each in found.values())
    report.mean, report.worst = base.mean, max(each.worst for each in found.values())
    report.result, report.why = ("differs" if wrong else "same"), "; ".join(wrong)


def _command(verb: str, words: list[str], folder: Path) -> int:
    """Run a command with its output in files; its exit code."""
    with _quiet(folder / f"{verb}.err", folder / f"{verb}.out"):
        sys.argv = ["seeder", verb, *words, "--data", str(folder / "data")]
        return exit_code(main, "seeder")


@contextmanager
def _quiet(errors: Path, output: Path = Path(os.devnull)) -> Iterator[None]:
    """Standard output and errors, those of libraries too, into files."""
    kept = [os.dup(number) for number in (1, 2)]
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        for number, path in ((1, output), (2, errors)):
            with path.open("ab") as file:
                os.dup2(file.fileno(), number)
        yield
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").replace("\r", "\n").splitlines() if path.exists() else []


def _error(path: Path) -> str:
    return next((line.removeprefix("error: ") for line in _lines(path) if line.startswith("error: ")), "")


def untidy(verb: str, folder: Path, code: int) -> list[str]:
    """What is wrong with what a command said: more than a line of error, WKT, Python's own words."""
    said = [*_lines(folder / f"{verb}.err"), *_lines(folder / f"{verb}.out")]
    errors = [line for line in said if line.startswith("error: ")]
    bar = re.compile(rf"{verb} {LAYER}: +\d+%")
    found = [f"{verb}: exit code {code}"] if code not in (0, 1, 2) else []
    if len(errors) != bool(code):
        found.append(f"{verb}: exit code {code} with {len(errors)} lines of error")
    for line in said:
        if "Traceback" in line or re.search(r"\w(Warning|Error|Exception): ", line):
            found.append(f"{verb}: Python: {line[:200]}")
        elif WKT.search(line):
            found.append(f"{verb}: WKT: {line[:200]}")
        elif line.startswith(("ERROR ", "Warning ", "proj_", "PROJ:")):
            found.append(f"{verb}: GDAL: {line[:200]}")
        elif len(line) > SAID and not bar.search(line):
            found.append(f"{verb}: {len(line)} characters: {line[:200]}")
    return list(dict.fromkeys(found))[:5]
