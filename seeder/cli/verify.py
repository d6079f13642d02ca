"""The command `verify`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace

import click

from seeder.cache.audit import TO_SEED, Audit, Finding, deep_findings, sampled
from seeder.cache.query import TileQuery
from seeder.cli.common import guarded, interruptible, jobs_option, json_option, located, say, tile_bar, tiles_said
from seeder.cli.selection_options import selected, selectors
from seeder.select.blocks import Count
from tiler.ingest.ingest import check_unchanged
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

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
    default="500",
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
    stores = Stores.open(settings)
    found = load_layer(stores.sources, layer)
    check_unchanged(found)
    variant = query.variant(found)
    selection, counts = selected(query, found, stores)
    total = Count.total(counts).tiles
    audit = Audit.of(found, selection, variant, stores)
    problems: Counter[str] = Counter()
    strays: list[str] = []
    with interruptible("interrupted: not all was verified"):
        audit.sweep()
        with tile_bar(f"verify {layer}", total) as bar:
            for finding in audit.findings(bar.update):
                _tell(finding, problems, strays, as_json=as_json)
        unsure = list(audit.unsure())
        if unsure:
            with tile_bar("compare", sum(map(len, unsure))) as bar:
                for finding in deep_findings(audit, unsure, settings, jobs=jobs, progress=bar.update):
                    _tell(replace(finding, problem="stale"), problems, strays, as_json=as_json)
        if deep:
            block_masks = sampled(audit, sample)
            with tile_bar("compare", total if sample is None else min(sample, total)) as bar:
                for finding in deep_findings(audit, block_masks, settings, jobs=jobs, progress=bar.update):
                    _tell(finding, problems, strays, as_json=as_json)
    say("\n".join([*strays, *_summary(total, problems, layer)]), err=True)
    if problems:
        raise click.exceptions.Exit(1)


def _tell(finding: Finding, problems: Counter[str], strays: list[str], *, as_json: bool) -> None:
    """Print a finding, or keep it for the end where it is no tile to be seeded."""
    problems[finding.problem] += 1
    if as_json:
        click.echo(json.dumps(asdict(finding)))
    elif finding.problem in TO_SEED:
        click.echo(finding.tile)
    elif problems[finding.problem] <= SHOWN:
        strays.append(f"{finding.problem}: {finding.key}")


def _summary(total: int, problems: Counter[str], layer: str) -> Iterator[str]:
    said = ", ".join(f"{number:,} {problem}" for problem, number in problems.items())
    yield f"{tiles_said(total)} verified: {said or 'all as they should be'}"
    if TO_SEED & problems.keys():
        there = TO_SEED & problems.keys() - {"missing"}
        if "stale" in problems:
            yield f"stale tiles are of another revision: `seeder refresh {layer}` renders them again"
        yield f"what is printed can be seeded: `seed {layer} --tiles -{' --force' if there else ''}`"
