"""The plan of a bake by many workers: all that they need to bake parts and to publish the layer, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rasterio.errors import CRSError

from tiler.errors import BadOption, CatalogError, ChangedSource
from tiler.grid import Bounds, Window, grown
from tiler.image.style import Style
from tiler.ingest.baker import HALO
from tiler.ingest.chunks import BakeTask, chunks_of
from tiler.ingest.drafts import draft_of
from tiler.ingest.examine import Examined, ExaminedScenes
from tiler.ingest.mosaic import SLACK, gaps_in, source_of
from tiler.ingest.planned_parts import base_ranges, planned_of, regions_of
from tiler.ingest.survey import Survey
from tiler.ingest.watch import Watch
from tiler.inputs import read_json
from tiler.layers import catalog
from tiler.layers.catalog import Layer
from tiler.layers.pyramid import SERVED, Part, Place
from tiler.layers.tiers import parent_of, planned_children
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.raster.reading import Reading
from tiler.raster.sparse import Regions
from tiler.scenes.fingerprint import fingerprint
from tiler.scenes.order import ordered
from tiler.scenes.scene import Listed, Scene
from tiler.scenes.scene_index import SceneIndex
from tiler.scenes.scene_list import SceneList, dump, parse

KEPT = ("dtype", "zoom", "base", "minzoom", "maxzoom", "resampling", "overview", "stretched", "finished")  # of a survey


@dataclass(frozen=True, slots=True)
class OneRaster:
    """One raster whose bake was planned: `content` is the hash of its content, `mark` its fingerprint then."""

    survey: Survey
    options: Options
    content: str
    mark: str

    def content_in(self, _window: Window) -> object:
        """The identity of a window's pixels, as that of `Examined`."""
        return self.content, self.survey.reading, self.survey.open_options.pixels, self.survey.zoom

    def check_in(self, _window: Window) -> None:
        """Reject a raster that changed since it was planned.

        Raises:
            BadSource: it changed.
        """
        path = self.survey.path
        try:
            now = fingerprint(Listed(path, path), self.options, before=self.mark)
        except OSError as error:
            raise ChangedSource(path) from error
        if now != self.mark:
            raise ChangedSource(path)


@dataclass(frozen=True, slots=True)
class BakePlan:
    """A planned bake of a layer.

    `draft` is the layer before its bake, `options` are those of its ingest, `tiers` the places of its parts by tier,
    `current` the version of `index.json` that the publication replaces, empty if there is none. `listed` are the
    scenes; of one raster, `content` is a hash of its content, and `mark` its fingerprint.
    """

    draft: Layer
    options: Options
    survey: Survey
    tiers: tuple[frozenset[Place], ...] = field(repr=False)
    listed: SceneList | None = field(default=None, repr=False)
    content: str = ""
    mark: str = ""
    current: str = ""

    @classmethod
    def of(cls, layer: str, raster: Examined | ExaminedScenes, previous: str, current: str) -> BakePlan:
        """A plan of a bake; `previous` is the revision before this one.

        Raises:
            BadSource, BadOption, SourceReadError, StoreError: the raster cannot be read.
        """
        survey, options = raster.survey, raster.options
        draft = draft_of(layer, raster.path, survey, raster.revision, options, raster.listed)
        plan = cls(replace(draft, previous=previous), options, survey, _tiers(survey), raster.listed, current=current)
        if isinstance(raster, ExaminedScenes):
            return plan
        path = raster.path
        try:
            mark = fingerprint(Listed(path, path), options)
        except OSError as error:
            raise ChangedSource(path) from error
        raster.check(options)
        return replace(plan, content=raster.hashes.content, mark=mark)

    def raster(self) -> OneRaster | ExaminedScenes:
        """What is baked, as a bake reads it."""
        if self.listed is None:
            return OneRaster(self.survey, self.options, self.content, self.mark)
        places, watch = SceneIndex(self.survey.scenes, self.survey.base), Watch(self.options)
        name = self.draft.source
        return ExaminedScenes(name, self.survey, self.draft.revision, self.listed, self.options, places, watch)

    def chunks(self, place: Place, below: Mapping[Place, Part]) -> list[BakeTask]:
        """The chunks of a part, for a tier above the base those with parts `below`."""
        zoom = self.zoom_of(place.tier)
        if place.tier == 0:
            return list(chunks_of(place, zoom, base_ranges(self.survey)))
        within = {child: part for child, part in below.items() if parent_of(child) == place}
        return next((chunks for _, chunks in planned_of(place.tier, zoom, within, [])), [])

    def zoom_of(self, tier: int) -> int:
        """The zoom at which a tier is cut."""
        return self.survey.base - SERVED * tier

    def children(self, place: Place) -> list[Place]:
        """The planned parts of the tier below that a part reads; none for the base."""
        return planned_children(self.tiers, place, self.survey.base)

    @property
    def parts(self) -> int:
        """The number of parts of all tiers."""
        return sum(map(len, self.tiers))

    def dump(self) -> dict[str, Any]:
        """The JSON form, without the scenes."""
        survey = self.survey
        return {
            "draft": read_json(catalog.dump(self.draft)),
            "options": self.options.to_json(),
            "survey": {
                **{name: getattr(survey, name) for name in KEPT},
                "path": survey.path,
                "bounds": list(survey.bounds),
                "reading": asdict(survey.reading),
                "style": survey.style.to_json(),
            },
            "tiers": [sorted((place.column, place.row) for place in tier) for tier in self.tiers],
            "content": self.content,
            "mark": self.mark,
            "current": self.current,
        }

    def dump_scenes(self) -> bytes | None:
        """The list of scenes as it is stored; None for one raster."""
        return dump(self.listed.scenes, self.listed.overlap, self.listed.asset) if self.listed else None

    @classmethod
    def parse(cls, fields: dict[str, Any], scenes: bytes | None, key: str) -> BakePlan:
        """The inverse of `dump` and `dump_scenes`; `key` is the object's, for errors.

        Raises:
            CatalogError: it is damaged.
            NewerMetadata: it is of a newer version.
        """
        try:
            options = Options.from_json(fields["options"])
            listed = parse(scenes, key) if scenes is not None else None
            facts = fields["survey"]
            survey = Survey(
                **{name: facts[name] for name in KEPT},
                path=str(facts["path"]),
                bounds=Bounds(*facts["bounds"]),
                reading=Reading.from_json(facts["reading"]),
                style=Style.from_json(facts["style"]),
                open_options=OpenOptions.of(options),
                scenes=ordered(listed.scenes, listed.overlap) if listed else (),
            )
            tiers = tuple(
                frozenset(Place(tier, *map(int, each)) for each in places)
                for tier, places in enumerate(fields["tiers"])
            )
            draft = replace(catalog.parse(json.dumps(fields["draft"]).encode(), key), asked=options)
            texts = {name: str(fields[name]) for name in ("content", "mark", "current")}
            return cls(draft, options, survey, tiers, listed, **texts)
        except (KeyError, TypeError, ValueError, BadOption, CRSError) as error:
            raise CatalogError(key, error, "start the bake again with `seeder ingest` or `seeder refresh`") from error


def narrowed(raster: OneRaster | ExaminedScenes, window: Window) -> OneRaster | ExaminedScenes | None:
    """A raster for the bake of a window: of scenes, those that the bake reads; None if there are none."""
    if isinstance(raster, OneRaster):
        return raster
    near = raster.places.touching(grown(window, HALO + SLACK))
    return raster._replace(survey=replace(raster.survey, scenes=tuple(near))) if near else None


def check_shared(scenes: Iterable[Scene]) -> None:
    """Reject scenes whose addresses cannot be stored: workers could not read them.

    Raises:
        BadOption: some have signed URLs.
    """
    signed = [
        scene.address for scene in scenes if scene.listed.path.startswith("/vsicurl") and "?" in scene.listed.path
    ]
    if signed:
        raise BadOption(
            f"{len(signed)} scenes have signed URLs, such as {signed[0]}, which are never stored: "
            "copy them to S3, or leave --queue out to bake here"
        )


def _tiers(survey: Survey) -> tuple[frozenset[Place], ...]:
    """The parts that may have pixels, by tier."""
    gaps = gaps_in(survey)
    regions = regions_of(source_of(survey, gaps), survey.base) if gaps or survey.scenes else Regions()
    planned = planned_of(0, survey.base, {}, base_ranges(survey))
    base = (place for place, chunks in planned if not all(regions.bare(each.row, each.column) for each in chunks))
    tiers = [frozenset(base)]
    for _ in range(survey.base // SERVED):
        tiers.append(frozenset(map(parent_of, tiers[-1])))
    return tuple(tiers)
