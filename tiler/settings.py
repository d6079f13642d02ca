"""The environment, read in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from tiler.errors import BadOption, shortened

DEFAULT_DATA = "data"
DEFAULT_URL = "http://localhost:8000"

Delivery = Literal["website", "cloudfront"]


@dataclass(frozen=True, slots=True)
class S3:
    """How to connect to S3."""

    endpoint: str = ""  # URL of another S3 server than Amazon's
    region: str = ""  # empty: the profile's
    keys: bool = True  # whether the environment holds keys; else boto3 looks in profiles, SSO and roles
    patience: float = 120  # seconds to retry a throttled or failing request


AMAZON = S3()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where tiles, sources and the queue are.

    `tiles` and `sources` are store URLs (`file://`, `s3://`, `memory://`). `url` is the public address of the tile
    store; `direct` serves the same tiles without ever redirecting, which in S3 is another address. Neither ends with
    a slash. `queue` is the URL of an SQS queue, or empty. With `any_format`, the redirect also makes tiles in formats
    other than the layer's.
    """

    tiles: str
    sources: str
    url: str = DEFAULT_URL
    direct: str = DEFAULT_URL
    queue: str = ""
    s3: S3 = AMAZON
    stack: str = ""  # the deployed stack that these settings were read from
    any_format: bool = False
    cloudfront: str = ""  # id of the distribution in front of the tiles, or empty
    temporary: str = ""  # the folder of TMPDIR, or empty
    delivery: Delivery = "website"  # answer of the http Lambda: a redirect to the tile, or the tile

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, data: str | None = None) -> Settings:
        """Settings from the environment.

        `TILER_DATA` (`data` overrides it) is the local root: tiles under `tiles/`, the private store under
        `private/`. `TILER_TILES` and `TILER_SOURCES` override each with any store URL. `TILER_URL` is the
        public address in TileJSON, `TILER_DIRECT` the one that never redirects, `TILER_QUEUE` the URL of
        the queue. `TILER_FORMATS` is `layer` or `all`: the formats in which the redirect makes tiles.
        `TILER_DELIVERY` is `website` or `cloudfront`; with `cloudfront`, `url` is empty unless `TILER_URL` is set.
        `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL` name another S3 server, `AWS_REGION` and
        `AWS_DEFAULT_REGION` the region, as in every AWS SDK.

        Raises:
            BadOption: a variable has an invalid value.
        """
        folder = data or environ.get("TILER_DATA") or DEFAULT_DATA
        _check_folder(folder)
        root = _absolute(folder)
        queue = environ.get("TILER_QUEUE") or ""  # the command `seed` also accepts `local` and `sqs` here
        delivery = _delivery(environ.get("TILER_DELIVERY") or "website")
        url = (environ.get("TILER_URL") or (DEFAULT_URL if delivery == "website" else "")).rstrip("/")
        return cls(
            tiles=environ.get("TILER_TILES") or (root / "tiles").as_uri(),
            sources=environ.get("TILER_SOURCES") or (root / "private").as_uri(),
            url=url,
            direct=_direct(environ.get("TILER_DIRECT") or "") or url,
            queue=queue if "://" in queue else "",
            temporary=environ.get("TMPDIR") or "",
            any_format=_any_format(environ.get("TILER_FORMATS") or "layer"),
            delivery=delivery,
            s3=S3(
                endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "",
                region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "",
                keys=bool(environ.get("AWS_ACCESS_KEY_ID")),
            ),
        )

    def within(self, seconds: float) -> Settings:
        """The same settings, but failing requests are retried for `seconds` only."""
        return replace(self, s3=replace(self.s3, patience=seconds))


def _any_format(value: str) -> bool:
    if value not in ("layer", "all"):
        raise BadOption(f"TILER_FORMATS is {value!r}: set it to layer or all")
    return value == "all"


def _delivery(value: str) -> Delivery:
    if value not in ("website", "cloudfront"):
        raise BadOption(f"TILER_DELIVERY is {value!r}: set it to website or cloudfront")
    return cast(Delivery, value)


def _direct(value: str) -> str:
    """The address without its last slash; absolute, because QGIS follows no relative redirects."""
    if value and not value.startswith(("http://", "https://")):
        raise BadOption(f"TILER_DIRECT is {value!r}: start it with http:// or https://")
    return value.rstrip("/")


def _check_folder(folder: str) -> None:
    """Reject a folder name that no URL can hold.

    Raises:
        BadOption: the name is not UTF-8, or contains a NUL.
    """
    try:
        valid = "\0" not in str(folder).encode().decode()
    except UnicodeEncodeError:
        valid = False
    if not valid:
        raise BadOption(f"the name of the data folder {str(folder)!a} is not UTF-8: rename it, or choose another one")


def _absolute(folder: str) -> Path:
    """An absolute path.

    Raises:
        BadOption: it begins with `~` and there is no such home folder, or the working directory was deleted.
    """
    try:
        return Path(folder).expanduser().absolute()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadOption(
            f"cannot resolve the data folder {shortened(folder)!r} ({reason}): use an absolute path"
        ) from error
