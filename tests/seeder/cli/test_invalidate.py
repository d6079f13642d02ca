"""The command `invalidate`: questions, output, remaining tiles, exit codes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from seeder.cli import main as cli
from seeder.cli.invalidate import parse_age
from seeder.operations import invalidate as operation
from seeder.operations import update
from tests.support.door import (  # noqa: F401 - some are fixtures
    FOREVER,
    Door,
    a_door,
    a_store_behind,
    batches_of_ten,
    fill,
    guard,
    hasty,
    held,
)
from tiler.errors import BadOption, StoreError
from tiler.keys import parse_tile_key
from tiler.layers.catalog import load_layer
from tiler.layers.publication import publish
from tiler.settings import Settings
from tiler.storage.store import Store, Stores, open_store

Run = Callable[..., Result]
TILES = {
    *("alps/0/0/0.png", "alps/5/16/11.png", "alps/5/16/11@2x.png", "alps/9/263/180.webp", "alps/9/264/180.jpg"),
    *("alps/9/264/181@2x.webp", "alps/9/9/99.png", "alps/12/2112/1448.png", "alps/12/2112/1449@2x.jpg"),
}
OTHERS = {"alps/tile.json", "alps/index.html", "alps/9/264/notes.txt", "alps2/9/264/180.png", "alps-2/tile.json"}


@pytest.fixture
def tiles(alps_copy: Path) -> Store:
    """The tiles of `alps`, zooms 0 to 9, some older ones, and other objects."""
    store = open_store((alps_copy / "tiles").as_uri())
    fill(store, TILES | OTHERS - {"alps/tile.json"})
    return store


@pytest.fixture
def run() -> Run:
    """Run `seeder invalidate`."""

    def call(*words: object, **options: Any) -> Result:
        return CliRunner().invoke(cli.main, ["invalidate", *map(str, words)], **options)

    return call


def said(result: Result) -> dict[str, Any]:
    """The one line of JSON."""
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def complaint(result: Result) -> str:
    """The single line of the error."""
    lines = [line for line in result.stderr.splitlines() if line.startswith(("error: ", "Error: "))]
    assert len(lines) == 1
    return lines[0]


def of(*zooms: int) -> set[str]:
    """The tiles of some zooms."""
    return {key for key in TILES if parse_tile_key(key).tile.z in zooms}


SELECTED: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "all": (("--all",), TILES),
    "zooms": (("--zooms", "0-5"), of(0, 5)),
    "zooms that the layer lacks": (("--zooms", "12"), of(12)),
    "zooms, some of which the layer lacks": (("--zooms", "9-20"), of(9, 12)),
    "a box": (("--zooms", "9", "--bbox", "5.7,46.9,6.2,47.0"), {"alps/9/264/180.jpg"}),
    "two boxes": (
        ("--zooms", "9", "--bbox", "5.7,46.9,6.2,47.0", "--bbox", "5,46.4,6.2,47"),
        {"alps/9/263/180.webp", "alps/9/264/180.jpg", "alps/9/264/181@2x.webp"},
    ),
    "a box across": (("--zooms", "9", "--bbox", "5.7,45,-170,80"), of(9) - {"alps/9/263/180.webp"}),
    "a list": (("--tiles", "-"), {"alps/5/16/11.png", "alps/5/16/11@2x.png", "alps/12/2112/1448.png"}),
    "a list and zooms": (("--tiles", "-", "--zooms", "12"), {"alps/12/2112/1448.png"}),
}
LIST = "5/16/11  # both scales\n12/2112/1448\n9/1/1\n"


@pytest.mark.parametrize("name", SELECTED)
def test_exactly_what_is_selected_vanishes(tiles: Store, run: Run, name: str) -> None:
    words, meant = SELECTED[name]
    result = run("alps", *words, "--json", input=LIST)
    assert result.exit_code == 0, result.output
    assert held(tiles) == (TILES | OTHERS) - meant
    told = said(result)
    assert (told["existed"], told["removed"], told["failed"]) == (len(meant), len(meant), 0)


@pytest.mark.parametrize("name", SELECTED)
def test_a_dry_run_tells_how_many_and_changes_nothing(tiles: Store, run: Run, name: str) -> None:
    words, meant = SELECTED[name]
    assert tiles.root
    before = {path: path.stat().st_mtime_ns for path in tiles.root.parent.rglob("*")}
    told = said(run("alps", *words, "--json", "--dry-run", input=LIST))
    result = run("alps", *words, "--dry-run", input=LIST)
    assert {path: path.stat().st_mtime_ns for path in tiles.root.parent.rglob("*")} == before
    zooms = {z: len(meant & of(z)) for z in (0, 5, 9, 12) if meant & of(z)}
    assert (told["existed"], told["removed"], told["dry_run"]) == (len(meant), 0, True)
    assert told["zooms"] == {str(z): number for z, number in zooms.items()}
    assert result.exit_code == 0
    rows = re.findall(r"^ *(\d+) +(\d+)$", result.stdout, re.MULTILINE)
    assert rows == [(str(z), str(number)) for z, number in zooms.items()]
    assert f"{len(meant)} tile" in result.stdout


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing selected": (("alps",), "no tiles selected"),
    "only what is stored": (("alps", "--existing"), "no tiles selected"),
    "only where there is data": (("alps", "--footprint"), "no tiles selected"),
    "all and zooms": (("alps", "--all", "--zooms", "5"), "--all and other selectors exclude each other"),
    "all and a box": (("alps", "--all", "--bbox", "5,45,6,46"), "--all and other selectors exclude each other"),
    "all and an age": (("alps", "--all", "--older-than", "1d"), "--all and other selectors exclude each other"),
    "all and a list": (("alps", "--all", "--tiles", "-"), "--all and other selectors exclude each other"),
    "an empty list": (("alps", "--tiles", "-"), "the list of tiles is empty"),
    "a list off the layer": (
        ("alps", "--tiles", "-", "--zooms", "4-20"),
        "no selected tile is stored or lies in layer 'alps'",
    ),
    "an unknown layer": (("alp", "--all"), "did you mean alps?"),
    "no layer's name": (("../alps", "--all"), "cannot name a layer"),
    "a box beside the layer": (("alps", "--bbox", "20,45,21,46"), "within 5,45,9,48"),
    "zooms without tiles that the layer lacks": (("alps", "--zooms", "10-11"), "has zooms 0-9"),
    "the future": (("alps", "--older-than", "2999-01-01"), "lies in the future"),
    "zooms backwards": (("alps", "--zooms", "9-5"), "runs backwards"),
    "no box": (("alps", "--bbox", "5,45,6"), "not a bounding box"),
}
AGES = (
    "",
    "7",
    "d",
    "-7d",
    "7 d",
    "1.5d",
    "7y",
    "99999999d",
    "999999w",
    "yesterday",
    "2026-13-01",
    "2026-02-30",
    "1e3d",
)
WRONG |= {f"age {age!r}": (("alps", "--older-than", age), "is not an age") for age in AGES}


@pytest.mark.parametrize("flag", ["--yes", "--dry-run"])
@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_meant_is_refused(tiles: Store, run: Run, name: str, flag: str) -> None:
    words, why = WRONG[name]
    result = run(*words, flag, input="9/1/1\n20/1/1\n" if name == "a list off the layer" else "# nothing\n")
    assert (result.exit_code, result.stdout, held(tiles)) == (2, "", TILES | OTHERS)
    assert why in complaint(result)


@pytest.mark.parametrize("flags", [(), ("--yes",)], ids=["", "yes"])
@pytest.mark.parametrize("words", [("--zooms", "7"), ("--older-than", "2001-01-01"), ("--bbox", "8,47,8.5,47.5")])
def test_that_nothing_is_stored_is_told(tiles: Store, run: Run, words: tuple[str, ...], flags: tuple[str, ...]) -> None:
    tiles.delete(["alps/0/0/0.png", "alps/5/16/11.png", "alps/5/16/11@2x.png"])
    left = held(tiles)
    result = run("alps", *words, *flags)
    assert (result.exit_code, held(tiles)) == (0, left)
    assert "no selected tile is stored: nothing was removed" in result.stderr
    told = said(run("alps", *words, *flags, "--json"))
    assert (told["existed"], told["removed"], told["failed"]) == (0, 0, 0)
    assert "0 tiles" in run("alps", *words, "--dry-run").stdout


# confirmation


def test_many_tiles_are_not_removed_unasked(tiles: Store, run: Run) -> None:
    result = run("alps", "--all", "--confirm-above", len(TILES) - 1)
    assert result.exit_code == 2
    assert f"{len(TILES)} tiles would be removed" in complaint(result)
    assert "--yes" in complaint(result)
    assert held(tiles) == TILES | OTHERS


@pytest.mark.parametrize("flags", [("--confirm-above", len(TILES)), ("--confirm-above", 0, "--yes")])
def test_as_many_as_the_limit_or_with_yes_nobody_is_asked(tiles: Store, run: Run, flags: tuple[object, ...]) -> None:
    assert run("alps", "--all", *flags).exit_code == 0
    assert held(tiles) == OTHERS


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_the_answer_at_a_terminal_decides(tiles: Store, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)
    result = run("alps", "--all", "--confirm-above", 0, input=f"{answer}\n")
    assert "9 tiles would be removed" in result.stderr
    assert "Continue?" in result.stderr
    if answer == "y":
        assert (result.exit_code, held(tiles)) == (0, OTHERS)
    else:
        assert (result.exit_code, held(tiles)) == (2, TILES | OTHERS)
        assert "nothing was changed" in complaint(result)


# age


def aged(store: Store, key: str, at: datetime) -> None:
    """Set the time of last write of a file."""
    assert store.root
    os.utime(store.root / key, (at.timestamp(), at.timestamp()))


def test_a_tile_written_at_the_very_time_stays(tiles: Store, run: Run) -> None:
    noon = datetime(2025, 3, 1, 12, tzinfo=UTC)
    times = {"alps/5/16/11.png": -1, "alps/5/16/11@2x.png": 0, "alps/9/264/180.jpg": 1, "alps/12/2112/1448.png": -3600}
    for key, seconds in times.items():
        aged(tiles, key, noon + timedelta(seconds=seconds))
    for text in ("2025-03-01T12:00", "2025-03-01T12:00Z", "2025-03-01T13:00:00+01:00"):
        assert said(run("alps", "--older-than", text, "--dry-run", "--json"))["existed"] == 2
    assert run("alps", "--older-than", "2025-03-01T12:00", "--zooms", "5-9").exit_code == 0
    assert held(tiles) == (TILES | OTHERS) - {"alps/5/16/11.png"}


@given(st.integers(0, 9999), st.sampled_from(["minutes", "hours", "days", "weeks"]))
def test_an_age_is_so_long_ago(number: int, unit: str) -> None:
    before = datetime.now(UTC)
    found = parse_age(f"{number}{unit[0]}") + timedelta(**{unit: number})
    assert before <= found <= datetime.now(UTC)


@given(st.text("0123456789mhdwT:.+-", max_size=12))
def test_whatever_is_no_age_is_refused_and_what_is_lies_behind(text: str) -> None:
    with suppress(BadOption):
        assert parse_age(text) <= datetime.now(UTC)


# TileJSON


def revised(alps_copy: Path) -> str:
    """Publish another revision; return its name."""
    stores = Stores.open(Settings.from_env({}, data=str(alps_copy)))
    publish(replace(load_layer(stores.sources, "alps"), revision="beef"), stores)
    return "beef"


def shown(tiles: Store) -> str:
    """The revision in TileJSON."""
    (url,) = json.loads(tiles.get("alps/tile.json"))["tiles"]
    return str(url).partition("?v=")[2]


def test_afterwards_the_tilejson_names_the_current_revision(alps_copy: Path, tiles: Store, run: Run) -> None:
    before = shown(tiles)
    now = revised(alps_copy)
    assert shown(tiles) == before != now
    assert run("alps", "--all", "--no-wait", "--dry-run").exit_code == 0
    assert shown(tiles) == before
    assert said(run("alps", "--all", "--no-wait", "--json"))["revision"] == now
    assert shown(tiles) == now


@pytest.mark.usefixtures("tens", "hasty")
def test_where_tiles_could_not_be_removed_it_names_the_one_before(
    alps_copy: Path, tiles: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, now = shown(tiles), revised(alps_copy)
    with monkeypatch.context() as patch:
        guard(tiles, {"alps/9/9/99.png"}, patch)
        result = run("alps", "--all", "--no-wait")
    assert (result.exit_code, shown(tiles)) == (1, before)
    assert held(tiles) == OTHERS | {"alps/9/9/99.png"}
    assert "not removed: alps/9/9/99.png" in result.stderr
    assert re.search(r"1 tile could not be removed: .*Permission denied", complaint(result))
    assert "9 tiles stored, 8 removed" in result.stdout
    assert run("alps", "--all", "--no-wait").exit_code == 0
    assert (held(tiles), shown(tiles)) == (OTHERS, now)


# interrupted

MANY = [f"alps/9/270/{y}.png" for y in range(200)]


@pytest.mark.usefixtures("tens")
@pytest.mark.parametrize("flags", [(), ("--yes",)], ids=["", "yes"])
@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt, 130), (StoreError("list", "alps/9/", "no answer"), 1)],
    ids=["by Ctrl-C", "by the store"],
)
def test_an_interrupted_invalidation_is_finished_by_another(
    alps_copy: Path,
    tiles: Store,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    flags: tuple[str, ...],
) -> None:
    fill(tiles, MANY)
    before, now = shown(tiles), revised(alps_copy)

    def broken(task: update.UpdateTask, keys: Iterator[str], total: int | None) -> Any:
        def drawn() -> Iterator[str]:
            for number, key in enumerate(keys):
                if number == 100:
                    raise error
                yield key

        return update.delete_tiles(task, drawn(), total)

    with monkeypatch.context() as patch:
        patch.setattr(operation, "delete_tiles", broken)
        result = run("alps", "--all", "--no-wait", *flags)
    assert result.exit_code == code
    assert ("run the same command again" if code == 130 else "no answer") in result.stderr
    assert shown(tiles) == before
    left = held(tiles) - OTHERS
    assert 0 < len(left) < len(MANY) + len(TILES)
    told = said(run("alps", "--all", "--no-wait", "--json", *flags))
    assert (told["existed"], told["removed"]) == (len(left), len(left))
    assert (held(tiles), shown(tiles)) == (OTHERS, now)


# a bucket


@pytest.fixture
def bucket(door: Door, behind: Store, alps_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Tiles in S3 behind the proxy, the private part in a folder."""
    assert alps_copy
    fill(behind, TILES | OTHERS)
    monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
    monkeypatch.setenv("TILER_TILES", behind.url)
    door.forget()
    return behind


@pytest.mark.usefixtures("tens")
@pytest.mark.parametrize("flags", [(), ("--yes",)], ids=["", "yes"])
@pytest.mark.parametrize(
    "words", [("--all",), ("--zooms", "9,12"), ("--zooms", "9", "--bbox", "5,46.4,6.2,47"), ("--tiles", "-")]
)
def test_the_requests_that_are_told_are_those_that_s3_saw(
    door: Door,
    bucket: Store,
    run: Run,
    words: tuple[str, ...],
    flags: tuple[str, ...],
) -> None:
    fill(bucket, MANY[:45])
    told = said(run("alps", *words, *flags, "--json", input=LIST))
    assert (told["lists"], told["deletes"]) == (door.seen["LIST"], door.seen["DELETE"])
    assert told["deletes"] == -(-told["removed"] // 10)
    assert sum(door.sizes) == told["removed"] > 0


@pytest.mark.usefixtures("bucket")
def test_the_way_of_looking_and_its_requests_are_said(door: Door, run: Run) -> None:
    words = ("alps", "--all", "--dry-run")
    assert said(run(*words, "--json"))["listed"] == [0, 5, 9, 12]
    door.forget()
    text = run(*words).stdout
    assert f"{len(TILES)} tiles of layer alps would be removed" in text
    assert f"found by listing zoom 0,5,9,12: {door.seen['LIST']} LISTs" in text


@pytest.mark.usefixtures("tens", "hasty")
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_keys_that_s3_refuses_are_told_by_name(door: Door, bucket: Store, run: Run, *, as_json: bool) -> None:
    fill(bucket, MANY[:45])
    kept = {MANY[3], MANY[20], "alps/0/0/0.png"}
    door.kept = dict.fromkeys(kept, FOREVER)
    result = run("alps", "--all", *["--json"] * as_json)
    assert result.exit_code == 1
    assert {line.partition(": ")[2] for line in result.stderr.splitlines() if "not removed" in line} == kept
    assert "3 tiles could not be removed" in complaint(result)
    assert held(bucket) == OTHERS | kept
    if as_json:
        told = said(result)
        assert (told["existed"], told["removed"], told["failed"]) == (45 + len(TILES), 42 + len(TILES), 3)
    else:
        assert "54 tiles stored, 51 removed" in result.stdout
    door.kept = {}
    assert run("alps", "--all").exit_code == 0
    assert held(bucket) == OTHERS


@pytest.mark.usefixtures("hasty")
def test_an_s3_that_refuses_everything_is_an_error(door: Door, bucket: Store, run: Run) -> None:
    door.kept = dict.fromkeys(TILES, FOREVER)
    result = run("alps", "--all")
    assert result.exit_code == 1
    assert re.search(r"cannot delete alps/.*Access", complaint(result))
    assert held(bucket) == TILES | OTHERS
