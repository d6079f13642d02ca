"""The list of layers in a real browser: the address first, quiet when complete, loud where there are gaps."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.support.served import serving
from tiler.settings import Settings

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

CLIPBOARD: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}
COPIED = "() => navigator.clipboard.readText()"
PHONE: dict[str, Any] = {"size": (390, 844), "is_mobile": True, "has_touch": True}
SIZES: dict[str, dict[str, Any]] = {"desk": {"size": (1440, 900)}, "tablet": {"size": (820, 1100)}, "phone": PHONE}
WIDTHS = (320, 390, 721, 900, 1440, 1920)  # pixels
TRANSPARENT = "rgba(0, 0, 0, 0)"


@pytest.fixture
def desk_data(mixed_data: Path) -> Path:
    """`flats` with tiles in every state, and `other` with none."""
    return mixed_data


@contextmanager
def lists(desk: Desk, globe_data: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The addresses of servers with several layers, with a complete one, and with none."""
    one, empty = tmp_path / "one", tmp_path / "empty"
    shutil.copytree(globe_data, one)
    empty.mkdir()
    with ExitStack() as stack:
        others = {
            name: stack.enter_context(serving(Settings.from_env({}, data=str(folder)), f" --data {folder}"))
            for name, folder in (("one", one), ("none", empty))
        }
        yield {"several": desk.url, **others}


SHOWN = {"several": "layer-card", "one": "next", "none": "nothing"}  # test ids of what each list shows


def shown(window: Window, state: str) -> None:
    """Wait until a list shows all that it will."""
    expect(window.part(SHOWN[state]).first).to_be_visible()
    if state != "none":
        expect(window.part("health")).to_have_count(window.part("layer-card").count())


def card(window: Window, layer: str) -> Any:
    """The card of a layer."""
    return window.page.locator(f"[data-testid=layer-card][data-layer={layer}]")


def test_every_card_has_the_address_to_copy_and_says_so(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/", **CLIPBOARD) as window:
        button = card(window, "flats").get_by_role("button", name="Copy the tile address of flats")
        button.evaluate("(button) => { button.before = button.offsetWidth }")
        button.click()
        expect(button).to_have_text("Copied")
        expect(window.part("said")).to_have_text("Copied")
        assert button.evaluate("(button) => button.offsetWidth === button.before")
        revision = desk.layer("flats").revision
        assert window.page.evaluate(COPIED) == f"{desk.url}/flats/{{z}}/{{x}}/{{y}}.png?v={revision}"
        expect(button).to_have_text("Tile address")
        assert window.page.url == f"{desk.url}/"  # the card around the button is a link
        card(window, "flats").locator("img").click(force=True)  # the link of the card is above it
        window.until(lambda: window.page.url.startswith(f"{desk.url}/flats/"))


def test_a_card_says_what_is_stored_and_what_is_not(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/") as window:
        shown(window, "several")
        cells = card(window, "flats").get_by_test_id("spine").locator("i")
        states = [cells.nth(z).get_attribute("data-state") for z in range(7)]
        assert states == ["none", "full", "full", "full", "full", "gap", "both"]
        health = card(window, "flats").get_by_test_id("health")
        expect(health).to_have_attribute("data-mood", "failed")
        expect(health).to_contain_text("failed")
        expect(card(window, "other").get_by_test_id("health")).to_have_text("Nothing stored yet")
        stored = len(desk.tiles("flats"))
        expect(window.part("summary")).to_contain_text(f"2 layers · {stored} tiles · ")


def test_a_complete_layer_is_quiet_and_alone_it_has_a_snippet_and_three_commands(
    desk: Desk, globe_data: Path, look: Look, tmp_path: Path
) -> None:
    with lists(desk, globe_data, tmp_path) as urls, look(f"{urls['one']}/", **CLIPBOARD) as window:
        shown(window, "one")
        expect(window.part("health")).to_have_attribute("data-mood", "full")
        expect(window.part("health")).to_have_text("Complete, 341 tiles")
        assert window.part("spine").get_attribute("aria-label") == "All zooms complete"
        expect(window.part("find")).to_be_hidden()
        expect(window.part("address")).to_contain_text("/globe/{z}/{x}/{y}.png?v=")
        expect(window.part("snippet-maplibre")).to_contain_text(f"{urls['one']}/globe/tile.json")
        commands = window.part("next").locator("code").all_inner_texts()
        assert [text.split()[0] for text in commands] == ["seeder", "seed", "seeder"]
        for text in commands:
            assert text.endswith(f"--data {tmp_path / 'one'}")


def test_without_layers_there_are_the_two_commands_and_the_first_layer_appears(
    desk: Desk, globe_data: Path, look: Look, tmp_path: Path
) -> None:
    with lists(desk, globe_data, tmp_path) as urls, look(f"{urls['none']}/", **CLIPBOARD) as window:
        shown(window, "none")
        expect(window.part("find")).to_be_hidden()
        window.page.get_by_role("button", name="Copy the command that prepares a raster").click()
        expect(window.part("said")).to_have_text("Copied")
        assert window.page.evaluate(COPIED) == f"seeder ingest YOUR.tif --data {tmp_path / 'empty'}"
        shutil.copytree(globe_data, tmp_path / "empty", dirs_exist_ok=True)
        shown(window, "one")
        expect(window.part("nothing")).to_be_hidden()


def test_layers_are_found_by_title_and_name_and_kept_in_order(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/?order=name") as window:
        shown(window, "several")
        names = window.part("layer-card").evaluate_all("(cards) => cards.map((card) => card.dataset.layer)")
        assert names == ["flats", "other"]
        window.page.keyboard.press("/")
        window.page.keyboard.type("OTH")
        expect(window.part("layer-card")).to_have_count(1)
        assert window.page.url == f"{desk.url}/?order=name&find=OTH"
        window.page.reload()
        expect(window.part("layer-card")).to_have_count(1)
        window.part("find").fill("nowhere")
        expect(window.part("unfound")).to_contain_text("nowhere")
        window.part("find").fill("")
        window.part("order").select_option("gaps")
        shown(window, "several")
        first = window.part("layer-card").first
        expect(first).to_have_attribute("data-layer", "flats")  # whose tiles failed


def test_a_card_follows_its_job_to_the_end(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/") as window:
        shown(window, "several")
        desk.run("seed", "other", "--jobs", "1")
        expect(card(window, "other").get_by_test_id("health")).to_contain_text("Complete")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_nothing_in_a_list_keeps_people_out(
    desk: Desk, globe_data: Path, look: Look, tmp_path: Path, size: str, scheme: str
) -> None:
    with lists(desk, globe_data, tmp_path) as urls:
        for state, url in urls.items():
            with look(f"{url}/", color_scheme=scheme, **SIZES[size]) as window:
                shown(window, state)
                assert window.barriers() == [], state
                if state == "several":
                    window.part("find").fill("nowhere")
                    expect(window.part("unfound")).to_be_visible()
                    assert window.barriers() == []


def test_no_list_scrolls_sideways(desk: Desk, globe_data: Path, look: Look, tmp_path: Path) -> None:
    with lists(desk, globe_data, tmp_path) as urls:
        for state, url in urls.items():
            with look(f"{url}/") as window:
                shown(window, state)
                for width in WIDTHS:
                    window.page.set_viewport_size({"width": width, "height": 800})
                    assert not window.wide, (state, width)


def test_the_theme_is_the_system_s_until_one_is_chosen(desk: Desk, look: Look) -> None:
    def paper(window: Window) -> str:
        return str(window.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    with look(f"{desk.url}/", color_scheme="dark") as window:
        shown(window, "several")
        dark = paper(window)
        assert window.page.locator("html").get_attribute("data-theme") == "dark"
        window.page.emulate_media(color_scheme="light")
        window.until(lambda: paper(window) != dark)
        light = paper(window)
        window.part("theme").click()
        assert paper(window) == dark
        window.page.reload()  # chosen, against the system
        shown(window, "several")  # a hidden field takes no key
        assert paper(window) == dark
        window.page.keyboard.press("d")
        assert paper(window) == light
        window.part("find").press("d")  # is typed
        assert paper(window) == light
        window.page.emulate_media(color_scheme="dark")
        window.until(lambda: paper(window) == dark)  # what was chosen last was the system's
    assert TRANSPARENT not in (light, dark)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_set_before_the_first_paint(desk: Desk, look: Look, scheme: str) -> None:
    with look(f"{desk.url}/", color_scheme=scheme) as window:
        window.page.add_init_script(
            "addEventListener('DOMContentLoaded', () => { window.early = document.documentElement.dataset.theme; })"
        )
        window.page.route("**/layers.js*", lambda route: route.abort())
        window.faults.clear()
        window.page.reload()
        assert window.page.locator("html").get_attribute("data-theme") == scheme
        window.faults.clear()  # of the script that was kept away
