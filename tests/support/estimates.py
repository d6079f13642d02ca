"""Questions for estimates, and blocks with given sizes and times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seeder.jobs import estimate as estimation
from seeder.jobs.estimate import Estimate, Question, estimate
from seeder.jobs.prices import Prices
from seeder.select.blocks import BlockMask
from seeder.select.selection import Selection
from tiler.image.style import Values
from tiler.layers.catalog import Layer
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant
from tiler.settings import Settings

NOWHERE = Settings("memory://estimate-tiles", "memory://estimate-sources")
EVERY = Selection(tuple(range(10)))  # zoom of alps
Weigh = Callable[[BlockMask], Outcome]


def question(layer: Layer, selection: Selection = EVERY, **changes: Any) -> Question:
    base = Question(layer, selection, TileVariant(), force=False, queued=False, workers=1, prices=Prices())
    return replace(base, **changes)


def answer(about: Question, settings: Settings = NOWHERE, *, jobs: int = 1) -> Estimate:
    return estimate(about, settings, jobs=jobs, progress=lambda _: None)


def plain(block_mask: BlockMask) -> Outcome:
    """A block with 1000 bytes and 5 ms for each tile."""
    return Outcome(written=block_mask.tiles, bytes=1000 * len(block_mask), milliseconds=5 * len(block_mask))


def unrendered(patch: pytest.MonkeyPatch, weigh: Weigh = plain) -> list[tuple[int, BlockMask]]:
    """Replace rendering by `weigh`; return a list to which the sample is appended."""
    seen: list[tuple[int, BlockMask]] = []

    def stream(_: object, items: Iterable[tuple[int, BlockMask]], *, jobs: int) -> Iterator[tuple[int, Outcome]]:
        assert jobs
        for z, block_mask in items:
            seen.append((z, block_mask))
            yield z, weigh(block_mask)

    patch.setattr(estimation, "stream", stream)
    return seen


def settings_of(data: Path) -> Settings:
    return Settings.from_env({}, data=str(data))


def rates(seed: int, kind: str, z: int) -> Values:
    """Bytes per tile in each block of zoom `z`: random, smooth along the map like relief, or with heavy outliers."""
    chance, side = np.random.default_rng(seed), max(1, 2**z // 8)
    y, x = np.mgrid[0:side, 0:side] / side
    noise = chance.normal(size=(side, side))
    made = {
        "random": 20_000 + 6000 * noise,
        "smooth": 20_000 + 8000 * np.sin(9 * x + seed) * np.cos(7 * y) + 500 * noise,
        "skewed": 4000 * np.exp(noise),
        "crowded": 20_000 + 0 * noise,  # and the result of `unlike`
    }
    return np.asarray(np.maximum(100, made[kind]))


def unlike(seed: int, kind: str) -> Weigh:
    """Different blocks, some partly empty. In a `crowded` layer, tiles are heavier in fuller blocks."""
    of = cache(partial(rates, seed, kind))

    def weigh(block_mask: BlockMask) -> Outcome:
        row, column = block_mask.block.y // 8, block_mask.block.x // 8
        size = round(
            of(block_mask.block.z)[row, column] * len(block_mask) * (len(block_mask) / 64 if kind == "crowded" else 1)
        )
        lit = [block_mask.block.bit(tile) for tile in block_mask.block.tiles(block_mask.tiles)]
        empty = sum(lit[: len(lit) * ((row + 3 * column) % 5) // 7])
        return Outcome(written=block_mask.tiles & ~empty, empty=empty, bytes=size, milliseconds=size // 1000)

    return cache(weigh)
