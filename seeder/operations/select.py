"""Select and count the tiles of a query; note the listed tiles that are left out."""

from __future__ import annotations

from seeder.cache.query import SpatialFilter, TileQuery
from seeder.operations.report import Report
from seeder.select.blocks import Count
from seeder.select.selection import Selection, count, regions
from tiler.grid import WIDEST, Bounds
from tiler.layers.catalog import Layer
from tiler.storage.store import Stores


def select_tiles(query: TileQuery, layer: Layer, stores: Stores, report: Report) -> tuple[Selection, dict[int, Count]]:
    """The selected tiles of `layer` and their number by zoom; notes listed tiles left out and traffic covered.

    A selection is empty only if it was narrowed to missing or stored tiles.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
        BadOption: no tile is selected.
        StoreError: the stored tiles could not be listed.
    """
    query.check_listed()
    for box in query.boxes:
        if box.crosses and box.width > WIDEST:
            other = Bounds(box.east, box.south, box.west, box.north)
            why = f"box {box} spans {box.width:.4g} degrees across the antimeridian"
            report.note(f"{why}: if west and east are swapped, write {other}")
    if query.state:
        with report.stage(f"look for {layer.id}", None, interrupted="interrupted: nothing was changed") as advance:
            selection, traffic = query.selection(layer, stores, advance)
        counts = {region.z: region.total() for region in regions(layer, selection)}
    else:
        selection, traffic = query.selection(layer, stores, int)
        counts = count(layer, selection)
        if query.places.shapes and not counts[max(counts)].tiles:
            hint = "the shapes lie outside the layer, or their longitudes and latitudes are swapped"
            report.note(f"no tile of zoom {max(counts)} is selected: {hint}")
    selected = Count.total(counts).tiles
    listed = sum(map(len, query.places.lists))
    if query.places.lists and selected != listed:
        alone = query == TileQuery(
            places=SpatialFilter(lists=query.places.lists), scale=query.scale, format=query.format
        )
        which = "outside the layer" if alone else "outside the layer, or excluded by another selector"
        report.note(f"{listed - selected:,} of {listed:,} listed tiles are left out: {which}")
    if traffic:
        served = traffic.served({region.z: region for region in regions(layer, selection)})
        every = traffic.requests_at(selection.zooms)
        share = f"{served:,} of {every:,} requests for these zooms ({served / max(1, every):.1%})"
        report.note(f"{selected:,} tile{'' if selected == 1 else 's'} would have served {share}")
    return selection, counts
