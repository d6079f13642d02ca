"""The command `info`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.common import jobs_option, json_option
from seeder.cli.grouping import WORDS, command, complete_file, option
from seeder.cli.messages import count_of_tiles, duration, guarded, say
from seeder.cli.progress import TerminalReport
from seeder.cli.raster_options import raster_options
from seeder.cli.scenes import MakeSources, scene_options
from tiler.errors import BadOption
from tiler.grid import format_zooms

if TYPE_CHECKING:
    from seeder.operations.info import RasterInfo
    from tiler.image.style import Pixels

OWN = ("--picture", "--jobs")  # options of this command with a value, which `ingest` does not take over
FLAGS = ("--json", "-q", "--quiet", "-v", "-vv", "--verbose")


@command("info")
@click.argument("source", nargs=-1, required=True, shell_complete=complete_file)
@option("--picture", group="Output", metavar="FILE.png", help="Write a small picture to a file.")
@raster_options
@scene_options
@jobs_option
@json_option
@guarded
def info(
    source: tuple[str, ...],
    picture: str | None,
    changes: dict[str, Any],
    make_sources: MakeSources,
    jobs: int,
    as_json: bool,
) -> None:
    """Describe a raster and its oddities before an ingest.

    SOURCE and the options are those of `ingest`; several rasters are the scenes of one layer. Only headers and a sample
    are read. Oddities come with the options that cure them, and the last line is the command to ingest the raster. A
    terminal with 24-bit colours also shows a small picture.

    \b
    Examples:
      seeder info ortho.tif
      seeder info flight-may/ --picture may.png
      seeder info s3://my-rasters/dem.tif --style hillshade --json
    """
    from seeder.operations.info import describe
    from tiler.raster.options import Options

    if picture and not picture.lower().endswith(".png"):
        raise BadOption(f"--picture {picture}: the picture is a PNG: name a file that ends in .png")
    if picture and not Path(picture).absolute().parent.is_dir():
        raise BadOption(f"--picture {picture}: {Path(picture).parent} is not a folder: create it first")
    found = describe(make_sources(source, _nothing), Options(**changes), TerminalReport(), jobs=jobs)
    line = _command(source, found)
    if picture:
        _write(found.picture(), Path(picture))
    if as_json:
        click.echo(json.dumps({**found.to_json(), "command": line}))
        return
    _show(found)
    for text in _facts(found):
        say(text)
    for each in found.oddities:
        say(f"- {each}")
    click.echo(line)


def _nothing() -> Any:
    raise BadOption("--upload has no effect here: leave it out")


def _write(picture: Pixels, file: Path) -> None:
    from tiler.image.encode import encode
    from tiler.image.style import Picture

    file.write_bytes(encode(Picture(picture[..., :3].copy(), picture[..., 3].copy()), "png") or b"")


def _show(found: RasterInfo) -> None:
    """Print the picture, if the terminal can show it."""
    from seeder.cli.picture import can_show, half_blocks, size

    if can_show():
        for line in half_blocks(found.picture(), *size()):
            click.echo(line, color=True)


def _facts(found: RasterInfo) -> Iterator[str]:
    survey, scene, reading, dataset = found.seen.survey, found.scene, found.scene.reading, found.seen.dataset
    number = len(found.seen.scenes)
    yield f"{scene.address if number == 1 else f'{number:,} scenes'}: {found.kind}, {found.driver}"
    of_first = "" if number == 1 else " (the lowest scene)"
    yield f"CRS {found.crs}{of_first}"
    metres = f"{scene.resolution:{',.0f' if scene.resolution >= 100 else '.3g'}}"
    yield f"size {scene.size[0]:,} x {scene.size[1]:,} pixels of {metres} Mercator metres{of_first}"
    yield f"bounds {survey.bounds.rounded}"
    shown = ",".join(map(str, reading.bands))
    yield f"bands {shown} of {dataset.count}, {dataset.dtypes[reading.bands[0] - 1]}; invalid pixels: {found.mask}"
    yield f"format {found.format}: {found.why}"
    parts = f"{found.work.parts:,} part{'' if found.work.parts == 1 else 's'}"
    yield f"bake: {parts}, about {found.bake.bytes / 1e6:,.0f} MB and {duration(found.bake.seconds)}"
    zooms = format_zooms(tuple(found.zooms))
    seconds = duration(found.render_seconds)
    yield f"zooms {zooms}: at most {count_of_tiles(sum(found.zooms.values()))}, about {seconds} to render"
    yield "tiles by zoom: " + ", ".join(f"{z}: {tiles:,}" for z, tiles in found.zooms.items())


def _command(source: tuple[str, ...], found: RasterInfo) -> str:
    """The command that ingests the raster as it was described, with the options that were typed."""
    words, kept = list(click.get_current_context().meta.get(WORDS, source)), []
    while words:
        word = words.pop(0)
        name = word.partition("=")[0]
        if name in OWN:
            if name == word and words:
                words.pop(0)
        elif word not in FLAGS:
            kept.append(word)
    if not found.seen.alone:
        kept += ["--layer", _name(source)]
    return shlex.join(["seeder", "ingest", *kept])


def _name(source: tuple[str, ...]) -> str:
    from seeder.operations.scenes import name_from
    from tiler.errors import BadInput

    try:
        return name_from(source)
    except BadInput:
        return "NAME"
