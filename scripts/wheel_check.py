"""Run the commands of an installed wheel on a small raster, with the Python of its environment.

`scripts/wheel --check` calls this outside the checkout, so the wheel must hold everything that the commands need.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import rasterio
from rasterio.transform import from_bounds

import seeder

BOUNDS = (7.0, 46.0, 8.0, 47.0)  # degrees
TILE = "relief/8/133/90.png"
START = 60  # seconds until the server must have answered


def write_raster(path: Path) -> None:
    """An RGB raster of 300 x 300 pixels."""
    values = np.random.default_rng(1).integers(0, 256, (3, 300, 300), np.uint8)
    form = {"driver": "GTiff", "dtype": "uint8", "count": 3, "width": 300, "height": 300}
    with rasterio.open(path, "w", **form, crs="EPSG:4326", transform=from_bounds(*BOUNDS, 300, 300)) as out:
        out.write(values)


def run(*words: str) -> str:
    """Run a command and return its output.

    Raises:
        CalledProcessError: the command failed.
    """
    print("$", *words, flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def served() -> None:
    """Start the server, and load the list of layers, the preview, its script and a tile."""
    words = ("seeder", "serve", "--port", "0")
    print("$", *words, flush=True)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            address = re.search(r"http://\S+/", server.stderr.readline())
            assert address, "the server names no address"
            for path in ("", "relief/", "preview.js", TILE):
                with urlopen(f"{address[0]}{path}", timeout=START) as answer:
                    assert answer.status == 200, path
                    assert answer.read(), path
        finally:
            server.terminate()


def main() -> None:
    """Run every step; raise an exception if one fails."""
    home = Path(sysconfig.get_paths()["purelib"])
    assert Path(seeder.__file__).is_relative_to(home), "this is not the wheel"
    version = run("seeder", "--version")
    for name in (metadata.version("tile-seeder"), "GDAL", rasterio.__gdal_version__, rasterio.__version__):
        assert name in version, version
    write_raster(Path("relief.tif"))
    run("seeder", "ingest", "relief.tif", "--format", "png")
    run("seed", "relief", "--zooms", "0-8")
    assert Path("data/tiles", TILE).exists()
    served()
    run("seeder", "publish-preview", "relief")
    assert Path("data/tiles/relief/index.html").exists()
    run("seeder", "export", "relief", "relief.pmtiles")
    assert Path("relief.pmtiles").read_bytes().startswith(b"PMTiles")


if __name__ == "__main__":
    sys.exit(main())
