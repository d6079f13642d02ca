"""The command `export`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import click

from seeder.archive.export import Export, Kind, Source, Target
from seeder.cache.audit import Audit
from seeder.cache.missing import stored_planned
from seeder.cache.query import TileQuery
from seeder.cli.common import guarded, interruptible, json_option, located, say, tile_bar, tiles_said
from seeder.cli.selection_options import selected, selectors
from seeder.select.blocks import Count
from tiler.errors import BadOption
from tiler.keys import Format, Scale
from tiler.layers.catalog import load_layer, shown
from tiler.settings import Settings
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class Exported:
    """What an archive holds. Of its tiles `resumed` were fetched by an earlier run; `left_out` are not among them."""

    layer: str
    revision: str
    file: str
    kind: Kind
    format: Format
    scale: Scale
    tiles: int
    distinct: int  # tiles that are unlike each other
    resumed: int
    left_out: int
    bytes: int


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
    target = Target.parse(file, overwrite=overwrite)
    stores = Stores.open(settings)
    found = load_layer(stores.sources, layer)
    if query.state == "missing":
        raise BadOption("what is missing cannot be exported: leave --missing out, or seed it")
    selection, counts = selected(replace(query, state=None), found, stores)
    variant = query.variant(found)
    old = shown(layer, stores.tiles)
    if old not in ("", found.revision):
        say(f"tiles of revision {old} are stored: `seeder invalidate {layer} --all --reseed` renews them", err=True)
    with interruptible(f"interrupted: the same command goes on with {target.part.name}"):
        with tile_bar(f"list {layer}", Count.total(counts).tiles) as bar:
            tiles = stored_planned(Audit.of(found, selection, variant, stores), bar.update)
        with Export.open(Source(found, variant, stores, tiles), target) as work:
            done = _exported(work)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        told = f"{tiles_said(done.tiles)}, {done.distinct:,} of them distinct, in {file}"
        click.echo(f"{told}: {done.bytes / 1e6:,.1f} MB, all read back as they are stored")


def _exported(work: Export) -> Exported:
    """What was made, when it is in its place."""
    source, target = work.source, work.target
    if work.begun:
        click.echo(f"{target.part.name} held other tiles ({work.begun}): begun anew", err=True)
    elif work.had:
        click.echo(f"{tiles_said(work.had)} of {target.part.name} are there already", err=True)
    with tile_bar("fetch", len(source.tiles), work.had) as bar:
        left = work.fetch(bar.update)
    if left:
        click.echo(f"{tiles_said(left)} left out: gone since they were listed, or without a byte", err=True)
    tiles, distinct = len(work.part), work.part.distinct
    for what, step in (("write", work.write), ("verify", work.check)):
        with tile_bar(what, tiles) as bar:
            step(bar.update)
    work.place()
    return Exported(
        layer=source.layer.id,
        revision=work.origin["revision"],
        file=str(target.path),
        kind=target.kind,
        format=source.variant.format,
        scale=source.variant.scale,
        tiles=tiles,
        distinct=distinct,
        resumed=work.had,
        left_out=left,
        bytes=target.size,
    )
