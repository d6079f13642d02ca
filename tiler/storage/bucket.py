"""A bucket as obstore opens it: its timeouts, retries and credentials."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import S3Store

from tiler import timing
from tiler.errors import BadStore
from tiler.settings import S3
from tiler.storage import access
from tiler.storage.faults import first_line

CONNECT = "10s"  # timeout of a connection
LONGEST_WAIT = 5.0  # seconds between two attempts of a request


def bucket(url: str, s3: S3) -> S3Store:
    """The bucket and prefix of an `s3://` URL.

    Raises:
        BadStore: the URL is malformed.
    """
    config: Any = {
        name: value for name, value in (("endpoint", s3.endpoint), ("region", s3.region)) if value
    }  # obstore reads the rest from the environment
    try:
        return S3Store.from_url(
            url,
            config=config,
            client_options={
                "allow_http": True,
                "connect_timeout": CONNECT,
                "timeout": f"{timing.STORE_REQUEST_SECONDS}s",
            },
            retry_config=_retries(s3.patience),
            credential_provider=None if s3.keys else access.provider(),  # obstore reads only the environment
        )
    except (BaseError, ValueError) as error:
        raise BadStore(url, first_line(error)) from error


def _retries(patience: float) -> Any:
    """Retry settings of obstore: the last attempt at most `patience` seconds after the first."""
    wait = min(LONGEST_WAIT, patience / 4)
    first, longest = timedelta(seconds=min(0.1, wait)), timedelta(seconds=wait)
    return {
        "max_retries": 1000,  # the timeout ends them earlier
        "retry_timeout": timedelta(seconds=patience - wait),  # obstore waits once more after it
        "backoff": {"init_backoff": first, "max_backoff": longest, "base": 2},
    }
