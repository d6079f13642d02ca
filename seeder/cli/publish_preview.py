"""The command `publish-preview`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.common import basemap_option, dry_run_option, json_option, located, where
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import guarded
from tiler.errors import BadOption
from tiler.keys import page_key
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.serve.basemap import Basemap

LIST = ("layers.css", "layers.js")  # files of the list of layers, which is not published


@command("publish-preview")
@layer_argument
@option("--scenes", group="Select", is_flag=True, help="Also publish the outlines and addresses of the scenes.")
@basemap_option
@dry_run_option("Show the number and size of the files; change nothing.")
@json_option
@guarded
@located
def publish_preview(
    layer: str, scenes: bool, basemap: Basemap | None, dry_run: bool, as_json: bool, settings: Settings
) -> None:
    """Publish a preview page and WMTS.

    Write the page, its scripts, layer.json and the WMTS capabilities beside the tiles. Missing tiles are rendered on
    request.

    \b
    Examples:
      seeder publish-preview ortho --stack tile-seeder-dev
      seeder publish-preview ortho --scenes --dry-run
    """
    from seeder.serve import pages, scene_outlines, wmts
    from seeder.serve.facts import FACTS, Facts
    from tiler.layers.catalog import load_layer
    from tiler.layers.tilejson import addressed
    from tiler.storage.store import Stores

    stores = Stores.open(settings)
    loaded = load_layer(stores.sources, layer)
    address = page_key(layer, wmts.NAME)
    shown = [(loaded, addressed(loaded, stores.tiles))]
    files = {name: (pages.asset(name), pages.kind(name)) for name in pages.assets() if name not in LIST}
    facts = Facts.of(loaded, stores.sources).to_json()
    files[FACTS] = (json.dumps(facts, indent=1) + "\n").encode(), "application/json"
    files[wmts.NAME] = wmts.capabilities(shown, settings.url, f"{settings.url}/{address}"), wmts.TYPE
    place = where(settings) if settings.stack else ""  # a folder of this machine is not published
    config: dict[str, Any] = {"layer": layer, "where": place}
    if basemap:
        config["basemap"] = basemap.to_json()
    if scenes:
        if not loaded.scenes:
            raise BadOption(f"layer {layer!r} was made of one raster: leave out --scenes")
        config["scenes"] = scene_outlines.NAME
        files[scene_outlines.NAME] = scene_outlines.document(loaded, stores.sources), scene_outlines.TYPE
    files["index.html"] = pages.page(pages.LAYER, config), pages.kind(pages.LAYER)  # last: it refers to the others
    url = f"{settings.url}/{page_key(layer)}"
    if not dry_run:
        for name, (data, kind) in files.items():
            stores.tiles.put(page_key(layer, name), data, content_type=kind, cache_control="no-cache")
        if not scenes:  # an earlier page may have had them
            stores.tiles.delete([page_key(layer, scene_outlines.NAME)])
    size = sum(len(data) for data, _ in files.values())
    if as_json:
        click.echo(json.dumps({"layer": layer, "url": url, "files": list(files), "bytes": size, "dry_run": dry_run}))
    else:
        verb = "would be written" if dry_run else "written"
        click.echo(f"{len(files)} files ({size / 1e6:.1f} MB) {verb}: {url}")
