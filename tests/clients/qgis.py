"""QGIS without a screen, as an XYZ layer and as a WMTS layer: Debian's package, with the system's Python."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import urllib3
from PIL import Image

from seeder.serve.wmts import SPACES
from tests.clients.view import INSIDE, SIZE, Client, View, drawn, ran

PYTHON = "/usr/bin/python3"
SCRIPT = INSIDE / "in_qgis.py"


@cache
def version() -> str:
    """The version that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        return ran([PYTHON, "-c", "from qgis.core import Qgis; print(Qgis.QGIS_VERSION.split('-')[0])"], Path(folder))


def xyz(view: View, folder: Path) -> Image.Image:
    """The view as Add XYZ Layer shows it."""
    address = quote(view.template, safe=":/{}")
    return _draw(view, folder, f"type=xyz&url={address}&zmin=0&zmax=22")


def wmts(view: View, folder: Path) -> Image.Image:
    """The view as Add WMS/WMTS Layer shows it."""
    told = ET.fromstring(urllib3.request("GET", view.wmts).data)
    matrices = told.findtext("Contents/TileMatrixSet/ows:Identifier", namespaces=SPACES)
    uri = f"url={view.wmts}&layers={view.layer}&styles=default&format=image/png&crs=EPSG:3857&tileMatrixSet={matrices}"
    return _draw(view, folder, uri)


def _draw(view: View, folder: Path, uri: str) -> Image.Image:
    return drawn([PYTHON, str(SCRIPT)], folder, uri=uri, box=view.box, size=SIZE)


CLIENTS = [Client("QGIS XYZ", version, xyz), Client("QGIS WMTS", version, wmts)]
