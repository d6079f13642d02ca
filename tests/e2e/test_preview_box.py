"""The commands that the preview shows for a box do what they say: they are copied, run in a shell, and looked after."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mercantile
import pytest
from mercantile import Tile
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

EDGES = ("west", "south", "east", "north")
ZOOMS = range(5)
CLIPBOARD = ["clipboard-read", "clipboard-write"]


@pytest.fixture
def desk_data(globe_data: Path) -> Path:
    """The whole world, all of it stored."""
    return globe_data


def copied(window: Window, verb: str) -> str:
    """What the button puts on the clipboard once a command is chosen."""
    window.part(f"verb-{verb}").check()
    window.part("copy-command").click()
    shown = window.part("command").text_content()
    assert shown
    window.until(lambda: window.page.evaluate("navigator.clipboard.readText()") == shown)
    return shown


def shell(command: str, folder: Path) -> None:
    """Run a command as somebody who pasted it would, elsewhere than in the project."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    subprocess.run(command, shell=True, cwd=folder, env=env, check=True, capture_output=True, timeout=60)


def boxed(window: Window) -> tuple[float, float, float, float]:
    """The box that the page's numbers say."""
    west, south, east, north = (float(window.part(f"box-{edge}").input_value()) for edge in EDGES)
    return west, south, east, north


def touching(*box: float) -> set[Tile]:
    """The tiles that touch a box."""
    return set(mercantile.tiles(*box, ZOOMS))


def does_what_it_says(window: Window, desk: Desk, folder: Path) -> None:
    """The copied commands make the tiles that touch the box, and remove them and no others."""
    inside = touching(*boxed(window))
    everything = desk.tiles("globe")
    assert everything == touching(-180, -85, 180, 85)
    assert 5 < len(inside) < len(everything)
    shell(copied(window, "invalidate"), folder)
    assert desk.tiles("globe") == everything - inside
    for zoom in (desk.data / "tiles" / "globe").glob("*/"):
        shutil.rmtree(zoom)
    shell(copied(window, "seed"), folder)
    assert desk.tiles("globe") == inside


@pytest.mark.parametrize("longitude", [-75, 178], ids=["west", "antimeridian"])
def test_a_box_drawn_with_the_mouse_is_the_box_of_the_commands(
    desk: Desk, look: Look, tmp_path: Path, longitude: float
) -> None:
    with look(f"{desk.url}/globe/#3/20/{longitude}/box", permissions=CLIPBOARD) as window:
        window.still()
        corners = [(longitude - 20.0, 33.0), (longitude + 17.0, -4.0)]
        (start, end) = window.spots(corners)
        window.part("box-draw").click()
        window.page.mouse.move(*start)
        window.page.mouse.down()
        window.page.mouse.move((start[0] + end[0]) / 2, end[1], steps=3)
        window.page.mouse.move(*end, steps=3)
        window.page.mouse.up()
        west, south, east, north = boxed(window)
        assert (west > east) is (longitude == 178)
        drawn = (longitude - 20, -4, (longitude + 17 + 180) % 360 - 180, 33)
        assert (west, south, east, north) == pytest.approx(drawn, abs=0.4)  # two pixels
        if longitude == -75:
            assert "--bbox=-95" in (window.part("command").text_content() or "")
        does_what_it_says(window, desk, tmp_path)


def test_a_box_given_as_numbers_is_the_box_of_the_commands_once_it_can_be_one(
    desk: Desk, look: Look, tmp_path: Path
) -> None:
    with look(f"{desk.url}/globe/#box", permissions=CLIPBOARD) as window:
        for edge, number in zip(EDGES, ("-100.25", "-30.5", "-44.125", "-31"), strict=True):
            window.part(f"box-{edge}").fill(number)
        expect(window.part("box-fault")).to_contain_text("South")
        expect(window.part("command")).to_be_hidden()
        window.part("box-north").fill("-0.000001")
        expect(window.part("box-fault")).to_be_empty()
        does_what_it_says(window, desk, tmp_path)


def test_one_command_is_shown_at_a_time_with_its_effect_and_the_counts_of_the_box(desk: Desk, look: Look) -> None:
    verbs = {"seed": "seed globe", "verify": "seeder verify globe", "export": "seeder export globe globe-box.pmtiles"}
    with look(f"{desk.url}/globe/#2/0/0/box") as window:
        for edge, number in zip(EDGES, ("1", "1", "60", "60"), strict=True):
            window.part(f"box-{edge}").fill(number)
        inside = touching(1, 1, 60, 60)
        expect(window.part("box-count")).to_contain_text(f"{len(inside)} tiles in the box, all stored")
        effects = set()
        for verb, begins in {**verbs, "invalidate": "seeder invalidate globe"}.items():
            window.part(f"verb-{verb}").check()
            expect(window.part("command")).to_have_text(f"{begins} --zooms 0-4 --bbox=1,1,60,60 --data {desk.data}")
            effects.add(window.part("effect").inner_text())
        assert len(effects) == 4
        assert window.page.locator("#panel-box code:visible").count() == 1
        desk.run("invalidate", "globe", "--zooms", "4", "--no-wait", "--yes")
        lost = len({tile for tile in inside if tile.z == 4})
        window.part("box-low").fill("1")
        expect(window.part("box-count")).to_contain_text(f"{lost} missing")
