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
    tile store is served, without a slash at the end; `endpoint` is the URL of an S3 server, empty for Amazon's.
    """

    tiles: str
    sources: str
    url: str = DEFAULT_URL
    endpoint: str = ""  # of S3, where it is not Amazon's

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, data: str | None = None) -> Settings:
        """Settings from the environment.

        `TILER_DATA` (or `data`, which wins) is the local root: tiles under `tiles/`, the private part under
        `private/`. `TILER_TILES` and `TILER_SOURCES` override each with any store URL. `TILER_URL` is the
        public address that TileJSON names. `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL` name another S3 server,
        as they do for every AWS SDK.
        """
        root = Path(data or environ.get("TILER_DATA") or DEFAULT_DATA).expanduser().absolute()
        return cls(
            tiles=environ.get("TILER_TILES") or (root / "tiles").as_uri(),
            sources=environ.get("TILER_SOURCES") or (root / "private").as_uri(),
            url=(environ.get("TILER_URL") or DEFAULT_URL).rstrip("/"),
            endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "",
        )
