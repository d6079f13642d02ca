"""An update of a large layer renders what changed."""

from __future__ import annotations

import pytest

from seeder.operations.refresh import plan_rollback, rollback
from tests.support.clock import nothing_in_flight
from tests.support.data_folder import ONE
from tests.support.plain import Plain, Puts, ground, raster, taken
from tests.support.reports import Recorded

SIDE = 38  # of the base, in tiles


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """The layer of about 2,000 tiles; the raster `new` differs in 120 x 100 pixels."""
    folder = tmp_path_factory.mktemp("large")
    values = ground(SIDE)
    raster(folder, "old", values)
    values[:, 3100:3200, 5160:5280] = 7
    raster(folder, "new", values)
    return taken(folder, "old")


def test_of_2000_tiles_those_over_a_changed_spot_are_put_and_the_others_stay_as_they_are(
    large: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_in_flight(monkeypatch)
    before, report = large.times(), Recorded()
    assert 1900 < len(before) < 2100
    put = large.refresh("new", report=report)
    assert 6 <= len(put) == len(set(put)) <= 12
    after = large.times()
    assert {key for key, time in after.items() if before[key] != time} == set(put)
    assert f"{len(put)} of {len(before):,} stored tiles differ" in report.notes
    assert large.problems() == 0
    assert large.refresh("new") == []
    plan = plan_rollback("plain", large.context())
    assert plan.stored_tiles.differing == len(put)
    assert plan.stored_tiles.rendered == len(put)
    with Puts().counted() as puts:
        assert rollback("plain", large.context(), ONE).passed
    assert sorted(puts.keys) == sorted(put)
    assert large.problems() == 0
