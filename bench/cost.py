"""Costs of a stack: idle, at a number of views, of seeding, and of abuse at most: `python bench/cost.py`.

Prints the tables of docs/cost.md, from seeder/jobs/prices.py and the params of serverless.yml. `--docs` writes them
into the page, and the prices of the dashboard into deploy/prices.json.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from pages import dollars, table, written
from tiny import arguments, parser_for

from seeder.jobs.forecast import Bakers, Pixels, bake_forecast
from seeder.jobs.prices import LOGGED, MILLION, DeliveryPrices, Demand, Prices, transfer
from seeder.jobs.prices import cost as priced
from tiler.grid import LEAF
from tiler.ingest.planned_parts import PART_CHUNKS, BakeWork, TierWork

ROOT = Path(__file__).parent.parent
PAGE, PRICES_FILE = ROOT / "docs" / "cost.md", ROOT / "deploy" / "prices.json"
PRICES, OF_DELIVERY = Prices(), DeliveryPrices()

Delivery = Literal["cloudfront", "website"]
DELIVERIES: tuple[Delivery, ...] = get_args(Delivery)

VIEWS = {"idle": 0, "1 million views": MILLION, "100 million views": 100 * MILLION}
VIEW_TILES = 25  # requests of a page with a map, beyond the browser's own cache
TILE_BYTES = 25_000
HITS = 0.85  # share of requests that CloudFront answers from its cache
MISSING = 0.001  # share of requests for tiles to be rendered
STORED = MILLION  # tiles
CALL_SECONDS = 0.2  # of the HTTP function for a tile: six requests of 30 ms to S3 in turn, and the rendering
FAST_SECONDS = 0.1  # the same where requests to S3 are fast and the source was read before; abuse is costlier then
CALL_GETS = 5  # metadata, a look for the stored tile, the COG's head and block, the stored tile
QUEUES = 2
POLLS = 5 * 3 * 60 * 24 * 30  # of an empty queue a month: five pollers of the mapping, each waits for 20 s
TILE_SECONDS = 0.002  # CPU of a seeded tile, as in bench/scale_world.py
CACHE_METRICS = 8  # that CloudFront adds together
WORKER_SERIES = 2 * 12  # metrics of seeder/workers/lambda_handler.py, by service and by function
ACCOUNT_RATE = 10_000  # requests per second of API Gateway without httpRate
ACCOUNT_CONCURRENCY = 1000  # functions at once without httpReserved
OF_STACK = (
    *("lambda_gb_second", "lambda_storage_gb_second", "lambda_million_requests", "s3_million_puts", "logs_gb"),
)  # prices of the dashboard
OF_VISITORS = (
    *("lambda_gb_second_x86", "api_million_requests"),
    *("cloudfront_million_requests", "cloudfront_million_functions"),
)
DAY, MONTH = 86_400, 30 * 86_400  # seconds


class Param(NamedTuple):
    """A param of serverless.yml: its default, empty if `null`, and the number behind `unset:` in its comment."""

    default: str
    unset: str


@cache
def params() -> dict[str, Param]:
    """The params of serverless.yml."""
    section = (ROOT / "serverless.yml").read_text().partition("\n  default:\n")[2].partition("\n  prod:\n")[0]
    found = re.findall(r"^    (\w+): ([^\s#]+)(?:.*\bunset: (\d+))?", section, re.MULTILINE)
    return {name: Param("" if value == "null" else value, unset) for name, value, unset in found}


def limit(name: str) -> int | None:
    """The limit that a param sets by default; None if the account's limit holds."""
    param = params().get(name, Param("", ""))
    number = param.default or param.unset
    return int(number) if number.isdigit() else None


def alarms(delivery: Delivery) -> int:
    """Alarms of a stack in us-east-1, which has one more; each has one metric."""
    files = ("alarms.yml", f"alarms-{delivery}.yml")
    return sum((ROOT / "deploy" / name).read_text().count("Type: AWS::CloudWatch::Alarm") for name in files)


def call(seconds: float = CALL_SECONDS) -> float:
    """Dollars of a call of the HTTP function that renders and stores a tile."""
    gigabytes = float(params()["httpMemory"].default) / 1024
    compute = seconds * gigabytes * PRICES.lambda_gb_second + PRICES.lambda_million_requests / MILLION
    s3 = (PRICES.s3_million_puts + CALL_GETS * PRICES.s3_million_gets) / MILLION
    return compute + s3 + LOGGED / 1e9 * PRICES.logs_gb


def request(delivery: Delivery) -> float:
    """Dollars of a visitor's request, without transfer and S3."""
    if delivery == "website":
        return 0.0
    return (OF_DELIVERY.cloudfront_million_requests + OF_DELIVERY.cloudfront_million_functions) / MILLION


def redirect(delivery: Delivery) -> float:
    """Dollars of the way from a missing tile to the function and back, besides the request."""
    if delivery == "cloudfront":
        return PRICES.s3_million_gets / MILLION
    return (OF_DELIVERY.api_million_requests + 2 * PRICES.s3_million_gets) / MILLION


def traffic(delivery: Delivery, gigabytes: float) -> float:
    """Dollars of a month's transfer to visitors."""
    return transfer(gigabytes, OF_DELIVERY.cloudfront_gb if delivery == "cloudfront" else OF_DELIVERY.s3_gb)


def month(delivery: Delivery, views: float) -> dict[str, float]:
    """Dollars of a month by part."""
    requests = views * VIEW_TILES
    calls = requests * MISSING
    read = (1 - HITS if delivery == "cloudfront" else 1) * (requests - calls)
    return {
        "requests": requests * request(delivery) + calls * redirect(delivery),
        "transfer": traffic(delivery, requests * TILE_BYTES / 1e9),
        "S3 GETs": read * PRICES.s3_million_gets / MILLION,
        "rendering": calls * call(),
        "storage": STORED * TILE_BYTES / 1e9 * PRICES.s3_gb_month,
        "alarms": alarms(delivery) * OF_DELIVERY.alarm_month,
        "polling of the queues": QUEUES * POLLS * PRICES.sqs_million_requests / MILLION,
    }


def months() -> Iterator[str]:
    """A month of each delivery by views."""
    columns = [month(delivery, views) for views in VIEWS.values() for delivery in DELIVERIES]
    rows = [[part, *(dollars(each[part]) for each in columns)] for part in columns[0]]
    total = ["**total**", *(f"**{dollars(sum(each.values()))}**" for each in columns)]
    names = [f"{name}: `{delivery}`" for name in VIEWS for delivery in DELIVERIES]
    yield from table(", ".join(["a month", *names]), [*rows, total])


def assumptions() -> Iterator[str]:
    """The assumptions of the months."""
    log = LOGGED / 1000
    yield f"- {VIEW_TILES} tiles a view beyond the browser's cache, of {TILE_BYTES / 1000:.0f} KB"
    yield f"- {HITS:.0%} of the requests are answered from CloudFront's cache; a website has none"
    yield f"- {MISSING:.1%} of the requests are for missing tiles: the layer is mostly seeded"
    yield f"- a missing tile takes {CALL_SECONDS} s of the HTTP function, one PUT, {CALL_GETS} GETs, {log} KB of log"
    yield f"- {STORED / MILLION:.0f} million tiles are stored"
    yield f"- each of the two empty queues is polled {POLLS:,} times a month: five pollers wait 20 s each"
    yield f"- prices of Lambda, S3, SQS and logs: {PRICES.as_of}; of delivery and CloudWatch: {OF_DELIVERY.as_of}"


def extras() -> Iterator[str]:
    """Dollars a month of what is off, or only on while jobs run."""
    hour = OF_DELIVERY.metric_month / (MONTH / 3600)
    cache = dollars(CACHE_METRICS * OF_DELIVERY.metric_month)
    yield f"- the param `cacheMetrics`: {cache} a month for {CACHE_METRICS} metrics of CloudFront"
    yield f"- a dashboard beyond three of the account: {dollars(OF_DELIVERY.dashboard_month)} a month"
    yield f"- the metrics of the workers: {dollars(WORKER_SERIES * hour)} for each hour with a job"


def flood(delivery: Delivery) -> tuple[float, str, float]:
    """Calls per second of the HTTP function with the defaults, the limit that allows no more, and seconds per call.

    Fast calls cost most under a limit of concurrency, usual ones under a limit of the rate.
    """
    reserved = limit("httpReserved") if delivery == "cloudfront" else None
    name = f"`httpReserved` {reserved}" if reserved else "the account's concurrency"
    limits = [((reserved or ACCOUNT_CONCURRENCY) / FAST_SECONDS, name, FAST_SECONDS)]
    if delivery == "website":
        rate = limit("httpRate")
        limits.append((rate or ACCOUNT_RATE, f"`httpRate` {rate}" if rate else "the account's rate", CALL_SECONDS))
    return min(limits)


def abuse() -> Iterator[str]:
    """What requests for missing tiles cost at most, without transfer."""

    def rows() -> Iterator[list[str]]:
        for delivery in DELIVERIES:
            rate, named, seconds = flood(delivery)
            each = call(seconds) + redirect(delivery) + request(delivery)
            yield [
                f"`{delivery}`", named, f"{rate:,.0f}", f"{rate * DAY / MILLION:,.1f} M", dollars(rate * DAY * each),
                f"{rate * MONTH / MILLION:,.0f} M", dollars(rate * MONTH * each),
            ]  # fmt: skip

    head = "delivery, limit, renders per second, a day: renders and PUTs, dollars, 30 days: renders and PUTs, dollars"
    yield from table(head, rows())


def unbounded() -> Iterator[str]:
    """A terabyte of stored tiles, requested by anybody."""
    tiles = 1e12 / TILE_BYTES

    def rows() -> Iterator[list[str]]:
        for delivery in DELIVERIES:
            read = tiles * PRICES.s3_million_gets / MILLION if delivery == "website" else 0.0
            answers = tiles * request(delivery) + read
            moved = traffic(delivery, 1000)
            parts = (answers, moved, answers + moved)
            yield [f"`{delivery}`", f"{tiles / MILLION:.0f} M", *map(dollars, parts)]

    yield from table("a terabyte of stored tiles, requests, dollars for them, for transfer, together", rows())


def seeding() -> Iterator[str]:
    """Seeding once, by the workers."""

    def rows() -> Iterator[list[str]]:
        for name, tiles in (("1 million", MILLION), ("100 million", 100 * MILLION)):
            blocks = tiles / LEAF**2
            seconds = tiles * TILE_SECONDS
            demand = Demand(tiles, blocks, tiles, tiles * TILE_BYTES, seconds, messages=1, checked=False)
            found = priced(demand, PRICES, in_s3=True)
            parts = (found.s3, found.compute, found.sqs + found.logs, found.total - found.storage, found.storage)
            yield [name, *map(dollars, parts)]

    yield from table("tiles, S3, Lambda, SQS and logs, together, storage a month", rows())


def baking() -> Iterator[str]:
    """Baking once, by the bake function."""

    def rows() -> Iterator[list[str]]:
        for name, parts in (("100", 100), ("1,240: 1 TB of RGB pixels", 1240)):
            above = math.ceil(parts / PART_CHUNKS)
            tiers = ((parts, parts * PART_CHUNKS), (above, parts))
            work = BakeWork(tuple(TierWork(one, many, PART_CHUNKS, many, PART_CHUNKS) for one, many in tiers))
            found = bake_forecast(work, Pixels("uint8", 3), Bakers(1, queued=True), PRICES, in_s3=True).cost
            costs = (found.compute, found.s3, found.sqs + found.logs, found.total - found.storage, found.storage)
            yield [name, *map(dollars, costs)]

    yield from table("full parts, Lambda, S3, SQS and logs, together, storage a month", rows())


def of_dashboard() -> str:
    """The prices that deploy/dashboard.js reads, as JSON; CloudFront's transfer at the price of the first tier."""
    numbers = {name: getattr(PRICES, name) for name in OF_STACK}
    numbers |= {name: getattr(OF_DELIVERY, name) for name in OF_VISITORS}
    return json.dumps({**numbers, "cloudfront_gb": OF_DELIVERY.cloudfront_gb[0][1]}, indent=2) + "\n"


TABLES = {
    "assumptions": assumptions,
    "months": months,
    "extras": extras,
    "seeding": seeding,
    "baking": baking,
    "abuse": abuse,
    "traffic": unbounded,
}


def page() -> str:
    """docs/cost.md with its tables."""
    text = PAGE.read_text()
    for place, lines in TABLES.items():
        text = written(text, place, "\n".join(lines()))
    return text


def main() -> None:
    """Print the tables."""
    parser = parser_for(__doc__)
    parser.add_argument("--docs", action="store_true", help="write docs/cost.md and deploy/prices.json")
    given = arguments(parser)
    for lines in TABLES.values():
        print("\n".join(lines()), end="\n\n")
    if given.docs:
        PAGE.write_text(page())
        PRICES_FILE.write_text(of_dashboard())


if __name__ == "__main__":
    main()
