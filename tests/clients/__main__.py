"""The table that `scripts/clients` prints."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from tabulate import tabulate

from tests.clients import gdal, mapproxy, qgis, web
from tests.clients.deployed import deployed_path
from tests.clients.run import Row, make_raster, tried, truth
from tests.clients.sites import local

CLIENTS = {client.name: client for client in (*qgis.CLIENTS, *gdal.CLIENTS, *web.CLIENTS, *mapproxy.CLIENTS)}
PLACES = {"local": local, "deployed": deployed_path}
HEAD = ("client", "version", "from", "unstored tile drawn", "then stored", "stored tile drawn", "edge drawn")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--client", "names", multiple=True, type=click.Choice(list(CLIENTS)), help="Only this client.")
@click.option("--from", "places", multiple=True, type=click.Choice(list(PLACES)), help="Only from this server.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep the pictures in this folder.")
def main(names: tuple[str, ...], places: tuple[str, ...], keep: Path | None) -> None:
    """Show a tile in real map clients, before it is stored and after.

    The exit code is 1 if a client does not draw it, or if it is not stored thereafter.
    """
    rows: list[Row] = []
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        raster = make_raster(Path(name))
        wanted = truth(raster)
        for place in places or PLACES:
            folder = Path(name) / place
            folder.mkdir()
            with PLACES[place](raster, folder) as made:
                for client in names or CLIENTS:
                    click.echo(f"{client}, {place}", err=True)
                    rows.append(tried(CLIENTS[client], made, wanted, keep))
    click.echo(tabulate(rows, HEAD, tablefmt="plain", disable_numparse=True))
    sys.exit(not all(row.good for row in rows))


main(prog_name="scripts/clients")
