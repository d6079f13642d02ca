"""GDAL, the one that this project runs on: the TMS minidriver of its WMS driver, and its WMTS driver."""

from __future__ import annotations

import sys
from pathlib import Path

import rasterio
from PIL import Image

from tests.clients.view import INSIDE, SIZE, Client, View, drawn

SCRIPT = INSIDE / "in_gdal.py"
EDGE = 20037508.342789244  # metres
TMS = """<GDAL_WMS>
  <Service name="TMS"><ServerUrl>{address}</ServerUrl></Service>
  <DataWindow>
    <UpperLeftX>-{edge}</UpperLeftX><UpperLeftY>{edge}</UpperLeftY>
    <LowerRightX>{edge}</LowerRightX><LowerRightY>-{edge}</LowerRightY>
    <TileLevel>{zoom}</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY><YOrigin>top</YOrigin>
  </DataWindow>
  <Projection>EPSG:3857</Projection><BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>4</BandsCount>
  <ZeroBlockHttpCodes>204,404</ZeroBlockHttpCodes>
</GDAL_WMS>"""


def version() -> str:
    """The version in rasterio's wheel."""
    return str(rasterio.__gdal_version__)


def tms(view: View, folder: Path) -> Image.Image:
    """The view from a service description as GDAL's documentation has it for OpenStreetMap."""
    address = view.template.replace("{", "${")
    return _draw(view, folder, TMS.format(address=address, edge=EDGE, zoom=view.tile.z))


def wmts(view: View, folder: Path) -> Image.Image:
    """The view from the capabilities."""
    return _draw(view, folder, f"WMTS:{view.wmts}")


def _draw(view: View, folder: Path, source: str) -> Image.Image:
    return drawn([sys.executable, str(SCRIPT)], folder, source=source, box=view.box, size=SIZE)


CLIENTS = [Client("GDAL TMS", version, tms), Client("GDAL WMTS", version, wmts)]
