"""WMTS capabilities of layers, for QGIS, ArcGIS and GDAL.

OGC 07-057r7 (WMTS 1.0.0), with resource URLs only, because a bucket cannot answer queries. The tile matrices are those
of WebMercatorQuad in OGC 17-083r4, with the scale set GoogleMapsCompatible. Each set has only a layer's zooms, because
GDAL assumes tiles at all zooms of a set, whatever the limits are.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from tiler.grid import EXTENT, TILE
from tiler.keys import CONTENT_TYPES, tile_template
from tiler.layers.catalog import Layer
from tiler.layers.credit import plain_markup

NAME, TYPE = "wmts.xml", "application/xml"
SET = "WebMercatorQuad"
SCALE = 559082264.0287178  # denominator of zoom 0: metres per pixel / 0.00028 m, OGC's standard pixel
ORIGIN = f"{-EXTENT:.7f} {EXTENT:.7f}"
SPACES = {
    "": "http://www.opengis.net/wmts/1.0",
    "ows": "http://www.opengis.net/ows/1.1",
    "xlink": "http://www.w3.org/1999/xlink",
}


def capabilities(layers: Iterable[tuple[Layer, str]], url: str, address: str) -> bytes:
    """The capabilities document of layers, each with the revision in its tile URLs; tiles are below `url`.

    `url` has no slash at the end; `address` is the URL of the document itself.
    """
    shown = list(layers)
    for prefix, space in SPACES.items():
        ET.register_namespace(prefix, space)
    root = ET.Element(_name("Capabilities"), version="1.0.0")
    service = _add(root, "ows:ServiceIdentification")
    _add(service, "ows:Title", ", ".join(layer.title for layer, _ in shown) or "no layers")
    _add(service, "ows:ServiceType", "OGC WMTS")
    _add(service, "ows:ServiceTypeVersion", "1.0.0")
    contents = _add(root, "Contents")
    for layer, revision in shown:
        _describe(contents, layer, revision, url)
    for low, high in sorted({(layer.minzoom, layer.maxzoom) for layer, _ in shown}):
        _tabulate(contents, low, high)
    _add(root, "ServiceMetadataURL").set(_name("xlink:href"), address)
    ET.indent(root, " ")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root) + b"\n"


def _describe(contents: ET.Element, layer: Layer, revision: str, url: str) -> None:
    """Add a layer."""
    about = _add(contents, "Layer")
    _add(about, "ows:Title", layer.title)
    if abstract := " ".join(filter(None, (layer.description, plain_markup(layer.attribution)))):
        _add(about, "ows:Abstract", abstract)
    west, south, east, north = layer.bounds.plain
    box = _add(about, "ows:WGS84BoundingBox")
    _add(box, "ows:LowerCorner", f"{west!r} {south!r}")
    _add(box, "ows:UpperCorner", f"{east!r} {north!r}")
    _add(about, "ows:Identifier", layer.id)
    style = _add(about, "Style")
    style.set("isDefault", "true")
    _add(style, "ows:Identifier", "default")
    _add(about, "Format", CONTENT_TYPES[layer.format])
    link = _add(about, "TileMatrixSetLink")
    _add(link, "TileMatrixSet", _set(layer.minzoom, layer.maxzoom))
    limits = _add(link, "TileMatrixSetLimits")
    for z in range(layer.minzoom, layer.maxzoom + 1):
        ranges = layer.ranges(z)
        if not ranges:
            continue
        limit = _add(limits, "TileMatrixLimits")
        _add(limit, "TileMatrix", str(z))
        _add(limit, "MinTileRow", str(min(each.y0 for each in ranges)))
        _add(limit, "MaxTileRow", str(max(each.y1 for each in ranges) - 1))
        _add(limit, "MinTileCol", str(min(each.x0 for each in ranges)))
        _add(limit, "MaxTileCol", str(max(each.x1 for each in ranges) - 1))
    resource = _add(about, "ResourceURL")
    resource.set("format", CONTENT_TYPES[layer.format])
    resource.set("resourceType", "tile")
    names = tile_template(layer.id, layer.format, ("{TileMatrix}", "{TileCol}", "{TileRow}"))
    resource.set("template", f"{url}/{names}?v={revision}")


def _tabulate(contents: ET.Element, low: int, high: int) -> None:
    """Add the tile matrix set of a range of zooms."""
    grid = _add(contents, "TileMatrixSet")
    _add(grid, "ows:Identifier", _set(low, high))
    _add(grid, "ows:SupportedCRS", "urn:ogc:def:crs:EPSG::3857")
    if low == 0:  # only a set with the first scales is well-known
        _add(grid, "WellKnownScaleSet", "urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible")
    for z in range(low, high + 1):
        matrix = _add(grid, "TileMatrix")
        _add(matrix, "ows:Identifier", str(z))
        _add(matrix, "ScaleDenominator", repr(SCALE / 2**z))
        _add(matrix, "TopLeftCorner", ORIGIN)
        for name, number in (("TileWidth", TILE), ("TileHeight", TILE), ("MatrixWidth", 2**z), ("MatrixHeight", 2**z)):
            _add(matrix, name, str(number))


def _set(low: int, high: int) -> str:
    return f"{SET}-{low}-{high}"


def _add(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, _name(name))
    element.text = text
    return element


def _name(name: str) -> str:
    prefix, _, local = name.rpartition(":")
    return f"{{{SPACES[prefix]}}}{local}"
