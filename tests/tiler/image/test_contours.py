"""Contours have no gaps, lie where heights are multiples of the interval, and do not depend on how a map is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.oracle import decoded
from tiler.image.contours import COLOUR, FIFTH, MARGIN, contours
from tiler.image.encode import encode
from tiler.image.style import Pixels, Values

SIDE = 24
VISIBLE = 120  # of 255: the opacity of a line half a pixel away


def drawn(heights: Values, mask: Pixels | None = None, interval: float = 10.0, scale: int = 1) -> Pixels:
    """The opacity of the contours."""
    opacity = contours(heights, mask, interval, scale).mask
    assert opacity is not None
    return opacity


def waves(rows: int, columns: int) -> Values:
    """Hills 150 metres high."""
    down, right = np.mgrid[0:rows, 0:columns]
    noise = np.random.default_rng(2).normal(0, 2, (rows, columns))
    return (80 * np.sin(right / 19) * np.cos(down / 23) + 70 * np.sin((right + down) / 31) + noise).astype(np.float32)


def inner(values: Values) -> Values:
    """Without the margin."""
    return values[MARGIN:-MARGIN, MARGIN:-MARGIN]


fields = st.one_of(
    arrays(np.int16, (SIDE, SIDE), elements=st.integers(-40, 40)),
    arrays(np.float32, (SIDE, SIDE), elements=st.floats(-60, 60, width=32)),
    st.just(waves(SIDE, SIDE)),
)
masks = st.none() | arrays(np.uint8, (SIDE, SIDE), elements=st.sampled_from([0, 255, 255, 255]))


@given(fields, masks, st.sampled_from([10.0, 3.7]), st.sampled_from([1, 2]))
def test_lines_have_no_gaps(heights: Values, mask: Pixels | None, interval: float, scale: int) -> None:
    opacity = drawn(heights, mask, interval, scale)
    side = inner(np.floor(heights.astype(np.float32) / np.float32(interval)))
    known = np.ones(side.shape, bool) if mask is None else inner(mask) > 0
    for one, other in (
        ((slice(None, -1),), (slice(1, None),)),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        crossed = (side[one] != side[other]) & known[one] & known[other]
        assert (np.maximum(opacity[one], opacity[other])[crossed] >= VISIBLE).all()
    assert (opacity[~known] == 0).all()


@given(
    fields, masks, st.sampled_from([1, 2]), st.integers(1, SIDE - 2 * MARGIN - 1), st.integers(1, SIDE - 2 * MARGIN - 1)
)
def test_a_map_in_pieces_is_the_map(heights: Values, mask: Pixels | None, scale: int, row: int, column: int) -> None:
    whole, ends = drawn(heights, mask, scale=scale), SIDE - 2 * MARGIN
    for top, bottom in ((0, row), (row, ends)):
        for left, right in ((0, column), (column, ends)):
            cut = slice(top, bottom + 2 * MARGIN), slice(left, right + 2 * MARGIN)
            piece = drawn(heights[cut], None if mask is None else mask[cut], scale=scale)
            assert np.array_equal(piece, whole[top:bottom, left:right])


def test_a_large_window_is_drawn_in_strips_without_seams() -> None:
    heights = waves(700, 900)
    assert np.array_equal(drawn(heights)[300:500], drawn(heights[300 : 500 + 2 * MARGIN]))


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("angle", [0, 20, 45, 70, 90, 200])
def test_on_even_ground_lines_are_as_thick_and_as_far_apart_as_they_should_be(angle: float, scale: int) -> None:
    rise, interval = 0.8, 20.0
    rows, columns = np.mgrid[0:200, 0:200] - 100.0
    along = columns * math.cos(math.radians(angle)) + rows * math.sin(math.radians(angle))
    heights = (along * rise + 3).astype(np.float32)
    cover = drawn(heights, interval=interval, scale=scale) / 255
    level = inner(heights)
    nearest = np.rint(level / interval)
    away = np.abs(level - nearest * interval) / rise  # pixels
    width = np.where(nearest % FIFTH == 0, 2, 1) * scale
    wanted = np.clip(width / 2 + 0.5 - away, 0, 1)
    thick = nearest % FIFTH == 0
    assert np.abs(cover - wanted)[~thick].max() < (0.04 if scale == 1 else 0.12)
    assert np.abs(cover - wanted)[thick].max() < 0.2  # distances go by way of neighbours
    assert np.abs(cover - wanted).mean() < 0.02


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_level_ground_at_the_height_of_a_line_has_none_but_its_shore(dtype: str) -> None:
    heights = np.full((60, 60), 20, dtype)
    heights[:, 30:] = 13
    opacity = drawn(heights)
    assert (opacity[:, : 30 - MARGIN - 1] == 0).all()
    assert (opacity[:, 30 - MARGIN + 1 :] == 0).all()
    assert (opacity[:, 30 - MARGIN - 1] == 255).all()
    assert not drawn(np.full((60, 60), 20, dtype)).any()
    assert encode(contours(np.full((60, 60), 20, dtype), None, 10, 1), "png") is None


def test_a_tile_is_a_palette_of_16_colours_of_one_hue() -> None:
    picture = contours(waves(256 + 2 * MARGIN, 256 + 2 * MARGIN), None, 50, 1)
    data = encode(picture, "png")
    assert data
    assert (data[24], data[25]) == (4, 3)  # bits and kind of a PNG
    seen = decoded(data)
    lines = seen[..., 3] > 0
    assert (seen[lines][:, :3] == COLOUR).all()
    assert 0.05 < lines.mean() < 0.7


def test_heights_beyond_all_measure_do_not_fail() -> None:
    heights = np.array([[3e38, -3e38, 0, np.inf] * 5] * 20, np.float32)
    assert drawn(heights, interval=0.01).shape == (20 - 2 * MARGIN, 20 - 2 * MARGIN)
