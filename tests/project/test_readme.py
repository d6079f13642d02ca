"""The README's tour and its Python run as typed; in a long run, so do the commands of the guides."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seeder.operations import checks
from tests.support.effort import LONG
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.served import ask

README = (ROOT / "README.md").read_text()
SERVE = "seeder serve --open"
PLACE = (6.660, 46.496, 6.666, 46.500)
FIELD = [[6.661, 46.497], [6.664, 46.497], [6.663, 46.499], [6.661, 46.497]]
# Python reads this at its start. One process renders, since it takes longer to start two; nothing is in flight.
QUICK = """
import os
from tiler import timing
os.cpu_count = lambda: 1
timing.fence_seconds = lambda *, folder: 0.0
"""


GUIDES = ("terrain", "which-format", "many-scenes")
APART = ("seeder serve", "python bench/")  # one does not end, the other wants more rasters


def block(section: str, language: str) -> str:
    """The code of a section."""
    pattern = rf"^## {section}\n.*?^```{language}\n(.*?)^```$"
    found = re.search(pattern, README, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone as the README's reader has it: `.venv`, rasters, a polygon, a file of layers."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name, seed in (("ortho", 7), ("ortho-may", 8)):
        write_raster(tmp_path / f"{name}.tif", Recipe(values=scene(400, 600, seed=seed), bounds=PLACE))
    heights = 10 * scene(300, 300, bands=1).astype(np.float32)
    write_raster(tmp_path / "dem.tif", Recipe(values=heights, bounds=(6.0, 46.0, 6.3, 46.3)))
    (tmp_path / "field.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [FIELD]}))
    (tmp_path / "layers.toml").write_text('[layers.relief]\nsource = "dem.tif"\nstyle = "hillshade"\nseed = "5-8"\n')
    write_flights(tmp_path)
    return tmp_path


def write_flights(folder: Path) -> None:
    """Write the flights of the guide for many scenes: six scenes in May, two more in June, a corrected one."""
    may = [f"flight-may/{column}_{row}" for column in (100, 101, 102) for row in (200, 201)]
    for seed, name in enumerate((*may, "flight-june/103_200", "flight-june/103_201", "corrected/101_200")):
        column, row = map(int, Path(name).name.split("_"))
        west, north = 6.66 + (column - 100) / 200, 46.5 - (row - 200) / 200
        file = folder / f"{name}.tif"
        file.parent.mkdir(exist_ok=True)
        write_raster(file, Recipe(values=scene(120, 120, seed=seed), bounds=(west, north - 0.005, west + 0.005, north)))


@pytest.fixture
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of quick commands, with a browser that prints the address."""
    patch = tmp_path_factory.mktemp("patch")
    (patch / "sitecustomize.py").write_text(QUICK)
    path = os.pathsep.join((str(patch), str(ROOT)))
    return {**os.environ, "PYTHONPATH": path, "BROWSER": "echo opened %s"}


def run(commands: list[str], folder: Path, environ: dict[str, str]) -> None:
    """Run commands in a shell; each must succeed."""
    script = "\n".join((". .venv/bin/activate", "set -eux", *commands))
    done = subprocess.run(["sh", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_tour_runs_as_typed(folder: Path, environ: dict[str, str]) -> None:
    activate, *lines, serve = block("The tour", "sh").splitlines()
    assert serve.startswith(SERVE)
    assert activate == ". .venv/bin/activate"
    run(lines, folder, environ)
    assert list((folder / "data/tiles/ortho").glob("17/*/*.webp"))
    assert (folder / "ortho.pmtiles").read_bytes().startswith(b"PMTiles")

    words = f"{activate}\nexec {SERVE} --port 0"  # the port of the tour may be taken
    with subprocess.Popen(["sh", "-c", words], cwd=folder, env=environ, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            address = server.stdout.readline().removeprefix("opened ").strip()
            assert ask(f"{address}ortho/tile.json").status == 200
            server.send_signal(signal.SIGINT)
            assert server.wait(30) in (0, 130)
        finally:
            server.kill()


def test_the_python_runs_as_typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(checks, "CORES", 1)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(block("Python", "python"), namespace)
    assert namespace["image"].startswith(b"RIFF")


@pytest.mark.skipif(not LONG, reason="scripts/full runs it")
@pytest.mark.parametrize("guide", GUIDES)
def test_the_commands_of_a_guide_run_as_typed(guide: str, folder: Path, environ: dict[str, str]) -> None:
    text = (ROOT / "docs" / "guides" / f"{guide}.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for each in blocks for line in each.replace("\\\n", "").splitlines() if not line.startswith(APART)]
    assert len(lines) > 3
    run(lines, folder, environ)
