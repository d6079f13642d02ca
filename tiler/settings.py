"""The environment, read in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tiler.errors import BadOption

DEFAULT_DATA = "data"
DEFAULT_URL = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class S3:
    """How S3 is reached."""

    endpoint: str = ""  # URL of a server that is not Amazon's
    region: str = ""  # empty: what the profile says
    keys: bool = True  # they stand in the environment; else boto3 looks in profiles, SSO and roles
    patience: float = 120  # seconds that a throttled or failing request is tried again


AMAZON = S3()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are.

    `tiles` and `sources` are store URLs (`file://`, `s3://`, `memory://`). `url` is where the public tile store is
    served; `direct` is where it answers for itself and never redirects, which in S3 is another address. Neither has
    a slash at the end. `queue` is the URL of an SQS queue, empty where there is none. `any_format` says that the
    redirect path makes tiles of other formats than the layer's too.
    """

    tiles: str
    sources: str
    url: str = DEFAULT_URL
    direct: str = DEFAULT_URL
    queue: str = ""
    s3: S3 = AMAZON
    stack: str = ""  # that named all this
    any_format: bool = False
    cloudfront: str = ""  # id of the distribution before the tiles, empty where there is none

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, data: str | None = None) -> Settings:
        """Settings from the environment.

        `TILER_DATA` (or `data`, which wins) is the local root: tiles under `tiles/`, the private part under
        `private/`. `TILER_TILES` and `TILER_SOURCES` override each with any store URL. `TILER_URL` is the
        public address that TileJSON names, `TILER_DIRECT` the one that never redirects, `TILER_QUEUE` the URL of
        the queue. `TILER_FORMATS` is `layer` or `all`: the formats in which the redirect path makes tiles.
        `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL` name another S3 server, `AWS_REGION` and
        `AWS_DEFAULT_REGION` the region, as they do for every AWS SDK.

        Raises:
            BadOption: a value is none that its variable may have.
        """
        said = data or environ.get("TILER_DATA") or DEFAULT_DATA
        _check_folder(said)
        root = Path(said).expanduser().absolute()
        queue = environ.get("TILER_QUEUE") or ""  # for the command `seed` it may also say `local` or `sqs`
        url = (environ.get("TILER_URL") or DEFAULT_URL).rstrip("/")
        return cls(
            tiles=environ.get("TILER_TILES") or (root / "tiles").as_uri(),
            sources=environ.get("TILER_SOURCES") or (root / "private").as_uri(),
            url=url,
            direct=_direct(environ.get("TILER_DIRECT") or "") or url,
            queue=queue if "://" in queue else "",
            any_format=_any_format(environ.get("TILER_FORMATS") or "layer"),
            s3=S3(
                endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "",
                region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "",
                keys=bool(environ.get("AWS_ACCESS_KEY_ID")),
            ),
        )

    def within(self, seconds: float) -> Settings:
        """The same for one who must answer soon: failing requests are tried again for `seconds` only."""
        return replace(self, s3=replace(self.s3, patience=seconds))


def _any_format(said: str) -> bool:
    if said not in ("layer", "all"):
        raise BadOption(f"TILER_FORMATS is {said!r}: set it to layer or all")
    return said == "all"


def _direct(said: str) -> str:
    """The address without its last slash: redirects lead there, and QGIS follows absolute ones alone."""
    if said and not said.startswith(("http://", "https://")):
        raise BadOption(f"TILER_DIRECT is {said!r}: begin it with http:// or https://")
    return said.rstrip("/")


def _check_folder(folder: str) -> None:
    """Nothing, if a URL can spell the folder's name.

    Raises:
        BadOption: the name is not UTF-8, or holds a NUL.
    """
    try:
        good = "\0" not in str(folder).encode().decode()
    except UnicodeEncodeError:
        good = False
    if not good:
        raise BadOption(f"the data folder {str(folder)!a} is not named in UTF-8: rename it, or give another one")
