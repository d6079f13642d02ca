"""Costs and durations of demands: figures by hand, laws, and a step-by-step simulation."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs import estimate as estimation
from seeder.jobs.prices import (
    Cost,
    DeliveryPrices,
    Demand,
    Prices,
    bake_second,
    cost,
    lambda_seconds,
    transfer,
    wall_seconds,
)
from seeder.select.selection import Selection
from tests.support.estimates import NOWHERE, answer, question, settings_of, unlike, unrendered
from tests.support.layer_strategies import GLOBE
from tiler.errors import BadOption
from tiler.keys import tile_prefix
from tiler.layers.catalog import load_layer
from tiler.storage.store import Stores

ROUND = Prices(
    lambda_gb_second=0.001,
    lambda_million_requests=2,
    s3_million_puts=5,
    s3_million_gets=4,
    s3_gb_month=0.5,
    sqs_million_requests=3,
    logs_gb=10,
    lambda_gb=2,
    lambda_batch=5,
    lambda_wait=0.25,
)
HALVES = Demand(tiles=6400, blocks=200, stored=6000, bytes=2e9, seconds=50, messages=7, checked=False)
PARTS = [field.name for field in fields(Cost)]

amounts = st.just(0.0) | st.floats(1e-3, 1e9)
flags = st.booleans()


def demands(queued: bool | None = None) -> st.SearchStrategy[Demand]:
    """Demands of any size, with or without a queue, or both."""
    messages = st.just(0) if queued is False else st.integers(0 if queued is None else 1, 10**6)
    return st.builds(Demand, amounts, amounts, amounts, amounts, amounts, messages, flags)


def paid(demand: Demand, prices: Prices = ROUND, *, in_s3: bool = True) -> dict[str, float]:
    return asdict(cost(demand, prices, in_s3=in_s3))


def test_two_hundred_blocks_of_32_tiles_cost_what_they_do_by_hand() -> None:
    assert paid(HALVES) == pytest.approx(
        {
            "compute": (50 + 100 * 0.25) * 2 * 0.001 + 40 * 2 / 1e6,  # 64 tiles wait like a whole block; 40 calls
            "s3": (6000 + 200) * 5 / 1e6 + 1200 * 4 / 1e6,  # tiles and receipts; 6 GETs per block
            "sqs": (20 + 2 * 40) * 3 / 1e6,  # 10 messages per send; a receive and a delete per invocation
            "logs": 200 * 1300 / 1e9 * 10,
            "storage": 2 * 0.5,
        }
    )


def test_looking_for_existing_tiles_costs_ten_lists_a_block_at_the_price_of_puts() -> None:
    looked = paid(replace(HALVES, checked=True))
    assert looked.pop("s3") == pytest.approx(paid(HALVES)["s3"] + 200 * 10 * 5 / 1e6)
    assert looked.items() <= paid(HALVES).items()


def test_a_million_tiles_cost_five_dollars_of_puts_and_cents_of_compute_by_amazons_list() -> None:
    million = Demand(tiles=1e6, blocks=15625, stored=1e6, bytes=25e9, seconds=5000, messages=15625, checked=False)
    found = cost(million, Prices(lambda_wait=0), in_s3=True)
    assert found.s3 == pytest.approx(5.00 + 0.078 + 0.0375, rel=0.001)  # and one receipt per block, and 6 GETs
    assert found.compute == pytest.approx(0.116, rel=0.01)
    assert found.storage == pytest.approx(0.575)
    assert found.sqs < found.logs < 0.02


@given(demands(), flags)
def test_the_total_is_the_sum_of_the_parts_and_none_is_negative(demand: Demand, in_s3: bool) -> None:
    found = cost(demand, Prices(), in_s3=in_s3)
    assert found.total == pytest.approx(sum(asdict(found).values()))
    assert min(asdict(found).values()) >= 0


@given(demands(queued=False))
def test_nothing_costs_anything_on_this_machine(demand: Demand) -> None:
    assert cost(demand, Prices(), in_s3=False) == Cost()


@given(demands(queued=False))
def test_rendering_here_into_s3_costs_what_s3_asks_and_nothing_else(demand: Demand) -> None:
    here, far = paid(demand), paid(replace(demand, messages=1))
    assert (here["compute"], here["sqs"], here["logs"]) == (0, 0, 0)
    assert (here["s3"], here["storage"]) == (far["s3"], far["storage"])


@given(demands(queued=True))
def test_workers_that_write_into_a_folder_cost_no_s3(demand: Demand) -> None:
    folder, bucket = paid(demand, in_s3=False), paid(demand)
    assert (folder.pop("s3"), folder.pop("storage")) == (0, 0)
    assert folder.items() <= bucket.items()


@given(demands(queued=True), demands(queued=True), flags)
def test_two_demands_cost_together_what_they_cost_apart(one: Demand, other: Demand, looked: bool) -> None:
    pair = (replace(one, checked=looked), replace(other, checked=looked))
    numbers = [asdict(demand) for demand in pair]
    both = Demand(**{name: numbers[0][name] + numbers[1][name] for name in numbers[0]} | {"checked": looked})
    first, second = map(paid, pair)
    assert paid(both) == pytest.approx({part: first[part] + second[part] for part in PARTS})


@given(demands(queued=True), st.floats(0, 1000))
def test_so_many_times_the_demand_costs_so_many_times_as_much(demand: Demand, times: float) -> None:
    sizes = {name: times * getattr(demand, name) for name in ("tiles", "blocks", "stored", "bytes", "seconds")}
    scaled = paid(replace(demand, **sizes))
    assert scaled == pytest.approx({part: times * dollars for part, dollars in paid(demand).items()})


@given(demands(), flags, st.sampled_from(["tiles", "blocks", "stored", "bytes", "seconds"]), amounts)
def test_more_of_anything_is_never_cheaper(demand: Demand, in_s3: bool, name: str, more: float) -> None:
    larger = replace(demand, **{name: getattr(demand, name) + more})
    assert cost(larger, Prices(), in_s3=in_s3).total >= cost(demand, Prices(), in_s3=in_s3).total


PRICED = {  # the part of HALVES paid at each price, and its field of the cost
    "lambda_gb_second": ("compute", 75 * 2),
    "lambda_million_requests": ("compute", 40 / 1e6),
    "lambda_gb": ("compute", 75 * 0.001),
    "lambda_wait": ("compute", 100 * 2 * 0.001),
    "s3_million_puts": ("s3", 6200 / 1e6),
    "s3_million_gets": ("s3", 1200 / 1e6),
    "s3_gb_month": ("storage", 2),
    "sqs_million_requests": ("sqs", 100 / 1e6),
    "logs_gb": ("logs", 260_000 / 1e9),
}
FREE = {"as_of", "lambda_first", "lambda_more"}  # these are dates and durations
DIVIDED = {"lambda_batch", "lambda_speed"}
OF_BAKES = {"bake_gb", "bake_storage_gb", "lambda_storage_gb_second", "bake_wait", "bake_megabytes"}


def test_every_price_is_held_to_account_here() -> None:
    assert {field.name for field in fields(Prices)} == PRICED.keys() | FREE | DIVIDED | OF_BAKES


def test_a_second_of_the_bake_function_costs_its_memory_and_its_storage_beyond_half_a_gigabyte() -> None:
    prices = replace(ROUND, bake_gb=3, bake_storage_gb=4, lambda_storage_gb_second=0.0001)
    assert bake_second(prices) == pytest.approx(3 * 0.001 + 3.5 * 0.0001)
    for storage in (0.5, 0.25):
        assert bake_second(replace(prices, bake_storage_gb=storage)) == pytest.approx(3 * 0.001)
    hour = 3600 * bake_second(Prices())
    assert hour == pytest.approx(0.166, rel=0.01)  # on arm64; 0.0004 of it are storage


@given(st.sampled_from([*sorted(OF_BAKES), "lambda_gb_second"]), st.floats(0, 1000))
def test_a_dearer_bake_costs_more_and_nothing_else_does(name: str, rise: float) -> None:
    dearer = replace(ROUND, **{name: getattr(ROUND, name) + rise})
    assert bake_second(dearer) >= bake_second(ROUND)
    assert name not in OF_BAKES or paid(HALVES, dearer) == paid(HALVES)


@pytest.mark.parametrize(("name", "part", "quantity"), [(name, *row) for name, row in PRICED.items()])
@given(rise=st.floats(0, 1000))
def test_raising_a_price_raises_its_part_by_quantity_times_difference(
    name: str, part: str, quantity: float, rise: float
) -> None:
    dearer = paid(HALVES, replace(ROUND, **{name: getattr(ROUND, name) + rise}))
    assert dearer.pop(part) == pytest.approx(paid(HALVES)[part] + quantity * rise)
    assert dearer.items() <= paid(HALVES).items()


def test_twice_the_speed_halves_the_rendering_and_not_the_waiting() -> None:
    fast = paid(HALVES, replace(ROUND, lambda_speed=2))
    assert fast.pop("compute") == pytest.approx((25 + 25) * 2 * 0.001 + 40 * 2 / 1e6)
    assert fast.items() <= paid(HALVES).items()


def test_twice_the_messages_a_call_halve_the_calls() -> None:
    found = paid(HALVES, replace(ROUND, lambda_batch=10))
    assert found.pop("compute") == pytest.approx(75 * 2 * 0.001 + 20 * 2 / 1e6)
    assert found.pop("sqs") == pytest.approx((20 + 2 * 20) * 3 / 1e6)
    assert found.items() <= paid(HALVES).items()


def test_how_soon_workers_come_costs_nothing() -> None:
    assert paid(HALVES, replace(ROUND, lambda_first=1, lambda_more=1, as_of="today")) == paid(HALVES)


# Duration

STEPS = 1000  # of the shortest possible time


def busy(seconds: float) -> Demand:
    """A number of seconds of work."""
    return Demand(tiles=0, blocks=0, stored=0, bytes=0, seconds=seconds, messages=1, checked=False)


def ramp(first: float, more: float) -> Prices:
    """A number of workers at once, and a number added per minute."""
    return Prices(lambda_first=first, lambda_more=more)


def simulated(seconds: float, prices: Prices, workers: int) -> float:
    """The time until the work is done, if every step does as much work as there are workers."""
    step, passed, left = seconds / workers / STEPS, 0.0, seconds
    while left > 0:
        there = min(workers, prices.lambda_first + prices.lambda_more / 60 * (passed + step / 2))
        passed, left = passed + step, left - there * step
    return passed


@given(st.floats(0.1, 1e5), st.integers(1, 40), st.integers(1, 60), st.floats(1, 1000))
def test_the_wall_time_is_what_adding_workers_step_by_step_gives(
    seconds: float, workers: int, first: int, more: float
) -> None:
    prices = ramp(first, more)
    assert wall_seconds(busy(seconds), prices, workers) == pytest.approx(simulated(seconds, prices, workers), rel=0.01)


@given(st.floats(0.1, 1e5), st.integers(1, 40), st.floats(1, 1000))
def test_workers_that_are_all_added_one_by_one_take_as_long_as_in_the_simulation(
    seconds: float, workers: int, more: float
) -> None:
    prices = ramp(0, more)
    assert wall_seconds(busy(seconds), prices, workers) == pytest.approx(simulated(seconds, prices, workers), rel=0.01)


@given(st.floats(0.1, 1e5), st.integers(1, 40), st.integers(1, 60))
def test_where_none_are_added_those_that_begin_do_it_all(seconds: float, workers: int, first: int) -> None:
    assert wall_seconds(busy(seconds), ramp(first, 0), workers) == pytest.approx(seconds / min(first, workers))


@given(demands(), st.integers(1, 1000))
def test_no_work_is_done_faster_than_by_all_workers_from_the_start_or_slower_than_by_the_first(
    demand: Demand, workers: int
) -> None:
    prices = Prices()
    whole = lambda_seconds(demand, prices)
    wall = wall_seconds(demand, prices, workers)
    assert whole / workers * (1 - 1e-9) <= wall
    assert wall <= whole / min(prices.lambda_first, workers) * (1 + 1e-9)


@given(demands(), st.integers(1, 999), st.floats(1, 3))
def test_more_workers_never_take_longer_and_more_work_never_less_time(
    demand: Demand, workers: int, times: float
) -> None:
    wall = wall_seconds(demand, Prices(), workers)
    assert wall_seconds(demand, Prices(), workers + 1) <= wall * (1 + 1e-9)
    more = replace(demand, seconds=demand.seconds * times, tiles=demand.tiles * times)
    assert wall_seconds(more, Prices(), workers) >= wall * (1 - 1e-9)


def test_the_seconds_of_workers_are_rendering_at_their_speed_and_waiting_for_s3() -> None:
    assert lambda_seconds(HALVES, Prices(lambda_speed=0.5, lambda_wait=0.25)) == 50 / 0.5 + 100 * 0.25


# Custom prices


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text)
    return path


def test_a_file_replaces_the_prices_that_it_names_and_no_others(tmp_path: Path) -> None:
    text = 'as_of = "2031-01, eu-west-1"\nlambda_gb_second = 1.5e-5\ns3_million_puts = 0\nlambda_batch = 10\n'
    found = Prices.load(written(tmp_path, text))
    assert found == replace(
        Prices(), as_of="2031-01, eu-west-1", lambda_gb_second=1.5e-5, s3_million_puts=0, lambda_batch=10
    )


def test_an_empty_file_changes_no_price(tmp_path: Path) -> None:
    assert Prices.load(written(tmp_path, "# as they are\n")) == Prices()


def test_every_price_can_be_set(tmp_path: Path) -> None:
    names = [field.name for field in fields(Prices) if field.name != "as_of"]
    found = asdict(Prices.load(written(tmp_path, "".join(f"{name} = 7.25\n" for name in names))))
    assert {found[name] for name in names} == {7.25}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s3_million_put = 5\n", "unknown price s3_million_put: choose from as_of, bake_gb, "),
        ("[s3]\nputs = 5\n", "unknown price s3:"),
        ('s3_million_puts = "5"\n', "s3_million_puts = '5' is not a price"),
        ("s3_million_puts = true\n", "s3_million_puts = True is not a price"),
        ("s3_million_puts = [5]\n", "s3_million_puts = [5] is not a price"),
        ("s3_million_puts = 2025-06-01\n", "is not a price"),
        ("s3_million_puts = -0.01\n", "s3_million_puts = -0.01 is not a price"),
        ("s3_million_puts = nan\n", "s3_million_puts = nan is not a price"),
        ("s3_million_puts = inf\n", "s3_million_puts = inf is not a price"),
        ("as_of = 2025\n", "as_of = 2025 is not a price"),
        ("s3_million_puts 5\n", "cannot read prices from"),
        ("s3_million_puts = 5\ns3_million_puts = 6\n", "cannot read prices from"),
    ],
)
def test_what_is_no_price_is_refused_with_the_files_name(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadOption) as refused:
        Prices.load(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "text", ["lambda_batch = 0\n", "lambda_speed = 0\n", "lambda_speed = 0.0\n", "lambda_first = 0\nlambda_more = 0\n"]
)
def test_workers_that_would_never_be_done_are_refused_with_the_files_name(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadOption) as refused:
        Prices.load(path)
    assert str(path) in str(refused.value)
    assert text.partition(" ")[0] in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    garbled = tmp_path / "garbled.toml"
    garbled.write_bytes(b"as_of = '\xff'\n")
    for path in (tmp_path / "nowhere.toml", tmp_path, garbled):
        with pytest.raises(BadOption, match=f"cannot read prices from {path}: "):
            Prices.load(path)


# Use in an estimate


def test_what_is_paid_and_how_long_it_takes_follow_from_the_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    unrendered(monkeypatch, unlike(2, "random"))
    far = replace(NOWHERE, tiles="s3://bucket/prefix")
    monkeypatch.setattr("tiler.storage.store.Store.empty", lambda *_: True)
    about = question(GLOBE, Selection((5, 6, 7)), queued=True, workers=10)
    found = answer(about, far)
    assert found.cost == cost(found.demand, about.prices, in_s3=True)
    assert found.wall == wall_seconds(found.demand, about.prices, 10)
    assert (found.demand.blocks, found.demand.messages) == (16 + 64 + 256, 16 + 1 + 4)
    for name in ("tiles", "bytes", "seconds"):
        assert getattr(found.demand, name) == pytest.approx(sum(getattr(each, name) for each in found.zooms.values()))
    sizes, times = (
        math.hypot(*(getattr(each, name) * getattr(each, around) for each in found.zooms.values()))
        for name, around in (("bytes", "spread"), ("seconds", "slack"))
    )
    demand = found.demand
    worst = replace(demand, stored=demand.tiles, bytes=demand.bytes + sizes, seconds=demand.seconds + times)
    assert found.most == pytest.approx(cost(worst, about.prices, in_s3=True).total)
    assert found.most > found.cost.total > 0
    here = answer(replace(about, queued=False), NOWHERE)
    assert (here.cost.total, here.most) == (0, 0)
    assert here.wall == here.demand.seconds / 10


def test_no_more_processes_are_counted_on_than_there_are_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    unrendered(monkeypatch)
    found = answer(question(GLOBE, Selection((4,)), workers=100))
    assert found.demand.blocks == 4
    assert found.wall == found.demand.seconds / 4


@pytest.mark.parametrize(
    ("there", "force", "looked"), [(False, False, False), (True, False, True), (True, True, False)]
)
def test_existing_tiles_are_looked_for_where_there_are_any_and_they_may_stay(
    alps_copy: Path, monkeypatch: pytest.MonkeyPatch, there: bool, force: bool, looked: bool
) -> None:
    unrendered(monkeypatch)
    settings = settings_of(alps_copy)
    stores = Stores.open(settings, create=True)
    if there:
        stores.tiles.put(f"{tile_prefix('alps', 9, 263)}181.png", b"-", content_type="image/png")
    found = answer(question(load_layer(stores.sources, "alps"), force=force), settings)
    assert found.demand.checked is looked


def test_json_says_what_the_estimate_does_and_has_no_infinity(monkeypatch: pytest.MonkeyPatch) -> None:
    unrendered(monkeypatch, unlike(2, "random"))
    monkeypatch.setattr(estimation, "SAMPLE_SECONDS", -1.0)
    found = answer(question(GLOBE, Selection((3, 4, 7)), queued=True, workers=3))
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (said["layer"], said["revision"], said["workers"]) == ("globe", "9f2c", 3)
    assert said["by_zoom"]["7"]["spread"] is None
    assert said["by_zoom"]["7"]["slack"] is None
    assert said["by_zoom"]["4"]["spread"] == 0
    for name in ("tiles", "blocks"):
        assert said[name] == sum(zoom[name] for zoom in said["by_zoom"].values())
    assert said["bytes"] == pytest.approx(sum(zoom["bytes"] for zoom in said["by_zoom"].values()), abs=1)
    assert said["milliseconds"] == pytest.approx(1000 * found.demand.seconds, abs=1)
    assert said["cost"]["total"] == pytest.approx(sum(said["cost"][part] for part in ("compute", "s3", "sqs", "logs")))
    assert said["prices"] == Prices().as_of


TIERS = DeliveryPrices().cloudfront_gb


def test_transfer_is_paid_by_tier() -> None:
    assert transfer(0, TIERS) == 0
    assert transfer(10_240, TIERS) == pytest.approx(870.40)
    assert transfer(62_500, TIERS) == pytest.approx(10_240 * 0.085 + 40_960 * 0.08 + 11_300 * 0.06)


@pytest.mark.parametrize("tiers", [TIERS, DeliveryPrices().s3_gb])
@given(one=st.floats(0, 1e6), other=st.floats(0, 1e6))
def test_more_transfer_costs_more_and_together_at_most_as_much_as_apart(
    tiers: tuple[tuple[float, float], ...], one: float, other: float
) -> None:
    together = transfer(one + other, tiers)
    assert together >= transfer(one, tiers)
    assert together <= transfer(one, tiers) + transfer(other, tiers) + 1e-6
