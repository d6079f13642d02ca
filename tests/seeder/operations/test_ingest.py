"""An ingest of bad input creates nothing; names that no file can have are one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import seeder
from seeder.cli import main as cli
from tests.support.rasters import MakeRaster
from tiler.errors import BadInput, TilerError

LONG = "x" * 300
BAD: dict[str, Callable[[Path], str]] = {
    "missing": lambda folder: str(folder / "nowhere.tif"),
    "an empty folder": lambda folder: str(folder / "nothing"),
    "a folder of no rasters": lambda folder: str(folder / "texts"),
    "no raster": lambda folder: str(folder / "text.tif"),
    "a name too long": lambda folder: str(folder / f"{LONG}.tif"),
    "a path too long": lambda folder: str(folder) + "/x" * 3000 + "/a.tif",
    "no valid pixel": lambda folder: str(folder / "empty.tif"),
}


@pytest.fixture
def rasters(tmp_path: Path, make_raster: MakeRaster) -> Path:
    """A folder with bad rasters."""
    (tmp_path / "nothing").mkdir()
    (tmp_path / "texts").mkdir()
    for name in ("text.tif", "texts/a.tif"):
        (tmp_path / name).write_text("no raster")
    make_raster(values=np.zeros((1, 60, 60), np.uint8), nodata=0, name="empty.tif")
    return tmp_path


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_creates_no_folder(bad: str, rasters: Path) -> None:
    source, data = BAD[bad](rasters), rasters / "new" / "data"
    with pytest.raises(BadInput) as refused:
        seeder.open(data).ingest(source, "layer", jobs=1)
    assert not (rasters / "new").exists()
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600
    words = ["ingest", source, "--layer", "layer", "--data", str(data), "--jobs", "1"]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("error: cannot ingest ")
    assert not (rasters / "new").exists()


def test_folders_that_existed_before_stay(rasters: Path) -> None:
    (rasters / "data" / "tiles").mkdir(parents=True)
    with pytest.raises(BadInput):
        seeder.open(rasters / "data").ingest(rasters / "nowhere.tif", "layer", jobs=1)
    assert [path.name for path in (rasters / "data").iterdir()] == ["tiles"]


def test_a_bad_option_creates_no_folder(rasters: Path, make_raster: MakeRaster) -> None:
    path = make_raster(values=np.ones((1, 60, 60), np.uint8))
    with pytest.raises(BadInput, match="choose one band or three"):
        seeder.open(rasters / "new").ingest(path, bands=(1, 2), jobs=1)
    assert not (rasters / "new").exists()


@pytest.mark.parametrize("folder", [LONG, "~nobody-of-this-name/data"])
def test_a_data_folder_without_a_possible_name_is_refused_in_a_line(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as refused:
        seeder.open(folder).layers()
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_data_folder_is_one_error_with_a_cure(
    rasters: Path, make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_raster(values=np.ones((1, 60, 60), np.uint8))
    layer = seeder.open(rasters / "data").ingest(path, "layer", jobs=1)
    mkdir = Path.mkdir

    def denied(folder: Path, *args: object, **options: object) -> None:
        if folder.name == "scratch":
            raise PermissionError(13, "Permission denied", str(folder))
        mkdir(folder, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", denied)  # root may write anywhere
    with pytest.raises(TilerError, match="Permission denied; allow writing there, or choose another data folder"):
        layer.refresh(path, rescale=(0, 9), jobs=1)
    assert layer.revision == seeder.open(rasters / "data").layer("layer").revision
