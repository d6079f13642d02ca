"""MapProxy with the layer as its source and a cache of its own: the map that its WMS makes of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from PIL import Image

from tests.clients.view import INSIDE, SIZE, Client, View, drawn

HERE = Path(__file__).parent
PYTHON = HERE / ".venv" / "bin" / "python"


@cache
def version() -> str:
    """The version that is pinned."""
    text = (HERE / "requirements.in").read_text()
    return text.partition("MapProxy==")[2].split()[0]


def wms(view: View, folder: Path) -> Image.Image:
    """The view as MapProxy's clients get it."""
    address = view.template
    for name in "zxy":
        address = address.replace(f"{{{name}}}", f"%({name})s")
    config = {
        "services": {"wms": {"srs": ["EPSG:3857"], "image_formats": ["image/png"]}},
        "layers": [{"name": view.layer, "title": view.layer, "sources": ["kept"]}],
        "caches": {"kept": {"grids": ["web"], "sources": ["tiles"], "cache": {"type": "file"}}},
        "sources": {"tiles": {"type": "tile", "url": address, "grid": "web", "transparent": True}},
        "grids": {"web": {"base": "GLOBAL_WEBMERCATOR"}},
        "globals": {
            "cache": {"base_dir": str(folder / "cache"), "lock_dir": str(folder / "locks")},
            "image": {"paletted": False},  # or it reduces its maps to 256 colours
        },
    }
    path = folder / "mapproxy.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return drawn(
        [str(PYTHON), str(INSIDE / "in_mapproxy.py")],
        folder,
        config=str(path),
        layer=view.layer,
        box=view.box,
        size=SIZE,
    )


CLIENTS = [Client("MapProxy", version, wms)]
