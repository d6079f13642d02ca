"""`seed` shows an estimate, asks before large jobs, and refuses expensive ones; none of this changes anything."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import mercantile
import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from seeder.jobs import estimate as estimation
from seeder.jobs.prices import Prices
from tests.support.damaged import cogs
from tests.support.estimates import unrendered
from tests.support.files import snapshot
from tests.support.function import png_tiles
from tests.support.queues import MakeQueue
from tiler import processes
from tiler.layers.catalog import load_layer
from tiler.layers.fill import Outcome
from tiler.layers.publication import publish
from tiler.settings import Settings
from tiler.storage.store import Stores

TILES = {z: len(list(mercantile.tiles(5.0, 45.0, 9.0, 48.0, z))) for z in range(10)}
TOTAL = sum(TILES[z] for z in (5, 6, 7))


class Terminal(io.BytesIO):
    """Standard input of a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def run(*words: str, zooms: str = "5-7", typed: str | None = None) -> Result:
    """Run `seed alps`; `typed` comes from a terminal, without it there is none."""
    stdin = None if typed is None else Terminal(typed.encode())
    return CliRunner().invoke(cli.main, ["seed", "alps", "--zooms", zooms, "--jobs", "1", *words], input=stdin)


def told(result: Result) -> dict[str, Any]:
    """The one line of JSON on stdout."""
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    said: dict[str, Any] = json.loads(line)
    return said


def refusal(result: Result) -> str:
    """The single error of a refused command: exit 2, nothing on stdout."""
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.fixture
def data(alps_copy: Path) -> Path:
    """A data folder with the layer `alps`."""
    return alps_copy


@pytest.fixture
def unchanged(data: Path) -> Iterator[None]:
    """Check that nothing in the data folder changes."""
    before = snapshot(data)
    yield
    assert snapshot(data) == before


@pytest.fixture
def bucket(data: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket for the tiles."""
    assert data
    monkeypatch.setenv("TILER_TILES", s3_url)
    return s3_url.removeprefix("s3://")


@pytest.fixture
def second_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of the sample takes a second by the estimate's clock."""

    def stream(make: Callable[[], Callable[[Any], Any]], items: Iterable[Any], *, jobs: int) -> Iterator[Any]:
        for z, outcome in processes.stream(make, items, jobs=jobs):
            yield z, replace(outcome, milliseconds=1000)

    monkeypatch.setattr(estimation, "stream", stream)


def stored(bucket: str) -> list[str]:
    return [each["Key"] for each in boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


# Output


@pytest.mark.usefixtures("unchanged")
def test_a_dry_run_shows_each_zoom_the_time_and_the_cost() -> None:
    result = run("--dry-run")
    assert result.exit_code == 0
    head, _, *rows = [line.split() for line in result.stdout.splitlines()]
    assert head == ["zoom", "tiles", "blocks", "MB", "+-", "empty", "seconds", "+-", "sample"]
    shown = {row[0]: row[1:] for row in rows[:4]}
    assert {name: int(row[0]) for name, row in shown.items()} == {str(z): TILES[z] for z in (5, 6, 7)} | {"all": TOTAL}
    assert {row[1] for name, row in shown.items() if name != "all"} == {"1"}
    assert (shown["all"][1], shown["all"][-1]) == ("3", str(TOTAL))
    text = result.stdout.replace("\n", " ")
    assert "tiles and blocks are exact; the rest is estimated from" in text
    assert "+- is twice the standard error" in text
    assert "with 1 process on this machine" in text
    assert "cost: nothing, because all work is done on this machine" in text


@pytest.mark.usefixtures("unchanged")
def test_a_dry_run_says_the_same_in_json() -> None:
    said = told(run("--dry-run", "--json"))
    assert list(said) == [
        *("layer", "revision", "tiles", "blocks", "bytes", "milliseconds", "messages", "workers", "wall"),
        *("cost", "prices", "by_zoom"),
    ]
    assert list(said["cost"]) == ["compute", "s3", "sqs", "logs", "storage", "total", "most"]
    assert {z: zoom["tiles"] for z, zoom in said["by_zoom"].items()} == {str(z): TILES[z] for z in (5, 6, 7)}
    for zoom in said["by_zoom"].values():
        assert list(zoom) == ["tiles", "blocks", "sample", "bytes", "seconds", "empty", "spread", "slack"]
    for name in ("tiles", "blocks", "bytes"):
        assert said[name] == pytest.approx(sum(zoom[name] for zoom in said["by_zoom"].values()), abs=1)
    assert (said["workers"], said["messages"], said["cost"]["total"]) == (1, 0, 0)


def test_a_dry_run_foretells_the_bytes_of_the_run(data: Path) -> None:
    said = told(run("--dry-run", "--json"))
    done = told(run("--json"))
    assert (said["tiles"], said["bytes"]) == (done["tiles"], done["bytes"])
    assert said["bytes"] == sum(map(len, png_tiles(data).values()))


def test_a_dry_run_into_s3_names_what_is_paid_for_and_writes_nothing(bucket: str) -> None:
    result = run("--dry-run")
    amounts = r"cost: S3 requests \$0\.000[12], one month of storage \$0\.0001; total \$0\.000[12], at most"
    assert re.search(amounts, result.stdout)
    assert f"(prices of {Prices().as_of}; --prices FILE replaces them)" in result.stdout
    assert "Lambda" not in result.stdout
    paid = told(run("--dry-run", "--json"))["cost"]
    assert paid["s3"] == pytest.approx((TOTAL + 3) * 5e-6 + 3 * 6 * 0.4e-6)
    assert paid["total"] == pytest.approx(paid["s3"] + paid["storage"])
    assert stored(bucket) == []


def test_a_dry_run_for_a_queue_counts_its_messages_and_sends_none(
    data: Path, make_queue: MakeQueue, bucket: str
) -> None:
    queue = make_queue()
    said = told(run("--queue", queue.url, "--dry-run", "--json"))
    assert (said["messages"], said["workers"]) == (3, 32)
    assert min(said["cost"][part] for part in ("compute", "s3", "sqs", "logs", "storage")) > 0
    text = run("--queue", queue.url, "--dry-run").stdout
    assert "with 32 workers, 3 messages" in text
    assert "cost: Lambda $" in text
    assert not queue.depth()
    assert not (data / "private" / "jobs").exists()
    assert stored(bucket) == []


# Confirmation


@pytest.mark.usefixtures("unchanged")
def test_more_tiles_than_the_limit_are_shown_and_refused_where_nobody_can_be_asked() -> None:
    result = run("--confirm-above", str(TOTAL - 1))
    says = refusal(result)
    assert says == f"error: {TOTAL} tiles, more than --confirm-above {TOTAL - 1}: add --yes to confirm"
    assert "tiles and blocks are exact" in result.stderr


@pytest.mark.parametrize("words", [("--yes", "--confirm-above", "0"), ("--confirm-above", str(TOTAL))])
def test_no_estimate_is_made_where_nobody_need_be_asked(
    data: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(estimation, "stream", None)
    assert told(run(*words, "--json"))["written"] == TOTAL
    assert len(png_tiles(data)) == TOTAL


def test_a_yes_at_the_terminal_goes_on(data: Path) -> None:
    result = run("--confirm-above", "1", "--json", typed="y\n")
    assert told(result)["written"] == len(png_tiles(data)) == TOTAL
    assert "tiles and blocks are exact" in result.stderr
    assert f"{TOTAL} tiles, more than --confirm-above 1. Continue? [y/N]" in result.stderr


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("typed", ["n\n", "\n", "what?\nn\n"], ids=["no", "only enter", "no in the end"])
def test_anything_but_a_yes_changes_nothing(typed: str) -> None:
    assert refusal(run("--confirm-above", "1", typed=typed)) == "error: not confirmed: no tile was written"


@pytest.mark.usefixtures("unchanged")
def test_a_terminal_that_is_closed_at_the_question_changes_nothing() -> None:
    result = run("--confirm-above", "1", typed="")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Aborted" in result.stderr


def test_more_than_a_million_tiles_are_not_seeded_unasked(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = Stores.open(Settings.from_env({}, data=str(data)))
    publish(replace(load_layer(stores.sources, "alps"), maxzoom=17), stores)
    unrendered(monkeypatch)
    monkeypatch.setattr("seeder.operations.seed.prepare", None)  # only tiles to be seeded count, not all
    before = snapshot(data)
    tiles = TILES[9] * 4**8  # approximately: the layer's edges are not on tile edges
    says = re.fullmatch(
        r"error: ([\d,]+) tiles, more than --confirm-above 1,000,000: add --yes to confirm",
        refusal(run(zooms="17")),
    )
    assert says
    assert int(says[1].replace(",", "")) == pytest.approx(tiles, rel=0.3)
    assert snapshot(data) == before


def test_an_answer_is_asked_for_before_anything_is_sent(data: Path, make_queue: MakeQueue) -> None:
    queue = make_queue()
    refusal(run("--queue", queue.url, "--confirm-above", "1"))
    assert not queue.depth()
    assert not (data / "private" / "jobs").exists()
    assert told(run("--queue", queue.url, "--confirm-above", "1", "--json", typed="y\n"))["messages"] == 3


# Cost


def test_what_may_cost_too_much_is_refused_and_nothing_written(data: Path, bucket: str) -> None:
    before = snapshot(data)
    says = refusal(run("--max-cost", "0.00001"))
    assert "above --max-cost 1e-05: select fewer tiles, or raise the limit" in says
    assert "--max-cost 0:" in refusal(run("--max-cost", "0", "--yes"))
    assert stored(bucket) == []
    assert snapshot(data) == before


def test_what_costs_less_is_done(bucket: str) -> None:
    assert told(run("--max-cost", "0.01", "--json"))["written"] == TOTAL
    assert len(stored(bucket)) == TOTAL


def test_what_costs_nothing_passes_any_limit(data: Path) -> None:
    assert told(run("--max-cost", "0", "--json"))["written"] == len(png_tiles(data)) == TOTAL


def test_the_upper_end_of_the_cost_is_what_counts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unrendered(
        monkeypatch, lambda block_mask: Outcome(empty=block_mask.tiles, milliseconds=1)
    )  # by chance: others may not be
    paid = told(run("--dry-run", "--json"))["cost"]
    assert paid["total"] < 0.9 * paid["most"]
    refusal(run("--max-cost", repr(paid["most"] * 0.999)))
    assert stored(bucket) == []
    assert run("--max-cost", repr(paid["most"] * 1.001)).exit_code == 0
    assert len(stored(bucket)) == TOTAL


def test_a_queue_gets_nothing_that_costs_too_much(data: Path, make_queue: MakeQueue) -> None:
    queue = make_queue()
    assert "--max-cost 0" in refusal(run("--queue", queue.url, "--max-cost", "0"))
    assert not queue.depth()
    assert not (data / "private" / "jobs").exists()


def test_a_refusal_for_the_cost_comes_before_the_question(bucket: str) -> None:
    result = run("--max-cost", "0", "--confirm-above", "1", typed="y\n")
    assert "--max-cost 0" in refusal(result)
    assert "Continue?" not in result.stderr
    assert stored(bucket) == []


@pytest.mark.usefixtures("bucket")
def test_a_file_sets_other_prices(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('as_of = "2031-01, the moon"\ns3_million_puts = 2e6\ns3_million_gets = 0\ns3_gb_month = 0\n')
    said = told(run("--dry-run", "--json", "--prices", str(path)))
    assert said["prices"] == "2031-01, the moon"
    assert said["cost"]["total"] == pytest.approx(2 * (TOTAL + 3))
    assert f"total ${2 * (TOTAL + 3)}.00" in run("--dry-run", "--prices", str(path)).stdout
    says = refusal(run("--max-cost", "20", "--prices", str(path)))
    assert f"the estimate is up to ${2 * (TOTAL + 3)}.00, above --max-cost 20" in says


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("text", "says"),
    [("s3_puts = 1\n", "unknown price s3_puts"), ("s3_gb_month = -1\n", "is not a price"), ("", "cannot read")],
)
@pytest.mark.parametrize("words", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_prices_that_cannot_be_are_refused_before_anything_is_done(
    tmp_path: Path, text: str, says: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "prices.toml"
    if text:
        path.write_text(text)
    error = refusal(run("--prices", str(path), *words))
    assert says in error
    assert str(path) in error


@pytest.mark.usefixtures("second_a_block", "data")
def test_more_workers_change_the_time_and_nothing_else(make_queue: MakeQueue) -> None:
    queue = make_queue()
    one, three = (
        told(run("--queue", queue.url, "--concurrency", number, "--dry-run", "--json")) for number in ("1", "3")
    )
    assert (one.pop("workers"), three.pop("workers")) == (1, 3)
    waits = TOTAL / 64 * Prices().lambda_wait
    assert (one.pop("wall"), three.pop("wall")) == (round(3 + waits, 1), round((3 + waits) / 3, 1))
    assert one == three


@pytest.mark.usefixtures("second_a_block", "unchanged")
def test_workers_of_the_stack_do_not_speed_up_this_machine() -> None:
    one, many = (told(run("--concurrency", number, "--dry-run", "--json")) for number in ("1", "1000"))
    assert one == many
    assert (one["workers"], one["wall"]) == (1, 3.0)


@pytest.mark.parametrize(
    "words",
    [
        ("--concurrency", "0"),
        ("--concurrency", "1001"),
        ("--confirm-above", "-1"),
        ("--max-cost", "-1"),
        ("--max-cost", "much"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_limits_that_cannot_be_are_bad_input(words: tuple[str, str]) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Invalid value for '{words[0]}'" in result.stderr


# Side effects


def test_a_dry_run_makes_no_folder_for_tiles(data: Path) -> None:
    shutil.rmtree(data / "tiles")
    assert told(run("--dry-run", "--json"))["tiles"] == TOTAL
    assert not (data / "tiles").exists()


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(("harm", "jobs"), [("gone", "1"), ("garbled", "1"), ("gone", "2")])
def test_a_source_that_cannot_be_read_is_a_failure_that_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, jobs: str
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for cog in cogs(data):
        size = cog.stat().st_size
        cog.unlink()
        if harm == "garbled":
            cog.write_bytes(bytes(size))
    before = snapshot(data)
    result = run("--dry-run", "--jobs", jobs)
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.search(r"error: cannot read \S*sources/alps/parts/", result.stderr)
    assert snapshot(data) == before
    assert list((tmp_path / "temporary").iterdir()) == []
