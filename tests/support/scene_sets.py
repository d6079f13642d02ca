"""Random scenes of one layer, and changes to them: windows of sheets, so that some lie on one grid and overlap."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import numpy as np
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform

from seeder.operations.ingest import ingest
from seeder.operations.next_source import NextSource
from seeder.operations.refresh import refresh
from seeder.operations.report import Report
from seeder.operations.scenes import SceneChanges, Sources, read_sources
from tests.support.data_folder import ONE, DataFolder
from tests.support.oracle import alone, tiles_of
from tests.support.rasters import Recipe, write_raster
from tiler.choices import Overlap
from tiler.grid import resolution
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.pyramid import Place, Pyramid
from tiler.layers.render import TileVariant
from tiler.raster.options import Options

ZOOM = 8  # of the sheets; the world has 4 x 4 parts
EAST = 1 << 14  # pixels of a part
NAME = "mosaic"
OVERLAPS: tuple[Overlap, ...] = ("last", "first", "newest", "finest")
NODATA = 0


class Sheet(NamedTuple):
    """A grid: its CRS, its north-west corner in longitude and latitude, and its pixels relative to ZOOM's."""

    crs: str
    west: float
    north: float
    size: float = 1.0

    @property
    def wide(self) -> bool:
        """Whether it may continue in the next part."""
        return self.crs in ("EPSG:4326", "EPSG:3857")

    def bounds(self, left: int, top: int, width: int, height: int) -> tuple[float, float, float, float]:
        """W,S,E,N of a window in units of the CRS."""
        geographic = CRS.from_user_input(self.crs).is_geographic
        pixel = self.size * (360 / (256 << ZOOM) if geographic else resolution(ZOOM))
        (x,), (y,) = transform("EPSG:4326", self.crs, [self.west], [self.north])
        west, north = x + left * pixel, y - top * pixel
        return west, north - height * pixel, west + width * pixel, north


SHEETS = {  # each lies on the corner of four parts, except near the pole
    "land": (Sheet("EPSG:4326", -0.9, 67.0), Sheet("EPSG:32631", -0.5, 66.8, 0.7)),
    "one": (Sheet("EPSG:3857", -1.0, 66.9), Sheet("EPSG:3857", -0.7, 66.8, 2.0)),
    "seam": (Sheet("EPSG:4326", 179.2, 0.8), Sheet("EPSG:3857", -179.9, 0.4)),
    "pole": (Sheet("EPSG:4326", 89.2, 85.2), Sheet("EPSG:3413", 80.0, 83.0, 0.3)),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A scene: a window of a sheet in pixels; `version` and `hole` change its values."""

    name: str
    sheet: Sheet
    left: int
    top: int
    width: int
    height: int
    version: int = 0
    hole: bool = False
    day: int = 1

    @property
    def date(self) -> str:
        """Its date."""
        return f"2026-05-0{self.day}"

    def values(self, bands: int = 1) -> np.ndarray[Any, Any]:
        """Its pixels; without other versions, those of its sheet."""
        rows = np.arange(self.top, self.top + self.height)[:, np.newaxis]
        columns = np.arange(self.left, self.left + self.width)
        waves = 120 + 60 * np.sin(columns / 9) + 50 * np.cos(rows / 7) + (rows * 7 + columns * 3) % 11
        values = np.clip(waves, 1, 254).astype(np.uint8)
        top, left = self.height // 3, self.width // 3
        patch = values[top : top + 20, left : left + 25]
        if self.version:
            patch[:] = (patch.astype(int) * 3 // 4 + 13 * self.version).clip(1, 254)
        if self.hole:
            values[top + 10 : top + 60, left + 5 : left + 40] = NODATA
        return np.repeat(values[np.newaxis], bands, axis=0)

    def write(self, folder: Path) -> Path:
        """Write it, with its date."""
        recipe = Recipe(
            values=self.values(),
            bounds=self.sheet.bounds(self.left, self.top, self.width, self.height),
            crs=self.sheet.crs,
            nodata=NODATA,
        )
        return write_raster(folder / f"{self.name}.tif", recipe)


@st.composite
def pieces(draw: st.DrawFn, name: str, sheets: tuple[Sheet, ...]) -> Piece:
    """A scene: near the corner of its sheet, or in a part further east."""
    side, sheet = st.sampled_from((1, 60, 97, 200, 256, 300)), draw(st.sampled_from(sheets))
    return Piece(
        name,
        sheet,
        draw(st.sampled_from((0, 60, 157, 256))) + (draw(st.sampled_from((0, 0, EAST))) if sheet.wide else 0),
        draw(st.sampled_from((0, 60, 97, 256))),
        draw(side),
        draw(side),
        hole=draw(st.booleans()),
        day=draw(st.integers(1, 9)),
    )


class Step(NamedTuple):
    """A change of a layer's scenes."""

    add: tuple[Piece, ...] = ()
    replace: tuple[Piece, ...] = ()
    drop: tuple[str, ...] = ()

    def after(self, before: tuple[Piece, ...]) -> tuple[Piece, ...]:
        """The scenes after it."""
        new = {each.name: each for each in self.replace}
        return (*(new.get(each.name, each) for each in before if each.name not in self.drop), *self.add)


@dataclass(frozen=True, slots=True)
class Sequence:
    """The first scenes of a layer, and its changes."""

    first: tuple[Piece, ...]
    steps: tuple[Step, ...]
    overlap: Overlap


@st.composite
def sequences(draw: st.DrawFn, most: int = 3) -> Sequence:
    """Any of them, in one place of the globe."""
    sheets = draw(st.sampled_from(sorted(SHEETS)).map(SHEETS.__getitem__))
    first = tuple(draw(pieces(f"first-{number}", sheets)) for number in range(draw(st.integers(1, 4))))
    now, steps = first, list[Step]()
    for number in range(draw(st.integers(1, most))):
        kind: Literal["add", "replace", "drop"] = draw(st.sampled_from(("add", "replace", "drop")))
        if kind == "add" or (kind == "drop" and len(now) == 1):
            count = draw(st.integers(1, 2))
            step = Step(add=tuple(draw(pieces(f"new-{number}-{each}", sheets)) for each in range(count)))
        elif kind == "drop":
            step = Step(drop=(draw(st.sampled_from([each.name for each in now])),))
        else:
            old = draw(st.sampled_from(now))
            step = Step(
                replace=(replace(old, version=old.version + draw(st.integers(0, 1)), hole=draw(st.booleans())),)
            )
        now = step.after(now)
        steps.append(step)
    return Sequence(first, tuple(steps), draw(st.sampled_from(OVERLAPS)))


@dataclass(frozen=True)
class World(DataFolder):
    """A layer of scenes in a data folder; the scenes are files in a folder of their own."""

    scenes: Path
    NAME = NAME

    def write(self, some: tuple[Piece, ...]) -> tuple[str, ...]:
        """The paths of scenes, written."""
        self.scenes.mkdir(exist_ok=True)
        return tuple(str(piece.write(self.scenes)) for piece in some)

    def listed(self, dates: Mapping[str, str]) -> str:
        """The path of an index of scenes with their dates."""
        features = [{"properties": {"location": path, "datetime": date}} for path, date in dates.items()]
        file = self.scenes / f"{uuid4().hex}.geojson"
        file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return str(file)

    def index(self, some: tuple[Piece, ...]) -> tuple[str, ...]:
        """An index of scenes, which are written; none without any."""
        paths = self.write(some)
        return (self.listed({path: each.date for path, each in zip(paths, some, strict=True)}),) if some else ()

    def ingest(self, index: tuple[str, ...], overlap: Overlap, options: Options) -> Layer:
        """Ingest the scenes of an index."""
        report = Report()
        scenes = read_sources(Sources(index, overlap), options, report, jobs=1)
        return ingest(scenes, NAME, options, self.stores, report, jobs=1).layer

    def refresh(self, sources: Sources, changes: SceneChanges) -> Any:
        """Refresh from other scenes, or change some."""
        return refresh(NAME, self.context(), ONE, NextSource(sources, {}, scene_changes=changes))

    def whole(self, some: tuple[Piece, ...]) -> Any:
        """Write scenes and refresh from them alone."""
        return self.refresh(Sources(self.index(some)), SceneChanges())

    def step(self, step: Step) -> Any:
        """Write the scenes of a step and refresh."""
        changes = SceneChanges(
            self.index(step.add), self.index(step.replace), tuple(f"{each}.tif" for each in step.drop)
        )
        return self.refresh(Sources(()), changes)

    def fresh(self, *variants: TileVariant) -> dict[str, bytes]:
        """A render of every tile."""
        layer, found = self.layer, dict[str, bytes]()
        for variant in variants or (TileVariant(),):
            for z in range(layer.minzoom, layer.maxzoom + 1):
                for tile in filter(layer.has, tiles_of(layer, z)):
                    data = alone(layer, self.stores, tile, variant)
                    if data is not None:
                        found[tile_key(TileName(NAME, tile, variant.scale, variant.format))] = data
        return found

    def parts(self) -> dict[Place, tuple[str, Any]]:
        """The hash and the place on the grid of each part."""
        layer = self.layer
        assert isinstance(layer.bake, Pyramid)
        every = layer.bake.parts(NAME, self.stores.sources)
        return {place: (part.hash, part.layout) for place, part in every.items()}


def described(layer: Layer) -> dict[str, Any]:
    """All of a layer that rendering reads, except the names of its parts."""
    own = {name: getattr(layer, name) for name in ("bounds", "minzoom", "maxzoom", "format", "style", "bands")}
    bake = layer.bake
    assert isinstance(bake, Pyramid)
    cells = layer.footprint
    return own | {
        "footprint": (cells.z, cells.x, cells.y, cells.cells.tolist()),
        "bake": (bake.z, bake.dtype, bake.opaque, bake.finished),
    }
