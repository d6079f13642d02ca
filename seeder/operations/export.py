"""Export a layer: gather stored tiles, write an archive of them, read it back, put it in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from seeder.archive.export import Export, Kind, Source, Target
from seeder.cache.audit import Audit
from seeder.cache.missing import stored_planned
from seeder.cache.query import TileQuery
from seeder.operations.report import Report
from seeder.operations.select import select_tiles
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


def export(
    layer: str, file: str, query: TileQuery, settings: Settings, report: Report, *, overwrite: bool = False
) -> Exported:
    """Write the stored tiles that are selected into FILE.pmtiles, FILE.mbtiles or a folder.

    Nothing is rendered. Tiles are gathered in FILE.part, with which the same call goes on after an interruption.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile is selected or stored, or something is in the archive's place.
        StoreError: a tile cannot be read, or the archive cannot be written.
        Superseded: the layer got another revision meanwhile.
    """
    target = Target.parse(file, overwrite=overwrite)
    stores = Stores.open(settings)
    check_apart(target.path, stores)
    found = load_layer(stores.sources, layer)
    if query.state == "missing":
        raise BadOption("what is missing cannot be exported: leave --missing out, or seed it")
    selection, counts = select_tiles(replace(query, state=None), found, stores, report)
    variant = query.variant(found)
    old = shown(layer, stores.tiles)
    if old not in ("", found.revision):
        report.note(f"tiles of revision {old} are stored: `seeder invalidate {layer} --all --reseed` renews them")
    hint = f"interrupted: the same command goes on with {target.part.name}"
    with report.interruptible(hint):
        total = Count.total(counts).tiles
        with report.stage(f"list {layer}", total, interrupted=hint) as advance:
            tiles = stored_planned(Audit.of(found, selection, variant, stores), advance)
        with Export.open(Source(found, variant, stores, tiles), target) as work:
            return _exported(work, report, hint)


def check_apart(path: Path, stores: Stores) -> None:
    """Nothing, if an archive at `path` lies apart from the tiles and the sources.

    Raises:
        BadOption: it lies among them, or would take their place.
    """
    place = path.resolve()
    for root in (stores.tiles.root, stores.sources.root):
        if root and (place.is_relative_to(root.resolve()) or root.resolve().is_relative_to(place)):
            raise BadOption(f"{path} lies in the data folder: write the archive elsewhere")


def _exported(work: Export, report: Report, hint: str) -> Exported:
    """What was made, when it is in its place."""
    source, target = work.source, work.target
    if work.begun:
        report.note(f"{target.part.name} held other tiles ({work.begun}): begun anew")
    elif work.had:
        report.note(f"{_tiles(work.had)} of {target.part.name} are there already")
    with report.stage("fetch", len(source.tiles), done=work.had, interrupted=hint) as advance:
        left = work.fetch(advance)
    if left:
        report.note(f"{_tiles(left)} left out: gone since they were listed, or without a byte")
    tiles, distinct = len(work.part), work.part.distinct
    for label, step in (("write", work.write), ("verify", work.check)):
        with report.stage(label, tiles, interrupted=hint) as advance:
            step(advance)
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


def _tiles(number: int) -> str:
    return f"{number:,} tile{'' if number == 1 else 's'}"
