"""The commands `count` and `list`: what a selection comes to, and which tiles it is."""

from __future__ import annotations

import json

import click
from tabulate import tabulate

from seeder.cache.query import TileQuery
from seeder.cli.common import guarded, json_option, located
from seeder.cli.selection_options import order_option, selected, selectors
from seeder.select.blocks import Count
from seeder.select.order import Order
from seeder.select.selection import regions
from seeder.select.tilelist import json_line, tile_line
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores


@click.command("count")
@click.argument("layer")
@json_option
@guarded
@located
@selectors
def count_tiles(layer: str, query: TileQuery, as_json: bool, settings: Settings) -> None:
    """Print how many tiles of LAYER are selected, a zoom at a time. Exact, and quick however many they are.

    \b
    Examples:
      seeder count alps --zooms 5-14
      seeder count alps --area 0-10=world --area 11-16=towns.geojson --json
    """
    stores = Stores.open(settings)
    _, counts = selected(query, load_layer(stores.sources, layer), stores)
    total = Count.total(counts).tiles
    if as_json:
        click.echo(json.dumps({"tiles": total, "by_zoom": {str(z): each.tiles for z, each in counts.items()}}))
        return
    rows = [(str(z), f"{each.tiles:,}", f"{each.blocks:,}") for z, each in counts.items()]
    rows.append(("all", f"{total:,}", f"{Count.total(counts).blocks:,}"))
    click.echo(tabulate(rows, headers=("zoom", "tiles", "blocks"), colalign=3 * ["right"], disable_numparse=True))


@click.command("list")
@click.argument("layer")
@json_option
@guarded
@located
@selectors
@order_option
def list_tiles(layer: str, query: TileQuery, order: Order, as_json: bool, settings: Settings) -> None:
    """Print the tiles of LAYER that are selected, z/x/y a line; with --json [x, y, z], as mercantile has them.

    \b
    Examples:
      seeder list alps --zooms 5-14 --missing
      seeder list alps --zooms 12 --geojson town.geojson --json | supermercado union
    """
    stores = Stores.open(settings)
    found = load_layer(stores.sources, layer)
    selection, _ = selected(query, found, stores)
    for block_mask in order.block_masks(regions(found, selection)):
        click.echo("\n".join(map(json_line if as_json else tile_line, block_mask.block.tiles(block_mask.tiles))))
