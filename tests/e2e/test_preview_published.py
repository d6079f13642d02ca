"""The page that `publish-preview` writes: it shows the layer wherever the tiles lie, and needs nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.wire import files_served

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look

pytest_plugins = ["tests.e2e.browser"]

PLACES = [(-8.0, 8.0), (11.0, 8.0), (-8.0, -11.0)]


@pytest.fixture
def folder(desk: Desk) -> Iterator[str]:
    """The address of a web server that knows nothing but the tile folder."""
    with files_served(desk.data / "tiles") as address:
        yield address


def test_a_folder_of_files_shows_its_warm_tiles(desk: Desk, look: Look, folder: str) -> None:
    desk.run("seed", "flats", "--zooms", "0-4", "--jobs", "1")
    desk.run("publish-preview", "flats")
    with look(f"{folder}/flats/#4/0/1.5") as window:
        window.still()
        window.until(lambda: window.colours(PLACES) == desk.truth("flats", PLACES))
        assert window.summary == {"stored": 4, "rendered": 0, "empty": 0, "failed": 0}
        assert not [request.url for request in window.requests if "/_/" in request.url]
        for part in ("compare", "count-again", "jobs"):  # they would need a server
            assert not window.part(part).is_visible()
        window.tab("stored")
        assert window.part("verify").text_content() == "seeder verify flats"
        window.tab("about")
        expect(window.part("about")).to_contain_text(desk.layer("flats").revision)
