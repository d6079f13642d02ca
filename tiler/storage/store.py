"""Objects in a folder, in S3 or in memory, behind one small class over obstore. Nothing here knows tiles."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from tiler import timing
from tiler.errors import BadStore, MissingObject, StoreError
from tiler.settings import AMAZON, S3, Settings
from tiler.storage.concurrent import in_batches, overlap
from tiler.storage.folder import holds, inside
from tiler.storage.leftovers import sweep_beside

PAGE = 1000  # keys a ListObjectsV2 answer holds
DELETE_BATCH = 1000  # keys a DeleteObjects call takes
READ, LOOK = "read", "look for"  # what tells that there is no such object; other verbs fail for other reasons
CONNECT = "10s"  # to wait for a connection
LONGEST_WAIT = 5.0  # seconds between two tries of a request


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of an object: its key, its size in bytes, when it was last written (UTC)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Store:
    """A root that holds objects by key.

    Every method translates the backend's errors to `StoreError`; throttling and 5xx answers were retried
    by obstore before one is raised. A put is atomic: a reader sees the old object or the new one.
    """

    url: str
    backend: LocalStore | S3Store | MemoryStore
    s3: S3 = AMAZON

    @property
    def ordered(self) -> bool:
        """Whether a listing between two keys costs only as much as lies between them, in order."""
        return isinstance(self.backend, S3Store)

    @property
    def root(self) -> Path | None:
        """The folder of a local store, else None."""
        return Path(str(self.backend.prefix)) if isinstance(self.backend, LocalStore) else None

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str = "") -> None:
        """Store `data` under `key`. Local stores keep no headers."""
        with _translated("write", key):
            headers = {"Content-Type": content_type} | ({"Cache-Control": cache_control} if cache_control else {})
            attributes = None if isinstance(self.backend, LocalStore) else headers
            obstore.put(self.backend, key, data, attributes=attributes, use_multipart=False)
        if self.root:
            sweep_beside(self.root / key)

    def put_all(
        self, objects: Iterable[tuple[str, bytes]], *, content_type: str, cache_control: str, lone: bool = False
    ) -> Iterator[str]:
        """Store objects, drawn while others are on their way, and yield each key when its object is stored.

        An error of `objects` itself is raised after the last key. `lone` says that there is one at most, which needs
        no other thread.

        Raises:
            StoreError: an object could not be written; nothing more was drawn.
        """

        def put(item: tuple[str, bytes]) -> str:
            self.put(*item, content_type=content_type, cache_control=cache_control)
            return item[0]

        alone = lone or not isinstance(self.backend, S3Store)
        yield from map(put, objects) if alone else overlap(put, objects)

    def put_file(self, key: str, path: Path, *, content_type: str) -> None:
        """Move the file at `path` to `key`, however large; `path` is gone afterwards."""
        with _translated("write", key):
            if self.root:
                target = self.root / key
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
            else:
                obstore.put(self.backend, key, path, attributes={"Content-Type": content_type})
                path.unlink()

    def get(self, key: str) -> bytes:
        """The bytes under `key`.

        Raises:
            MissingObject: there are none.
        """
        with _translated(READ, key):
            return bytes(obstore.get(self.backend, key).bytes())

    def first(self, key: str, length: int) -> tuple[bytes, int]:
        """The first `length` bytes under `key`, or all where there are fewer, and how many there are.

        Raises:
            MissingObject: there is no such object.
        """
        with _translated(READ, key):
            answer = obstore.get(self.backend, key, options={"range": (0, length)})
            return bytes(answer.bytes()), answer.meta["size"]

    def ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Parts of the object under `key`, all of which must lie inside; near ones share a request.

        Raises:
            MissingObject: there is no such object.
        """
        with _translated(READ, key):
            parts = obstore.get_ranges(self.backend, key, starts=starts, lengths=lengths)
            return [bytes(part) for part in parts]

    def has(self, key: str, *, least: int = 0) -> bool:
        """Whether `key` holds an object of at least so many bytes."""
        try:
            with _translated(LOOK, key):
                return obstore.head(self.backend, key)["size"] >= least
        except MissingObject:
            return False

    def written(self, key: str) -> datetime:
        """When the object under `key` was last written (UTC).

        Raises:
            MissingObject: there is none.
        """
        with _translated(READ, key):
            return obstore.head(self.backend, key)["last_modified"]

    def clock(self, key: str) -> datetime:
        """What time it is by the store's own clock (UTC), told by an object that is put under `key`."""
        self.put(key, b"", content_type="text/plain")
        return self.written(key)

    def list(self, prefix: str, *, after: str = "", before: str = "") -> Iterator[Entry]:
        """The objects whose keys begin with `prefix`, which must end a folder ("relief/", not "rel").

        Only those between the keys `after` and `before`, where they are given. S3 lists no others and in order; so
        a long listing can be made in parts at the same time.
        """
        for page in self.pages(prefix, after=after, before=before):
            yield from page

    def pages(self, prefix: str, *, after: str = "", before: str = "") -> Iterator[Sequence[Entry]]:
        """The same, as much at a time as one request of S3 shows; what is not asked for is left out of each."""
        folder = prefix.rstrip("/")
        with _translated("list", prefix):
            for page in obstore.list(self.backend, prefix, offset=after or None, chunk_size=PAGE):
                some = [item for item in page if item["path"] != folder]  # a marker that some tools put for it
                kept = [item for item in some if not before or item["path"] < before]
                yield [Entry(item["path"], item["size"], item["last_modified"]) for item in kept]
                if self.ordered and len(kept) < len(some):
                    return

    def empty(self, prefix: str) -> bool:
        """Whether no key begins with `prefix`, which must end a folder."""
        return next(self.list(prefix), None) is None

    def folders(self, prefix: str) -> tuple[str, ...]:
        """The names directly below `prefix` that hold more keys: what stands before the next slash."""
        return self.below(prefix)[0]

    def below(self, prefix: str) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
        """What stands directly below `prefix`: the names of folders, and objects."""
        with _translated("list", prefix):
            found = obstore.list_with_delimiter(self.backend, prefix)
        names = tuple(folder.rstrip("/").rpartition("/")[2] for folder in found["common_prefixes"])
        objects = (item for item in found["objects"] if item["path"] != prefix.rstrip("/"))
        return names, tuple(Entry(item["path"], item["size"], item["last_modified"]) for item in objects)

    def typed(self, key: str) -> tuple[bytes, str]:
        """The bytes under `key` and their content type, which local stores do not keep: it is empty there.

        Raises:
            MissingObject: there are none.
        """
        with _translated(READ, key):
            answer = obstore.get(self.backend, key)
            return bytes(answer.bytes()), str(answer.attributes.get("Content-Type", ""))

    def existing(self, keys: Iterable[str], *, least: int = 0) -> set[str]:
        """Those of `keys` that hold an object of at least so many bytes.

        A folder is asked key by key. Elsewhere keys that differ in their end only share one LIST, so
        64 tiles cost 8 requests rather than 64.
        """
        if root := self.root:
            return {key for key in keys if holds(root / key, least)}
        alike = sorted(keys, key=lambda key: (key.rpartition("/")[0], len(key), key))
        groups = [list(group) for _, group in groupby(alike, key=lambda key: (key.rpartition("/")[0], len(key)))]
        if len(alike) == 1:
            return {key for key in alike if self.has(key, least=least)}
        return set[str]().union(*overlap(partial(self._listed, least=least), groups))

    def _listed(self, keys: Sequence[str], least: int) -> set[str]:
        """The same of keys that are sorted and alike in length and folder, by a LIST between their ends."""
        before = keys[0][:-1] + chr(ord(keys[0][-1]) - 1) + "~"  # sorts just before the first key
        wanted, found = set(keys), set[str]()
        with _translated("list", keys[0]):
            for page in obstore.list(self.backend, keys[0].rpartition("/")[0], offset=before):
                found.update(wanted.intersection(item["path"] for item in page if item["size"] >= least))
                if any(item["path"] >= keys[-1] for item in page):
                    break
        return found

    def delete(self, keys: Iterable[str]) -> None:
        """Delete `keys`, a thousand a request; those that do not exist are passed over. Harmless to repeat.

        Raises:
            StoreError: some could not be deleted; others of the same thousand may have been.
        """
        for batch in in_batches(keys, DELETE_BATCH):
            if self.root:
                self._unlink(self.root, batch)
            else:
                with _translated("delete", batch[0]):
                    obstore.delete(self.backend, batch)

    def _unlink(self, root: Path, batch: Sequence[str]) -> None:
        """Delete files, as many of them as can be. Folders stay: somebody may be about to write into one."""
        fault: StoreError | None = None
        within = cache(partial(inside, root=root))  # files of a folder share the answer
        for key in batch:
            try:
                with _translated("delete", key):
                    if ".." in key.split("/") or not within((root / key).parent):
                        raise ValueError("it leads out of the folder")
                    (root / key).unlink(missing_ok=True)
            except StoreError as error:
                fault = fault or error
        if fault:
            raise fault

    def clear(self, prefix: str) -> None:
        """Take away what a folder has below `prefix` that no listing shows: folders, and what puts left that died."""
        if self.root:
            shutil.rmtree(self.root / prefix, ignore_errors=True)

    @property
    def gdal_options(self) -> dict[str, str]:
        """What GDAL must be told to find this store; obstore reads the rest from the environment as GDAL does."""
        if not self.s3.endpoint:
            return {}
        parts = urlsplit(self.s3.endpoint)
        return {
            "AWS_S3_ENDPOINT": parts.netloc,
            "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }


@contextmanager
def _translated(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if verb in (READ, LOOK):
            raise MissingObject(key) from error
        raise StoreError(verb, key, _first_line(error)) from error
    except (BaseError, OSError, ValueError, NotImplementedError) as error:
        raise StoreError(verb, key, _first_line(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # obstore's, of a range beyond an object's end
            raise
        raise StoreError(verb, key, _first_line(error)) from error


def _first_line(error: BaseException) -> str:
    """What an error says, without the debug output behind it; of an S3 answer its code."""
    text = str(error) or type(error).__name__
    code = re.search(r"<Code>(\w+)</Code>", text)
    return text.partition("\n")[0].partition("<?xml")[0].rstrip(": ") + (f" ({code[1]})" if code else "")


@dataclass(frozen=True, slots=True)
class Stores:
    """The public and the private store, and where the public one is served."""

    tiles: Store
    sources: Store
    url: str

    @classmethod
    def open(cls, settings: Settings, *, create: bool = False) -> Stores:
        """The stores of `settings`; see `open_store`."""
        tiles, sources = (open_store(url, create=create, s3=settings.s3) for url in (settings.tiles, settings.sources))
        return cls(tiles, sources, settings.url)


def open_store(url: str, *, create: bool = False, s3: S3 = AMAZON) -> Store:
    """The store at `url`: `file:///folder`, `s3://bucket/prefix` or `memory://name`.

    A folder that does not exist reads as empty; with `create` it is made. Stores in memory live as long as the
    process and are the same for the same URL.

    Raises:
        BadStore: the URL is malformed, its scheme is unknown, or the folder cannot be made or written.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadStore(url, str(error)) from error
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return Store(url, _folder(url, Path(unquote(parts.path)), create=create))
    if parts.scheme == "s3" and parts.netloc:
        return Store(url, _bucket(url, s3), s3)
    if parts.scheme == "memory":
        return _memory(url)
    raise BadStore(url, "file://, s3:// and memory:// are known, as in file:///srv/tiles or s3://bucket/prefix")


def _bucket(url: str, s3: S3) -> S3Store:
    config: Any = {
        name: value for name, value in (("endpoint", s3.endpoint), ("region", s3.region)) if value
    }  # the rest obstore finds in the environment
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
            credential_provider=None if s3.keys else _credentials(url),
        )
    except (BaseError, ValueError) as error:
        raise BadStore(url, _first_line(error)) from error


def _retries(patience: float) -> Any:
    """How a request is tried again: the last time at most `patience` seconds after the first, however often."""
    wait = min(LONGEST_WAIT, patience / 4)
    first, longest = timedelta(seconds=min(0.1, wait)), timedelta(seconds=wait)
    return {
        "max_retries": 1000,  # the time ends them
        "retry_timeout": timedelta(seconds=patience - wait),  # after which obstore still waits once more
        "backoff": {"init_backoff": first, "max_backoff": longest, "base": 2},
    }


@cache
def _credentials(url: str) -> Any:
    """What boto3 finds in profiles, SSO, roles of machines; obstore alone looks only in the environment."""
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - boto3 takes a third of a second

    try:
        return Boto3CredentialProvider()
    except Exception as error:
        raise BadStore(
            url, f"{_first_line(error)}; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error


def _folder(url: str, root: Path, *, create: bool) -> LocalStore | MemoryStore:
    if not create and not root.is_dir():
        if root.exists():
            raise BadStore(url, f"{root} is not a folder")
        return MemoryStore()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise BadStore(url, f"{getattr(error, 'strerror', None) or error}: {root}") from error
    if create and not os.access(root, os.W_OK | os.X_OK):
        raise BadStore(url, f"no permission to write in {root}")
    return LocalStore(root)


@cache
def _memory(url: str) -> Store:
    return Store(url, MemoryStore())
