"""The same ground as many scenes, as their VRT and as one raster: `python bench/mosaic.py [--fresh] [--docs]`.

Ingests, a refresh of one scene of the middle set, and all tiles against `gdalbuildvrt` with `gdal raster tile`, which
are found as by against.py. Tiles are seeded from one raster only: those of scenes have the same bytes. Without
gdalbuildvrt this script writes the VRT. Only ratios are printed, because they hold on other machines. CPU seconds and
memory are of all processes of a command. Figures are kept in bench/.kept, so an interrupted run continues. --docs also
writes the table into docs/performance.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as ET

import kept
import markers
import numpy as np
import rasterio
import rasterio.windows
from demo import Figures
from peers.timing import Failed, timed
from peers.tools import JOBS, gdal
from rasterio.transform import from_origin
from tiny import TINY, arguments, parser_for, relief, sized

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "performance.md"
WIDTH, HEIGHT = sized((20_000, 12_500), (400, 400))  # pixels of the ground
PIXEL = 2.0  # metres
CUTS = sized(((1, 1), (10, 10), (40, 25)), ((1, 1), (2, 2)))  # scenes across and down
REFRESHED = sized((10, 10), (2, 2))
OLD = 10**18  # ns since 1970: the last change of all scenes; young ones would be hashed
SEEDER = (sys.executable, "-m", "seeder")
BANDS = ("Red", "Green", "Blue")
COLUMNS = ("", "wall", "CPU", "memory")
PLACE = from_origin(5e5, 5.3e6, PIXEL, PIXEL)
PEER = "gdalbuildvrt + gdal raster tile"

Unit = dict[str, Figures]
Row = tuple[str, Figures, Figures]  # a label, its figures, and those to compare them with


def ground() -> Any:
    """The ground, `(3, HEIGHT, WIDTH)`."""
    found = relief(sized(4096, 512))
    _, rows, columns = found.shape
    return np.tile(found, (1, -(-HEIGHT // rows), -(-WIDTH // columns)))[:, :HEIGHT, :WIDTH]


def write(path: Path, values: Any, window: rasterio.windows.Window, *, changed: int = OLD) -> None:
    """Write a part of the ground as a scene, last changed at `changed`."""
    facts = {"crs": "EPSG:32632", "transform": rasterio.windows.transform(window, PLACE), "photometric": "RGB"}
    facts |= {"compress": "deflate", "zlevel": 1, "tiled": True, "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", window.width, window.height, 3, **facts) as out:
        out.write(values)
    os.utime(path, ns=(changed, changed))


def cut(folder: Path, across: int, down: int, values: Any) -> list[Path]:
    """Write the ground as scenes."""
    folder.mkdir()
    width, height, paths = WIDTH // across, HEIGHT // down, []
    for row in range(down):
        for column in range(across):
            window = rasterio.windows.Window(column * width, row * height, width, height)
            paths.append(folder / f"{row:03}-{column:03}.tif")
            write(paths[-1], values[:, window.toslices()[0], window.toslices()[1]], window)
    return paths


def change(path: Path) -> None:
    """Change 20 x 20 pixels in the middle of a scene."""
    with rasterio.open(path) as dataset:
        values, place = dataset.read(), dataset.transform
    rows, columns = (slice(size // 2, size // 2 + 20) for size in values.shape[1:])
    values[:, rows, columns] += 40
    column, row = round((place.c - PLACE.c) / PIXEL), round((PLACE.f - place.f) / PIXEL)
    window = rasterio.windows.Window(column, row, values.shape[2], values.shape[1])
    write(path, values, window, changed=OLD + 1)


def virtual(path: Path, listed: Path, across: int, down: int) -> Figures:
    """Write a VRT of the scenes."""
    if tool := shutil.which("gdalbuildvrt"):
        return timed([tool, "-q", "-input_file_list", str(listed), str(path)])
    start, scenes = time.perf_counter(), listed.read_text("utf-8").splitlines()
    width, height = WIDTH // across, HEIGHT // down
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
            ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = scene
            ET.SubElement(source, "SourceBand").text = str(number)
            size = {"xSize": str(width), "ySize": str(height)}
            ET.SubElement(source, "SrcRect", xOff="0", yOff="0", **size)
            ET.SubElement(source, "DstRect", xOff=str(column * width), yOff=str(row * height), **size)
    ET.ElementTree(root).write(path)
    taken = time.perf_counter() - start
    return Figures(taken, taken, 0)


def together(*steps: Figures) -> Figures:
    """The figures of steps one after the other."""
    wall, cpu = sum(each.wall for each in steps), sum(each.cpu for each in steps)
    return Figures(wall, cpu, max(each.memory for each in steps))


def seeder(command: str, *words: str, data: Path) -> Figures:
    """Run a command of `seeder` in a data folder of its own."""
    form = ("--format", "png") if command == "ingest" else ()
    return timed([*SEEDER, command, *words, *form, "--data", str(data), "--jobs", str(JOBS)])


def zoom_of(data: Path) -> int:
    """The highest zoom of the layer."""
    found: int = json.loads((data / "tiles" / "ground" / "tile.json").read_text("utf-8"))["maxzoom"]
    return found


def on_one(folder: Path, values: Any) -> Unit:
    """One raster: its ingest, its tiles."""
    (merged,) = cut(folder / "merged", 1, 1, values)
    data = folder / "one"
    full = seeder("ingest", str(merged), "--layer", "ground", data=data)
    return {"ingest": full, "seed": seeder("seed", "ground", "--zooms", f"0-{zoom_of(data)}", data=data)}


def on_scenes(folder: Path, across: int, down: int, values: Any) -> Unit:
    """Scenes: their ingest, that of their VRT, a refresh, and the peer's tiles."""
    scenes = cut(folder / f"scenes-{across}", across, down, values)
    listed, vrt, data = (folder / f"{across}{end}" for end in (".txt", ".vrt", "-own"))
    listed.write_text("\n".join(map(str, scenes)), "utf-8")
    found = {"ingest": seeder("ingest", f"@{listed}", "--layer", "ground", data=data)}
    built = virtual(vrt, listed, across, down)
    if len(scenes) > 1:
        full = seeder("ingest", str(vrt), "--layer", "ground", data=folder / f"{across}-vrt")
        found["vrt"] = together(built, full)
    try:
        found["peer"] = together(built, timed([*peer(vrt, folder / f"{across}-peer", zoom_of(data))]))
    except Failed:
        if not TINY:  # which installs none
            raise
    if (across, down) == REFRESHED:
        changed = scenes[down // 2 * across + across // 2]
        change(changed)
        found["refresh"] = seeder("refresh", "ground", "--replace", str(changed), "--yes", "--no-wait", data=data)
    return found


def peer(vrt: Path, folder: Path, zoom: int) -> list[str]:
    """The peer's command for all tiles."""
    words = ["--min-zoom", "0", "--max-zoom", str(zoom), "--tile-size", "256", "--output-format", "PNG"]
    words += ["--resampling", "cubic", "--overview-resampling", "cubic", "--webviewer", "none", "-j", str(JOBS)]
    return [*gdal(), "raster", "tile", *words, str(vrt), str(folder)]


def rows_of(one: Unit, label: str, found: Unit) -> list[Row]:
    """The rows of some scenes."""
    rows = [(f"{label} / one raster", found["ingest"], one["ingest"])]
    if "vrt" in found:
        rows.append((f"the VRT of {label} / one raster", found["vrt"], one["ingest"]))
    if "peer" in found:
        rows.append((f"{label}, with all tiles / {PEER}", together(found["ingest"], one["seed"]), found["peer"]))
    if "refresh" in found:
        rows.append((f"a refresh of one of {label} / all of them", found["refresh"], found["ingest"]))
    return rows


def measured(folder: Path, figures: kept.Kept) -> list[Row]:
    """All rows."""
    values, mark = ground(), kept.digest(kept.code(Path(__file__)))

    def unit(name: str, measure: Callable[[], Unit]) -> Unit:
        value = figures.get(name, mark)
        if not value:
            value = {step: asdict(each) for step, each in measure().items()}
            figures.put(value, name, mark)
        print(name, *(f"{step} {each['wall']:.1f} s" for step, each in value.items()), sep=", ", file=sys.stderr)
        return {step: Figures(**each) for step, each in value.items()}

    one, rows = unit("one raster", lambda: on_one(folder, values)), list[Row]()
    for across, down in CUTS:
        label = f"{across * down:,} scene{'s' if across * down > 1 else ''}"
        rows += rows_of(one, label, unit(label, lambda a=across, d=down: on_scenes(folder, a, d, values)))  # type: ignore[misc]
    return rows


def ratios(found: Figures, other: Figures) -> str:
    """Cells of a row."""
    pairs = ((found.wall, other.wall), (found.cpu, other.cpu), (found.memory, other.memory))
    return " | ".join(f"{mine / max(its, 0.01):.2f} x" for mine, its in pairs)


def main() -> None:
    """Print the table."""
    parser = parser_for(__doc__)
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md")
    given = arguments(parser)
    with kept.clocked(), TemporaryDirectory() as name:
        try:
            rows = measured(Path(name), kept.Kept("mosaic", fresh=given.fresh))
        except (Failed, subprocess.CalledProcessError) as error:
            sys.exit(str(error))
    lines = [f"| {label} | {ratios(found, other)} |" for label, found, other in rows]
    table = "\n".join((f"| {' | '.join(COLUMNS)} |", "| --- | ---: | ---: | ---: |", *lines))
    print(table)
    if given.docs:
        markers.fill(DOCS, "mosaic", table)


if __name__ == "__main__":
    main()
