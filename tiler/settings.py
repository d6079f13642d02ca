"""The environment, read in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA = "data"
DEFAULT_URL = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are.

    `tiles` and `sources` are store URLs (`file://`, `s3://`, `memory://`); `url` is where the public
    tile store is served, without a slash at the end.
    """

    tiles: str
    sources: str
    url: str = DEFAULT_URL

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, data: str | None = None) -> Settings:
        """Settings from the environment.

        `TILER_DATA` (or `data`, which wins) is the local root: tiles under `tiles/`, the private part under
        `private/`. `TILER_TILES` and `TILER_SOURCES` override each with any store URL. `TILER_URL` is the
        public address that TileJSON names.
        """
        root = Path(data or environ.get("TILER_DATA") or DEFAULT_DATA).expanduser().absolute()
        return cls(
            tiles=environ.get("TILER_TILES") or (root / "tiles").as_uri(),
            sources=environ.get("TILER_SOURCES") or (root / "private").as_uri(),
            url=(environ.get("TILER_URL") or DEFAULT_URL).rstrip("/"),
        )
