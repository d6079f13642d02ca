"""The files that GDAL reads for a raster: its own, their sidecars, and the members of VRTs and tile indexes."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn
from xml.etree import ElementTree as ET

from tiler.errors import BadSource, SourceReadError
from tiler.keys import is_upload
from tiler.layers.origin import Origin
from tiler.raster.datasets import (
    BESIDE,
    DESCRIPTIONS,
    DRIVERS,
    INLINE,
    PLAIN,
    OpenOptions,
    forget,
    inline,
    part_of,
    probed,
)
from tiler.scenes import text_lists
from tiler.scenes.sidecars import ROOTS, head_of, is_file, sidecars

DESCRIPTION = 1 << 28  # bytes of the largest VRT to read
DEPTH = 16  # most levels of nested VRTs
RACY = 3 * 10**9  # nanoseconds; a file changed more recently may change again with the same timestamp
NAMES = {"sourcefilename", "sourcedataset", "indexdataset", "dataset"}  # XML elements that hold a file name
KEYS = {"x_dataset", "y_dataset", "rpc_dempath", "dempath", "overview_file"}  # keys of metadata and options that do
ARCHIVE = re.compile(r"(?:/vsi(?:zip|tar|gzip|7z|rar)/)+")
FOREIGN = re.compile(r"(?<![a-z0-9+])(?!file:)[a-z0-9+]+://|/vsi", re.IGNORECASE)  # matches anywhere in a name
FAR_DESCRIPTIONS = (".vrt", ".gti")  # suffixes of names that only a trusted source may have elsewhere
UNKNOWN = "not recognized"  # in GDAL's message if no driver opens a file
TRUST = "add --trust-source to read it anyway"
Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files on disk that a raster is read from, each once, and the names that are no files on disk.

    `members` are the files that a VRT or tile index refers to; `stamps` have the size, inode and times of each file.
    """

    files: tuple[Path, ...]
    members: tuple[Path, ...]
    unknown: tuple[str, ...]
    stamps: tuple[Stamp, ...]
    seen: int  # nanoseconds since 1970

    @property
    def sure(self) -> bool:
        """Whether the stamps will reveal every later change: no file changed within the last `RACY` nanoseconds."""
        return not self.unknown and self.settled(self.seen)

    def settled(self, now: int) -> bool:
        """Whether a change after `now`, nanoseconds since 1970, would change the stamps."""
        return all(max(stamp[3:]) < now - RACY for stamp in self.stamps)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The files as a virtual layer records them."""
        each = zip(self.files, self.stamps, strict=True)
        return tuple(Origin(str(file), size, written, touched) for file, (size, _, _, written, touched) in each)

    def as_before(self, other: SourceFiles) -> bool:
        """Whether the files are the same and unchanged."""
        return (self.files, self.unknown, self.stamps) == (other.files, other.unknown, other.stamps)

    def notes(self, watched: Collection[str] = ()) -> Iterator[str]:
        """Notes for the user, one per line. Changes of `watched` files are noticed; uploaded ones never change."""
        if self.members:
            number = len(self.members)
            yield f"reads {number} other file{'s' * (number > 1)}: {_first_names(map(str, self.members))}"
        if unseen := [name for name in self.unknown if name not in watched and not is_upload(name)]:
            yield f"a change during the ingest would go unnoticed in {_first_names(unseen)}: not a local file"


def _first_names(names: Iterable[str]) -> str:
    all_names = list(names)
    return ", ".join(all_names[:3]) + (f" and {len(all_names) - 3} more" if len(all_names) > 3 else "")


def beneath(path: str, open_options: OpenOptions = PLAIN) -> SourceFiles:
    """The files of the raster at `path`, and of the subdataset to open.

    Unless it is trusted, a VRT or tile index may refer only to ordinary rasters on local disks.

    Raises:
        BadSource: no supported driver opens it, or it refers to a forbidden member.
        StoreError: the network failed.
    """
    seen = time.time_ns()
    walk = Walk(path, open_options)
    name = path.removeprefix("file://")
    walk.enter(name, 0)
    if open_options.subdataset:
        walk.member(part_of(name, open_options), 1)
    forget()
    files = tuple(dict.fromkeys([*walk.first, *walk.files]))
    return SourceFiles(
        files,
        tuple(each for each in walk.members if each not in walk.first[:1]),
        tuple(walk.unknown),
        tuple(map(_stamp, files)),
        seen,
    )


def _stamp(file: Path) -> Stamp:
    try:
        state = file.stat()
    except OSError:
        return (0, 0, 0, 0, 0)
    return state.st_size, state.st_ino, state.st_dev, state.st_mtime_ns, state.st_ctime_ns


@dataclass(slots=True)
class Walk:
    """A walk through a raster's members; dicts keep the order of files."""

    source: str
    open_options: OpenOptions
    files: dict[Path, None] = field(default_factory=dict)
    members: dict[Path, None] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    first: list[Path] = field(default_factory=list)  # files of the source itself
    entered: set[str] = field(default_factory=set)

    @property
    def trusted(self) -> bool:
        """Whether the source may refer to anything."""
        return self.open_options.trusted

    def enter(self, name: str, depth: int) -> None:
        """Collect a raster and its members; check the members before GDAL opens the raster.

        Raises:
            BadSource: it cannot be opened, or a member is forbidden.
        """
        if name in self.entered:
            return
        self.entered.add(name)
        if depth > DEPTH:
            self.refuse(f"its VRTs are nested more than {DEPTH} levels deep")
        if name.startswith(INLINE):
            self.member(name, depth + 1)
            self.open(name, depth, described=True)
            return
        file = Path(name.removeprefix("GTI:"))
        on_disk = is_file(file)
        named = list(self.named(file, index=name.startswith("GTI:"))) if on_disk else []
        self.check_sidecar(file)
        for sidecar in sidecars(file) if on_disk else ():
            if ROOTS.search(head_of(sidecar)):
                self.member(str(sidecar), depth + 1)
        for member in named:
            self.member(member, depth + 1)
        self.open(name, depth, described=on_disk)

    def open(self, name: str, depth: int, *, described: bool) -> None:
        """Record the files of a dataset, as GDAL lists them.

        Raises:
            BadSource: GDAL cannot open it.
        """
        drivers = [each for each in DRIVERS if described or each not in DESCRIPTIONS]
        if name.lower().endswith(FAR_DESCRIPTIONS) and not (described or self.trusted):
            self.refuse("a VRT that is not on this disk may refer to any file", TRUST)
        try:
            listed = probed(name, [] if self.trusted else drivers, self.open_options)
        except SourceReadError as error:
            if depth and self.trusted:  # a member may be another kind of file
                listed = [name]
            elif depth:
                self.refuse(f"it refers to {name}, which is not a raster in a supported format on this disk", TRUST)
            else:
                raise BadSource(self.source, self._unopened(name, error)) from error
        for each in listed or [name]:
            parts = self.take(each)
            if not depth:
                self.first += parts
        for file in _on_disk(name):
            self.files.setdefault(file)

    def _unopened(self, name: str, error: SourceReadError) -> str:
        """The reason why no driver opens the source, with the cure if there is one."""
        file, why = Path(name), f"GDAL cannot open it ({error.__cause__ or error})"
        if file.is_dir():
            return "it is a folder: ingest one raster, or a VRT of several (`gdalbuildvrt all.vrt FOLDER/*.tif`)"
        if UNKNOWN in why and is_file(file) and text_lists.begins(head_of(file), file.parent):
            return f"it is a text list: write @{name}"
        return f"{why}; if it is a rare format, add --trust-source" if UNKNOWN in why and not self.trusted else why

    def take(self, name: str) -> list[Path]:
        """Record the files of a dataset."""
        file = Path(name)
        parts = [file] if is_file(file) else list(_on_disk(name))
        for each in parts:
            self.files.setdefault(each)
        if not parts:
            self.unknown.setdefault(name)
        return parts

    def member(self, name: str, depth: int) -> None:
        """Collect a member."""
        name = inline(name)
        if name.lstrip().startswith("<"):
            if not self.trusted:
                self.refuse("it contains a VRT instead of a file name", TRUST)
            self.unknown.setdefault("a VRT within it")
            return
        if FOREIGN.search(ARCHIVE.sub("", name)):
            if not self.trusted:
                self.refuse(f"it refers to {name}, a network or special address instead of a file on this disk", TRUST)
            if name.startswith("s3://"):
                self.refuse(f"it refers to {name}", f"write /vsis3/{name[5:]}, GDAL's name")
            self.unknown.setdefault(name)
            return
        for file in [Path(name)] if is_file(Path(name)) else _on_disk(name):
            self.members.setdefault(file)
        self.enter(name, depth)

    def named(self, file: Path, *, index: bool) -> Iterator[str]:
        """The members of a VRT or tile index; none for any other file."""
        head = head_of(file)
        if head.startswith(b"SQLite format 3\0") and (index or ".gti" in file.name.lower()):
            yield from self.indexed(file, "location")
        elif ROOTS.search(head):  # anywhere, as GDAL does
            yield from self.described(file)
        elif index or file.name.lower().endswith((".gti.fgb", ".gti.parquet")):
            self.unlisted(file)

    def described(self, file: Path) -> Iterator[str]:
        """The members of a VRT or of an XML tile index."""
        entries = list(_entries(self.parsed(file)))
        location = next((entry.text for entry in entries if entry.name == "locationfield"), "location")
        for entry in entries:
            if entry.name == "pixelfunctionlanguage" and entry.text.lower() != "c":
                self.refuse("it contains a pixel function in Python, which is never run: rewrite it without one")
            elif entry.name == "subclass" and entry.text.lower() == "vrtrawrasterband" and not self.trusted:
                self.refuse("it reads a file as raw bytes (VRTRawRasterBand)", TRUST)
            elif entry.name == "indexdataset":
                for index in _placed(entry, file):
                    self.files.setdefault(Path(index))
                    yield from self.indexed(Path(index), location)
            elif entry.text and (entry.name in NAMES | KEYS or "dataset_filename" in entry.name):  # in processing steps
                yield from _placed(entry, file)

    def check_sidecar(self, file: Path) -> None:
        """Reject a sidecar that refers to overviews elsewhere.

        Raises:
            BadSource: it does.
        """
        if not file.name:
            return
        sidecar = file.with_name(f"{file.name}.aux.xml")
        if self.trusted or not is_file(sidecar):
            return
        for entry in _entries(self.parsed(sidecar)):
            if entry.name == "overview_file" and not BESIDE.fullmatch(entry.text):
                self.refuse(f"{sidecar} refers to overviews elsewhere", TRUST)

    def parsed(self, file: Path) -> ET.Element:
        """Parse XML as GDAL does: a comment ends a text, and entities are rejected.

        Raises:
            BadSource: it is too large, not UTF-8, not well-formed, or declares entities.
        """
        if file.stat().st_size > DESCRIPTION:
            self.refuse(f"{file} is too large for a VRT: split it")
        data = _utf8(file.read_bytes())
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:
            self.refuse(f"{file} declares entities or is not UTF-8")
        builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
        try:
            return ET.fromstring(  # noqa: S314 - no entities, see above
                data,
                ET.XMLParser(target=builder, encoding="utf-8"),  # noqa: S314
            )
        except ET.ParseError as error:
            raise BadSource(self.source, f"{file} is not well-formed XML ({error})") from error

    def indexed(self, index: Path, field: str) -> Iterator[str]:
        """The members of a tile index; only GeoPackages are read."""
        listed = False
        try:
            with closing(sqlite3.connect(f"{index.resolve().as_uri()}?mode=ro", uri=True)) as database:
                tables = database.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'")
                for (table,) in tables.fetchall():
                    quoted, column = (each.replace('"', '""') for each in (table, field))
                    for (name,) in database.execute(f'SELECT "{column}" FROM "{quoted}"'):  # noqa: S608 - quoted above
                        listed = True
                        yield beside(str(name), index)
        except sqlite3.Error:
            listed = False
        if not listed:
            self.unlisted(index)

    def unlisted(self, index: Path) -> None:
        """Reject an index whose members cannot be listed, unless the source is trusted.

        Raises:
            BadSource: the source is not trusted.
        """
        if not self.trusted:
            self.refuse(
                f"the files of the index {index} cannot be listed",
                f"use a GeoPackage with a field `location`, or {TRUST}",
            )
        self.unknown.setdefault(f"the files of the index {index}")

    def refuse(self, why: str, cure: str = "") -> NoReturn:
        """Reject the source.

        Raises:
            BadSource: always.
        """
        raise BadSource(self.source, f"{why}: {cure}" if cure else why)


class _Entry(NamedTuple):
    """An element or attribute of a VRT; GDAL accepts either, in upper or lower case."""

    name: str
    text: str
    relative: (
        bool | None
    )  # whether a file name is relative to the VRT; None if the VRT does not say so in the usual way


def _entries(root: ET.Element) -> Iterator[_Entry]:
    for element in root.iter():
        if not isinstance(element.tag, str):  # a comment
            continue
        attributes = {name.rpartition("}")[2].lower(): text.strip() for name, text in element.items()}
        tag = element.tag.rpartition("}")[2].lower()
        relative = attributes.get("relativetovrt", "0") == "1"
        text = (element.text or "").strip()
        yield _Entry(tag, text, None if len(element) or tag in ("indexdataset", "dataset") else relative)
        for key in ("key", "name"):
            if key in attributes:
                yield _Entry(attributes[key].lower(), text, None)
        yield from (_Entry(name, value, None) for name, value in attributes.items())


def _placed(entry: _Entry, file: Path) -> Iterator[str]:
    """The paths that an entry of the VRT `file` may refer to."""
    near = beside(entry.text, file)
    if entry.relative is None:
        yield from dict.fromkeys([near, entry.text] if _on_disk_at_all(entry.text) else [near])
    else:
        yield near if entry.relative else entry.text


def beside(name: str, file: Path) -> str:
    """Resolve a name, or the file name within it, against the folder of `file`; unchanged if no such file exists."""
    if name.startswith(INLINE):
        inner = inline(name)
        return f"{INLINE}{beside(inner, file)}{name[len(INLINE) + len(inner) :]}"
    for part in [name, *_parts(name)]:
        if part and is_file(file.parent / part):
            return name.replace(part, str(file.parent / part))
    return name


def _on_disk_at_all(name: str) -> bool:
    return is_file(Path(name)) or any(True for _ in _on_disk(name))


def _parts(name: str) -> list[str]:
    """The parts of a subdataset's name."""
    return [part.strip() for part in re.split(r"[\"']|:(?!//)", name)]


def _on_disk(name: str) -> Iterator[Path]:
    """The files within a GDAL name: an archive, or a subdataset's file."""
    if match := ARCHIVE.match(name):
        place = Path(name[match.end() :].replace("{", "").replace("}", ""))
        yield from (each for each in (place, *place.parents) if is_file(each))
        return
    yield from (Path(part) for part in _parts(name) if part and is_file(Path(part)))


def _utf8(data: bytes) -> bytes:
    """Text as UTF-8; old programs wrote sidecars in Latin-1, whatever encoding they declare."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data
