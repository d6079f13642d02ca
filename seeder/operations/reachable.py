"""Whether workers on other machines can read rasters, and which of them can be uploaded first."""

from __future__ import annotations

import re
from pathlib import Path

from tiler.errors import BadOption
from tiler.ingest.bake_plan import check_shared
from tiler.ingest.examine import Examined, ExaminedScenes
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.scenes.fingerprint import files_of
from tiler.scenes.sidecars import ROOTS, head_of, is_file
from tiler.storage.store import Store, Stores

FAR = re.compile(r"s3://|https?://|/vsi(s3|curl)[/?]")  # somewhere in the path of a raster that any machine can read
LIST = "name the rasters themselves, or leave --queue out to bake here"
CURE = "add --upload and name them as SOURCE, --add or --replace, or leave --queue out to bake here"


def only_here(path: str) -> bool:
    """Whether a raster's path leads to this machine's disk."""
    return not FAR.search(path)


def shared(sources: Store) -> bool:
    """Whether workers on other machines reach a store."""
    return sources.url.startswith("s3:")


def moving(raster: Examined | ExaminedScenes, sources: Store) -> bool:
    """Whether `--upload` would still copy the raster or some scenes."""
    return shared(sources) and any(map(only_here, _paths_of(raster)))


def check_bakes(options: Options) -> None:
    """Reject a layer that workers cannot bake.

    Raises:
        BadOption: it has no parts.
    """
    if options.virtual:
        raise BadOption("a virtual layer has no parts to bake: leave --virtual or --queue out")


def check_reachable(raster: Examined | ExaminedScenes, stores: Stores) -> None:
    """Reject rasters that workers cannot read.

    Raises:
        BadOption: some are on this machine only, or have signed URLs.
    """
    scenes = raster.listed.scenes if raster.listed else ()
    check_shared(scenes)
    if not shared(stores.sources):  # workers share this machine's disk
        return
    paths = _paths_of(raster)
    here = [each for each in paths if only_here(each)]
    if not here:
        return
    many = f"{len(here):,} of {len(paths):,} scenes, such as " if len(paths) > 1 else ""
    why = why_not_uploaded(here[0], raster.survey.open_options)
    cure = f"{why}: {LIST}" if why else CURE
    raise BadOption(f"workers cannot read {many}{here[0]}, which only this machine has: {cure}")


def _paths_of(raster: Examined | ExaminedScenes) -> list[str]:
    return [scene.listed.path for scene in raster.listed.scenes] if raster.listed else [raster.survey.path]


def why_not_uploaded(path: str, open_options: OpenOptions) -> str:
    """The reason why a raster on this disk cannot be uploaded; empty if it can.

    Raises:
        BadSource: it is a VRT with a forbidden member.
        OSError: it cannot be read.
    """
    own = Path(path.removeprefix("file://"))
    if not is_file(own):
        return "it is not one file"
    if ROOTS.search(head_of(own)):
        return "a VRT or tile index refers to files on this disk"
    files, far = files_of(path, open_options)
    if far or any(each.parent != own.parent or not each.name.startswith(own.stem) for each in files):
        return "it refers to other files"
    return ""
