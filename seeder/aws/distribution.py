"""Checks of a stack's delivery: answers of its distribution, its limit of requests, addresses in TileJSON."""

from __future__ import annotations

from collections.abc import Iterator

import urllib3

from seeder.aws.check import PROBE, CheckResult, json_fields
from seeder.aws.stack import Stack
from tiler.layers.catalog import list_layers
from tiler.layers.tilejson import DAMAGED, address
from tiler.settings import Settings
from tiler.storage.store import Stores

SHOWN = 5  # layers with a result of their own
DENIED = b"<Code>AccessDenied</Code>"
NO_KEY = b"<Code>NoSuchKey</Code>"


def check_distribution(settings: Settings, stack: Stack, pool: urllib3.PoolManager) -> Iterator[CheckResult]:
    """Request a tile that cannot exist: S3 must answer 404 to CloudFront, then the function 400."""
    url = f"{settings.url}/{PROBE}"
    answer = pool.request("GET", url, redirect=False)
    fault = distribution_fault(answer.status, answer.data, stack)
    yield CheckResult("distribution", f"{url}: {answer.status}{f': {fault}' if fault else ''}", not fault)


def distribution_fault(status: int, body: bytes, stack: Stack) -> str:
    """The fault that explains the answer to a request for PROBE; empty if the answer is right."""
    bucket, function = (stack.outputs.get(name, "") for name in ("TileBucket", "HttpFunction"))
    fields = json_fields(body)
    if status == 400 and "message" in fields:
        return ""
    if status == 403 and DENIED in body:
        return (
            f"S3 denies CloudFront access to bucket {bucket}: the origin access control or the bucket policy is "
            "broken; deploy again"
        )
    if status == 403 and "Message" in fields:
        return (
            f"Lambda denies CloudFront access to the URL of function {function}: the origin access control or one of "
            "the function's two permissions is broken; deploy again"
        )
    if status == 403:
        return "CloudFront itself refuses the request: check the web ACL (param webAcl) and the domain (param domain)"
    if status == 404 and NO_KEY in body:
        return "this is an answer of S3: the origin group does not fail over to the function on 404; deploy again"
    return f"not an answer of the function: {body[:200].decode(errors='replace') or 'empty'}"


def check_limit(stack: Stack) -> CheckResult:
    """Name the params that limit requests for missing tiles; stacks of earlier versions have none by default."""
    limit = stack.outputs.get("HttpLimit", "none")
    params = "httpReserved or webAcl" if stack.delivery == "cloudfront" else "httpRate and httpBurst"
    unlimited = f"requests for missing tiles are not limited: deploy again, or with params {params}"
    return CheckResult("limit", unlimited if limit == "none" else f"requests for missing tiles are limited by {limit}")


def check_addresses(settings: Settings, stack: Stack) -> Iterator[CheckResult]:
    """Compare the address in each layer's TileJSON with that of the stack."""
    stores = Stores.open(settings)
    addresses = {name: address(name, stores.tiles) for name in list_layers(stores.sources)}
    if stack.delivery == "website":  # its API answers requests for a missing TileJSON
        addresses = {name: each for name, each in addresses.items() if each}
    others = {name: each for name, each in addresses.items() if not each.startswith(f"{settings.url}/{name}/")}
    for name, each in list(others.items())[:SHOWN]:
        elsewhere = f"names {each}, the stack is at {settings.url}"
        seen = {"": "is missing", DAMAGED: "is damaged"}.get(each, elsewhere)
        yield CheckResult(
            "addresses", f"tile.json of layer {name} {seen}: run `seeder refresh {name}` to write it", well=False
        )
    if len(others) > SHOWN:
        rest = f"{len(others) - SHOWN:,} more layers: run `seeder refresh LAYER` for each"
        yield CheckResult("addresses", f"tile.json names another address in {rest}", well=False)
    if addresses and not others:
        yield CheckResult("addresses", f"all {len(addresses):,} tile.json name {settings.url}")
