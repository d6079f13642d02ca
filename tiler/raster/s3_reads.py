"""GDAL's own reads of S3, with the credentials of `tiler.storage.access`.

GDAL opens the members of a VRT when it reads them, with the options of that thread. So the options stay set after a
raster is opened, and a raster is opened again with renewed credentials. Options are global in the main thread only:
GDAL's own threads lack those of any other thread, so reads of S3 use none.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rasterio._env import del_gdal_config, get_gdal_config, set_gdal_config

from tiler.errors import StoreError
from tiler.storage import access
from tiler.storage.concurrent import THREADS

LONE = (".tif", ".tiff", ".jp2")  # suffixes of rasters of one file
OBJECT = re.compile(r"(?:s3://|/vsis3/)([^/]*)/?(.*)", re.DOTALL)  # its bucket and key
TRIES = 4  # per request of boto3
DEFAULT_REGION = "us-east-1"  # of GDAL; both find a bucket in another region
KNOWN = 4096  # objects whose neighbours are remembered
NAMED = re.compile(r"s3://|/vsis3/")  # in a name that GDAL reads from S3


class Environment(NamedTuple):
    """GDAL's own settings of S3, from the environment."""

    region: str
    server: str  # host and port
    anonymous: bool
    requester_pays: bool


@cache
def environment() -> Environment:
    """The settings that hold before `configure` overrides any."""
    return Environment(
        region=_setting("AWS_REGION") or _setting("AWS_DEFAULT_REGION"),
        server=_setting("AWS_S3_ENDPOINT"),
        anonymous=_setting("AWS_NO_SIGN_REQUEST").upper() in ("YES", "TRUE", "ON", "1"),
        requester_pays=_setting("AWS_REQUEST_PAYER") == "requester",
    )


def server_url() -> str | None:
    """The URL of GDAL's own S3 server; None for the one of the profile."""
    scheme = "http" if _setting("AWS_HTTPS").upper() in ("NO", "FALSE", "OFF", "0") else "https"
    return f"{scheme}://{environment().server}" if environment().server else None


def _setting(name: str) -> str:
    return get_gdal_config(name, normalize=False) or ""


def payer(*, requester_pays: bool) -> dict[str, str]:
    """Parameters of boto3's requests for objects."""
    return {"RequestPayer": "requester"} if requester_pays or environment().requester_pays else {}


def client(*, anonymous: bool) -> Any:
    """A client of boto3 with the credentials, the region and the server of GDAL's reads.

    Raises:
        NoAccess: there are no credentials, or the profile does not exist; also for `anonymous`, which needs neither.
    """
    return _client(access.session(), anonymous or environment().anonymous)


@lru_cache
def _client(_session: Any, anonymous: bool) -> Any:
    from botocore import UNSIGNED  # noqa: PLC0415 - boto3 takes a third of a second
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        signature_version=UNSIGNED if anonymous else None,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        connect_timeout=10,
        read_timeout=40,
        max_pool_connections=THREADS,
    )
    if not anonymous:
        access.credentials()
    region = environment().region or access.session().region_name or DEFAULT_REGION
    return access.client("s3", region_name=region, config=config, endpoint_url=server_url())


@lru_cache(KNOWN)
def is_alone(path: str, *, requester_pays: bool, anonymous: bool) -> bool:
    """Whether `path` is a raster in S3 without sidecars, by one request that does not list its whole folder.

    False if that cannot be known.
    """
    match = OBJECT.fullmatch(path)
    if not match or not path.lower().endswith(LONE):
        return False
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3 takes a third of a second

    bucket, key = match.groups()
    prefix = key.rpartition(".")[0] + "."
    pays = payer(requester_pays=requester_pays)
    try:
        found = client(anonymous=anonymous).list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=2, **pays)
    except (ClientError, BotoCoreError, access.NoAccess):
        return False
    return {each["Key"] for each in found.get("Contents", ())} <= {key}


def configure(path: str, *, trusted: bool, requester_pays: bool, anonymous: bool) -> int:
    """Set GDAL's options for reads of `path` by this thread; return a number that changes with the credentials.

    A `trusted` VRT or index may have members in S3: it gets credentials if there are any.

    Raises:
        StoreError: `path` is in S3, and there are no credentials.
    """
    own = environment()
    named = NAMED.search(path)
    if not (named or trusted):
        return 0
    try:
        options = _options(own, anonymous=anonymous or own.anonymous)
    except access.NoAccess as error:
        if named:
            raise StoreError("read", path, error) from error
        options = {}
    options["AWS_REQUEST_PAYER"] = "requester" if requester_pays or own.requester_pays else ""
    for name, value in options.items():
        if value is None:
            del_gdal_config(name)
        else:
            set_gdal_config(name, value, normalize=False)
    return hash(tuple(options.items()))


def _options(own: Environment, *, anonymous: bool) -> dict[str, str | None]:
    """GDAL's options; None leaves one to the environment."""
    options: dict[str, str | None] = {"AWS_NO_SIGN_REQUEST": "YES" if anonymous else "NO", "GDAL_NUM_THREADS": "1"}
    options |= dict.fromkeys(access.GDAL_KEYS) if anonymous else access.gdal_keys()
    region, server = _profile(required=not anonymous)
    if not own.region:
        options["AWS_REGION"] = region
    url = _setting("AWS_ENDPOINT_URL_S3") or _setting("AWS_ENDPOINT_URL") or server
    if url and not own.server:
        parts = urlsplit(url)
        options["AWS_S3_ENDPOINT"] = parts.netloc + parts.path.rstrip("/")
        options["AWS_HTTPS"] = "YES" if parts.scheme == "https" else "NO"
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"
    return options


def _profile(*, required: bool) -> tuple[str | None, str]:
    """The region and the server of the profile; unless it is `required`, it may be missing."""
    try:
        return access.session().region_name, access.endpoint()
    except access.NoAccess:
        if required:
            raise
        return None, ""
