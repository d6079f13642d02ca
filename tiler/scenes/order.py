"""The order in which scenes cover each other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from tiler.choices import Overlap
from tiler.scenes.scene import Scene

ALIKE = math.log(1.02)  # resolutions in a step of 2% count as equal: one grid has slightly other scales in each scene
UNDATED = -math.inf


def ordered(scenes: Iterable[Scene], overlap: Overlap) -> tuple[Scene, ...]:
    """The scenes of a list from the bottom to the top.

    On top is the `last` or `first` of the list, the `newest` by date, or the `finest` by metres on the ground. Undated
    scenes are below dated ones, and of equal scenes the last in the list is on top.
    """
    if overlap == "first":
        return tuple(scenes)[::-1]
    if overlap == "newest":
        return tuple(sorted(scenes, key=lambda scene: moment(scene.listed.date)))
    if overlap == "finest":
        return tuple(sorted(scenes, key=_fineness))
    return tuple(scenes)


def moment(date: str) -> float:
    """Seconds since 1970 of a date in ISO 8601, in UTC unless it names an offset; -infinity if it is none.

    A date without a day or month is its first day.
    """
    for end in ("", "-01", "-01-01"):
        try:
            each = datetime.fromisoformat(date + end)
        except ValueError:
            continue
        return (each if each.tzinfo else each.replace(tzinfo=UTC)).timestamp()
    return UNDATED


def _fineness(scene: Scene) -> int:
    """The size of pixels on the ground, as a step: higher is finer, so that stable sorting keeps the list's order."""
    ground = scene.resolution * math.cos(math.radians(_nearest_latitude(scene)))
    return -round(math.log(ground) / ALIKE)


def _nearest_latitude(scene: Scene) -> float:
    """The latitude nearest to the equator, where pixels in Mercator metres are smallest."""
    south, north = scene.bounds.south, scene.bounds.north
    return 0.0 if south <= 0 <= north else min(abs(south), abs(north))
