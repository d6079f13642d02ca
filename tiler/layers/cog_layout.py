"""The place of a layer's COG on the XYZ grid, and the size of its header."""

from __future__ import annotations

from dataclasses import asdict, dataclass

DIRECTORY = 2048  # bytes of an image directory of a COG with its colour table, without its block lists


@dataclass(frozen=True, slots=True)
class CogLayout:
    """The place of a layer's baked COG on the XYZ grid.

    Its base is `columns` x `rows` tiles of zoom `z` from tile (x, y); `levels` counts the base and its overviews, each
    one zoom lower. Columns past 2**z lie beyond the antimeridian. Blocks of the first `finished` levels are tiles in
    the layer's format; those of the others are lossless.
    """

    z: int
    x: int
    y: int
    columns: int
    rows: int
    levels: int
    opaque: bool  # no pixel is transparent, so the COG has no mask
    finished: int = 0

    def to_json(self) -> dict[str, int]:
        """The fields in JSON, without `finished` if there are none: earlier versions do not know it."""
        return {name: value for name, value in asdict(self).items() if value or name != "finished"}

    @property
    def head(self) -> int:
        """Size in bytes of the COG's header with all directories, slightly overestimated.

        Each block takes 8 bytes for its offset and 4 for its size, and the same again for its mask.
        """
        sides = [[-(-side >> level) for side in (self.columns, self.rows)] for level in range(self.levels)]
        images = 1 if self.opaque else 2
        return images * sum(DIRECTORY + 12 * columns * rows for columns, rows in sides)
