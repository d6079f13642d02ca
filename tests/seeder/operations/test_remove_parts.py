"""Removing the parts of old revisions: those that no kept manifest names, and that no bake may be about to use."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest

from seeder.operations.remove import plan_removal_of_old_revisions, remove, remove_old_revisions
from seeder.operations.update import UpdateContext, UpdateOptions
from tests.support.layer_strategies import GLOBE
from tests.support.reports import Recorded
from tiler import timing
from tiler.keys import part_facts_key, part_key, shard_key
from tiler.layers.cog_layout import CogLayout
from tiler.layers.publication import publish
from tiler.layers.pyramid import Part, Place, Pyramid, put_manifest
from tiler.settings import Settings
from tiler.storage.store import Stores

REVISIONS = ("aaaa", "bbbb", "cccc", "dddd")  # the last one is current
LAYOUT = CogLayout(6, 0, 0, 64, 64, 4, opaque=False)
PATIENCE = timedelta(seconds=timing.BAKE_SECONDS + timing.fence_seconds(folder=True))
MINUTE = timedelta(minutes=1)


def put_part(stores: Stores, name: str) -> None:
    """A part without pixels, and its facts."""
    for key in (part_key("globe", name), part_facts_key("globe", name)):
        stores.sources.put(key, b"x" * 10, content_type="")


def age(stores: Stores, keys: set[str], by: timedelta) -> None:
    """Make objects older."""
    for key in keys:
        assert stores.sources.root
        path = stores.sources.root / key
        then = path.stat().st_mtime - by.total_seconds()
        os.utime(path, (then, then))


def shared(stores: Stores) -> set[str]:
    """The keys of all parts, facts and shards."""
    listed = {entry.key for entry in stores.sources.list("sources/globe/")}
    return {key for key in listed if "/parts/" in key or "/shards/" in key}


def named(shards: dict[str, set[str]], *revisions: str) -> set[str]:
    """The keys that the manifests of revisions name."""
    parts = {name for each in revisions for name in ("0-every", f"{each}-own")}
    keys = {key for part in parts for key in (part_key("globe", part), part_facts_key("globe", part))}
    return keys.union(*(shards[each] for each in revisions))


@pytest.fixture
def shards(stores: Stores) -> dict[str, set[str]]:
    """Revisions that share a part and have one of their own, old enough to be removed; the keys of their shards."""
    found = {}
    for number, revision in enumerate(REVISIONS):
        parts = {Place(0, 0, 0): Part("0-every", LAYOUT), Place(0, 9, 0): Part(f"{revision}-own", LAYOUT)}
        for part in parts.values():
            put_part(stores, part.name)
        squares = put_manifest("globe", stores.sources, parts)
        found[revision] = {shard_key("globe", name) for name in squares.values()}
        bake = Pyramid(6, "uint8", opaque=False, finished=0, shards=squares)
        previous = REVISIONS[number - 1] if number else ""
        publish(replace(GLOBE, revision=revision, previous=previous, bake=bake), stores)
    age(stores, shared(stores), PATIENCE + MINUTE)
    return found


@pytest.fixture
def context(stores: Stores) -> UpdateContext:
    """The context of operations."""
    settings = Settings(stores.tiles.url, stores.sources.url)
    return UpdateContext(stores, settings, UpdateOptions(hurry=True), Recorded())


def test_parts_of_kept_revisions_stay_and_those_of_others_go(
    stores: Stores, shards: dict[str, set[str]], context: UpdateContext
) -> None:
    before, kept = shared(stores), named(shards, "cccc", "dddd")
    assert before == named(shards, *REVISIONS)
    planned = plan_removal_of_old_revisions("globe", context)
    assert shared(stores) == before
    removed = remove_old_revisions("globe", context)
    assert shared(stores) == kept
    assert removed == planned
    assert removed.sizes["parts"][0] == len(before - kept)
    assert remove_old_revisions("globe", context).objects == 0


def test_the_parts_of_the_revision_that_was_rolled_back_stay(
    stores: Stores, shards: dict[str, set[str]], context: UpdateContext
) -> None:
    publish(replace(GLOBE, revision="cccc", previous="aaaa", bake=None), stores, undone="bbbb")
    remove_old_revisions("globe", context)
    assert named(shards, "aaaa", "bbbb") <= shared(stores)


@pytest.mark.parametrize(("younger", "stays"), [(MINUTE, True), (-MINUTE, False)])
def test_a_part_that_nothing_names_goes_once_no_bake_can_be_about_to_name_it(
    stores: Stores, shards: dict[str, set[str]], context: UpdateContext, younger: timedelta, *, stays: bool
) -> None:
    put_part(stores, "1-unnamed")
    stray = {part_key("globe", "1-unnamed"), part_facts_key("globe", "1-unnamed"), shard_key("globe", "unnamed")}
    stores.sources.put(shard_key("globe", "unnamed"), b"[]", content_type="")
    age(stores, stray, PATIENCE - younger)
    planned = plan_removal_of_old_revisions("globe", context)
    assert remove_old_revisions("globe", context) == planned
    assert shared(stores) == named(shards, "cccc", "dddd") | (stray if stays else set())


def test_a_part_that_a_bake_uses_again_stays_whatever_the_age_of_its_pixels(
    stores: Stores, shards: dict[str, set[str]], context: UpdateContext
) -> None:
    facts = part_facts_key("globe", "aaaa-own")
    stores.sources.put(facts, b"x" * 10, content_type="")  # as a bake does
    remove_old_revisions("globe", context)
    assert shared(stores) == named(shards, "cccc", "dddd") | {facts, part_key("globe", "aaaa-own")}


@pytest.mark.usefixtures("shards")
def test_the_age_of_parts_is_taken_by_the_clock_of_the_store(
    stores: Stores, context: UpdateContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_part(stores, "1-unnamed")
    ahead = stores.sources.clock("jobs/clock") + 2 * PATIENCE
    clocks: list[str] = []

    def clock(_: object, key: str) -> object:
        clocks.append(key)
        return ahead

    monkeypatch.setattr(type(stores.sources), "clock", clock)
    plan_removal_of_old_revisions("globe", context)
    assert clocks == []
    remove_old_revisions("globe", context)
    assert not stores.sources.has(part_key("globe", "1-unnamed"))


@pytest.mark.usefixtures("shards")
def test_a_layer_is_removed_with_all_its_parts(stores: Stores, context: UpdateContext) -> None:
    put_part(stores, "1-unnamed")
    assert shared(stores)
    objects = len(list(stores.sources.list("sources/globe/")))
    assert remove("globe", context).sizes["sources"][0] == objects
    assert list(stores.sources.list("sources/globe/")) == []
