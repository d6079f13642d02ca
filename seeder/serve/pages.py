"""The pages of the preview, built by `scripts/preview` into `assets/`, with their configuration filled in."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiler.errors import BadOption

ASSETS = Path(__file__).parent / "assets"
DEMO = Path(__file__).parents[2] / "scripts" / "demo"  # makes a layer to try, in a clone
LAYER, LAYERS = "layer.html", "layers.html"
CONFIG = '<script type="application/json" id="config">{}</script>'  # once in each page; its braces are replaced


def cure(root: Path) -> str:
    """How to get the pages that are missing; `root` is the folder of the packages, in a clone or installed."""
    if (root / "scripts" / "preview").exists():
        step = "run scripts/preview, which needs Node 20 or newer"
    else:
        step = "install tile-seeder from a build with Node 20 or newer, without TILER_BUILD_PAGES=no"
    return f"the preview's pages are missing: {step}"


CURE = cure(Path(__file__).parents[2])


def page(name: str, config: Mapping[str, Any]) -> bytes:
    """A page with its configuration: the layer and, if served by `seeder serve`, the address of the API.

    Raises:
        BadOption: the pages are not built.
    """
    text = asset(name).decode()
    filled = json.dumps(dict(config)).replace("<", "\\u003c")  # so that no value can close the script element
    return text.replace(CONFIG, CONFIG.replace("{}", filled)).encode()


def asset(name: str) -> bytes:
    """The bytes of an asset, or of a page without its configuration.

    Raises:
        BadOption: the pages are not built.
    """
    try:
        return (ASSETS / name).read_bytes()
    except FileNotFoundError as error:
        raise BadOption(CURE) from error


def built(name: str) -> float:
    """The time at which an asset was built, in seconds since 1970.

    Raises:
        BadOption: the pages are not built.
    """
    try:
        return (ASSETS / name).stat().st_mtime
    except FileNotFoundError as error:
        raise BadOption(CURE) from error


def assets() -> tuple[str, ...]:
    """The names of all assets except pages; empty if nothing is built."""
    pages = (LAYER, LAYERS)
    return tuple(sorted(path.name for path in ASSETS.glob("*.*") if path.name not in pages))


def kind(name: str) -> str:
    """The content type of a page or an asset."""
    guess, _ = mimetypes.guess_type(name)
    return {"text/html": "text/html; charset=utf-8"}.get(guess or "", guess or "application/octet-stream")
