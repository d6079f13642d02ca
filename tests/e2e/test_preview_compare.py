"""The compare slider in a real browser: each side shows its own layer or revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rasterio
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.e2e.browser import Colour, Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

PLACES = [(-9.5, 8.3), (-8.7, 8.3), (-7.3, 8.3), (-6.5, 8.3)]  # from left to right
INNER = "7/8.3/-8"  # a view of one colour, its middle between them


def shares(window: Window, own: Colour, other: Colour) -> list[bool]:
    """Which of the places show the layer itself; they show it or the other."""
    found = window.colours(PLACES)
    return [colour == own for colour in found] if set(found) <= {own, other} else []


def slide(window: Window, own: Colour, other: Colour) -> None:
    """Left of the divider is the layer, right of it the other, wherever the divider is."""
    divider = window.part("divider")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    for key, seen in (("ArrowUp", [True, True, False, False]), ("Home", [False] * 4), ("End", [True] * 4)):
        divider.press(key)
        window.until(lambda seen=seen: shares(window, own, other) == seen)


def test_two_layers_share_the_map_at_the_divider_and_move_together(desk: Desk, look: Look) -> None:
    (own,), (other,) = desk.truth("flats", PLACES[:1]), desk.truth("other", PLACES[:1])
    with look(f"{desk.url}/flats/#4/0/1.5/look") as window:
        window.still()
        window.part("compare").select_option("layer:other")
        window.jump(7, 8.3, -8)
        slide(window, own, other)
        window.part("compare").select_option("")
        window.until(lambda: shares(window, own, other) == [True] * 4)


def test_two_revisions_share_the_map_at_the_divider_and_the_older_is_not_stored(desk: Desk, look: Look) -> None:
    (own,), (other,) = desk.truth("other", PLACES[:1]), desk.truth("flats", PLACES[:1])
    before = desk.layer("flats").revision
    desk.run("refresh", "flats", str(desk.data / "other.tif"), "--no-wait", "--jobs", "1")
    with look(f"{desk.url}/flats/#{INNER}/look") as window:
        window.still()
        stored = desk.tiles("flats")
        window.part("compare").select_option(f"revision:{before}")
        slide(window, own, other)
        assert desk.tiles("flats") == stored


def test_the_divider_is_dragged_with_the_mouse(desk: Desk, look: Look) -> None:
    (own,), (other,) = desk.truth("flats", PLACES[:1]), desk.truth("other", PLACES[:1])
    with look(f"{desk.url}/flats/#{INNER}/look") as window:
        window.still()
        window.part("compare").select_option("layer:other")
        window.until(lambda: shares(window, own, other) == [True, True, False, False])
        ((middle, y), (left, _)) = window.spots([(-8.0, 8.3), (-9.1, 8.3)])
        window.page.mouse.move(middle, y)
        window.page.mouse.down()
        window.page.mouse.move(left, y, steps=4)
        window.page.mouse.up()
        window.until(lambda: shares(window, own, other) == [True, False, False, False])


def test_the_changed_tiles_are_outlined_while_a_revision_is_compared(desk: Desk, look: Look) -> None:
    before = desk.layer("flats").revision
    with rasterio.open(desk.data / "flats.tif") as source:
        values = source.read()
    values[:3, :40, :40] = 255  # the north-west corner, within one tile of zoom 4
    desk.add("flats", values, max_zoom=6)
    desk.run("invalidate", "flats", "--all", "--no-wait", "--yes")
    with look(f"{desk.url}/flats/#5/10/-9/look", size=(1100, 700)) as window:
        window.still()
        outline = window.page.evaluate(INK)
        assert tuple(outline) not in shades(window)
        entry = window.part("compare-time").locator(f"[data-revision='{before}']")
        entry.get_by_role("button").click()
        expect(window.part("compare")).to_have_value(f"revision:{before}")
        expect(window.part("compare-note")).to_contain_text("differ")
        window.until(lambda: tuple(outline) in shades(window))
        window.part("changes-toggle").uncheck()
        window.until(lambda: tuple(outline) not in shades(window))
        entry.get_by_role("button").click()
        expect(window.part("divider")).to_be_hidden()


def shades(window: Window) -> set[object]:
    """The colours of the map, without its buttons."""
    box = window.part("map").bounding_box()
    assert box
    picture = window.picture().crop((0, 0, int(box["width"]) - 60, int(box["height"])))
    return {colour for _, colour in picture.getcolors(1 << 20) or ()}


INK = """() => {
  const probe = document.createElement("i");
  probe.style.color = "var(--rendered)";
  document.body.append(probe);
  const found = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  return found;
}"""
