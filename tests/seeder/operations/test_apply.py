"""A file of layers: what differs is shown and done, the same file again changes nothing, and nothing is removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import seeder as api
from seeder.operations.layer_file import OPTIONS
from tests.support.aws import MakeStack
from tests.support.bakery import Bakery
from tests.support.clock import nothing_in_flight
from tests.support.commands import seeder
from tests.support.files import snapshot
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import BadEntries, BadOption
from tiler.layers.catalog import load_layer
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

LAND = Recipe(scene(64, 64))  # zooms 0-5
EAST = Recipe(scene(64, 64, seed=8), bounds=(9.0, 45.0, 13.0, 48.0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rasters; nothing is in flight."""
    nothing_in_flight(monkeypatch)
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    write_raster(tmp_path / "land.tif", LAND)
    (tmp_path / "scenes").mkdir()
    write_raster(tmp_path / "scenes/west.tif", LAND)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    file = folder / "layers.toml"
    file.write_text(text)
    return file


def apply(folder: Path, text: str, *words: object) -> Result:
    return seeder("apply", written(folder, text), "--jobs", 1, *words)


def states(result: Result) -> dict[str, str]:
    """The state of each layer in JSON."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["layer"]: line["state"] for line in lines if "state" in line}


TWO = """
[defaults]
seed = "3-5"

[layers.land]
source = "land.tif"

[layers.scenes]
source = "scenes"
format = "webp"
area = { "4-5" = [5, 45, 7, 48] }
"""


def test_the_same_file_again_changes_nothing(folder: Path) -> None:
    first = apply(folder, TWO)
    assert first.exit_code == 0, first.output
    assert "layer land: revision" in first.stdout
    before = snapshot(folder / "data")
    again = apply(folder, TWO)
    assert (again.exit_code, again.stdout.splitlines()) == (
        0,
        ["land: unchanged", "scenes: unchanged", "nothing to do"],
    )
    as_json = apply(folder, TWO, "--json")
    assert states(as_json) == {"land": "unchanged", "scenes": "unchanged"}
    assert json.loads(as_json.stdout.splitlines()[-1]) == {"to_do": [], "failed": [], "others": [], "dollars": 0}
    assert snapshot(folder / "data") == before


def test_it_makes_what_ingest_and_seed_make(folder: Path) -> None:
    assert (
        apply(folder, '[layers.land]\nsource = "land.tif"\nseed = "3-5"\nrescale = "0,200"\nformat = "png"').exit_code
        == 0
    )
    command = ("ingest", folder / "land.tif", "--rescale", "0,200", "--format", "png", "--seed", "3-5", "--jobs", 1)
    assert seeder(*command, "--data", folder / "other").exit_code == 0
    ours, theirs = (
        {key: value[0] for key, value in snapshot(folder / each).items() if key.endswith((".png", ".webp"))}
        for each in ("data/tiles", "other/tiles")
    )
    assert ours == theirs
    assert ours


def test_a_dry_run_changes_nothing(folder: Path) -> None:
    result = apply(folder, TWO, "--dry-run")
    assert result.exit_code == 0, result.output
    assert [line.split(":")[:2] for line in result.stdout.splitlines()] == [["land", " new"], ["scenes", " new"]]
    assert not (folder / "data").exists()


def test_what_differs_is_shown_and_done(folder: Path) -> None:
    assert apply(folder, TWO).exit_code == 0
    write_raster(folder / "scenes/east.tif", EAST)
    changed = TWO.replace('source = "land.tif"', 'source = "land.tif"\nrescale = "0,100"')
    plan = apply(folder, changed, "--dry-run")
    assert "land: changed: 1 option changed; " in plan.stdout
    assert "  rescale: default -> [[0.0, 100.0]]" in plan.stdout
    assert "scenes: changed: scenes: 1 added, 0 replaced, 0 dropped; " in plan.stdout
    assert apply(folder, changed).exit_code == 0
    assert set(states(apply(folder, changed, "--json")).values()) == {"unchanged"}
    assert seeder("verify", "land", "--zooms", "3-5").exit_code == 0
    more = changed.replace('seed = "3-5"', 'seed = "2-5"')
    assert states(apply(folder, more, "--json", "--dry-run")) == {"land": "tiles missing", "scenes": "unchanged"}
    assert apply(folder, more).exit_code == 0
    assert set(states(apply(folder, more, "--json")).values()) == {"unchanged"}
    back = apply(folder, TWO, "--json")
    assert states(back)["land"] == "changed"
    assert set(states(apply(folder, TWO, "--json")).values()) == {"unchanged"}


def test_a_title_is_a_difference_and_stays_without_one(folder: Path) -> None:
    assert apply(folder, TWO).exit_code == 0
    tiles = {key: value for key, value in snapshot(folder / "data").items() if key.endswith((".png", ".webp", ".tif"))}
    titled = TWO.replace('source = "scenes"', 'source = "scenes"\ntitle = "Flights"')
    titled = titled.replace('source = "land.tif"', 'source = "land.tif"\ndescription = "All land."')
    plan = apply(folder, titled, "--dry-run")
    assert "scenes: changed: 1 option changed" in plan.stdout
    assert 'title: default -> "Flights"' in plan.stdout
    assert apply(folder, titled).exit_code == 0
    for again in (titled, TWO):
        assert set(states(apply(folder, again, "--json")).values()) == {"unchanged"}
    facts = {each["layer"]: each for each in map(json.loads, seeder("layers", "--json").stdout.splitlines())}
    assert (facts["scenes"]["title"], facts["land"]["description"]) == ("Flights", "All land.")
    after = {key: value for key, value in snapshot(folder / "data").items() if key.endswith((".png", ".webp", ".tif"))}
    assert after == tiles


def test_a_changed_raster_and_a_lost_tile_are_seen(folder: Path) -> None:
    assert apply(folder, TWO).exit_code == 0
    write_raster(folder / "land.tif", Recipe(scene(64, 64, seed=9)))
    tile = next((folder / "data/tiles/scenes").rglob("*.webp"))
    tile.unlink()
    result = apply(folder, TWO)
    assert "land: changed: the raster changed; " in result.stdout
    assert "scenes: tiles missing: 1 tile to seed, zooms " in result.stdout
    assert tile.is_file()
    assert set(states(apply(folder, TWO, "--json")).values()) == {"unchanged"}


def test_layers_that_are_not_in_the_file_are_named_and_left(folder: Path) -> None:
    assert apply(folder, TWO).exit_code == 0
    before = snapshot(folder / "data")
    result = apply(folder, '[layers.scenes]\nsource = "scenes"\nformat = "webp"')
    assert "land: not in this file, and left as it is" in result.stdout
    assert snapshot(folder / "data") == before


def test_a_layer_that_fails_does_not_stop_the_others(folder: Path) -> None:
    result = apply(folder, '[layers.gone]\nsource = "gone.tif"\n' + TWO)
    assert result.exit_code == 1
    assert "gone: failed: cannot ingest " in result.stdout
    assert result.stderr.splitlines()[-1] == "error: 1 layer failed: gone"
    assert load_layer(Stores.open(Settings.from_env({}, data=str(folder / "data"))).sources, "scenes").format == "webp"


def test_all_faults_are_told_at_once_and_nothing_is_changed(folder: Path) -> None:
    faulty = """
[defualts]
[layers.land]
source = "land.tif"
max_zom = 3
format = "wepb"
seed = "x"
[layers.scenes]
overlap = "newst"
zooms = "1"
checksum = "yes"
virtual = 1
bbox = [1, 2]
queue = 3
"""
    result = apply(folder, faulty)
    assert (result.exit_code, result.stdout) == (2, "")
    faults = [line.strip() for line in result.stderr.splitlines()[1:]]
    assert [fault.rsplit(": ", 1)[-1] for fault in faults[:2]] == ["did you mean defaults?", "did you mean max-zoom?"]
    for part in (
        *("land: format: 'wepb' is invalid: choose one of png, jpg, webp", "did you mean webp?", "land: seed: "),
        *("scenes: 'zooms': unknown key: did you mean seed?", "overlap: 'newst' is invalid", "did you mean newest?"),
        *("checksum: 'yes' is invalid: write true or false", "virtual: 1 is invalid: write true or false"),
        *("scenes: source: it is missing", "scenes: queue: 3 is not a queue", "scenes: bbox: "),
    ):
        assert sum(part in fault for fault in faults) == 1, (part, faults)
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[layers.a", "write TOML, such as [layers.ortho]"),
        ("", "has no layers: write a table for each"),
        ("layers = 3", "are tables: write [defaults] and [layers.NAME]"),
        ("[layers]\na = 3", "layer a: it is not a table: write [layers.a]"),
        ("[layers.a]\nsource = []", "names no raster"),
        ('[layers.a]\nsource = "-"', "standard input is no source"),
        ('[layers.a]\nsource = "land.tif"\nbbox = "0,0,1,1"', 'add seed = "ZOOMS"'),
        ('[layers.a]\nsource = "land.tif"\nmin-zoom = 5\nmax-zoom = 4', "it is above max-zoom = 4"),
        ('[layers.a]\nsource = "land.tif"\nmax_zoom = 4\nmax-zoom = 5', "max-zoom is given twice: keep one of them"),
        ('[layers.a]\nsource = "land.tif"\nno-alpha = "no"', "no-alpha: 'no' is invalid: write true or false"),
        ('[layers.a]\nsource = "land.tif"\ntitle = 5', "title: 5 is invalid: give a text"),
        ('[layers.a]\nsource = "land.tif"\ndescription = ["x"]', "description: ['x'] is invalid: give a text"),
        ('[layers.a]\nsource = "land.tif"\ncolormap = 5', "colormap: 5 is invalid: give a name, such as viridis"),
        (
            '[layers.a]\nsource = "land.tif"\nseed = "5"\nbbox = 5',
            "bbox: 5 is invalid: give (west, south, east, north)",
        ),
        ('[layers.a]\nsource = "land.tif"\nseed = "5"\naround = [1, 2]\nradius = "x"', "radius='x' is invalid: give a"),
        (
            '[layers.a]\nsource = "land.tif"\nseed = "5"\naround = 3',
            "around: 3 is invalid: its type (int) does not fit",
        ),
        ('[layers."A b"]\nsource = "land.tif"', "cannot name a layer"),
    ],
)
def test_a_file_that_says_nothing_usable_is_explained(text: str, why: str, folder: Path) -> None:
    result = apply(folder, text)
    assert result.exit_code == 2
    assert why in result.stderr


def test_a_file_of_an_editor_that_marks_its_encoding_is_read(folder: Path) -> None:
    file = folder / "layers.toml"
    file.write_text('[layers.land]\nsource = "land.tif"\n', encoding="utf-8-sig")
    assert states(seeder("apply", file, "--dry-run", "--json")) == {"land": "new"}


def test_a_fence_names_the_layer_and_the_key(folder: Path) -> None:
    text = '[layers.land]\nsource = "land.tif"\nseed = "5"\nshapes = "/etc/passwd"\n'
    assert "layers.toml: layer land: shapes: /etc/passwd leads out of" in apply(folder, text, "--dry-run").stderr


def test_the_keys_are_the_options_of_an_ingest() -> None:
    assert {name.replace("-", "_") for name in OPTIONS} == set(Options.__dataclass_fields__)


def test_a_raster_elsewhere_does_not_remove_all_tiles(folder: Path) -> None:
    assert apply(folder, TWO).exit_code == 0
    before = snapshot(folder / "data")
    write_raster(folder / "land.tif", Recipe(scene(64, 64), bounds=(50.0, 45.0, 54.0, 48.0)))
    result = apply(folder, TWO)
    assert result.exit_code == 1
    assert "all stored tiles would be removed: if they may be, run `seeder refresh land SOURCE`" in result.stderr
    assert snapshot(folder / "data") == before


# Paid work


QUEUED = '[layers.land]\nsource = "land.tif"\nseed = "3-5"\nqueue = "sqs"'


def test_paid_work_needs_a_limit(bakery: Bakery, folder: Path) -> None:
    refused = apply(folder, QUEUED)
    assert refused.exit_code == 2
    assert "this work costs up to $" in refused.stderr
    assert "add --max-cost 0.01 to allow that" in refused.stderr
    low = apply(folder, QUEUED, "--max-cost", "0.000001")
    assert low.exit_code == 2
    assert "above --max-cost 1e-06: apply fewer layers, or raise the limit to 0.01" in low.stderr
    assert not bakery.stores.sources.has("sources/land/index.json")
    sent = apply(folder, QUEUED, "--max-cost", "0.01")
    assert sent.exit_code == 0, sent.output
    assert "layer land: sent as bake job land-" in sent.stdout
    assert bakery.work()
    assert load_layer(bakery.stores.sources, "land").revision


def test_a_stack_costs_money_without_a_queue_too(
    make_stack: MakeStack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TILER_DATA")
    text, stack = (
        '[layers.land]\nsource = "land.tif"\nseed = "3-5"',
        ("--stack", make_stack(WebsiteUrl="http://tiles.test", TileUrl="http://tiles.test")),
    )
    refused = apply(folder, text, *stack)
    assert refused.exit_code == 2
    assert "this work costs up to $0.0" in refused.stderr
    assert apply(folder, text, *stack, "--dry-run").exit_code == 0
    assert apply(folder, text, *stack, "--max-cost", "1").exit_code == 0
    assert states(apply(folder, text, *stack, "--json")) == {"land": "unchanged"}


# The Python API


def test_programs_apply_a_file(folder: Path) -> None:
    workspace, file = api.open(folder / "data"), written(folder, TWO)
    planned = workspace.apply(file, dry_run=True, jobs=1)
    assert [plan.state for plan in planned.plan.layers] == ["new", "new"]
    assert not planned.changed
    applied = workspace.apply(file, jobs=1)
    assert [done.layer for done in applied.done] == ["land", "scenes"]
    assert applied.passed
    assert [layer.name for layer in workspace.layers()] == ["land", "scenes"]
    assert not workspace.apply(file, jobs=1).changed


def test_programs_get_all_faults(folder: Path) -> None:
    workspace = api.open(folder / "data")
    with pytest.raises(BadEntries) as caught:
        workspace.apply(written(folder, "[layers.a]\nmax-zom = 3\nsource = 4"))
    assert len(caught.value.faults) == 2
    with pytest.raises(BadOption, match="max_cost"):
        workspace.apply(folder / "layers.toml", max_cost=-1)
    with pytest.raises(BadOption, match="dry_run"):
        workspace.apply(folder / "layers.toml", dry_run="yes")  # type: ignore[arg-type]


# Values that do not fit


UNFIT = """
[layers.swapped]
source = "land.tif"
seed = "0-5"
bbox = "45.9,7.0,46.2,7.5"
[layers.deep]
source = "land.tif"
seed = "5-25"
[layers.missed]
source = "land.tif"
seed = "3-5"
area = { "3-5" = [50, 50, 51, 51] }
"""


def test_values_that_do_not_fit_a_layer_are_told_at_once_and_nothing_is_changed(folder: Path) -> None:
    result = apply(folder, TWO + UNFIT)
    assert result.exit_code == 2, result.output
    faults = [line.strip() for line in result.stderr.splitlines()]
    for part in (
        "layer swapped: no tile of layer 'swapped' is selected",
        "write 7,45.9,7.5,46.2",
        "layer deep: layer 'deep' would have zooms 0-5, not ",
        "layer missed: no tile of layer 'missed' is selected",
    ):
        assert sum(part in fault for fault in faults) == 1, (part, faults)
    assert not (folder / "data").exists()
    assert apply(folder, TWO + UNFIT, "--dry-run").exit_code == 2


def test_values_that_do_not_fit_a_layer_that_is_there_stop_the_others_too(folder: Path) -> None:
    assert apply(folder, TWO).exit_code == 0
    before = snapshot(folder / "data")
    for old, new in (('seed = "3-5"', 'seed = "3-9"'), ("[5, 45, 7, 48]", "[45, 5, 48, 7]")):
        for option in ("", "\nrescale = [0, 99]"):  # unchanged, and the next revision
            text = TWO.replace(old, new).replace('format = "webp"', f'format = "webp"{option}')
            result = apply(folder, f'{text}\n[layers.another]\nsource = "land.tif"\n')
            assert result.exit_code == 2, result.output
            assert snapshot(folder / "data") == before


def test_a_selection_may_fit_the_next_revision_only(folder: Path) -> None:
    assert apply(folder, '[layers.land]\nsource = "land.tif"\nseed = "3"').exit_code == 0
    write_raster(folder / "land.tif", Recipe(scene(64, 64), bounds=(5.0, 45.0, 13.0, 48.0)))
    text = '[layers.land]\nsource = "land.tif"\nseed = "3-6"\nmax-zoom = 6\nbbox = [10, 46, 11, 47]'
    assert apply(folder, text).exit_code == 0
    assert seeder("verify", "land", "--zooms", "3-6", "--bbox", "10,46,11,47").exit_code == 0


def test_options_of_light_are_checked_and_named_as_keys(folder: Path) -> None:
    lit = '[layers.a]\nsource = "land.tif"\nstyle = "hillshade"\nazimuth = 400\naltitude = 99\n'
    result = apply(folder, lit + '[layers.b]\nazimuth = 40\nsource = "land.tif"\n')
    assert result.exit_code == 2
    for part in ("a: azimuth 400: write degrees", "a: altitude 99: write degrees", "b: azimuth is of shaded relief"):
        assert part in result.stderr
    assert "--" not in result.stderr
    assert not (folder / "data").exists()
