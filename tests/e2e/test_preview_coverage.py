"""The coverage map in a real browser: what it tells is what the plan, the store, the ledger and `verify` say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import mercantile
import pytest
from PIL import Image, ImageChops
from playwright.sync_api import expect

from seeder.jobs.ledger import finished, jobs, read_receipts
from seeder.select.selection import Selection, count
from tiler.grid import LEAF, Block
from tiler.storage.store import Store

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look, Place, Window

pytest_plugins = ["tests.e2e.browser"]

STATES = ("planned", "stored", "empty", "missing", "failed")
ZOOMS = tuple(range(7))
STORED, MISSING, FAILED, EMPTY = Block(6, 24, 24), Block(6, 32, 24), Block(6, 24, 32), Block(6, 32, 32)
ROWS = """() => {
  const rows = [...document.querySelectorAll("[data-testid=coverage] [data-zoom]")];
  const names = ["planned", "stored", "empty", "missing", "failed"];
  const counts = ({ dataset }) => Object.fromEntries(names.map((name) => [name, Number(dataset[name])]));
  return Object.fromEntries(rows.map((row) => [row.dataset.zoom, counts(row)]));
}"""


@pytest.fixture
def desk_data(mixed_data: Path) -> Path:
    """Tiles in every state."""
    return mixed_data


def rows(window: Window) -> dict[int, dict[str, int]]:
    """What the rows say, by zoom, once there are all."""
    found: dict[str, dict[str, int]] = {}

    def whole() -> bool:
        found.update(window.page.evaluate(ROWS))
        return len(found) == len(ZOOMS)

    window.until(whole)
    return {int(z): cells for z, cells in found.items()}


def failed(sources: Store) -> Counter[int]:
    """How many tiles the ledger says to have failed, by zoom."""
    found: Counter[int] = Counter()
    for job in jobs(sources):
        for receipt in read_receipts(sources, job, finished(sources, job, "failed"), "failed"):
            found[receipt.block.z] += receipt.outcome.failed.bit_count()
    return found


def test_the_counts_of_zooms_are_those_of_the_plan_of_the_store_of_the_ledger_and_of_verify(
    desk: Desk, look: Look
) -> None:
    plan = count(desk.layer("flats"), Selection(ZOOMS))
    stored = Counter(tile.z for tile in desk.tiles("flats"))
    lost = failed(desk.stores.sources)
    findings = [json.loads(line) for line in desk.run("verify", "flats", "--json", check=False).stdout.splitlines()]
    assert {finding["problem"] for finding in findings} == {"missing"}
    gaps = Counter(int(finding["tile"].partition("/")[0]) for finding in findings)
    with look(f"{desk.url}/flats/#stored") as window:
        found = rows(window)
    for z, cells in found.items():
        assert cells["planned"] == plan[z].tiles == sum(cells[state] for state in STATES[1:])
        assert cells["stored"] == stored[z]
        assert cells["missing"] + cells["failed"] == gaps[z]
        assert cells["failed"] == lost[z]
    assert all(found[6][state] for state in STATES)


def test_complete_zooms_fold_into_one_row_and_unfold(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#stored") as window:
        counts = rows(window)
        shown = window.part("coverage").locator(".zoom:visible")
        expect(shown.locator("> :first-child")).to_have_text(["0", "1\u20134", "5", "6"])
        fold = window.part("coverage").locator("button.fold")
        expect(fold).to_contain_text(f"{sum(counts[z]['stored'] for z in range(1, 5))}, complete")
        expect(fold).to_have_attribute("aria-expanded", "false")
        fold.focus()
        window.page.keyboard.press("Enter")
        expect(fold).to_have_attribute("aria-expanded", "true")
        expect(shown).to_have_count(8)
        expect(window.page.locator("#pip")).to_be_visible()
        expect(window.part("health")).to_contain_text(f"{sum(each['failed'] for each in counts.values())} tiles failed")
        assert [cell.get_attribute("data-state") for cell in window.part("spine").locator("i").all()] == [
            *("none", "full", "full", "full", "full", "gap", "both")
        ]


def test_what_is_rendered_by_looking_is_stored_when_counted_again(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#4/0/1.5/stored") as window:
        assert rows(window)[6]["missing"] == 16
        window.jump(6, 8.5, 12)
        window.until(lambda: window.summary["rendered"])
        window.part("count-again").click()
        stored = Counter(tile.z for tile in desk.tiles("flats"))
        window.until(lambda: rows(window)[6]["stored"] == stored[6])
        assert rows(window)[6]["missing"] == 16 - window.summary["rendered"]


def test_a_zoom_without_tiles_is_drawn_once_its_row_is_chosen(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/#3/0/1.5/stored", size=(1100, 800)) as window:
        row = window.part("coverage").get_by_role("button", name="Zoom 0: 1 not stored")
        expect(row).to_have_attribute("aria-pressed", "false")
        row.focus()
        window.page.keyboard.press("Enter")
        expect(row).to_have_attribute("aria-pressed", "true")
        expect(window.part("gap-key")).to_contain_text("Zoom 0")
        ((x, y),) = window.spots([(30.0, 30.0)])  # outside of the layer, in its tile
        window.page.mouse.move(x, y)
        expect(window.part("coverage-block")).to_have_text("Block 0/0/0: 1 missing of 1")
        window.still()
        assert detailed(window.picture().crop((int(x) - 16, int(y) - 16, int(x) + 16, int(y) + 16)))


def test_gaps_of_a_zoom_are_drawn_where_they_are_and_told_of_under_the_pointer(desk: Desk, look: Look) -> None:
    said = {STORED: "16 stored", MISSING: "16 missing", FAILED: "16 failed", EMPTY: "7 stored, 5 empty"}
    with look(f"{desk.url}/flats/#3/0/1.5/stored", size=(1100, 800)) as window:
        window.still()
        row = window.part("coverage").locator("[data-zoom='6']")
        expect(row).to_have_attribute("aria-pressed", "true")
        row.click()
        expect(row).to_have_attribute("aria-pressed", "false")
        expect(window.part("gap-key")).to_be_hidden()
        window.until(lambda: window.colours([(-8.0, 8.0)]) == desk.truth("flats", [(-8.0, 8.0)]))
        before = window.picture()
        row.click()
        expect(window.part("gap-key")).to_contain_text("Zoom 6")
        for block, text in said.items():
            ((x, y),) = window.spots([middle(block)])
            window.page.mouse.move(x, y)
            planned = sum(int(word) for word in text.replace(",", "").split() if word.isdigit())
            told = f"Block {block.z}/{block.x}/{block.y}: {text} of {planned}"
            expect(window.part("coverage-block")).to_have_text(told)
        changed = ImageChops.difference(before, window.picture())
        drawn = {block: detailed(changed.crop(around(window, middle(block)))) for block in said}
        assert drawn == {STORED: False, MISSING: True, FAILED: False, EMPTY: False}  # only missing tiles are hatched
        red = window.colours([middle(FAILED)])[0]
        assert red[0] > 1.3 * max(red[1:])
        for nowhere in ((-55.0, 8.0), (55.0, 8.0)):
            assert not changed.crop(around(window, nowhere)).getbbox()


def detailed(picture: Image.Image) -> bool:
    """Whether a flat picture has got a pattern."""
    return len(picture.getcolors(1 << 20) or ()) > 4


def middle(block: Block) -> Place:
    """The place in the middle of a block of 8 x 8 tiles."""
    west, _, _, north = mercantile.bounds(block.x + LEAF // 2, block.y + LEAF // 2, block.z)
    return west, north


def around(window: Window, place: Place) -> tuple[int, int, int, int]:
    """A box of 40 pixels a side around a place."""
    ((x, y),) = window.spots([place])
    return int(x) - 20, int(y) - 20, int(x) + 20, int(y) + 20
