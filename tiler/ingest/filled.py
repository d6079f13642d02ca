"""The share of each part that the pixels of a raster, or of scenes, fill at most: a chunk is seldom full."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from tiler.grid import TILE
from tiler.ingest.chunks import CHUNK
from tiler.ingest.survey import Survey
from tiler.layers.pyramid import SIDE, Place, across
from tiler.scenes.scene_index import Box, box_of


def filled_of(survey: Survey, chunks: Mapping[Place, int]) -> dict[Place, float]:
    """The number of whole chunks that the pixels of each part would fill; at most its `chunks`.

    It is a bound: a raster may fill less than its bounds.
    """
    zoom = survey.base
    boxes = [box_of(each, zoom) for each in ([scene.bounds for scene in survey.scenes] or [survey.bounds])]
    shares = dict[Place, npt.NDArray[np.float64]]()
    for box in boxes:
        for place, share in _shares(box, zoom):
            if place in chunks:
                known = shares.get(place)
                shares[place] = share if known is None else known + share
    filled = {place: float(np.minimum(share, 1).sum()) for place, share in shares.items()}
    return {place: min(filled.get(place, 0.0), number) for place, number in chunks.items()}


def _shares(box: Box, zoom: int) -> Iterator[tuple[Place, npt.NDArray[np.float64]]]:
    """The parts that a box of pixels touches, and the shares of their chunks in it, by row and column."""
    left, top, right, bottom = (each / (SIDE * TILE) for each in box)
    rows = [(row, _along(top, bottom, row)) for row in range(max(0, math.floor(top)), math.ceil(bottom))]
    for column in range(math.floor(left), math.ceil(right)):
        columns = _along(left, right, column)
        for row, share in rows:
            yield Place(0, column % across(zoom), row), np.outer(share, columns)


def _along(first: float, last: float, part: int) -> npt.NDArray[np.float64]:
    """The share of each chunk along a part's side that lies between two places, all in parts."""
    number = SIDE // CHUNK
    starts, (begin, end) = np.arange(number), np.clip([first - part, last - part], 0, 1) * number
    share: npt.NDArray[np.float64] = np.clip(end - starts, 0, 1) - np.clip(begin - starts, 0, 1)
    return share
