"""Names in other people's lists: which are allowed, and the file or address that each stands for.

A list on this disk may name ordinary rasters on this disk, as a VRT may: no network, no `/vsi...` but archives on this
disk, no VRT in place of a name. `--trust-source` allows them all. A text list was typed by the user, so it may also
name addresses that begin with s3://, https:// or http://.

A remote list may name addresses that begin with s3:// or https:// (http:// only if it was itself read by http). It may
never name a file on this disk, and no host with an address in a private network, also after redirects; trust changes
none of that. Each address is asked for one byte when the list is read. GDAL resolves the host again when it reads the
raster: a server that changes its answer within that time is not noticed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urljoin, urlsplit

from tiler.errors import BadSource, shortened, shown
from tiler.inputs import check_source
from tiler.raster.datasets import inline
from tiler.scenes.folders import full_path
from tiler.scenes.scene import Listed
from tiler.scenes.source_files import ARCHIVE, FOREIGN, TRUST, beside
from tiler.scenes.web import Web
from tiler.storage.concurrent import overlap

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")  # no file name, address or message
TYPED = re.compile(r"(?:s3|https?)://[^/]", re.IGNORECASE)  # addresses that a text list may name
WEB = ("https://", "http://")
REMOTE = ("s3://", *WEB)


@dataclass(frozen=True, slots=True)
class Here:
    """A list on this disk: `source` as the user typed it, the file, and what its names may be."""

    source: str
    file: Path  # absolute; names are relative to its folder
    trusted: bool = False
    typed: bool = False  # whether the user wrote it

    def listed(self, name: str, date: str = "", base: str = "") -> Listed:
        """The scene that `name` stands for; `base` is an address for relative names that are no file beside the list.

        Raises:
            BadSource: the name is forbidden, or it is a device or a pipe.
        """
        name = _clean(self.source, name)
        if base and "://" not in name and not name.startswith(("/", "<")) and not _beside(name, self.file):
            name = joined(base, name)
        foreign = FOREIGN.search(ARCHIVE.sub("", inline(name))) is not None
        described = inline(name).lstrip().startswith("<")
        if not (self.trusted or (self.typed and TYPED.match(name))):
            self._check(name, foreign=foreign, described=described)
        path = name if foreign or described else self._placed(name.removeprefix("file://"))
        if not os.path.isfile(path):  # noqa: PTH113 - speed
            check_source(path)
        if "/../" in path and path.startswith("/") and not path.startswith("/vsi"):
            path = full_path(path)
        return Listed(shown(path), path, date)

    def _check(self, name: str, *, foreign: bool, described: bool) -> None:
        """Apply the rule for the members of a VRT.

        Raises:
            BadSource: the name is forbidden.
        """
        if described:
            raise BadSource(self.source, f"it contains a VRT instead of a file name: {TRUST}")
        if foreign:
            what = "a special name" if self.typed else "a network or special address instead of a file on this disk"
            raise BadSource(self.source, f"it refers to {shortened(shown(name))}, {what}: {TRUST}")

    def _placed(self, name: str) -> str:
        """A file or GDAL name; a relative one is beside the list, even if no such file exists."""
        if near := _beside(name, self.file):
            return near
        placed = beside(name, self.file)
        return placed if placed != name or ":" in name else str(self.file.parent / name)


def _beside(name: str, file: Path) -> str:
    """The path of a file or folder beside `file`; empty if there is none."""
    near = os.path.join(os.path.dirname(file), name)  # noqa: PTH118, PTH120 - speed, for lists of many files
    try:
        if not os.path.exists(near):  # noqa: PTH110
            return ""
    except (OSError, ValueError):
        return ""
    return str(Path(near)) if "./" in near or "//" in near else near


@dataclass(frozen=True, slots=True)
class Far:
    """A remote list: `source` as the user typed it, the address that answered, and the rule for others."""

    source: str
    url: str
    web: Web

    def listed(self, name: str, date: str = "", base: str = "") -> Listed:
        """The scene that `name` stands for; `base` is an address for relative names, by default that of the list.

        `check` must still be called.

        Raises:
            BadSource: the name is forbidden.
        """
        name = _clean(self.source, name)
        if name.startswith(("/vsi", "<")):
            self._refuse(name)
        url = joined(base if base.startswith(REMOTE) else self.url, name)
        if url.startswith("s3://") and urlsplit(url).netloc:
            return Listed(shown(url), url, date)
        if not url.startswith(WEB if self.url.startswith("http://") else "https://"):
            self._refuse(name)
        return Listed(shown(url), quote(url, safe="/:%?&=+~;,@!$'()*[]#"), date, strange=True)

    def _refuse(self, name: str) -> NoReturn:
        why = f"it refers to {shortened(shown(name))}, which is neither https:// nor s3://"
        raise BadSource(self.source, f"{why}: download the list, and give the file")

    def check(self, scenes: list[Listed]) -> None:
        """Check the host of each scene, also after redirects; one request for each.

        Raises:
            BadSource: one leads into a private network.
            StoreError: a server does not answer.
        """
        web = [each.path for each in scenes if each.path.startswith(WEB)]
        for _ in overlap(partial(self.web.check), web):
            pass


def _clean(source: str, name: str) -> str:
    """A name without blanks around it.

    Raises:
        BadSource: it is empty, or has control characters or surrogates.
    """
    name = name.strip()
    if not name or UNPRINTABLE.search(name):
        raise BadSource(source, f"it contains {name[:80]!a}, which is no file name: remove it")
    return name


def joined(base: str, name: str) -> str:
    """`name` resolved against the address `base`, as in a web page."""
    if base.startswith("s3://") and "://" not in name and not name.startswith("//"):
        folder = "https" + base.removeprefix("s3")
        return "s3" + urljoin(folder, name).removeprefix("https")
    try:
        return urljoin(base, name)
    except ValueError:  # not a valid address
        return name


def printable(text: str) -> str:
    """A stranger's text for a message: one short line without control characters."""
    return shortened("".join(sign if sign.isprintable() else "?" for sign in text))


def iso(text: object) -> str:
    """A date, or a time in UTC to the second, in ISO 8601, so that texts sort as times; empty if `text` is neither."""
    if not isinstance(text, str):
        return ""
    text = text.strip().replace("/", "-")
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.fromisoformat(text).date().isoformat()
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time.year >= 1000 else ""
