"""A baked COG kept in the scratch folder until its layer is published, so that a failed upload needs no second bake."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tiler import keys
from tiler.errors import BadOption, CatalogError
from tiler.ingest.staging import Staging
from tiler.inputs import read_json
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.footprint import Footprint
from tiler.storage.store import Store
from tiler.storage.upload import abandon
from tiler.storage.upload_parts import write_json

PREFIX = "seeder-upload-"  # of the names of folders; the store, the layer and the revision follow
NAME = re.compile(PREFIX + r"[0-9a-f]{12}-[a-z0-9._-]+-[0-9a-f]{8,}")
KEEP_SECONDS = 30 * 86400  # after the last try


@dataclass(frozen=True, slots=True)
class KeptBake:
    """The folder of a COG for one store, layer and revision, baked by one version of GDAL."""

    folder: Path
    key: str
    digests_key: str
    sources: Store
    gdal: str

    @property
    def cog(self) -> Path:
        """The COG; it is gone once it is stored."""
        return self.folder / "index.tif"

    @property
    def facts(self) -> Path:
        """The facts needed for publishing besides the COG, in JSON."""
        return self.folder / "baked.json"

    @property
    def digests(self) -> Path:
        """The digests of its blocks, as they are stored; none were kept by earlier versions."""
        return self.folder / "digests.bin"

    def keep(self, file: Path, bake: CogLayout, footprint: Footprint, digests: bytes) -> None:
        """Move a baked COG here with its digests, so that they survive a crash of the machine."""
        self.digests.write_bytes(digests)
        with file.open("rb") as cog:
            os.fsync(cog.fileno())
        file.replace(self.cog)
        about = self.cog.stat()
        facts = {"bake": asdict(bake), "footprint": footprint.to_json(), "gdal": self.gdal}
        write_json(self.facts, facts | {"size": about.st_size, "modified": about.st_mtime_ns})

    def load(self) -> tuple[CogLayout, Footprint] | None:
        """The place and the footprint of the COG, if it is here or stored already, and of the same GDAL."""
        try:
            facts = read_json(self.facts.read_bytes())
            bake, footprint = CogLayout(**facts["bake"]), Footprint.from_json(facts["footprint"], self.key)
            size, modified, gdal = int(facts["size"]), int(facts["modified"]), str(facts["gdal"])
        except (OSError, ValueError, TypeError, KeyError, CatalogError):
            return None
        if gdal != self.gdal:
            return None
        if self.cog.exists():
            whole = (self.cog.stat().st_size, self.cog.stat().st_mtime_ns) == (size, modified)
        else:
            whole = self.sources.has(self.key, least=size)
        if whole:
            os.utime(self.facts)
        return (bake, footprint) if whole else None

    def store(self, staging: Staging) -> None:
        """Upload the COG, or the rest of it, then its digests.

        Raises:
            StoreError: the upload failed; the same call resumes it.
        """
        if self.cog.exists():
            self.sources.put_file(self.key, self.cog, content_type="image/tiff", progress=staging.uploading)
        if self.digests.exists():
            data = self.digests.read_bytes()
            self.sources.put(self.digests_key, data, content_type="application/octet-stream")


@contextmanager
def kept_bake(draft: Layer, sources: Store, staging: Staging) -> Iterator[KeptBake | None]:
    """The kept COG of a layer's revision; None for virtual layers and for stores other than S3.

    It is removed at the end of the block, and kept if the block fails after the bake. COGs of the layer's other
    revisions, and COGs unused for 30 days, are removed first.

    Raises:
        BadOption: another process ingests the same revision, or the folder belongs to another user.
    """
    if not sources.url.startswith("s3:") or draft.asked.virtual:
        yield None
        return
    parent = staging.parent(None)
    place = parent / f"{_prefix(draft, sources)}-{draft.revision}"
    with _locked(place):
        _sweep(parent, place, draft, sources)
        key, digests_key = (of(draft.id, draft.revision) for of in (keys.source_key, keys.digests_key))
        kept = KeptBake(place, key, digests_key, sources, draft.gdal)
        try:
            yield kept
        except BaseException:
            if kept.facts.exists():
                staging.note(f"kept the baked COG in {place}: run the same command again to resume the upload")
            else:
                shutil.rmtree(place, ignore_errors=True)
            raise
        shutil.rmtree(place, ignore_errors=True)


def _prefix(draft: Layer, sources: Store) -> str:
    """The beginning of the folder names of a layer in a store."""
    store = hashlib.sha256(f"{os.getuid()} {sources.s3.endpoint} {sources.url}".encode()).hexdigest()[:12]
    return f"{PREFIX}{store}-{draft.id}"


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Make a private folder and hold its lock, which the system releases if the process dies.

    Raises:
        BadOption: another process holds it, or the folder belongs to another user.
    """
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.getuid():
        raise BadOption(f"{place} belongs to another user: choose another scratch folder with --scratch DIR")
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadOption(f"another process uploads from {place}: wait for it to end") from None
        except OSError:  # a file system without locks
            yield
            return
        if not (place.exists() and os.path.samestat(place.stat(), os.fstat(handle))):  # its last holder removed it
            raise BadOption(f"another process has just uploaded from {place}: run the same command again")
        yield
    finally:
        os.close(handle)


def _sweep(parent: Path, current: Path, draft: Layer, sources: Store) -> None:
    """Remove kept COGs of the layer's other revisions with their uploads, and COGs unused for 30 days."""
    prefix, old = _prefix(draft, sources), time.time() - KEEP_SECONDS
    for place in parent.glob(f"{PREFIX}*-*"):
        superseded = place.name.rpartition("-")[0] == prefix
        if place == current or not NAME.fullmatch(place.name):
            continue
        with suppress(OSError, BadOption):
            if superseded or max(each.stat().st_mtime for each in (place, *place.iterdir())) < old:
                with _locked(place):
                    if superseded:
                        abandon(place / "index.tif", sources.s3)
                    shutil.rmtree(place)
