"""A layer of more blocks than a test lets go, ingested and seeded once in a test run with nothing to disturb it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import undisturbed
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.shared import shared_folder

ZOOMS = "0-10"
SEED = ("alps", "--zooms", ZOOMS, "--jobs", "2")


def ingest(source: Path) -> tuple[str, ...]:
    """The arguments of `seeder ingest`."""
    return (str(source), "--layer", "alps", "--format", "png", "--jobs", "2")


def large_source(factory: pytest.TempPathFactory) -> Path:
    """A raster of 14 blocks or more; read it only."""

    def fill(folder: Path) -> None:
        write_raster(folder / "alps.tif", Recipe(values=scene(1400, 1800)))

    return shared_folder(factory, "large-source", fill) / "alps.tif"


def large_seeded(factory: pytest.TempPathFactory) -> Path:
    """The data folder of an undisturbed ingest and seeding; read it only."""
    source = large_source(factory)

    def fill(folder: Path) -> None:
        undisturbed.run(folder / "data", ingest(source), SEED)

    return shared_folder(factory, "large-seeded", fill) / "data"


def unseeded(seeded: Path, folder: Path) -> Path:
    """A copy of a data folder with the layer `alps`, without its tiles and jobs."""

    def left_out(path: str, names: list[str]) -> list[str]:
        if Path(path) == seeded / "tiles" / "alps":
            return [name for name in names if name.isdecimal()]  # zooms
        return ["jobs"] if Path(path) == seeded / "private" else []

    return Path(shutil.copytree(seeded, folder, ignore=left_out))
