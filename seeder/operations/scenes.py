"""The scenes of a layer: read those of a list, find those of a layer, change them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from seeder.operations.layer_names import layer_from_file
from seeder.operations.report import Report
from seeder.operations.scene_names import SceneNames
from tiler.choices import Overlap
from tiler.errors import BadName, BadOption, CatalogError, MissingObject, UnknownLayer, shortened
from tiler.ingest.existing import kept_revision
from tiler.inputs import check_source
from tiler.keys import scenes_key
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

Upload = Callable[[Sequence[Listed], Options, Report], tuple[Listed, ...]]


@dataclass(frozen=True, slots=True)
class Sources:
    """What a layer is made of, as typed: rasters, folders, patterns, lists, indexes.

    `overlap` names the scene on top where they overlap, None for the layer's last choice. `asset` chooses one of a STAC
    item's. With `checksum`, scenes are recognized by their content. `upload` moves scenes that only this machine has to
    where workers can read them; see `seeder.operations.upload_scenes`.
    """

    names: tuple[str, ...]
    overlap: Overlap | None = None
    asset: str = ""
    checksum: bool = False
    upload: Upload | None = None


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

    @property
    def total(self) -> int:
        """The number of all changes."""
        return self.added + self.replaced + self.dropped

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
    path = Path(names[0].removeprefix("@").rstrip("/"))
    try:
        return layer_from_file(path.stem)
    except BadName as error:
        raise BadOption(f"no layer can be named after {shortened(path.name)!r}: add --layer NAME") from error


def read_sources(
    sources: Sources, options: Options, report: Report, *, jobs: int, known: SceneList | None = None
) -> str | SceneList:
    """One raster's path, or the scenes of `sources`; scenes that are `known` and unchanged are not opened.

    Raises:
        BadSource: a source is empty or unreadable; all unreadable scenes are named at once.
        BadOption: an option does not fit them.
        StoreError: the network failed.
    """
    named = _expanded(sources, sources.names, options, report)
    listed = sources.upload(named, options, report) if sources.upload else named
    if len(sources.names) == 1 and [each.path for each in named] in _itself(sources.names[0]):
        return sources.names[0] if listed == named else listed[0].path
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


def read_to_ingest(
    sources: Sources, layer: str, options: Options, stored: Store, report: Report, *, jobs: int
) -> tuple[str | SceneList, str]:
    """`read_sources` for an ingest of `layer`, whose scenes are not opened again if they are unchanged.

    Returns also a note on the scenes and options of the layer that this ingest replaces, empty if there are none.

    Raises:
        BadSource, BadOption: see `read_sources`.
        NewerMetadata, StoreError: the layer's metadata is of a newer version, or could not be read.
    """
    current = before = None
    with suppress(UnknownLayer, CatalogError, MissingObject):  # reported before the bake
        current = load_layer(stored, layer)
        before = kept_scenes(current, stored) if current.scenes else None
    alike = current is not None and options.read_alike(current.asked)
    known = replace(before, overlap="last", asset="") if before and alike else None
    rasters = read_sources(sources, options, report, jobs=jobs, known=known)
    return rasters, _replaced(current, before, rasters, options) if current else ""


def _replaced(current: Layer, before: SceneList | None, after: str | SceneList, options: Options) -> str:
    """The scenes and options of a layer that an ingest replaces, as a note; empty if there are none."""
    now = {full_path(after)} if isinstance(after, str) else _by_address(after).keys()
    gone = len(_by_address(before).keys() - now)
    names = list(options.differing(current.asked))
    if before and isinstance(after, SceneList) and before.overlap != after.overlap:
        names.append("overlap")
    reasons = []
    if gone:
        reasons.append(f"{gone:,} of its {current.scenes:,} scenes are not in this list")
    if names:
        typed = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        reasons.append(f"it was ingested with other options ({typed})")
    if not reasons:
        return ""
    cure = f"use `seeder refresh {current.id}` to keep its options" + (", with --add also its scenes" * bool(gone))
    return f"layer {current.id} exists, and {' and '.join(reasons)}: this ingest replaces it; {cure}"


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
    were made already are harmless to repeat: adding or replacing an unchanged scene, or dropping one that the revision
    before had. Of all, those that changed are read again and count as replaced; all are read `again` if they were read
    with other options.

    Raises:
        BadOption: a scene to drop or replace is unknown.
        BadScenes: a new scene is of another kind than those that stay.
        BadSource, StoreError: see `read_sources`.
    """
    names, then = SceneNames(layer.id, before.scenes), SceneNames(layer.id, earlier)
    dropped = set().union(*(names.to_drop(each, then) for each in changes.drop))
    scenes = [scene for scene in before.scenes if scene.address not in dropped]
    replaced, added = (
        [names.own(each) for each in _listed(sources, some, options, report)] for some in (changes.replace, changes.add)
    )
    names, place = SceneNames(layer.id, scenes), {scene.address: at for at, scene in enumerate(scenes)}
    places = [place[names.to_replace(each.address)] for each in replaced]
    stay = [scene for at, scene in enumerate(scenes) if at not in places]
    known = {} if again else _by_address(before)
    reading = partial(_read, sources, options=options, report=report, jobs=jobs)
    afresh = reading([scene.listed for scene in stay], known=known)
    replacing = _reread(replaced, known, reading)
    number = sum(_changed(scenes[at], scene) for at, scene in zip(places, replacing, strict=True))
    number += sum(map(_changed, stay, afresh))
    for at, scene in zip(places, replacing, strict=True):
        scenes[at] = scene
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
    counts = ScenesChanged(layer.id, len(new), number, len(dropped), len(scenes) - len(new) - number)
    overlap = sources.overlap or before.overlap
    _note_undated(scenes, overlap, report)
    return SceneList(tuple(scenes), overlap, sources.asset or before.asset), counts


def _reread(
    listed: Sequence[Listed], known: Mapping[str, Scene], reading: Callable[..., tuple[Scene, ...]]
) -> list[Scene]:
    """Scenes to replace: the `known` ones if they are unchanged.

    A changed one is read as if it were new: so a file that was changed and back again has its first fingerprint.
    """
    found = reading(listed, known=known)
    changed = [scene for scene in found if scene.address in known and _changed(known[scene.address], scene)]
    anew = {scene.address: scene for scene in reading([scene.listed for scene in changed])}
    return [anew.get(scene.address, scene) for scene in found]


def _changed(before: Scene, after: Scene) -> bool:
    """Whether a scene is another one, or its files changed."""
    return (before.address, before.fingerprint) != (after.address, after.fingerprint)


def _note_undated(scenes: Sequence[Scene], overlap: Overlap, report: Report) -> None:
    """Tell how many scenes have no date, if dates order them."""
    undated = sum(not scene.listed.date for scene in scenes)
    if overlap != "newest" or not undated:
        return
    few = f"{undated:,} of {len(scenes):,} scenes have no date and lie below the others"
    none = "no scene has a date, so --overlap newest is the same as last: the last of the list is on top"
    report.note(f"{few if undated < len(scenes) else none}; give dates in a list of STAC items or GeoJSON")


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
    """The scenes that some names stand for, uploaded if that was asked for."""
    listed = _expanded(sources, names, options, report)
    return sources.upload(listed, options, report) if sources.upload else listed


def _expanded(sources: Sources, names: Sequence[str], options: Options, report: Report) -> tuple[Listed, ...]:
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
