"""The files that GDAL reads for a raster: its own, their sidecars, the members of VRTs and tile indexes."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn
from xml.etree import ElementTree as ET

from tiler.errors import BadSource, SourceReadError
from tiler.layers.origin import Origin
from tiler.raster.datasets import BESIDE, DRIVERS, INLINE, PLAIN, OpenOptions, forget, inline, part_of, probed

HEAD = 2048  # bytes that tell an XML description from a raster
DESCRIPTION = 1 << 28  # bytes of the largest description that is read
DEPTH = 16  # descriptions within descriptions
RACY = 3 * 10**9  # nanoseconds; a file that changed so shortly before may change again without another time
DESCRIPTIONS = ("VRT", "GTI")  # drivers whose files name other files
NAMES = {"sourcefilename", "sourcedataset", "indexdataset", "dataset"}  # elements that name a file
KEYS = {"x_dataset", "y_dataset", "rpc_dempath", "dempath", "overview_file"}  # entries of metadata and options that do
ROOTS = re.compile(rb"<(VRTDataset|GDALTileIndexDataset|VRTDerived|VRTWarped)", re.IGNORECASE)
ARCHIVE = re.compile(r"(?:/vsi(?:zip|tar|gzip|7z|rar)/)+")
FOREIGN = re.compile(r"(?<![a-z0-9+])(?!file:)[a-z0-9+]+://|/vsi", re.IGNORECASE)  # anywhere in a name
SIDECARS = (".ovr", ".msk", ".aux", ".ovr.ovr", ".ovr.msk", ".msk.ovr", ".msk.msk")  # ends of names that GDAL looks for
UNKNOWN = "not recognized"  # GDAL's word for what none of its drivers opens
TRUST = "add --trust-source to read it anyway"

Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files on disk that a raster is read from, each once, and the names of what no file on disk is.

    `members` are those files that a description names, `stamps` what the system says of each file.
    """

    files: tuple[Path, ...]
    members: tuple[Path, ...]
    unknown: tuple[str, ...]
    stamps: tuple[Stamp, ...]
    seen: int  # nanoseconds since 1970

    @property
    def sure(self) -> bool:
        """Whether every later change will show in the stamps: no file changed within the last `RACY` nanoseconds."""
        return not self.unknown and all(max(stamp[3:]) < self.seen - RACY for stamp in self.stamps)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The files as a virtual layer records them."""
        each = zip(self.files, self.stamps, strict=True)
        return tuple(Origin(str(file), size, written, touched) for file, (size, _, _, written, touched) in each)

    def as_before(self, other: SourceFiles) -> bool:
        """Whether the files are the same and unchanged."""
        return (self.files, self.unknown, self.stamps) == (other.files, other.unknown, other.stamps)

    def notes(self) -> Iterator[str]:
        """Notes for the user, one a line."""
        if self.members:
            many = "file" if len(self.members) == 1 else "files"
            yield f"reads {len(self.members)} other {many}: {_some(map(str, self.members))}"
        if self.unknown:
            yield f"changes may go unnoticed, not a file on this disk: {_some(self.unknown)}"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")


def beneath(path: str, open_options: OpenOptions = PLAIN) -> SourceFiles:
    """The files of the raster at `path`, and of the subdataset of it that is opened.

    Unless it is trusted, a VRT or tile index may refer only to ordinary rasters on this disk.

    Raises:
        BadSource: no supported driver opens it, or it refers to a forbidden member.
        StoreError: the network failed.
    """
    seen = time.time_ns()
    walk = _Walk(path, open_options.trusted)
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
class _Walk:
    """A walk through a raster's members; dicts keep the order of its files."""

    source: str
    trusted: bool
    files: dict[Path, None] = field(default_factory=dict)
    members: dict[Path, None] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    first: list[Path] = field(default_factory=list)  # of what the name itself is read from
    entered: set[str] = field(default_factory=set)

    def enter(self, name: str, depth: int) -> None:
        """Collect a raster and its members; check the members before GDAL opens the raster."""
        if name in self.entered:
            return
        self.entered.add(name)
        if depth > DEPTH:
            self.refuse(f"its VRTs are nested more than {DEPTH} deep")
        if name.startswith(INLINE):
            self.member(name, depth + 1)
            self.open(name, depth, described=True)
            return
        file = Path(name.removeprefix("GTI:"))
        on_disk = _is_file(file)
        named = list(self.named(file, index=name.startswith("GTI:"))) if on_disk else []
        self.check_sidecar(file)
        for sidecar in _sidecars(file) if on_disk else ():
            if ROOTS.search(_head(sidecar)):
                self.member(str(sidecar), depth + 1)
        for member in named:
            self.member(member, depth + 1)
        self.open(name, depth, described=on_disk)

    def open(self, name: str, depth: int, *, described: bool) -> None:
        drivers = [each for each in DRIVERS if described or each not in DESCRIPTIONS]
        try:
            listed = probed(name, [] if self.trusted else drivers)
        except SourceReadError as error:
            if depth and self.trusted:  # not every file that is read is a raster
                listed = [name]
            elif depth:
                self.refuse(f"it refers to {name}, no raster on this disk in a supported format", TRUST)
            else:
                why = f"GDAL cannot open it ({error.__cause__ or error})"
                rare = UNKNOWN in why and not self.trusted
                raise BadSource(self.source, why + ("; rarer formats need --trust-source" if rare else "")) from error
        for each in listed or [name]:
            parts = self.take(each)
            if not depth:
                self.first += parts
        for file in _on_disk(name):
            self.files.setdefault(file)

    def take(self, name: str) -> list[Path]:
        """Record the files of a dataset."""
        file = Path(name)
        parts = [file] if _is_file(file) else list(_on_disk(name))
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
                self.refuse("it contains a VRT in place of a file name", TRUST)
            self.unknown.setdefault("a description within it")
            return
        if FOREIGN.search(ARCHIVE.sub("", name)):
            if not self.trusted:
                self.refuse(f"it refers to {name}, no file on this disk but a network or special address", TRUST)
            self.unknown.setdefault(name)
            return
        for file in [Path(name)] if _is_file(Path(name)) else _on_disk(name):
            self.members.setdefault(file)
        self.enter(name, depth)

    def named(self, file: Path, *, index: bool) -> Iterator[str]:
        """The members of a VRT or tile index; none for any other file."""
        head = _head(file)
        if head.startswith(b"SQLite format 3\0") and (index or ".gti" in file.name.lower()):
            yield from self.indexed(file, "location")
        elif ROOTS.search(head):  # GDAL looks for it anywhere
            yield from self.described(file)
        elif index or file.name.lower().endswith((".gti.fgb", ".gti.parquet")):
            self.unlisted(file)

    def described(self, file: Path) -> Iterator[str]:
        root = self.parsed(file)
        found = list(_entries(root))
        location = next((entry.text for entry in found if entry.name == "locationfield"), "location")
        for entry in found:
            if entry.name == "pixelfunctionlanguage" and entry.text.lower() != "c":
                self.refuse("it contains Python code, and that never runs here")
            elif entry.name == "subclass" and entry.text.lower() == "vrtrawrasterband" and not self.trusted:
                self.refuse("it reads raw bytes of a file (VRTRawRasterBand)", TRUST)
            elif entry.name == "indexdataset":
                for index in _placed(entry, file):
                    self.files.setdefault(Path(index))
                    yield from self.indexed(Path(index), location)
            elif entry.text and (entry.name in NAMES or entry.name in KEYS):
                yield from _placed(entry, file)

    def check_sidecar(self, file: Path) -> None:
        """Refuse a sidecar that places overviews elsewhere."""
        if not file.name:
            return
        sidecar = file.with_name(f"{file.name}.aux.xml")
        if self.trusted or not _is_file(sidecar):
            return
        for entry in _entries(self.parsed(sidecar)):
            if entry.name == "overview_file" and not BESIDE.fullmatch(entry.text):
                self.refuse(f"{sidecar} places overviews elsewhere", TRUST)

    def parsed(self, file: Path) -> ET.Element:
        """Parse XML as GDAL does: a comment ends a text, and entities are refused."""
        if file.stat().st_size > DESCRIPTION:
            self.refuse(f"{file} is too large for a VRT")
        data = _utf8(file.read_bytes())
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:
            self.refuse(f"{file} declares entities or is not UTF-8")
        builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
        try:
            return ET.fromstring(  # noqa: S314 - nothing expands, see above
                data,
                ET.XMLParser(target=builder, encoding="utf-8"),  # noqa: S314
            )
        except ET.ParseError as error:
            raise BadSource(self.source, f"{file} is not well-formed XML ({error})") from error

    def indexed(self, index: Path, field: str) -> Iterator[str]:
        """The members of a tile index; only GeoPackages are read."""
        found = False
        try:
            with closing(sqlite3.connect(f"{index.resolve().as_uri()}?mode=ro", uri=True)) as database:
                tables = database.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'")
                for (table,) in tables.fetchall():
                    quoted, column = (each.replace('"', '""') for each in (table, field))
                    for (name,) in database.execute(f'SELECT "{column}" FROM "{quoted}"'):  # noqa: S608 - quoted above
                        found = True
                        yield beside(str(name), index)
        except sqlite3.Error:
            found = False
        if not found:
            self.unlisted(index)

    def unlisted(self, index: Path) -> None:
        if not self.trusted:
            self.refuse(
                f"{index} is an index whose files cannot be listed: use a GeoPackage with a field `location`", TRUST
            )
        self.unknown.setdefault(f"the files that {index} names")

    def refuse(self, why: str, cure: str = "") -> NoReturn:
        raise BadSource(self.source, f"{why}: {cure}" if cure else why)


class _Entry(NamedTuple):
    """An element or attribute of a VRT; GDAL accepts either, in upper or lower case."""

    name: str
    text: str
    relative: bool | None  # to the description, where it names a file; None where that is not said in the usual way


def _entries(root: ET.Element) -> Iterator[_Entry]:
    for element in root.iter():
        if not isinstance(element.tag, str):  # a comment
            continue
        said = {name.rpartition("}")[2].lower(): text.strip() for name, text in element.items()}
        tag = element.tag.rpartition("}")[2].lower()
        usual = None if len(element) or tag in ("indexdataset", "dataset") else said.get("relativetovrt", "0") == "1"
        text = (element.text or "").strip()
        yield _Entry(tag, text, usual)
        for key in ("key", "name"):
            if key in said:
                yield _Entry(said[key].lower(), text, None)
        yield from (_Entry(name, value, None) for name, value in said.items())


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
        if part and _is_file(file.parent / part):
            return name.replace(part, str(file.parent / part))
    return name


def _on_disk_at_all(name: str) -> bool:
    return _is_file(Path(name)) or any(True for _ in _on_disk(name))


def _parts(name: str) -> list[str]:
    """The parts of a subdataset's name."""
    return [part.strip() for part in re.split(r"[\"']|:(?!//)", name)]


def _on_disk(name: str) -> Iterator[Path]:
    """The files within a GDAL name: an archive, or a subdataset's file."""
    if match := ARCHIVE.match(name):
        place = Path(name[match.end() :].replace("{", "").replace("}", ""))
        yield from (each for each in (place, *place.parents) if _is_file(each))
        return
    yield from (Path(part) for part in _parts(name) if part and _is_file(Path(part)))


def _utf8(data: bytes) -> bytes:
    """Text as UTF-8; old programs wrote sidecars in Latin-1, whatever they declare."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data


def _head(file: Path) -> bytes:
    with file.open("rb") as handle:
        return handle.read(HEAD)


def _sidecars(file: Path) -> Iterator[Path]:
    """The overview and mask files beside a raster."""
    ends = [*SIDECARS, *(end.upper() for end in SIDECARS)]
    names = [f"{stem}{end}" for stem in dict.fromkeys((file.name, file.stem)) for end in ends]
    yield from (file.with_name(name) for name in names if name != file.name and _is_file(file.with_name(name)))


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False
