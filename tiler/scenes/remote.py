"""Scenes in S3 and on web servers: the versions of objects."""

from __future__ import annotations

import logging
import re
from email.message import Message
from functools import lru_cache
from typing import Any

from tiler.errors import BadSource, StoreError, shown
from tiler.raster import s3_reads
from tiler.raster.options import Options
from tiler.scenes.s3_sources import check_readable, client_of
from tiler.scenes.web import FIRST, Web, public
from tiler.storage import access

WEB = re.compile(r"(?:/vsicurl/)?(https?://.+)", re.DOTALL)
CONNECT, READ = 10, 60  # seconds
REDIRECTS = 5
UNSIGNED = "give a signed link again (`seeder refresh LAYER --replace LINK`), because query strings are never stored"


def is_remote(path: str) -> bool:
    """Whether `path` is an object in S3 or on a web server."""
    return bool(s3_reads.OBJECT.fullmatch(path) or WEB.fullmatch(path))


def version_of(path: str, options: Options, *, strange: bool = False) -> str:
    """A text that changes with the object at `path`: its ETag, or the time of its last change, and its size.

    Raises:
        BadSource: the server refuses it, or it is `strange` and leads into a private network.
        StoreError: the server fails or does not answer.
    """
    if match := s3_reads.OBJECT.fullmatch(path):
        return _in_s3(path, match[1], match[2], options)
    web = WEB.fullmatch(path)
    assert web, "is_remote first"
    return _on_web(web[1], strange=strange)


def _in_s3(path: str, bucket: str, key: str, options: Options) -> str:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3 takes a third of a second

    client = client_of("the scenes", options)
    if client is None:
        raise BadSource(path, f"the AWS profile cannot be loaded: {access.KEYS}")
    try:
        answer = client.head_object(Bucket=bucket, Key=key, **s3_reads.payer(requester_pays=options.requester_pays))
    except (ClientError, BotoCoreError) as error:
        check_readable(path, [path], options)  # names the reason and the cure
        raise StoreError("read", path, error) from error
    return f"{answer['ETag']} {answer['ContentLength']}"


@lru_cache
def _pool() -> Any:
    import urllib3  # noqa: PLC0415 - only for scenes on the web

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its messages show query strings
    retries = urllib3.Retry(total=REDIRECTS, connect=1, read=1, status=0, redirect=REDIRECTS)
    return urllib3.PoolManager(retries=retries, timeout=urllib3.Timeout(connect=CONNECT, read=READ))


def _on_web(url: str, *, strange: bool) -> str:
    name = shown(url)
    status, headers = Web(name, public).head(url) if strange else _head(url)
    if status >= 500 or status == 429:
        raise StoreError("read", name, f"HTTP status {status}")
    if status >= 400:
        signed = "renew the link if it is signed" if url != name else UNSIGNED
        raise BadSource(name, f"HTTP status {status}: check its address, or {signed}")
    whole = str(headers.get("Content-Range", "")).rpartition("/")[2] or headers.get("Content-Length", "")
    return f"{headers.get('ETag') or headers.get('Last-Modified', '')} {whole}"


def _head(url: str) -> tuple[int, Message | Any]:
    """The status and the headers of the answer to a request for the first byte of an address that the user typed."""
    import urllib3  # noqa: PLC0415 - only for scenes on the web

    try:
        answer = _pool().request("GET", url, headers=FIRST, preload_content=False)
        answer.close()
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise StoreError("read", shown(url), type(reason).__name__) from None  # its text shows the query string
    return answer.status, answer.headers
