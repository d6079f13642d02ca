"""Read the headers of many scenes, in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import rasterio
from rasterio.crs import CRS
from rasterio.session import DummySession

from tiler.errors import BadOption, BadScenes, BadSource, SourceReadError, TilerError, without_queries
from tiler.grid import Bounds
from tiler.image.style import Rgba
from tiler.processes import stream
from tiler.raster.datasets import OpenOptions, forget
from tiler.raster.header import check_header, plain_reading
from tiler.raster.options import Options
from tiler.raster.pixels import dtype_of
from tiler.raster.place import lonlat_bounds, resolution_of
from tiler.raster.reading import Reading
from tiler.raster.styling import palette_for
from tiler.raster.warp import baked_dtype
from tiler.scenes.alike import DIFFER, check_alike, differing
from tiler.scenes.fingerprint import fingerprint
from tiler.scenes.remote import is_remote
from tiler.scenes.s3_sources import check_readable
from tiler.scenes.safe_open import opened_safely
from tiler.scenes.scene import Listed, Scene
from tiler.storage.concurrent import in_batches, overlap

LARGEST_BATCH = 64  # scenes of one task
TASKS = 8  # least tasks per worker, so that all end at about the same time
NONE: Mapping[str, Scene] = MappingProxyType({})


class _Header(NamedTuple):
    """The facts of a scene, as a worker sends them: its CRS as WKT, which is parsed once for all scenes."""

    fingerprint: str
    crs: str
    size: tuple[int, int]
    transform: tuple[float, float, float, float, float, float]
    bounds: Bounds
    resolution: float
    dtype: str
    reading: Reading
    palette: tuple[Rgba, ...]


class _Fault(NamedTuple):
    """The reason why a scene cannot be read; `option` is the message of an option that does not fit it."""

    why: str
    option: str = ""


class _Wanted(NamedTuple):
    """A scene to read, its place in the list, and its last fingerprint, empty if it is new."""

    number: int
    listed: Listed
    before: str


class _Answer(NamedTuple):
    """The result for a scene; None if its fingerprint is unchanged."""

    number: int
    result: _Header | _Fault | None


def read_scenes(
    listed: Sequence[Listed],
    options: Options,
    *,
    jobs: int,
    progress: Callable[[int, int], None],
    checksum: bool = False,
    known: Mapping[str, Scene] = NONE,
) -> tuple[Scene, ...]:
    """The scenes of a list, in its order; `progress` receives the scenes done and all.

    `known` has scenes by address that were read with the same options: those with an unchanged fingerprint are not read
    again.

    Raises:
        BadScenes: some cannot be read, or differ from the others in their bands, type or palette.
        BadSource: the only scene cannot be read.
        BadOption: an option fits no scene.
        WorkerDied: a worker was killed.
    """
    wanted = (
        _Wanted(number, each, known[each.address].fingerprint if each.address in known else "")
        for number, each in enumerate(listed)
    )
    size = max(1, min(LARGEST_BATCH, len(listed) // (jobs * TASKS)))
    kept: dict[Any, Any] = {}  # equal values, once
    scenes: dict[int, Scene] = {}
    faults: dict[int, _Fault] = {}
    done = 0
    for answers in stream(partial(_reader, options, checksum=checksum), in_batches(wanted, size), jobs=jobs):
        for number, result in answers:
            if isinstance(result, _Fault):
                faults[number] = result
            elif result is None:
                scenes[number] = replace(known[listed[number].address], listed=listed[number])
            else:
                scenes[number] = _scene(listed[number], result, kept)
        done += len(answers)
        progress(done, len(listed))
    _raise(listed, faults, scenes)
    found = tuple(scenes[number] for number in range(len(listed)))
    check_alike(found)
    return found


def _scene(listed: Listed, header: _Header, kept: dict[Any, Any]) -> Scene:
    facts = header._asdict() | {"crs": crs_of(header.crs)}
    for name in ("reading", "palette"):
        facts[name] = kept.setdefault(facts[name], facts[name])
    return Scene(listed=listed, **facts)


@lru_cache
def crs_of(wkt: str) -> CRS:
    """The CRS of a WKT; the same object for the same text.

    Raises:
        CRSError: it is not a CRS.
    """
    return CRS.from_wkt(wkt)


def _raise(listed: Sequence[Listed], faults: Mapping[int, _Fault], scenes: Mapping[int, Scene]) -> None:
    """Raise an error that names all faults, if there are any, and the readable `scenes` that differ from most.

    Raises:
        BadScenes, BadSource, BadOption: there are.
    """
    if not faults:
        return
    ordered = [(listed[number].address, faults[number]) for number in sorted(faults)]
    (address, first), *_ = ordered
    if first.option and all(fault == first for _, fault in ordered) and len(ordered) == len(listed):
        raise BadOption(first.option)
    if len(listed) == 1:
        raise BadSource(address, first.why)
    unreadable = [(address, fault.why) for address, fault in ordered]
    others, cures = differing([scenes[number] for number in sorted(scenes)])
    if not others:
        raise BadScenes(len(listed), unreadable)
    cure = f"remove them from the list, mend those that cannot be read, and of the others {' or '.join(cures)}"
    fault = f"cannot be part of the layer, {len(unreadable)} cannot be read and {len(others)} {DIFFER}"
    raise BadScenes(len(listed), [*unreadable, *others], fault, cure)


def _reader(options: Options, *, checksum: bool) -> Callable[[Sequence[_Wanted]], list[_Answer]]:
    return partial(_read_batch, options, checksum)


def _read_batch(options: Options, checksum: bool, batch: Sequence[_Wanted]) -> list[_Answer]:
    """Read scenes; those whose fingerprint is as before are not opened."""
    prints = dict(_fingerprints(options, batch, checksum=checksum))
    with rasterio.Env(session=DummySession()):  # one for all: it takes longer to enter than to use
        answers = [_Answer(each.number, _read(options, each, prints[each.number])) for each in batch]
    forget()
    return answers


def _fingerprints(options: Options, batch: Sequence[_Wanted], *, checksum: bool) -> Iterator[tuple[int, str | _Fault]]:
    """The fingerprint of each scene; those of objects are requested at the same time."""

    def made(each: _Wanted) -> tuple[int, str | _Fault]:
        try:
            return each.number, fingerprint(each.listed, options, checksum=checksum, before=each.before)
        except (TilerError, OSError) as error:
            return each.number, _fault(error, each.listed)

    far = [each for each in batch if is_remote(each.listed.path)]
    yield from overlap(made, far)
    yield from (made(each) for each in batch if not is_remote(each.listed.path))


def _read(options: Options, wanted: _Wanted, mark: str | _Fault) -> _Header | _Fault | None:
    if isinstance(mark, _Fault):
        return mark
    if mark == wanted.before:
        return None
    try:
        return header_of(wanted.listed.path, options, mark)
    except (TilerError, OSError) as error:
        return _fault(_named_cause(error, wanted.listed.path, options), wanted.listed)


def header_of(path: str, options: Options, mark: str) -> _Header:
    """Read the header of a scene; `mark` is its fingerprint.

    Raises:
        BadSource, BadOption, SourceReadError: it cannot become part of a layer.
        StoreError: the network failed.
    """
    open_options = OpenOptions.of(options)
    dataset = opened_safely(path, open_options)
    check_header(dataset, open_options)
    reading = plain_reading(dataset, options)
    return _Header(
        fingerprint=mark,
        crs=dataset.crs.to_wkt(),
        size=(dataset.width, dataset.height),
        transform=dataset.transform[:6],
        bounds=lonlat_bounds(dataset),
        resolution=resolution_of(dataset),
        dtype=baked_dtype(dtype_of(dataset, reading.bands[0])),
        reading=reading,
        palette=palette_for(dataset, reading, options),
    )


def _named_cause(error: TilerError | OSError, path: str, options: Options) -> TilerError | OSError:
    """The error that names the cure, if S3 refuses an object: GDAL's own names none."""
    if is_remote(path):
        try:
            check_readable(path, [path], options)
        except TilerError as named:
            return named
    return error


def _fault(error: TilerError | OSError, listed: Listed) -> _Fault:
    """The reason of an error, without the scene's path and without query strings."""
    if isinstance(error, BadSource):
        why = error.why
    elif isinstance(error, SourceReadError):
        cause = error.__cause__ or error
        read = cause.__cause__  # of rasterio's "Read failed"
        why = f"{read} (is the file complete?)" if read and str(cause).startswith("Read failed") else str(cause)
    elif isinstance(error, OSError):
        why = error.strerror or str(error)
    else:
        why = str(error)
    why = without_queries(why.replace(listed.path, listed.address), listed.path)
    return _Fault(why, why if isinstance(error, BadOption) else "")
