"""The tools: which commands make the tiles of a source, and where those then lie."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tiny import TINY, sized

from peers.sources import Source
from peers.timing import Failed, version
from peers.written import Folder, MBTiles, Written

HERE = Path(__file__).parent
OURS = Path(sys.executable).parent  # where the commands are installed
PEERS = HERE / ".venv"
JOBS = sized(2, 1)
GDAL_TILES = (3, 11)  # the first GDAL with `gdal raster tile`


@dataclass(frozen=True)
class Tool:
    """Something that makes tiles.

    `commands` make those of a source in an empty folder, one after the other. `rows` are the table's: a name and which
    of the commands count. `notes` say what it could not do as the others did; `on` tells them by source.
    """

    name: str
    version: Callable[[], str]
    commands: Callable[[Source, Path], list[list[str]]]
    written: Callable[[Source, Path], Written]
    rows: dict[str, slice]
    notes: tuple[str, ...] = ()
    on: dict[str, str] = field(default_factory=dict)
    ours: bool = False


@cache
def python() -> str:
    """The Python of the peers' environment, which is made if it is not there; in a tiny run this one does instead.

    Raises:
        Failed: a package cannot be installed.
    """
    wanted = HERE / "requirements.txt"
    stamp, digest = PEERS / "installed", hashlib.sha256(wanted.read_bytes()).hexdigest()
    command = str(PEERS / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != digest:
        if TINY:
            return sys.executable
        print("installing the peers", file=sys.stderr)
        install = [command, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", "--no-deps"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
            subprocess.run([*install, "--requirement", str(wanted)], check=True)
        except subprocess.CalledProcessError as error:
            raise Failed(f"{PEERS.name} cannot be made") from error
        stamp.write_text(digest)
    return command


@cache
def gdal() -> list[str]:
    """The command `gdal`, or what stands in for it where that is missing or too old."""
    command = shutil.which("gdal")
    found = re.search(r"GDAL (\d+)\.(\d+)", version(command, "--version")) if command else None
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


def _versions(command: str, *packages: str) -> str:
    """What `packages` and GDAL are in the environment of the Python at `command`."""
    code = f"""
from importlib.metadata import version
found = [f"{{name}} {{version(name)}}," for name in {packages}]
import rasterio
print(*found, "GDAL", rasterio.__gdal_version__)
"""
    return version(command, "-c", code)


def _seeder(source: Source, folder: Path) -> list[list[str]]:
    common = ["--data", str(folder), "--jobs", str(JOBS)]
    ingest = [str(OURS / "seeder"), "ingest", str(source.path), "--layer", source.name, *common]
    ingest += ["--resampling", source.resampling]
    if source.rescale:
        ingest += ["--rescale", "{:g},{:g}".format(*source.rescale)]
    zooms = f"{source.minzoom}-{source.maxzoom}"
    return [ingest, [str(OURS / "seed"), source.name, "--zooms", zooms, *common]]


def _rio_tiler(source: Source, folder: Path) -> list[list[str]]:
    zooms = f"{source.minzoom}-{source.maxzoom}"
    rescale = ["{:g},{:g}".format(*source.rescale)] if source.rescale else []
    script = str(HERE / "with_rio_tiler.py")
    return [[python(), script, str(source.path), str(folder), zooms, source.resampling, str(JOBS), *rescale]]


def _gdal(source: Source, folder: Path) -> list[list[str]]:
    words = ["--min-zoom", str(source.minzoom), "--max-zoom", str(source.maxzoom), "--tile-size", "256"]
    words += ["--resampling", source.resampling, "--overview-resampling", source.resampling]
    words += ["--output-format", "PNG", "--webviewer", "none", "-j", str(JOBS)]
    return [[*gdal(), "raster", "tile", *words, str(source.eight), str(folder)]]


def _gdal2tiles(source: Source, folder: Path) -> list[list[str]]:
    words = ["--xyz", f"--processes={JOBS}", f"--zoom={source.minzoom}-{source.maxzoom}", "--tilesize=256"]
    words += [f"--resampling={'near' if source.palette else source.resampling}"]
    words += ["--webviewer=none", "--no-kml", "--quiet", "--config", "GDAL_PAM_ENABLED", "NO"]
    return [[gdal2tiles(), *words, str(source.colours), str(folder)]]


def _rio_mbtiles(source: Source, folder: Path) -> list[list[str]]:
    words = ["mbtiles", str(source.colours), str(folder / "tiles.mbtiles"), "-j", str(JOBS), "--format", "PNG"]
    words += ["--tile-size", "256", "--zoom-levels", f"{source.minzoom}..{source.maxzoom}"]
    return [[str(Path(python()).with_name("rio")), *words, "--resampling", source.resampling]]


def _files(_: Source, folder: Path) -> Written:
    return Folder(folder)


EVERYTHING = slice(None)
SCALED = "reads the heights through a VRT that scales them to bytes"
LOOKED_UP = "reads the palette through a VRT that looks the colours up, for it takes no palette"
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "tile-seeder",
            lambda: _versions(sys.executable, "tile-seeder"),
            _seeder,
            lambda source, folder: Folder(folder / "tiles" / source.name),
            {"tile-seeder: ingest + seed": EVERYTHING, "tile-seeder: seed": slice(1, None)},
            ("makes no tiles that would be empty",),
            {"palette": "takes the most frequent colour for its overviews, where the others take the nearest"},
            ours=True,
        ),
        Tool(
            "gdal",
            lambda: version(*gdal(), "--version"),
            _gdal,
            _files,
            {"gdal raster tile": EVERYTHING},
            on={"dem": SCALED},
        ),
        Tool(
            "rio-tiler",
            lambda: _versions(python(), "rio-tiler"),
            _rio_tiler,
            _files,
            {"rio-tiler": EVERYTHING},
            ("reads the source itself for every tile, and that has no overviews",),
        ),
        Tool(
            "gdal2tiles",
            lambda: version(gdal2tiles(), "--version"),
            _gdal2tiles,
            _files,
            {"gdal2tiles": EVERYTHING},
            on={"dem": SCALED, "palette": LOOKED_UP},
        ),
        Tool(
            "rio-mbtiles",
            lambda: _versions(python(), "rio-mbtiles"),
            _rio_mbtiles,
            lambda _, folder: MBTiles(folder / "tiles.mbtiles"),
            {"rio-mbtiles": EVERYTHING},
            (
                "reads the source itself for every tile, and that has no overviews",
                "writes one SQLite file, not one file a tile; makes no tiles that would be empty",
                "has no alpha: black is transparent",
            ),
            {"dem": SCALED, "palette": LOOKED_UP},
        ),
    )
}
