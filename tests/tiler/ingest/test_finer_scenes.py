"""A scene far finer than most is told before the bake, with the cure."""

from __future__ import annotations

import pytest

from tests.support.scenes import made
from tiler.grid import resolution
from tiler.ingest.survey_scenes import _finer


@pytest.mark.parametrize(("zooms", "told"), [((13, 13, 18), True), ((13, 13, 15), False), ((13, 18, 18), False)])
def test_a_far_finer_scene_is_told(zooms: tuple[int, ...], *, told: bool) -> None:
    scenes = [made(f"{number}.tif", resolution=resolution(z)) for number, z in enumerate(zooms)]
    notes = list(_finer(scenes, max(zooms)))
    assert bool(notes) is told
    assert not told or ("2.tif has zoom 18, 2 of 3" in notes[0] and notes[0].endswith("add --max-zoom 13 to bake less"))
