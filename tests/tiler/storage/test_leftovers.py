"""Leftovers of killed puts in a folder are never listed, and the next run removes them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import click
import pytest
from click.testing import CliRunner, Result

from seeder.cli.ingest import ingest
from seeder.cli.seed import seed
from seeder.cli.verify import verify
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.served import serving
from tiler.settings import Settings
from tiler.storage.leftovers import sweep, sweep_beside
from tiler.storage.store import Store, Stores, open_store
from tiler.timing import LEFTOVER_SECONDS

KILLED = """
import resource, signal, sys
from tiler.storage.store import open_store
store = open_store(sys.argv[1], create=True)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
store.put("alps/5/16/11.png", bytes(1000), content_type="image/png")
"""
KEY = "alps/5/16/11.png"


def run(command: click.Command, *words: object) -> Result:
    return CliRunner().invoke(command, list(map(str, words)))


def leave(file: Path, age: float = LEFTOVER_SECONDS + 1) -> Path:
    """A leftover of a put, of an age in seconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"half a tile")
    then = file.stat().st_mtime - age
    os.utime(file, (then, then))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    """A store that is a folder."""
    return open_store((tmp_path / "tiles").as_uri(), create=True)


@pytest.fixture
def data(alps_data: Path, tmp_path: Path) -> Path:
    """A data folder with the layer `alps`, of which zooms 0 to 5 are seeded."""
    data = Path(shutil.copytree(alps_data, tmp_path / "data"))
    assert run(seed, "alps", "--zooms", "0-5", "--jobs", 1, "--data", data).exit_code == 0
    return data


def test_a_killed_put_leaves_a_file_of_the_name_that_is_swept(folder: Store) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, folder.url], capture_output=True, check=False)
    assert done.returncode == -signal.SIGXFSZ
    assert folder.root
    (left,) = [path for path in folder.root.rglob("*") if path.is_file()]
    assert left.name == "11.png#1"
    assert not list(folder.list("alps/"))
    assert not folder.has(KEY)
    sweep_beside(f"{folder.root}/{KEY}")
    assert left.exists(), "it may be another process that writes it"
    leave(left)
    sweep_beside(f"{folder.root}/{KEY}")
    assert not left.exists()


def test_a_put_removes_what_earlier_puts_of_its_key_left_and_nothing_else(folder: Store) -> None:
    assert folder.root
    first, second, young = (
        leave(folder.root / f"{KEY}#{number}", age)
        for number, age in ((1, LEFTOVER_SECONDS + 1), (2, LEFTOVER_SECONDS + 9), (3, 0))
    )
    other = leave(folder.root / "alps/5/16/12.png#1")
    folder.put(KEY, b"a tile", content_type="image/png")
    assert folder.get(KEY) == b"a tile"
    assert not first.exists()
    assert not second.exists()
    assert young.exists()
    assert other.exists()


def test_a_sweep_takes_only_such_files_and_only_old_ones(folder: Store) -> None:
    assert folder.root
    old = [leave(folder.root / "alps" / name) for name in ("5/1.png#1", "5/1.png#27", "tile.json#1")]
    kept = [leave(folder.root / "alps" / name) for name in ("5/1.png", "5/#1", "5/a#b", "5/1.png#", "5/1.png#1x")]
    kept.append(leave(folder.root / "alps/5/2.png#1", 0))
    assert sweep(folder.root, "alps/") == 1
    assert sweep(folder.root, "alps/", deep=True) == 2
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)
    assert sweep(folder.root, "nothing/", deep=True) == 0
    assert sweep(None, "alps/", deep=True) == 0


@pytest.mark.parametrize("words", [[], ["--zooms", "5"], ["--bbox", "5,45,9,48"]], ids=["whole", "zoom", "box"])
def test_verify_counts_none_of_it_and_removes_it_where_it_looks(words: list[str], data: Path) -> None:
    before = run(verify, "alps", "--data", data, "--jobs", 1, *words)
    (job,) = (data / "private" / "jobs").iterdir()
    private = data / "private" / "sources" / "alps"
    folders = {path for path in private.iterdir() if path.is_dir()}
    parts, shards = private / "parts", private / "shards"
    (revision,) = folders - {parts, shards}
    (part, *_), (shard, *_) = parts.glob("*.tif"), shards.glob("*.json")
    left = [
        leave(data / "tiles" / f"{KEY}#1"),
        leave(data / "tiles" / "alps/5/16/999.png#1"),
        leave(job / "done" / "5-16-8#1"),
        leave(job / "job.json#1"),
        leave(revision / "index.json#2"),
        leave(parts / f"{part.name}#1"),
        leave(shards / f"{shard.name}#3"),
    ]
    beside = [leave(data / place / "other" / "index.json#1") for place in ("private/sources", "tiles")]
    after = run(verify, "alps", "--data", data, "--jobs", 1, *words)
    summaries = [[line for line in done.stderr.splitlines() if "verified" in line] for done in (before, after)]
    assert summaries[0] == summaries[1]
    assert sorted(after.stdout.splitlines()) == sorted(before.stdout.splitlines())
    assert after.exit_code == before.exit_code
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in beside)


def test_a_seeding_removes_it_where_it_puts_tiles_and_receipts(data: Path) -> None:
    (data / "tiles" / KEY).unlink()
    (job,) = (data / "private" / "jobs").iterdir()
    (job / "done" / "5-16-8").unlink()
    left = [leave(data / "tiles" / f"{KEY}#1"), leave(job / "done" / "5-16-8#1")]
    assert run(seed, "alps", "--zooms", "0-5", "--jobs", 1, "--data", data).exit_code == 0
    assert not any(path.exists() for path in left)
    assert (data / "tiles" / KEY).exists()


def test_an_ingest_removes_it_from_the_private_part_of_its_layer(data: Path, tmp_path: Path) -> None:
    left = leave(data / "private" / "sources" / "alps" / "0123456789ab" / "index.json#1")
    source = write_raster(tmp_path / "alps.tif", Recipe(values=scene(40, 50)))
    assert run(ingest, source, "--layer", "alps", "--jobs", 1, "--data", data).exit_code == 0
    assert not left.exists()


def test_the_server_has_no_such_tile(data: Path) -> None:
    leave(data / "tiles" / f"{KEY}#1")
    with serving(Settings.from_env({}, data=str(data))) as url:
        for path in (f"/{KEY}%231", f"/_/stored/{KEY}%231"):
            with pytest.raises(HTTPError) as refused:
                urlopen(f"{url}{path}")
            assert refused.value.code == 404
            refused.value.close()


def test_a_store_that_is_no_folder_has_nothing_to_sweep() -> None:
    stores = Stores(open_store("memory://a"), open_store("memory://b"), "http://tiles.test")
    stores.tiles.put(KEY, b"a tile", content_type="image/png")
    assert stores.tiles.get(KEY) == b"a tile"
