"""The preview in a real browser: what is seen is the layer, and what is asked for is what is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mercantile
import numpy as np
import pytest
from mercantile import Tile
from PIL import Image
from playwright.sync_api import expect

from tests.support.damaged import damage

if TYPE_CHECKING:
    from playwright.sync_api import Route

    from tests.e2e.browser import Colour, Desk, Look, Place, Window

pytest_plugins = ["tests.e2e.browser"]

SEEN = [(-17.0, 17.0), (-8.0, 8.0), (1.0, -1.0), (2.0, -1.0), (20.0, 17.0), (-17.0, -20.0), (1.0, -2.0)]
CLEAR = [(11.0, -11.0), (3.0, -3.0), (19.0, -19.0)]  # where the layer is transparent, and no line of the graticule runs
INNER = "6/8.5/-9"  # zoom, latitude and longitude of a view that lies within the first quarter
BEYOND = "6/8.5/-17"  # of one across the west edge


def alike(one: Colour, other: Colour, most: int = 3) -> bool:
    return bool(np.abs(np.subtract(one, other)).max() <= most)


def bare(window: Window) -> None:
    """Show the layer without outlines below it."""
    window.tab("look")
    window.part("base-none").check()


def ground(window: Window) -> Colour:
    """The colour below the layer."""
    red, green, blue = window.page.evaluate(
        "getComputedStyle(document.querySelector('#stage')).backgroundColor.match(/\\d+/g).map(Number)"
    )
    return red, green, blue


def in_view(window: Window, desk: Desk, z: int) -> set[Tile]:
    """The tiles of the layer that the map shows a part of."""
    inside = desk.layer("flats").ranges(z)
    return {tile for tile in mercantile.tiles(*window.view, z) if any(tile in part for part in inside)}


def test_the_preview_shows_the_rasters_own_colours_and_the_ground_where_it_is_clear(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/", color_scheme="light") as window:
        bare(window)
        grounds = set()
        for scheme in ("light", "dark"):
            window.page.emulate_media(color_scheme=scheme)
            window.still()
            window.until(lambda: all(map(alike, window.colours(SEEN), desk.truth("flats", SEEN))))
            assert set(window.colours(CLEAR)) == {ground(window)}
            grounds.add(ground(window))
        assert len(grounds) == 2
        assert len(set(desk.truth("flats", SEEN))) == 3


@pytest.mark.parametrize(
    "script",
    [
        "console.error('trouble')",
        "new Promise((done) => setTimeout(() => { setTimeout(done); throw new Error('trouble') }))",
        "fetch('/_/layers/trouble').then(() => {})",
        "fetch('http://trouble.test:9/').catch(() => {})",
    ],
)
def test_a_page_that_complains_or_asks_a_stranger_fails_its_test(desk: Desk, look: Look, script: str) -> None:
    with pytest.raises(AssertionError, match="trouble"), look(f"{desk.url}/") as window:
        window.page.evaluate(script)


def test_what_is_not_warm_is_rendered_stored_and_from_then_on_there(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#{INNER}") as window:
        window.still()
        first = in_view(window, desk, 6)
        assert desk.tiles("flats") == first
        window.page.mouse.move(300, 300)
        window.page.mouse.down()
        window.page.mouse.move(40, 240, steps=3)
        window.page.mouse.up()
        window.still()
        second = in_view(window, desk, 6)
        assert second - first
        assert desk.tiles("flats") >= first | second
        assert window.summary == {"stored": 0, "rendered": len(second), "empty": 0, "failed": 0}
        window.page.reload()
        window.still()
        assert in_view(window, desk, 6) == second
        assert window.summary == {"stored": len(second), "rendered": 0, "empty": 0, "failed": 0}


def test_no_tile_outside_the_layer_is_asked_for(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#{BEYOND}") as window:
        window.still()
        assert window.view.west < -20
        asked = {tile for tile, _ in window.asked("flats")}
        assert asked == in_view(window, desk, 6) == desk.tiles("flats")
        window.jump(6, 8.5, -60)
        assert {tile for tile, _ in window.asked("flats")} == asked
        assert sum(window.summary.values()) == 0


def test_transparent_tiles_count_as_empty(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#6/-12.5/12.5") as window:
        window.still()
        assert window.summary == {"stored": 0, "rendered": 0, "empty": len(in_view(window, desk, 6)), "failed": 0}
        assert window.summary["empty"] > 4


def test_a_source_that_cannot_be_read_shows_as_failed_and_nothing_is_stored(desk: Desk, look: Look) -> None:
    damage(desk.data, lambda _: b"no COG", "flats")
    with look(f"{desk.url}/flats/#{INNER}", excused="/_/render/flats/|/flats/6/|/_/thumbnail/") as window:
        window.still()
        failed = in_view(window, desk, 6)
        window.until(lambda: window.summary["failed"])
        assert window.summary == {"stored": 0, "rendered": 0, "empty": 0, "failed": len(failed)}
        assert not desk.tiles("flats")
        assert window.page.locator(".wait.failed").count() == len(failed)
        expect(window.page.locator(".wait.failed").first).to_have_text("error 502")
        assert not set(window.colours([(-9.0, 8.3), (-8.2, 8.9)])) & set(desk.truth("flats", SEEN))


def test_a_dense_screen_gets_the_large_tiles(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#{INNER}", device_scale_factor=2) as window:
        window.still()
        assert {double for _, double in window.asked("flats")} == {True}
        assert desk.tiles("flats", "*@2x.png") == desk.tiles("flats") == in_view(window, desk, 6)
        window.until(lambda: window.colours([(-9.0, 8.3)]) == desk.truth("flats", [(-9.0, 8.3)]))


def test_the_size_of_the_tiles_can_be_chosen(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#{INNER}") as window:
        window.still()
        window.tab("look")
        assert {double for _, double in window.asked("flats")} == {False}
        for choice, double in (("on", True), ("off", False), ("on", True), ("auto", False)):
            before = len(window.asked("flats"))
            window.part(f"sharp-{choice}").check()
            window.until(lambda before=before: len(window.asked("flats")) > before)
            window.still()
            new = window.asked("flats")[before:]
            assert {tile for tile, _ in new} == in_view(window, desk, 6)
            assert {each for _, each in new} == {double}


def test_opacity_mixes_the_layer_with_the_ground(desk: Desk, look: Look) -> None:
    place: Place = (-8.3, 8.7)
    with look(f"{desk.url}/flats/") as window:
        window.still()
        bare(window)
        (full,), below = desk.truth("flats", [place]), ground(window)
        window.until(lambda: alike(window.colours([place])[0], full))
        for percent in (50, 0):
            window.part("opacity").fill(str(percent))
            mixed = np.round(np.array(full) * percent / 100 + np.array(below) * (1 - percent / 100))
            window.until(lambda mixed=mixed: alike(window.colours([place])[0], tuple(mixed)))


def test_borders_are_painted_on_demand_in_the_colour_of_each_state(desk: Desk, look: Look) -> None:
    desk.run("seed", "flats", "--zooms", "6", "--bbox=-18,0.1,-8.5,18")
    with look(f"{desk.url}/flats/#6/8.5/-6.5") as window:
        window.still()
        counts = window.summary
        assert counts["stored"] > 0 < counts["rendered"]
        plain = window.picture()
        for state, tile in (("stored", mercantile.tile(-9.5, 8.5, 6)), ("rendered", mercantile.tile(-4, 8.5, 6))):
            window.page.keyboard.press("t")
            ink = window.page.evaluate(INK, state)
            west, south, east, north = mercantile.bounds(tile)
            ((left, top), (right, bottom)) = window.spots([(west, north), (east, south)])
            box = (int(left) + 1, int(top) + 1, int(right), int(bottom))
            window.until(lambda box=box, ink=ink: tuple(ink) in colours_of(window.picture().crop(box)))
            assert tuple(ink) not in colours_of(plain.crop(box))
            window.page.keyboard.press("t")
            window.until(lambda box=box: colours_of(window.picture().crop(box)) == colours_of(plain.crop(box)))


INK = """(state) => {
  const probe = document.createElement("i");
  probe.style.color = `var(--${state})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  return found;
}"""


def colours_of(picture: Image.Image) -> set[object]:
    return {colour for _, colour in picture.getcolors(1 << 20) or ()}


def test_a_layer_that_is_ingested_appears_in_the_list_by_itself(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/") as window:
        cards = window.part("layer-card")
        window.until(lambda: cards.count() == 2)
        desk.add("later", np.full((4, 99, 99), 255, np.uint8))
        window.until(lambda: cards.count() == 3)
        assert {card.get_attribute("data-layer") for card in cards.all()} == {"flats", "later", "other"}
        card = window.page.locator("[data-layer=later]")
        picture = card.locator("img")
        picture.scroll_into_view_if_needed()
        window.until(lambda: picture.evaluate("(image) => image.complete && image.naturalWidth") > 0)
        card.locator("h2 a").click()
        window.page.wait_for_url("**/later/")
        window.still()
        window.until(lambda: window.colours([(0.0, 0.0)]) == [(255, 255, 255)])


def test_a_new_revision_is_told_of_at_once_and_shown_when_its_tiles_are(desk: Desk, look: Look) -> None:
    place: Place = (-8.3, 8.7)
    before = desk.truth("flats", [place])
    with look(f"{desk.url}/flats/") as window:
        window.still()
        layer = desk.add("flats", np.full((4, 512, 512), 255, np.uint8))
        expect(window.part("about")).to_contain_text(layer.revision)
        window.still()
        window.until(lambda: window.colours([place]) == before)  # which is still stored
        desk.run("invalidate", "flats", "--all", "--no-wait", "--yes")
        window.until(lambda: window.colours([place]) == [(255, 255, 255)])


def test_a_page_says_that_its_layer_was_removed(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/") as window:
        window.still()
        desk.run("remove", "flats", "--confirm", "flats", "--no-wait")
        expect(window.page.locator("#notes")).to_contain_text("removed")


def test_outlines_of_the_land_lie_below_the_layer_until_they_are_turned_off(desk: Desk, look: Look) -> None:
    places = [(12.0, 8.0), (-8.0, -12.0), (17.0, -11.0)]  # land, sea, and land where the layer is transparent
    with look(f"{desk.url}/flats/#4/0/1.5/look") as window:
        window.part("opacity").fill("0")
        window.still()
        window.until(lambda: window.colours(places)[0] == window.colours(places)[2] != window.colours(places)[1])
        assert window.colours(places)[1] == ground(window)
        bare(window)
        window.until(lambda: set(window.colours(places)) == {ground(window)})


def test_a_tile_on_its_way_shows_a_coarse_picture_under_a_sheen(desk: Desk, look: Look) -> None:
    place: Place = (-9.3, 8.4)
    with look(f"{desk.url}/flats/#6/8.5/-9") as window:
        window.still()
        bare(window)
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        window.page.route("**/flats/6/**", hold)
        window.part("sharp-on").check()
        window.until(lambda: held)
        sheen = window.page.locator(".wait.asked")
        expect(sheen.first).to_be_visible()
        assert sheen.count() == len(in_view(window, desk, 6))
        window.until(lambda: more_red(window.colours([place])[0], ground(window)))
        for route in held:
            route.continue_()
        window.page.unroute("**/flats/6/**")
        window.still()
        window.until(lambda: window.colours([place]) == desk.truth("flats", [place]))
        expect(sheen).to_have_count(0)


def more_red(colour: Colour, than: Colour) -> bool:
    """Whether a colour has clearly more red, compared with blue, than another."""
    return (colour[0] - colour[2]) - (than[0] - than[2]) > 20
