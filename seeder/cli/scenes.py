"""The command `scenes`, and the options of `ingest` and `refresh` for many scenes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.common import json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import guarded, table
from tiler.choices import OVERLAPS, Overlap
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.operations.scenes import Sources
    from seeder.operations.upload_scenes import Uploads

Command = Callable[..., None]
MakeSources = Callable[..., "Sources"]  # from names and, with --upload, where to
HEADERS = ("scene", "crs", "resolution", "date", "bounds")


def scene_options(command: Command) -> Command:
    """The options of a list of scenes; the command gets a function from names to `Sources` as `make_sources`."""

    @option(
        "--overlap",
        group="Select",
        type=click.Choice(OVERLAPS),
        help="Scene on top where scenes overlap: the last or first of the list, the newest, the finest.  "
        "[default: last]",
    )
    @option("--asset", group="Select", metavar="NAME", default="", help="Use this asset of each STAC item.")
    @option(
        "--checksum", group="Safety", is_flag=True, help="Recognize changed scenes by content, not by size and time."
    )
    @option(
        "--upload",
        group="Safety",
        is_flag=True,
        help="Copy files of this machine to the private bucket, for workers to read them there.",
    )
    @wraps(command)
    def with_sources(
        *args: Any, overlap: Overlap | None, asset: str, checksum: bool, upload: bool, **kwargs: Any
    ) -> None:
        def make_sources(names: tuple[str, ...], uploads: Callable[[], Uploads]) -> Sources:
            from seeder.operations.scenes import Sources

            return Sources(names, overlap, asset, checksum, uploads() if upload else None)

        command(*args, make_sources=make_sources, **kwargs)

    return with_sources


@command("scenes")
@layer_argument
@option("--geojson", "as_geojson", group="Output", is_flag=True, help="Print the outlines as GeoJSON.")
@json_option
@guarded
@located
def scenes(layer: str, as_geojson: bool, as_json: bool, settings: Settings) -> None:
    """List the scenes of a layer, the lowest first.

    \b
    Examples:
      seeder scenes ortho
      seeder scenes ortho --geojson
    """
    from seeder.operations.scenes import listed_scenes
    from tiler.layers.catalog import load_layer
    from tiler.raster.bodies import called
    from tiler.scenes.outlines import outlines
    from tiler.storage.store import Stores

    stores = Stores.open(settings)
    inside = listed_scenes(load_layer(stores.sources, layer), stores.sources)
    if as_geojson:
        click.echo(json.dumps(outlines(inside)))
    elif as_json:
        for scene in inside:
            click.echo(json.dumps(scene.to_json()))
    else:
        rows = [
            (
                scene.address,
                called(scene.crs).strip("'"),
                f"{scene.resolution:.3g} m",
                scene.listed.date or "-",
                scene.bounds.rounded,
            )
            for scene in inside
        ]
        click.echo(table(rows, HEADERS))
