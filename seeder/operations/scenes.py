"""The scenes of a layer: read those of a list, find those of a layer, change them."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from seeder.operations.report import Report
from tiler.choices import Overlap
from tiler.errors import BadOption, CatalogError, MissingObject, UnknownLayer
from tiler.ingest.existing import kept_revision
from tiler.inputs import check_source
from tiler.keys import layer_from, scenes_key
from tiler.layers.catalog import Layer, load_layer
from tiler.raster.options import Options
from tiler.scenes.alike import check_alike
from tiler.scenes.expand import expand
from tiler.scenes.folders import full_path
from tiler.scenes.headers import read_scenes
from tiler.scenes.order import ordered
from tiler.scenes.scene import Listed, Scene
from tiler.scenes.scene_list import SceneList, parse
from tiler.storage.store import Store


@dataclass(frozen=True, slots=True)
class Sources:
    """What a layer is made of, as typed: rasters, folders, patterns, lists, indexes.

    `overlap` names the scene on top where they overlap, None for the layer's last choice. `asset` chooses one of a STAC
    item's. With `checksum`, scenes are recognized by their content.
    """

    names: tuple[str, ...]
    overlap: Overlap | None = None
    asset: str = ""
    checksum: bool = False


@dataclass(frozen=True, slots=True)
class SceneChanges:
    """Changes to the scenes of a layer: sources to add and to replace, and names or patterns of scenes to drop."""

    add: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.replace or self.drop)


@dataclass(frozen=True, slots=True)
class ScenesChanged:
    """The numbers of scenes added, replaced, dropped and kept."""

    layer: str
    added: int
    replaced: int
    dropped: int
    kept: int

    def to_json(self) -> dict[str, object]:
        """The JSON form."""
        return asdict(self)


def name_from(names: Sequence[str]) -> str:
    """A layer's name from that of its only source.

    Raises:
        BadOption: there are several sources, or it has no name.
    """
    if len(names) != 1 or names[0] == "-" or any(sign in names[0] for sign in "*?["):
        raise BadOption("name the layer of these sources: add --layer NAME")
    return layer_from(Path(names[0].removeprefix("@").rstrip("/")).stem)


def read_sources(
    sources: Sources, options: Options, report: Report, *, jobs: int, known: SceneList | None = None
) -> str | SceneList:
    """One raster's path, or the scenes of `sources`; scenes that are `known` and unchanged are not opened.

    Raises:
        BadSource: a source is empty or unreadable; all unreadable scenes are named at once.
        BadOption: an option does not fit them.
        StoreError: the network failed.
    """
    listed = _listed(sources, sources.names, options, report)
    if len(sources.names) == 1 and [each.path for each in listed] in _itself(sources.names[0]):
        return sources.names[0]
    found = _read(sources, listed, options, report, jobs=jobs, known=_by_address(known))
    asset = sources.asset or (known.asset if known else "")
    overlap = sources.overlap or (known.overlap if known else "last")
    _note_undated(found, overlap, report)
    return SceneList(found, overlap, asset)


def kept_scenes(layer: Layer, sources: Store) -> SceneList:
    """The scenes of a layer's revision.

    Raises:
        BadOption: it was made of one raster.
        CatalogError: the list is damaged.
    """
    if not layer.scenes:
        cure = f"ingest all of its scenes with `seeder ingest SOURCE... --layer {layer.id}`"
        raise BadOption(f"layer {layer.id!r} was made of one raster: {cure}")
    key = scenes_key(layer.id, layer.revision)
    return parse(sources.get(key), key)


def known_scenes(layer: str, options: Options, sources: Store) -> SceneList | None:
    """The scenes of a layer, if their headers were read with the same options; None if there are none.

    Raises:
        NewerMetadata, StoreError: the layer's metadata is of a newer version, or could not be read.
    """
    try:
        current = load_layer(sources, layer)
        alike = current.scenes > 0 and options.read_alike(current.asked)
        return replace(kept_scenes(current, sources), overlap="last", asset="") if alike else None
    except (UnknownLayer, CatalogError, MissingObject):  # reported before the bake
        return None


def earlier_scenes(layer: Layer, sources: Store) -> tuple[Scene, ...]:
    """The scenes of the revision before a layer's current one; none if they are unknown."""
    before = kept_revision(sources, layer.id, layer.previous) if layer.previous else None
    try:
        return kept_scenes(before, sources).scenes if before and before.scenes else ()
    except (CatalogError, MissingObject):
        return ()


def listed_scenes(layer: Layer, sources: Store) -> tuple[Scene, ...]:
    """The scenes of a layer's revision, the lowest first.

    Raises:
        BadOption, CatalogError: see `kept_scenes`.
    """
    kept = kept_scenes(layer, sources)
    return ordered(kept.scenes, kept.overlap)


def change_scenes(
    layer: Layer,
    before: SceneList,
    changes: SceneChanges,
    sources: Sources,
    options: Options,
    report: Report,
    *,
    jobs: int,
    earlier: Sequence[Scene] = (),
    again: bool = False,
) -> tuple[SceneList, ScenesChanged]:
    """The scenes `before` with changes: dropped ones are gone, new ones are last, the others keep their place.

    A replacement takes the place of the scene of its address or, if there is one only, of its file name. Changes that
    were made already are harmless to repeat: adding an unchanged scene, or dropping one that the revision before had.
    Of the others, those that changed are read again and count as replaced; all are read `again` if they were read with
    other options.

    Raises:
        BadOption: a scene to drop or replace is unknown.
        BadScenes: a new scene is of another kind than those that stay.
        BadSource, StoreError: see `read_sources`.
    """
    dropped = _matching(layer, before, earlier, changes.drop)
    scenes = [scene for scene in before.scenes if scene.address not in dropped]
    replaced, added = (_listed(sources, names, options, report) for names in (changes.replace, changes.add))
    places = [_place(layer, each.address, scenes) for each in replaced]
    stay = [scene for place, scene in enumerate(scenes) if place not in places]
    known = {} if again else _by_address(before)
    afresh, replacing = (
        _read(sources, listed, options, report, jobs=jobs, known=same)
        for listed, same in (([scene.listed for scene in stay], known), (replaced, None))
    )
    for place, scene in zip(places, replacing, strict=True):
        scenes[place] = scene
    there = {scene.address: scene for scene in afresh}
    scenes = [there.get(scene.address, scene) for scene in scenes]
    present = {scene.address: scene for scene in scenes}
    adding = _read(sources, added, options, report, jobs=jobs, known=present)
    new = [scene for scene in adding if scene.address not in present]
    scenes += new
    if not scenes:
        raise BadOption(f"no scene would be left: use `seeder remove {layer.id}` to remove the layer")
    read = {scene.address for scene in (*replacing, *new)}
    check_alike(scenes, next((scene for scene in scenes if scene.address not in read), None))
    changed_since = sum(one.fingerprint != other.fingerprint for one, other in zip(stay, afresh, strict=True))
    number = len(replacing) + changed_since
    counts = ScenesChanged(layer.id, len(new), number, len(dropped), len(scenes) - len(new) - number)
    overlap = sources.overlap or before.overlap
    _note_undated(scenes, overlap, report)
    return SceneList(tuple(scenes), overlap, sources.asset or before.asset), counts


def _note_undated(scenes: Sequence[Scene], overlap: Overlap, report: Report) -> None:
    """Tell how many scenes have no date, if dates order them."""
    undated = sum(not scene.listed.date for scene in scenes)
    if overlap == "newest" and undated:
        few = f"{undated:,} of {len(scenes):,} scenes have no date and lie below the others"
        report.note(f"{few}: list their dates in STAC or GeoJSON")


def counted(layer: str, before: SceneList | None, after: SceneList) -> ScenesChanged:
    """The numbers of scenes that differ between two lists, by their addresses and fingerprints."""
    old, new = _by_address(before), _by_address(after)
    both = old.keys() & new.keys()
    kept = sum(1 for address in both if old[address].fingerprint == new[address].fingerprint)
    return ScenesChanged(layer, len(new) - len(both), len(both) - kept, len(old) - len(both), kept)


def _read(
    sources: Sources,
    listed: Sequence[Listed],
    options: Options,
    report: Report,
    *,
    jobs: int,
    known: Mapping[str, Scene] | None = None,
) -> tuple[Scene, ...]:
    """The scenes of a list."""
    if not listed:
        return ()
    hint = "interrupted: nothing was changed"
    with report.stage("read headers", len(listed), unit="scene", interrupted=hint) as advance:
        done = 0

        def progress(now: int, _total: int) -> None:
            nonlocal done
            advance(now - done)
            done = now

        return read_scenes(listed, options, jobs=jobs, checksum=sources.checksum, known=known or {}, progress=progress)


def _itself(name: str) -> list[list[str]]:
    """The lists of paths that mean that a name is a raster itself."""
    return [[name], [full_path(name)]]


def _listed(sources: Sources, names: Sequence[str], options: Options, report: Report) -> tuple[Listed, ...]:
    """The scenes that some names stand for."""
    for name in names:
        check_source(name)
    with report.interruptible("interrupted: nothing was changed"):
        return expand(
            names,
            asset=sources.asset,
            trusted=options.trust_source,
            stdin=sys.stdin,
            requester_pays=options.requester_pays,
            anonymous=options.anonymous,
        )


def _by_address(scenes: SceneList | None) -> dict[str, Scene]:
    return {scene.address: scene for scene in scenes.scenes} if scenes else {}


def _matching(layer: Layer, scenes: SceneList, earlier: Sequence[Scene], patterns: Sequence[str]) -> set[str]:
    """The addresses of the scenes that match names, addresses or patterns; each must match one, or an `earlier` one."""
    found: set[str] = set()
    for pattern in patterns:
        matching = {scene.address for scene in scenes.scenes if _matches(scene, pattern)}
        if not matching and not any(_matches(scene, pattern) for scene in earlier):
            raise BadOption(
                f"no scene of layer {layer.id!r} matches {pattern!r}: list them with `seeder scenes {layer.id}`"
            )
        found |= matching
    return found


def _matches(scene: Scene, pattern: str) -> bool:
    """Whether a scene has this name or address, or matches this pattern."""
    same = scene.address in (pattern, str(Path(pattern).absolute()))
    return same or any(fnmatch.fnmatchcase(name, pattern) for name in (_name(scene.address), scene.address))


def _place(layer: Layer, address: str, scenes: Sequence[Scene]) -> int:
    """The place of the scene to replace."""
    same = [place for place, each in enumerate(scenes) if each.address == address]
    same = same or [place for place, each in enumerate(scenes) if _name(each.address) == _name(address)]
    if len(same) != 1:
        count = "no scene" if not same else f"{len(same)} scenes"
        raise BadOption(
            f"{address}: {count} of layer {layer.id!r} named {_name(address)}; "
            f"use --drop for the old scenes and --add for the new one"
        )
    return same[0]


def _name(address: str) -> str:
    """The file name of a scene."""
    return address.rpartition("/")[2]
