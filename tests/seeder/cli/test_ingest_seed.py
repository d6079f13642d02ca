"""`ingest --seed` does the work of `ingest`, then of `seed`: the same tiles, receipts and exit codes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from seeder.jobs.ledger import jobs, receipts
from seeder.jobs.messages import Receipt
from seeder.workers import process_block
from tests.support.commands import complaint, said, seeder
from tests.support.files import files_of, snapshot
from tests.support.queues import MakeQueue, taken
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import SourceReadError
from tiler.ingest import examine
from tiler.ingest import ingest as ingesting
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

LAND = Recipe(scene(64, 64))  # zooms 0-5
ZOOMS = "3-5"

BY_WORKERS = ("--queue", "sqs", "--upload")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A raster of zooms 0 to 5."""
    return write_raster(tmp_path / "land.tif", LAND)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of all commands, which does not exist yet."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def one(source: Path, *words: object) -> Result:
    return seeder("ingest", source, "--seed", ZOOMS, "--jobs", "1", *words)


def lines(result: Result) -> list[dict[str, Any]]:
    """The lines of JSON on stdout."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def sources_of(data: Path) -> Store:
    return Stores.open(Settings.from_env({}, data=str(data))).sources


def recorded(data: Path) -> list[list[Receipt]]:
    """The receipts of each job, without their times."""
    sources = sources_of(data)
    return [sorted(map(_untimed, receipts(sources, job)), key=lambda receipt: receipt.block) for job in jobs(sources)]


def _untimed(receipt: Receipt) -> Receipt:
    return replace(receipt, outcome=replace(receipt.outcome, milliseconds=0))


def untouched(*_: object, **__: object) -> None:
    """Fail a test that reaches this."""
    pytest.fail("the raster was read or baked")


# The same work


@pytest.mark.parametrize(
    "words",
    [(), ("--format", "webp", "--max-zoom", "6"), ("--virtual",), ("--format", "auto", "--layer", "other")],
    ids=" ".join,
)
def test_tiles_and_receipts_are_those_of_both_commands(words: tuple[str, ...], source: Path, tmp_path: Path) -> None:
    apart, together = tmp_path / "apart", tmp_path / "together"
    first = seeder("ingest", source, *words, "--jobs", "1", "--json", "--data", apart)
    name = said(first)["layer"]
    second = seeder("seed", name, "--zooms", ZOOMS, "--jobs", "1", "--json", "--data", apart)
    done = one(source, *words, "--json", "--data", together)
    assert done.exit_code == 0, done.output
    assert files_of(together / "tiles") == files_of(apart / "tiles")
    assert recorded(together) == recorded(apart)
    assert len(recorded(together)) == 1
    layer, result = lines(done)
    assert layer == said(first)
    assert result["written"]
    own = {name: result[name] for name in ("job", "seconds")}
    assert result == said(second) | own


def test_the_layer_is_published_before_its_first_tile(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def filled(layer: Any, *words: Any) -> Any:
        seen.append(load_layer(sources_of(data), "land").revision)
        assert (data / "tiles" / "land" / "tile.json").exists()
        return fill(layer, *words)

    fill = process_block.fill
    monkeypatch.setattr(process_block, "fill", filled)
    done = one(source, "--json")
    assert seen
    assert {*seen} == {lines(done)[0]["revision"]}


def test_text_names_the_layer_then_the_tiles(source: Path, data: Path) -> None:
    result = one(source)
    first, *_, address, last = result.stdout.splitlines()
    assert first.startswith("layer land: revision ")
    assert re.search(r"^\d+ tiles in .* 0 failed$", result.stdout, re.MULTILINE)
    assert address.startswith("tiles: ")
    assert last.startswith("next: seeder serve")
    assert len(re.findall("^next: ", result.stdout, re.MULTILINE)) == 1
    assert (data / "tiles" / "land" / "5").exists()


def test_a_queue_gets_the_blocks_of_a_published_layer(source: Path, data: Path, make_queue: MakeQueue) -> None:
    queue = make_queue()
    layer, sent = lines(one(source, "--queue", queue.url, "--json"))
    assert sent["queue"] == queue.url
    assert sent["revision"] == layer["revision"] == load_layer(sources_of(data), "land").revision
    messages = taken(queue)
    assert len(messages) == sent["messages"] > 0
    assert {message.revision for message in messages} == {layer["revision"]}
    assert not list(data.glob("tiles/land/*/*/*"))


# Before the ingest


@pytest.mark.parametrize(
    ("words", "zooms"),
    [((), "0-5"), (("--min-zoom", "4"), "4-5"), (("--max-zoom", "4"), "0-4"), (("--virtual",), "0-5")],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_zooms_that_the_layer_would_lack_are_rejected_before_the_raster_is_read(
    words: tuple[str, ...],
    zooms: str,
    more: tuple[str, ...],
    source: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examine, "hashes_of", untouched)
    monkeypatch.setattr(ingesting, "bake_layer", untouched)
    result = seeder("ingest", source, "--seed", "2-6", *words, *more)
    assert f"error: layer 'land' would have zooms {zooms}, not " in complaint(result)
    assert "ingest again" not in complaint(result)
    assert not data.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--seed", "9-5"), "Invalid value for '--seed': zoom range 9-5 runs backwards"),
        (("--seed", "2", "--queue", "sqs"), "error: no queue is known"),
        (("--seed", "2", "--prices", "no.toml"), "no.toml"),
        (("--yes",), "error: --yes needs --seed: add --seed ZOOMS, or leave --yes out"),
        (("--confirm-above", "5"), "--confirm-above needs --seed"),
        (("--max-cost", "5", "--prices", "no.toml"), "no.toml"),
        (("--queue", "local", "--wait"), "--wait needs --seed"),
        (("--wait",), "--wait needs --seed"),
        (("--format", "jpeg"), "'jpeg' is not one of png, jpg, webp, webp-lossless, auto: did you mean jpg?"),
        (("--style", "contour"), "'contour' is not one of "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_options_are_rejected_before_the_raster_is_read(
    words: tuple[str, ...], says: str, source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "survey", untouched)
    assert says in complaint(seeder("ingest", source, *words))
    assert not data.exists()


def test_a_queue_of_the_environment_is_of_no_concern_without_seed(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILER_QUEUE", "sqs")
    assert said(seeder("ingest", source, "--jobs", "1", "--json"))["fresh"]
    assert "no queue is known" in complaint(one(source))
    assert data.exists()


def test_a_dry_run_shows_the_number_of_tiles_and_changes_nothing(source: Path, data: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    plan = said(one(source, "--dry-run", "--json"))
    text = one(source, "--dry-run").stdout
    assert snapshot(tmp_path) == before
    layer, done = lines(one(source, "--json"))
    shared = ("layer", "revision", "minzoom", "maxzoom", "bounds", "fresh")
    assert [plan[name] for name in shared] == [layer[name] for name in shared]
    assert plan["tiles"] == sum(plan["by_zoom"].values()) == done["tiles"]  # the raster has no hole
    assert f"zooms {ZOOMS}: at most {plan['tiles']} tiles" in text
    before = snapshot(data)
    planned, estimate = lines(one(source, "--dry-run", "--json"))
    assert planned == plan | {"fresh": False, "bake": None}
    assert estimate["tiles"] == sum(zoom["tiles"] for zoom in estimate["by_zoom"].values()) == done["tiles"]
    assert snapshot(data) == before


# The same command again


def test_the_same_command_changes_nothing_where_nothing_changed(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, first), before = lines(one(source, "--json")), files_of(data / "tiles")
    monkeypatch.setattr(ingesting, "bake_layer", untouched)
    monkeypatch.setattr(process_block, "fill", _skipping(process_block.fill))
    again = one(source, "--json")
    assert again.exit_code == 0
    layer, result = lines(again)
    assert layer["fresh"] is False
    assert (result["written"], result["skipped"]) == (0, first["tiles"])
    assert files_of(data / "tiles") == before


def _skipping(fill: Callable[..., Any]) -> Callable[..., Any]:
    def filled(*words: Any) -> Any:
        outcome = fill(*words)
        assert not outcome.written
        return outcome

    return filled


def test_the_same_command_continues_an_interrupted_ingest(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ingesting, "bake_layer", interrupted)
        result = one(source)
    assert result.exit_code == 130
    assert "interrupted: the layer is unchanged; the same command continues" in result.stderr
    assert "is ingested" not in result.stderr
    assert not files_of(data / "tiles")
    layer, done = lines(one(source, "--json"))
    assert layer["fresh"]
    assert done["written"] == done["tiles"]


def test_the_same_command_resumes_an_interrupted_job(source: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill, written = process_block.fill, []

    def interrupted(*words: Any) -> Any:
        if len(written) == 2:
            raise KeyboardInterrupt
        outcome = fill(*words)
        written.append(outcome.written.bit_count())
        return outcome

    with monkeypatch.context() as patched:
        patched.setattr(process_block, "fill", interrupted)
        result = one(source)
    assert result.exit_code == 130
    assert "interrupted: finished tiles are kept; run the same command again" in result.stderr
    assert f"layer land is ingested: continue with `seed land --zooms {ZOOMS}` or the same command" in result.stderr
    again = one(source, "--json")
    assert again.exit_code == 0
    layer, done = lines(again)
    assert layer["fresh"] is False
    (job,) = jobs(sources_of(data))
    assert done["job"] == job
    assert f"resuming job {job}: {sum(written)} of {done['tiles']} tiles are done" in again.stderr
    assert len(list(data.glob("tiles/land/*/*/*.webp"))) == done["tiles"]


# Failures


def test_failed_tiles_give_the_exit_code_of_seed_and_the_layer_is_ingested(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_layer: Any, _stores: Any, request: Any, _guard: Any) -> process_block.Outcome:
        return process_block.Outcome(failed=request.tiles, error=str(SourceReadError("land", "truncated")))

    monkeypatch.setattr(process_block, "fill", unreadable)
    result = one(source)
    assert result.stdout.startswith("layer land: revision ")
    assert "failed: " in result.stderr
    assert "layer land is ingested: " in result.stderr
    assert load_layer(sources_of(data), "land").maxzoom == 5
    assert result.exit_code == seeder("seed", "land", "--zooms", ZOOMS, "--jobs", "1").exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--max-cost", "0"), "above --max-cost 0: select fewer tiles"),
        (("--confirm-above", "1"), "tiles, more than --confirm-above 1: add --yes to confirm"),
    ],
    ids=["cost", "question"],
)
def test_limits_end_the_command_as_they_end_seed_and_the_layer_is_ingested(
    words: tuple[str, ...], says: str, source: Path, data: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILER_TILES", s3_url)
    result = one(source, *words)
    alone = seeder("seed", "land", "--zooms", ZOOMS, "--jobs", "1", *words)
    *_, note, error = result.stderr.splitlines()
    assert "layer land is ingested: " in note
    assert error == alone.stderr.splitlines()[-1]
    assert says in error
    assert result.exit_code == alone.exit_code == 2
    assert not jobs(sources_of(data))
    assert one(source, "--max-cost", "1", "--confirm-above", "1", "--yes").exit_code == 0


def test_tiles_of_an_earlier_revision_fail_the_command_until_they_are_refreshed(source: Path, data: Path) -> None:
    assert one(source).exit_code == 0
    write_raster(source, replace(LAND, values=255 - LAND.values))
    result = one(source)
    assert result.exit_code == 1
    assert "re-render them with `seeder refresh land`" in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.endswith("re-render its stale tiles with `seeder refresh land`, then run the same command again")
    assert seeder("refresh", "land", "--jobs", "1", "--no-wait").exit_code == 0
    assert one(source).exit_code == 0
    assert data.exists()


# The estimate of a bake


def test_a_dry_run_needs_no_seed_and_counts_the_parts_that_are_then_baked(
    source: Path, data: Path, tmp_path: Path
) -> None:
    before = snapshot(tmp_path)
    plan = said(seeder("ingest", source, "--dry-run", "--json", "--jobs", "1"))
    text = seeder("ingest", source, "--dry-run").stdout
    assert snapshot(tmp_path) == before
    assert "would bake at most 1 of 1 part and 1 overview part, about 1 MB\ntime: about " in text
    assert text.endswith("on this machine\ncost: nothing, because all work is done on this machine\n")
    assert "tile" not in text
    done = said(seeder("ingest", source, "--json", "--jobs", "1"))
    assert (plan["revision"], plan["tiles"], plan["tile_dollars"]) == (done["revision"], 0, 0)
    assert plan["bake"]["parts"] == done["baked"]
    again = seeder("ingest", source, "--dry-run")
    assert again.stdout.startswith("layer land is up to date: ")
    assert "would bake" not in again.stdout
    assert data.exists()


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, s3_url: str, make_queue: MakeQueue) -> MakeQueue:
    """Stores in S3, and both queues."""
    monkeypatch.setenv("TILER_SOURCES", s3_url + "/private")
    monkeypatch.setenv("TILER_TILES", s3_url + "/public")
    monkeypatch.setenv("TILER_QUEUE", make_queue().url)
    monkeypatch.setenv("TILER_BAKE_QUEUE", make_queue().url)
    return make_queue


@pytest.mark.usefixtures("stack")
def test_workers_cost_more_the_more_is_baked_and_fewer_take_longer(tmp_path: Path) -> None:
    small, large = (write_raster(tmp_path / f"{side}.tif", Recipe(scene(side, side))) for side in (64, 1200))

    def bake(source: Path, *words: object) -> dict[str, Any]:
        found: dict[str, Any] = said(seeder("ingest", source, *BY_WORKERS, "--dry-run", "--json", *words))["bake"]
        assert found["queued"]
        assert found["cost"]["total"] == pytest.approx(sum(found["cost"].values()) - found["cost"]["total"])
        return found

    few, many, crowd = bake(small), bake(large), bake(large, "--concurrency", "500")
    assert 0 < few["cost"]["compute"] < many["cost"]["compute"] == crowd["cost"]["compute"]
    assert 0 < few["cost"]["sqs"] <= many["cost"]["sqs"]
    assert few["megabytes"] < many["megabytes"]
    assert many["seconds"] >= crowd["seconds"] >= crowd["part_seconds"] > 0
    assert (many["workers"], crowd["workers"]) == (32, 500)
    text = seeder("ingest", large, *BY_WORKERS, "--dry-run", "--seed", "2-5").stdout
    assert re.search(r"^time: about .+ with 32 workers$", text, re.MULTILINE)
    assert re.search(r"^cost: Lambda \$.+, S3 requests \$.+, SQS \$.+; total \$.+ \(prices of ", text, re.MULTILINE)
    assert re.search(r"^zooms 2-5: at most \d+ tiles, at most \$", text, re.MULTILINE)


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("words", [(), ("--seed", "2-5"), BY_WORKERS, (*BY_WORKERS, "--seed", "2-5")])
def test_a_bake_above_the_most_dollars_is_not_begun(
    words: tuple[str, ...], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingesting, "bake_layer", untouched)
    result = seeder("ingest", source, *words, "--max-cost", "0")
    assert result.exit_code == 2
    assert "above --max-cost 0: ingest fewer scenes or a lower --max-zoom, or raise the limit" in complaint(result)
    assert not Stores.open(Settings.from_env(os.environ)).sources.has("sources/land/index.json")


def test_workers_are_sent_the_parts_of_the_dry_run(
    source: Path, data: Path, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILER_BAKE_QUEUE", make_queue().url)
    words = "ingest", source, "--queue", make_queue().url, "--json"
    bake = said(seeder(*words, "--dry-run"))["bake"]
    assert not data.exists()
    assert said(seeder(*words, "--max-cost", "1"))["parts"] == bake["parts"] + bake["overviews"] == 2
