"""Only the listed drivers ever open a source, unless it is trusted."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil

from tests.support.imports import MODULES
from tests.support.layers import MakeLayer
from tests.support.oracle import drawn, tiles_of
from tests.support.rasters import MakeRaster, scene
from tests.support.site import memory
from tiler.errors import BadSource, SourceReadError
from tiler.ingest.baker import Baker, Below
from tiler.ingest.examine import examined
from tiler.ingest.survey import survey
from tiler.raster.datasets import DRIVERS, OpenOptions, forget, opened
from tiler.raster.options import Options
from tiler.scenes.safe_open import opened_safely
from tiler.storage.store import Stores

OTHER = "MRF"  # names another file in its header


def retold(path: Path) -> None:
    """Have a file of the other driver at `path`, of the same pixels."""
    copy = path.with_name("copy.tif")
    path.rename(copy)
    rasterio.shutil.copy(str(copy), str(path), driver=OTHER)
    with rasterio.open(path) as dataset:
        assert dataset.driver == OTHER
        assert dataset.driver not in DRIVERS
    forget()


@pytest.mark.parametrize("trusted", [False, True])
def test_a_virtual_layer_is_drawn_only_with_them(
    trusted: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=scene(60, 60))
    layer = replace(make_layer(path, virtual=True, trust_source=trusted), origins=())  # it is written anew below
    tile = tiles_of(layer, layer.maxzoom)[0]
    before = drawn(layer, stores, tile)
    retold(path)
    if trusted:
        assert (drawn(layer, stores, tile) == before).all()
    else:
        with pytest.raises(SourceReadError):
            drawn(layer, stores, tile)


def test_a_bake_opens_only_with_them(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(values=scene(60, 60))
    plain, trusted = (survey(str(path), Options(trust_source=each)) for each in (False, True))
    retold(path)
    below = Below("layer", memory(), {}, {})
    Baker(trusted, 0, tmp_path, None, below)
    with pytest.raises(SourceReadError):
        Baker(plain, 0, tmp_path, None, below)


def test_a_survey_opens_only_with_them(make_raster: MakeRaster) -> None:
    path = make_raster(values=scene(60, 60))
    retold(path)
    assert survey(str(path), Options(trust_source=True)).bounds
    for refused in (survey, examined):
        with pytest.raises(BadSource, match="GDAL cannot open it"):
            refused(str(path), Options())
    with pytest.raises(BadSource, match="if it is a rare format, add --trust-source"):
        examined(str(path), Options())


@pytest.mark.parametrize(
    ("text", "is_list"),
    [
        ("a.tif\n", True),
        ("\ufeff# mine\n\n  https://host.test/b.TIF?sig=x\n", True),
        ("s3://maps/c.jp2\n", True),
        ("beside\n", True),
        ("nothing\n", False),
        ("# a.tif\n", False),
        ("", False),
        ("a.tif\0\n", False),
        ("x" * 5000, False),
    ],
)
def test_a_text_list_is_refused_with_its_sign(text: str, is_list: bool, tmp_path: Path) -> None:
    (tmp_path / "beside").touch()
    path = tmp_path / "list.txt"
    path.write_text(text)
    for refused in (lambda: examined(str(path), Options()), lambda: opened_safely(str(path), OpenOptions())):
        with pytest.raises(BadSource) as caught:
            refused()
        assert (caught.value.why == f"it is a text list: write @{path}") == is_list


def test_a_folder_of_rasters_is_refused_with_the_way_to_one_raster(make_raster: MakeRaster) -> None:
    with pytest.raises(BadSource, match="it is a folder: ingest one raster, or a VRT"):
        examined(str(make_raster(values=scene(60, 60)).parent), Options())


@pytest.mark.parametrize("level", [0, 1])
def test_nothing_is_opened_otherwise_unless_it_is_said(level: int, make_raster: MakeRaster) -> None:
    path = make_raster(values=scene(600, 600), overviews=(2,))
    assert opened(str(path), level).driver == "GTiff"
    retold(path)
    assert opened(str(path), open_options=OpenOptions(trusted=True)).driver == OTHER
    with pytest.raises(SourceReadError):
        opened(str(path), level)
    with pytest.raises(SourceReadError):
        opened(str(path), level, cog=True)


def test_rasters_are_opened_in_one_module() -> None:
    """Nothing bypasses the list of drivers; an opened raster may be read through a VRT of it."""
    homes: dict[str, set[str]] = {
        name: set() for name in ("rasterio.open", "DatasetReader", "Reader", "WarpedVRT", "MemoryFile")
    }
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in homes:
                homes[ast.unparse(node.func)].add(module)
    assert homes == {
        "rasterio.open": {"tiler.raster.datasets"},
        "DatasetReader": set(),
        "Reader": {"tiler.raster.datasets"},
        "WarpedVRT": {"tiler.raster.gcps"},
        "MemoryFile": {"tiler.raster.vrt"},
    }
