"""GDAL's own reads of S3, with the credentials of `tiler.storage.access`.

GDAL opens the members of a VRT when it reads them, with the options of that thread. So the options stay set after a
raster is opened, and a raster is opened again with renewed credentials. Options are global in the main thread only:
GDAL's own threads lack those of any other thread, so reads of S3 use none.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

from rasterio._env import del_gdal_config, get_gdal_config, set_gdal_config

from tiler.errors import StoreError
from tiler.storage import access

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
