"""What an earlier version left behind is taken up: its layer, its job that is half done, byte for byte."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import rasterio
from click.testing import CliRunner, Result

from seeder.cache.prepare_job import resume
from seeder.cli.main import main
from seeder.jobs.ledger import find_job, finished
from tests.support.paths import ROOT
from tiler.settings import Settings
from tiler.storage.store import Stores

SAME_GDAL = rasterio.__gdal_version__.startswith("3.10.")  # as that version; another enlarges to other last bits
COUNTS = ("written", "empty", "skipped", "failed", *(("bytes",) if SAME_GDAL else ()))  # of a receipt; the rest is time
ENLARGED = "scene/9/"  # tiles above the base of its COG


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder and what is to come of it; see tests/data/earlier.py."""
    with tarfile.open(ROOT / "tests" / "data" / "earlier.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def truth(folder: Path) -> dict[str, Any]:
    """What the earlier version makes of it."""
    said: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    return said


def run(*words: str) -> Result:
    result = CliRunner().invoke(main, [*words, "--data", "data", "--json"])
    assert result.exit_code == 0, result.output
    return result


def digests(folder: Path) -> dict[str, str]:
    tiles = folder / "data" / "tiles"
    return {
        str(path.relative_to(tiles)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tiles.glob("scene/*/*/*.png")
    }


def test_its_job_is_resumed_and_comes_to_the_same_tiles(folder: Path, truth: dict[str, Any]) -> None:
    assert 0 < len(digests(folder)) < len(truth["tiles"])
    run("resume", truth["job"], "--jobs", "1")
    made = digests(folder)
    assert made.keys() == truth["tiles"].keys()
    assert [name for name in made if made[name] != truth["tiles"][name] and (SAME_GDAL or ENLARGED not in name)] == []
    done = {path.name: json.loads(path.read_text()) for path in (folder / "data/private/jobs").glob("*/done/*")}
    counts = [
        {name: {count: each[count] for count in COUNTS} for name, each in all_of.items()}
        for all_of in (done, truth["receipts"])
    ]
    assert counts[0] == counts[1]
    assert run("verify", "scene", "--deep", "--sample", "all", "--jobs", "1").stdout == ""
    run("export", "scene", "scene.pmtiles")
    assert json.loads(run("status", truth["job"]).stdout)["state"] == "done"


def test_messages_are_the_same_bytes(folder: Path, truth: dict[str, Any]) -> None:
    stores = Stores.open(Settings.from_env({}, data=str(folder / "data")))
    job = find_job(stores.sources, "scene")
    begun = set(finished(stores.sources, job.id))
    plan = resume(job, stores)
    assert job.id == truth["job"]
    assert begun
    assert [message.encode() for message in plan.messages((8,))] == truth["left"]


def test_its_raster_makes_a_revision_of_the_new_recipe_and_its_own_is_kept(folder: Path, truth: dict[str, Any]) -> None:
    again = json.loads(run("ingest", "scene.tif", "--max-zoom", "9", "--jobs", "1").stdout.splitlines()[-1])
    assert again["fresh"]
    assert again["revision"] != truth["revision"]
    run("rollback", "scene", "--no-wait")
    metadata = json.loads((folder / "data/private/sources/scene/index.json").read_text())
    assert metadata["revision"] == truth["revision"]
    (cog,) = (folder / "data/private/sources/scene").glob(f"{truth['revision']}/*.tif")
    assert hashlib.sha256(cog.read_bytes()).hexdigest() == truth["cog"]
