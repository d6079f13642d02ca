"""Export a layer: fetch stored tiles, write an archive, read it back, move it into place."""

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
from tiler.layers.catalog import load_layer
from tiler.layers.tilejson import pending
from tiler.settings import Settings
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class Exported:
    """Facts of an archive. An earlier run fetched `resumed` of its tiles; `left_out` selected tiles are not in it."""

    layer: str
    revision: str
    file: str
    kind: Kind
    format: Format
    scale: Scale
    tiles: int
    distinct: int  # tiles with different bytes
    resumed: int
    left_out: int
    bytes: int


def export(
    layer: str, file: str, query: TileQuery, settings: Settings, report: Report, *, overwrite: bool = False
) -> Exported:
    """Write the selected stored tiles into FILE.pmtiles, FILE.mbtiles or a folder; nothing is rendered.

    Fetched tiles are kept in FILE.part: after an interruption the same call resumes from it.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile is selected or stored, or the archive exists already.
        StoreError: a tile cannot be read, or the archive cannot be written.
        Superseded: the layer changed to another revision meanwhile.
    """
    target = Target.parse(file, overwrite=overwrite)
    stores = Stores.open(settings)
    check_apart(target.path, stores)
    current = load_layer(stores.sources, layer)
    if query.state == "missing":
        raise BadOption("missing tiles cannot be exported: leave --missing out, or seed them first")
    selection, counts = select_tiles(replace(query, state=None), current, stores, report)
    variant = query.variant(current)
    old = pending(current, stores)
    if old:
        report.note(f"tiles of revision {old} are stored: `seeder invalidate {layer} --all --reseed` re-renders them")
    hint = f"interrupted: run the same command again to resume from {target.part.name}"
    with report.interruptible(hint):
        total = Count.total(counts).tiles
        with report.stage(f"list {layer}", total, interrupted=hint) as advance:
            tiles = stored_planned(Audit.of(current, selection, variant, stores), advance)
        with Export.open(Source(current, variant, stores, tiles), target) as work:
            return _exported(work, report, hint)


def check_apart(path: Path, stores: Stores) -> None:
    """Refuse an archive at `path` that would lie among the tiles or the sources, or replace them.

    Raises:
        BadOption: it would.
    """
    place = path.resolve()
    for root in (stores.tiles.root, stores.sources.root):
        if root and (place.is_relative_to(root.resolve()) or root.resolve().is_relative_to(place)):
            raise BadOption(f"{path} lies in the data folder: write the archive elsewhere")


def _exported(work: Export, report: Report, hint: str) -> Exported:
    """Fetch, write, verify and move the archive into place."""
    source, target = work.source, work.target
    if work.begun:
        report.note(f"{target.part.name} held other tiles ({work.begun}): starting over")
    elif work.had:
        report.note(f"{_tiles(work.had)} already fetched: resuming from {target.part.name}")
    with report.stage("fetch", len(source.tiles), done=work.had, interrupted=hint) as advance:
        left = work.fetch(advance)
    if left:
        report.note(f"{_tiles(left)} left out: removed since the listing, or zero bytes long")
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
