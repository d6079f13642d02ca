"""A query's tiles of a layer, counted; what is left out of what was asked is noted."""

from __future__ import annotations

from seeder.cache.query import SpatialFilter, TileQuery
from seeder.operations.report import Report
from seeder.select.blocks import Count
from seeder.select.selection import Selection, count, regions
from tiler.layers.catalog import Layer
from tiler.storage.store import Stores


def select_tiles(query: TileQuery, layer: Layer, stores: Stores, report: Report) -> tuple[Selection, dict[int, Count]]:
    """The tiles of `layer` that are meant, and how many a zoom; notes what is left out, and what traffic is served.

    They are none only if the query asks for missing or stored tiles and leaves none.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
        BadOption: not one tile is selected.
        StoreError: the stored tiles could not be listed.
    """
    query.check_listed()
    if query.state:
        with report.stage(f"look for {layer.id}", None, interrupted="interrupted: nothing was changed") as advance:
            selection, traffic = query.selection(layer, stores, advance)
        counts = {region.z: region.total() for region in regions(layer, selection)}
    else:
        selection, traffic = query.selection(layer, stores, int)
        counts = count(layer, selection)
        if query.places.shapes and not counts[max(counts)].tiles:
            hint = "the shapes lie beside the layer, or their longitudes and latitudes are swapped"
            report.note(f"no tile of zoom {max(counts)} is selected: {hint}")
    found = Count.total(counts).tiles
    listed = sum(map(len, query.places.lists))
    if query.places.lists and found != listed:
        alone = query == TileQuery(
            places=SpatialFilter(lists=query.places.lists), scale=query.scale, format=query.format
        )
        which = "not among the layer's" if alone else "not among the layer's, or not selected otherwise"
        report.note(f"{listed - found:,} of {listed:,} listed tiles are {which}, and left out")
    if traffic:
        served = traffic.served({region.z: region for region in regions(layer, selection)})
        every = traffic.asked(selection.zooms)
        share = f"{served:,} of {every:,} requests for these zooms ({served / max(1, every):.1%})"
        report.note(f"{found:,} tile{'' if found == 1 else 's'} would have served {share}")
    return selection, counts
