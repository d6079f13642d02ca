"""From the start of a process to its first tile, out of the Lambda's zip: `python bench/coldstart.py [--docs]`.

A Python 3.13 that sees nothing but the zip for this machine, unpacked, imports the handler and answers one request;
its stores are an S3 server on this machine. Beside it the same without the compiled modules that the zip holds. Left
out is what Lambda does before: it fetches the zip and starts its runtime client. Without a Python 3.13 or a zip the
project's own environment is measured, and that is said. `scripts/package-lambda` makes the zip.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zipfile import ZipFile

import layers
import markers
from answers import STAGES
from objects import Served, served
from stopwatch import REST
from tiny import arguments, parser_for, sized

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "performance.md"
ANSWERS = Path(__file__).parent / "answers.py"
RUNS = sized(7, 1)
FOUND = 302
PATH = sized("/relief/3/4/2.png", "/relief/1/1/0.png")
ORDER = ("interpreter", "imports", *STAGES, REST)
WARM_UP = sized(2, 0)  # runs before the first that counts: the disk's pages are in memory then

sys.path.append(str(ROOT / "scripts"))
from package_lambda import MACHINES, find_compiler, inputs, known  # noqa: E402 - scripts are no package


class Took(NamedTuple):
    """Milliseconds by the clock and of the processor."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Run:
    """What a process told: what each stage took, and each answer."""

    stages: dict[str, Took]
    answers: list[Took]

    @property
    def total(self) -> Took:
        """All stages."""
        return Took(*(sum(each) for each in zip(*self.stages.values(), strict=True)))


@dataclass(frozen=True)
class Setting:
    """A Python and the modules that it sees."""

    words: tuple[str, ...]
    modules: Path
    title: str


OWN = Setting((sys.executable,), ROOT, f"the project's environment, Python {platform.python_version()}")


def answers(
    setting: Setting, environment: Mapping[str, str], paths: Sequence[str], *, stages: bool = False, check: bool = True
) -> Run:
    """Start a process that answers GETs of `paths`, each with a redirect.

    Exits if it does not.
    """
    asked = {"modules": str(setting.modules), "started": time.monotonic(), "paths": paths, "stages": stages}
    words = [*setting.words, str(ANSWERS), json.dumps(asked)]
    done = subprocess.run(words, env=dict(environment), stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"{setting.title} failed")
    told = json.loads(done.stdout)
    if check and any(status != FOUND for status, *_ in told["answers"]):
        sys.exit(f"{setting.title} answered {sorted({each[0] for each in told['answers']})}, not {FOUND}")
    return Run(
        {stage: Took(1000 * wall, 1000 * cpu) for stage, (wall, cpu) in told["stages"].items()},
        [Took(1000 * wall, 1000 * cpu) for _, wall, cpu in told["answers"]],
    )


def packaged(folder: Path) -> tuple[Setting, ...]:
    """The Lambda's zip unpacked in `folder`: as it is, and as if nothing in it were compiled. Or else `OWN`."""
    arch = next((name for name, machine in MACHINES.items() if machine == platform.machine()), "")
    path, compiler = ROOT / "dist" / f"lambda-{arch}.zip", find_compiler()
    if not compiler or not path.exists():
        print("no zip for this machine, or no Python 3.13: see scripts/package-lambda", file=sys.stderr)
        return (OWN,)
    stale = known(path) != inputs(arch, compiler)
    if stale:
        print(f"{path.name} is not of this tree: scripts/package-lambda makes it anew", file=sys.stderr)
    with ZipFile(path) as found:
        found.extractall(folder)
    alone = (compiler.path, "-I", "-S", "-B")
    bare = (*alone, "-X", f"pycache_prefix={folder / 'nothing'}")  # where no compiled module is found
    title = f"the {arch} zip{' of another tree' * stale}, Python {compiler.version}"
    return Setting(alone, folder, title), Setting(bare, folder, f"{title}, modules not compiled")


def measured(setting: Setting, server: Served, path: str) -> Run:
    """Medians of some runs."""
    runs = [answers(setting, server.environment, [path], stages=True) for _ in range(WARM_UP + RUNS)][WARM_UP:]
    return middle(runs)


def middle(runs: Sequence[Run]) -> Run:
    """The run in the middle by the clock, so that its stages add up."""
    return sorted(runs, key=lambda run: run.total.wall)[len(runs) // 2]


def table(settings: Sequence[Setting], server: Served, path: str) -> str:
    """What each stage takes."""
    found = {setting.title: measured(setting, server, path) for setting in settings}
    first = found[settings[0].title]
    lines = [
        f"| ms, the middle one of {RUNS} | {' | '.join(f'{title}: wall | CPU' for title in found)} |",
        f"| --- |{' ---: | ---: |' * len(found)}",
    ]
    for stage in sorted(first.stages, key=ORDER.index):
        cells = (f"{run.stages[stage].wall:.0f} | {run.stages[stage].cpu:.0f}" for run in found.values())
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    totals = (f"{run.total.wall:.0f} | {run.total.cpu:.0f}" for run in found.values())
    return "\n".join([*lines, f"| **to the redirect** | {' | '.join(totals)} |"])


def main() -> None:
    """Print the table, and put it into the documentation if asked."""
    parser = parser_for(__doc__)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md, too")
    parser.add_argument("--width", type=int, default=layers.WIDTH, metavar="PIXELS", help="of the world's raster")
    asked = arguments(parser)
    with ExitStack() as stack:
        server = stack.enter_context(served())
        made = stack.enter_context(layers.made(["relief"], asked.width))
        server.upload(made.data / "private")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        found = table(packaged(folder), server, PATH)
    print(found)
    if asked.docs:
        markers.fill(DOCS, "coldstart", found)


if __name__ == "__main__":
    main()
