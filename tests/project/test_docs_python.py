"""Every example of docs/python.md runs, in the order in which they stand."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import seeder
from seeder.operations import checks
from seeder.workers import fanout
from seeder.workers.sqs import SqsQueue
from tests.support.aws import MakeStack
from tests.support.clock import nothing_in_flight
from tests.support.paths import ROOT
from tests.support.queues import working
from tests.support.rasters import Recipe, scene, write_raster
from tiler.layers.version import METADATA

BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)
STACK = "tile-seeder-dev"


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What examples share; the current folder holds their rasters, and one process renders."""
    for name, seed in (("ortho", 7), ("ortho-may", 8)):
        write_raster(tmp_path / f"{name}.tif", Recipe(values=scene(seed=seed)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "CORES", 1)
    nothing_in_flight(monkeypatch)
    return {}


def test_the_examples_run(namespace: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    blocks = [block for block in BLOCKS if STACK not in block]
    assert len(blocks) == len(BLOCKS) - 1
    for block in blocks:
        exec(block, namespace)
    printed = capfd.readouterr().out
    assert re.search(r"^<Layer ortho: revision \w+, zooms 0-9, webp>$", printed, re.MULTILINE)
    assert "no layer 'orto': did you mean ortho?" in printed
    assert namespace["image"].startswith(b"RIFF")
    assert Path("ortho.pmtiles").read_bytes().startswith(b"PMTiles")


def test_the_example_on_aws_runs(
    namespace: dict[str, Any], make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "Watch", partial(fanout.Watch, pause=0.05))
    name = make_stack(WebsiteUrl="http://tiles.test/", TileUrl="http://direct.test/", MetadataVersion=str(METADATA))
    settings = seeder.open(stack=name).settings
    (block,) = (block for block in BLOCKS if STACK in block)
    write_raster(Path("ortho.tif"), Recipe(values=scene(220, 300)))
    namespace["seeder"] = seeder
    with working(SqsQueue.open(settings.queue, settings.s3.region), settings):
        exec(block.replace(STACK, name), namespace)
    assert namespace["job"].status().state == "done"
