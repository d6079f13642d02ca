"""The place of a layer's COG on the XYZ grid, and the size of its header."""

from __future__ import annotations

from dataclasses import dataclass

DIRECTORY = 2048  # bytes that an image directory of a COG takes, its colour table too, without its lists of blocks


@dataclass(frozen=True, slots=True)
class CogLayout:
    """Where a layer's baked COG lies on the XYZ grid.

    Its base is `columns` x `rows` tiles of zoom `z` from tile (x, y); `levels` counts the base and its
    overviews, each one zoom lower. Columns past 2**z lie beyond the antimeridian.
    """

    z: int
    x: int
    y: int
    columns: int
    rows: int
    levels: int
    opaque: bool  # no pixel inside is transparent, so there is no mask to read

    @property
    def head(self) -> int:
        """Bytes at the beginning of the COG that hold all its directories, and hardly more.

        Each block takes 8 bytes for its offset and 4 for its size, once more for its mask.
        """
        sides = [[-(-side >> level) for side in (self.columns, self.rows)] for level in range(self.levels)]
        images = 1 if self.opaque else 2
        return images * sum(DIRECTORY + 12 * columns * rows for columns, rows in sides)
