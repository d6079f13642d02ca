"""A layer's stored tiles held against the oracle's."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus.meaning import Meaning, Tile, fine, meaning_of, warped
from tests.corpus.place import HALF, TILE, Numbers

LEVELS = 8  # of 255, aside from the oracle's pixel and its neighbours
EDGE = 64  # of 255 and weighed by the cover, where that is not full all around: kernels weigh what is missing otherwise
COVER = 40  # of 255, likewise
MEAN, LOWER = 2.0, 4.0  # levels from the very pixel, at the raster's own zoom and below
RIM, ENOUGH = 3, 25  # pixels from what is missing, where kernels differ, and pixels farther in, for a mean to count
SHARE, FEW = 0.002, 2  # of the pixels that may be farther off; pixels, and a quarter of the root of all: an edge's
BETTER = 0.6  # of its distance: a pixel aside that fits so much better shows a shift
TILES = 24  # a zoom that are compared


@dataclass
class Found:
    """How far the tiles of a zoom are from the oracle's."""

    levels: float = LEVELS  # that a colour may be off
    pixels: int = 0
    off: int = 0  # of another colour
    cover: int = 0  # of another cover
    total: float = 0.0  # levels, of the pixels that both have whole
    shared: int = 0  # pixels
    worst: int = 0
    aside: dict[tuple[int, int], float] = field(default_factory=dict)  # distance, had the oracle been moved

    def add(self, drawn: Numbers, wanted: Numbers) -> None:
        """Count a tile; `wanted` has a border of one pixel."""
        near = [wanted[1 + y : TILE + 1 + y, 1 + x : TILE + 1 + x] for y, x in product((-1, 0, 1), repeat=2)]
        self._count(drawn, near, near[4])
        for (y, x), each in zip(product((-1, 0, 1), repeat=2), near, strict=True):
            self.aside[y, x] = self.aside.get((y, x), 0.0) + float(np.abs(_weighed(drawn) - _weighed(each)).sum())

    def add_classes(self, drawn: Numbers, wanted: Numbers, step: int) -> None:
        """Count a tile of classes; `wanted` has `step` pixels for one, and a border of one pixel."""
        near = [wanted[y::step, x::step][:TILE, :TILE] for y, x in product(range(step + 2), repeat=2)]
        there = np.any([each[..., 3] > 0 for each in near], axis=0) | (drawn[..., 3] > 0)
        same = np.any([_same_class(drawn, each) for each in near], axis=0)
        self.pixels += int(there.sum())
        self.off += int((there & ~same).sum())

    def _count(self, drawn: Numbers, near: list[Numbers], wanted: Numbers) -> None:
        covers = np.stack([each[..., 3] for each in near])
        low, high = (
            edge(np.where(covers[..., np.newaxis] > 0, np.stack([each[..., :3] for each in near]), far), axis=0)
            for edge, far in ((np.min, 999.0), (np.max, -999.0))
        )
        alpha, colour = drawn[..., 3], drawn[..., :3]
        there = (alpha > 0) | (wanted[..., 3] > 0)
        hidden = (alpha < covers.min(axis=0) - COVER) | (alpha > covers.max(axis=0) + COVER)
        both = (alpha > 0) & (covers.max(axis=0) > 0)
        beyond = np.maximum(low - colour, colour - high).max(axis=-1)
        wrong = both & np.where(_inner(covers.min(axis=0) > 254), beyond > self.levels, beyond * alpha / 255 > EDGE)
        full = _inner((alpha == 255) & (covers.min(axis=0) > 254))
        apart = np.abs(colour - wanted[..., :3])[full]
        self.pixels += int(there.sum())
        self.off += int(wrong.sum())
        self.cover += int((there & hidden).sum())
        self.total += float(apart.mean(axis=-1).sum()) if apart.size else 0.0
        self.shared += int(full.sum())
        self.worst = max(self.worst, math.ceil(apart.max()) if apart.size else 0)

    @property
    def mean(self) -> float:
        """Levels from the very pixel."""
        return self.total / self.shared if self.shared >= ENOUGH else 0.0

    def wrong(self, most: float) -> Iterator[str]:
        """What does not pass."""
        for share, what in ((self.off, "colour"), (self.cover, "alpha")):
            if share > max(FEW + math.sqrt(self.pixels) / 4, SHARE * self.pixels):
                yield f"{what} of {100 * share / self.pixels:.2g}% of pixels"
        if self.mean > most:
            yield f"mean {self.mean:.1f} levels"
        if self.aside:
            best = min(self.aside, key=lambda place: self.aside[place])
            if self.aside[best] < BETTER * self.aside[0, 0] and self.aside[0, 0] > self.pixels:
                yield f"shifted by {-best[1]},{-best[0]} pixels"


def _inner(there: Numbers) -> Numbers:
    """What lies RIM pixels or more inside."""
    for _ in range(RIM):
        wide = np.pad(there, 1, mode="edge")
        there = np.all([wide[y : y + TILE, x : x + TILE] for y, x in product(range(3), repeat=2)], axis=0)
    return there


def _same_class(drawn: Numbers, wanted: Numbers) -> Numbers:
    """Where two pixels show the same, all that is transparent being so."""
    same = (np.abs(drawn - wanted) <= 1).all(axis=-1)
    return np.asarray(same | ((drawn[..., 3] == 0) & (wanted[..., 3] == 0)))


def _weighed(picture: Numbers) -> Numbers:
    return np.asarray(picture[..., :3] * picture[..., 3:] / 255)


@dataclass(frozen=True)
class StoredTile:
    """A layer in a folder of tiles, as its files say."""

    tiles: Path
    said: dict[str, Any]  # index.json

    @classmethod
    def of(cls, data: Path, layer: str) -> StoredTile:
        """The layer below a data folder."""
        return cls(
            data / "tiles" / layer, json.loads((data / "private" / "sources" / layer / "index.json").read_text())
        )

    def at(self, z: int) -> set[Tile]:
        """The stored tiles of a zoom."""
        return {(z, int(path.parent.name), int(path.stem)) for path in (self.tiles / str(z)).glob("*/*.png")}

    def drawn(self, tile: Tile) -> Numbers:
        """The tile's pixels, RGBA; of one that is not stored, transparent ones."""
        z, x, y = tile
        path = self.tiles / str(z) / str(x) / f"{y}.png"
        if not path.exists():
            return np.zeros((TILE, TILE, 4))
        return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGBA")).astype(np.float64)


def compared(path: str, stored: StoredTile, zooms: tuple[int, ...], most: int) -> tuple[dict[int, Found], list[str]]:
    """How far the layer's tiles of `zooms` are from what the raster at `path` means, and what is wrong with that.

    Raises:
        TooLarge: the raster has more than `most` pixels.
    """
    meaning = meaning_of(path, tuple(stored.said["asked"]["bands"]), most)
    ranges = [tuple(each) for each in stored.said["style"]["rescale"]]  # in the units of `meant`
    table = stored.said["style"]["palette"]
    if meaning.palette is None and table:  # of an attribute table, which rasterio does not read
        meaning = replace(meaning, palette=np.array(table, np.float64))
    if not stored.said["style"].get("meant"):
        meaning = replace(meaning, scaled=((1.0, 0.0),) * len(meaning.values))
    wrong = stretched(meaning, ranges)
    finest = meaning.place.finest
    base = min(max(round(math.log2(2 * HALF / TILE / finest)), 0), 28) if finest else zooms[-1]
    if abs(base - stored.said["maxzoom"]) > 1:
        wrong.append(f"zoom {stored.said['maxzoom']}, where the resolution is that of zoom {base}")
    found = {}
    for z in zooms:
        found[z] = _zoom(meaning, stored, z, tuple(ranges))
        wrong += [f"z{z}: {what}" for what in found[z].wrong(MEAN if z == stored.said["maxzoom"] else LOWER)]
    return found, wrong


def stretched(meaning: Meaning, ranges: list[tuple[float, ...]]) -> list[str]:
    """What is wrong with a layer's stretch: it must lie within the valid values."""
    wrong: list[str] = []
    for (low, high), ends, (scale, offset) in zip(ranges, meaning.spans, meaning.scaled, strict=False):
        least, greatest = sorted(end * scale + offset for end in ends)
        slack = 1e-5 * max(abs(least), abs(greatest)) + 1e-30
        whole = meaning.dtype.kind in "ui" and low == 0 and math.log2(high + 1).is_integer()  # all that its bits hold
        if not whole and least < greatest and (low < least - slack or high > greatest + slack):
            wrong.append(f"stretch {low:g},{high:g} beyond the values, {least:g} to {greatest:g}")
    return wrong


def _zoom(meaning: Meaning, stored: StoredTile, z: int, ranges: tuple[tuple[float, ...], ...]) -> Found:
    found = Found(_levels(meaning, ranges))
    there = stored.at(z)
    wanted = {(z, int(x), int(y)) for x, y in np.unique(np.floor(meaning.place.points * (1 << z)).astype(int), axis=0)}
    missing = sorted(wanted - there)
    below = stored.said["maxzoom"] - z
    most = TILES >> below
    for tile in [*some(sorted(there), most), *some(missing, most // 4)]:
        if meaning.palette is None:
            found.add(stored.drawn(tile), picture(meaning, *warped(meaning, tile, below), ranges))
        else:
            truth = picture(meaning, *fine(meaning, tile, below, border=1), ranges)
            found.add_classes(stored.drawn(tile), truth, 1 << below)
    return found


def _levels(meaning: Meaning, ranges: tuple[tuple[float, ...], ...]) -> float:
    """The levels that a colour may be off: one step of whole numbers that are stretched, if that is more."""
    whole = meaning.dtype.kind in "ui"
    steps = [
        255 * abs(scale) / (high - low) + 1 for (low, high), (scale, _) in zip(ranges, meaning.scaled, strict=False)
    ]
    return max([LEVELS, *(step for step in steps if whole)])


def some(tiles: list[Tile], most: int) -> list[Tile]:
    """`most` of the tiles at even distances."""
    return [tiles[index * len(tiles) // most] for index in range(most)] if len(tiles) > most else tiles


def picture(meaning: Meaning, values: Numbers, cover: Numbers, ranges: tuple[tuple[float, ...], ...]) -> Numbers:
    """RGBA of warped values, `(height, width, 4)`."""
    if meaning.palette is not None:
        index = values[0].astype(int)
        known = (index >= 0) & (index < len(meaning.palette))
        shown = meaning.palette[np.where(known, index, 0)]
        shown[..., 3] *= known * cover / 255
        return shown
    meant = [band * scale + offset for band, (scale, offset) in zip(meaning.kept(values), meaning.scaled, strict=True)]
    bands = [
        np.rint(np.clip((band - low) / (high - low), 0, 1) * 255)
        for band, (low, high) in zip(meant, ranges or ((0, 255),) * len(values), strict=True)
    ]
    return np.stack([*(bands * 3 if len(bands) == 1 else bands), np.where(cover > 0, cover, 0)], axis=-1)
