"""The command `remove`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from seeder.cache.fence import fence
from seeder.cache.purge import purge
from seeder.cli.common import guarded, interruptible, json_option, located, tile_bar
from seeder.cli.update_tiles import AGAIN, UpdateOptions, cdn_cost, count_down, tell_cdn, update_flags
from seeder.jobs.ledger import jobs, layer_of
from tiler.errors import BadOption, StoreError, Superseded, UnknownLayer
from tiler.keys import check_layer, index_key, job_key, layer_prefix, revision_key, sources_prefix, tilejson_key
from tiler.layers.catalog import list_layers, load_layer, revisions, undone
from tiler.settings import Settings
from tiler.storage.store import Store, Stores


@dataclass(frozen=True, slots=True)
class Share:
    """Objects of a layer that are removed together: what they are, their store, what their keys begin with."""

    what: str
    store: Store
    prefixes: tuple[str, ...]

    def keys(self) -> Iterator[str]:
        """Their keys, as they are listed."""
        return (entry.key for prefix in self.prefixes for entry in self.store.list(prefix))

    def size(self) -> tuple[int, int]:
        """How many there are, and their bytes."""
        number = size = 0
        for prefix in self.prefixes:
            for entry in self.store.list(prefix):
                number += 1
                size += entry.size
        return number, size


def shares(layer: str, stores: Stores) -> tuple[Share, ...]:
    """All that there is of a layer."""
    known = tuple(job_key(job, "") for job in jobs(stores.sources) if layer_of(job) == layer)
    return (
        Share("tiles", stores.tiles, (layer_prefix(layer),)),
        Share("sources", stores.sources, (sources_prefix(layer),)),
        Share("jobs", stores.sources, known),
    )


def leftovers(layer: str, stores: Stores) -> tuple[Share, ...]:
    """The sources of revisions that are neither the layer's current one, nor its previous, nor rolled back last."""
    current = load_layer(stores.sources, layer)
    others = set(revisions(stores.sources, layer)) - {current.revision, current.previous}
    others.discard(undone(stores.sources, layer))
    old = [name for name in sorted(others) if stores.sources.has(revision_key(layer, name))]  # else an ingest is at it
    return (Share("sources", stores.sources, tuple(f"{sources_prefix(layer)}{name}/" for name in old)),)


@click.command("remove")
@click.argument("layer")
@click.option("--old-revisions", is_flag=True, help="Only the sources of revisions before the previous one.")
@click.option("--confirm", metavar="LAYER", help="The layer's name once more, where nobody can be asked for it.")
@json_option
@guarded
@located
@update_flags
def remove(
    layer: str,
    old_revisions: bool,
    confirm: str | None,
    update_options: Callable[[Settings], UpdateOptions],
    as_json: bool,
    settings: Settings,
) -> None:
    """Remove LAYER: its tiles, its sources of every revision, its jobs. There is no way back.

    \b
    Examples:
      seeder remove ortho --dry-run
      seeder remove ortho
      seeder remove ortho --old-revisions
    """
    careful = update_options(settings)
    stores = Stores.open(settings)
    found = leftovers(layer, stores) if old_revisions else shares(check_layer(layer), stores)
    sizes = {share.what: share.size() for share in found}
    if not any(number for number, _ in sizes.values()):
        if old_revisions:
            click.echo(f"nothing older is kept of layer {layer}", err=True)
            return
        raise UnknownLayer(layer, list_layers(stores.sources))
    said = ", ".join(f"{number:,} objects of {what} ({size / 1e6:,.1f} MB)" for what, (number, size) in sizes.items())
    told = [f"/{layer}/*"] if careful.cdn and not old_revisions else []
    if careful.dry_run:
        cdn = {"cloudfront": careful.cdn, "paths": told} if told else {}
        _tell(layer, sizes, f"would be removed of layer {layer}: {said}", as_json=as_json, dry_run=True, **cdn)
        if told and not as_json:
            click.echo(f"CloudFront {careful.cdn}: {cdn_cost(told)}")
        return
    _check_name(layer, confirm, said)
    if not old_revisions:
        _stop(layer, stores, careful)
    for share in found:
        with interruptible(AGAIN), tile_bar(f"remove {share.what}", sizes[share.what][0], unit="object") as bar:
            purged = purge(share.store, share.keys(), bar.update)
        if purged.failed:
            why = f"{purged.why}; {purged.failed:,} objects of {share.what} are left"
            raise StoreError("delete", purged.keys[0], why)
        for prefix in share.prefixes:
            share.store.clear(prefix)
    cdn = tell_cdn(careful, told, settings, as_json=as_json)
    _tell(layer, sizes, f"removed of layer {layer}: {said}", as_json=as_json, **cdn)


def _stop(layer: str, stores: Stores, update_options: UpdateOptions) -> None:
    """See to it that nobody renders a tile of the layer any more."""
    stores.sources.delete([index_key(layer)])
    stores.tiles.delete([tilejson_key(layer)])
    if not update_options.hurry:
        count_down(fence(stores.tiles).total_seconds(), AGAIN)
    if stores.sources.has(index_key(layer)):
        raise Superseded(f"layer {layer} was ingested again meanwhile, so its tiles and sources stay")


def _check_name(layer: str, confirm: str | None, said: str) -> None:
    """Nothing, if the layer's name was typed once more.

    Raises:
        BadOption: it was not.
    """
    if confirm is None:
        if not sys.stdin.isatty():
            raise BadOption(f"removing has no way back: run it again with --confirm {layer}")
        click.echo(said, err=True)
        confirm = click.prompt("This cannot be undone. Type the layer's name to remove that", err=True)
    if confirm != layer:
        raise BadOption(f"{confirm!r} is not {layer!r}: nothing was removed")


def _tell(layer: str, sizes: dict[str, tuple[int, int]], text: str, *, as_json: bool, **more: Any) -> None:
    if as_json:
        parts = {what: {"objects": number, "bytes": size} for what, (number, size) in sizes.items()}
        click.echo(json.dumps({"layer": layer, **parts, **more}))
    else:
        click.echo(text)
