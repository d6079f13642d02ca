"""An ingested layer as text and as JSON, and the next steps after an ingest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from seeder.cli.grouping import quiet
from seeder.cli.messages import say_next, typed_place
from tiler.keys import tile_template

if TYPE_CHECKING:
    from seeder.cli.ingest_seed import Seeding
    from tiler.ingest.ingest import Ingested
    from tiler.layers.catalog import Layer
    from tiler.storage.store import Stores


def print_and_seed(done: Ingested, seeding: Seeding | None, stores: Stores, *, as_json: bool) -> None:
    """Print an ingested layer; seed it, or print the next steps.

    Raises:
        Exit: with 1 if tiles failed or are missing.
    """
    print_ingested(done, as_json=as_json)
    if seeding:
        seeding.run(as_json=as_json)
    elif not as_json and not quiet():
        _say_next_steps(done, stores)


def _say_next_steps(done: Ingested, stores: Stores) -> None:
    """Print the address of the tiles, a smaller format, and the next command."""
    for line in _next_steps(done, stores):
        say_next(line)


def print_ingested(done: Ingested, *, as_json: bool) -> None:
    """Print the layer."""
    from tiler.layers.catalog import facts

    if as_json:
        outcome = {"fresh": done.fresh, "why": done.why, "baked": done.baked, "reused": done.reused}
        outcome["tile_bytes"] = done.tile_bytes
        click.echo(json.dumps({**facts(done.layer), **outcome}))
    else:
        click.echo("\n".join(_ingested(done)))


def _ingested(done: Ingested) -> Iterator[str]:
    layer = done.layer
    if not done.fresh:
        yield f"layer {layer.id} is up to date: revision {layer.revision}"
        if done.described:
            yield "its title, description or legend changed"
        return
    scenes = f", {layer.scenes:,} scene{'' if layer.scenes == 1 else 's'}" if layer.scenes else ""
    zooms = f"zooms {layer.minzoom}-{layer.maxzoom}"
    yield f"layer {layer.id}: revision {layer.revision}, {zooms}, {layer.full_format}{scenes}"
    if layer.title != layer.id:
        yield f"title {layer.title}"
    west, _, east, _ = layer.bounds
    if done.reused or (layer.scenes and done.baked):
        earlier = "as before" if layer.previous or not done.reused else "already baked"
        yield f"{done.baked:,} of {done.baked + done.reused:,} parts baked, {done.reused:,} {earlier}"
    yield f"bounds {layer.bounds.rounded}" + (" (across the antimeridian)" if west > east else "")
    if done.why:
        yield f"format {layer.format}, chosen by --format auto: {done.why}"
    if layer.style.intervals:
        yield contour_line(layer)
    if done.survey.stretched:
        ranges = " ".join(f"{low:g},{high:g}" for low, high in layer.style.rescale)
        yield f"rescale {ranges} (the 2nd to the 98th percentile; --rescale MIN,MAX overrides)"


def contour_line(layer: Layer) -> str:
    """The metres between contours, of the zooms with tiles."""
    zooms: dict[float, list[int]] = {}
    for z in range(layer.maxzoom, layer.minzoom - 1, -1):
        zooms.setdefault(layer.style.interval(z), []).append(z)
    (own, _), *others = zooms.items()
    lower = "".join(f", {metres:g} m up to zoom {max(each)}" for metres, each in others)
    return f"contours every {own:g} m, every fifth thicker{lower} (--interval METRES overrides)"


def _next_steps(done: Ingested, stores: Stores) -> Iterator[str]:
    """The address of the tiles, a smaller format, and the next command."""
    from tiler.ingest.choose_format import smaller_format
    from tiler.layers.tilejson import pending

    layer = done.layer
    stored = pending(layer, stores)
    yield f"tiles: {stores.url}/{tile_template(layer.id, layer.format)}"
    if done.fresh and (saving := smaller_format(layer, stores.sources)):
        yield f"--format auto would choose {saving}"
    seed = f"seed {layer.id} --zooms {layer.minzoom}-{layer.maxzoom}"
    refresh = f"seeder refresh {layer.id}"
    if stored:
        command, why = refresh, f" (stored tiles are of revision {stored})"
    elif done.fresh:
        command, why = seed, ""
    else:
        return
    if done.doubts:
        yield f"next: check the warnings above. Ingest again with other options, or run `{command}`{why}"
    else:
        yield f"next: {command}{typed_place()}{why}"
