"""Clients of AWS services, with errors translated to TilerError; `tiler.storage.access` gives credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, WaiterError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from tiler.errors import BadCloud, QueueError
from tiler.storage import access

CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 6},  # `max_attempts` would not count the first
    connect_timeout=10,
    read_timeout=40,
    max_pool_connections=32,
)
CURE = "set AWS_REGION and AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
DENIALS = {"AccessDenied", "AccessDeniedException"}  # error codes of a policy that does not allow an action
REFUSALS = {  # error codes for which a retry is useless
    *DENIALS,
    *access.EXPIRED,
    "AWS.SimpleQueueService.NonExistentQueue",
    "InvalidClientTokenId",
    "NoSuchDistribution",
    "QueueDoesNotExist",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "ValidationError",
}


def client(service: str, region: str) -> Any:
    """A client of `service`; an empty `region` means the profile's.

    Raises:
        BadCloud: no region is configured, or the profile does not exist.
    """
    with translated(f"create a client of {service}"):
        return access.client(service, region_name=region or None, config=CONFIG)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate botocore's errors; `doing` is the attempted action, after "cannot".

    Raises:
        BadCloud: credentials, region, names or permissions are wrong; a retry is useless.
        QueueError: the service failed or did not answer, after several attempts.
    """
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        code, message = details.get("Code", ""), details.get("Message", "") or str(error)
        why = f"cannot {doing}: {message} ({code})" + (f": {access.RENEW}" if code in access.EXPIRED else "")
        if code not in REFUSALS:
            raise QueueError(why) from error
        refusal = BadCloud(why)
        refusal.denied = code in DENIALS
        raise refusal from error
    except (HTTPClientError, NoConnectionError, ResponseParserError, WaiterError) as error:
        raise QueueError(f"cannot {doing}: {error}") from error
    except BotoCoreError as error:
        raise BadCloud(f"cannot {doing}: {access.explained(error, CURE)}") from error
    except access.NoAccess as error:
        raise BadCloud(f"cannot {doing}: {error}") from error
