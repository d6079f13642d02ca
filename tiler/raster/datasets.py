"""Open rasters, cached per thread, with GDAL's errors translated."""

from __future__ import annotations

import atexit
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet
from xml.etree import ElementTree as ET

import rasterio
from affine import Affine
from rasterio._env import set_gdal_config
from rasterio._err import _ERROR_STACK, CPLE_BaseError, stack_errors
from rasterio._path import _parse_path
from rasterio.crs import CRS
from rasterio.errors import BandOverviewError, RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from tiler.errors import MissingObject, SourceReadError, StoreError
from tiler.raster import amplitude, bodies, gcps, s3_reads, subdatasets, vrt
from tiler.raster.geokeys import Reader
from tiler.raster.options import Nodata, Options
from tiler.storage import cog_header, gdal_reads

T = TypeVar("T")

OPEN_DATASETS = 128  # open datasets cached per thread: the scenes of a part, so that none is opened twice
BESIDE_FILE = "GDAL_DISABLE_READDIR_ON_OPEN"  # how GDAL looks for sidecars: FALSE lists the folder, TRUE asks by name
# GDAL options for its own network reads. They stay set: GDAL opens the members of a VRT when it reads them
NETWORK = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    # without this GDAL caches a failure as long as the process lives
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsicurl/:/vsigs/:/vsiaz/",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
}
# GDAL's own threads lose errors: a read of several members succeeds with zeros for those that failed
ONE_THREAD = ("VRT_NUM_THREADS", "GTI_NUM_THREADS")
# Files that a VRT may read as raw bytes, since GDAL 3.12; the second value is its default
RAW_BYTES = "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE"
ANY_FILE, BESIDE_VRT = "ALL", "SIBLING_OR_CHILD_OF_VRT_PATH"
# Drivers for sources: formats that contain their pixels. Others refer to files and servers in their headers.
DRIVERS = (
    *("GTiff", "COG", "VRT", "GTI", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "PNG", "JPEG", "JPEGXL", "WEBP"),
    *("GIF", "BIGGIF", "BMP", "AVIF", "HEIF", "HFA", "netCDF", "HDF4", "HDF4Image", "HDF5", "HDF5Image"),
    *("GRIB", "BAG", "S102", "S104", "S111", "AAIGrid", "GRASSASCIIGrid", "AIG", "SRTMHGT", "DTED", "USGSDEM"),
    *("ISG", "XYZ", "GPKG", "MBTiles", "NITF", "PCIDSK", "ENVI", "EHdr", "RST", "SAGA", "GSAG"),
    *("GSBG", "GS7BG", "PNM", "SGI", "Terragen", "ILWIS", "BT", "BYN", "NTv2", "GTX", "GXF"),
    *("KRO", "PCRaster", "LCP", "RMF", "RRASTER", "ACE2", "SIGDEM", "SDTS", "SAFE", "SENTINEL2"),
)
DESCRIPTIONS = ("VRT", "GTI")  # of them, those whose files refer to other files: on disks only
FAR_DRIVERS = tuple(each for each in DRIVERS if each not in DESCRIPTIONS)
INLINE = "vrt://"  # a VRT in one line: a name and options
BESIDE = re.compile(r":::BASE:::[^/\\]*")  # metadata of overviews in the same folder as their raster
REMOTE = re.compile(r"/vsi(s3|curl)/|(s3|https?)://")  # objects in S3 and on web servers
FAR = re.compile(r"/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs)|(?!file:)[a-z0-9+]+://")  # network paths
# permanent failures of a network path: an HTTP status, a message of S3, or a file of another format
REFUSED = re.compile(r"HTTP response code: 4(?!08|29)|does not exist|Access ?Denied|not authorized|not recognized")
UNKNOWN = re.compile(r"[`'](.*)' not recognized")  # the name of a file of no known format


class OpenOptions(NamedTuple):
    """How to open a source: with any GDAL driver (`trusted`) or only `DRIVERS`, and with what georeferencing.

    `subdataset` selects one of several rasters in a file. `crs`, and `bounds` or `geotransform`, override its own;
    `as_earth` moves it from another body to the earth. `gcps`, `resampling` and `nodata` apply to the warp of a raster
    with ground control points.
    """

    trusted: bool = False
    as_earth: bool = False
    crs: str = ""
    bounds: tuple[float, ...] = ()
    geotransform: tuple[float, ...] = ()
    subdataset: str = ""
    gcps: str = ""
    resampling: str = ""
    nodata: Nodata = None
    requester_pays: bool = False
    anonymous: bool = False

    @classmethod
    def of(cls, options: Options) -> OpenOptions:
        """The open options among the options of an ingest."""
        place = (options.crs, options.bounds, options.geotransform)
        warp = (options.gcps, options.resampling or "", options.nodata)
        s3 = (options.requester_pays, options.anonymous)
        return cls(options.trust_source, options.as_earth, *place, options.subdataset, *warp, *s3)

    @property
    def pixels(self) -> OpenOptions:
        """The options that change pixels: all but those of access."""
        return self._replace(trusted=False, requester_pays=False, anonymous=False)

    @property
    def placed(self) -> bool:
        """Whether the user gave the georeferencing."""
        return bool(self.bounds or self.geotransform)


PLAIN = OpenOptions()


def inline(name: str) -> str:
    """The path inside a `vrt://` name; any other name unchanged."""
    return name.removeprefix(INLINE).partition("?")[0] if name.startswith(INLINE) else name


@contextmanager
def translated(path: str, *, close: bool = True) -> Iterator[None]:
    """Translate GDAL's errors to `SourceReadError`, or to `StoreError` if the store or the network failed below it.

    An error below GDAL is raised even if GDAL ignored it: it treats directories that it could not read as empty, and
    may cache that, so all open datasets are closed. So they are after an error of GDAL: libtiff tries to read a list of
    blocks once, and later treats them as absent; not without `close`, if nothing was read. Only a missing file is left
    to GDAL, which looks for sidecars.
    """
    gdal_reads.fault()
    path = inline(path)
    try:
        yield
    except (RasterioError, BandOverviewError, CPLE_BaseError, OSError, ValueError) as error:
        cause = error.__cause__ or error
        with stack_errors():
            pass  # clears GDAL's error stack, so that the error is not raised again later
        forget(close=close)
        try:
            _raise_fault()
        except MissingObject as missing:
            raise SourceReadError(gdal_reads.shown(path), "no such object") from missing
        if FAR.match(path) and not _is_refused(path, f"{error} {cause}"):
            raise StoreError("read", path, cause) from error
        raise SourceReadError(gdal_reads.shown(path), cause) from error
    with suppress(MissingObject):
        _raise_fault()


def _is_refused(path: str, message: str) -> bool:
    """Whether a failure on the network is permanent: not if GDAL opened `path`, but does not recognize a member of it.

    It may be that the network failed while GDAL looked at the member, because it keeps that to itself.
    """
    unknown = UNKNOWN.search(message)
    own = REMOTE.sub("", path, count=1)
    return bool(REFUSED.search(message)) and (unknown is None or unknown[1].endswith(own))


def _raise_fault() -> None:
    """Raise the last error below GDAL, if there is one."""
    beneath = gdal_reads.fault()
    if beneath:
        forget(close=not isinstance(beneath, MissingObject))
        raise beneath


def checked(look: Callable[[], T]) -> T:
    """Call `look` and return its result; raise any error of GDAL, even one after which GDAL continues."""
    failure: Exception | None = None
    with stack_errors():  # without an exception, after which it would leave its handler in GDAL
        try:
            result = look()
        except Exception as error:  # noqa: BLE001
            failure = error
        signalled = list(_ERROR_STACK.get())
    if failure or signalled:
        raise failure or signalled[0]
    return result


def opened(path: str, level: int = 0, *, cog: bool = False, open_options: OpenOptions = PLAIN) -> DatasetReader:
    """The raster at `path`, kept open for this thread; `level` 1 is its first overview.

    A file that changes on disk is opened again, and one in S3 with renewed credentials. Use a dataset in one thread
    only. `cog` marks a baked COG, which has no sidecars to look for; its `path` comes from `gdal_reads.location`.

    Raises:
        SourceReadError: GDAL cannot open it with the permitted drivers.
        BadSource: it cannot be placed on the earth.
        StoreError: the store or the network failed, or there are no credentials for S3; a retry may succeed.
    """
    try:
        state = Path(path).stat()
        stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError:  # not a file: a GDAL name
        stamp = (0, 0, 0)
    credentials = 0 if cog else _configure(path, open_options)
    return _cache.opened(path, (*stamp, credentials), level, cog, open_options)


def _configure(path: str, open_options: OpenOptions) -> int:
    """Set GDAL's options for this thread's reads of `path`; return a number that changes with the credentials of S3."""
    for name, value in (NETWORK | dict.fromkeys(ONE_THREAD, "1")).items():
        set_gdal_config(name, value, normalize=False)
    set_gdal_config(RAW_BYTES, ANY_FILE if open_options.trusted else BESIDE_VRT)
    return s3_reads.configure(
        path,
        trusted=open_options.trusted,
        requester_pays=open_options.requester_pays,
        anonymous=open_options.anonymous,
    )


def _open(
    path: str, state: tuple[int, int, int, int], level: int, cog: bool, open_options: OpenOptions
) -> DatasetReader:
    base = None
    if level and not cog:  # the first in the cache: while it is open, GDAL does not read its directories again
        base = _cache.opened(path, state, 0, cog, open_options)
        if isinstance(base, vrt.VrtReader):
            with translated(path), rasterio.Env(session=DummySession(), **_settings(path, open_options)):
                return base.overview(level)
    options: dict[str, Any] = {"OVERVIEW_LEVEL": level - 1} if level else {}
    settings = {BESIDE_FILE: "EMPTY_DIR"} if cog else _settings(path, open_options)
    with translated(path), rasterio.Env(session=DummySession(), **settings):
        opener = gdal_reads.opener(path)
        if cog or opener:
            dataset = rasterio.open(path, driver="GTiff", **options, **opener)
            if cog:
                try:
                    with gdal_reads.header(path) as (part, size):
                        if not cog_header.is_intact(part, size):
                            raise ValueError(f"truncated or damaged ({size} bytes)")  # noqa: TRY301 - closed below
                except BaseException:
                    dataset.close()  # here, because rasterio cannot close it in another thread
                    raise
            return dataset
        drivers = None if open_options.trusted else _known(FAR_DRIVERS if REMOTE.match(path) else DRIVERS)
        path = _part(path, drivers, open_options.subdataset)
        dataset = Reader(_parse_path(path), driver=drivers, **options)
        description = None if base is not None else _description(dataset, open_options)
        if description is None:
            return dataset
        dataset.close()
        return vrt.VrtReader(description, dataset.name)


def is_lone(path: str, open_options: OpenOptions) -> bool:
    """Whether `path` is a raster in S3 that is not trusted to refer to others, and has no sidecars."""
    access = {"requester_pays": open_options.requester_pays, "anonymous": open_options.anonymous}
    return not open_options.trusted and s3_reads.is_alone(path, **access)


def _description(dataset: DatasetReader, open_options: OpenOptions) -> ET.Element | None:
    """A VRT of the raster with the options applied; None if they change nothing.

    Raises:
        BadOption: an option gives no valid place.
        BadSource: it cannot be placed on the earth.
    """
    crs, transform = _place(dataset, open_options)
    moved = vrt.placed(vrt.copy_of(dataset), crs, transform) if crs or transform else None
    if transform or not gcps.by_points(dataset):
        return moved
    warp = (open_options.gcps, open_options.resampling, open_options.nodata)
    if amplitude.is_complex(dataset):
        return _warped_amplitude(dataset, vrt.copy_of(dataset) if moved is None else moved, open_options)
    if moved is None and open_options.nodata == ():
        moved = vrt.copy_of(dataset)
    if moved is None:
        return gcps.unrolled(dataset, *warp)
    if open_options.nodata == ():
        vrt.forget_nodata(moved)
    with vrt.VrtReader(moved, dataset.name) as source:
        return gcps.unrolled(source, *warp)


def _warped_amplitude(dataset: DatasetReader, description: ET.Element, open_options: OpenOptions) -> ET.Element:
    nodata = math.nan if isinstance(open_options.nodata, float) else open_options.nodata or None
    with vrt.VrtReader(amplitude.amplitude_of(dataset, description, open_options.nodata), dataset.name) as source:
        return amplitude.name_bands(gcps.unrolled(source, open_options.gcps, open_options.resampling, nodata))


def part_of(path: str, open_options: OpenOptions) -> str:
    """GDAL's name of the raster at `path`: its own, or that of the selected subdataset.

    Raises:
        BadSource: there is no such subdataset.
        SourceReadError: no driver opens it.
        StoreError: the store or the network failed.
    """
    _configure(path, open_options)
    with translated(path), rasterio.Env(session=DummySession(), **_settings(path, open_options)):
        return _part(path, None if open_options.trusted else _known(DRIVERS), open_options.subdataset)


def _part(path: str, drivers: list[str] | None, subdataset: str) -> str:
    if not subdataset:
        return path
    with Reader(_parse_path(path), driver=drivers) as whole:
        return subdatasets.chosen(whole, subdataset)


def _place(dataset: DatasetReader, open_options: OpenOptions) -> tuple[CRS | None, Affine | None]:
    """The CRS and the geotransform that override a raster's own; None where it keeps its own.

    Raises:
        BadOption: they are invalid.
        BadSource: it cannot be placed on the earth.
    """
    crs = vrt.crs_of(open_options.crs) if open_options.crs else None
    transform = vrt.transform_of(open_options.bounds, open_options.geotransform, dataset.width, dataset.height)
    if open_options.as_earth:
        moved = bodies.on_earth(crs or dataset.crs, transform or dataset.transform, dataset.name)
        if moved:
            return CRS.from_epsg(4326), moved
    return crs, transform


@contextmanager
def as_it_is(path: str, open_options: OpenOptions) -> Iterator[DatasetReader]:
    """Open the raster at `path` briefly, with its own georeferencing.

    Raises:
        SourceReadError, StoreError: as `opened`.
    """
    _configure(path, open_options)
    with translated(path), rasterio.Env(session=DummySession(), **_settings(path, open_options)):
        drivers = None if open_options.trusted else _known(DRIVERS)
        with Reader(_parse_path(path), driver=drivers) as dataset:
            yield dataset


def probed(path: str, drivers: Sequence[str], open_options: OpenOptions = PLAIN) -> list[str]:
    """The files of the raster at `path`, opened only by `drivers`, or by any driver if none are given.

    Raises:
        SourceReadError: no driver opens it, or its metadata refers to overviews elsewhere.
        StoreError: the store or the network failed.
    """
    _configure(path, open_options)
    with (
        translated(path),
        rasterio.Env(session=DummySession(), **_settings(path, open_options)),
        Reader(_parse_path(path), driver=_known(tuple(drivers))) as dataset,
    ):
        named = {key.upper(): value for key, value in dataset.tags(ns="OVERVIEWS").items()}.get("OVERVIEW_FILE")
        if drivers and named and not BESIDE.fullmatch(named):
            raise SourceReadError(path, "its metadata refers to overviews elsewhere")
        return list(dataset.files)


def versions() -> tuple[str, str]:
    """The versions of GDAL and of rasterio."""
    return rasterio.__gdal_version__, rasterio.__version__


@cache
def _known(drivers: tuple[str, ...]) -> list[str] | None:
    """The `drivers` that this GDAL has; None means any driver."""
    with rasterio.Env(session=DummySession()) as env:
        available = env.drivers()
    return [each for each in drivers if each in available] or None


def _settings(path: str, open_options: OpenOptions) -> dict[str, str]:
    """GDAL's options to open `path`. Listing a folder of many files takes longer than opening one of them."""
    if os.path.isfile(path):  # noqa: PTH113 - speed
        return {BESIDE_FILE: "TRUE"}
    return {BESIDE_FILE: "EMPTY_DIR" if is_lone(path, open_options) else "FALSE"}


@atexit.register
def forget(*, close: bool = False) -> None:
    """Close this thread's datasets, in case a sidecar or a member of a VRT has changed, and drop what it read.

    `close` includes those in frames of an error, which may live long: GDAL shares members, and failed reads of them.
    """
    for dataset in list(_cache.alive) if close else ():
        dataset.close()
    _cache.opened.cache_clear()
    gdal_reads.forget()
    s3_reads.is_alone.cache_clear()


class _Cache(threading.local):
    """Open datasets of each thread: one in a store that another thread closes would crash the process."""

    def __init__(self) -> None:
        self.opened = lru_cache(maxsize=OPEN_DATASETS)(self._open)
        self.alive = WeakSet[DatasetReader]()  # those that were opened and are still referred to

    def _open(self, *words: Any) -> DatasetReader:
        self.alive.add(dataset := _open(*words))
        return dataset


_cache = _Cache()
