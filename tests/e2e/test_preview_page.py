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
  const one = (each) => each.type !== "radio" || each.checked; // arrow keys reach the others
  const can = (each) =>
    each.tabIndex >= 0 && !each.disabled && one(each) && each.checkVisibility({ visibilityProperty: true });
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
    """Show all that the map can show at once, and the tab of stored tiles."""
    window.still()
    window.part("borders").click()
    window.tab("look")
    window.part("compare").select_option("layer:other")
    window.tab("box")
    window.part("box-view").click()
    expect(window.part("box-count")).to_be_visible()
    window.tab("stored")
    expect(window.part("coverage").locator(".zoom").first).to_be_visible()
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


def test_a_phone_shows_the_map_above_a_sheet_of_three_heights(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/", **PHONE) as window:
        window.still()
        grip = window.part("grip")
        assert not wide(window)
        expect(grip).to_have_attribute("aria-label", "Height of the sheet: half")
        frame = window.part("map").bounding_box()
        assert frame
        assert (frame["width"], 400 < frame["height"] < 480) == (390, True)
        places = [(-8.0, 8.0), (11.0, 8.0), (-8.0, -11.0)]
        window.until(lambda: window.colours(places) == desk.truth("flats", places))
        everything(window)
        assert not wide(window)
        tops = {height(window)}
        for key, name in (("ArrowUp", "full"), ("ArrowDown", "half"), ("ArrowDown", "peek"), ("ArrowDown", "peek")):
            grip.press(key)
            expect(grip).to_have_attribute("aria-label", f"Height of the sheet: {name}")
            window.page.wait_for_timeout(400)
            tops.add(height(window))
        assert len(tops) == 3
        expect(window.page.locator("#panel-stored")).not_to_be_in_viewport()
        grip.tap()
        expect(grip).to_have_attribute("aria-label", "Height of the sheet: half")
        window.page.wait_for_timeout(400)
        drag(window, -200)
        expect(grip).to_have_attribute("aria-label", "Height of the sheet: full")
        for tab, part in (("look", "opacity"), ("stored", "jobs"), ("box", "copy-command"), ("about", "revisions")):
            window.tab(tab)
            window.part(part).scroll_into_view_if_needed()
            expect(window.part(part)).to_be_in_viewport()


def height(window: Window) -> int:
    """The height of the sheet, pixels."""
    return int(window.page.evaluate("document.querySelector('#panel').getBoundingClientRect().height"))


def drag(window: Window, down: int) -> None:
    """Drag the sheet's grip by some pixels."""
    box = window.part("grip").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x, y + down, steps=4)
    window.page.mouse.up()


def test_a_phone_held_sideways_shows_the_panel_beside_the_map(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/", **{**PHONE, "size": (844, 390)}) as window:
        window.still()
        assert not wide(window)
        frame = window.part("map").bounding_box()
        assert frame
        assert frame["height"] == 390
        assert 420 < frame["width"] < 600
        window.part("grip").tap()
        expect(window.part("copy-xyz")).to_be_hidden()
        window.until(lambda: (window.part("map").bounding_box() or frame)["width"] > 800)
        window.part("grip").tap()
        expect(window.part("copy-xyz")).to_be_visible()


def test_the_tab_is_kept_in_the_address_and_moved_by_keys(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#4/0/1.5/about") as window:
        window.still()
        tabs = window.page.locator("#tabs [role=tab]")
        expect(window.page.locator("#panel-about")).to_be_visible()
        window.page.locator("#tab-about").focus()
        for key, name in (("Home", "use"), ("ArrowRight", "look"), ("ArrowLeft", "use"), ("ArrowLeft", "about")):
            window.page.keyboard.press(key)
            expect(window.page.locator(f"#tab-{name}")).to_be_focused()
            expect(window.page.locator("#body > [role=tabpanel]:visible")).to_have_id(f"panel-{name}")
            assert [each.get_attribute("tabindex") for each in tabs.all()].count("0") == 1
        window.tab("stored")
        assert window.page.url.endswith("/flats/#4/0.00/1.50/stored")
        window.page.reload()
        window.still()
        expect(window.page.locator("#panel-stored")).to_be_visible()
        window.page.evaluate("location.hash = '#5/1/1/box'")
        expect(window.page.locator("#panel-box")).to_be_visible()


def test_the_theme_is_that_of_the_system_until_it_is_switched(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/", color_scheme="dark") as window:
        root = window.page.locator("html")
        expect(root).to_have_attribute("data-theme", "dark")
        window.page.keyboard.press("d")
        expect(root).to_have_attribute("data-theme", "light")
        window.page.reload()
        expect(root).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("page", ["", "flats/"])
def test_every_control_is_reached_with_the_tab_key(desk: Desk, look: Look, page: str) -> None:
    with look(f"{desk.url}/{page}") as window:
        if page:
            everything(window)
            window.page.evaluate("document.activeElement.blur()")
        else:
            expect(window.part("layer-card").get_by_test_id("health")).to_have_count(2)  # counts may move cards
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
        expect(window.part("command")).to_contain_text("--bbox")
        window.tab("look")
        window.part("opacity").fill("40")
        window.page.goto(f"{desk.url}/")
        expect(window.part("layer-card")).to_have_count(2)
        window.page.go_back()
        window.still()
        shown = window.page.evaluate("Number(getComputedStyle(window.preview.map.getCanvas()).opacity)")
        assert shown == int(window.part("opacity").input_value()) / 100
        borders = window.part("borders").get_attribute("aria-pressed") == "true"
        assert window.part("tile-summary").is_visible() == borders
        assert window.part("divider").is_visible() == bool(window.part("compare").input_value())
        boxed = "--bbox" in (window.part("command").text_content() or "")
        assert boxed == bool(window.part("box-west").input_value())
        assert window.page.locator("#panel-look").is_visible()  # the tab in the address


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
        everything(window)
        if size:
            window.part("grip").press("ArrowUp")
            window.page.wait_for_timeout(400)
        for scheme in ("light", "dark"):
            window.page.emulate_media(color_scheme=scheme)
            for tab in ("use", "look", "stored", "box", "about"):
                window.tab(tab)
                assert grave(window) == [], (scheme, tab)
