"""The version of layer metadata: those that this program writes, and those that programs can read."""

from __future__ import annotations

from tiler.errors import BadOption, NewerMetadata
from tiler.raster.options import LIGHT, Options
from tiler.storage.store import Stores

METADATA = 5  # newest of index.json; also in deploy/outputs.yml, for the functions that are deployed with this code
PARTS = 4  # the first version of layers with parts
TERRAIN = 5  # of relief, contours, and hillshades in another light than the default


def version_for(options: Options, *, parts: bool) -> int:
    """The version of the metadata of a layer with these options, and with `parts`: the earliest that has all of it."""
    if options.style in ("relief", "contours") or any(name in options.changed() for name in LIGHT):
        return TERRAIN
    if parts:
        return PARTS
    if options.bake == "finished" or options.format == "webp-lossless":
        return 3
    return 2 if options.virtual and (options.requester_pays or options.anonymous) else 1


def check_version(key: str, version: object, known: int) -> None:
    """Reject metadata of a version after `known`; earlier ones are read.

    Raises:
        NewerMetadata: it is of a newer one.
        ValueError: it is of no version.
    """
    if isinstance(version, int) and version > known:
        raise NewerMetadata(key, version, known)
    if version not in range(1, known + 1):
        raise ValueError(f"no format version: {version}")


def check_readers(stores: Stores, written: int) -> None:
    """Reject stores whose deployed functions cannot read metadata of the version to be `written`.

    Raises:
        BadOption: they read an older version only.
    """
    if stores.readers is not None and stores.readers < written:
        raise BadOption(
            f"the stack's functions read layer metadata of version {stores.readers}, this program writes {written}: "
            "run `npm run deploy` first"
        )
