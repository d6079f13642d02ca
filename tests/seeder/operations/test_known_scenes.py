"""An ingest of scenes that a layer has already opens none of them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.operations.ingest import ingest
from seeder.operations.report import Report
from seeder.operations.scenes import Sources, known_scenes, read_sources
from tests.support.rasters import Recipe, scene, write_raster
from tiler.choices import Overlap
from tiler.raster.options import Options
from tiler.scenes import headers
from tiler.storage.store import Stores


@pytest.mark.parametrize(
    ("options", "again"), [(Options(), False), (Options(max_zoom=4), False), (Options(nodata=3.0), True)]
)
def test_headers_are_read_again_only_with_other_options(
    options: Options, again: bool, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(
        str(write_raster(tmp_path / f"{west}.tif", Recipe(values=scene(40, 40), bounds=(west, 45.0, west + 1.0, 46.0))))
        for west in (7.0, 8.0)
    )
    first = read_sources(Sources(names), Options(), Report(), jobs=1)
    assert ingest(first, "land", Options(), stores, Report(), jobs=1).layer.scenes == 2
    opened, plain = list[str](), headers.header_of

    def counted(path: str, *rest: object) -> object:
        opened.append(path)
        return plain(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(headers, "header_of", counted)
    known = known_scenes("land", options, stores.sources)
    found = read_sources(Sources(names), options, Report(), jobs=1, known=known)
    assert not isinstance(found, str)
    assert [scene.address for scene in found.scenes] == list(names)
    assert sorted(opened) == (sorted(names) if again else [])
    assert known_scenes("sea", options, stores.sources) is None


class Notes(Report):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """See `Report.note`."""
        self.notes.append(text)


@pytest.mark.parametrize(("overlap", "noted"), [("newest", 1), ("last", 0)])
def test_scenes_without_dates_are_told_if_dates_order_them(overlap: Overlap, noted: int, tmp_path: Path) -> None:
    names = tuple(str(write_raster(tmp_path / f"{at}.tif", Recipe(values=scene(40, 40)))) for at in range(2))
    report = Notes()
    read_sources(Sources(names, overlap), Options(), report, jobs=1)
    assert len(report.notes) == noted
    assert all(note.startswith("2 of 2 scenes have no date") for note in report.notes)
