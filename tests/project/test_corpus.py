"""The judgement of `scripts/corpus`, which itself is not part of CI: what passes for right, and what is a row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.corpus.__main__ import kind, summary
from tests.corpus.case import Limits, Report, untidy
from tests.corpus.compare import StoredTile, compared
from tests.corpus.run import names_in, through
from tests.support.oracle import landscape
from tests.support.rasters import Recipe, scene, write_raster
from tiler.image.style import Pixels

LIMITS = Limits()
MOST = 10**7  # pixels


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A raster with a hole, and the data folder of a layer of it."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "rasters").mkdir()
    values = landscape(130, 130) // 2 + np.random.default_rng(1).integers(1, 60, (3, 130, 130), np.uint8)
    values[:, 60:90, 40:60] = 0
    raster = write_raster(folder / "rasters" / "alps.tif", Recipe(values=values, nodata=0))
    names = names_in(folder / "rasters")
    [report] = list(through(names, folder / "kept", jobs=1, seconds=600.0, limits=LIMITS, keep=True))
    assert (report.result, report.why, report.untidy) == ("same", "", [])
    return raster, folder / "kept" / "0" / "data"


def shifted(pixels: Pixels) -> Pixels:
    return np.roll(pixels, 1, axis=1)


def swapped(pixels: Pixels) -> Pixels:
    return pixels[..., [2, 1, 0, 3]]


def brighter(pixels: Pixels) -> Pixels:
    return np.concatenate(
        [np.clip(pixels[..., :3].astype(int) + 12, 0, 255).astype(np.uint8), pixels[..., 3:]], axis=-1
    )


def filled(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels[..., :3], np.full_like(pixels[..., 3:], 255)], axis=-1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (shifted, "shifted by 1,0"),
        (swapped, "colour of"),
        (brighter, "mean 1"),
        (filled, "alpha of"),
        (None, "alpha of"),
    ],
)
def test_a_wrong_tile_is_found(
    spoil: Callable[[Pixels], Pixels] | None, says: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    raster, data = made
    shutil.copytree(data, tmp_path / "data")
    stored = StoredTile.of(tmp_path / "data", "it")
    deepest = stored.said["maxzoom"]
    for path in (stored.tiles / str(deepest)).glob("*/*.png"):
        pixels = np.asarray(Image.open(path).convert("RGBA"))
        if spoil:
            Image.fromarray(np.ascontiguousarray(spoil(pixels))).save(path)
        else:
            path.unlink()
    _, wrong = compared(str(raster), stored, (deepest,), MOST)
    assert any(says in why for why in wrong), wrong


def test_a_stretch_beyond_the_values_is_found(made: tuple[Path, Path]) -> None:
    raster, data = made
    stored = StoredTile.of(data, "it")
    stored.said["style"]["rescale"] = [[-9999.0, 200.0]] * 3
    _, wrong = compared(str(raster), stored, (), MOST)
    assert "stretch -9999,200 beyond the values" in wrong[0]


def test_a_refusal_a_hang_and_a_file_of_another_kind_are_rows(tmp_path: Path) -> None:
    rasters = tmp_path / "rasters"
    rasters.mkdir()
    write_raster(rasters / "nowhere.tif", Recipe(values=scene(20, 30), crs=""))
    (rasters / "notes.txt").write_text("no raster")
    (rasters / "nowhere.tif.aux.xml").write_text("<PAMDataset/>")
    rows = {
        Path(row.name).name: row
        for row in through(names_in(rasters), tmp_path / "scratch", jobs=2, seconds=60.0, limits=LIMITS)
    }
    assert {name: row.result for name, row in rows.items()} == {"nowhere.tif": "refused", "notes.txt": "no raster"}
    assert "CRS" in rows["nowhere.tif"].why
    [late] = list(through([str(rasters / "nowhere.tif")], tmp_path / "late", jobs=1, seconds=0.0, limits=LIMITS))
    assert late.result == "timed out"
    assert not list(tmp_path.glob("late/*"))


def test_what_holds_parts_gives_a_row_for_each(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "pages.tif", Recipe(values=scene(20, 30)))
    write_raster(tmp_path / "page.tif", Recipe(values=scene(30, 20)))
    Image.open(path).save(tmp_path / "two.tif", save_all=True, append_images=[Image.open(tmp_path / "page.tif")])
    names = [str(tmp_path / "two.tif")]
    rows = list(through(names, tmp_path / "scratch", jobs=2, seconds=60.0, limits=LIMITS))
    assert sorted(row.name.partition(":")[0] for row in rows) == [*names, "GTIFF_DIR", "GTIFF_DIR"]


def test_what_a_command_says_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "ingest.err").write_text(
        'error: its CRS is GEOGCS["WGS 84"]\nerror: two\nTraceback (most recent call last):\nWarning 1: odd\n'
    )
    found = untidy("ingest", tmp_path, 2)
    assert [each.split(": ")[1] for each in found] == ["exit code 2 with 2 lines of error", "WKT", "Python", "GDAL"]
    (tmp_path / "seed.err").write_text("error: one\n")
    assert untidy("seed", tmp_path, 2) == []


def test_refusals_are_counted_by_kind(tmp_path: Path) -> None:
    rows = [
        Report(str(tmp_path / f"{name}.tif"), result="refused", why=f"cannot ingest {tmp_path / name}.tif: row {row}")
        for row, name in enumerate("abc")
    ]
    assert {kind(row.why, row.name) for row in rows} == {"cannot ingest FILE: row N"}
    assert next(summary([*rows, Report("x", result="same")], tmp_path)) == "4 rasters: 3 refused, 1 same"
