"""The command `verify`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import click

from seeder.cache.audit import TO_SEED, Finding
from seeder.cache.query import TileQuery
from seeder.cli.common import TerminalReport, guarded, jobs_option, json_option, located, say, tiles_said
from seeder.cli.selection_options import selectors
from seeder.operations.verify import SAMPLE, VerifyOptions, VerifyResult
from seeder.operations.verify import verify as verify_tiles
from tiler.settings import Settings

SHOWN = 20  # unexpected keys that are named to people


def _sample(_: click.Context, __: click.Parameter, text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise click.BadParameter("write a number of tiles, or all")
    return int(text)


@click.command("verify")
@click.argument("layer")
@click.option("--deep", is_flag=True, help="Also decode stored tiles and compare them with a fresh render.")
@click.option(
    "--sample",
    metavar="N|all",
    default=str(SAMPLE),
    show_default=True,
    callback=_sample,
    help="How many tiles --deep looks at.",
)
@jobs_option
@json_option
@guarded
@located
@selectors
def verify(
    layer: str, deep: bool, sample: int | None, jobs: int, query: TileQuery, as_json: bool, settings: Settings
) -> None:
    """List what is stored of LAYER and print the tiles that should be there and are not; exit 1 if anything is wrong.

    Tiles that a receipt says to be empty are not missing. What is printed, z/x/y a line, `seed LAYER --tiles -` takes.

    \b
    Examples:
      seeder verify alps --zooms 5-14
      seeder verify alps --zooms 5-14 | seed alps --tiles - --force
      seeder verify alps --deep --sample all
    """
    shown: Counter[str] = Counter()
    strays: list[str] = []

    def tell(finding: Finding) -> None:
        _tell(finding, shown, strays, as_json=as_json)

    options = VerifyOptions(deep, sample, jobs)
    result = verify_tiles(layer, query, options, settings, TerminalReport(), tell)
    say("\n".join([*strays, *_summary(result)]), err=True)
    if not result.passed:
        raise click.exceptions.Exit(1)


def _tell(finding: Finding, shown: Counter[str], strays: list[str], *, as_json: bool) -> None:
    """Print a finding, or keep it for the end where it is no tile to be seeded."""
    shown[finding.problem] += 1
    if as_json:
        click.echo(json.dumps(asdict(finding)))
    elif finding.problem in TO_SEED:
        click.echo(finding.tile)
    elif shown[finding.problem] <= SHOWN:
        strays.append(f"{finding.problem}: {finding.key}")


def _summary(result: VerifyResult) -> Iterator[str]:
    problems, layer = result.problems, result.layer
    said = ", ".join(f"{number:,} {problem}" for problem, number in problems.items())
    yield f"{tiles_said(result.tiles)} verified: {said or 'all as they should be'}"
    if result.to_seed:
        there = result.to_seed - {"missing"}
        if "stale" in problems:
            yield f"stale tiles are of another revision: `seeder refresh {layer}` renders them again"
        yield f"what is printed can be seeded: `seed {layer} --tiles -{' --force' if there else ''}`"
