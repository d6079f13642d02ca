"""An overview is the level below at half the size, without seams and without masked pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.baked import read_zoom, window_at
from tests.support.effort import examples
from tests.support.layers import MakeLayer
from tests.support.parts import pyramid_of
from tests.support.rasters import MakeRaster, scene
from tiler.grid import TILE, Window, grown
from tiler.image.half import REACH
from tiler.image.style import Pixels, Values
from tiler.ingest import overviews
from tiler.ingest.overviews import halved
from tiler.layers.pyramid import SERVED
from tiler.raster.options import Halving
from tiler.storage.store import Stores

WAYS: list[Halving] = ["cubic", "average", "nearest", "mode"]
DTYPES = ["uint8", "int8", "uint16", "int16", "float32", "float64"]
seeds = st.integers(0, 2**32 - 1)


def noise(dtype: str, shape: tuple[int, int, int] = (2, 40, 56), seed: int = 3) -> Values:
    """Values in the middle of the dtype's range, so that no kernel leaves it."""
    kind = np.dtype(dtype)
    low, high = (-1000.0, 3000.0) if kind.kind == "f" else (np.iinfo(kind).min * 0.4, np.iinfo(kind).max * 0.7)
    return np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)


def cubic_weights() -> npt.NDArray[np.float64]:
    """Keys' cubic kernel with a = -0.5, stretched to twice its width: the weights of eight pixels."""
    away = np.abs(np.arange(8) - 3.5) / 2
    near = 1.5 * away**3 - 2.5 * away**2 + 1
    far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
    weights = np.where(away < 1, near, far)
    return np.asarray(weights / weights.sum())


def slow_cubic(band: Values) -> npt.NDArray[np.float64]:
    """The halving of one band by plain sums; without the REACH outermost pixels' results, which lack neighbours."""
    weights = cubic_weights()
    rows, columns = band.shape[0] // 2, band.shape[1] // 2
    out = np.full((rows, columns), np.nan)
    for row in range(2, rows - 2):
        for column in range(2, columns - 2):
            around = band[2 * row - 3 : 2 * row + 5, 2 * column - 3 : 2 * column + 5].astype(np.float64)
            out[row, column] = weights @ around @ weights
    return out


@pytest.mark.parametrize("dtype", DTYPES)
def test_cubic_is_the_stretched_kernel(dtype: str) -> None:
    values = noise(dtype)
    half, mask = halved((values, None), "cubic")
    assert mask is None
    assert half.dtype == values.dtype
    for band, out in zip(values, half, strict=True):
        wanted = slow_cubic(band)
        known = np.isfinite(wanted)
        assert known.any()
        error = np.abs(out[known].astype(np.float64) - wanted[known]).max()
        assert error <= (0.51 if values.dtype.kind in "ui" else 0.01)


@pytest.mark.parametrize("dtype", [*DTYPES, "int32", "uint32"])
def test_average_is_the_mean_of_four(dtype: str) -> None:
    values = noise(dtype)
    half, _ = halved((values, None), "average")
    wanted = values.astype(np.float64).reshape(2, 20, 2, 28, 2).mean(axis=(2, 4))
    assert np.abs(half - wanted).max() <= (0.5 if values.dtype.kind in "ui" else 0.01)


@given(seed=seeds, how=st.sampled_from(WAYS), dtype=st.sampled_from(DTYPES))
def test_one_colour_stays_that_colour_under_any_mask(seed: int, how: Halving, dtype: str) -> None:
    mask = np.random.default_rng(seed).choice(np.array([0, 80, 255], np.uint8), (16, 20))
    values = np.where(mask > 0, noise(dtype, (1, 1, 1), seed)[0, 0, 0], 0)[np.newaxis].astype(dtype)
    half, cover = halved((values, mask), how)
    assert cover is not None
    shown = cover > 0
    assert (
        np.abs(half[0][shown].astype(np.float64) - float(values.flat[np.abs(values.astype(float)).argmax()])).max(
            initial=0
        )
        <= 1
    )


@given(
    seed=seeds,
    how=st.sampled_from(["cubic", "average"]),
    dtype=st.sampled_from(["float32", "float64"]),
    masked=st.booleans(),
)
def test_the_largest_floats_are_halved_like_small_ones(seed: int, how: Halving, dtype: str, masked: bool) -> None:
    """A fill value that no metadata declares stays finite, as do the sums of such values."""
    rng, top = np.random.default_rng(seed), np.finfo(dtype).maxexp
    small = rng.uniform(-1, 1, (2, 32, 40)).astype(dtype)
    small[:, 8:20, 8:20] = 1
    mask = rng.choice(np.array([0, 90, 255, 255, 255], np.uint8), (32, 40)) if masked else None
    exponent = top - (4 if masked else 1)  # means of 1 are less than 2, or 8 under a mask, because of negative weights
    (half, cover), (huge, same) = halved((small, mask), how), halved((np.ldexp(small, exponent), mask), how)
    assert (cover is None and same is None) or np.array_equal(cover, same)
    assert np.isfinite(huge).all()
    assert np.array_equal(huge, np.ldexp(half, exponent))


@given(seed=seeds, how=st.sampled_from(["cubic", "average"]))
def test_what_the_mask_hides_leaves_no_trace(seed: int, how: Halving) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 255], np.uint8), (16, 20))
    values, other = noise("uint8", (3, 16, 20), seed), noise("uint8", (3, 16, 20), seed + 1)
    other[:, mask > 0] = values[:, mask > 0]
    (one, cover), (two, same) = halved((values, mask), how), halved((other, mask), how)
    assert cover is not None
    assert same is not None
    assert np.array_equal(cover, same)
    assert np.array_equal(one[:, cover > 0], two[:, cover > 0])


@given(seed=seeds, how=st.sampled_from(WAYS), dtype=st.sampled_from(DTYPES), masked=st.booleans())
def test_a_part_with_its_neighbours_is_halved_as_in_the_whole(
    seed: int, how: Halving, dtype: str, masked: bool
) -> None:
    reach = REACH + 1  # even
    values = noise(dtype, (1, 32, 48), seed)
    mask: Pixels | None = None
    if masked:
        mask = np.random.default_rng(seed).choice(np.array([0, 255, 255], np.uint8), (32, 48))
    whole, cover = halved((values, mask), how)
    part = (slice(8 - reach, 24 + reach), slice(16 - reach, 32 + reach))
    piece, piece_cover = halved((values[:, *part], None if mask is None else mask[part]), how)
    inner = slice(reach // 2, -reach // 2)
    assert np.array_equal(piece[:, inner, inner], whole[:, 4:12, 8:16])
    if cover is not None and piece_cover is not None:
        assert np.array_equal(piece_cover[inner, inner], cover[4:12, 8:16])


@pytest.mark.parametrize("masked", [False, True])
def test_chunks_leave_no_seam_in_any_overview(
    masked: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = scene(300, 1700)
    mask = None
    if masked:
        mask = np.full(values.shape[1:], 255, np.uint8)
        mask[60:180, 200:1500:7] = 0
    layer = make_layer(make_raster(values=values, bounds=(0.0, 0.0, 4.0, 0.7), mask=mask))
    base = pyramid_of(layer).z
    whole = window_at(layer, base)
    assert max(whole.width, whole.height) > 8 * TILE, "one chunk has no seams"
    assert base > SERVED, "the second tier is not reached"
    for z in range(base - 1, -1, -1):
        window = grown(window_at(layer, z), 16)
        finer = Window(z + 1, 2 * window.x, 2 * window.y, 2 * window.width, 2 * window.height)
        values, shown = read_zoom(layer, stores, z, window)
        made, cover = halved(read_zoom(layer, stores, z + 1, finer), "cubic")
        edge = (slice(3, -3), slice(3, -3))  # the window's own sides have no neighbours
        assert cover is not None
        assert np.array_equal(shown[edge], cover[edge]), z
        seen = cover[edge] > 0
        assert seen.any()
        differ = values[:, *edge][:, seen].astype(int) - made[:, *edge][:, seen]
        assert np.abs(differ).max(initial=0) <= 1, z


def often(four: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The most frequent value; the first of equally frequent ones."""
    return max(four, key=lambda one: (four.count(one), -four.index(one)))


@given(seed=seeds, bands=st.sampled_from([1, 3]), colours=st.integers(1, 4))
def test_mode_is_the_most_frequent_of_four_and_the_first_where_there_are_two(
    seed: int, bands: int, colours: int
) -> None:
    values = np.random.default_rng(seed).integers(0, colours, (bands, 12, 16), dtype=np.uint8)
    half, _ = halved((values, None), "mode")
    for row in range(6):
        for column in range(8):
            around = values[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(bands, 4)
            assert tuple(half[:, row, column].tolist()) == often([tuple(each) for each in around.T.tolist()])


@given(seed=seeds, how=st.sampled_from(WAYS), dtype=st.sampled_from(["uint8", "uint16", "float32"]))
@settings(max_examples=examples(30))
def test_an_area_is_halved_alike_in_patches_and_in_one(seed: int, how: Halving, dtype: str) -> None:
    """Masks that touch patches, their edges or margins, or hide whole patches."""
    rng = np.random.default_rng(seed)
    height, width = (2 * int(side) for side in rng.integers(40, 110, 2))
    mask = np.full((height, width), 255, np.uint8)
    for _ in range(rng.integers(1, 5)):
        row, column = int(rng.integers(0, height)), int(rng.integers(0, width))
        tall, wide = (int(side) for side in rng.choice([1, 2, 5, 80, 160], 2))
        mask[row : row + tall, column : column + wide] = rng.choice([0, 0, 90])
    values = np.where(mask > 0, noise(dtype, (1, height, width), seed), 0).astype(dtype)
    half, cover = halved((values, mask), how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overviews, "PATCH", 1 << 20)
        whole, whole_cover = halved((values, mask), how)
    assert cover is not None
    assert whole_cover is not None
    assert np.array_equal(cover, whole_cover)
    assert np.array_equal(half, whole)
    assert (half[:, cover == 0] == 0).all()


@given(seed=seeds, how=st.sampled_from(WAYS), dtype=st.sampled_from(DTYPES))
@settings(max_examples=examples(30))
def test_pixels_of_opaque_neighbours_are_the_same_under_a_mask_and_without(seed: int, how: Halving, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    mask = np.full((32, 40), 255, np.uint8)
    for row, column in zip(rng.integers(0, 32, 2), rng.integers(0, 40, 2), strict=True):
        mask[row : row + rng.integers(1, 9), column : column + rng.integers(1, 9)] = rng.choice([0, 90, 254])
    values = np.where(mask > 0, noise(dtype, (2, 32, 40), seed), 0).astype(dtype)
    half, _ = halved((values, mask), how)
    plain, _ = halved((values, None), how)
    opaque = np.isfinite(slow_cubic(np.where(mask == 255, 1.0, np.nan)))
    assert np.array_equal(half[:, opaque], plain[:, opaque])
