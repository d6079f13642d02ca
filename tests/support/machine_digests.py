"""Print digests of kernels and of small bakes as JSON: `python -m tests.support.machine_digests FOLDER`."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.rasters import Recipe, scene, write_raster
from tiler.grid import Window
from tiler.image.contours import contours
from tiler.image.light import Light
from tiler.image.separable import cubic, resampled
from tiler.image.style import Values
from tiler.image.terrain import derived
from tiler.ingest.ingest import ingest
from tiler.raster.options import Options
from tiler.storage.store import Stores, open_store

SIDE = 300
CLASSES = {number: (number * 9, 255 - number * 9, 40, 255) for number in range(24)}
UTM = (400_000.0, 5_000_000.0, 400_500.0, 5_000_500.0)


def recipes() -> dict[str, Recipe]:
    """A raster of each kind; in degrees the project resamples by itself, in UTM by GDAL."""
    colours = scene(SIDE, SIDE)
    heights = colours[:1].astype(np.float32) * np.float32(11.7)
    holes = np.where(np.hypot(*np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]) < 0.5, 0, 255).astype(np.uint8)
    return {
        "bytes": Recipe(colours),
        "bytes with holes": Recipe(colours, mask=holes),
        "uint16": Recipe(colours.astype(np.uint16) * np.uint16(257)),
        "heights": Recipe(heights),
        "palette": Recipe(colours[:1] // 11, palette=CLASSES),
        "bytes in UTM": Recipe(colours, UTM, "EPSG:32631"),
    }


def kernels() -> Iterator[tuple[str, Values]]:
    """Results of the kernels alone, of noise; and of functions whose last bits depend on the processor."""
    rng = np.random.default_rng(7)
    centres = np.arange(3, 190, 0.83) ** 0.99
    for dtype in ("uint8", "int16", "uint16", "float32"):
        noise = (rng.random((3, 200, 200)) * 127).astype(dtype)
        yield f"cubic {dtype}", resampled(noise, cubic(centres, 200), cubic(centres, 200), noise.dtype)
    heights = (rng.random((1, 258, 258)) * 900).astype(np.float32), None
    for terrain in ("hillshade", "slope"):
        yield terrain, derived(terrain, heights, Window(12, 2100, 1400, 256, 256))[0]  # type: ignore[arg-type]
    for light in (Light(20, 30, 2), Light(shading="combined"), Light(shading="multidirectional")):
        yield str(light), derived("hillshade", heights, Window(12, 2100, 1400, 256, 256), light)[0]
    opacity = contours(heights[0][0], None, 20, 1).mask
    assert opacity is not None
    yield "contours", opacity
    floats = rng.random((200, 200), np.float32)
    yield "control: a product of matrices", floats @ floats
    yield "control: arc tangents", np.arctan(floats)


def digest(data: bytes) -> str:
    """A short hash."""
    return hashlib.sha256(data).hexdigest()[:16]


def main(folder: Path) -> None:
    """Print the digests of all kernels, and of the parts of each raster's layer."""
    found = {name: digest(values.tobytes()) for name, values in kernels()}
    for number, (name, recipe) in enumerate(recipes().items()):
        path = write_raster(folder / f"{number}.tif", recipe)
        tiles, sources = (open_store((folder / each).as_uri(), create=True) for each in ("tiles", "private"))
        ingest(str(path), f"layer{number}", Options(), Stores(tiles, sources, ""), jobs=1, progress=lambda *_: None)
        stored = sorted((folder / "private" / "sources" / f"layer{number}").glob("parts/*.tif"))
        assert stored
        found[name] = digest("".join(sorted(digest(each.read_bytes()) for each in stored)).encode())
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
