"""Scenes to list, read and order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from rasterio.crs import CRS

from tiler.grid import Bounds
from tiler.raster.options import Options
from tiler.raster.reading import Reading
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed, Scene

LONLAT = CRS.from_epsg(4326)


def listed(*paths: Path | str) -> list[Listed]:
    """Paths as a list of scenes; the address is the file's name."""
    return [Listed(Path(path).name, str(path)) for path in paths]


def silent(_done: int, _all: int) -> None:
    """No progress."""


def scenes_of(paths: Sequence[Path], *, jobs: int = 1, checksum: bool = False, **options: Any) -> tuple[Scene, ...]:
    """The scenes at `paths`, with these options of an ingest."""
    return read_scenes(listed(*paths), Options(**options), jobs=jobs, progress=silent, checksum=checksum)


def made(address: str = "a.tif", date: str = "", **fields: Any) -> Scene:
    """A scene of one degree, without a file."""
    facts: dict[str, Any] = {
        "fingerprint": "t00",
        "crs": LONLAT,
        "size": (100, 100),
        "transform": (0.01, 0.0, 7.0, 0.0, -0.01, 47.0),
        "bounds": Bounds(7.0, 46.0, 8.0, 47.0),
        "resolution": 1113.0,
        "dtype": "uint8",
        "reading": Reading((1, 2, 3)),
    }
    return Scene(listed=Listed(address, fields.pop("path", address), date), **(facts | fields))


dates = st.one_of(st.just(""), st.dates().map(str), st.datetimes().map(lambda each: each.isoformat()))
resolutions = st.floats(0.01, 1e4)


@st.composite
def many(draw: st.DrawFn) -> list[Scene]:
    """Up to eight scenes with different addresses, any dates, resolutions and latitudes."""
    count = draw(st.integers(0, 8))
    souths = st.integers(-80, 79)
    return [
        made(
            f"{number}.tif",
            draw(dates),
            resolution=draw(resolutions),
            bounds=Bounds(7.0, south := float(draw(souths)), 8.0, south + 1),
        )
        for number in range(count)
    ]
