"""The operations `verify` and `export`: progress of stages, streamed findings, results and errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seeder.cache.audit import Finding
from seeder.cache.query import TileQuery
from seeder.operations.export import export
from seeder.operations.run import RunOptions
from seeder.operations.seed import SeedRequest, seed
from seeder.operations.verify import VerifyOptions, verify
from tests.support.function import png_tiles
from tests.support.reports import Recorded
from tiler.errors import BadOption, UnknownLayer
from tiler.settings import Settings

LOW = TileQuery(zooms=(5, 6, 7))


@pytest.fixture(scope="module")
def seeded(alps_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`alps` with zooms 5 to 7 seeded; to be copied."""
    data = Path(shutil.copytree(alps_data, tmp_path_factory.mktemp("seeded") / "data"))
    seed(SeedRequest("alps", LOW), RunOptions(jobs=1), Settings.from_env({}, data=str(data)), Recorded())
    return data


@pytest.fixture
def settings(seeded: Path, tmp_path: Path) -> Settings:
    """The stores of a copy."""
    return Settings.from_env({}, data=str(shutil.copytree(seeded, tmp_path / "data")))


def test_each_finding_is_told_once_and_counted(settings: Settings, tmp_path: Path) -> None:
    found, report = list[Finding](), Recorded()
    assert verify("alps", LOW, VerifyOptions(), settings, report, found.append).passed
    assert found == []
    assert [stage.label for stage in report.stages] == ["verify alps"]
    names = sorted(png_tiles(tmp_path / "data"))
    folder = tmp_path / "data" / "tiles" / "alps"
    (folder / names[0]).unlink()
    (folder / names[1]).write_bytes(b"no picture")
    again = Recorded()
    result = verify("alps", LOW, VerifyOptions(deep=True, sample=None, jobs=1), settings, again, found.append)
    told = sorted((each.tile + ".png", each.problem) for each in found)
    assert told == [(names[0], "missing"), (names[1], "damaged")]
    assert result.problems == {"missing": 1, "damaged": 1}
    assert (result.passed, result.to_seed, result.tiles) == (False, {"missing", "damaged"}, len(names))
    assert [stage.label for stage in again.stages] == ["verify alps", "compare"]
    assert again.unfinished == []
    assert report.unfinished == []


def test_an_export_has_four_stages_and_goes_on_where_it_was_cut_off(settings: Settings, tmp_path: Path) -> None:
    class Cut(Recorded):
        def note(self, text: str) -> None:
            raise AssertionError(text)

    class Stopping(Recorded):
        """Ends the run after all tiles are fetched."""

        def stage(self, label: str, total: int | None, **kwargs: object) -> object:  # type: ignore[override]
            if label == "write":
                raise KeyboardInterrupt
            return super().stage(label, total, **kwargs)  # type: ignore[arg-type]

    file = str(tmp_path / "out.pmtiles")
    with pytest.raises(KeyboardInterrupt):
        export("alps", file, LOW, settings, Stopping())
    report = Recorded()
    done = export("alps", file, LOW, settings, report)
    assert [stage.label for stage in report.stages] == ["list alps", "fetch", "write", "verify"]
    assert report.unfinished == []
    assert done.resumed == done.tiles == report.stages[1].begun
    assert report.notes == [f"{done.tiles} tiles already fetched: resuming from out.pmtiles.part"]
    fresh = export("alps", str(tmp_path / "fresh.pmtiles"), LOW, settings, Cut())
    assert (fresh.resumed, fresh.bytes) == (0, done.bytes)


def test_what_cannot_be_is_our_error(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="missing tiles cannot be exported"):
        export("alps", str(tmp_path / "out"), TileQuery(state="missing"), settings, Recorded())
    with pytest.raises(BadOption, match="unsupported archive type"):
        export("alps", str(tmp_path / "out.zip"), LOW, settings, Recorded())
    with pytest.raises(UnknownLayer):
        verify("alp", LOW, VerifyOptions(), settings, Recorded(), print)
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
