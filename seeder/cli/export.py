"""The command `export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

from seeder.cli.common import jobs_option, json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, complete_file, option
from seeder.cli.messages import count_of_tiles, guarded
from seeder.cli.progress import TerminalReport
from seeder.cli.selection_options import selectors
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.cache.query import TileQuery


@command("export")
@layer_argument
@click.argument("file", metavar="FILE.pmtiles|FILE.mbtiles|DIR", shell_complete=complete_file)
@option("--overwrite", group="Safety", is_flag=True, help="Replace an existing archive.")
@option(
    "--render",
    group="Render",
    is_flag=True,
    help="Also render missing tiles, into the archive only; store none of them.",
)
@partial(jobs_option, default=None)
@json_option
@guarded
@located
@selectors
def export(
    layer: str,
    file: str,
    overwrite: bool,
    render: bool,
    jobs: int | None,
    query: TileQuery,
    as_json: bool,
    settings: Settings,
) -> None:
    """Write stored tiles to PMTiles, MBTiles or a folder.

    Without --render, nothing is rendered. Tiles are collected in FILE.part, and each is read back before the file gets
    its name. Run the same command again after an interruption to continue.

    \b
    Examples:
      seeder export alps alps.pmtiles
      seeder export alps valais.mbtiles --zooms 5-14 --bbox 6.8,45.8,8.5,46.7
      seeder export alps alps.pmtiles --render --zooms 0-12
      seeder export alps tiles/ --stack tile-seeder-dev
    """
    from seeder.operations.export import ExportOptions
    from seeder.operations.export import export as export_tiles

    options = ExportOptions(overwrite, render, jobs)
    done = export_tiles(layer, file, query, settings, TerminalReport(), options)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        tiles = f"{count_of_tiles(done.tiles)}, {done.distinct:,} of them distinct, in {file}"
        same = "stored or rendered" if done.rendered else "stored"
        click.echo(f"{tiles}: {done.bytes / 1e6:,.1f} MB, each read back and identical to the {same} tile")
