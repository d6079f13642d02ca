"""Bytes, encode time and quality of PNG, WebP and JPEG: `python bench/formats.py [--tiny] [--docs] [RASTER[=STYLE]..]`.

Ingests each raster into a throwaway folder and encodes tiles of its three deepest zooms in each format. Without a
RASTER it takes the demo's relief. STYLE is one of `seeder ingest --style`. Prints Markdown; --docs also writes it into
docs/guides/which-format.md.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from by_raster import add_rasters, print_table
from mercantile import Tile
from tiny import arguments, parser_for, sized

import seeder
from tiler.choices import CHOICES, Choice
from tiler.image.encode import decode, encode
from tiler.image.style import ENCODINGS, Picture
from tiler.raster.options import LOSSLESS, file_format

TILES = sized(200, 4)  # of a raster, evenly over its tiles
ZOOMS = sized(3, 1)  # the deepest
RUNS = sized(5, 1)  # of the encoder, of which the fastest counts
HEAD = "| raster | format | KB per tile | of PNG | ms per tile | PSNR, dB |\n| --- | --- | ---: | ---: | ---: | ---: |"


@dataclass
class Figures:
    """Sums over all tiles of a raster in one format."""

    bytes: int = 0
    seconds: float = 0.0  # of CPU
    squares: float = 0.0  # squared errors of opaque pixels, against PNG
    values: int = 0

    @property
    def psnr(self) -> str:
        """The peak signal-to-noise ratio, in dB."""
        return f"{10 * math.log10(255**2 * self.values / self.squares):.1f}" if self.squares else "exact"


def pictures(source: str, folder: Path) -> list[Picture]:
    """Tiles of a raster, as PNG shows them."""
    path, _, style = source.partition("=")
    options = {"style": style} if style else {}
    layer = seeder.open(folder).ingest(path, "raster", jobs=1, format="png", **options)  # type: ignore[arg-type]
    zooms = range(max(layer.minzoom, layer.maxzoom - ZOOMS + 1), layer.maxzoom + 1)
    chosen: list[Tile] = list(layer.select(zooms=zooms))
    places = np.unique(np.linspace(0, len(chosen) - 1, TILES).round().astype(int))
    found = [layer.tile(each.z, each.x, each.y) for each in (chosen[place] for place in places)]
    decoded = [decode(data)[1] for data in found if data]
    solid = style in ENCODINGS
    return [Picture(np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy(), solid=solid) for pixels in decoded]


def measured(shown: list[Picture], form: Choice) -> Figures:
    """The figures of one format."""
    sums = Figures()
    for picture in shown:
        seconds = []
        for _ in range(RUNS):
            start = time.process_time()
            data = encode(picture, file_format(form), lossless=form in LOSSLESS)
            seconds.append(time.process_time() - start)
        assert data
        assert picture.mask is not None
        opaque = picture.mask == 255
        errors = decode(data)[1][opaque][:, :3].astype(float) - picture.pixels[opaque]
        sums.bytes += len(data)
        sums.seconds += min(seconds)
        sums.squares += float((errors**2).sum())
        sums.values += errors.size
    return sums


def rows(source: str) -> list[str]:
    """The rows of the table for a raster."""
    with tempfile.TemporaryDirectory() as folder:
        shown = pictures(source, Path(folder))
    name = Path(source).name.replace(".tif", "").replace("=", ", ")
    found = {form: measured(shown, form) for form in CHOICES if form != "auto"}
    return [
        f"| {name} | {form} | {each.bytes / len(shown) / 1000:.1f} | {each.bytes / found['png'].bytes:.0%} "
        f"| {1000 * each.seconds / len(shown):.2f} | {each.psnr} |"
        for form, each in found.items()
    ]


def main() -> None:
    """Print the table."""
    parser = parser_for(__doc__)
    add_rasters(parser, "RASTER[=STYLE]", "rasters")
    print_table(arguments(parser), "formats", HEAD, rows)


if __name__ == "__main__":
    main()
