"""Layers: their private metadata, `index.json`, and the public TileJSON made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from mercantile import Tile

from tiler import keys
from tiler.choices import RESAMPLINGS, Choice, Resampling
from tiler.errors import (
    BadName,
    BadOption,
    CatalogError,
    GridError,
    MissingObject,
    UnknownLayer,
)
from tiler.grid import MAX_ZOOM, Bounds, TileRange, check_zooms, tile_ranges
from tiler.image.style import Style
from tiler.inputs import read_json
from tiler.keys import Format
from tiler.layers import version
from tiler.layers.cog_layout import CogLayout
from tiler.layers.footprint import Footprint
from tiler.layers.origin import Origin
from tiler.layers.pyramid import Pyramid
from tiler.raster.legend import Kind, Legend, Named, kind_of, legend_of
from tiler.raster.options import LOSSLESS, NONE_ASKED, TOLD, Options
from tiler.raster.reading import Reading
from tiler.storage.store import Store


@dataclass(frozen=True, slots=True)
class Layer:
    """A raster prepared for web tiles.

    `bake` tells of the parts that were baked; of the one COG, for a layer of an earlier version; None for a virtual
    layer. `source` is then the prefix of the parts or the key of the COG in the private store, or the address of the
    raster itself.
    `bands` are the source's, from 1. Virtual layers have a `reading`; those of earlier versions have `nodata` instead,
    which overrides the raster's own. `asked` are the options of its ingest, `previous` is the revision before this one,
    empty for the first. `origins` are the files that a virtual layer is read from. `gdal` is the version of GDAL that
    made the COG, empty for a virtual layer and in metadata of earlier versions. `scenes` is the number of scenes in its
    list of scenes, 0 for a layer of one raster. `classes` are those that its legend lists, None for metadata of earlier
    versions and without a palette; `unit` is that of the values that colours show, if it is known.

    Raises:
        GridError: the zooms are off the grid or run backwards.
    """

    id: str
    revision: str
    source: str
    bounds: Bounds
    minzoom: int
    maxzoom: int
    format: Format
    style: Style
    footprint: Footprint
    bake: CogLayout | Pyramid | None
    bands: tuple[int, ...]
    resampling: Resampling
    nodata: float | None = None
    attribution: str = ""
    asked: Options = NONE_ASKED
    previous: str = ""
    origins: tuple[Origin, ...] = ()
    reading: Reading | None = None
    gdal: str = ""
    scenes: int = 0
    classes: tuple[Named, ...] | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.minzoom <= self.maxzoom <= MAX_ZOOM:
            raise GridError(f"invalid zoom range of a layer: {self.minzoom} to {self.maxzoom}")

    def ranges(self, z: int) -> tuple[TileRange, ...]:
        """The layer's tiles of zoom `z`: none, one range, or two around the antimeridian.

        The seeder and the redirect both use it, so that they agree about the layer's tiles.
        """
        return tile_ranges(self.bounds, z) if self.minzoom <= z <= self.maxzoom else ()

    def has(self, tile: Tile) -> bool:
        """Whether the layer has `tile`."""
        return any(tile in each for each in self.ranges(tile.z))

    @property
    def title(self) -> str:
        """The layer's title, or its id."""
        return self.asked.title or self.id

    @property
    def description(self) -> str:
        """One or two sentences about the layer; may be empty."""
        return self.asked.description or ""

    @property
    def legend(self) -> Legend | None:
        """The legend of its colours; None for photos, shade, and colours that encode heights."""
        return legend_of(self.style, self.asked, self.classes, self.unit)

    @property
    def kind(self) -> Kind:
        """The kind of its picture."""
        return kind_of(self.style, self.legend)

    @property
    def encoding(self) -> str:
        """The encoding of heights as colours, by MapLibre's name; empty for other layers."""
        if not self.style.encoding:
            return ""
        return "mapbox" if self.style.terrain == "terrain-rgb" else self.style.terrain

    @property
    def lossless_webp(self) -> bool:
        """Whether WebP tiles of the layer are lossless, as its ingest requested."""
        return self.asked.format == "webp-lossless"

    @property
    def full_format(self) -> Choice:
        """The format of the layer's tiles; lossless WebP by its own name."""
        return "webp-lossless" if self.lossless_webp else self.format

    def takes(self, form: Format) -> bool:
        """Whether the layer's tiles can have a format: colours that encode heights need a lossless one."""
        return form in LOSSLESS or (form == "webp" and self.lossless_webp) or not self.style.encoding

    def check_format(self, form: Format) -> Format:
        """Return `form` if the layer's tiles can have it.

        Raises:
            BadOption: they cannot.
        """
        if not self.takes(form):
            raise BadOption(
                f"layer {self.id!r} encodes heights as colours, which {form} would blur: use png or webp-lossless"
            )
        return form

    def check_zooms(self, zooms: tuple[int, ...]) -> None:
        """Reject zooms that the layer does not have.

        Raises:
            ZoomOutside: it lacks one of `zooms`.
        """
        check_zooms(self.id, zooms, self.minzoom, self.maxzoom)


def dump(layer: Layer) -> bytes:
    """The `index.json` of `layer`."""
    fields = {
        "version": version_of(layer),
        "id": layer.id,
        "revision": layer.revision,
        "source": layer.source,
        "bounds": list(layer.bounds),
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
        "format": layer.format,
        "bands": layer.bands,
        "resampling": layer.resampling,
        "nodata": _text(layer.nodata),
        "attribution": layer.attribution,
        "asked": replace(layer.asked.baked() if layer.bake else layer.asked, title=None, description=None).to_json(),
        "previous": layer.previous,
        "origins": layer.origins,
        "reading": asdict(layer.reading) if layer.reading else None,
        "style": layer.style.to_json(),
        "bake": layer.bake.to_json() if isinstance(layer.bake, CogLayout) else None,
        "parts": layer.bake.to_json() if isinstance(layer.bake, Pyramid) else None,
        "gdal": layer.gdal,
        "footprint": layer.footprint.to_json(),
        **_optional(layer),
    }
    return (json.dumps(fields, indent=1) + "\n").encode()


def _optional(layer: Layer) -> dict[str, Any]:
    """The fields that earlier versions ignore; each is left out if it says nothing."""
    fields = {
        "scenes": layer.scenes,
        "title": layer.asked.title,
        "description": layer.description,
        "unit": layer.unit,
    }
    classes = {} if layer.classes is None else {"classes": layer.classes}
    return {name: value for name, value in fields.items() if value} | classes


def version_of(layer: Layer) -> int:
    """The version of a layer's metadata."""
    return version.version_for(layer.asked, parts=isinstance(layer.bake, Pyramid))


def _text(number: float | None) -> str | None:
    """A number as text, because JSON has no NaN."""
    return None if number is None else str(number)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def parse(data: bytes, key: str) -> Layer:
    """The inverse of `dump`.

    Raises:
        CatalogError: it is not an `index.json`.
        NewerMetadata: it is of a newer version.
    """
    try:
        fields: dict[str, Any] = read_json(data)
        version.check_version(key, fields["version"], version.METADATA)
        if fields["format"] not in keys.FORMATS or fields["resampling"] not in RESAMPLINGS:
            raise CatalogError(key, "unknown format or resampling")
        return Layer(
            id=keys.check_layer(fields["id"]),
            revision=fields["revision"],
            source=fields["source"],
            bounds=Bounds(*fields["bounds"]),
            minzoom=fields["minzoom"],
            maxzoom=fields["maxzoom"],
            format=fields["format"],
            bands=tuple(fields["bands"]),
            resampling=fields["resampling"],
            nodata=_number(fields["nodata"]),
            attribution=fields["attribution"],
            asked=Options.from_json({**fields["asked"], **_told(fields)}),
            previous=fields["previous"],
            origins=tuple(Origin(*each) for each in fields.get("origins", ())),
            reading=Reading.from_json(reading) if (reading := fields.get("reading")) else None,
            style=Style.from_json(fields["style"]),
            bake=_bake(fields),
            gdal=str(fields.get("gdal", "")),
            scenes=int(fields.get("scenes", 0)),
            classes=_classes(fields),
            unit=str(fields.get("unit", "")),
            footprint=Footprint.from_json(fields["footprint"], key),
        )
    except (KeyError, TypeError, ValueError, BadName, BadOption, GridError) as error:
        raise CatalogError(key, error) from error


def _bake(fields: dict[str, Any]) -> CogLayout | Pyramid | None:
    if fields["version"] >= version.PARTS and fields["parts"] is not None:
        return Pyramid.from_json(fields["parts"])
    return CogLayout(**fields["bake"]) if fields["bake"] else None


def _told(fields: dict[str, Any]) -> dict[str, str]:
    return {name: str(fields[name]) for name in TOLD if name in fields}


def _classes(fields: dict[str, Any]) -> tuple[Named, ...] | None:
    """The classes of a legend.

    Raises:
        TypeError, ValueError: they are not those of a palette.
    """
    if fields.get("classes") is None:
        return None
    found = tuple((int(value), str(name)) for value, name in fields["classes"])
    if not all(0 <= value < len(fields["style"]["palette"]) for value, _ in found):
        raise ValueError("its legend has a class that its palette lacks")
    return found


def facts(layer: Layer) -> dict[str, Any]:
    """The main properties of a layer, as JSON."""
    return {
        "layer": layer.id,
        "title": layer.title,
        "description": layer.description,
        "revision": layer.revision,
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
        "bounds": list(layer.bounds),
        "format": layer.format,
        "virtual": layer.bake is None,
        "finished": bool(layer.bake and layer.bake.finished),
        "lossless": layer.full_format in LOSSLESS,
        "gdal": layer.gdal,
        "scenes": layer.scenes,
        "rescale": [list(each) for each in layer.style.rescale],
        "style": layer.style.terrain,
        "kind": layer.kind,
        "encoding": layer.encoding,
    }


def superseding(layer: Layer | None, revision: str) -> str:
    """The revision that superseded `revision`; "nothing" if the layer was removed; empty if `revision` is current."""
    if layer is None:
        return "nothing"
    return layer.revision if layer.revision != revision else ""


def load_layer(sources: Store, layer: str) -> Layer:
    """The layer's current revision.

    Raises:
        BadName: it is not a valid layer name.
        UnknownLayer: there is no layer of that name; the message lists similar ones.
    """
    key = keys.index_key(keys.check_layer(layer))
    try:
        return parse(sources.get(key), key)
    except MissingObject as error:
        raise UnknownLayer(layer, list_layers(sources)) from error


def load_revision(sources: Store, layer: str, revision: str) -> Layer | None:
    """A kept revision of the layer with the metadata of its publication; None if it is not kept.

    Raises:
        CatalogError, NewerMetadata: its metadata is damaged, or of a newer version.
    """
    key = keys.revision_key(layer, revision)
    try:
        return parse(sources.get(key), key)
    except MissingObject:
        return None


def revisions(sources: Store, layer: str) -> tuple[str, ...]:
    """The revisions that have any objects, in no particular order."""
    return tuple(set(sources.folders(keys.sources_prefix(layer))) - set(keys.SHARED))


def list_layers(sources: Store) -> Iterator[str]:
    """The names of all layers, sorted."""
    layers = (keys.layer_of_index(entry.key) for entry in sources.list(keys.SOURCES))
    return iter(sorted(layer for layer in layers if layer))


def undone(sources: Store, layer: str) -> str:
    """The revision that the layer's last rollback replaced; empty if there was none."""
    key = keys.index_key(layer)
    try:
        return str({**read_json(sources.get(key))}.get("undone", ""))
    except (TypeError, ValueError) as error:
        raise CatalogError(key, error) from error
