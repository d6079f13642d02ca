"""Contents of a bucket beyond its listing: earlier versions of objects, and unfinished uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from seeder.aws import clients
from tiler.errors import StoreError
from tiler.storage.concurrent import overlap


@dataclass(frozen=True, slots=True)
class BucketClient:
    """The bucket with this name."""

    name: str
    client: Any

    @classmethod
    def open(cls, name: str, region: str) -> Self:
        """A client of the bucket; no request is sent yet.

        Raises:
            BadCloud: no region is configured.
        """
        return cls(name, clients.client("s3", region))

    def exists(self) -> bool:
        """Whether the bucket exists."""
        with clients.translated(f"read bucket {self.name}"):
            try:
                self.client.list_multipart_uploads(Bucket=self.name, MaxUploads=1)
            except self.client.exceptions.NoSuchBucket:
                return False
        return True

    def uploads(self) -> Iterator[tuple[str, str]]:
        """The key and the id of each unfinished upload."""
        for page in self._pages("list_multipart_uploads"):
            for each in page.get("Uploads", []):
                yield each["Key"], each["UploadId"]

    def abort_uploads(self) -> int:
        """Abort all unfinished uploads; return their number."""

        def abort(upload: tuple[str, str]) -> None:
            key, number = upload
            with clients.translated(f"abort the upload of {key}"):
                try:
                    self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=number)
                except self.client.exceptions.NoSuchUpload:  # completed or aborted meanwhile
                    return

        return sum(1 for _ in overlap(abort, self.uploads()))

    def delete_versions(self, progress: Callable[[int], object]) -> int:
        """Delete all versions of all objects, and delete markers; return their number.

        Raises:
            StoreError: some could not be deleted.
        """

        def delete(batch: list[dict[str, str]]) -> int:
            with clients.translated(f"delete versions in {self.name}"):
                answer = self.client.delete_objects(Bucket=self.name, Delete={"Objects": batch, "Quiet": True})
            for error in answer.get("Errors", []):
                raise StoreError("delete", error["Key"], f"{error.get('Message', '')} ({error['Code']})")
            progress(len(batch))
            return len(batch)

        return sum(overlap(delete, self._versions()))

    def _versions(self) -> Iterator[list[dict[str, str]]]:
        """Versions and delete markers, a page of at most a thousand at a time."""
        for page in self._pages("list_object_versions"):
            batch = [
                {"Key": each["Key"], "VersionId": each["VersionId"]}
                for kind in ("Versions", "DeleteMarkers")
                for each in page.get(kind, [])
            ]
            if batch:
                yield batch

    def _pages(self, operation: str) -> Iterator[dict[str, Any]]:
        with clients.translated(f"list bucket {self.name}"):
            yield from self.client.get_paginator(operation).paginate(Bucket=self.name)
