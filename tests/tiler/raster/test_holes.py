"""Pixels beside holes are means of the visible pixels around them; all others stay."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiler.raster.holes import replace, to_pick


@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["uint8", "int16", "float32"]))
def test_only_pixels_whose_kernel_is_cut_become_the_mean_of_visible_ones(seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(6, 20, 2))
    mask = np.where(rng.random((height, width)) < 0.1, 0, 255).astype(np.uint8)
    values = np.where(mask > 0, rng.integers(1, 200, (2, height, width)), 0).astype(dtype)
    xs, ys = (rng.uniform(0, side, 40) for side in (width, height))
    made = np.full((2, 8, 5), 222, dtype)
    replace(made, tuple(np.indices((8, 5)).reshape(2, -1)), values, mask, (xs, ys))
    _, beside = to_pick(mask)
    for x, y, got in zip(xs, ys, made.reshape(2, -1).T, strict=True):
        if not mask[int(y), int(x)]:
            continue  # transparent, whatever its values
        left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
        taken = [
            (row, column)
            for row in range(max(top - 1, 0), min(top + 3, height))
            for column in range(max(left - 1, 0), min(left + 3, width))
        ]
        if all(mask[each] for each in taken):
            # beyond the raster's sides the kernel is taken to reach one pixel further in
            assert min(top, left) < 0 or (got == 222).all()
            continue
        assert beside[int(y), int(x)], "near a hole"
        weights = {
            (row, column): (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row)) * (mask[row, column] > 0)
            for row, column in taken
            if row in (top, top + 1) and column in (left, left + 1)
        }
        mean = sum(weight * values[:, *each].astype(np.float64) for each, weight in weights.items())
        assert np.abs(got - mean / sum(weights.values())).max() <= (0.501 if dtype != "float32" else 1e-3)
