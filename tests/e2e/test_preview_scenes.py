"""The preview of a layer of many scenes: their outlines on the map, and the name of the one under the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.e2e.wire import files_served
from tests.support.rasters import Recipe, write_raster

if TYPE_CHECKING:
    from tests.e2e.browser import Colour, Desk, Look, Place, Window

pytest_plugins = ["tests.e2e.browser"]

WEST, EAST = (0.0, 0.0, 10.0, 10.0), (8.0, 0.0, 18.0, 10.0)  # degrees
INSIDE: dict[Place, str] = {(4.0, 5.0): "west.tif", (9.0, 5.0): "east.tif", (14.0, 5.0): "east.tif"}
SIDE = (8.0, 5.0)  # of the upper scene, within the lower
LINES = {"light": (36, 88, 184), "dark": (143, 180, 255)}


@pytest.fixture
def scenes(desk: Desk) -> str:
    """A layer of two scenes that overlap."""
    paths = []
    for name, bounds, value in (("west", WEST, 120), ("east", EAST, 200)):
        recipe = Recipe(values=np.full((3, 256, 256), value, np.uint8), bounds=bounds)
        paths.append(str(write_raster(desk.data / f"{name}.tif", recipe)))
    desk.run("ingest", *paths, "--layer", "scenes", "--jobs", "1", "--format", "png")
    return "scenes"


def lined(window: Window, place: Place, line: Colour) -> bool:
    """Whether a line of this colour is seen at a place."""
    picture = window.picture()
    ((x, y),) = window.spots([place])
    seen = [picture.getpixel((int(x) + step, int(y))) for step in range(-2, 3)]
    return bool(np.abs(np.subtract(seen, line)).max(axis=1).min() <= 3)


@pytest.mark.parametrize("scheme", sorted(LINES))
def test_outlines_are_drawn_if_asked_and_the_scene_under_the_mouse_is_named(
    desk: Desk, look: Look, scenes: str, scheme: str
) -> None:
    with look(f"{desk.url}/{scenes}/#5/5/9/about", color_scheme=scheme) as window:
        window.still()
        assert not lined(window, SIDE, LINES[scheme])
        assert not [each.url for each in window.requests if "geojson" in each.url]
        window.part("scenes-toggle").check()
        window.until(lambda: "2 scenes" in window.part("scene").inner_text())
        window.still()
        assert lined(window, SIDE, LINES[scheme])
        assert window.part("scene-list").locator("li").all_inner_texts() == ["east", "west"]
        for place, name in INSIDE.items():
            ((x, y),) = window.spots([place])
            window.page.mouse.move(x, y)
            window.until(lambda name=name: f"/{name} · 4" in window.part("scene").inner_text())  # metres per pixel
        ((x, y),) = window.spots([(9.0, -3.0)])
        window.page.mouse.move(x, y)
        window.until(lambda: "2 scenes" in window.part("scene").inner_text())
        window.part("scenes-toggle").uncheck()
        window.still()
        assert window.part("scene").inner_text() == ""
        assert not lined(window, SIDE, LINES[scheme])


def test_a_layer_of_one_raster_has_no_scenes_to_show(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#about") as window:
        assert not window.part("scenes-toggle").is_visible()


def test_a_published_page_shows_scenes_only_if_they_were_published(desk: Desk, look: Look, scenes: str) -> None:
    desk.run("seed", scenes, "--zooms", "0-4", "--jobs", "1")
    with files_served(desk.data / "tiles") as address:
        desk.run("publish-preview", scenes)
        with look(f"{address}/{scenes}/#4/5/9/about") as window:
            window.still()
            assert not window.part("scenes-toggle").is_visible()
        desk.run("publish-preview", scenes, "--scenes")
        with look(f"{address}/{scenes}/#4/5/9/about") as window:
            window.still()
            window.part("scenes-toggle").check()
            window.until(lambda: "2 scenes" in window.part("scene").inner_text())
