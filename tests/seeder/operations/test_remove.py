"""Removing a layer, called directly: result, progress, order of effects, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from seeder.cache import cloudfront
from seeder.jobs.bake_ledger import BakeJob, bake_key, bakes, is_recorded
from seeder.jobs.ledger import put_job, put_plan
from seeder.jobs.messages import Job, Spec
from seeder.operations import remove as module
from seeder.operations.remove import (
    RemovedLayer,
    plan_removal,
    plan_removal_of_old_revisions,
    remove,
    remove_old_revisions,
)
from seeder.operations.update import UpdateContext, UpdateOptions
from seeder.select.blocks import Count
from seeder.select.selection import Selection
from tests.support.bake_jobs import bake_all, bake_job, put
from tests.support.door import fill
from tests.support.layer_strategies import GLOBE
from tests.support.layers import cog_key
from tests.support.reports import Recorded
from tiler.errors import BadOption, StoreError, Superseded, UnknownLayer
from tiler.keys import index_key, tilejson_key
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

REVISIONS = ("aaaa", "bbbb", "cccc", "dddd")  # the last one is current
NOW = datetime(2026, 11, 3, tzinfo=UTC)
TILES = [f"globe/3/{x}/{y}.png" for x in range(5) for y in range(7)]
CDN = UpdateOptions(hurry=True, cdn="E2ABCDEF")


def put_bake_jobs(stores: Stores) -> list[BakeJob]:
    """Bake jobs of both layers."""
    jobs = [put(stores.sources, bake_job(name)) for name in ("globe", "globe-2")]
    for job in jobs:
        bake_all(stores.sources, job)
    return jobs


def test_the_bake_jobs_of_a_layer_go_first(context: UpdateContext, monkeypatch: pytest.MonkeyPatch) -> None:
    removed, other = put_bake_jobs(context.stores)
    sources, seen = context.stores.sources, []

    def wait(seconds: float) -> Iterator[float]:
        seen.append((is_recorded(sources, removed.id), is_recorded(sources, other.id)))
        yield seconds

    monkeypatch.setattr("seeder.operations.update.countdown", wait)
    planned = plan_removal("globe", context)
    assert remove("globe", context).sizes == planned.sizes
    assert seen == [(False, True)]
    assert bakes(sources) == [other.id]
    assert sources.empty(bake_key(removed.id, ""))


@pytest.fixture
def context(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> UpdateContext:
    """The layer `globe` of several revisions, and one with the same prefix; waits take no time."""
    monkeypatch.setattr("seeder.operations.update.countdown", lambda seconds: iter((seconds,)))
    for name in ("globe", "globe-2"):
        for number, revision in enumerate(REVISIONS):
            layer = replace(GLOBE, id=name, revision=revision, previous=REVISIONS[number - 1] if number else "")
            stores.sources.put(cog_key(name, revision), b"x" * 100, content_type="")
            publish(layer, stores)
        job = Job.new(Spec(name, "dddd", Selection((3,)), TileVariant()), NOW)
        put_job(stores.sources, job)
        put_plan(stores.sources, job.id, {3: Count(1, 1)})
    fill(stores.tiles, [*TILES, "globe-2/3/1/1.png"])
    return UpdateContext(stores, Settings(stores.tiles.url, stores.sources.url), UpdateOptions(), Recorded())


def told(context: UpdateContext) -> Recorded:
    """What it was told."""
    assert isinstance(context.report, Recorded)
    return context.report


def objects(stores: Stores) -> dict[tuple[str, str], int]:
    """The size of every object, by kind and key, independent of the code."""
    public = {("tiles", entry.key): entry.size for entry in stores.tiles.list("")}
    return public | {(entry.key.split("/")[0], entry.key): entry.size for entry in stores.sources.list("")}


def sizes(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> dict[str, tuple[int, int]]:
    """Number and bytes of removed objects, by kind."""
    gone = [(kind, size) for (kind, key), size in before.items() if (kind, key) not in after]
    return {kind: (len(each), sum(each)) for kind in dict(gone) if (each := [size for k, size in gone if k == kind])}


def test_the_result_counts_what_is_gone_and_progress_comes_to_as_many(context: UpdateContext) -> None:
    before = objects(context.stores)
    planned = plan_removal("globe", context)
    assert objects(context.stores) == before
    assert told(context) == Recorded(), "a plan asks and tells nothing"
    result = remove("globe", context)
    after = objects(context.stores)
    assert result.sizes == sizes(before, after)
    assert result == planned
    assert result.objects == len(before) - len(after)
    assert not any(key.split("/")[0] == "globe" for _, key in after)
    assert {key for _, key in before if "globe-2" in key} <= {key for _, key in after}
    assert told(context).questions == [("globe", result.sizes)]
    assert [stage.label for stage in told(context).stages] == ["remove tiles", "remove sources", "remove jobs"]
    assert {stage.unit for stage in told(context).stages} == {"object"}
    # the metadata counts, too, although it is removed before the wait
    removed = {stage.label.split()[-1]: stage.done for stage in told(context).stages}
    assert removed == {kind: number for kind, (number, _) in result.sizes.items()}, (
        "metadata counts, though it goes first"
    )


def test_the_metadata_goes_first_and_the_rest_after_the_wait(context: UpdateContext) -> None:
    before = {key for _, key in objects(context.stores)}
    present: list[set[str]] = []
    told(context).during_wait = lambda: present.append({key for _, key in objects(context.stores)})
    remove("globe", context)
    assert present == [before - {index_key("globe"), tilejson_key("globe")}]
    ((whole, *remained),) = told(context).waits
    assert whole > 0
    assert remained == [whole, 0.0]


def test_a_layer_that_is_ingested_during_the_wait_stays(context: UpdateContext) -> None:
    again = replace(GLOBE, revision="eeee")
    told(context).during_wait = lambda: publish(again, context.stores)
    with pytest.raises(Superseded, match="was ingested again meanwhile"):
        remove("globe", context)
    assert set(TILES) <= {key for _, key in objects(context.stores)}


@pytest.mark.parametrize("act", [remove, remove_old_revisions])
def test_what_is_not_meant_is_raised_and_stays(
    context: UpdateContext, act: Callable[[str, UpdateContext], RemovedLayer]
) -> None:
    told(context).refuse = True
    before = objects(context.stores)
    with pytest.raises(BadOption, match="not meant"):
        act("globe", context)
    assert objects(context.stores) == before


@pytest.mark.parametrize("act", [remove, plan_removal, remove_old_revisions, plan_removal_of_old_revisions])
def test_an_unknown_layer_is_raised(context: UpdateContext, act: Callable[[str, UpdateContext], RemovedLayer]) -> None:
    with pytest.raises(UnknownLayer, match="did you mean"):
        act("glob", context)
    assert told(context).questions == []


def test_old_revisions_go_once_and_are_asked_about_once(context: UpdateContext) -> None:
    before = objects(context.stores)
    planned = plan_removal_of_old_revisions("globe", context)
    assert objects(context.stores) == before
    result = remove_old_revisions("globe", context)
    after = objects(context.stores)
    assert result == planned
    assert result.sizes == {**sizes(before, after), "parts": (0, 0)}
    gone = {key.split("/")[2] for _, key in before.keys() - after.keys()}
    assert gone == {"aaaa", "bbbb"}
    assert told(context).unfinished == []
    assert told(context).done("remove sources") == result.objects
    assert (remove_old_revisions("globe", context).objects, objects(context.stores)) == (0, after)
    assert len(told(context).questions) == 1
    assert told(context).waits == []


def test_cloudfront_is_told_at_last(context: UpdateContext, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], bool]] = []

    def tell(_distribution: str, paths: list[str], _region: str) -> str:
        seen.append((paths, any("globe/" in key for _, key in objects(context.stores))))
        return "I123"

    monkeypatch.setattr(cloudfront, "invalidate", tell)
    careful = replace(context, options=CDN)
    assert remove_old_revisions("globe", careful).cdn is None
    assert plan_removal("globe", careful).paths == ("/globe/*",)
    assert seen == []
    result = remove("globe", careful)
    assert seen == [(["/globe/*"], False)]
    assert told(context).steps == [result.cdn]
    assert result.cdn
    assert (result.cdn.paths, result.cdn.number, result.cdn.done) == (("/globe/*",), "I123", False)


def test_objects_that_cannot_be_deleted_are_raised(context: UpdateContext, monkeypatch: pytest.MonkeyPatch) -> None:
    purge = module.purge

    def refuse(*args: object) -> object:
        purged = purge(*args)  # type: ignore[arg-type]
        purged.failed, purged.keys, purged.why = 2, ["globe/3/1/1.png"], "told to fail"
        return purged

    monkeypatch.setattr(module, "purge", refuse)
    with pytest.raises(StoreError, match=r"globe/3/1/1\.png.*told to fail; 2 objects of tiles were not deleted"):
        remove("globe", context)
    assert any(key.startswith("sources/globe/") for _, key in objects(context.stores)), "it went on"
