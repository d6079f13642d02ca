"""A scene: one raster of a layer, as its header describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rasterio.crs import CRS

from tiler.grid import Bounds
from tiler.image.style import Rgba
from tiler.raster.reading import Reading

BY_TIME, BY_CONTENT, BY_VERSION = "t", "c", "v"  # first letters of fingerprints


@dataclass(frozen=True, slots=True)
class Listed:
    """A scene of a list: its address to show, its path for GDAL, and its date (ISO 8601), empty if unknown.

    The address never has a query string; the path of a signed URL does. `strange` if a remote list names it: then no
    request for it may reach a private network.
    """

    address: str
    path: str
    date: str = ""
    strange: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """One raster of a layer.

    `size` is (width, height) in pixels, `transform` has GDAL's six numbers in rasterio's order (a, b, c, d, e, f),
    `resolution` is in Mercator metres per pixel, the smallest in the scene. `dtype` is the one to bake. `palette` is
    empty unless the scene has classes. `fingerprint` changes when the scene's files change.
    """

    listed: Listed
    fingerprint: str
    crs: CRS
    size: tuple[int, int]
    transform: tuple[float, float, float, float, float, float]
    bounds: Bounds
    resolution: float
    dtype: str
    reading: Reading
    palette: tuple[Rgba, ...] = ()

    @property
    def address(self) -> str:
        """The address to show."""
        return self.listed.address

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells its pixels from those of other scenes, also of files of the same size and time.

        That is the fingerprint and, unless that is one of the content, the address.
        """
        return (self.fingerprint,) if self.fingerprint.startswith(BY_CONTENT) else (self.address, self.fingerprint)

    def to_json(self) -> dict[str, Any]:
        """The facts of a scene that its layer keeps."""
        return {
            "address": self.address,
            "fingerprint": self.fingerprint,
            "date": self.listed.date,
            "crs": self.crs.to_string(),
            "resolution": self.resolution,
            "bounds": list(self.bounds),
            "size": list(self.size),
        }
