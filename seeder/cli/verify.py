"""The command `verify`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from seeder.cli.common import jobs_option, json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import count_of_tiles, guarded, note, say
from seeder.cli.progress import TerminalReport
from seeder.cli.selection_options import selectors
from seeder.defaults import DEEP_SAMPLE
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.cache.audit import Finding
    from seeder.cache.query import TileQuery
    from seeder.operations.verify import VerifyResult

SHOWN = 20  # unexpected keys in the text output


def _sample(_: click.Context, __: click.Parameter, text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise click.BadParameter("write a number of tiles from 1, or all")
    return int(text)


@command("verify")
@layer_argument
@option("--deep", group="Render", is_flag=True, help="Also decode stored tiles and compare them with a fresh render.")
@option(
    "--sample",
    group="Render",
    metavar="N|all",
    default=str(DEEP_SAMPLE),
    show_default=True,
    callback=_sample,
    help="Number of tiles for --deep.",
)
@jobs_option
@json_option
@guarded
@located
@selectors
def verify(
    layer: str, deep: bool, sample: int | None, jobs: int, query: TileQuery, as_json: bool, settings: Settings
) -> None:
    """Find missing, stale and damaged tiles.

    Compare stored tiles with the selection, and print each tile to seed as z/x/y, for `seed LAYER --tiles -`.
    Tiles recorded as empty are not missing. Exit with code 1 if a tile is missing or wrong.

    \b
    Examples:
      seeder verify alps --zooms 5-14
      seeder verify alps --zooms 5-14 | seed alps --tiles - --force
      seeder verify alps --deep --sample all
    """
    from seeder.operations.verify import VerifyOptions
    from seeder.operations.verify import verify as verify_tiles

    shown: Counter[str] = Counter()
    unexpected: list[str] = []

    def show(finding: Finding) -> None:
        _show(finding, shown, unexpected, as_json=as_json)

    options = VerifyOptions(deep, sample, jobs)
    result = verify_tiles(layer, query, options, settings, TerminalReport(), show)
    say("\n".join([*unexpected, _summary(result)]), err=True)
    for hint in _hints(result):
        note(hint)
    if not result.passed:
        raise click.exceptions.Exit(1)


def _show(finding: Finding, shown: Counter[str], unexpected: list[str], *, as_json: bool) -> None:
    """Print a finding; keep it for the end if it is not a tile to seed."""
    from seeder.cache.audit import TO_SEED

    shown[finding.problem] += 1
    if as_json:
        click.echo(json.dumps(asdict(finding)))
    elif finding.problem in TO_SEED:
        click.echo(finding.tile)
    elif shown[finding.problem] <= SHOWN:
        unexpected.append(f"{finding.problem}: {finding.key}")


def _summary(result: VerifyResult) -> str:
    problems = ", ".join(f"{number:,} {problem}" for problem, number in result.problems.items())
    return f"{count_of_tiles(result.tiles)} verified: {problems or 'no problems'}"


def _hints(result: VerifyResult) -> Iterator[str]:
    """The commands that repair the tiles."""
    if "stale" in result.problems:
        yield f"re-render stale tiles: `seeder refresh {result.layer}`"
    if result.to_seed:
        force = " --force" if result.to_seed - {"missing"} else ""
        yield f"render the tiles printed above: `seed {result.layer} --tiles -{force}`"
