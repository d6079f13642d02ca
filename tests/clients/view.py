"""What a client is to draw, and whether it did."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mercantile
import numpy as np
from mercantile import Bbox, LngLat, Tile
from PIL import Image

INSIDE = Path(__file__).parent / "inside"  # what runs inside the clients: not beside modules of their names
SIZE = 256  # pixels a side of what a client draws: one tile, exactly
CLOSE = 5.0  # grey levels of 255 that a pixel may be off on average: a client may resample, and shift by a pixel
PATIENCE = 120  # seconds that a client may take


@dataclass(frozen=True, slots=True)
class View:
    """One tile of a layer at `url`, which has no slash at the end, or as much further west."""

    url: str
    layer: str
    tile: Tile
    west: float = 0.0  # of the tile, in tiles

    @property
    def template(self) -> str:
        """The address of the layer's tiles, as maps want it."""
        return f"{self.url}/{self.layer}/{{z}}/{{x}}/{{y}}.png"

    @property
    def tilejson(self) -> str:
        """The address of the layer's TileJSON."""
        return f"{self.url}/{self.layer}/tile.json"

    @property
    def wmts(self) -> str:
        """The address of the layer's WMTS capabilities."""
        return f"{self.url}/{self.layer}/wmts.xml"

    @property
    def box(self) -> Bbox:
        """The edges of what is seen, in metres of EPSG:3857."""
        left, bottom, right, top = mercantile.xy_bounds(self.tile)
        shift = self.west * (right - left)
        return Bbox(left - shift, bottom, right - shift, top)

    @property
    def middle(self) -> LngLat:
        """The middle of what is seen."""
        return mercantile.lnglat((self.box.left + self.box.right) / 2, (self.box.bottom + self.box.top) / 2)


Draw = Callable[[View, Path], Image.Image]  # what a client makes of a view, its files in a folder of its own


@dataclass(frozen=True, slots=True)
class Client:
    """A client; `version` and `draw` raise where it is not installed or does not get to its end."""

    name: str
    version: Callable[[], str]
    draw: Draw


class Failed(Exception):
    """The client did not get to its end."""


def ran(words: list[str], folder: Path, **said: object) -> str:
    """What a program printed that knows nothing of this project; `said` is its last argument, as JSON.

    Raises:
        Failed: it ended badly, or does not end.
    """
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder), "QT_QPA_PLATFORM": "offscreen"}
    words = [*words, json.dumps(said)]
    try:
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    if done.returncode:
        last = done.stderr.strip().splitlines() or ["no word"]
        raise Failed(f"exit {done.returncode}: {last[-1]}")
    return done.stdout.strip()


def drawn(words: list[str], folder: Path, **said: object) -> Image.Image:
    """The picture that a program leaves at `out` of its argument; see `ran`."""
    out = folder / "drawn.png"
    ran(words, folder, **said, out=str(out))
    if not out.exists():
        raise Failed("no picture")
    return picture(out.read_bytes())


def picture(data: bytes) -> Image.Image:
    """An image file as it looks on white."""
    found = Image.open(io.BytesIO(data)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", found.size, "white"), found).convert("RGB")


def distance(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures are apart, in grey levels of 255 on average; infinite if their sizes differ."""
    if one.size != other.size:
        return float("inf")
    pixels = np.asarray(one.convert("RGB"), np.float64), np.asarray(other.convert("RGB"), np.float64)
    return float(np.abs(pixels[0] - pixels[1]).mean())
