"""Uploaded scenes of a layer that its revisions and bake jobs still use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from seeder.jobs.bake_ledger import bakes_of, load_bake, load_end, load_scenes
from tiler.errors import MissingObject
from tiler.keys import scenes_key, upload_of, uploads_prefix
from tiler.layers.catalog import Layer
from tiler.scenes.scene_list import parse
from tiler.storage.store import Store


def unused_uploads(
    layer: str, sources: Store, kept: Iterable[Layer], baking: Collection[str], before: datetime
) -> Iterator[str]:
    """The keys of uploaded scenes that no `kept` revision names, nor bake jobs: `baking` are those of `uploads_in_use`.

    Only scenes whose files were all written `before` a time (UTC) are listed.

    Raises:
        CatalogError, StoreError: a list could not be read.
    """
    entries = list(sources.list(uploads_prefix(layer)))
    if not entries:
        return
    used = {upload_of(address, layer) for each in kept for address in _addresses_of(each, sources)}
    used |= {upload_of(entry.key, layer) for entry in entries if entry.modified >= before} | {*baking}
    yield from (entry.key for entry in entries if upload_of(entry.key, layer) not in used)


def uploads_in_use(layer: str, sources: Store) -> frozenset[str]:
    """The uploaded scenes of bake jobs that may still read them: failed ones can be resumed.

    Raises:
        CatalogError, MessageError, StoreError: a ledger could not be read.
    """
    return frozenset(upload_of(address, layer) for address in _addresses_of_bakes(layer, sources))


def _addresses_of(layer: Layer, sources: Store) -> Iterator[str]:
    """The addresses of a revision's scenes, or of a virtual layer's raster: a baked one is not read again."""
    yield layer.source
    if layer.scenes:
        key = scenes_key(layer.id, layer.revision)
        yield from (scene.listed.path for scene in parse(sources.get(key), key).scenes)


def _addresses_of_bakes(layer: str, sources: Store) -> Iterator[str]:
    """The addresses of the scenes of bake jobs that are not done or superseded."""
    for name in bakes_of(sources, layer):
        end = load_end(sources, name)
        if end and end.state != "failed":
            continue
        with suppress(MissingObject):  # interrupted before it was recorded, or removed
            yield str(load_bake(sources, name).plan["survey"]["path"])
            if (scenes := load_scenes(sources, name)) is not None:
                yield from (scene.listed.path for scene in parse(scenes, name).scenes)
