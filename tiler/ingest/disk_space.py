"""Disk space: a scratch folder, and checks that a bake fits.

A bake needs room for all parts, and in the scratch folder for a few, which are assembled from spool files.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import rasterio.windows
from rasterio.io import DatasetReader

from tiler.alive import alive
from tiler.errors import NoRoom
from tiler.grid import TILE, resolution
from tiler.ingest.cog import Profile, compress_values
from tiler.ingest.survey import Survey
from tiler.raster.datasets import opened, translated
from tiler.raster.pixels import pixels
from tiler.raster.reading import Reading
from tiler.raster.sparse import gaps_of
from tiler.scenes.scene import Scene
from tiler.storage.folder import permission_needed

SCRATCH = "seeder-ingest-"  # prefix of scratch folders; the process id follows
LIMITS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a write, which name no path
SAMPLE = 6  # blocks to compress along each side
OVERVIEWS = 4 / 3  # pixels of all levels per pixel of the base
SURE = 2  # safety factor of an estimate from a sample


@contextmanager
def scratch(parent: Path, *, remove: bool = False) -> Iterator[Path]:
    """A temporary folder in `parent`; also removes those of killed ingests, and with `remove` an empty `parent`.

    Raises:
        NoRoom: the disk is full.
        StoreError: the data folder is read-only.
        OSError: another system error; it names a path.
    """
    with permission_needed(parent):
        parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(f"{SCRATCH}*"):
        number = old.name.split("-")[2]
        if number.isdecimal() and not alive(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    try:
        with _temporary(parent) as folder:
            yield folder
    finally:
        if remove:
            with suppress(OSError):  # another ingest may have its folder there
                parent.rmdir()


def sweep_scratch(parent: Path) -> None:
    """Remove all scratch folders in `parent`, where no other process has one."""
    for old in parent.glob(f"{SCRATCH}*"):
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    with permission_needed(parent):
        folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-", dir=parent))
    try:
        yield folder
    except OSError as error:
        if error.filename or error.errno not in LIMITS:
            raise
        needed, free = 2 * _used(folder, "*.spool"), _free(folder) + _used(folder, "*")
        if error.errno == errno.ENOSPC and needed > free:
            raise NoRoom(str(parent), needed, free) from error
        raise OSError(error.errno, error.strerror, str(parent)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # rmtree needs file handles, which may have run out; rmdir needs none
            folder.rmdir()


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _used(folder: Path, pattern: str) -> int:
    """Total bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.glob(pattern))


def check_target(root: Path, survey: Survey) -> None:
    """Stop before a bake whose parts certainly need more than the free space of the data folder `root`.

    They are estimated from a sample of the raster.

    Raises:
        NoRoom: it needs more.
        SourceReadError: the sample cannot be read.
    """
    dataset, free = opened(survey.path, open_options=survey.open_options), _free(root)
    shrink = 4.0 ** (survey.zoom - survey.base)
    gaps = None if survey.scenes else gaps_of(dataset, survey.reading)
    share = float(gaps.written.mean()) if gaps else 1.0
    pixels_read = sum(_pixels_at_zoom(scene, survey.zoom) for scene in survey.scenes) or dataset.width * dataset.height
    area = OVERVIEWS * pixels_read * share / shrink
    depth = np.dtype(survey.dtype).itemsize * survey.reading.count
    if SURE * area * depth <= free:
        return
    needed = int(area * _bytes_per_pixel(survey))
    if needed > SURE * free:
        raise NoRoom(str(root), needed, free)


def _pixels_at_zoom(scene: Scene, zoom: int) -> float:
    """The pixels of a scene at a zoom, about."""
    width, height = scene.size
    return width * height * (scene.resolution / resolution(zoom)) ** 2


def _bytes_per_pixel(survey: Survey) -> float:
    """Compressed bytes per pixel, from blocks across the raster, or across the first scene."""
    reading = survey.scenes[0].reading if survey.scenes else survey.reading
    dataset = opened(survey.path, open_options=survey.open_options)
    profile = Profile(survey.dtype, survey.reading.count, survey.style.palette)
    width, height = min(TILE, dataset.width), min(TILE, dataset.height)
    size = area = 0
    with translated(survey.path):
        for row, column in _spread(dataset, reading, dataset.height - height, dataset.width - width):
            window = rasterio.windows.Window(column, row, width, height)
            values, mask = pixels(dataset, reading, window=window)
            size += len(compress_values((values * (mask > 0)).astype(survey.dtype), profile))
            area += mask.size
    return size / area


def _spread(dataset: DatasetReader, reading: Reading, rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Rows and columns, at most `rows` and `columns`, spread over the raster, or over its written parts if sparse."""
    gaps = gaps_of(dataset, reading)
    if gaps and gaps.written.any():
        yield from ((min(row, rows), min(column, columns)) for row, column in gaps.spread(SAMPLE**2))
        return
    for row in np.unique(np.linspace(0, rows, SAMPLE).astype(int)).tolist():
        yield from ((row, column) for column in np.unique(np.linspace(0, columns, SAMPLE).astype(int)).tolist())


def check_rest(folder: Path, spooled: int) -> None:
    """Stop a bake if a part cannot be assembled beside its `spooled` bytes.

    Raises:
        NoRoom: it cannot fit.
    """
    free = _free(folder)
    if spooled > free:
        raise NoRoom(str(folder.parent), 2 * spooled, free + spooled)
