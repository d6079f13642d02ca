"""Jobs in a real browser: their bars move as receipts come in, and the rows of zooms with them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from seeder.cache.prepare_job import prepare
from seeder.jobs.ledger import Run, put_run
from seeder.jobs.plan import Plan
from seeder.select.selection import Selection
from seeder.workers.process_block import Worker
from tests.support.damaged import damage
from tiler.grid import LEAF
from tiler.layers.render import TileVariant
from tiler.settings import Settings

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look

pytest_plugins = ["tests.e2e.browser"]
SHARE = "(bar) => bar.value / bar.max"


def begun(desk: Desk, zooms: tuple[int, ...]) -> Plan:
    """A job that this process says to be working on."""
    stores = desk.stores
    plan = prepare(desk.layer("flats"), Selection(zooms), TileVariant(), force=False, stores=stores)
    put_run(stores.sources, plan.job.id, Run("", datetime.now(UTC), 1.0))
    return plan


def test_a_running_job_moves_its_bar_and_tells_its_share_its_rate_and_what_is_left(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/") as window:
        job = window.part("job")
        expect(window.part("jobs")).to_be_attached()
        expect(job).to_have_count(0)
        plan = begun(desk, (5, 6))
        worker = Worker.open(Settings.from_env({}, data=str(desk.data)))
        expect(job).to_have_attribute("data-job", plan.job.id)
        expect(job).to_have_attribute("data-state", "running")
        expect(job).not_to_contain_text("tiles/s")
        bar, seen = job.locator("progress"), [0.0]
        assert bar.evaluate(SHARE) == 0
        *messages, last = plan.messages((LEAF,))
        for message in messages:
            worker.work(message)
            window.until(lambda: bar.evaluate(SHARE) > seen[-1])
            seen.append(bar.evaluate(SHARE))
            expect(job).to_contain_text(f"{int(100 * seen[-1])}%" if seen[-1] >= 0.1 else "%")
            expect(job).to_contain_text("tiles/s")
            expect(job).to_contain_text("left")
        assert len(seen) == plan.blocks > 5
        assert seen[-1] < 1
        worker.work(last)
        expect(job).to_have_attribute("data-state", "done")
        expect(job).to_have_count(1)
        expect(bar).to_have_count(0)  # an ended job is a line
        expect(job).to_contain_text("zooms 5 and 6, 75 tiles")
        expect(window.part("said")).to_have_text("Job for zooms 5 and 6: Done")  # in every tab
        assert sum("/_/events" in request.url for request in window.requests) == 1


def test_a_job_that_fails_tells_how_much_did(desk: Desk, look: Look) -> None:
    with look(f"{desk.url}/flats/") as window:
        window.still()
        damage(desk.data, lambda _: b"no COG", "flats")
        desk.run("seed", "flats", "--zooms", "6", "--jobs", "1", check=False)
        expect(window.part("job")).to_have_attribute("data-state", "failed")
        window.tab("stored")
        expect(window.part("job").locator("p").filter(has_text="failed").first).to_be_visible()
        expect(window.part("job").get_by_role("button", name="Copy seeder errors")).to_be_visible()


def test_the_rows_of_zooms_follow_a_job(desk: Desk, look: Look) -> None:
    def counted() -> dict[int, int]:
        rows = window.part("coverage").locator("[data-zoom]").all()
        return {int(row.get_attribute("data-zoom") or -1): int(row.get_attribute("data-stored") or 0) for row in rows}

    with look(f"{desk.url}/flats/#0/0/0/stored") as window:
        window.until(lambda: len(counted()) == 7)
        assert not any(counted()[z] for z in range(3, 7))
        plan = begun(desk, tuple(range(3, 7)))
        worker = Worker.open(Settings.from_env({}, data=str(desk.data)))
        for message in plan.messages((LEAF,)):
            worker.work(message)
        stored = Counter(tile.z for tile in desk.tiles("flats"))
        window.until(lambda: all(counted().get(z) == stored[z] for z in range(3, 7)))
