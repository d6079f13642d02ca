"""Stored and missing tiles as sets; the options `--existing` and `--missing` select them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from seeder.cache import missing as module
from seeder.cache.audit import Audit
from seeder.cache.missing import missing, stored_planned
from seeder.select.selection import Selection
from seeder.select.tilelist import tile_line
from seeder.select.tileset import TileSets
from tests.support.audited import Case, cases, key_of
from tests.support.commands import Tiles, complaint, listed, said, seeder
from tests.support.layers import silent
from tests.support.oracle import files_under, lines
from tests.support.rasters import Recipe, scene, write_raster
from tiler.ingest.ingest import ingest
from tiler.keys import parse_tile_key
from tiler.layers.catalog import load_layer
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores, open_store

# any layer, selection and objects; no tile is rendered


def named(tiles: TileSets) -> set[str]:
    """The tiles of a set as z/x/y, each once, low zooms first."""
    found = list(lines(tiles))
    assert len(found) == len(set(found)) == len(tiles)
    return set(found)


def of_case(case: Case) -> tuple[set[str], set[str], set[str]]:
    """Planned tiles, those stored with bytes, and those neither stored nor known to be empty."""
    planned = case.planned()
    stored = {tile for tile in planned if case.stored.get(key_of(case.layer, tile, case.variant))}
    there = {tile for tile in planned if key_of(case.layer, tile, case.variant) in case.stored}
    names = ({tile_line(tile) for tile in some} for some in (planned, stored, planned - there - case.empty))
    return next(names), next(names), next(names)


@given(cases(), st.sampled_from([1, 3, module.BLOCKS_AT_ONCE]))
def test_warm_and_missing_are_what_looking_at_each_object_shows(case: Case, many: int) -> None:
    planned, stored, gaps = of_case(case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCKS_AT_ONCE", many)
        for states, wanted in ((stored_planned, stored), (missing, gaps)):
            seen: list[int] = []
            assert named(states(case.audit(), seen.append)) == wanted
            assert sum(seen) == len(planned), "progress is told of each planned tile once"


# through commands


@pytest.fixture(scope="module")
def patches_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer `patches`, zooms 0 to 11, of which zooms 8 to 10 are seeded; to be copied.

    It is two small pictures far apart, so that many tiles that are planned turn out to be empty.
    """
    folder = tmp_path_factory.mktemp("patches")
    values = np.zeros((3, 600, 600), np.uint8)
    values[:, 20:50, 30:70], values[:, 540:590, 500:520] = scene(30, 40), scene(50, 20)
    box = (0.0, 0.0, 183000.0, 183000.0)
    path = write_raster(folder / "patches.tif", Recipe(values=values, nodata=0, crs="EPSG:3857", bounds=box))
    settings = Settings.from_env({}, data=str(folder / "data"))
    ingest(str(path), "patches", Options(max_zoom=11), Stores.open(settings, create=True), jobs=1, progress=silent)
    done = said(seeder("seed", "patches", "--data", folder / "data", "--zooms", "8-10", "--jobs", 1, "--json"))
    assert done["written"]
    assert done["empty"]
    return folder / "data"


@pytest.fixture
def data(patches_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `patches_data` for commands."""
    folder = Path(shutil.copytree(patches_data, tmp_path / "data"))
    monkeypatch.setenv("TILER_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def made(data: Path) -> Tiles:
    root = data / "tiles"
    return {parse_tile_key(str(path.relative_to(root))).tile for path in root.glob("patches/*/*/*.png")}


def counted(*words: object) -> int:
    found = said(seeder("count", "patches", *words, "--json"))
    assert sum(found["by_zoom"].values()) == found["tiles"]
    return int(found["tiles"])


def take(data: Path, number: int) -> Tiles:
    """Remove a number of stored tiles; return them."""
    gone = set(sorted(made(data))[:number])
    for tile in gone:
        (data / f"tiles/patches/{tile.z}/{tile.x}/{tile.y}.png").unlink()
    return gone


def test_what_exists_is_what_was_written_and_what_is_empty_is_not_missing(data: Path) -> None:
    planned = listed("patches", "--zooms", "8-10")
    assert 0 < len(made(data)) < len(planned)
    assert listed("patches", "--zooms", "8-10", "--existing") == made(data)
    assert counted("--zooms", "8-10", "--missing") == 0
    gone = take(data, 3)
    assert listed("patches", "--zooms", "8-10", "--missing") == gone
    assert listed("patches", "--existing") == made(data)
    assert listed("patches", "--missing") == gone | listed("patches", "--zooms", "0-7,11")


def test_a_receipt_of_another_scale_says_nothing_about_this_one(data: Path) -> None:
    words = ("--zooms", "9", "--scale", "2")
    assert counted(*words, "--missing") == counted("--zooms", "9")
    assert counted(*words, "--existing") == 0
    assert counted("--zooms", "9", "--format", "webp", "--existing") == 0
    seeded = said(seeder("seed", "patches", *words, "--missing", "--jobs", 1, "--json"))
    assert seeded["tiles"] == seeded["written"] + seeded["empty"] == counted("--zooms", "9")
    assert counted(*words, "--missing") == 0
    assert counted(*words, "--existing") == seeded["written"]
    assert len(list(data.glob("tiles/patches/9/*/*@2x.png"))) == seeded["written"]


def test_states_narrow_what_the_other_options_leave(data: Path) -> None:
    gone = take(data, 4)
    kept = made(data)
    box, zooms = ("--bbox", "0.01,1.45,0.3,1.63"), ("--zooms", "9-10")
    near = listed("patches", *zooms, *box)
    assert near & gone
    assert near & kept
    assert listed("patches", *zooms, *box, "--missing") == near & gone
    assert listed("patches", *zooms, *box, "--existing") == near & kept
    text = "".join(f"{tile_line(t)}\n" for t in sorted(gone)[:1] + sorted(kept)[:2])
    assert listed("patches", "--tiles", "-", "--missing", stdin=text) == set(sorted(gone)[:1])
    assert listed("patches", "--tiles", "-", "--existing", stdin=text) == set(sorted(kept)[:2])
    Path("kept.txt").write_text("".join(f"{tile_line(t)}\n" for t in kept))
    assert listed("patches", "--exclude", "kept.txt", "--zooms", "8-10", "--missing") == gone
    everywhere = listed("patches", *zooms, "--no-footprint", "--missing")
    assert everywhere == listed("patches", *zooms, "--no-footprint") - listed("patches", *zooms) | gone & near_zooms(
        gone
    )


def near_zooms(tiles: Tiles) -> Tiles:
    return {tile for tile in tiles if tile.z in (9, 10)}


def errors(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "error" in line.lower()]


@pytest.mark.parametrize("state", ["--missing", "--existing"])
def test_nothing_left_is_a_count_of_none_and_no_failure(state: str, data: Path) -> None:
    words = ("patches", "--zooms", "8-10" if state == "--missing" else "11", state)
    before = files_under(data)
    found = said(seeder("count", *words, "--json"))
    assert found["tiles"] == 0
    assert set(found["by_zoom"].values()) == {0}
    assert listed(*words) == set()
    for command in ("seed", "verify"):
        more = ("--jobs", 1) if command == "seed" else ()
        result = seeder(command, *words, *more)
        assert (result.exit_code, result.stdout, errors(result)) == (0, "", [])
    assert "nothing to do" in seeder("seed", *words).stderr
    assert files_under(data) == before


def test_seeding_what_is_missing_makes_just_that(data: Path) -> None:
    every = made(data)
    gone = take(data, 5)
    kept = {path: path.stat().st_mtime_ns for path in data.glob("tiles/patches/*/*/*.png")}
    dry = said(seeder("seed", "patches", "--zooms", "8-10", "--missing", "--dry-run", "--jobs", 1, "--json"))
    assert dry["tiles"] == len(gone)
    done = said(seeder("seed", "patches", "--zooms", "8-10", "--missing", "--force", "--jobs", 1, "--json"))
    assert (done["tiles"], done["written"]) == (len(gone), len(gone))
    assert made(data) == every
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items()), "nothing else was touched"


def test_seeding_what_exists_anew_leaves_the_rest_cold(data: Path) -> None:
    gone = take(data, 2)
    stale = min(made(data))
    path = data / f"tiles/patches/{stale.z}/{stale.x}/{stale.y}.png"
    fresh = path.read_bytes()
    path.write_bytes(b"stale")
    done = said(seeder("seed", "patches", "--existing", "--force", "--jobs", 1, "--json"))
    assert done["tiles"] == done["written"] == len(made(data))
    assert path.read_bytes() == fresh
    assert not made(data) & gone


def test_a_tile_without_a_byte_is_neither_warm_nor_missing(data: Path) -> None:
    zero_bytes = max(made(data))
    (data / f"tiles/patches/{zero_bytes.z}/{zero_bytes.x}/{zero_bytes.y}.png").write_bytes(b"")
    assert zero_bytes not in listed("patches", "--existing")
    assert zero_bytes not in listed("patches", "--zooms", "8-10", "--missing")
    assert tile_line(zero_bytes) in seeder("verify", "patches", "--zooms", "8-10").stdout.split()


def test_what_is_missing_cannot_be_taken_away_and_what_exists_can(data: Path) -> None:
    before = made(data)
    for command in (("invalidate", "patches", "--yes"), ("export", "patches", "out.pmtiles")):
        assert "leave --missing out, or seed" in complaint(seeder(*command, "--zooms", "9", "--missing"))
    assert made(data) == before
    assert not Path("out.pmtiles").exists()
    for more in ((), ("--existing",)):
        exported = said(seeder("export", "patches", "out.pmtiles", "--overwrite", *more, "--json"))
        assert exported["tiles"] == len(before)
    zoom = {tile for tile in before if tile.z == 9}
    words = ("patches", "--existing", "--yes", "--json")
    assert said(seeder("invalidate", *words, "--zooms", "9"))["removed"] == len(zoom)
    assert made(data) == before - zoom
    assert "no tiles selected" in complaint(seeder("invalidate", *words))  # all of them need --all
    assert made(data) == before - zoom


def test_listed_tiles_that_are_left_out_for_their_state_are_counted(data: Path) -> None:
    kept, lacks = made(data), 3
    text = "".join(f"{tile_line(t)}\n" for t in kept) + "".join(f"9/{x}/0\n" for x in range(lacks))
    for state, left in (("--missing", len(kept) + lacks), ("--existing", lacks)):
        result = seeder("count", "patches", "--tiles", "-", state, "--json", stdin=text)
        assert said(result)["tiles"] == len(kept) + lacks - left
        assert (
            f"{left} of {len(kept) + lacks} listed tiles are left out: outside the layer, or excluded" in result.stderr
        )


def test_states_of_nothing_selected_are_refused_as_without_them(data: Path) -> None:
    assert data
    for state in ("--missing", "--existing"):
        plain, asked = (seeder("count", "patches", "--bbox", "20,45,21,46", *more) for more in ((), (state,)))
        assert complaint(plain) == complaint(asked)


def test_the_sets_are_those_of_a_store_in_the_cloud_too(data: Path, s3_url: str) -> None:
    stores = Stores.open(Settings.from_env({}, data=str(data)))
    layer = load_layer(stores.sources, "patches")
    audit = Audit.of(layer, Selection((8, 9, 10)), TileVariant(), stores)
    cloud = Stores(open_store(s3_url), stores.sources, "http://tiles.test")
    for tile in made(data):
        cloud.tiles.put(key_of(layer, tile), b"tile", content_type="image/png")
    gone = min(made(data))
    cloud.tiles.delete([key_of(layer, gone)])
    far = Audit.of(layer, Selection((8, 9, 10)), TileVariant(), cloud)
    assert named(stored_planned(audit, int)) - named(stored_planned(far, int)) == {tile_line(gone)}
    assert named(missing(far, int)) == {tile_line(gone)}
