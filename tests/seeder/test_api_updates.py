"""`invalidate`, `reseed`, `refresh`, `rollback` and `remove` of the Python API have the results of the commands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import seeder
from tests.support.clock import nothing_in_flight
from tests.support.commands import said
from tests.support.commands import seeder as command
from tests.support.files import files_of
from tests.support.rasters import Recipe, scene, write_raster

WEST, EAST = (5.0, 45.0, 8.0, 48.0), (6.5, 45.0, 9.5, 48.0)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The fence has passed, so nothing waits; and nothing is printed."""
    nothing_in_flight(monkeypatch)
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a raster, another one that overlaps it, and the first as a seeded layer; to be copied."""
    folder = tmp_path_factory.mktemp("land")
    for name, seed, bounds in (("west", 3, WEST), ("east", 4, EAST)):
        write_raster(folder / f"{name}.tif", Recipe(values=scene(200, 200, seed=seed), bounds=bounds))
    layer = seeder.open(folder / "data").ingest(folder / "west.tif", "land", jobs=1)
    layer.seed(jobs=1)
    return folder


@pytest.fixture
def pair(seeded: Path, tmp_path: Path) -> tuple[seeder.Layer, Path]:
    """The layer in a folder, and another folder with a copy."""
    one, other = (Path(shutil.copytree(seeded / "data", tmp_path / name)) for name in ("one", "other"))
    return seeder.open(one).layer("land"), other


def same(tmp_path: Path) -> bool:
    """Whether the two folders have the same tiles, of the same revision."""
    return files_of(tmp_path / "one" / "tiles") == files_of(tmp_path / "other" / "tiles")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"zooms": 7}, ("--zooms", "7")),
        ({"bbox": (5, 45, 6, 46)}, ("--bbox", "5,45,6,46")),
        ({"tiles": ["7/66/45"]}, ("--tiles", "{list}")),
    ],
)
def test_a_call_invalidates_what_the_command_does(
    pair: tuple[seeder.Layer, Path], tmp_path: Path, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    (layer, other), listed = pair, tmp_path / "list.txt"
    listed.write_text("7/66/45\n")
    done = layer.invalidate(layer.select(**given))
    spelled = [word.replace("{list}", str(listed)) for word in words]
    told = said(command("invalidate", "land", *spelled, "--json", "--data", other))
    assert done.to_json() == told
    assert done.purged.removed > 0
    assert same(tmp_path)


def test_all_goes_or_what_is_old(pair: tuple[seeder.Layer, Path], tmp_path: Path) -> None:
    layer, other = pair
    kept = files_of(tmp_path / "one" / "tiles")
    assert layer.invalidate("all", older_than=timedelta(days=1)).existed == 0
    assert files_of(tmp_path / "one" / "tiles") == kept
    seen: list[tuple[int, int]] = []
    assert layer.invalidate("all", older_than=datetime.now(UTC), progress=lambda *each: seen.append(each)).passed
    assert seen[-1] == (len(kept) - 1, len(kept) - 1)  # tile.json stays
    command("invalidate", "land", "--all", "--yes", "--data", other)
    assert same(tmp_path)
    for wrong in (timedelta(days=-1), datetime(2999, 1, 1)):  # noqa: DTZ001 - without a zone it is in UTC
        with pytest.raises(seeder.errors.BadOption, match="lies in the future"):
            layer.invalidate("all", older_than=wrong)


def test_what_is_meant_must_be_said(pair: tuple[seeder.Layer, Path], tmp_path: Path) -> None:
    layer, _ = pair
    before = files_of(tmp_path / "one" / "tiles")
    with pytest.raises(seeder.errors.BadOption, match="give the result of select"):
        layer.invalidate("everything")  # type: ignore[arg-type]
    with pytest.raises(seeder.errors.BadOption, match="missing tiles are not stored"):
        layer.invalidate(layer.select(missing=True, zooms="0-3"))
    with pytest.raises(seeder.errors.BadOption, match="needs a CloudFront distribution"):
        layer.invalidate("all", cdn_wait=True)
    with pytest.raises(seeder.errors.BadOption, match="raster options need SOURCE: run `seeder refresh land"):
        layer.refresh(max_zoom=5)
    assert files_of(tmp_path / "one" / "tiles") == before


def test_a_layer_is_refreshed_rolled_back_and_reseeded_as_by_command(
    pair: tuple[seeder.Layer, Path], seeded: Path, tmp_path: Path
) -> None:
    layer, other = pair
    first, before = layer.revision, files_of(tmp_path / "one" / "tiles")
    seen: list[tuple[int, int]] = []
    done = layer.refresh(seeded / "east.tif", jobs=1, progress=lambda *each: seen.append(each))
    assert done.passed
    assert seen
    assert layer.revision != first
    command("refresh", "land", seeded / "east.tif", "--jobs", "1", "--yes", "--data", other)
    assert same(tmp_path)
    assert layer.verify().passed
    assert layer.rollback(jobs=1).passed
    assert layer.revision == first
    tiles = files_of(tmp_path / "one" / "tiles")
    assert {name: tiles[name] for name in before} == before
    assert layer.reseed("all", jobs=1).passed
    assert files_of(tmp_path / "one" / "tiles") == tiles
    assert layer.refresh(seeded / "west.tif", jobs=1, format="webp").passed
    assert layer.format == "webp"
    assert layer.remove_old_revisions().objects > 0


def test_a_layer_is_removed(pair: tuple[seeder.Layer, Path], tmp_path: Path) -> None:
    layer, _ = pair
    stored = len(files_of(tmp_path / "one"))
    seen: list[tuple[int, int]] = []
    done = layer.remove(progress=lambda *each: seen.append(each))
    assert done.objects <= stored
    kinds = [number for number, _ in done.sizes.values() if number]
    assert [each for each in seen if each[0] == each[1]] == [(number, number) for number in kinds]
    assert files_of(tmp_path / "one" / "tiles") == {}
    assert seeder.open(tmp_path / "one").layers() == []
    with pytest.raises(seeder.errors.UnknownLayer):
        layer.remove()
