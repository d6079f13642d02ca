"""The command `publish-preview`."""

from __future__ import annotations

import json

import click

from seeder.cli.common import guarded, json_option, located, where
from seeder.serve import pages, wmts
from tiler.keys import page_key
from tiler.layers.catalog import addressed, load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

LIST = ("layers.css", "layers.js")  # what only the list of layers needs


@click.command("publish-preview")
@click.argument("layer")
@click.option("--dry-run", is_flag=True, help="Say what would be written; change nothing.")
@json_option
@guarded
@located
def publish_preview(layer: str, dry_run: bool, as_json: bool, settings: Settings) -> None:
    """Write a page that shows LAYER, and all that it needs, beside its tiles; and WMTS capabilities.

    Tiles that are not stored are rendered when somebody looks at them, as on any map.

    \b
    Example:
      seeder publish-preview ortho --stack tile-seeder-dev
    """
    stores = Stores.open(settings)
    found = load_layer(stores.sources, layer)
    address = page_key(layer, wmts.NAME)
    shown = [(found, addressed(found, stores.tiles))]
    files = {name: (pages.asset(name), pages.kind(name)) for name in pages.assets() if name not in LIST}
    files[wmts.NAME] = wmts.capabilities(shown, settings.url, f"{settings.url}/{address}"), wmts.TYPE
    config = {"layer": layer, "where": where(settings) if settings.stack else ""}  # a folder is nobody else's business
    files["index.html"] = pages.page(pages.LAYER, config), pages.kind(pages.LAYER)  # last: it needs the rest
    url = f"{settings.url}/{page_key(layer)}"
    if not dry_run:
        for name, (data, kind) in files.items():
            stores.tiles.put(page_key(layer, name), data, content_type=kind, cache_control="no-cache")
    size = sum(len(data) for data, _ in files.values())
    if as_json:
        click.echo(json.dumps({"layer": layer, "url": url, "files": list(files), "bytes": size, "dry_run": dry_run}))
    else:
        did = "would be written" if dry_run else "written"
        click.echo(f"{len(files)} files ({size / 1e6:.1f} MB) {did}: {url}")
