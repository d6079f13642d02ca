"""Values become colours by plain arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.pictures import pictures, visible
from tiler.choices import TERRAINS
from tiler.errors import BadOption
from tiler.image.encode import encode
from tiler.image.style import Picture, Style, Values

INTEGERS = [np.dtype(name) for name in ("uint8", "int8", "uint16", "int16", "int32", "uint32")]
ROUNDING = 1e-3  # of a step, for arithmetic in single precision
NARROWEST = 1e-3  # width of a range of floats in terms of its ends: single precision holds no finer steps there


def stretched(values: Values, low: float, high: float) -> Values:
    """The oracle: `values` rescaled from low-high to 0-255, not yet rounded; float64."""
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255


@st.composite
def whole(draw: st.DrawFn) -> tuple[Values, int, int]:
    """Integers of a dtype, and a range that may be partly outside of it."""
    limits = np.iinfo(draw(st.sampled_from(INTEGERS)))
    near = st.integers(limits.min - 10, limits.max + 10)
    low = draw(near)
    high = low + draw(st.integers(1, 600) | st.integers(1, limits.max - limits.min + 20))
    around = [
        st.integers(max(limits.min, end - 300), min(limits.max, end + 300))
        for end in (low, high)
        if limits.min <= end <= limits.max
    ]
    some = draw(st.lists(st.one_of(st.integers(limits.min, limits.max), *around), min_size=1, max_size=40))
    return np.array(some, limits.dtype).reshape(1, 1, -1), low, high


@st.composite
def real(draw: st.DrawFn) -> tuple[Values, float, float]:
    """Floats and a range that single precision can divide into 256 steps."""
    finite = st.floats(-1e6, 1e6, width=32)
    low = draw(finite)
    high = low + draw(st.floats(max(1e-3, NARROWEST * abs(low)), 1e6))
    inside = st.floats(0, 1).map(lambda share: low + share * (high - low))
    some = draw(st.lists(finite | inside | st.sampled_from([np.inf, -np.inf, low, high]), min_size=1, max_size=40))
    return np.array(some, draw(st.sampled_from([np.float32, np.float64]))).reshape(1, 1, -1), low, high


def shown(values: Values, low: float, high: float) -> Values:
    """What a style with one range makes of one band."""
    picture = Style(rescale=((low, high),)).apply(values, None)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == (*values.shape[1:], 1)
    return picture.pixels[..., 0].astype(np.float64)


@given(whole())
@example((np.arange(2**30, 2**30 + 256, dtype=np.int32).reshape(1, 1, -1), 2**30, 2**30 + 255))
@example((np.array([[[16_777_216, 16_777_217, 16_777_218]]], np.int32), 16_777_216, 16_777_218))
def test_integers_are_stretched_to_the_nearest_step(case: tuple[Values, int, int]) -> None:
    values, low, high = case
    wanted = stretched(values[0], low, high)
    assert np.abs(shown(values, low, high) - wanted).max() <= 0.5 + ROUNDING


@given(real())
def test_floats_are_stretched_to_the_nearest_step(case: tuple[Values, float, float]) -> None:
    values, low, high = case
    wanted = stretched(values[0], low, high)
    assert np.abs(shown(values, low, high) - wanted).max() <= 0.5 + ROUNDING / NARROWEST / 10


@given(whole() | real())
def test_a_stretch_never_reverses_two_values(case: tuple[Values, float, float]) -> None:
    values, low, high = case
    assert (np.diff(shown(np.sort(values), low, high)) >= 0).all()


@given(whole() | real())
def test_the_ends_of_a_range_and_all_beyond_are_black_and_white(case: tuple[Values, float, float]) -> None:
    values, low, high = case
    steps = shown(values, low, high)
    assert (steps[values[0] <= low] == 0).all()
    assert (steps[values[0] >= high] == 255).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", ">u2", ">i2"])
def test_every_dtype_reaches_both_ends(dtype: str) -> None:
    values = np.array([[[-5, 0, 1, 40, 99, 100, 127]]]).clip(0 if "u" in dtype else -5).astype(dtype)
    assert shown(values, 0, 100).tolist() == [[0, 0, 3, 102, 252, 255, 255]]


def test_each_band_has_its_own_range() -> None:
    values = np.random.default_rng(1).integers(0, 4000, (3, 20, 30)).astype(np.uint16)
    ranges = ((0, 4000), (100, 300), (3999, 4000))
    pixels = Style(rescale=ranges).apply(values, None).pixels
    for band, (low, high) in enumerate(ranges):
        assert np.abs(pixels[..., band] - stretched(values[band], low, high)).max() <= 0.5 + ROUNDING


def test_without_a_range_bytes_and_mask_stay_as_they_are() -> None:
    values = np.random.default_rng(2).integers(0, 256, (3, 20, 30)).astype(np.uint8)
    mask = values[0]
    picture = Style().apply(values, mask)
    assert (picture.pixels == values.transpose(1, 2, 0)).all()
    assert picture.palette is None
    assert picture.mask is not None
    assert (picture.mask == mask).all()


@given(
    st.integers(1, 255),
    st.sampled_from(["uint8", "int8", "uint16", "int16", "int32", "float32"]),
    st.lists(st.integers(-70_000, 70_000) | st.integers(-3, 300), min_size=1, max_size=50),
    st.booleans(),
)
def test_a_palette_shows_its_entries_and_nothing_beyond_them(
    entries: int, dtype: str, numbers: list[int], masked: bool
) -> None:
    palette = tuple((entry, 255 - entry, entry // 2, 255 - entry % 2) for entry in range(entries))
    values = np.array(numbers, np.int64).astype(dtype).reshape(1, 1, -1)
    mask = np.where(np.arange(values.size) % 3 == 0, 0, 255).astype(np.uint8).reshape(1, -1) if masked else None
    wanted = np.zeros((1, values.size, 4), np.uint8)
    for at, value in enumerate(values[0, 0].tolist()):
        if 0 <= value < entries and (mask is None or mask[0, at]):
            wanted[0, at] = palette[int(value)]
    assert (visible(Style(palette=palette).apply(values, mask)) == wanted).all()


@pytest.mark.parametrize(("dtype", "beyond"), [("uint16", 256), ("int16", -1), ("int8", -1), ("int32", 1 << 20)])
def test_a_full_palette_shows_nothing_beyond_it_either(dtype: str, beyond: int) -> None:
    palette = tuple((entry, 0, 0, 255) for entry in range(256))
    picture = Style(palette=palette).apply(np.array([[[7, beyond, 0]]], dtype), None)
    assert visible(picture).tolist() == [[[7, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 255]]]


def test_a_range_wider_than_a_float_holds_is_stretched_all_the_same() -> None:
    values = np.array([[[-3e38, 1.5e38, 3e38]]], np.float32)
    assert Style(((-3e38, 3e38),)).apply(values, None).pixels[0, :, 0].tolist() == [0, 191, 255]


@pytest.mark.parametrize("ends", [(5, 5), (6, 5), (0.0, -0.5), (float("nan"), 1), (0, float("nan"))])
def test_a_range_must_rise(ends: tuple[float, float]) -> None:
    with pytest.raises(BadOption, match="first value must be below the second"):
        Style(rescale=((0, 1), ends))


@pytest.mark.parametrize("ends", [(0, float("inf")), (float("-inf"), 0)])
def test_a_range_must_be_finite(ends: tuple[float, float]) -> None:
    with pytest.raises(BadOption):
        Style(rescale=(ends,))


def test_a_palette_is_not_stretched() -> None:
    with pytest.raises(BadOption, match="drop --rescale"):
        Style(rescale=((0, 1),), palette=((0, 0, 0, 255),))


@given(pictures(), st.data())
def test_a_cut_is_that_square(picture: Picture, data: st.DataObject) -> None:
    height, width = picture.pixels.shape[:2]
    size = data.draw(st.integers(1, min(height, width)))
    row, column = data.draw(st.integers(0, height - size)), data.draw(st.integers(0, width - size))
    square = (slice(row, row + size), slice(column, column + size))
    part = picture.cut(row, column, size)
    assert part.pixels.shape == (size, size, picture.pixels.shape[-1])
    assert (part.pixels == picture.pixels[square]).all()
    assert (visible(part) == visible(picture)[square]).all()


PLAIN = ((0, 0, 0, 255),)
MANY = PLAIN * 256
STOPS = ((0.0, 0, 0, 0, 255), (9.0, 255, 0, 0, 255))
TOGETHER: dict[str, dict[str, Any]] = {
    "palette and a map": {"palette": PLAIN, "rescale": ((0, 9),), "colours": MANY},
    "palette and stops": {"palette": PLAIN, "stops": STOPS},
    "palette and shade": {"palette": PLAIN, "terrain": "hillshade"},
    "stops and a range": {"stops": STOPS, "rescale": ((0, 9),)},
    "heights and a range": {"terrain": "terrarium", "rescale": ((0, 9),)},
    "heights and a map": {"terrain": "terrain-rgb", "rescale": ((0, 9),), "colours": MANY},
    "heights and stops": {"terrain": "terrain-rgb", "stops": STOPS},
    "a map without a range": {"colours": MANY},
    "a map of three bands": {"colours": MANY, "rescale": ((0, 9),) * 3},
    "a map of too few": {"colours": PLAIN, "rescale": ((0, 9),)},
}


@pytest.mark.parametrize("case", TOGETHER)
def test_what_does_not_go_together_is_refused(case: str) -> None:
    with pytest.raises(BadOption):
        Style(**TOGETHER[case])


@given(whole() | real())
def test_a_map_colours_the_steps_of_the_stretch(case: tuple[Values, float, float]) -> None:
    values, low, high = case
    colours = tuple((step, 255 - step, step // 2, 255) for step in range(256))
    seen = visible(Style(((low, high),), colours=colours).apply(values, None))
    assert np.array_equal(seen, np.array(colours)[shown(values, low, high).astype(int)])


def test_only_encoded_heights_have_a_colour_for_nothing() -> None:
    found = {terrain: Style(terrain=terrain).ground for terrain in ("", *TERRAINS)}
    heights = {"terrain-rgb": (1, 134, 160), "terrarium": (128, 0, 0)}  # 100000 tenths and 32768 metres above the first
    assert found == {**dict.fromkeys(found), **heights}


@given(pictures().filter(lambda picture: picture.palette is None))
def test_a_solid_picture_hides_nothing_unless_it_is_all_hidden(picture: Picture) -> None:
    solid, whole = Picture(picture.pixels, picture.mask, solid=True), Picture(picture.pixels)
    if encode(picture, "png") is None:
        assert encode(solid, "png") is None
    else:
        assert encode(solid, "png") == encode(whole, "png")
