"""Virtual layers of rasters on the web: a server's temporary faults are distinguished from permanent ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from mercantile import Tile

from tests.support.effort import some
from tests.support.layers import silent
from tests.support.oracle import alone, landscape, tiles_of
from tests.support.rangeserver import Served, serving
from tests.support.rasters import MakeRaster, Recipe, write_raster
from tests.support.site import memory
from tiler.errors import SourceReadError, StoreError
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer
from tiler.raster import datasets
from tiler.raster.datasets import forget
from tiler.raster.options import Options
from tiler.storage.store import Stores

pytestmark = pytest.mark.usefixtures("collected")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A web server with a raster."""
    folder = tmp_path_factory.mktemp("web")
    write_raster(folder / "alps.tif", Recipe(values=landscape(1200, 1600), overviews=(2, 4)))
    with serving(folder) as served:
        yield served


Virtual = tuple[Served, Layer, Callable[[int], bytes | None]]


@pytest.fixture(scope="module", params=["", "/vsicurl/"], ids=["url", "vsicurl"])
def layered(request: pytest.FixtureRequest, web: Served) -> Iterator[Virtual]:
    """A virtual layer of a raster on the web, and a function that renders its deepest tiles, by number."""
    stores = Stores(memory(), memory(), "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.NETWORK, "GDAL_HTTP_RETRY_DELAY", "0.01")  # seconds, doubled at each retry
        source = f"{request.param}{web.url}/alps.tif"
        layer = ingest(source, "web", Options(virtual=True), stores, jobs=1, progress=silent).layer
        (inside,) = layer.ranges(layer.maxzoom)

        def draw(number: int) -> bytes | None:
            tile = Tile(x=inside.x0 + 1 + number, y=inside.y0 + 1 + number, z=layer.maxzoom)
            return alone(layer, stores, tile)

        yield web, layer, draw


@pytest.fixture
def virtual(layered: Virtual) -> Virtual:
    """The same without faults, with nothing open."""
    layered[0].weather("fair")
    forget()
    return layered


@pytest.mark.parametrize("weather", some(["503", "429", "drop", "cut"], "503", "drop", "cut"))
@pytest.mark.parametrize("begun", [False, True], ids=["opening", "reading"])
def test_a_web_server_that_fails_is_a_store_error_and_the_next_try_is_as_good_as_new(
    weather: str, begun: bool, virtual: Virtual
) -> None:
    web, layer, draw = virtual
    truth = draw(3)
    forget()
    if begun:
        assert draw(0)
    web.weather(weather)
    with pytest.raises(StoreError) as caught:
        draw(3)
    assert layer.source in str(caught.value)
    web.weather("fair")
    assert draw(3) == truth


@pytest.mark.parametrize("weather", ["503", "429"])
@pytest.mark.parametrize("begun", [False, True], ids=["opening", "reading"])
def test_a_web_server_that_fails_for_a_moment_is_asked_again(weather: str, begun: bool, virtual: Virtual) -> None:
    web, _, draw = virtual
    truth = draw(3)
    forget()
    if begun:
        assert draw(0)
    web.weather(weather, 3)  # requests
    assert draw(3) == truth


@pytest.mark.parametrize("weather", ["404", "410"])
def test_a_raster_that_the_web_no_longer_has_cannot_be_read_until_it_is_back(weather: str, virtual: Virtual) -> None:
    web, layer, draw = virtual
    truth = draw(3)
    forget()
    web.weather(weather)
    with pytest.raises(SourceReadError) as caught:
        draw(3)
    assert layer.source in str(caught.value)
    web.weather("fair")
    assert draw(3) == truth


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_raster_that_its_folder_no_longer_has_cannot_be_read(form: str, make_raster: MakeRaster) -> None:
    path = make_raster(values=landscape(200, 300))
    stores = Stores(memory(), memory(), "")
    layer = ingest(form.format(path), "folder", Options(virtual=True), stores, jobs=1, progress=silent).layer
    path.unlink()
    forget()
    with pytest.raises(SourceReadError, match=path.name):
        alone(layer, stores, tiles_of(layer, layer.maxzoom)[0])
