"""Export a layer: fetch stored tiles, write an archive, read it back, move it into place."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from seeder.archive.export import Export, Kind, Source, Target
from seeder.cache.audit import Audit
from seeder.cache.missing import lacking, stored_planned
from seeder.cache.query import TileQuery
from seeder.operations.render_missing import rendered
from seeder.operations.report import Report
from seeder.operations.select import select_tiles
from seeder.select.blocks import Count
from seeder.workers.local_pool import processes_for
from tiler.errors import BadOption
from tiler.ingest.unchanged import check_unchanged
from tiler.keys import Format, Scale
from tiler.layers.catalog import load_layer
from tiler.layers.tilejson import pending
from tiler.settings import Settings
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`overwrite` replaces an archive; `render` adds missing tiles, by `jobs` processes (None: as many as pay)."""

    overwrite: bool = False
    render: bool = False
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """Facts of an archive. `rendered` of its tiles are not stored.

    An earlier run fetched or rendered `resumed` tiles. `left_out` selected tiles were stored, but are not in it.
    """

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
    rendered: int = 0


def export(
    layer: str,
    file: str,
    query: TileQuery,
    settings: Settings,
    report: Report,
    options: ExportOptions = ExportOptions(),
) -> Exported:
    """Write the selected stored tiles into FILE.pmtiles, FILE.mbtiles or a folder.

    With `options.render`, this machine also renders the tiles that `seed` would, into the archive alone.
    Tiles are kept in FILE.part: after an interruption the same call resumes from it.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile is selected or stored, or the archive exists already.
        BadSource, SourceReadError, WorkerDied: a tile cannot be rendered; there is no archive.
        StoreError: a tile cannot be read, or the archive cannot be written.
        Superseded: the layer changed to another revision meanwhile.
    """
    target = Target.parse(file, overwrite=options.overwrite)
    stores = Stores.open(settings)
    check_apart(target.path, stores)
    current = load_layer(stores.sources, layer)
    if query.state == "missing":
        raise BadOption("missing tiles cannot be exported: leave --missing out, or seed them first")
    if options.render and query.state:
        raise BadOption("--render also exports tiles that are not stored: leave --existing out")
    if options.render:
        check_unchanged(current)
    selection, counts = select_tiles(replace(query, state=None), current, stores, report)
    variant = query.variant(current)
    old = pending(current, stores)
    if old:
        report.note(f"tiles of revision {old} are stored: `seeder invalidate {layer} --all --reseed` re-renders them")
    hint = f"interrupted: run the same command again to resume from {target.part.name}"
    with report.interruptible(hint):
        total = Count.total(counts).tiles
        with report.stage(f"list {layer}", total, interrupted=hint) as advance:
            audit = Audit.of(current, selection, variant, stores)
            source = Source(current, variant, stores, stored_planned(audit, advance))
        if options.render:
            with report.stage("look for missing", total, interrupted=hint) as advance:
                source = replace(source, lacking=lacking(audit, advance))
        with Export.open(source, target) as work:
            made = _rendered(work, settings, report, hint, options.jobs) if source.lacking else 0
            return replace(_exported(work, report, hint), rendered=made)


def check_apart(path: Path, stores: Stores) -> None:
    """Refuse an archive at `path` that would lie among the tiles or the sources, or replace them.

    Raises:
        BadOption: it would.
    """
    place = path.resolve()
    for root in (stores.tiles.root, stores.sources.root):
        if root and (place.is_relative_to(root.resolve()) or root.resolve().is_relative_to(place)):
            raise BadOption(f"{path} lies in the data folder: write the archive elsewhere")


def _rendered(work: Export, settings: Settings, report: Report, hint: str, jobs: int | None) -> int:
    """Render the tiles of the archive that are not stored; returns how many have data."""
    source, number = work.source, len(work.source.lacking)
    workers = jobs or processes_for(number * source.variant.scale**2)
    known = number - sum(map(len, work.unrendered())) if work.had else 0
    with report.stage("render", number, done=known, interrupted=hint) as advance:
        blocks = rendered(source.layer, source.variant, work.unrendered(), settings, jobs=workers)
        with closing(blocks):
            return known + work.add(blocks, advance)


def _exported(work: Export, report: Report, hint: str) -> Exported:
    """Fetch, write, verify and move the archive into place."""
    source, target = work.source, work.target
    if work.begun:
        report.note(f"{target.part.name} held other tiles ({work.begun}): starting over")
    elif work.had:
        report.note(f"{_tiles(work.had)} already fetched: resuming from {target.part.name}")
    fetched = work.had if not source.lacking else 0
    with report.stage("fetch", len(source.tiles), done=fetched, interrupted=hint) as advance:
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
