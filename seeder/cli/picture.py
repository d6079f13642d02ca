"""A picture in a terminal: two pixels in each character, by half blocks in 24-bit colours."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seeder.cli.common import variable

if TYPE_CHECKING:
    from tiler.image.style import Pixels

COLUMNS, LINES = 64, 20  # most characters of a picture
UPPER, LOWER = "▀", "▄"  # half blocks
TRUE_COLOUR = ("truecolor", "24bit")


def can_show() -> bool:
    """Whether stdout is a terminal that shows 24-bit colours, and the user wants colours (`NO_COLOR`)."""
    encoded = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    colours = variable("COLORTERM").lower() in TRUE_COLOUR or variable("TERM").endswith(("-direct", "-truecolor"))
    return sys.stdout.isatty() and encoded and colours and not variable("NO_COLOR")


def half_blocks(picture: Pixels, columns: int, lines: int) -> Iterator[str]:
    """The lines of a picture, `(height, width, 4)` RGBA; transparent pixels keep the terminal's own colour."""
    from tiler.ingest.glance import resized

    height, width = picture.shape[:2]
    scale = min(columns / width, 2 * lines / height)
    small = resized(picture, max(2, 2 * round(height * scale / 2)), max(1, round(width * scale)))
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        yield "".join(_half(*pair) for pair in zip(upper, lower, strict=True)) + "\x1b[0m"


def _half(upper: list[int], lower: list[int]) -> str:
    above, below = upper[3] > 127, lower[3] > 127
    if above and below:
        return f"\x1b[38;2;{_rgb(upper)};48;2;{_rgb(lower)}m{UPPER}"
    if above or below:
        return f"\x1b[0;38;2;{_rgb(upper if above else lower)}m{UPPER if above else LOWER}"
    return "\x1b[0m "


def _rgb(pixel: list[int]) -> str:
    return ";".join(map(str, pixel[:3]))


def size() -> tuple[int, int]:
    """The columns and lines for a picture in this terminal."""
    terminal = shutil.get_terminal_size()
    return min(COLUMNS, terminal.columns - 2), min(LINES, terminal.lines // 2)
