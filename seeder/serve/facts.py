"""Facts of layers for the pages: of one, of its revisions, and of the bytes that its revisions take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiler import keys
from tiler.errors import CatalogError, MissingObject
from tiler.layers import catalog
from tiler.layers.catalog import Layer
from tiler.layers.credit import plain_markup
from tiler.layers.pyramid import Pyramid
from tiler.raster.legend import Classes, Legend
from tiler.storage.store import Store

FACTS = "layer.json"  # the facts of a published page


@dataclass(frozen=True, slots=True)
class Facts:
    """A layer as its page shows it. `published` is in seconds since 1970, None if it is unknown."""

    layer: Layer
    published: float | None
    legend: Legend | None

    @classmethod
    def of(cls, layer: Layer, sources: Store) -> Facts:
        """The facts of a layer's current revision.

        Raises:
            StoreError: the store failed.
        """
        return cls(layer, published(layer.id, layer.revision, sources), layer.legend)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            **catalog.facts(self.layer),
            "attribution": plain_markup(self.layer.attribution),
            "legend": self._legend(),
            "published": self.published,
        }

    def _legend(self) -> dict[str, Any] | None:
        if isinstance(self.legend, Classes):
            return self.legend.to_json(counted=True)
        return self.legend.to_json() if self.legend else None


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a layer. `bytes` are those of its parts, which revisions share; None if nothing was baked.

    `published` is in seconds since 1970. A revision is `kept` if it can be shown, and restored by a rollback.
    """

    revision: str
    published: float | None
    scenes: int
    bytes: int | None
    gdal: str
    current: bool
    kept: bool

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {name: getattr(self, name) for name in self.__slots__}


def published(layer: str, revision: str, sources: Store) -> float | None:
    """The time at which a revision was published, in seconds since 1970; None if it is not kept.

    Raises:
        StoreError: the store failed.
    """
    try:
        return sources.written(keys.revision_key(layer, revision)).timestamp()
    except MissingObject:
        return None


def revisions(layer: Layer, sources: Store) -> tuple[Revision, ...]:
    """The revisions of a layer, the newest first.

    Raises:
        NewerMetadata: the metadata of one is of a newer version.
        StoreError: the store failed.
    """
    names = {layer.revision, *catalog.revisions(sources, layer.id)}
    kept = {name: _kept(layer, name, sources) for name in names}
    folders = {_folder(each) for each in kept.values() if each and each.bake}
    sizes = {entry.key: entry.size for folder in folders for entry in sources.list(folder)}
    found = (
        Revision(
            name,
            published(layer.id, name, sources),
            each.scenes if each else 0,
            _bytes(each, sizes, sources) if each else None,
            each.gdal if each else "",
            name == layer.revision,
            each is not None,
        )
        for name, each in kept.items()
    )
    return tuple(sorted(found, key=lambda each: (each.published or 0.0, each.current), reverse=True))


def _kept(layer: Layer, revision: str, sources: Store) -> Layer | None:
    if revision == layer.revision:
        return layer
    try:
        return catalog.load_revision(sources, layer.id, revision)
    except CatalogError:
        return None


def _folder(layer: Layer) -> str:
    """The folder of what was baked for a layer."""
    return layer.source if isinstance(layer.bake, Pyramid) else layer.source.rpartition("/")[0] + "/"


def _bytes(layer: Layer, sizes: dict[str, int], sources: Store) -> int | None:
    """The bytes of what was baked for a revision; None if that is nothing, or incomplete."""
    names = [layer.source] if layer.bake else []
    try:
        if isinstance(layer.bake, Pyramid):
            names = [keys.part_key(layer.id, part.name) for part in layer.bake.parts(layer.id, sources).values()]
        return sum(sizes[name] for name in names) if names else None
    except (CatalogError, KeyError):
        return None
