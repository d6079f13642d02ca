"""The scenes that the sources of an ingest stand for.

A source is a raster, a folder, a pattern such as `flight/*.tif`, a prefix or pattern in S3, a text list (`@list.txt`,
or `-` for standard input), STAC items, or a tile index. `tiler.scenes.strangers` has the rule for names in lists.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tiler.errors import BadSource, shown
from tiler.inputs import METADATA, check_source
from tiler.raster.options import Options
from tiler.scenes import index_files, json_lists, text_lists
from tiler.scenes.folders import Found, RealPaths, full_path, is_whole, matching, within
from tiler.scenes.patterns import WILD, Pattern
from tiler.scenes.s3_listing import Bucket
from tiler.scenes.scene import Listed
from tiler.scenes.source_files import FOREIGN
from tiler.scenes.strangers import WEB, Far, Here, joined
from tiler.scenes.web import Permit, Web, public

INDEXES = (".gti", ".gti.gpkg", ".gpkg")  # suffixes of files that may be tile indexes
DRIVER = re.compile(r"[A-Z][A-Z0-9_]+:")  # the begin of GDAL's names of a raster within a file
GTI = "GTI:"  # GDAL's prefix of a tile index
API = re.compile(r"/(?:collections/[^/]+/items(?:/[^/]+)?|search)/?$")  # addresses at which a STAC API has items
PAGES = 1000  # pages of an API's answer


@dataclass(frozen=True, slots=True)
class _Expander:
    """The options of an expansion."""

    asset: str
    options: Options
    stdin: TextIO | None
    permit: Permit

    @property
    def trusted(self) -> bool:
        """Whether lists on this disk may name anything."""
        return self.options.trust_source

    def scenes(self, source: str) -> Iterable[tuple[str, Listed]]:
        """The scenes of one source, each after the path that tells it from others."""
        if not source:
            raise BadSource("''", "a source is empty: give a file or a folder")
        if source == "-":
            return self.named(source, Path("-").absolute(), self.stdin or sys.stdin)
        if source.startswith("@"):
            return self.text(source, Path(source[1:]).expanduser().absolute())
        if source.startswith("s3://"):
            return self.in_s3(source)
        if source.startswith(WEB):
            return self.on_the_web(source)
        local = Path(source.removeprefix("file://").removeprefix(GTI))
        check_source(str(local))
        return self.local(source, local)

    def local(self, source: str, file: Path) -> Iterable[tuple[str, Listed]]:
        """The scenes of a path on this disk, or of another name for GDAL."""
        try:
            is_file, is_folder = file.is_file(), file.is_dir()
        except (OSError, ValueError):
            is_file = is_folder = False
        if is_folder and not is_whole(file):
            return _found(within(source, file))
        if not is_file and not is_folder:
            if WILD.search(source) and not FOREIGN.search(source) and not DRIVER.match(source):
                return _found(matching(source, Pattern.of(source)))
            return [(source, Listed(shown(source), source))]
        return self.listed_in(source, file.absolute()) if is_file else _found([_one(file)])

    def listed_in(self, source: str, file: Path) -> Iterable[tuple[str, Listed]]:
        """The scenes of a list on this disk; any other file is a raster."""
        name, rule = file.name.lower(), Here(source, file, self.trusted)
        if name.endswith(json_lists.SUFFIXES):
            value = _read(source, file)
            json_lists.check_complete(source, value)
            return _with_paths(json_lists.scenes(source, value, self.asset, rule))
        if not (name.endswith(INDEXES) or source.startswith(GTI)):
            return _found([_one(file)])
        if index_files.is_xml(file):
            index, field = index_files.described(source, file, trusted=self.trusted)
            return self.indexed(source, index, field)
        if index_files.is_sqlite(file) and (source.startswith(GTI) or index_files.has_locations(file)):
            return self.indexed(source, file, index_files.LOCATION)
        return _found([_one(file)])

    def indexed(self, source: str, index: Path, field: str) -> Iterable[tuple[str, Listed]]:
        """The scenes that the field of a tile index names."""
        rule = Here(source, index, self.trusted)
        if index.name.lower().endswith(json_lists.SUFFIXES):
            return _with_paths(json_lists.index_of(source, _read(source, index), field, rule))
        return _with_paths(rule.listed(*row) for row in index_files.from_geopackage(source, index, field))

    def text(self, source: str, file: Path) -> Iterable[tuple[str, Listed]]:
        """The scenes of a text list."""
        if not file.name or file.is_dir():
            raise BadSource(source, "@ is the sign of a text list: add the name of a file, as in @list.txt")
        check_source(str(file))
        with _readable(source), file.open(encoding="utf-8") as lines:
            return self.named(source, file, lines)

    def named(self, source: str, file: Path, lines: TextIO) -> list[tuple[str, Listed]]:
        """The scenes of the lines of a text list."""
        here = Here(source, file, self.trusted, typed=True)
        scenes = []
        for name in text_lists.names(source, lines):
            listed = here.listed(name)
            text_lists.check_one(source, name, listed.path)
            scenes.append(listed)
        if not scenes:
            raise BadSource(source, "the list is empty: write one raster a line")
        return _with_paths(scenes)

    def in_s3(self, source: str) -> Iterable[tuple[str, Listed]]:
        """The scenes of a prefix, a pattern, a list or a raster in S3."""
        bucket = Bucket.of(source, self.options)
        if not bucket.key or bucket.key.endswith("/"):
            return _with_paths(map(_object, bucket.below()))
        if WILD.search(bucket.key):
            return _with_paths(map(_object, bucket.matching()))
        if bucket.key.lower().endswith(json_lists.SUFFIXES):
            value = json_lists.parsed(source, bucket.read())
            json_lists.check_complete(source, value)
            return self.far(Far(source, source, Web(source, self.permit)), [value])
        return [(source, Listed(shown(source), source))]

    def on_the_web(self, source: str) -> Iterable[tuple[str, Listed]]:
        """The scenes of a list of a web server; any other address is a raster."""
        path = source.partition("?")[0].partition("#")[0]
        if not path.lower().endswith(json_lists.SUFFIXES) and not API.search(path):
            return [(source, Listed(shown(source), source))]
        web = Web(source, self.permit)
        url, data = web.fetch(source)
        pages = [json_lists.parsed(source, data)]
        asked = {source}
        while link := json_lists.next_page(source, pages[-1]):
            link = joined(url, link)
            if len(pages) == PAGES or link in asked:
                raise BadSource(source, f"it has over {PAGES:,} pages, or one twice: ask for more items with `limit`")
            asked.add(link)
            url, data = web.fetch(link)
            pages.append(json_lists.parsed(source, data))
        if len(pages) > 1 and not pages[-1].get("features"):
            pages.pop()  # some servers end with an empty page
        return self.far(Far(source, url, web), pages)

    def far(self, rule: Far, pages: list[dict[str, Any]]) -> Iterable[tuple[str, Listed]]:
        """The scenes of a remote list."""
        scenes = [each for page in pages for each in json_lists.scenes(rule.source, page, self.asset, rule)]
        rule.check(scenes)
        return _with_paths(scenes)


def expand(
    sources: Sequence[str],
    *,
    asset: str = "",
    trusted: bool = False,
    stdin: TextIO | None = None,
    requester_pays: bool = False,
    anonymous: bool = False,
    permit: Permit = public,
) -> tuple[Listed, ...]:
    """The scenes that `sources` stand for, in their order; those of one folder, pattern or prefix sorted by path.

    A scene that is named twice comes once, at its last place. `asset` is the one to take of STAC items; `trusted`
    allows lists on this disk to name anything. `stdin` is the text list that `-` stands for. `requester_pays` and
    `anonymous` apply to requests to S3. `permit` says which addresses of hosts a remote list may lead to.

    A file that no rule applies to is a raster, and so is a VRT. Rasters are not opened, and may be missing.

    Raises:
        BadSource: a source stands for no raster, a list is not readable, or it names what it must not.
        StoreError: S3 or a server failed or did not answer.
    """
    options = Options(trust_source=trusted, requester_pays=requester_pays, anonymous=anonymous)
    expander = _Expander(asset, options, stdin, permit)
    scenes: dict[str, Listed] = {}
    for source in sources:
        for path, listed in expander.scenes(source):
            scenes.pop(path, None)
            scenes[path] = listed
    for listed in scenes.values():
        _check_encodable(listed.path)
    return tuple(scenes.values())


def _check_encodable(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadSource(ascii(path)[1:-1], "its name is not UTF-8: rename it") from None


def _found(files: Iterable[Found]) -> Iterator[tuple[str, Listed]]:
    return ((real, Listed(path, path)) for path, real in files)


def _object(address: str) -> Listed:
    """An object in S3; rasterio would cut the address of a key with # there, but not GDAL's own name."""
    return Listed(address, address.replace("s3://", "/vsis3/", 1) if "#" in address else address)


def _one(file: Path) -> Found:
    return Found(full_path(file), os.path.realpath(file))


def _with_paths(scenes: Iterable[Listed]) -> list[tuple[str, Listed]]:
    """The scenes of a list, each after its path without symbolic links."""
    real = RealPaths()
    return [(each.path if "://" in each.path or "/" not in each.path else real.of(each.path), each) for each in scenes]


def _read(source: str, file: Path) -> dict[str, Any]:
    """The JSON of a file; one byte more than allowed is enough to reject it."""
    with _readable(source), file.open("rb") as handle:
        data = handle.read(METADATA + 1)
    return json_lists.parsed(source, data)


@contextmanager
def _readable(source: str) -> Iterator[None]:
    """Translate the errors of a file that cannot be read.

    Raises:
        BadSource: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise BadSource(source, f"it cannot be read ({error.strerror}): check its name and permissions") from error
