"""The tools: the commands that make the tiles of a source, the rows of the table, and their goals."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from kept import PACKAGES
from tiny import TINY, sized

from peers.sources import WEBP_QUALITY, Source
from peers.timing import Failed, printed
from peers.written import Folder, MBTiles, Written

HERE = Path(__file__).parent
INSTALLED = HERE / ".venv"
SERVED = HERE / ".venv-served"
OURS = "tile-seeder"
JOBS = sized(2, 1)
QGIS_PYTHON = "/usr/bin/python3"
GDAL_TILES = (3, 11)  # the first GDAL with `gdal raster tile`


@dataclass(frozen=True)
class Row:
    """A row of the table: its label, its first command, and the least ratio to the best peer by source."""

    label: str
    first: int = 0
    goals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A program that makes tiles.

    `commands` make those of a source in an empty folder, one after the other. `notes` list its differences from the
    other tools, `on` those on one source. `runs`, if not 0, replaces the usual number of runs. `sources` are those it
    is measured on unless it is named on the command line; empty: all.
    """

    name: str
    version: Callable[[], str]
    commands: Callable[[Source, Path], list[list[str]]]
    written: Callable[[Source, Path], Written]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    on: Mapping[str, str] = field(default_factory=dict)
    ours: bool = False
    runs: int = 0
    sources: tuple[str, ...] = ()


# The goals: so many times as fast as the best peer, by wall seconds
FROM_RAW = {"relief": 3.0, "aerial": 3.0, "edge": 3.0, "dem": 3.0, "palette": 1.5}
SEEDING = {"relief": 9.0, "aerial": 9.0, "edge": 9.0}
FINISHED = {"ortho": 12.0}

NO_EMPTY = "makes no tiles that would be empty"
NO_OVERVIEWS = "reads the source itself for every tile, and that has no overviews"
SCALED = "reads the heights through a VRT that scales them to bytes"
LOOKED_UP = "reads the palette through a VRT of its colours, because it takes no palette"
METHOD = "WebP by method 0, as tile-seeder; its own default, 4, is slower and smaller"


def ours(pythons: Sequence[str]) -> list[Tool]:
    """The tools of this project, run by each of `pythons`; several are named by their GDAL.

    Its modules are compiled first, as an installation does.

    Raises:
        Failed: one of them cannot run it.
    """
    for python in pythons:
        printed(python, "-m", "compileall", "-q", *PACKAGES)
    if len(pythons) == 1:
        return _ours(pythons[0], OURS)
    gdals = [re.sub(r".*(GDAL [\d.]+).*", r"\1", _packages(python)) for python in pythons]
    return [tool for python, gdal in zip(pythons, gdals, strict=True) for tool in _ours(python, f"{OURS}, {gdal}")]


def _ours(python: str, name: str) -> list[Tool]:
    """In two steps, in one, and with finished tiles in the COG; the last two if `seeder ingest` has their options."""

    def two(*options: str) -> Callable[[Source, Path], list[list[str]]]:
        return lambda source, folder: [
            [*_ingest(python, source, folder), *options],
            [python, "-m", "seeder", "seed", source.name, "--zooms", source.zooms, *_common(folder)],
        ]

    def one(source: Source, folder: Path) -> list[list[str]]:
        return [[*_ingest(python, source, folder), "--seed", source.zooms]]

    def tool(
        name: str, commands: Callable[[Source, Path], list[list[str]]], *rows: Row, only: tuple[str, ...] = ()
    ) -> Tool:
        return Tool(
            name,
            lambda: _packages(python),
            commands,
            lambda source, folder: Folder(folder / "tiles" / source.name, source.format),
            rows,
            (NO_EMPTY,),
            {"palette": "takes the most frequent colour for its overviews, where the others take the nearest"},
            ours=True,
            sources=only,
        )

    tools = [
        tool(
            name,
            two(),
            Row(f"{name}: ingest + seed", goals=FROM_RAW),
            Row(f"{name}: seed", 1, SEEDING),
        )
    ]
    if _has_option(python, "--seed"):
        tools.append(tool(f"{name} in one line", one, Row(f"{name}: ingest --seed", goals=FROM_RAW)))
    if _has_option(python, "--bake"):
        rows = Row(f"{name}: ingest --bake finished + seed"), Row(f"{name}: seed finished tiles", 1, FINISHED)
        tools.append(tool(f"{name} with finished tiles", two("--bake", "finished"), *rows, only=("ortho",)))
    return tools


def _common(folder: Path) -> list[str]:
    return ["--data", str(folder), "--jobs", str(JOBS)]


def _ingest(python: str, source: Source, folder: Path) -> list[str]:
    command = [python, "-m", "seeder", "ingest", str(source.path), "--layer", source.name, *_common(folder)]
    command += ["--resampling", source.resampling, "--format", source.format]
    if source.rescale:
        command += ["--rescale", "{:g},{:g}".format(*source.rescale)]
    return command


@cache
def _has_option(python: str, option: str) -> bool:
    """Whether `seeder ingest` has `option`."""
    return bool(re.search(rf"{option}(?![\w-])", printed(python, "-m", "seeder", "ingest", "--help", lines=None)))


def _packages(python: str, *packages: str) -> str:
    """The versions of `packages`, rasterio and Python in the environment of the Python at `python`."""
    code = f"""
import platform
from importlib.metadata import version
import rasterio
named = [f"{{name}} {{version(name)}}" for name in {(*packages, "rasterio")}]
print(*named, f"GDAL {{rasterio.__gdal_version__}}", f"Python {{platform.python_version()}}", sep=", ")
"""
    return printed(python, "-c", code)


@cache
def python() -> str:
    """The Python of the peers' environment, which is made first if missing; in a tiny run, this one instead.

    Raises:
        Failed: a package cannot be installed.
    """
    # Only the libraries of the wheel are used, so this Python may be older than it
    target = ["--target", str(INSTALLED / "gdal"), "--python-version", "3.13", "--only-binary", ":all:"]
    return _python(INSTALLED, {"requirements.txt": [], "requirements-gdal.txt": [*target, "--ignore-requires-python"]})


@cache
def served() -> str:
    """The same of the environment of titiler and MapProxy."""
    return _python(SERVED, {"requirements-served.txt": []})


def _python(folder: Path, locked: Mapping[str, list[str]]) -> str:
    """The Python of an environment in `folder`, with the `locked` packages, each file with its options of pip."""
    stamp = folder / "installed"
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in locked)).hexdigest()
    command = str(folder / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != digest:
        if TINY:
            return sys.executable
        print("installing the peers", file=sys.stderr)
        install = [command, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", "--no-deps"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            for name, options in locked.items():
                subprocess.run([*install, *options, "--requirement", str(HERE / name)], check=True)
        except subprocess.CalledProcessError as error:
            raise Failed(f"{folder.name} cannot be made") from error
        stamp.write_text(digest)
    return command


@cache
def gdal() -> list[str]:
    """The command `gdal`, or its replacement if it is missing or too old."""
    command = shutil.which("gdal")
    found = re.search(r"GDAL (\d+)\.(\d+)", printed(command, "--version")) if command else None
    if command and found and (int(found[1]), int(found[2])) >= GDAL_TILES:
        return [command]
    return [python(), str(HERE / "with_gdal.py")]


def gdal2tiles() -> str:
    """The command of that name.

    Raises:
        Failed: it is not installed.
    """
    command = shutil.which("gdal2tiles") or shutil.which("gdal2tiles.py")
    if not command:
        raise Failed("not installed (Debian: gdal-bin, python3-gdal)")
    return command


def _gdal(source: Source, folder: Path) -> list[list[str]]:
    words = ["--min-zoom", str(source.minzoom), "--max-zoom", str(source.maxzoom), "--tile-size", "256"]
    words += ["--resampling", source.resampling, "--overview-resampling", source.resampling]
    words += ["--output-format", source.format.upper(), "--webviewer", "none", "-j", str(JOBS)]
    if source.format == "webp":
        words += ["--co", f"QUALITY={WEBP_QUALITY}", "--co", "METHOD=0"]
    return [[*gdal(), "raster", "tile", *words, str(source.eight), str(folder)]]


def _rio_tiler(source: Source, folder: Path) -> list[list[str]]:
    rescale = ["{:g},{:g}".format(*source.rescale)] if source.rescale else []
    words = [str(source.path), str(folder), source.zooms, source.resampling, str(JOBS), source.format, *rescale]
    return [[python(), str(HERE / "with_rio_tiler.py"), *words]]


def _gdal2tiles(source: Source, folder: Path) -> list[list[str]]:
    words = ["--xyz", f"--processes={JOBS}", f"--zoom={source.zooms}", "--tilesize=256"]
    words += [f"--resampling={'near' if source.palette else source.resampling}"]
    words += [f"--tiledriver={source.format.upper()}"]
    words += ["--webviewer=none", "--no-kml", "--quiet", "--config", "GDAL_PAM_ENABLED", "NO"]
    if source.format == "webp":
        words += [f"--webp-quality={WEBP_QUALITY}"]
    return [[gdal2tiles(), *words, str(source.colours), str(folder)]]


def _rio_mbtiles(source: Source, folder: Path) -> list[list[str]]:
    words = ["mbtiles", str(source.colours), str(folder / "tiles.mbtiles"), "-j", str(JOBS)]
    words += ["--format", source.format.upper(), "--tile-size", "256", "--resampling", source.resampling]
    words += ["--zoom-levels", source.zooms.replace("-", "..")]
    if source.format == "webp":
        words += ["--co", f"QUALITY={WEBP_QUALITY}"]
    return [[str(Path(python()).with_name("rio")), *words]]


def _mapproxy(source: Source, folder: Path) -> list[list[str]]:
    box = ",".join(f"{edge:.9f}" for edge in source.box)
    rescale = ["{:g},{:g}".format(*source.rescale)] if source.rescale else []
    words = [str(source.path), str(folder), source.zooms, source.resampling, str(JOBS), source.format, box, *rescale]
    return [[served(), str(HERE / "with_mapproxy.py"), *words]]


def _qgis(source: Source, folder: Path) -> list[list[str]]:
    return [[qgis(), str(HERE / "with_qgis.py"), str(source.eight), str(folder), source.zooms]]


@cache
def qgis() -> str:
    """The Python that has QGIS.

    Raises:
        Failed: it is not installed.
    """
    try:
        printed(QGIS_PYTHON, "-c", "import qgis.core")
    except Failed as error:
        raise Failed("not installed (Debian: python3-qgis)") from error
    return QGIS_PYTHON


def _files(source: Source, folder: Path) -> Written:
    return Folder(folder, source.format)


PEERS = {
    tool.name: tool
    for tool in (
        Tool(
            "gdal",
            lambda: printed(*gdal(), "--version"),
            _gdal,
            _files,
            (Row("gdal raster tile"),),
            on={"dem": SCALED, "ortho": METHOD},
        ),
        Tool(
            "rio-tiler",
            lambda: _packages(python(), "rio-tiler"),
            _rio_tiler,
            _files,
            (Row("rio-tiler"),),
            (NO_OVERVIEWS,),
            runs=1,
            sources=("relief", "dem"),
        ),
        Tool(
            "gdal2tiles",
            lambda: printed(gdal2tiles(), "--version"),
            _gdal2tiles,
            _files,
            (Row("gdal2tiles"),),
            on={"dem": SCALED, "palette": LOOKED_UP},
            runs=1,
            sources=("dem",),
        ),
        Tool(
            "rio-mbtiles",
            lambda: _packages(python(), "rio-mbtiles"),
            _rio_mbtiles,
            lambda _, folder: MBTiles(folder / "tiles.mbtiles"),
            (Row("rio-mbtiles"),),
            (
                NO_OVERVIEWS,
                f"writes one SQLite file, not one file a tile; {NO_EMPTY}",
                "has no alpha: black is transparent",
            ),
            {"dem": SCALED, "palette": LOOKED_UP},
            runs=1,
            sources=("dem",),
        ),
        Tool(
            "mapproxy-seed",
            lambda: _packages(served(), "MapProxy", "titiler.core"),
            _mapproxy,
            _files,
            (Row("mapproxy-seed, titiler"),),
            ("renders no rasters: its tiles come from titiler, on the same machine", NO_OVERVIEWS),
            runs=1,
            sources=("dem",),
        ),
        Tool(
            "qgis",
            lambda: printed(qgis(), "-c", "import qgis.core; print('QGIS', qgis.core.Qgis.QGIS_VERSION)"),
            _qgis,
            _files,
            (Row("QGIS, Generate XYZ tiles"),),
            ("renders with cubic resampling; its own default is nearest",),
            on={"dem": SCALED},
            runs=1,
            sources=("dem",),
        ),
    )
}
