"""After an error of GDAL no dataset stays open, whoever still holds the error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.damaged import cut
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import SourceReadError
from tiler.raster.datasets import opened, translated


def test_the_frames_of_an_error_keep_no_dataset_open(tmp_path: Path) -> None:
    torn, whole = (write_raster(tmp_path / f"{name}.tif", Recipe(scene(300, 300))) for name in ("torn", "whole"))
    torn.write_bytes(cut(torn.read_bytes()))
    datasets = [opened(str(path)) for path in (torn, whole)]
    with pytest.raises(SourceReadError), translated(str(torn)):
        datasets[0].read()
    assert all(dataset.closed for dataset in datasets)
    assert opened(str(whole)).read().any()
