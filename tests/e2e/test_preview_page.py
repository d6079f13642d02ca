"""The pages for everybody: on a phone, with the keyboard alone, with a screen reader, in the light and in the dark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

PHONE: dict[str, Any] = {"size": (390, 844), "is_mobile": True, "has_touch": True}
CONTROLS = """() => {
  const all = [...document.querySelectorAll("a[href], button, input, select, [tabindex]")];
  const can = (each) => each.tabIndex >= 0 && !each.disabled && each.checkVisibility({ visibilityProperty: true });
  window.controls = all.filter(can);
  return window.controls.length;
}"""
FOCUSED = "() => window.controls.indexOf(document.activeElement)"


@pytest.fixture
def desk_data(mixed_data: Path) -> Path:
    """Tiles in every state, and jobs that are done and that failed."""
    return mixed_data


def wide(window: Window) -> bool:
    """Whether the page is wider than the window."""
    return bool(window.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def everything(window: Window) -> None:
    """Show all that the preview can show at once."""
    window.still()
    for toggle in ("tiles-toggle", "coverage-toggle"):
        window.part(toggle).check()
    window.part("compare").select_option("layer:other")
    window.part("box-view").click()
    expect(window.part("coverage-note")).to_be_empty()
    expect(window.part("job").first).to_be_visible()


def grave(window: Window) -> list[str]:
    """What keeps people from using the page, by the rules of axe-core."""
    found = Axe().run(window.page).response["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def test_a_phone_shows_the_map_and_folds_the_panel(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/", **PHONE) as window:
        window.still()
        toggle = window.page.locator("#panel-toggle")
        assert not wide(window)
        expect(toggle).to_have_attribute("aria-expanded", "false")
        expect(window.part("opacity")).not_to_be_in_viewport()
        frame = window.part("map").bounding_box()
        assert frame
        assert (frame["width"], frame["height"] > 500) == (390, True)
        places = [(-8.0, 8.0), (11.0, 8.0), (-8.0, -11.0)]
        window.until(lambda: window.colours(places) == desk.truth("flats", places))
        toggle.tap()
        expect(toggle).to_have_attribute("aria-expanded", "true")
        everything(window)
        for part in ("opacity", "coverage", "jobs", "box-draw", "copy-seed"):
            window.part(part).scroll_into_view_if_needed()
            expect(window.part(part)).to_be_in_viewport()
        assert not wide(window)
        toggle.tap()
        expect(window.part("opacity")).not_to_be_in_viewport()


@pytest.mark.parametrize("page", ["", "flats/"])
def test_every_control_is_reached_with_the_tab_key(desk: Desk, look: Look, page: str) -> None:
    with look(f"{desk.url}/{page}") as window:
        if page:
            everything(window)
            window.page.evaluate("document.activeElement.blur()")
        else:
            expect(window.part("layer-card")).to_have_count(2)
        controls = window.page.evaluate(CONTROLS)
        reached = []
        for _ in range(controls + 2):
            window.page.keyboard.press("Tab")
            reached.append(window.page.evaluate(FOCUSED))
        assert set(range(controls)) <= set(reached)
        assert controls > 5
        if page:  # whose map fills the window, while the panel scrolls by itself
            assert window.page.evaluate("[document.scrollingElement.scrollHeight, scrollY]") == [600, 0]


def test_after_coming_back_the_controls_say_what_is_shown(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/") as window:
        everything(window)
        window.part("opacity").fill("40")
        expect(window.part("command-seed")).to_contain_text("--bbox")
        window.page.goto(f"{desk.url}/")
        expect(window.part("layer-card")).to_have_count(2)
        window.page.go_back()
        window.still()
        shown = window.page.evaluate("Number(getComputedStyle(window.preview.map.getCanvas()).opacity)")
        assert shown == int(window.part("opacity").input_value()) / 100
        assert window.part("coverage").is_visible() == window.part("coverage-toggle").is_checked()
        assert window.page.locator("#tile-legend").is_visible() == window.part("tiles-toggle").is_checked()
        assert window.part("compare-slider").is_visible() == bool(window.part("compare").input_value())
        boxed = "--bbox" in window.part("command-seed").inner_text()
        assert boxed == bool(window.part("box-west").input_value())


def test_arrow_keys_move_the_map_and_plus_and_minus_zoom_it(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#4/0/0") as window:
        window.still()
        canvas = window.part("map").locator("canvas").first
        canvas.focus()
        for key, edge, sign in (("ArrowRight", "west", 1), ("ArrowDown", "south", -1)):
            before = getattr(window.view, edge)
            window.page.keyboard.press(key)
            window.still()
            assert sign * (getattr(window.view, edge) - before) > 1
        before = window.view.east - window.view.west
        window.page.keyboard.press("+")
        window.still()
        assert window.view.east - window.view.west == pytest.approx(before / 2)
        window.page.keyboard.press("-")
        window.still()
        assert window.view.east - window.view.west == pytest.approx(before)
        expect(window.part("readout")).to_contain_text("4.00")


@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_grave_in_the_preview(desk: Desk, look: Look, size: dict[str, Any]) -> None:
    with look(f"{desk.url}/flats/", color_scheme="light", **size) as window:
        if size:
            window.page.locator("#panel-toggle").tap()
        everything(window)
        assert grave(window) == []
        window.page.emulate_media(color_scheme="dark")
        assert grave(window) == []
