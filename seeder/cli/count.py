"""The commands `count` and `list`: the number of selected tiles, and the tiles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from seeder.cli.common import json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command
from seeder.cli.messages import guarded, table
from seeder.cli.selection_options import order_option, selected, selectors
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.cache.query import TileQuery
    from seeder.select.order import Order


@command("count")
@layer_argument
@json_option
@guarded
@located
@selectors
def count_tiles(layer: str, query: TileQuery, as_json: bool, settings: Settings) -> None:
    """Count the selected tiles of each zoom.

    The count is exact, and quick at any size.

    \b
    Examples:
      seeder count alps --zooms 5-14
      seeder count alps --area 0-10=world --area 11-16=towns.geojson --json
    """
    from seeder.select.blocks import Count
    from tiler.layers.catalog import load_layer
    from tiler.storage.store import Stores

    stores = Stores.open(settings)
    _, counts = selected(query, load_layer(stores.sources, layer), stores)
    total = Count.total(counts).tiles
    if as_json:
        click.echo(json.dumps({"tiles": total, "by_zoom": {str(z): each.tiles for z, each in counts.items()}}))
        return
    rows = [(str(z), f"{each.tiles:,}", f"{each.blocks:,}") for z, each in counts.items()]
    rows.append(("all", f"{total:,}", f"{Count.total(counts).blocks:,}"))
    click.echo(table(rows, ("zoom", "tiles", "blocks"), 3 * ["right"]))


@command("list")
@layer_argument
@json_option
@guarded
@located
@selectors
@order_option("Output")
def list_tiles(layer: str, query: TileQuery, order: Order, as_json: bool, settings: Settings) -> None:
    """List the selected tiles as z/x/y.

    Print one tile per line; with --json, print [x, y, z] as mercantile does.

    \b
    Examples:
      seeder list alps --zooms 5-14 --missing
      seeder list alps --zooms 12 --geojson town.geojson --json | supermercado union
    """
    from seeder.select.selection import regions
    from seeder.select.tilelist import json_line, tile_line
    from tiler.layers.catalog import load_layer
    from tiler.storage.store import Stores

    stores = Stores.open(settings)
    loaded = load_layer(stores.sources, layer)
    selection, _ = selected(query, loaded, stores)
    for block_mask in order.block_masks(regions(loaded, selection)):
        click.echo("\n".join(map(json_line if as_json else tile_line, block_mask.block.tiles(block_mask.tiles))))
