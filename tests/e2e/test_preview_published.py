"""The page that `publish-preview` writes: it shows the layer wherever the tiles lie, and needs nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.s3 import S3, WEBSITE
from tests.e2e.sqs import Sqs
from tests.e2e.wire import files_served
from tests.e2e.world import Deployed, deployed

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

PLACES = [(-8.0, 8.0), (11.0, 8.0), (-8.0, -11.0)]


@pytest.fixture
def folder(desk: Desk) -> Iterator[str]:
    """The address of a web server that knows nothing but the tile folder."""
    with files_served(desk.data / "tiles") as address:
        yield address


@pytest.fixture(scope="module")
def stack(s3: S3, sqs: Sqs, flats_data: Path) -> Iterator[Deployed]:
    """A deployment with no tile warmed."""
    with deployed(s3, sqs, flats_data) as made:
        yield made


def alone(window: Window) -> None:
    """Nothing is asked of a server, and nothing is offered that would need one."""
    assert not [request.url for request in window.requests if "/_/" in request.url]
    for part in ("compare", "coverage-toggle", "jobs"):
        assert not window.part(part).is_visible()


def test_a_folder_of_files_shows_its_warm_tiles(desk: Desk, look: Look, folder: str) -> None:
    desk.run("seed", "flats", "--zooms", "0-4", "--jobs", "1")
    desk.run("publish-preview", "flats")
    with look(f"{folder}/flats/#4/0/1.5") as window:
        window.still()
        window.until(lambda: window.colours(PLACES) == desk.truth("flats", PLACES))
        assert window.summary == {"stored": 4, "rendered": 0, "empty": 0, "failed": 0}
        alone(window)


def test_the_website_of_the_bucket_shows_tiles_that_the_function_makes_and_then_those_that_are_there(
    stack: Deployed, desk: Desk, look: Look
) -> None:
    stack.run("publish-preview", "flats")
    url = f"http://{stack.tiles}.{WEBSITE}:{stack.s3.website_port}/flats/"
    home = {stack.gateway.url, stack.s3.endpoint}
    with look(url, home=home) as window:
        window.still()
        window.until(lambda: window.colours(PLACES) == desk.truth("flats", PLACES))
        assert window.summary == {"stored": 0, "rendered": 4, "empty": 0, "failed": 0}
        assert len(stack.stored("flats")) == 4
        invoked = len(stack.gateway.served)
        window.page.reload()
        window.still()
        assert window.summary == {"stored": 4, "rendered": 0, "empty": 0, "failed": 0}
        assert len(stack.gateway.served) == invoked
        alone(window)
