"""`invalidate --reseed`, `refresh` and `rollback`: tiles are renewed in place, and no tile is ever missing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from seeder.select.selection import Selection, regions
from seeder.workers import fanout
from tests.support.aws import upload
from tests.support.clock import nothing_in_flight
from tests.support.damaged import damage
from tests.support.files import raw
from tests.support.hints import Run, cut_off
from tests.support.layers import silent
from tests.support.oracle import files_under
from tests.support.queues import MakeQueue, working
from tests.support.rasters import Recipe, scene, write_raster
from tiler import timing
from tiler.grid import Block
from tiler.http import Service
from tiler.image.encode import blank_tile
from tiler.ingest import ingest as ingest_module
from tiler.ingest.ingest import ingest
from tiler.keys import parse_tile_key
from tiler.layers.catalog import Layer, load_layer, publish
from tiler.layers.layer_cache import Layers
from tiler.layers.render import TileVariant, render
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

WEST, EAST = (5.0, 45.0, 8.0, 48.0), (6.5, 45.0, 9.5, 48.0)
MEANT = {
    "refresh": ("refresh", "land", "east"),
    "rollback": ("rollback", "land"),
    "invalidate": ("invalidate", "land", "--all", "--reseed"),
}


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two overlapping rasters, zooms 0 to 7."""
    folder = tmp_path_factory.mktemp("rasters")
    made = {
        name: Recipe(values=scene(200, 200, seed=seed), bounds=bounds)
        for name, seed, bounds in (("west", 3, WEST), ("east", 4, EAST), ("again", 5, WEST))
    }
    return {name: str(write_raster(folder / f"{name}.tif", recipe)) for name, recipe in made.items()}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fence has passed, so nothing waits; written tiles are stale at the next step."""
    nothing_in_flight(monkeypatch)


Watched = list[tuple[str, str]]  # verbs and keys


@pytest.fixture
def run(rasters: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a data folder; rasters are given by name."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))

    def run(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli.main, [*(rasters.get(word, word) for word in words), "--jobs", "1"])
        assert result.exit_code == code, f"{result.output}{result.exception!r}"
        return result

    return run


class Land:
    """The layer `land` and its stored tiles."""

    def __init__(self, settings: Settings) -> None:
        self.stores = Stores.open(settings, create=True)

    @property
    def layer(self) -> Layer:
        """The layer's current revision."""
        return load_layer(self.stores.sources, "land")

    def tiles(self) -> dict[str, bytes]:
        """The stored tiles."""
        found = (entry.key for entry in self.stores.tiles.list("land/"))
        return {key: self.stores.tiles.get(key) for key in found if not key.endswith(".json")}

    @property
    def shown(self) -> str:
        """The revision in TileJSON."""
        (address,) = json.loads(self.stores.tiles.get("land/tile.json"))["tiles"]
        return str(address).partition("?v=")[2]

    def covers(self, key: str, layer: Layer) -> bool:
        """Whether a layer has a tile."""
        tile = parse_tile_key(key).tile
        (region,) = regions(layer, Selection((tile.z,)))
        return any(tile in set(block_mask.block.tiles(block_mask.tiles)) for block_mask in region.block_masks())

    def ask(self, *paths: str) -> None:
        """Request tiles that are not stored."""
        service = Service(self.stores, Layers(self.stores.sources), "")
        for path in paths:
            event = {"rawPath": f"/land/{path}", "requestContext": {"http": {"method": "GET"}}}
            assert service.answer(event)["statusCode"] == 302

    def renewed(self) -> bool:
        """Whether every stored tile equals a fresh render, a blank one where the layer is empty."""
        layer, found = self.layer, self.tiles()
        for key, data in found.items():
            name = parse_tile_key(key)
            block, variant = Block.of(name.tile), TileVariant(name.scale, name.format)
            ((_, fresh),) = render(layer, self.stores.sources, block, block.bit(name.tile), variant)
            inside = any(name.tile in each for each in layer.ranges(name.tile.z))
            if not inside or data != (fresh or blank_tile(variant.size, variant.format)):
                return False
        return bool(found)

    def warm_at(self, revision: str) -> bool:
        """Whether the layer is at a revision, TileJSON names it, and all tiles are of it."""
        return self.layer.revision == self.shown == revision and self.renewed()


@pytest.fixture(scope="module")
def baked(rasters: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer: zooms 4 to 6 and four tiles of zoom 7 are stored.

    The other revisions are kept beside, so that they are baked but once.
    """
    data = tmp_path_factory.mktemp("baked") / "data"
    land = Land(Settings.from_env({}, data=str(data)))
    for name in ("east", "again", "west"):
        ingest(rasters[name], "land", Options(min_zoom=4), land.stores, jobs=1, progress=silent)
    publish(replace(land.layer, previous=""), land.stores)
    for words in (["4-6"], ["5", "--scale", "2"], ["4-5", "--format", "webp"]):
        command = ["seed", "land", "--data", str(data), "--jobs", "1", "--zooms", *words]
        assert CliRunner().invoke(cli.main, command).exit_code == 0
    land.ask("7/65/45.png", "7/66/45.png", "7/66/44.png", "6/33/22@2x.png")
    return data


@pytest.fixture
def land(baked: Path, tmp_path: Path) -> Land:
    """The layer in the data folder of every command."""
    data = shutil.copytree(baked, tmp_path / "data")
    return Land(Settings.from_env({}, data=str(data)))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Puts and deletions of tiles."""
    seen: Watched = []

    def watch(verb: str, real: Callable[..., None]) -> Callable[..., None]:
        def noted(store: Store, what: Any, *data: bytes, **headers: str) -> None:
            keys = [what] if data else list(what)
            real(store, what if data else keys, *data, **headers)
            seen.extend((verb, key) for key in keys if re.match(r"land/\d+/", key))

        return noted

    for verb in ("put", "delete"):
        monkeypatch.setattr(Store, verb, watch(verb, getattr(Store, verb)))
    return seen


def test_a_refresh_renews_what_is_stored_and_leaves_no_hole(land: Land, run: Run, watched: Watched) -> None:
    old, before = land.layer, land.tiles()
    result = run("refresh", "land", "east")
    assert land.layer.revision != old.revision == land.layer.previous
    assert land.warm_at(land.layer.revision)
    gone = {key for key in before if not land.covers(key, land.layer)}
    assert gone, "the new raster covers all"
    verbs, keys = zip(*watched, strict=True)
    puts = verbs.index("delete")
    assert set(verbs[:puts]) == {"put"}
    assert set(verbs[puts:]) == {"delete"}, "something was removed before all was there"
    assert set(before) - gone <= set(keys[:puts])
    assert sorted(keys[puts:]) == sorted(gone)
    for z in (4, 5, 6):  # which were complete, and are complete now
        (region,) = regions(land.layer, Selection((z,)))
        whole = {
            f"land/{z}/{t.x}/{t.y}.png"
            for block_mask in region.block_masks()
            for t in block_mask.block.tiles(block_mask.tiles)
        }
        assert whole == {key for key in land.tiles() if re.fullmatch(rf"land/{z}/\d+/\d+\.png", key)}
    sparse = {key for key in before if key.startswith("land/7/")} - gone
    assert sparse == {key for key in land.tiles() if key.startswith("land/7/")}
    assert sparse
    assert f"{len(gone)} tiles stored outside the layer, {len(gone)} removed" in result.stdout


def test_options_are_inherited_from_the_last_ingest_and_can_be_overridden(run: Run, tmp_path: Path) -> None:
    given = "--format webp --rescale 10,200 --bands 3,2,1 --min-zoom 2 --max-zoom 5 --attribution us"
    run("ingest", "west", "--layer", "land", *given.split())
    land = Land(Settings.from_env({}, data=str(tmp_path / "data")))
    first = land.layer.asked
    assert first == Options(2, 5, None, None, (3, 2, 1), ((10, 200),), "webp", "us")
    run("seed", "land", "--zooms", "2-5")
    run("refresh", "land", "again")
    assert land.layer.asked == first
    assert (land.layer.format, land.layer.minzoom, land.layer.maxzoom) == ("webp", 2, 5)
    run("refresh", "land", "again", "--max-zoom", "4", "--rescale", "0,100")
    assert land.layer.asked == replace(first, max_zoom=4, rescale=((0, 100),))
    assert land.renewed()
    assert not [key for key in land.tiles() if key.startswith("land/5/")]


@pytest.mark.usefixtures("land")
def test_a_refresh_to_another_format_names_the_tiles_that_it_leaves(run: Run) -> None:
    kept = run("refresh", "land", "east").output
    changed = run("refresh", "land", "east", "--format", "webp").output
    note = "tiles are webp now, the stored ones png: remove these with `seeder invalidate land --all --yes`"
    assert note in changed
    assert "the stored ones" not in kept


def test_the_same_source_again_changes_nothing(land: Land, run: Run) -> None:
    run("refresh", "land", "east")
    layer, files = land.layer, files_under(Path(str(land.stores.tiles.root)))
    assert "up to date" in run("refresh", "land", "east").stdout
    after = files_under(Path(str(land.stores.tiles.root)))
    assert land.layer == layer
    assert {name for name in after if after[name] != files.get(name)} <= {"land/tile.json", "land"}
    assert set(after) == set(files)


@pytest.mark.parametrize("command", MEANT)
def test_a_dry_run_changes_nothing_and_tells_what_would_be_done(
    land: Land, run: Run, command: str, tmp_path: Path
) -> None:
    if command != "refresh":
        run("ingest", "east", "--layer", "land", "--min-zoom", "4")
    words = MEANT[command]
    before = files_under(tmp_path / "data")
    said = json.loads(run(*words, "--dry-run", "--json").stdout.splitlines()[-1])
    text = run(*words, "--dry-run").stdout
    assert files_under(tmp_path / "data") == before
    assert said["existed"] == len(land.tiles())
    assert said["dry_run"] is True
    if command == "invalidate":
        assert said["removed"] == sum(not land.covers(key, land.layer) for key in land.tiles()) > 0
        run(*words)
        assert said["rendered"] == len(land.tiles())
    else:
        assert "would replace" in text


CUTS = [("put", 1), ("put", 7), ("delete", 1)]


@pytest.mark.parametrize(("verb", "number"), CUTS)
@pytest.mark.parametrize("command", MEANT)
def test_what_was_interrupted_anywhere_is_finished_by_the_same_command(
    land: Land, run: Run, command: str, verb: str, number: int
) -> None:
    old, words = land.layer.revision, MEANT[command]
    if command == "rollback":
        run("refresh", "land", "east")
        land.ask("7/67/45.png")
    if command == "invalidate":
        run("ingest", "east", "--layer", "land", "--min-zoom", "4")
    before = set(land.tiles())
    cut_off(run, words, verb, number)
    assert before <= set(land.tiles()), "it left a hole"
    meant = land.layer.revision
    assert (meant == old) == (command == "rollback")
    assert land.shown != meant, "it was told of too early"
    run(*words)
    assert land.warm_at(meant)


def test_a_refresh_that_was_cut_off_and_rolled_back_can_be_done_again(land: Land, run: Run) -> None:
    first, words = land.layer.revision, ("refresh", "land", "again")
    cut_off(run, words, "put", 6)
    run("rollback", "land")
    assert land.warm_at(first)
    run(*words)
    assert land.layer.revision != first
    assert land.warm_at(land.layer.revision)


def test_a_block_that_fails_keeps_its_old_tiles_and_is_told(land: Land, run: Run, tmp_path: Path) -> None:
    run("ingest", "east", "--layer", "land", "--min-zoom", "4")
    before, shown = land.tiles(), land.shown
    restore = damage(tmp_path / "data", lambda content: content[: len(content) // 3], "land")
    assert "run the same command again after you fix the cause" in run(*MEANT["invalidate"], code=1).stderr
    assert set(before) <= set(land.tiles())
    assert land.shown == shown != land.layer.revision
    assert before.items() & land.tiles().items(), "nothing failed"
    restore()
    run(*MEANT["invalidate"])
    assert land.warm_at(land.layer.revision)


def test_a_rollback_goes_to_the_revision_before_and_bakes_nothing(
    land: Land, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, tiles = land.layer, land.tiles()
    run("refresh", "land", "east")
    second = land.layer
    monkeypatch.setattr(ingest_module, "bake_layer", None)  # a reserved name
    assert f"revision {first.revision} instead of {second.revision}" in run("rollback", "land").stdout
    assert land.layer == first
    assert land.warm_at(first.revision)
    assert set(land.tiles()) >= {key for key in tiles if land.covers(key, second)}
    assert all(data == tiles.get(key, data) for key, data in land.tiles().items())
    run("refresh", "land", "east")
    assert land.warm_at(second.revision)


def test_a_rollback_goes_to_any_revision_that_is_kept(land: Land, run: Run) -> None:
    first = land.layer.revision
    run("refresh", "land", "east")
    second = land.layer.revision
    run("refresh", "land", "again")
    run("rollback", "land", "--to", first)
    assert land.warm_at(first)
    refused = run("rollback", "land", code=2).stderr
    assert re.search(f"revision {first} is the first of layer 'land': choose another with --to .*{second}", refused)
    for words in ((), ("--yes",), ("--dry-run",)):
        refused = run("rollback", "land", "--to", "nonsense", *words, code=2).stderr
        assert "revision nonsense of layer 'land' is not kept: choose one of" in refused


def test_the_only_revision_cannot_be_rolled_back(run: Run, tmp_path: Path) -> None:
    run("ingest", "west", "--layer", "land", "--virtual")
    before = files_under(tmp_path / "data")
    assert "is the first of layer 'land': no other revision is kept" in run("rollback", "land", code=2).stderr
    assert files_under(tmp_path / "data") == before


def test_an_interrupted_rollback_goes_on_and_not_further_back(land: Land, run: Run) -> None:
    first = land.layer.revision
    run("refresh", "land", "east")
    second = land.layer.revision
    run("refresh", "land", "again")
    cut_off(run, ("rollback", "land"), "put", 5)
    run("rollback", "land")
    assert land.warm_at(second)
    run("rollback", "land")
    assert land.warm_at(first)


def test_a_rollback_to_an_original_that_has_changed_changes_nothing(
    run: Run, rasters: dict[str, str], tmp_path: Path
) -> None:
    source = Path(shutil.copy2(rasters["west"], tmp_path / "moving.tif"))
    run("ingest", str(source), "--layer", "land", "--virtual", "--min-zoom", "5")
    run("seed", "land", "--zooms", "5-6")
    run("refresh", "land", "east", "--baked")
    shutil.copy2(rasters["again"], source)
    before = files_under(tmp_path / "data")
    for words in ((), ("--yes",), ("--dry-run",)):
        assert "is gone or has changed: ingest it again" in run("rollback", "land", *words, code=2).stderr
    source.unlink()
    assert "is gone or has changed" in run("rollback", "land", code=2).stderr
    assert files_under(tmp_path / "data") == before


@pytest.mark.parametrize("command", MEANT)
def test_more_tiles_than_the_limit_need_a_yes(land: Land, run: Run, command: str, tmp_path: Path) -> None:
    run("refresh", "land", "again")
    words, number, before = MEANT[command], len(land.tiles()), files_under(tmp_path / "data")
    refused = run(*words, "--confirm-above", str(number - 1), code=2).stderr
    assert f"{number} tiles would be re-rendered, more than --confirm-above {number - 1}" in refused
    assert files_under(tmp_path / "data") == before
    run(*words, "--confirm-above", str(number))
    assert land.renewed()


def test_a_raster_elsewhere_replaces_the_layer_only_after_confirmation(land: Land, run: Run, tmp_path: Path) -> None:
    """It would remove every stored tile, and so would the rollback."""
    west = land.layer.revision
    far = write_raster(tmp_path / "far.tif", Recipe(values=scene(200, 200), bounds=(-80.0, -20.0, -77.0, -17.0)))
    text = "the raster does not overlap layer land: all stored tiles would be removed"
    before = files_under(tmp_path / "data")
    assert f"{text}: add --yes to confirm" in run("refresh", "land", str(far), code=2).stderr
    assert text in run("refresh", "land", str(far), "--dry-run").stderr
    assert files_under(tmp_path / "data") == before
    run("refresh", "land", str(far), "--yes")
    assert land.layer.revision != west
    run("seed", "land", "--zooms", "5")
    before = files_under(tmp_path / "data")
    assert f"{text}: add --yes to confirm" in run("rollback", "land", code=2).stderr
    assert files_under(tmp_path / "data") == before
    run("rollback", "land", "--yes")
    assert land.layer.revision == west


def test_workers_of_a_queue_renew_the_tiles_of_a_bucket(
    s3_url: str, run: Run, make_queue: MakeQueue, baked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(baked, s3_url.removeprefix("s3://"))
    places = {"TILER_TILES": f"{s3_url}/tiles", "TILER_SOURCES": f"{s3_url}/private"}
    for place in places.items():
        monkeypatch.setenv(*place)
    monkeypatch.setattr(timing, "fence_seconds", lambda *, folder: 60.0)  # noqa: ARG005 - S3 tells whole seconds: all is stale, though nobody waits
    monkeypatch.setattr(fanout, "Watch", partial(fanout.Watch, pause=0.05))
    settings, queue = Settings.from_env(places), make_queue()
    land = Land(settings)
    before, first = set(land.tiles()), land.layer.revision
    with working(queue, settings):
        run("refresh", "land", "east", "--queue", queue.url, "--no-wait")
    assert land.layer.revision != first
    assert land.warm_at(land.layer.revision)
    assert {key for key in before if not land.covers(key, land.layer)} == before - set(land.tiles())


def test_a_raster_is_trusted_once_and_not_the_next_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(b"the password is swordfish\n" * 200)
    first, other = (raw(tmp_path / f"{name}.vrt", tmp_path / "secret.txt") for name in ("first", "other"))
    run("ingest", str(first), "--layer", "land", "--trust-source")
    result = run("refresh", "land", str(other), "--no-wait", code=2)
    assert "--trust-source" in result.stderr


def test_without_a_raster_nothing_but_stale_tiles_is_rendered(run: Run, land: Land) -> None:
    run("ingest", "again", "--layer", "land")
    stale = land.tiles()
    wrong = run("verify", "land", code=1).stdout.split()
    assert len(wrong) >= len(stale) > 0
    assert "raster options need SOURCE" in run("refresh", "land", "--nodata", "3", code=2).stderr
    run("refresh", "land", "--dry-run")
    assert land.tiles() == stale
    run("refresh", "land", "--no-wait")
    fresh = land.tiles()
    assert all(fresh[key] != data for key, data in stale.items() if key in fresh)
    assert "stale" not in run("verify", "land", "--deep", code=1).stderr  # some were never stored
    assert "needs re-rendering" in run("refresh", "land", "--no-wait").stderr
    assert land.tiles() == fresh
