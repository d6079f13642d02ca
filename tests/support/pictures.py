"""Pictures of every kind, and their visible pixels."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from hypothesis import strategies as st

from tiler.image.style import Picture, Pixels

Kind = Literal["grey", "rgb", "palette"]
Cover = Literal["opaque", "binary", "graded", "hidden"]

SIZES = st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17, 31, 64, 255, 256, 257, 300])
COLOURS = st.sampled_from([1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 4000])


def visible(picture: Picture) -> Pixels:
    """The visible pixels of a picture: `(height, width, 4)` RGBA, all zero where transparent."""
    if picture.palette is not None:
        seen = picture.palette[picture.pixels[..., 0]].copy()
    else:
        channels = picture.pixels.shape[-1]
        seen = np.full((*picture.pixels.shape[:2], 4), 255, np.uint8)
        seen[..., :3] = picture.pixels if channels == 3 else np.repeat(picture.pixels, 3, axis=-1)
    if picture.mask is not None:
        seen[..., 3] = np.minimum(seen[..., 3], picture.mask)
    seen[seen[..., 3] == 0] = 0
    return seen


def table(colours: int, seed: int, *, clear: bool = False) -> Pixels:
    """A palette with distinct first `colours` entries, some of them transparent or translucent with `clear`."""
    random = np.random.default_rng(seed)
    out = np.zeros((256, 4), np.uint8)
    numbers = random.choice(1 << 24, colours, replace=False)
    out[:colours, :3] = numbers[:, np.newaxis] >> np.array([0, 8, 16]) & 255
    out[:colours, 3] = random.choice([0, 128, 255], colours) if clear else 255
    return out


def painted(kind: Kind, shape: tuple[int, int], colours: int, cover: Cover, seed: int) -> Picture:
    """A picture of random pixels with a number of colours, each used at least once if possible."""
    random = np.random.default_rng(seed)
    most = colours if kind == "rgb" else min(colours, 256)
    order = random.permutation(shape[0] * shape[1])
    indexes = (order % most).reshape(shape)
    masks: dict[Cover, Pixels | None] = {
        "opaque": None,
        "binary": random.choice([0, 255], shape).astype(np.uint8),
        "graded": random.choice([0, 1, 100, 255], shape).astype(np.uint8),
        "hidden": np.zeros(shape, np.uint8),
    }
    if kind == "grey":
        levels = np.sort(random.choice(256, most, replace=False))
        return Picture(levels[indexes][..., np.newaxis].astype(np.uint8), masks[cover])
    if kind == "palette":
        return Picture(indexes[..., np.newaxis].astype(np.uint8), masks[cover], table(most, seed, clear=seed % 2 > 0))
    numbers = random.choice(1 << 24, most, replace=False)[indexes]
    return Picture((numbers[..., np.newaxis] >> np.array([0, 8, 16]) & 255).astype(np.uint8), masks[cover])


def pictures() -> st.SearchStrategy[Picture]:
    """Grey, RGB and palette pictures of any size, number of colours and transparency."""
    kinds, covers = st.sampled_from(get_args(Kind)), st.sampled_from(get_args(Cover))
    return st.builds(painted, kinds, st.tuples(SIZES, SIZES), COLOURS, covers, st.integers(0, 1 << 32))
