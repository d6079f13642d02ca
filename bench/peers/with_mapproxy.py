"""Tiles with mapproxy-seed: `with_mapproxy.py SOURCE FOLDER Z-Z KERNEL JOBS FORMAT W,S,E,N [LOW,HIGH]`.

MapProxy renders no rasters itself, so it seeds from a titiler of JOBS processes on this machine. Run in an environment
of both.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import fastapi
import yaml
from titiler.core.factory import TilerFactory

TILES = "/cog/tiles/WebMercatorQuad/%(z)s/%(x)s/%(y)s"
WAIT = 60  # seconds until titiler must answer

app = fastapi.FastAPI()  # each of its processes imports this module
app.include_router(TilerFactory(router_prefix="/cog").router, prefix="/cog")


def main(source: str, folder: str, zooms: str, kernel: str, jobs: str, form: str, box: str, rescale: str = "") -> None:
    """Start titiler, seed, stop titiler."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    query = {"url": source, "resampling": kernel, "reproject": kernel, **({"rescale": rescale} if rescale else {})}
    address = f"http://127.0.0.1:{port}{TILES}.{form}?{urlencode(query).replace('%', '%%')}"
    words = [
        "-m",
        "uvicorn",
        "with_mapproxy:app",
        "--app-dir",
        str(Path(__file__).parent),
        "--port",
        str(port),
        "--workers",
        jobs,
    ]
    server = subprocess.Popen([sys.executable, *words, "--log-level", "error"])
    try:
        _until_it_answers(f"http://127.0.0.1:{port}/docs")
        _seed(Path(folder), address, form, zooms, box, jobs)
    finally:
        server.terminate()
        server.wait()


def _until_it_answers(address: str) -> None:
    end = time.monotonic() + WAIT
    while True:
        try:
            urlopen(address).close()  # noqa: S310 - an address of this machine
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _seed(folder: Path, address: str, form: str, zooms: str, box: str, jobs: str) -> None:
    """Write the two files of mapproxy-seed and run it."""
    low, high = map(int, zooms.split("-"))
    source = {"type": "tile", "url": address, "grid": "web", "transparent": True}
    source["on_error"] = {404: {"response": "transparent", "cache": False}}
    cache = {"grids": ["web"], "sources": ["titiler"], "format": f"image/{form}", "meta_size": [1, 1]}
    cache["cache"] = {"type": "file", "directory": str(folder), "directory_layout": "tms"}
    mapproxy = {
        "services": {"demo": None},
        "layers": [{"name": "tiles", "title": "tiles", "sources": ["tiles"]}],
        "grids": {"web": {"base": "GLOBAL_WEBMERCATOR", "num_levels": high + 1}},
        "sources": {"titiler": source},
        "caches": {"tiles": cache},
        "globals": {"image": {"paletted": False}, "cache": {"lock_dir": str(folder / "locks")}},
    }
    seeds = {"all": {"caches": ["tiles"], "levels": {"from": low, "to": high}, "coverages": ["source"]}}
    coverage = {"bbox": [float(each) for each in box.split(",")], "srs": "EPSG:4326"}
    written = {"mapproxy": mapproxy, "seed": {"seeds": seeds, "coverages": {"source": coverage}}}
    for name, value in written.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(value))
    words = ["-f", str(folder / "mapproxy.yaml"), "-s", str(folder / "seed.yaml"), "-c", jobs, "--quiet"]
    subprocess.run([str(Path(sys.executable).with_name("mapproxy-seed")), *words], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
