"""Objects in S3: those below a prefix, those that a pattern matches, and small ones read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tiler.errors import BadSource, StoreError
from tiler.raster import s3_reads
from tiler.raster.options import Options
from tiler.scenes.folders import is_raster, selected
from tiler.scenes.patterns import Pattern
from tiler.scenes.s3_sources import DENIALS, S3Object, client_of, reason
from tiler.storage import access

LARGEST = 1 << 26  # bytes of a list
PAGE = 1000  # keys per answer
HIDDEN = re.compile(r"(^|/)\.")


class Bucket(NamedTuple):
    """A place in S3 that a source names: `source` as the user typed it, with a key, a prefix or a pattern."""

    source: str
    name: str
    key: str
    options: Options

    @classmethod
    def of(cls, source: str, options: Options) -> Bucket:
        """The place that an address `s3://bucket/key` names.

        Raises:
            BadSource: it has no bucket.
        """
        match = s3_reads.OBJECT.fullmatch(source)
        if not match or not match[1]:
            raise BadSource(source, "it has no bucket: name one, as in s3://BUCKET/FOLDER/")
        return cls(source, match[1], match[2], options)

    def below(self) -> list[str]:
        """The addresses of all rasters whose keys begin with the prefix, sorted.

        Raises:
            BadSource: there is none, or the bucket cannot be listed.
            StoreError: S3 failed or did not answer.
        """
        found = [key for key in self._keys(self.key) if is_raster(key) and not HIDDEN.search(key[len(self.key) :])]
        if not found:
            raise BadSource(
                self.source, f"no raster has this prefix: list it with `aws s3 ls s3://{self.name}/{self.key}`"
            )
        return self._addresses(found)

    def matching(self) -> list[str]:
        """The addresses of all objects that the pattern matches, sorted; see `folders.matching`.

        Raises:
            BadSource: there is none, or the bucket cannot be listed.
            StoreError: S3 failed or did not answer.
        """
        pattern = Pattern.of(self.key)
        found = [key for key in self._keys(pattern.root) if selected(key[len(pattern.root) :], pattern)]
        if not found:
            place = f"s3://{self.name}/{pattern.root}"
            raise BadSource(self.source, f"no raster matches this pattern: list the objects with `aws s3 ls {place}`")
        return self._addresses(found)

    def read(self) -> bytes:
        """The bytes of an object.

        Raises:
            BadSource: it is larger than LARGEST bytes, does not exist, or access is denied.
            StoreError: S3 failed or did not answer.
        """
        client = self._client()
        with self._translated("s3:GetObject"):
            answer = client.get_object(Bucket=self.name, Key=self.key, **self._pays())
            with answer["Body"] as body:
                if answer["ContentLength"] > LARGEST:
                    raise BadSource(self.source, f"it is larger than {LARGEST >> 20} MB: split it")
                return bytes(body.read())

    def _addresses(self, keys: list[str]) -> list[str]:
        return [f"s3://{self.name}/{key}" for key in sorted(keys)]

    def _keys(self, prefix: str) -> Iterator[str]:
        """The keys of all objects that begin with `prefix` and are not empty."""
        pages = self._client().get_paginator("list_objects_v2")
        with self._translated("s3:ListBucket"):
            paged = {"PageSize": PAGE}
            for page in pages.paginate(Bucket=self.name, Prefix=prefix, PaginationConfig=paged, **self._pays()):
                yield from (each["Key"] for each in page.get("Contents", ()) if each["Size"])

    def _client(self) -> Any:
        if s3_reads.environment().server:
            raise BadSource(self.source, "AWS_S3_ENDPOINT is known to GDAL only: set AWS_ENDPOINT_URL_S3 instead")
        client = client_of(self.source, self.options)
        if client is None:
            raise BadSource(self.source, "the AWS profile cannot be read: correct AWS_PROFILE, or unset it")
        return client

    def _pays(self) -> dict[str, str]:
        return s3_reads.payer(requester_pays=self.options.requester_pays)

    @contextmanager
    def _translated(self, permission: str) -> Iterator[None]:
        """Translate boto3's errors; `permission` is the one that the request needs."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError  # noqa: PLC0415

        try:
            yield
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status >= 500:
                raise StoreError("read", self.source, error) from error
            code = str(error.response.get("Error", {}).get("Code", ""))
            each = S3Object(self.source, self.name, self.key)
            why = reason(error, code, each, self.options)
            if code in DENIALS and permission == "s3:ListBucket":
                why = f"access denied: you need {permission} on bucket {self.name}, or list the objects in @list.txt"
            raise BadSource(self.source, why) from error
        except ParamValidationError as error:
            raise BadSource(
                self.source, f"{self.name!r} is not the name of a bucket: use s3://BUCKET/FOLDER/"
            ) from error
        except HTTPClientError as error:
            raise StoreError("read", self.source, error) from error
        except BotoCoreError as error:
            raise BadSource(self.source, access.explained(error)) from error
