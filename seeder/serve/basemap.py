"""A base map below the layer, of another host: only if a person names one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tiler.errors import BadOption

OSM = "osm"
DEEPEST = 19  # the last zoom of OpenStreetMap's tiles, and of most others
_PARTS = ("{z}", "{x}", "{y}")
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+")  # of urlsplit: without brackets, port and credentials


@dataclass(frozen=True, slots=True)
class Basemap:
    """Tiles of 256 pixels in Web Mercator; `attribution` is HTML, shown with them."""

    template: str
    attribution: str

    @classmethod
    def parse(cls, text: str) -> Basemap:
        """The base map that an option names: `osm`, or an address with {z}, {x} and {y}.

        Raises:
            BadOption: it is neither.
        """
        if text.lower() == OSM:
            credit = '© <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors'
            return cls("https://tile.openstreetmap.org/{z}/{x}/{y}.png", credit)
        example = "type osm, or an address such as https://tiles.example.org/{z}/{x}/{y}.png"
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise BadOption(f"{text} is no address of tiles ({error}): {example}") from error
        if parts.scheme not in ("http", "https") or not host or not _HOST.fullmatch(host):
            raise BadOption(f"{text} is no address of tiles: {example}")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise BadOption(f"{text!r} has characters that no address has: write them as %XX, and the host as xn--...")
        missing = [part for part in _PARTS if part not in text]
        if missing:
            raise BadOption(f"{text} has no {' and no '.join(missing)}: {example}")
        return cls(text, f"Base map: {host}")

    @property
    def origin(self) -> str:
        """The scheme and the host of its tiles, for the pages' policy."""
        scheme, host = urlsplit(self.template)[:2]
        return f"{scheme}://{host.rpartition('@')[2]}"

    def to_json(self) -> dict[str, Any]:
        """The form that the page reads."""
        return {"template": self.template, "attribution": self.attribution, "maxzoom": DEEPEST}
