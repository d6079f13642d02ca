"""A layer as HTML, for notebooks."""

from __future__ import annotations

import base64
from html import escape

from seeder.serve.thumbnail import thumbnail
from tiler.errors import TilerError
from tiler.layers.catalog import Layer
from tiler.storage.store import Store


def html_of(layer: Layer, sources: Store) -> str:
    """A thumbnail of the layer, or the error of rendering it, and its facts as a table; text is escaped."""
    try:
        data = base64.b64encode(thumbnail(layer, sources)).decode()
        picture = f'<img alt="{escape(layer.id)}" src="data:image/png;base64,{data}">'
    except TilerError as error:
        picture = f"<em>{escape(str(error))}</em>"
    facts = {
        "layer": layer.id,
        "title": layer.title if layer.title != layer.id else "",
        "description": layer.description,
        "revision": layer.revision,
        "zooms": f"{layer.minzoom}-{layer.maxzoom}",
        "bounds (W, S, E, N)": ", ".join(f"{edge:.6g}" for edge in layer.bounds),
        "format": layer.format,
        "source": layer.source if layer.bake is None else "baked",
        "style": layer.style.terrain,
        "attribution": layer.attribution,
    }
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items() if value)
    return f"<div>{picture}<table>{''.join(rows)}</table></div>"
