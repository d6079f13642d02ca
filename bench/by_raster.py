"""A table of rows for each raster of the command line, which the documentation has, too."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import markers
from layers import demo_source
from tiny import TINY, write_relief

DOCS = Path(__file__).parent.parent / "docs" / "guides" / "which-format.md"


def add_rasters(parser: argparse.ArgumentParser, metavar: str, rasters: str) -> None:
    """Add the rasters, described by `rasters`, and --docs to a command line."""
    parser.add_argument("--docs", action="store_true", help="write the table into docs/guides/which-format.md, too")
    parser.add_argument("sources", nargs="*", metavar=metavar, help=f"{rasters}; else the demo's relief")


def print_table(asked: argparse.Namespace, block: str, head: str, rows: Callable[[str], Iterable[str]]) -> None:
    """Print `head` and the rows of each raster, else of the demo's relief.

    With --docs, also put them into the `block` of which-format.md.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources = asked.sources
        if not sources:
            sources = [str(Path(folder) / "relief.tif")]
            (write_relief if TINY else demo_source.main)(Path(sources[0]))
        lines = [head, *(row for source in sources for row in rows(source))]
    print("\n".join(lines))
    if asked.docs:
        markers.fill(DOCS, block, "\n".join(lines))
