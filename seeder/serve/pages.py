"""The pages of the preview: built by `scripts/preview` into `assets/`, told here where they are."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from tiler.errors import BadOption

ASSETS = Path(__file__).parent / "assets"
LAYER, LAYERS = "layer.html", "layers.html"
CONFIG = '<script type="application/json" id="config">{}</script>'  # in each page once; its braces are filled
CURE = "the preview is not built: run scripts/preview (it needs Node 20)"


def page(name: str, config: Mapping[str, str]) -> bytes:
    """A page that knows `config`: its layer and, where a server stands behind it, how that is asked.

    Raises:
        BadOption: the pages are not built.
    """
    text = asset(name).decode()
    said = json.dumps(dict(config)).replace("<", "\\u003c")  # so that nothing in it ends the script
    return text.replace(CONFIG, CONFIG.replace("{}", said)).encode()


def asset(name: str) -> bytes:
    """What the pages need beside themselves, or a page as it was built.

    Raises:
        BadOption: the pages are not built.
    """
    try:
        return (ASSETS / name).read_bytes()
    except FileNotFoundError as error:
        raise BadOption(CURE) from error


def built(name: str) -> float:
    """When an asset was built, in seconds since 1970.

    Raises:
        BadOption: the pages are not built.
    """
    try:
        return (ASSETS / name).stat().st_mtime
    except FileNotFoundError as error:
        raise BadOption(CURE) from error


def assets() -> tuple[str, ...]:
    """The names of all files that are not pages; none where nothing is built."""
    pages = (LAYER, LAYERS)
    return tuple(sorted(path.name for path in ASSETS.glob("*.*") if path.name not in pages))


def kind(name: str) -> str:
    """The content type of a page or an asset."""
    found, _ = mimetypes.guess_type(name)
    return {"text/html": "text/html; charset=utf-8"}.get(found or "", found or "application/octet-stream")
