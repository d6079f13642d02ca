"""The options that say which tiles a command acts on, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TextIO, cast

import click

from seeder.console import parsed
from seeder.selection import Selection
from seeder.tilelist import TileList
from tiler.catalog import Layer
from tiler.grid import Bounds, parse_zooms
from tiler.keys import FORMATS, Format, Scale
from tiler.render import Look

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say, before the layer is known."""

    zooms: tuple[int, ...] | None
    boxes: tuple[Bounds, ...]
    tiles: TileList | None
    scale: Scale = 1
    format: Format | None = None

    @property
    def nothing(self) -> bool:
        """Whether a list was given that names no tile."""
        return self.tiles is not None and not self.tiles

    def selection(self, layer: Layer) -> Selection:
        """The tiles of `layer` that are meant. Without `--zooms` a list may name zooms that the layer lacks."""
        own = tuple(range(layer.minzoom, layer.maxzoom + 1))
        if self.tiles is None:
            return Selection(self.zooms or own, self.boxes)
        zooms = self.zooms or tuple(z for z in own if z in self.tiles.codes)
        return Selection(zooms, self.boxes, self.tiles)

    def look(self, layer: Layer) -> Look:
        """How the tiles of `layer` look.

        Raises:
            BadOption: the layer cannot be had in that format.
        """
        return Look(self.scale, layer.check_format(self.format or layer.format))


def places(command: Command) -> Command:
    """Options `--zooms`, `--bbox` and `--tiles`; the command gets `asked` in their place."""

    @click.option(
        "--zooms",
        metavar="Z",
        callback=parsed(parse_zooms),
        help="7, 5-14 or 0-3,7,9-11.  [default: all of the layer's]",
    )
    @click.option(
        "--bbox",
        metavar="W,S,E,N",
        multiple=True,
        callback=parsed(Bounds.parse),
        help="Only tiles that touch this box, in degrees; repeatable. West > east crosses the antimeridian.",
    )
    @click.option(
        "--tiles",
        "listed",
        metavar="FILE|-",
        type=click.File(encoding="utf-8-sig", errors="replace"),
        help="Only the tiles that this file names, z/x/y a line; - is standard input.",
    )
    @wraps(command)
    def place(
        *args: Any, zooms: tuple[int, ...] | None, bbox: tuple[Bounds, ...], listed: TextIO | None, **kwargs: Any
    ) -> None:
        tiles = None if listed is None else TileList.parse(listed, getattr(listed, "name", "-"))
        command(*args, asked=Asked(zooms, bbox, tiles), **kwargs)

    return place


def selectors(command: Command) -> Command:
    """Options of `places`, `--scale` and `--format`; the command gets `asked` in their place."""

    @places
    @click.option(
        "--scale",
        type=click.Choice(["1", "2"]),
        default="1",
        show_default=True,
        help="2 means @2x tiles of 512 pixels.",
    )
    @click.option("--format", "form", type=click.Choice(FORMATS), help="Format of the tiles.  [default: the layer's]")
    @wraps(command)
    def select(*args: Any, asked: Asked, scale: str, form: Format | None, **kwargs: Any) -> None:
        command(*args, asked=replace(asked, scale=cast(Scale, int(scale)), format=form), **kwargs)

    return select


def check_listed(asked: Asked, found: int) -> None:
    """Say how many tiles of a list are left out."""
    if asked.tiles is not None and found != len(asked.tiles):
        left = len(asked.tiles) - found
        click.echo(f"{left:,} of {len(asked.tiles):,} listed tiles are not among the layer's, and left out", err=True)
