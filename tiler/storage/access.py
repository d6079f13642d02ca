"""Credentials, region and server of S3, resolved by boto3, for obstore, GDAL and boto3's own clients.

Each process resolves them itself and renews them before they expire, so no message or metadata contains any. The keys
of an assumed role are cached where the AWS CLI caches them, so that no process prompts for an MFA code again.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from tiler.settings import S3

CLI_CACHE = "~/.aws/cli/cache"  # of the AWS CLI
LIFETIME = timedelta(minutes=10)  # of keys in obstore; botocore renews keys that expire within ten minutes
RENEW = "run `aws sso login`, or renew the keys"
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}  # error codes of AWS
ELSEWHERE = {  # error codes of a bucket in another region
    *("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "301"),
}
KEYS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
GDAL_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

_lock = threading.RLock()  # boto3's session is not safe for threads


class NoAccess(Exception):
    """No credentials, or no such profile; the message is one line with the cure."""


class NoCredentials(NoAccess):
    """boto3 finds no credentials."""


@cache
def session() -> Any:
    """The boto3 session of this process: profiles, SSO, `credential_process`, roles and instances.

    Raises:
        NoAccess: the profile does not exist.
    """
    import boto3  # noqa: PLC0415 - a third of a second
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import get_session  # noqa: PLC0415
    from botocore.utils import JSONFileCache  # noqa: PLC0415

    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)  # its warning is a traceback before our error
    core = get_session()
    try:
        role = core.get_component("credential_provider").get_provider("assume-role")
        with suppress(RuntimeError):  # no home folder
            role.cache = JSONFileCache(str(Path(CLI_CACHE).expanduser()))
        return boto3.Session(botocore_session=core)
    except BotoCoreError as error:
        raise NoAccess(explained(error)) from error


def client(service: str, **options: Any) -> Any:
    """A client of boto3; any thread may create one.

    Raises:
        NoAccess: the profile does not exist.
    """
    with _lock:
        return session().client(service, **options)


def credentials() -> Any:
    """Refreshable credentials of botocore.

    Raises:
        NoCredentials: there are none.
        NoAccess: they have expired, or the profile is incomplete.
    """
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - boto3 takes a third of a second

    try:
        with _lock:
            found = session().get_credentials()
        if found is not None:
            found.get_frozen_credentials()  # renews expired ones
    except BotoCoreError as error:
        raise NoAccess(explained(error)) from error
    if found is None:
        raise NoCredentials(f"no AWS credentials: {KEYS}")
    return found


def provider() -> Any:
    """A credential provider of obstore, with the profile's region.

    Raises:
        NoAccess: there are no credentials.
    """
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - boto3 takes a third of a second

    credentials()
    return Boto3CredentialProvider(session(), ttl=LIFETIME)


def completed(s3: S3) -> S3:
    """`s3` with the server and the region of the profile, unless the environment has them.

    Raises:
        NoAccess: the profile does not exist.
    """
    if (s3.endpoint and s3.region) or (s3.keys and not _exists(s3.config)):
        return s3
    return replace(s3, endpoint=s3.endpoint or endpoint(), region=s3.region or session().region_name or "")


def endpoint() -> str:
    """The URL of the profile's S3 server; empty for Amazon's.

    Raises:
        NoAccess: the profile does not exist.
    """
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - boto3 takes a third of a second

    try:
        core = session()._session  # noqa: SLF001 - boto3 has no accessor
        if core.get_config_variable("ignore_configured_endpoint_urls"):
            return ""
        profile = core.get_scoped_config()
        own = core.full_config.get("services", {}).get(profile.get("services"), {}).get("s3", {})
        return str(own.get("endpoint_url") or profile.get("endpoint_url") or "")
    except BotoCoreError as error:
        raise NoAccess(explained(error)) from error


def gdal_keys() -> dict[str, str]:
    """The current credentials as GDAL options; of the three, the session token may be empty.

    Raises:
        NoAccess: there are none.
    """
    keys = credentials().get_frozen_credentials()
    return dict(zip(GDAL_KEYS, (keys.access_key, keys.secret_key, keys.token or ""), strict=True))


def explained(error: Exception, cure: str = KEYS) -> str:
    """An error of botocore about credentials as one line with the cure, by default `cure`."""
    from botocore import exceptions  # noqa: PLC0415 - boto3 takes a third of a second

    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError):
        return "the SSO session has expired or does not exist: run `aws sso login`"
    if isinstance(error, exceptions.LoginError):
        return "the login session has expired or does not exist: run `aws login`"
    if isinstance(error, exceptions.CredentialRetrievalError):
        return f"{text}: check the profile, or {cure}"
    return f"{text}: {cure}"


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except (OSError, RuntimeError):
        return False
