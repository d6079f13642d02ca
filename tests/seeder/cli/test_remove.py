"""Removing deletes all of a layer and nothing else, only after confirmation, and may be interrupted anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from mercantile import Tile
from tenacity import wait_none

from seeder.cache import purge
from seeder.cache.fence import fence
from seeder.cli import main as cli
from seeder.cli import remove as remove_module
from seeder.jobs.ledger import Stop, layer_of, put_job, put_plan, put_receipt, stop
from seeder.jobs.messages import Job, Message, Receipt, Spec
from seeder.operations import remove as remove_operation
from seeder.select.blocks import Count
from seeder.select.selection import Selection
from seeder.select.tilelist import parse_tiles
from seeder.workers.process_block import Worker
from tests.support.job_strategies import jobs as any_jobs
from tests.support.layer_strategies import GLOBE
from tests.support.layers import cog_key
from tests.support.site import answered, event, memory
from tests.support.strategies import layer_ids
from tiler.errors import StoreError
from tiler.grid import Block
from tiler.http import Service
from tiler.keys import FORMATS, TileName, index_key, tile_key, tilejson_key
from tiler.layers.catalog import Layer, list_layers
from tiler.layers.fill import Outcome, Request
from tiler.layers.layer_cache import Layers
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

NAME = "a-b"
ALIKE = ("a", "a-b-c", "a-b.c", "a-b2", "a-b-deadbeef", "b")
JUNK = (
    "index.html",
    "5/notes.txt",
    "5/3/2.png.bak",
    "5/03/2.png",
    "other/deep/thing",
    "with space/50%.txt",
    "ü/#1#.txt",
)
TILES = [Tile(x=0, y=0, z=0), Tile(x=3, y=2, z=5), Tile(x=300, y=200, z=9)]
NOW = datetime(2026, 11, 3, tzinfo=UTC)
BLOCK = Block(5, 0, 0)
FAULTS: dict[str, BaseException] = {
    "failure": StoreError("delete", "somewhere", "told to fail"),
    "interrupt": KeyboardInterrupt(),
}


def put(store: Store, keys: Iterable[str]) -> None:
    for key in keys:
        store.put(key, b"x" * len(key), content_type="application/octet-stream")


def job_of(layer: str, revision: str = "9f2c", days: int = 0) -> Job:
    selection = Selection((5,), (), parse_tiles(["5/3/2"], "-"))
    return Job.new(Spec(layer, revision, selection, TileVariant()), NOW.replace(day=3 + days))


def furnish(stores: Stores, name: str, junk: Iterable[str] = ()) -> Layer:
    """A layer with two revisions, tiles of every kind, two jobs with all ledger objects, and `junk`."""
    layers = [replace(GLOBE, id=name, revision=revision) for revision in ("aaaa", "bbbb")]
    for days, layer in enumerate(layers):
        job = job_of(name, layer.revision, days)
        put(stores.sources, [cog_key(name, layer.revision)])
        publish(replace(layer, previous=layers[0].revision if days else ""), stores)
        put_job(stores.sources, job)
        put_plan(stores.sources, job.id, {5: Count(1, 1)})
        put_receipt(stores.sources, job.id, Receipt(BLOCK, Outcome(written=1)))
        put_receipt(stores.sources, job.id, Receipt(BLOCK, Outcome(failed=1)))
        stop(stores.sources, job.id, Stop("told to"))
    put(
        stores.tiles,
        (tile_key(TileName(name, each, scale, form)) for each in TILES for scale in (1, 2) for form in FORMATS),
    )
    put(stores.tiles, (f"{name}/{rest}" for rest in junk))
    return layers[1]


def listing(stores: Stores) -> dict[str, int]:
    """Every object's size."""
    both = chain(stores.tiles.list(""), stores.sources.list(""))
    return {entry.key: entry.size for entry in both}


@pytest.fixture
def both(store: Store, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """One store for tiles and sources, for all commands of a test."""
    monkeypatch.setenv("TILER_TILES", store.url)
    monkeypatch.setenv("TILER_SOURCES", store.url)
    return Stores(store, store, "http://tiles.test")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The layer in memory, with one other layer."""
    stores = Stores(memory(), memory(), "http://tiles.test")
    monkeypatch.setenv("TILER_TILES", stores.tiles.url)
    monkeypatch.setenv("TILER_SOURCES", stores.sources.url)
    for name in (NAME, "a-b-c"):
        furnish(stores, name)
    return stores


def run(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli.main, ["remove", *words], input=typed)


def removed(*words: str) -> Result:
    result = run(NAME, "--confirm", NAME, "--no-wait", *words)
    assert result.exit_code == 0, result.output
    return result


def test_all_of_a_layer_goes_and_nothing_of_layers_whose_names_begin_alike(both: Stores) -> None:
    for name in ALIKE:
        furnish(both, name)
    put(both.tiles, ["a-b.png", "jobs/a-b", "sources/a-b-/x"])
    before = listing(both)
    furnish(both, NAME, JUNK)
    assert len(listing(both)) > len(before) + 40
    removed()
    assert listing(both) == before
    assert list(list_layers(both.sources)) == sorted(ALIKE)


def test_what_is_gone_is_told_in_json_to_the_byte(both: Stores) -> None:
    furnish(both, "a")
    others = listing(both)
    furnish(both, NAME)
    own = {key: size for key, size in listing(both).items() if key not in others}
    parts = {"tiles": f"{NAME}/", "sources": f"sources/{NAME}/", "jobs": f"jobs/{NAME}-"}
    sizes = {what: [size for key, size in own.items() if key.startswith(prefix)] for what, prefix in parts.items()}
    assert sum(map(len, sizes.values())) == len(own)
    truth = {what: {"objects": len(each), "bytes": sum(each)} for what, each in sizes.items()}
    assert json.loads(run(NAME, "--dry-run", "--json").stdout) == {"layer": NAME, **truth, "dry_run": True}
    assert json.loads(removed("--json").stdout) == {"layer": NAME, **truth}


@given(any_jobs())
def test_a_job_belongs_to_the_layer_that_it_was_made_for(job: Job) -> None:
    assert layer_of(job.id) == job.spec.layer


@given(layer_ids, layer_ids)
def test_removing_one_of_two_layers_leaves_the_other(one: str, other: str) -> None:
    stores = Stores(memory(), memory(), "http://tiles.test")
    for name in {one, other}:
        put_job(stores.sources, job_of(name))
        put(stores.tiles, [f"{name}/5/3/2.png"])
    keys = {share.what: list(share.keys()) for share in remove_operation.shares(one, stores)}
    assert keys["tiles"] == [f"{one}/5/3/2.png"]
    assert {key.split("/")[1] for key in keys["jobs"]} == {job_of(one).id}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", [1, 3, 6, 8])
def test_a_removal_that_is_cut_off_finishes_when_it_is_run_again(
    number: int, fault: str, both: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(both, "a-b-c")
    others = listing(both)
    furnish(both, NAME)
    deletes, delete = [], Store.delete

    def cut(store: Store, keys: Iterable[str]) -> None:
        batch = list(keys)
        deletes.append(batch)
        if len(deletes) >= number:
            delete(store, batch[: len(batch) // 2])
            raise FAULTS[fault]
        delete(store, batch)

    monkeypatch.setattr(purge, "DELETE_BATCH", 6)
    monkeypatch.setattr(purge, "RETRYING", purge.RETRYING.copy(wait=wait_none()))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", cut)
        result = run(NAME, "--confirm", NAME, "--no-wait")
    assert len(deletes) >= number
    assert result.exit_code == (1 if fault == "failure" else 130)
    assert "Traceback" not in result.output
    left = listing(both)
    assert others.items() < left.items()
    removed()
    assert listing(both) == others


def test_what_refuses_to_go_is_named_and_the_rest_of_its_kind_goes(
    alone: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, delete = tile_key(TileName(NAME, TILES[1], 1, "png")), Store.delete

    def refuse(store: Store, keys: Iterable[str]) -> None:
        batch = list(keys)
        delete(store, (key for key in batch if key != stuck))
        if stuck in batch:
            raise StoreError("delete", stuck, "told to fail")

    monkeypatch.setattr(Store, "delete", refuse)
    monkeypatch.setattr(purge, "RETRYING", purge.RETRYING.copy(wait=wait_none()))
    result = run(NAME, "--confirm", NAME, "--no-wait")
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert stuck in line
    assert "1 objects of tiles were not deleted" in line
    assert [entry.key for entry in alone.tiles.list(f"{NAME}/")] == [stuck]


def test_during_the_wait_nobody_renders_the_layer_and_nothing_else_is_gone_yet(
    alone: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    before = listing(alone)
    message = Message(job_of(NAME).id, NAME, "bbbb", Request(BLOCK, 1, TileVariant()))
    path = f"/{tile_key(TileName(NAME, Tile(x=4, y=4, z=5), 1, 'png'))}"

    def ask(seconds: float, *_: object) -> bool:
        waits.append(seconds)
        assert listing(alone).keys() == before.keys() - {index_key(NAME), tilejson_key(NAME)}
        service = Service(alone, Layers(alone.sources), "http://direct.test")
        assert answered(service.answer(event(path))).status == 404
        assert Worker.open(Settings(alone.tiles.url, alone.sources.url)).work(message).fate == "dropped"
        assert listing(alone).keys() == before.keys() - {index_key(NAME), tilejson_key(NAME)}
        return True

    monkeypatch.setattr(remove_operation, "count_down", ask)
    assert run(NAME, "--confirm", NAME).exit_code == 0
    assert waits == [fence(alone.tiles).total_seconds()]
    assert waits[0] > 30
    assert not any(key.split("/")[0] == NAME for key in listing(alone))


def test_the_metadata_goes_before_anything_else(both: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(both, NAME)
    deletes, delete = [], Store.delete

    def noted(store: Store, keys: Iterable[str]) -> None:
        deletes.append(list(keys))
        delete(store, deletes[-1])

    monkeypatch.setattr(Store, "delete", noted)
    removed()
    assert deletes[0] == [index_key(NAME)]


def test_a_removal_that_is_interrupted_while_it_waits_says_so_and_can_be_run_again(
    alone: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seeder.cache.fence.time", SimpleNamespace(monotonic=lambda: 0.0, sleep=interrupted))
    result = run(NAME, "--confirm", NAME)
    assert result.exit_code == 130
    assert "nothing was removed" not in result.stderr, "the metadata is gone"
    removed()
    assert not any(key.split("/")[0] == NAME for key in listing(alone))


@pytest.mark.parametrize(
    "words", [(), ("--confirm", "a-b-c"), ("--confirm", "a"), ("--confirm", ""), ("--confirm", "A-B")]
)
def test_without_a_terminal_the_name_must_be_given_once_more(words: tuple[str, ...], alone: Stores) -> None:
    before = listing(alone)
    result = run(NAME, *words, typed=f"{NAME}\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert listing(alone) == before
    assert f"--confirm {NAME}" in result.stderr or f"is not '{NAME}': nothing was removed" in result.stderr


@pytest.mark.parametrize("words", [("--yes",), ("--yes", "--confirm", NAME)])
def test_yes_confirms_as_in_other_commands(words: tuple[str, ...], alone: Stores) -> None:
    assert run(NAME, "--no-wait", *words).exit_code == 0
    assert not any(key.split("/")[0] == NAME for key in listing(alone))


def test_yes_does_not_confirm_another_name(alone: Stores) -> None:
    before = listing(alone)
    assert "nothing was removed" in run(NAME, "--yes", "--confirm", "a-b-c").stderr
    assert listing(alone) == before


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user at a terminal."""
    monkeypatch.setattr(remove_module, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_name_is_asked_for_after_what_would_go_is_said(alone: Stores) -> None:
    result = run(NAME, "--no-wait", typed=f"{NAME}\n")
    assert result.exit_code == 0
    assert result.stderr.index("19 objects of tiles") < result.stderr.index("Type the layer's name")
    assert not any(key.split("/")[0] == NAME for key in listing(alone))


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("typed", "code"), [("y\n", 2), ("a-b-c\n", 2), (f"{NAME}x\n", 2), ("", 1), ("\n", 1)], ids=repr
)
def test_on_a_terminal_anything_else_removes_nothing(typed: str, code: int, alone: Stores) -> None:
    before = listing(alone)
    assert run(NAME, "--no-wait", typed=typed).exit_code == code
    assert listing(alone) == before


def test_a_dry_run_asks_nothing_and_changes_nothing(both: Stores) -> None:
    furnish(both, NAME)
    before = listing(both)
    result = run(NAME, "--dry-run")
    assert (result.exit_code, listing(both)) == (0, before)
    assert "Type the layer" not in result.stderr
    assert result.stdout.startswith(f"would be removed from layer {NAME}: 19 objects of tiles (")


@pytest.mark.parametrize("name", ["a-", "a-b-", "A-B", "..", "sources", "jobs", "a-b/5", "", "nothing"])
def test_what_names_no_layer_is_bad_input_and_removes_nothing(name: str, alone: Stores) -> None:
    before = listing(alone)
    result = run(name, "--confirm", name, "--no-wait")
    assert (result.exit_code, result.stdout, listing(alone)) == (2, "", before)


def test_an_unknown_layer_is_told_with_those_that_are_close(alone: Stores) -> None:
    assert alone
    assert f"did you mean {NAME}" in run("a-bb", "--confirm", "a-bb").stderr.replace("'", "")
    removed()
    assert run(NAME, "--confirm", NAME).exit_code == 2


@pytest.fixture
def folder(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The layer, with junk, in a data folder of its own."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    furnish(stores, NAME, JUNK)
    return tmp_path / "data"


def under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_is_left_as_if_the_layer_had_never_been_there(folder: Path) -> None:
    removed()
    assert under(folder) == {"tiles", "private", "private/sources", "private/jobs"}


@pytest.mark.parametrize(
    "leave",
    [
        lambda data: (data / "tiles" / NAME / "7" / "1").mkdir(parents=True),
        lambda data: (data / "tiles" / NAME / "5" / "3" / "2.png#1").write_bytes(b"half a ti"),
        lambda data: (data / "private" / "sources" / NAME / "index.json#1").write_bytes(b"{"),
    ],
    ids=["an empty folder", "half a tile", "half an index"],
)
def test_what_a_killed_process_left_in_the_folder_goes_too(leave: Callable[[Path], object], folder: Path) -> None:
    leave(folder)
    removed()
    assert under(folder) == {"tiles", "private", "private/sources", "private/jobs"}


OLD = ("--old-revisions", "--confirm", NAME)


def test_old_revisions_are_those_that_neither_shows_nor_would_be_rolled_back_to(both: Stores) -> None:
    layer = furnish(both, NAME)
    furnish(both, "a-b-c")
    keep = listing(both)
    for revision in ("cccc", "dddd"):
        put(both.sources, [cog_key(NAME, revision), f"sources/{NAME}/{revision}/index.json"])
    full = listing(both)
    assert run(NAME, *OLD[:1], "--dry-run").exit_code == 0
    assert run(NAME, *OLD[:1]).exit_code == 2
    assert listing(both) == full
    assert run(NAME, *OLD).exit_code == 0
    assert listing(both) == keep
    assert Layers(both.sources).get(NAME) == replace(layer, previous="aaaa")
    result = run(NAME, *OLD)
    assert (result.exit_code, listing(both)) == (0, keep)
    assert "has no sources of older revisions" in result.stderr
