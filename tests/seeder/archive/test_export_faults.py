"""Interrupted and faulty exports: nothing is fetched twice, and no wrong archive gets the final name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from seeder.archive import export
from seeder.archive import mbtiles as mbtiles_file
from seeder.archive.export import COMMIT, Export, Kind, Progress, Target
from seeder.archive.mbtiles import Part
from tests.support.archives import (
    KINDS,
    NAMES,
    READERS,
    Content,
    Shelf,
    chosen,
    contents,
    each_of,
    fails_after,
    made,
    nobody,
    pyramid,
    read,
)
from tests.support.effort import examples
from tests.support.layer_strategies import GLOBE
from tiler.errors import BadOption, StoreError, Superseded
from tiler.layers.catalog import Layer
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_cut_off_is_taken_up_where_it_was(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pyramid(5)
    shelf = Shelf.of(content)
    target = Target.parse(str(tmp_path / NAMES[kind]))
    with monkeypatch.context() as patch:
        fails_after(900, StoreError("read", "a tile", "the line is dead"), shelf.tiles, patch)
        with pytest.raises(StoreError, match="the line is dead"):
            made(shelf.source(chosen(content)), target)
    assert not target.path.exists()
    shelf.fetched()
    with Export.open(shelf.source(chosen(content)), target) as work:
        assert (work.had, work.begun) == (900, "")
    made(shelf.source(chosen(content)), target)
    assert shelf.fetched() == len(content) - 900
    assert read(target) == content


def test_what_was_fetched_is_on_disk_before_the_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a killed run: the file is never closed."""
    content = pyramid(5)
    shelf = Shelf.of(content)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    with Export.open(shelf.source(chosen(content)), target) as work:
        fails_after(COMMIT + 100, StoreError("read", "a tile", "the line is dead"), shelf.tiles, monkeypatch)
        monkeypatch.setattr(work, "part", Uncommitted(work.part))
        with pytest.raises(StoreError):
            work.fetch(nobody)
    with closing(sqlite3.connect(target.part)) as base:
        assert base.execute("SELECT count(*) FROM map").fetchone() == (COMMIT,)


class Uncommitted:
    """A part without a second commit."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def commit(self) -> None:
        """See `Part.commit`."""
        self._commits += 1
        if self._commits == 1:
            self._part.commit()


@given(contents(deepest=3), contents(deepest=3))
@settings(max_examples=examples(10))
def test_a_part_of_another_selection_gives_what_both_have(one: Content, two: Content) -> None:
    both = one | two
    shelf = Shelf.of(both)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mbtiles_file, "ROWS_AT_ONCE", 3)
        target = Target.parse(f"{name}/out.mbtiles")
        with Export.open(shelf.source(chosen(one)), target) as work:
            work.fetch(nobody)
        shelf.fetched()
        with Export.open(shelf.source(chosen(two)), target) as work:
            assert work.had == len(set(one) & set(two))
            work.fetch(nobody)
            assert work.part.distinct == len({both[tile] for tile in two})
        assert shelf.fetched() == len(set(two) - set(one))
        made(shelf.source(chosen(two)), target)
        assert read(target) == {tile: both[tile] for tile in two}
        with closing(sqlite3.connect(target.path)) as base:
            pictures = {data for (data,) in base.execute("SELECT tile_data FROM images")}
        assert pictures == {both[tile] for tile in two}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(GLOBE, revision="0000"), "9f2c"),
        (replace(GLOBE, id="moon"), "globe"),
        (replace(GLOBE, format="webp"), "png"),
    ],
)
def test_a_part_of_other_tiles_is_begun_anew(other: Layer, said: str, tmp_path: Path) -> None:
    content = pyramid(2)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    first = Shelf.of(content)
    with Export.open(first.source(chosen(content)), target) as work:
        work.fetch(nobody)
    changed = {tile: data[::-1] for tile, data in content.items()}
    shelf = Shelf.of(changed, other, TileVariant(format=other.format))
    with Export.open(shelf.source(chosen(content)), target) as work:
        assert (work.had, work.begun) == (0, said)
    made(shelf.source(chosen(content)), target)
    assert read(target) == changed


def test_a_part_whose_tiles_were_being_replaced_is_begun_anew(tmp_path: Path) -> None:
    """While TileJSON names the old revision and the layer has the new one, tiles of both are stored."""
    content = pyramid(2)
    shelf = Shelf.of(content)
    shelf.layer = replace(GLOBE, revision="beef")
    publish(shelf.layer, shelf.stores)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    source = shelf.source(chosen(content))
    assert source.origin["revision"] == "9f2c..beef"
    with Export.open(source, target) as work:
        work.fetch(nobody)
    for tile in content:
        shelf.tiles.delete([shelf.key(tile)])
    publish(shelf.layer, shelf.stores)
    with Export.open(source, target) as work:
        assert (work.had, work.begun, work.origin["revision"]) == (0, "9f2c..beef", "beef")


def test_a_revision_that_changes_on_the_way_ends_the_run(tmp_path: Path) -> None:
    content = pyramid(2)
    shelf = Shelf.of(content)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    with Export.open(shelf.source(chosen(content)), target) as work:
        publish(replace(GLOBE, revision="beef"), shelf.stores)
        with pytest.raises(Superseded, match="run the same command again"):
            work.fetch(nobody)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_before_the_archive_gets_its_name(kind: Kind, tmp_path: Path) -> None:
    content = {tile: bytes([tile.x + 1]) * 40 for tile in each_of(3)}
    shelf = Shelf.of(content)
    target = Target.parse(str(tmp_path / NAMES[kind]))
    source = shelf.source(chosen(content))
    with Export.open(source, target) as work:
        work.fetch(nobody)
        work.write(nobody)
        victim = target.made / "3/4/4.png" if kind == "folder" else target.made
        victim.write_bytes(victim.read_bytes().replace(b"\5" * 40, b"\6" + b"\5" * 39))
        with pytest.raises(StoreError, match="differ when read back: check the disk"):
            work.check(nobody)
    assert list(tmp_path.iterdir()) == []
    made(source, target)
    assert read(target) == content


@pytest.mark.parametrize("place", [150, 1000, -10])
def test_a_pmtiles_file_that_was_cut_short_is_found(place: int, tmp_path: Path) -> None:
    """In the root directory, in the leaves, in the tiles."""
    content = pyramid(6)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    with Export.open(Shelf.of(content).source(chosen(content)), target) as work:
        work.fetch(nobody)
        work.write(nobody)
        target.made.write_bytes(target.made.read_bytes()[:place])
        with pytest.raises(StoreError, match="differ when read back: check the disk"):
            work.check(nobody)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_lacks_a_tile_is_found(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pyramid(2)
    target = Target.parse(str(tmp_path / NAMES[kind]))
    with Export.open(Shelf.of(content).source(chosen(content)), target) as work:
        work.fetch(nobody)
        work.write(nobody)
        read = getattr(export, READERS[kind])
        monkeypatch.setattr(export, READERS[kind], lambda *which: list(read(*which))[1:])
        with pytest.raises(StoreError, match="1 tiles differ when read back"):
            work.check(nobody)


def test_a_part_that_is_somebody_else_s_is_left_alone(tmp_path: Path) -> None:
    content = pyramid(1)
    source = Shelf.of(content).source(chosen(content))
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    target.part.write_text("my notes, longer than a header of a hundred bytes " * 10)
    with pytest.raises(BadOption, match="move it elsewhere"), Export.open(source, target):
        pass
    assert target.part.read_text().startswith("my notes")
    target.part.unlink()
    with closing(sqlite3.connect(target.part)) as base:
        base.execute("CREATE TABLE map (mine)")
    with pytest.raises(BadOption, match="move it elsewhere"), Export.open(source, target):
        pass
    with closing(sqlite3.connect(target.part)) as base:
        assert base.execute("SELECT name FROM sqlite_master").fetchall() == [("map",)]


def test_two_exports_do_not_write_the_same_part(tmp_path: Path) -> None:
    content = pyramid(1)
    source = Shelf.of(content).source(chosen(content))
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    with (
        Export.open(source, target) as work,
        pytest.raises(StoreError, match="another export is writing it"),
        Export.open(source, target),
    ):
        pass
    assert not work.begun
    made(source, target)


def test_a_full_or_damaged_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pyramid(5)
    source = Shelf.of(content).source(chosen(content))
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    with monkeypatch.context() as patch:
        fetch = Export.fetch

        def short(work: Export, progress: Progress) -> int:
            work.part._base.execute("PRAGMA max_page_count = 12")
            return fetch(work, progress)

        patch.setattr(Export, "fetch", short)
        with pytest.raises(StoreError, match="full"):
            made(source, target)
    with Export.open(source, target) as work:
        work.fetch(nobody)
    data = bytearray(target.part.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    target.part.write_bytes(data)
    with pytest.raises(StoreError, match="delete it and run the same command again"):
        made(source, target)
