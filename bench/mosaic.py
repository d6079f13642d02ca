"""Ingests of the same ground as many scenes, as their VRT and as one raster: `python bench/mosaic.py [--docs]`.

Then a refresh of one scene in the middle set. The VRT is written by gdalbuildvrt where that is installed, else by this
script, and its time counts. Only ratios are printed, because they hold on other machines. CPU seconds are of all
processes of a command; memory is that of its largest. --docs also writes the table into docs/performance.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import markers
import numpy as np
import rasterio
import rasterio.windows
from rasterio.transform import from_origin
from tiny import JOBS, arguments, parser_for, relief, sized

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "performance.md"
SIDE = sized(4000, 400)  # pixels of the ground
PIXEL = 2.0  # metres
CUTS = sized(((1, 1), (10, 10), (40, 25)), ((1, 1), (2, 2)))  # scenes across and down
REFRESHED = sized((10, 10), (2, 2))
OLD = 10**18  # ns since 1970: the last change of all scenes; young ones would be hashed
SEEDER = (sys.executable, "-m", "seeder")
BANDS = ("Red", "Green", "Blue")
COLUMNS = ("", "wall", "CPU", "memory")


class Took(NamedTuple):
    """Seconds by the clock, seconds of the processor, and the most bytes of a process."""

    wall: float
    cpu: float
    peak: float

    def against(self, other: Took) -> list[str]:
        """The ratios to another."""
        return [f"{mine / its:.2f} x" for mine, its in zip(self, other, strict=True)]


def ground(patch: int = 0) -> Any:
    """The ground, `(3, SIDE, SIDE)`; `patch` changes its middle."""
    found = np.tile(relief(), (1, -(-SIDE // 256), -(-SIDE // 512)))[:, :SIDE, :SIDE].copy()
    middle = slice(SIDE // 2, SIDE // 2 + 20)
    found[:, middle, middle] += np.uint8(patch)
    return found


def cut(folder: Path, across: int, down: int, values: Any) -> list[Path]:
    """Write the ground as scenes."""
    folder.mkdir(exist_ok=True)
    width, height, paths = SIDE // across, SIDE // down, []
    place = from_origin(5e5, 5.3e6, PIXEL, PIXEL)
    for row in range(down):
        for column in range(across):
            window = rasterio.windows.Window(column * width, row * height, width, height)
            path = folder / f"{row:03}-{column:03}.tif"
            at = rasterio.windows.transform(window, place)
            facts = {"crs": "EPSG:32632", "transform": at, "photometric": "RGB", "compress": "deflate", "zlevel": 1}
            with rasterio.open(path, "w", "GTiff", width, height, 3, dtype="uint8", tiled=True, **facts) as out:
                out.write(values[:, window.toslices()[0], window.toslices()[1]])
            os.utime(path, ns=(OLD, OLD))
            paths.append(path)
    return paths


def virtual(path: Path, scenes: list[Path], across: int, down: int) -> Path:
    """A VRT of the scenes."""
    if tool := shutil.which("gdalbuildvrt"):
        subprocess.run([tool, "-q", str(path), *map(str, scenes)], check=True)
        return path
    width, height = SIDE // across, SIDE // down
    with rasterio.open(scenes[0]) as first:
        srs, place = first.crs.to_wkt(), ", ".join(map(str, first.transform.to_gdal()))
    root = ET.Element("VRTDataset", rasterXSize=str(width * across), rasterYSize=str(height * down))
    ET.SubElement(root, "SRS").text = srs
    ET.SubElement(root, "GeoTransform").text = place
    for number, colour in enumerate(BANDS, 1):
        band = ET.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        ET.SubElement(band, "ColorInterp").text = colour
        for index, scene in enumerate(scenes):
            row, column = divmod(index, across)
            source = ET.SubElement(band, "SimpleSource")
            ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(scene)
            ET.SubElement(source, "SourceBand").text = str(number)
            size = {"xSize": str(width), "ySize": str(height)}
            ET.SubElement(source, "SrcRect", xOff="0", yOff="0", **size)
            ET.SubElement(source, "DstRect", xOff=str(column * width), yOff=str(row * height), **size)
    ET.ElementTree(root).write(path)
    return path


def ran(*words: str) -> Took:
    """Run a command of `seeder`."""
    start = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen([*SEEDER, *words, *JOBS], cwd=ROOT, **quiet) as process:  # type: ignore[call-overload]
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"seeder {' '.join(words)} failed: {said.decode()}")
    return Took(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss)


def ingested(folder: Path, name: str, *sources: str) -> Took:
    """Ingest into a data folder of its own."""
    return ran("ingest", *sources, "--layer", "ground", "--data", str(folder / name))


def measured(folder: Path) -> list[tuple[str, Took, Took]]:
    """The rows: what was done, what it took, and what to compare that with."""
    values = ground()
    (merged,) = cut(folder / "merged", 1, 1, values)
    one = ingested(folder, "one", str(merged))
    rows = []
    for across, down in CUTS:
        scenes = cut(folder / f"scenes-{across}", across, down, values)
        name = f"{len(scenes):,} scene{'s' if len(scenes) > 1 else ''}"
        listed = folder / f"{across}.txt"
        listed.write_text("\n".join(map(str, scenes)), "utf-8")
        full = ingested(folder, f"own-{across}", f"@{listed}")
        rows.append((f"{name} / one raster", full, one))
        start = time.perf_counter()
        vrt = virtual(folder / f"{across}.vrt", scenes, across, down)
        written = time.perf_counter() - start
        other = ingested(folder, f"vrt-{across}", str(vrt))
        rows.append((f"{name} / their VRT", full, other._replace(wall=other.wall + written, cpu=other.cpu + written)))
        if (across, down) == REFRESHED:
            cut(folder / f"scenes-{across}", across, down, ground(patch=40))
            changed = scenes[down // 2 * across + across // 2]
            os.utime(changed, ns=(OLD, OLD + 1))
            data = ("--data", str(folder / f"own-{across}"))
            again = ran("refresh", "ground", "--replace", str(changed), "--yes", "--no-wait", *data)
            rows.append((f"a refresh of one of {name} / all of them", again, full))
    return rows


def main() -> None:
    """Print the table."""
    parser = parser_for(__doc__)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md")
    given = arguments(parser)
    with TemporaryDirectory() as name:
        rows = measured(Path(name))
    lines = [f"| {label} | {' | '.join(took.against(other))} |" for label, took, other in rows]
    table = "\n".join((f"| {' | '.join(COLUMNS)} |", "| --- | ---: | ---: | ---: |", *lines))
    print(table)
    if given.docs:
        markers.fill(DOCS, "mosaic", table)


if __name__ == "__main__":
    main()
