"""Objects in a folder, in S3 or in memory, behind one small class over obstore; no knowledge of tiles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, MemoryStore, S3Store

from tiler.errors import BadStore, Changed, MissingObject, StoreError, shortened
from tiler.settings import AMAZON, S3, Settings
from tiler.storage import access
from tiler.storage.bucket import bucket
from tiler.storage.concurrent import in_batches, overlap
from tiler.storage.faults import LOOK, READ, translated
from tiler.storage.folder import ALLOW_WRITING, holds, inside, locked, move
from tiler.storage.leftovers import sweep_beside
from tiler.storage.upload import Destination, upload

if TYPE_CHECKING:
    from obstore import PutMode

PAGE = 1000  # keys per ListObjectsV2 answer
DELETE_BATCH = 1000  # keys per DeleteObjects call


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing: its key, its size in bytes, and when it was last written (UTC)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Store:
    """A root that holds objects by key.

    Every method translates the backend's errors to `StoreError`, after obstore has retried throttling and 5xx
    answers. A put is atomic: a reader sees the old object or the new one.
    """

    url: str
    backend: LocalStore | S3Store | MemoryStore
    s3: S3 = AMAZON
    root: Path | None = field(init=False, repr=False, compare=False)  # the folder of a local store

    def __post_init__(self) -> None:
        folder = Path(str(self.backend.prefix)) if isinstance(self.backend, LocalStore) else None
        object.__setattr__(self, "root", folder)

    def __reduce__(self) -> tuple[Callable[..., Store], tuple[str, S3]]:
        """Another process opens the store itself; one in memory is empty there."""
        return _reopened, (self.url, self.s3)

    @property
    def ordered(self) -> bool:
        """Whether listings are sorted, and a listing between two keys reads only the keys between them."""
        return isinstance(self.backend, S3Store)

    def put(
        self, key: str, data: bytes, *, content_type: str, cache_control: str = "", expected: str | None = None
    ) -> None:
        """Store `data` under `key`. Local stores keep no headers.

        With `expected`, only over the object of that `version`, or, if it is empty, only if there is no object. One of
        several such puts at once succeeds. An object of the same bytes counts as put: it may be this put's own, after
        an answer was lost.

        Raises:
            Changed: the object is another than `expected`; it is left as it is.
        """
        headers = {"Content-Type": content_type} | ({"Cache-Control": cache_control} if cache_control else {})
        if expected is None:
            self._put(key, data, headers)
            return
        try:
            self._put_over(expected, key, data, headers)
        except Changed:
            if not self.holds(key, data):
                raise

    def _put_over(self, expected: str, key: str, data: bytes, headers: dict[str, str]) -> None:
        if self.root:
            with translated("write", key):
                self._check_version(key, expected)  # also that the key does not lead out of the folder
                with locked(self.root / key):
                    self._check_version(key, expected)
                    self._put(key, data, headers)
            return
        try:
            self._put(key, data, headers, {"e_tag": expected} if expected else "create")
        except Changed:
            bare = expected.strip('"')
            if bare == expected or self.version(key) != expected:
                raise
            self._put(key, data, headers, {"e_tag": bare})  # Ceph and others compare without the quotes they send

    def _put(self, key: str, data: bytes, headers: dict[str, str], mode: PutMode = "overwrite") -> None:
        with translated("write", key):
            attributes = None if isinstance(self.backend, LocalStore) else headers
            obstore.put(self.backend, key, data, attributes=attributes, use_multipart=False, mode=mode)
        if self.root:
            sweep_beside(f"{self.root}/{key}")

    def _check_version(self, key: str, expected: str) -> None:
        if self.version(key) != expected:
            raise Changed(key)

    def version(self, key: str) -> str:
        """A token of the object under `key`, for a `put` over it; it changes with the content. Empty without object."""
        try:
            if self.root:
                return sha256(self.get(key)).hexdigest()
            with translated(LOOK, key):
                tag = obstore.head(self.backend, key)["e_tag"]
        except MissingObject:
            return ""
        if not tag:
            raise StoreError(LOOK, key, "the server sends no ETag")
        return tag

    def holds(self, key: str, data: bytes) -> bool:
        """Whether the object under `key` has exactly these bytes."""
        try:
            return self.get(key) == data
        except MissingObject:
            return False

    def put_all(
        self, objects: Iterable[tuple[str, bytes]], *, content_type: str, cache_control: str, lone: bool = False
    ) -> Iterator[str]:
        """Store objects in parallel, and yield each key when its object is stored.

        An error in `objects` itself is raised after the last key. `lone` promises at most one object, which needs no
        other thread.

        Raises:
            StoreError: an object could not be written; no further one was taken from `objects`.
        """

        def put(item: tuple[str, bytes]) -> str:
            self.put(*item, content_type=content_type, cache_control=cache_control)
            return item[0]

        alone = lone or not isinstance(self.backend, S3Store)
        yield from map(put, objects) if alone else overlap(put, objects)

    def put_file(self, key: str, path: Path, *, content_type: str) -> None:
        """Move the file at `path`, of any size, to `key`. The same call resumes a failed upload to S3."""
        with translated("write", key):
            if self.root:
                move(path, self.root / key)
            elif isinstance(self.backend, S3Store):
                upload(path, Destination(self.url, key, content_type, self.s3))
            else:
                obstore.put(self.backend, key, path, attributes={"Content-Type": content_type})
            path.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        """The bytes under `key`.

        Raises:
            MissingObject: the store has no such object.
        """
        with translated(READ, key):
            return bytes(obstore.get(self.backend, key).bytes())

    def first(self, key: str, length: int) -> tuple[bytes, int]:
        """The first `length` bytes under `key`, or all if there are fewer; and the object's size in bytes.

        Raises:
            MissingObject: the store has no such object.
        """
        with translated(READ, key):
            answer = obstore.get(self.backend, key, options={"range": (0, length)})
            return bytes(answer.bytes()), answer.meta["size"]

    def ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Parts of the object under `key`; all must lie within it, and neighbouring parts share a request.

        Raises:
            MissingObject: the store has no such object.
        """
        with translated(READ, key):
            parts = obstore.get_ranges(self.backend, key, starts=starts, lengths=lengths)
            return [bytes(part) for part in parts]

    def has(self, key: str, *, least: int = 0) -> bool:
        """Whether `key` holds an object of at least `least` bytes."""
        try:
            with translated(LOOK, key):
                return obstore.head(self.backend, key)["size"] >= least
        except MissingObject:
            return False

    def written(self, key: str) -> datetime:
        """The time of the last write of the object under `key` (UTC).

        Raises:
            MissingObject: the store has no such object.
        """
        with translated(READ, key):
            return obstore.head(self.backend, key)["last_modified"]

    def clock(self, key: str) -> datetime:
        """The time by the store's own clock (UTC), read from an object that is put under `key`."""
        self.put(key, b"", content_type="text/plain")
        return self.written(key)

    def list(self, prefix: str, *, after: str = "", before: str = "") -> Iterator[Entry]:
        """The objects whose keys begin with `prefix`, which must be a whole folder ("relief/", not "rel").

        With `after` and `before`, only those between these keys. S3 lists them in order and reads no others, so a
        long listing can be split into parallel parts.
        """
        for page in self.pages(prefix, after=after, before=before):
            yield from page

    def pages(self, prefix: str, *, after: str = "", before: str = "") -> Iterator[Sequence[Entry]]:
        """The same as `list`, one page of at most PAGE objects at a time."""
        folder = prefix.rstrip("/")
        with translated("list", prefix):
            for page in obstore.list(self.backend, prefix, offset=after or None, chunk_size=PAGE):
                objects = [item for item in page if item["path"] != folder]  # a folder marker that some tools create
                kept = [item for item in objects if not before or item["path"] < before]
                yield [Entry(item["path"], item["size"], item["last_modified"]) for item in kept]
                if self.ordered and len(kept) < len(objects):
                    return

    def empty(self, prefix: str) -> bool:
        """Whether no key begins with `prefix`, which must be a whole folder."""
        return next(self.list(prefix), None) is None

    def folders(self, prefix: str) -> tuple[str, ...]:
        """The names of folders directly below `prefix`."""
        return self.below(prefix)[0]

    def below(self, prefix: str) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
        """The names of folders and the objects directly below `prefix`."""
        with translated("list", prefix):
            listing = obstore.list_with_delimiter(self.backend, prefix)
        names = tuple(folder.rstrip("/").rpartition("/")[2] for folder in listing["common_prefixes"])
        objects = (item for item in listing["objects"] if item["path"] != prefix.rstrip("/"))
        return names, tuple(Entry(item["path"], item["size"], item["last_modified"]) for item in objects)

    def typed(self, key: str) -> tuple[bytes, str]:
        """The bytes under `key` and their content type; the latter is empty in local stores.

        Raises:
            MissingObject: the store has no such object.
        """
        with translated(READ, key):
            answer = obstore.get(self.backend, key)
            return bytes(answer.bytes()), str(answer.attributes.get("Content-Type", ""))

    def existing(self, keys: Iterable[str], *, least: int = 0) -> set[str]:
        """The `keys` that hold an object of at least `least` bytes.

        A folder is checked key by key. Elsewhere, keys of the same folder and length share one LIST, so 64 tiles
        take 8 requests instead of 64.
        """
        if root := self.root:
            return {key for key in keys if holds(f"{root}/{key}", least)}
        alike = sorted(keys, key=lambda key: (key.rpartition("/")[0], len(key), key))
        groups = [list(group) for _, group in groupby(alike, key=lambda key: (key.rpartition("/")[0], len(key)))]
        if len(alike) == 1:
            return {key for key in alike if self.has(key, least=least)}
        return set[str]().union(*overlap(partial(self._listed, least=least), groups))

    def _listed(self, keys: Sequence[str], least: int) -> set[str]:
        """The same for sorted keys of one folder and length, by a LIST from the first to the last."""
        before = keys[0][:-1] + chr(ord(keys[0][-1]) - 1) + "~"  # sorts just before the first key
        wanted, existing = set(keys), set[str]()
        with translated("list", keys[0]):
            for page in obstore.list(self.backend, keys[0].rpartition("/")[0], offset=before):
                existing.update(wanted.intersection(item["path"] for item in page if item["size"] >= least))
                if any(item["path"] >= keys[-1] for item in page):
                    break
        return existing

    def delete(self, keys: Iterable[str]) -> None:
        """Delete `keys`, a thousand per request; missing ones are skipped. Harmless to repeat.

        Raises:
            StoreError: some could not be deleted; others of the same thousand may be deleted.
        """
        for batch in in_batches(keys, DELETE_BATCH):
            if self.root:
                self._unlink(self.root, batch)
            else:
                with translated("delete", batch[0]):
                    obstore.delete(self.backend, batch)

    def _unlink(self, root: Path, batch: Sequence[str]) -> None:
        """Delete as many of the files as possible. Keep folders: another process may be about to write into one."""
        fault: StoreError | None = None
        within = cache(partial(inside, root=root))  # one check per folder
        for key in batch:
            try:
                with translated("delete", key):
                    if ".." in key.split("/") or not within((root / key).parent):
                        raise ValueError("it is outside the folder")
                    (root / key).unlink(missing_ok=True)
            except StoreError as error:
                fault = fault or error
        if fault:
            raise fault

    def clear(self, prefix: str) -> None:
        """Remove empty folders and leftovers of killed puts below `prefix` in a folder store; no listing shows them."""
        if self.root:
            shutil.rmtree(self.root / prefix, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Stores:
    """The public and the private store, the tiles' address, and the newest metadata version of deployed functions."""

    tiles: Store
    sources: Store
    url: str
    readers: int | None = None

    @classmethod
    def open(cls, settings: Settings, *, create: bool = False) -> Stores:
        """The stores of `settings`; see `open_store`."""
        tiles, sources = (open_store(url, create=create, s3=settings.s3) for url in (settings.tiles, settings.sources))
        return cls(tiles, sources, settings.url, settings.readers)


def open_store(url: str, *, create: bool = False, s3: S3 = AMAZON) -> Store:
    """The store at `url`: `file:///folder`, `s3://bucket/prefix` or `memory://name`.

    A missing folder reads as empty; with `create` it is created. Stores in memory live as long as the process, one
    per URL.

    Raises:
        BadStore: the URL is malformed, its scheme is unknown, the folder cannot be created or written, or there are no
            credentials for the bucket.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadStore(url, str(error)) from error
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return Store(url, _folder(url, Path(unquote(parts.path)), create=create))
    if parts.scheme == "s3" and parts.netloc:
        try:
            s3 = access.completed(s3)
            return Store(url, bucket(url, s3), s3)
        except access.NoAccess as error:
            raise BadStore(url, str(error)) from error
    if parts.scheme == "memory":
        return _memory(url)
    raise BadStore(url, "use file://, s3:// or memory://, as in file:///srv/tiles or s3://bucket/prefix")


def _reopened(url: str, s3: S3) -> Store:
    """A store from its pickle."""
    return open_store(url, s3=s3)


def _folder(url: str, root: Path, *, create: bool) -> LocalStore | MemoryStore:
    try:
        if not create and not root.is_dir():
            if root.exists():
                raise BadStore(url, f"{root} is not a folder")
            return MemoryStore()
        root.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise BadStore(url, f"{getattr(error, 'strerror', None) or error}: {shortened(str(root))}") from error
    if create and not os.access(root, os.W_OK | os.X_OK):
        raise BadStore(url, f"no permission to write in {root}; {ALLOW_WRITING}")
    return LocalStore(root)


@cache
def _memory(url: str) -> Store:
    return Store(url, MemoryStore())
