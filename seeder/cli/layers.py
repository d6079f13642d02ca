"""The command `layers`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from seeder.cli.common import check_folder, json_option, located, no_layers
from seeder.cli.grouping import command
from seeder.cli.messages import guarded, note, table
from tiler.settings import Settings

if TYPE_CHECKING:
    from tiler.layers.catalog import Layer

HEADERS = ("layer", "title", "revision", "zooms", "format", "bounds", "source")


@command("layers")
@json_option
@guarded
@located
def layers(as_json: bool, settings: Settings) -> None:
    """List the layers.

    \b
    Examples:
      seeder layers
      seeder layers --stack tile-seeder-dev --json
    """
    from tiler.layers.catalog import facts, list_layers, load_layer
    from tiler.storage.store import Stores

    check_folder(settings)
    sources = Stores.open(settings).sources
    loaded = [load_layer(sources, name) for name in list_layers(sources)]
    if as_json:
        for layer in loaded:
            click.echo(json.dumps(facts(layer)))
        return
    rows = [
        (
            layer.id,
            layer.title if layer.title != layer.id else "",
            layer.revision,
            f"{layer.minzoom}-{layer.maxzoom}",
            layer.full_format,
            layer.bounds.rounded,
            _kind(layer),
        )
        for layer in loaded
    ]
    if rows:
        click.echo(table(rows, HEADERS))
    else:
        note(no_layers(settings))


def _kind(layer: Layer) -> str:
    """The scenes of a layer, or the kind of its raster: the raster itself, its lossless copy, or finished tiles."""
    if layer.bake is None:
        return "virtual"
    if layer.scenes:
        scenes = f"{layer.scenes:,} scene{'' if layer.scenes == 1 else 's'}"
        return f"{scenes}, finished" if layer.bake.finished else scenes
    return "finished" if layer.bake.finished else "baked"
