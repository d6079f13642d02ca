"""Open a scene once its files are known to be safe to read; one without others beside it is opened only once."""

from __future__ import annotations

from pathlib import Path

from rasterio.io import DatasetReader

from tiler.errors import BadSource, SourceReadError
from tiler.inputs import check_source
from tiler.raster.datasets import BESIDE, OpenOptions, is_lone, opened
from tiler.scenes.fingerprint import is_plain
from tiler.scenes.sidecars import ROOTS, head_of, sidecars
from tiler.scenes.source_files import Walk, beneath


def opened_safely(path: str, open_options: OpenOptions) -> DatasetReader:
    """The scene at `path`, opened as by `opened` after the checks of `beneath`.

    Raises:
        BadSource: no supported driver opens it, or it refers to a forbidden member.
        StoreError: the network failed.
    """
    check_source(path)
    file = Path(path.removeprefix("file://"))
    lone = not open_options.subdataset and (
        is_lone(path, open_options) or (is_plain(file) and not any(map(_described, sidecars(file))))
    )
    if lone:
        Walk(path, open_options).check_sidecar(file)
    else:
        beneath(path, open_options)
    try:
        dataset = opened(path, open_options=open_options)
        if lone and not open_options.trusted:
            _check_overviews(dataset, path)
    except SourceReadError as error:
        raise BadSource(path, f"GDAL cannot open it ({error.__cause__ or error})") from error
    return dataset


def _described(sidecar: Path) -> bool:
    return bool(ROOTS.search(head_of(sidecar)))


def _check_overviews(dataset: DatasetReader, path: str) -> None:
    """Reject a raster whose own metadata refers to overviews elsewhere; `beneath` does for all others.

    Raises:
        SourceReadError: it does.
    """
    named = {key.upper(): value for key, value in dataset.tags(ns="OVERVIEWS").items()}.get("OVERVIEW_FILE")
    if named and not BESIDE.fullmatch(named):
        raise SourceReadError(path, "its metadata refers to overviews elsewhere")
