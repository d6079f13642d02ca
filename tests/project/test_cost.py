"""docs/cost.md and the dashboard's prices show what the model says, and the model keeps its laws."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from seeder.jobs.prices import DeliveryPrices, Prices
from tests.support.paths import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import cost
from pages import written

VIEWS = (0, 1_000, 1_000_000, 100_000_000)


def test_the_page_shows_what_the_command_prints() -> None:
    assert cost.page() == cost.PAGE.read_text(), "run: python bench/cost.py --docs"


def test_the_dashboard_has_the_prices_of_the_estimate() -> None:
    text = cost.PRICES_FILE.read_text()
    assert text == cost.of_dashboard(), "run: python bench/cost.py --docs"
    given = json.loads(text)
    prices = {**vars_of(Prices()), **vars_of(DeliveryPrices())}
    assert given.pop("cloudfront_gb") == prices["cloudfront_gb"][0][1]
    assert given.items() <= prices.items()


def vars_of(prices: Prices | DeliveryPrices) -> dict[str, object]:
    return {name: getattr(prices, name) for name in type(prices).__slots__}


def test_every_metric_of_the_workers_is_counted() -> None:
    text = (ROOT / "seeder" / "workers" / "lambda_handler.py").read_text()
    names = set(re.findall(r'"([A-Z][A-Za-z]+)"', "".join(re.findall(r"add_metric\(.*", text))))
    assert 2 * len(names) == cost.WORKER_SERIES


def test_every_param_of_the_stack_is_read() -> None:
    rules = (ROOT / "deploy" / "params.js").read_text().partition("const RULES = {")[2].partition("\n};")[0]
    assert cost.params().keys() == set(re.findall(r"^  (\w+): ", rules, re.MULTILINE))


@pytest.mark.parametrize("delivery", cost.DELIVERIES)
def test_a_month_without_views_costs_storage_alarms_and_polling_alone(delivery: cost.Delivery) -> None:
    idle = cost.month(delivery, 0)
    paid = {part for part, dollars in idle.items() if dollars}
    assert paid == {"storage", "alarms", "polling of the queues"}
    assert sum(idle.values()) < 2.5


@pytest.mark.parametrize("delivery", cost.DELIVERIES)
def test_more_views_cost_more_and_a_view_costs_less(delivery: cost.Delivery) -> None:
    months = [cost.month(delivery, views) for views in VIEWS]
    for fewer, more in pairwise(months):
        assert all(fewer[part] <= more[part] for part in fewer)
        assert sum(fewer.values()) < sum(more.values())
    each = [sum(month.values()) / views for month, views in zip(months, VIEWS, strict=True) if views]
    assert each == sorted(each, reverse=True)


def test_a_million_views_cost_what_arithmetic_says() -> None:
    fronted, website = cost.month("cloudfront", 1e6), cost.month("website", 1e6)
    assert fronted["transfer"] == pytest.approx(625 * 0.085)
    assert website["transfer"] == pytest.approx(625 * 0.09)
    assert fronted["requests"] == pytest.approx(25 * 1.10 + 0.025 * 0.40)
    assert website["requests"] == pytest.approx(0.025 * (1 + 2 * 0.40))
    assert website["S3 GETs"] == pytest.approx((25 - 0.025) * 0.40)
    second = 0.2 * 0.0000133334 + 0.20e-6  # of a gigabyte, and the request
    assert fronted["rendering"] == pytest.approx(25_000 * (second + 5e-6 + 5 * 0.4e-6 + 1300e-9 * 0.5))


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> dict[str, cost.Param]:
    """Params that a test may set."""
    given = dict(cost.params())
    monkeypatch.setattr(cost, "params", lambda: given)
    return given


def test_abuse_is_limited_by_the_throttle_of_the_delivery(limited: dict[str, cost.Param]) -> None:
    limited |= {"httpRate": cost.Param("", "70"), "httpReserved": cost.Param("", "30")}
    assert cost.flood("website") == (70, "`httpRate` 70", 0.2)
    assert cost.flood("cloudfront") == (pytest.approx(300), "`httpReserved` 30", 0.1)
    limited |= {"httpRate": cost.Param("90", ""), "httpReserved": cost.Param("", "")}
    assert cost.flood("website") == (90, "`httpRate` 90", 0.2)
    assert cost.flood("cloudfront") == (pytest.approx(10_000), "the account's concurrency", 0.1)
    limited["httpRate"] = cost.Param("", "")
    assert cost.flood("website")[0] == 10_000  # the account's rate, and its concurrency


def test_twice_the_throttle_costs_twice_as_much(limited: dict[str, cost.Param]) -> None:
    found = []
    for rate in (100, 200):
        limited["httpRate"] = cost.Param(str(rate), "")
        (row,) = (line for line in cost.abuse() if line.startswith("| `website`"))
        found.append([float(number.replace(",", "")) for number in re.findall(r"(?:\$|(?<=\| ))([\d,.]+)", row)])
    once, twice = found
    assert once[0] == 100
    assert twice == pytest.approx([2 * number for number in once], rel=0.01)


def test_a_place_that_a_page_lacks_is_named() -> None:
    with pytest.raises(SystemExit, match="no place for nowhere"):
        written("a page", "nowhere", "a table")


def test_a_dearer_price_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "PRICES", replace(Prices(), s3_million_puts=6.0))
    assert cost.page() != cost.PAGE.read_text()
    assert cost.of_dashboard() != cost.PRICES_FILE.read_text()
