"""Upload scenes that only this machine has, so that workers can read them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seeder.operations.reachable import LIST, only_here, shared, why_not_uploaded
from seeder.operations.report import Advance, Report
from tiler.errors import BadOption, BadSource, ChangedSource
from tiler.ingest.staging import Staging
from tiler.keys import scene_key
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.scenes.fingerprint import files_of, fingerprint
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.storage.concurrent import overlap
from tiler.storage.store import Store
from tiler.storage.upload import Destination, upload
from tiler.storage.upload_parts import LEAST_PART

UNSAFE = re.compile(r"[^\w.,=+@()~ -]")  # characters of a file name that have a meaning in an address or a pattern
TYPE = "application/octet-stream"
USED = ".used"  # name of an object beside an uploaded scene: its time is that of its last use
HINT = "interrupted: uploaded scenes are kept; run the same command again to upload the rest"


@dataclass(frozen=True, slots=True)
class _Local:
    """A scene on this disk: its files, its own first, their sizes and times, and the key of each."""

    listed: Listed
    files: tuple[Path, ...]
    states: tuple[tuple[int, int], ...]
    keys: tuple[str, ...]

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(size for size, _ in self.states)


@dataclass(frozen=True, slots=True)
class Uploads:
    """Puts scenes of a layer into its private store, under keys named by their content.

    What is stored already is not sent again; a `dry` upload sends nothing, and leaves other scenes as they are.
    """

    layer: str
    sources: Store
    staging: Staging = Staging()  # noqa: RUF009 - a frozen value
    jobs: int = 1
    dry: bool = False

    def __call__(self, listed: Sequence[Listed], options: Options, report: Report) -> tuple[Listed, ...]:
        """The scenes of a list, each under an address that workers can read; the same content comes once.

        Their headers are read before anything is sent. Harmless to repeat.

        Raises:
            BadScenes, BadSource: one cannot be read, or changed meanwhile.
            BadOption: one is not a single file with its sidecars.
            StoreError: the store failed; what was sent is kept.
        """
        if not shared(self.sources):
            raise BadOption(f"--upload copies files to a bucket, and {self.sources.url} is none: leave it out")
        here = [each for each in listed if only_here(each.path)]
        if not here:
            return tuple(listed)
        scenes = self._hashed(here, options, report)
        stored = self.sources.existing(each.keys[0] for each in scenes)
        missing = {each.keys[0]: each for each in scenes if each.keys[0] not in stored}
        if not self.dry:
            self._mark([each for each in scenes if each.keys[0] in stored])
            self._send(list(missing.values()), options, report)
        moved = {each.listed.path: self._moved(each) for each in scenes if not self.dry or each.keys[0] not in missing}
        found: dict[str, Listed] = {}
        for each in listed:
            scene = moved.get(each.path, each)
            found.pop(scene.address, None)
            found[scene.address] = scene
        return tuple(found.values())

    def _hashed(self, here: Sequence[Listed], options: Options, report: Report) -> list[_Local]:
        """The files of scenes, and their keys."""
        open_options = OpenOptions.of(options)
        with report.stage("hash scenes", len(here), unit="scene", interrupted=HINT) as advance:
            return list(self._local(here, options, open_options, advance))

    def _local(
        self, here: Sequence[Listed], options: Options, open_options: OpenOptions, advance: Advance
    ) -> Iterator[_Local]:
        for each in here:
            try:
                if why := why_not_uploaded(each.path, open_options):
                    raise BadOption(f"{each.address} cannot be uploaded: {why}: {LIST}")
                files, _ = files_of(each.path, open_options)
                states = _states(files)
                name = fingerprint(each, options, checksum=True)
            except OSError as error:
                raise BadSource(each.address, error.strerror or str(error)) from error
            yield _Local(each, files, states, tuple(scene_key(self.layer, name, _safe(file.name)) for file in files))
            advance(1)

    def _mark(self, scenes: Iterable[_Local]) -> None:
        """Mark uploaded scenes as used now, so that no removal of old revisions takes them from this bake."""
        keys = {f"{scene.keys[0].rpartition('/')[0]}/{USED}" for scene in scenes}
        for _ in overlap(lambda key: self.sources.put(key, b"", content_type=TYPE), keys):
            pass

    def _moved(self, scene: _Local) -> Listed:
        """A scene under its new address."""
        place = Destination(self.sources.url, scene.keys[0], TYPE).address
        return Listed("s3://{Bucket}/{Key}".format(**place), "s3://{Bucket}/{Key}".format(**place), scene.listed.date)

    def _send(self, scenes: Sequence[_Local], options: Options, report: Report) -> None:
        """Upload scenes once their headers could be read; small ones many at a time, others in parts."""
        if not scenes:
            return
        listed = [each.listed for each in scenes]
        with report.stage("check scenes", len(listed), unit="scene", interrupted=HINT) as advance:
            seen = 0

            def progress(now: int, _total: int) -> None:
                nonlocal seen
                advance(now - seen)
                seen = now

            read_scenes(listed, options, jobs=self.jobs, progress=progress)
        total = sum(each.size for each in scenes)
        with report.stage("upload scenes", total, unit="byte", interrupted=HINT) as advance:
            small = [each for each in scenes if each.size <= LEAST_PART]
            for _ in overlap(lambda each: self._put(each, advance), small):
                pass
            for each in scenes:
                if each.size > LEAST_PART:
                    self._put(each, advance)

    def _put(self, scene: _Local, advance: Advance) -> None:
        """Upload the files of a scene; its own comes last, so that it has all others.

        The record of an upload lies beside a link to the file, in the scratch folder.
        """
        folder = self._folder()
        for file, key in reversed(list(zip(scene.files, scene.keys, strict=True))):
            place = Destination(self.sources.url, key, TYPE, self.sources.s3)
            link = folder / hashlib.blake2b(f"{place.address}".encode(), digest_size=16).hexdigest()
            link.unlink(missing_ok=True)
            link.symlink_to(file.absolute())
            upload(link, place, advance)
            link.unlink(missing_ok=True)
        try:
            same = _states(scene.files) == scene.states
        except OSError:
            same = False
        if not same:
            self.sources.delete(scene.keys)
            raise ChangedSource(scene.listed.address)

    def _folder(self) -> Path:
        """The folder of links and records.

        Raises:
            BadOption: it is another user's.
        """
        folder = self.staging.parent(None) / f"seeder-uploads-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise BadOption(f"{folder} belongs to another user: choose a folder with --scratch DIR")
        return folder


def _states(files: Iterable[Path]) -> tuple[tuple[int, int], ...]:
    """The size and modification time of each file."""
    return tuple((state.st_size, state.st_mtime_ns) for state in (file.stat() for file in files))


def _safe(name: str) -> str:
    """A file name as part of a key."""
    return UNSAFE.sub("_", name)
