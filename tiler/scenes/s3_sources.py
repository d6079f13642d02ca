"""Check that sources in S3 can be read, before GDAL opens them: its errors name no cure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from tiler.errors import BadOption, BadSource, StoreError
from tiler.raster import s3_reads
from tiler.raster.options import Options
from tiler.storage import access
from tiler.storage.concurrent import overlap

PUBLIC = "for a public bucket add --anonymous"
EMPTY = {"InvalidRange", "416"}  # error codes of the first byte of an object without any
UNKNOWN_KEYS = {"InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "AuthFailure"}
DENIALS = {"AccessDenied", "AllAccessDisabled", "403"}


class S3Object(NamedTuple):
    """An object in S3, and its name as it was typed or as a VRT has it."""

    name: str
    bucket: str
    key: str


def check_readable(source: str, names: Iterable[str], options: Options) -> None:
    """Read the first byte of each of `names` that is an object in S3; other names pass.

    `source` is the raster that refers to them, or the only one.

    Raises:
        BadSource: an object or its bucket does not exist, access is denied, or credentials are missing or expired.
        BadOption: two options contradict each other.
        StoreError: S3 failed or did not answer.
    """
    if options.requester_pays and options.anonymous:
        raise BadOption("--anonymous requests cannot be paid for: omit it, or --requester-pays")
    objects = list(_objects(names))
    if not objects or s3_reads.environment().server:  # only GDAL knows that server
        return
    client = client_of(source, options)
    if client is None:  # GDAL reports a missing object itself
        return
    for _ in overlap(partial(_check, client, source, options), objects):
        pass


def _objects(names: Iterable[str]) -> Iterator[S3Object]:
    for name in names:
        if match := s3_reads.OBJECT.fullmatch(name):
            yield S3Object(name, match[1], match[2])


def client_of(source: str, options: Options) -> Any:
    """A client of S3; None for anonymous requests if boto3 cannot load the profile, which they do not need.

    Raises:
        BadSource: there are no credentials, or the profile does not exist; the message names `source`.
    """
    try:
        return s3_reads.client(anonymous=options.anonymous)
    except access.NoAccess as error:
        if options.anonymous or s3_reads.environment().anonymous:
            return None
        public = f"; {PUBLIC}" if isinstance(error, access.NoCredentials) else ""
        raise BadSource(source, f"{error}{public}") from error


def _check(client: Any, source: str, options: Options, each: S3Object) -> None:
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError  # noqa: PLC0415
    from botocore.exceptions import ConnectionError as NoConnectionError  # noqa: PLC0415

    which = "" if each.name == source else f"it refers to {each.name}: "
    if not each.bucket or not each.key:
        raise BadSource(source, f"{which}name an object, as in s3://BUCKET/FOLDER/FILE.tif")
    pays = s3_reads.payer(requester_pays=options.requester_pays)
    try:
        client.get_object(Bucket=each.bucket, Key=each.key, Range="bytes=0-0", **pays)["Body"].close()
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500:
            raise StoreError("read", each.name, error) from error
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code not in EMPTY:
            raise BadSource(source, which + reason(error, code, each, options)) from error
    except ParamValidationError as error:
        raise BadSource(source, f"{which}{each.bucket!r} is not the name of a bucket") from error
    except NoConnectionError as error:
        raise StoreError("read", each.name, error) from error
    except BotoCoreError as error:
        raise BadSource(source, which + access.explained(error)) from error


def reason(error: Any, code: str, each: S3Object, options: Options) -> str:
    """The reason of a refusal, with the cure."""
    if code in access.ELSEWHERE:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = error.response["Error"].get("Region") or headers.get("x-amz-bucket-region") or "its region"
        return f"bucket {each.bucket} is in another region: set AWS_REGION to {region}"
    message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
    missing = f"bucket {each.bucket} has no object {each.key}: list them with `aws s3 ls s3://{each.bucket}/`"
    reasons = {
        "NoSuchBucket": f"there is no bucket {each.bucket}: check its name",
        "InvalidObjectState": "it is archived: restore it first (`aws s3api restore-object`)",
        **dict.fromkeys(("NoSuchKey", "404"), missing),
        **dict.fromkeys(access.EXPIRED, f"the AWS credentials have expired: {access.RENEW}"),
        **dict.fromkeys(UNKNOWN_KEYS, f"S3 rejects the AWS credentials ({code}): {access.KEYS}"),
        **dict.fromkeys(DENIALS, f"access denied ({message or code}): {_permission(options)}"),
    }
    return reasons.get(code, f"{message} ({code})")


def _permission(options: Options) -> str:
    """The cure of a denied access; S3 denies a missing object, too, without permission to list its bucket."""
    if options.anonymous:
        return "the object is missing or not public; omit --anonymous to use your credentials"
    if options.requester_pays:
        return "the object is missing, or you need s3:GetObject on it"
    return "the object is missing, you need s3:GetObject on it, or its bucket needs --requester-pays"
