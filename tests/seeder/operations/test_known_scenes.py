"""An ingest of scenes that a layer has already opens none of them again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seeder.operations.ingest import ingest, noting
from seeder.operations.report import Report
from seeder.operations.scenes import Sources, read_sources, read_to_ingest
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.reports import Recorded
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
    found, _ = read_to_ingest(Sources(names), "land", options, stores.sources, Report(), jobs=1)
    assert not isinstance(found, str)
    assert [scene.address for scene in found.scenes] == list(names)
    assert sorted(opened) == (sorted(names) if again else [])


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, ...]:
    """Two scenes of heights in one place."""
    heights = [scene(40, 40, 1, seed=at).astype(np.float32) for at in range(2)]
    return tuple(str(write_raster(tmp_path / f"{at}.tif", Recipe(values=each))) for at, each in enumerate(heights))


@pytest.mark.parametrize(("overlap", "noted"), [("newest", 1), ("last", 0)])
def test_scenes_without_dates_are_told_if_dates_order_them(
    overlap: Overlap, noted: int, paths: tuple[str, ...], tmp_path: Path
) -> None:
    dated = [{"properties": {"location": paths[0], "datetime": "2026-05-01"}}]
    (tmp_path / "index.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": dated}))
    none, some = "no scene has a date, so --overlap newest is the same as last", "1 of 2 scenes have no date"
    for every, start in ((paths, none), ((str(tmp_path / "index.geojson"), paths[1]), some)):
        report = Recorded()
        read_sources(Sources(every, overlap), Options(), report, jobs=1)
        assert len(report.notes) == noted
        for note in report.notes:
            assert note.startswith(start)
            assert note.endswith("give dates in a list of STAC items or GeoJSON")


NAN = Options(nodata=float("nan"), format="auto")
GONE = "1 of its 2 scenes are not in this list"
OTHER = "it was ingested with other options"


@pytest.mark.parametrize(
    ("names", "options", "overlap", "told"),
    [
        ((0, 1), NAN, None, ""),
        ((0, 1), replace(NAN, requester_pays=True), "last", ""),
        ((1,), NAN, None, GONE),
        ((0, 1), Options(), None, f"{OTHER} (--nodata, --format)"),
        ((0, 1), NAN, "first", f"{OTHER} (--overlap)"),
        ((0,), replace(NAN, max_zoom=3), None, f"{GONE} and {OTHER} (--max-zoom)"),
    ],
)
def test_an_ingest_tells_which_scenes_and_options_of_a_layer_it_replaces(
    names: tuple[int, ...], options: Options, overlap: Overlap | None, told: str, paths: tuple[str, ...], stores: Stores
) -> None:
    first, _ = read_to_ingest(Sources(paths), "land", NAN, stores.sources, Report(), jobs=1)
    ingest(first, "land", NAN, stores, Report(), jobs=1)
    sources = Sources(tuple(paths[at] for at in names), overlap)
    again, note = read_to_ingest(sources, "land", options, stores.sources, Report(), jobs=1)
    cure = "use `seeder refresh land` to keep its options" + (", with --add also its scenes" if GONE in told else "")
    report = Recorded()
    ingest(again, "land", options, stores, report, jobs=1, approve=noting(note, report, lambda _: None))
    assert report.notes == [f"layer land exists, and {told}: this ingest replaces it; {cure}"] * bool(told)
