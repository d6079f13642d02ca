"""The command `export`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from seeder.cache.query import TileQuery
from seeder.cli.common import TerminalReport, guarded, json_option, located, tiles_said
from seeder.cli.selection_options import selectors
from seeder.operations.export import export as export_tiles
from tiler.settings import Settings


@click.command("export")
@click.argument("layer")
@click.argument("file", metavar="FILE.pmtiles|FILE.mbtiles|DIR")
@click.option("--overwrite", is_flag=True, help="Replace an archive of that name.")
@json_option
@guarded
@located
@selectors
def export(layer: str, file: str, overwrite: bool, query: TileQuery, as_json: bool, settings: Settings) -> None:
    """Write the stored tiles of LAYER into a PMTiles or an MBTiles file, or into a folder.

    Nothing is rendered: what is not stored is not in it. Tiles are gathered in FILE.part, so that the same command
    takes up a run that was cut off. Before FILE gets its name every tile is read back from it.

    \b
    Examples:
      seeder export alps alps.pmtiles
      seeder export alps valais.mbtiles --zooms 5-14 --bbox 6.8,45.8,8.5,46.7
      seeder export alps tiles/ --stack tile-seeder-dev
    """
    done = export_tiles(layer, file, query, settings, TerminalReport(), overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        told = f"{tiles_said(done.tiles)}, {done.distinct:,} of them distinct, in {file}"
        click.echo(f"{told}: {done.bytes / 1e6:,.1f} MB, all read back as they are stored")
