"""MapProxy with the layer as its source and a cache of its own: the map that its WMS makes of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import Image

from tests.clients.view import INSIDE, SIZE, Client, View, drawn

HERE = Path(__file__).parent
PYTHON = HERE / ".venv" / "bin" / "python"
# Without `on_error` a map is an error where one of its tiles is; without `paletted` it has 256 colours at most.
CONFIG = """
services:
  wms:
    srs: ["EPSG:3857"]
    image_formats: [image/png]
layers:
  - {{name: {layer}, title: {layer}, sources: [kept]}}
caches:
  kept: {{grids: [web], sources: [tiles], cache: {{type: file}}}}
sources:
  tiles:
    type: tile
    url: {address}
    grid: web
    transparent: true
    on_error:
      404: {{response: transparent, cache: false}}
grids:
  web: {{base: GLOBAL_WEBMERCATOR}}
globals:
  cache: {{base_dir: {folder}/cache, lock_dir: {folder}/locks}}
  image: {{paletted: false}}
"""


@cache
def version() -> str:
    """The version that is pinned."""
    text = (HERE / "requirements.in").read_text()
    return text.partition("MapProxy==")[2].split()[0]


def wms(view: View, folder: Path) -> Image.Image:
    """The view as MapProxy's clients get it."""
    address = view.template.replace("{", "%(").replace("}", ")s")
    path = folder / "mapproxy.yaml"
    path.write_text(CONFIG.format(layer=view.layer, address=address, folder=folder))
    script = str(INSIDE / "in_mapproxy.py")
    return drawn([str(PYTHON), script], folder, config=str(path), layer=view.layer, box=view.box, size=SIZE)


CLIENTS = [Client("MapProxy", version, wms)]
