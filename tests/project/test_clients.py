"""The judgement of `scripts/clients`, which itself is not part of CI: what passes for a tile that a client drew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clients.run import GOOD, TILE, tried, truth
from tests.clients.sites import LAYER, Place, local
from tests.clients.view import CLOSE, Client, Failed, View, distance, picture
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.served import ask


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "alps.tif", Recipe(values=scene()))


def get(view: View, _folder: Path) -> Image.Image:
    """What a client draws that follows redirects and leaves out what is not found."""
    x, y, z = view.tile
    out = Image.new("RGB", (256, 256), "white")
    for column in (x - 1, x):
        answer = ask(view.template.format(x=column, y=y, z=z), redirect=True)
        if answer.status == 200:
            out.paste(picture(answer.data), (round(256 * (column - x + view.west)), 0))
    return out


def stop(view: View, folder: Path) -> Image.Image:
    """What a client draws that gives up when a tile is not found."""
    if view.west:
        raise Failed("404")
    return get(view, folder)


def blank(_view: View, _folder: Path) -> Image.Image:
    return Image.new("RGB", (256, 256), "white")


def broken(_view: View, _folder: Path) -> Image.Image:
    raise Failed("exit 1: it is not installed\nmore")


def test_a_client_passes_that_draws_the_tile_and_none_that_draws_nothing_or_breaks(
    raster: Path, tmp_path: Path
) -> None:
    wanted = truth(raster)
    with local(raster, tmp_path) as place:
        good, *bad = (tried(Client("it", lambda: "1.0", draw), place, wanted) for draw in (get, blank, broken, stop))
    assert good.good
    assert good[:3] == ("it", "1.0", "local")
    assert not any(row.good for row in bad)
    assert bad[0].kept == "no"
    assert "levels off" in bad[0].unstored
    assert bad[1].stored == "no: exit 1: it is not installed"
    assert bad[2][3:] == (GOOD, GOOD, GOOD, "no: 404")


def test_a_client_that_draws_a_tile_which_is_not_stored_thereafter_does_not_pass(raster: Path) -> None:
    wanted = truth(raster)
    nowhere = Place("nowhere", "http://tiles.test", set, lambda: None)
    row = tried(Client("it", lambda: "1.0", lambda view, _: wanted.edge if view.west else wanted.tile), nowhere, wanted)
    assert (row.unstored, row.kept, row.stored, row.edge) == (GOOD, "no", GOOD, GOOD)
    assert not row.good


def test_a_picture_may_be_a_pixel_off_and_no_other_place(raster: Path) -> None:
    wanted = truth(raster).tile
    pixels = np.asarray(wanted)
    for axis in (0, 1):
        assert distance(wanted, Image.fromarray(np.roll(pixels, 1, axis))) < CLOSE
        assert distance(wanted, Image.fromarray(np.roll(pixels, 20, axis))) > 2 * CLOSE
    assert distance(wanted, wanted.resize((128, 128))) == float("inf")


def test_the_view_is_the_tile_or_lies_west_of_it() -> None:
    view, west = (View("http://tiles.test", LAYER, TILE, west) for west in (0.0, 0.5))
    width = 2 * 20037508.342789244 / 2**TILE.z  # metres
    assert view.box.right - view.box.left == west.box.right - west.box.left == pytest.approx(width)
    assert west.box.left == pytest.approx(view.box.left - width / 2)
    assert view.middle == pytest.approx((7.03125, 46.0732306), abs=1e-6)
