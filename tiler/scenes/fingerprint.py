"""Fingerprints of scenes: short texts that change when a scene's files change. They decide which scenes to read."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tiler.errors import shown
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.scenes.remote import is_remote, version_of
from tiler.scenes.scene import BY_CONTENT, BY_TIME, BY_VERSION, Listed
from tiler.scenes.sidecars import ROOTS, TIFF, beside, existing, head_of, is_file
from tiler.scenes.source_files import Walk

RECENT = 2 * 10**9  # nanoseconds; a file changed more recently may change again with the same time
DIGEST = 16  # bytes; with the letter of the kind, a fingerprint has 33 characters
CHUNK = 1 << 20  # bytes


class _Stamp(NamedTuple):
    """A file of a scene: its path, its name without the scene's, its size in bytes, and its time (ns since 1970)."""

    path: str
    label: str
    size: int
    modified: int


def fingerprint(listed: Listed, options: Options, *, checksum: bool = False, before: str = "") -> str:
    """A text that changes when the files of a scene change, of at most 40 characters.

    It is made of the sizes and modification times of the scene's file, of the sidecars beside it, and of the
    members of a VRT. With `checksum`, or if a file changed within the last two seconds, it is made of their contents;
    so it is if `before`, the last fingerprint of the scene, was. That of an object in S3 or on the web is made of its
    ETag and its size. No folder, no name of the scene and no query string is part of it.

    Raises:
        BadSource: a VRT refers to a forbidden member, or a server refuses the object or leads into a private network.
        StoreError: a server fails or does not answer.
        OSError: a file cannot be read.
    """
    if is_remote(listed.path):
        return _digested(BY_VERSION, [version_of(listed.path, options, strange=listed.strange)])
    files, far = files_of(listed.path, OpenOptions.of(options))
    stem = files[0].stem if files else ""
    stamps = list(_stamps(map(str, files), stem))
    versions = [version_of(name, options) if is_remote(name) else shown(name) for name in far]
    now = time.time_ns()
    if checksum or before.startswith(BY_CONTENT) or any(now - each.modified < RECENT for each in stamps):
        contents = [f"{each.label} {each.size} {_content(each.path)}" for each in stamps]
        return _digested(BY_CONTENT, contents + versions)
    return _digested(BY_TIME, [f"{each.label} {each.size} {each.modified}" for each in stamps] + versions)


def files_of(path: str, open_options: OpenOptions) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The files of a scene on disk, its own first, and the names of its members that are not on disk.

    Nothing is opened by GDAL.

    Raises:
        BadSource: a VRT refers to a forbidden member.
        OSError: a file cannot be read.
    """
    name = path.removeprefix("file://")
    if is_plain(Path(name)):
        return (Path(name), *_beside(Path(name))), ()
    walk = _Names(path, open_options)
    walk.enter(name, 0)
    return tuple(walk.files), tuple(name for name in walk.unknown if name != path)


def is_plain(file: Path) -> bool:
    """Whether it is a TIFF on disk without a VRT in it."""
    if not is_file(file):
        return False
    head = head_of(file)
    return head.startswith(TIFF) and not ROOTS.search(head)


class _Names(Walk):
    """A walk through the members of a raster by their names only."""

    def open(self, name: str, depth: int, *, described: bool) -> None:  # noqa: ARG002
        """Record the files of a dataset without opening it."""
        for each in self.take(name):
            self.files |= dict.fromkeys(_beside(each))


def _beside(file: Path) -> Iterator[Path]:
    yield from existing(file.parent, beside(file.name))


def _stamps(paths: Iterable[str], stem: str) -> Iterator[_Stamp]:
    for path in paths:
        state = os.stat(path)  # noqa: PTH116 - a third of the time
        yield _Stamp(path, os.path.basename(path).removeprefix(stem), state.st_size, state.st_mtime_ns)  # noqa: PTH119


def _content(path: str) -> str:
    with Path(path).open("rb") as handle:
        digest = hashlib.blake2b(digest_size=DIGEST)
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _digested(kind: str, parts: Iterable[str]) -> str:
    return kind + hashlib.blake2b("\n".join(parts).encode(errors="surrogateescape"), digest_size=DIGEST).hexdigest()
