"""Any selections, jobs, messages and outcomes."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from seeder.jobs.messages import Job, Message, Spec
from seeder.select.selection import Selection
from tests.support.strategies import SCALES, blocks, bounds, formats, layer_ids
from tiler.grid import MAX_ZOOM
from tiler.layers.fill import Outcome, Request
from tiler.layers.render import TileVariant

variants: st.SearchStrategy[TileVariant] = st.builds(TileVariant, st.sampled_from(SCALES), formats)


@st.composite
def selections(draw: st.DrawFn, lowest: int = 0, deepest: int = MAX_ZOOM) -> Selection:
    zooms = draw(st.sets(st.integers(lowest, deepest), min_size=1, max_size=3))
    return Selection(tuple(sorted(zooms)), tuple(draw(st.lists(bounds(), max_size=3))))


def specs() -> st.SearchStrategy[Spec]:
    return st.builds(Spec, layer_ids, st.text("0123456789abcdef", min_size=1), selections(), variants, st.booleans())


def jobs() -> st.SearchStrategy[Job]:
    years = st.datetimes(datetime(2024, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    return st.builds(Job.new, specs(), years)


key_parts = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", fullmatch=True)  # ids of jobs and revisions


@st.composite
def messages(draw: st.DrawFn) -> Message:
    block = draw(blocks())
    mask = draw(st.integers(0, block.full)) & block.full if block.size == 8 else 0
    request = Request(block, mask, draw(variants), draw(st.booleans()))
    return Message(draw(key_parts), draw(layer_ids), draw(key_parts), request)


def outcomes() -> st.SearchStrategy[Outcome]:
    mask, number = st.integers(0, 2**64 - 1), st.integers(0)
    return st.builds(Outcome, mask, mask, mask, mask, number, number, st.text())
