"""The command; see the package."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from tabulate import tabulate

from tests.corpus.case import Limits, Report
from tests.corpus.run import names_in, through

HEAD = ("file", "driver", "size", "result", "why", "colour %", "alpha %", "mean", "max", "s")
GOOD = ("same", "refused", "too large")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Rasters at once.")
@click.option("--limit", type=click.FloatRange(1), default=120.0, metavar="SECONDS", help="Longest time of a raster.")
@click.option("--max-pixels", type=int, default=40_000_000, help="Leave out larger rasters.")
@click.option("--memory", type=int, default=4096, metavar="MB", help="Most memory of a process.")
@click.option("--only", metavar="REGEX", help="Only files whose path below FOLDER matches this.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each raster, as it comes.")
@click.option("--all", "everything", is_flag=True, help="Show the rasters that come out right too.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep tiles and output in this folder.")
def main(
    folder: Path,
    jobs: int,
    limit: float,
    max_pixels: int,
    memory: int,
    only: str | None,
    markdown: bool,
    as_json: bool,
    everything: bool,
    keep: Path | None,
) -> None:
    """Ingest every raster below FOLDER and compare its tiles with GDAL's own warp.

    The exit code is 1 if one differs, fails, crashes or hangs.

    \b
    Example:
      scripts/corpus ~/rasters --only '\\.tif$' --limit 60 --markdown
    """
    rows: list[Report] = []
    with tempfile.TemporaryDirectory() as name:
        names = (each for each in names_in(folder) if re.search(only or "", os.path.relpath(each, folder)))
        limits = Limits(memory << 20, max_pixels)
        scratch = keep or Path(name)
        for report in through(names, scratch, jobs=jobs, seconds=limit, limits=limits, keep=keep is not None):
            rows.append(report)
            if as_json:
                click.echo(json.dumps(asdict(report)))
            elif report.result != "no raster":
                click.echo(f"{report.seconds:6.1f} s  {report.result:9}  {report.name}  {report.why[:150]}", err=True)
    if not as_json:
        _show(rows, folder, "github" if markdown else "plain", everything=everything)
    sys.exit(not all(row.result in (*GOOD, "no raster") and not row.untidy for row in rows))


def _show(rows: list[Report], folder: Path, form: str, *, everything: bool) -> None:
    """Print the table and its summary."""
    rows.sort(key=lambda row: row.name)
    shown = [row for row in rows if row.result != "no raster" and (everything or row.result != "same" or row.untidy)]
    click.echo(tabulate([_row(each, folder) for each in shown], HEAD, tablefmt=form, disable_numparse=True))
    click.echo()
    click.echo("\n".join(summary(rows, folder, form)))


def _row(report: Report, folder: Path) -> tuple[str, ...]:
    why = "; ".join(each for each in (report.why, *report.untidy) if each)
    figures = (report.share, report.cover, report.mean, report.worst)
    known = report.result in ("same", "differs")
    return (
        report.name.replace(f"{folder}/", "").replace("|", "\\|"),
        report.driver,
        report.size,
        report.result,
        why.replace(f"{folder}/", "").replace("|", "\\|").replace("\n", " "),
        *(f"{each:.2g}" if known else "" for each in figures),
        f"{report.seconds:.1f}",
    )


def summary(rows: list[Report], folder: Path, form: str = "plain") -> Iterator[str]:
    """How many rasters came out how, and the classes of refusals with an example each."""
    tally = Counter(row.result for row in rows)
    rasters = len(rows) - tally["no raster"]
    yield f"{rasters} rasters: " + ", ".join(
        f"{count} {what}" for what, count in tally.most_common() if what != "no raster"
    )
    yield f"{tally['no raster']} other files; {sum(row.seconds for row in rows):.0f} s of processes"
    yield ""
    classes: dict[str, list[Report]] = {}
    for row in rows:
        if row.result in ("refused", "failed", "crashed", "timed out"):
            classes.setdefault(f"{row.result}: {kind(row.why, row.name)}", []).append(row)
    table = [
        (len(some), what.replace("|", "\\|"), some[0].name.replace(f"{folder}/", "").replace("|", "\\|"))
        for what, some in sorted(classes.items(), key=lambda each: -len(each[1]))
    ]
    yield tabulate(table, ("number", "refusals, by kind", "example"), tablefmt=form, disable_numparse=True)


def kind(why: str, name: str) -> str:
    """A refusal without what is of its file alone."""
    bare = why.replace(name, "FILE")
    if len(Path(name).name) > 3:  # a subdataset's may be part of any word
        bare = bare.replace(Path(name).name, "FILE")
    bare = re.sub(r"(/[^\s:'\"()]+)+", "PATH", bare)
    bare = re.sub(r"'[^']*'", "'...'", re.sub(r'"[^"]*"', '"..."', bare))
    return re.sub(r"-?\d[\d,.e+]*", "N", bare)[:160]


if __name__ == "__main__":
    main(prog_name="scripts/corpus")
