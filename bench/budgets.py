"""What the product may cost, and what it does: `python bench/budgets.py [--only NAME ...] [--docs]`.

One Markdown table; exit 1 if a budget is missed. Needs what scripts/demo installs, and the Lambda's zip of
scripts/package-lambda. S3 is a server on this machine in a process of its own, which answers at once and is not
counted. `--data` names the folder in which the demo made its layer, whose reads are then counted, too; --docs puts
the table into docs/performance.md.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import boto3
import bucket
import coldstart
import layers
import markers
import working
from coldstart import Took
from objects import Served, served
from tiny import TINY, arguments, parser_for, sized

from tiler.keys import index_key, sources_prefix
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import CACHE_CONTROL
from tiler.layers.render import TileVariant
from tiler.storage.store import Stores, open_store

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "performance.md"

NAMES = sized(tuple(layers.SOURCES), ("relief",))
WARM = 3.0  # milliseconds of CPU a tile
WARM_UP, A_ZOOM = sized((12, 60), (2, 2))  # tiles before it counts; tiles of a zoom
READS = 3  # requests for bytes of COGs
PUT, PUT_SIZE = 0.5, 25_000  # milliseconds of CPU; bytes
PUTS, PUT_RUNS = sized((2000, 3), (20, 1))  # objects; of which the middle counts
PLAN, PLAN_MEMORY = 20.0, 200.0  # seconds, megabytes
MEMORY = 512.0  # megabytes
BLOCKS, SHARP_BLOCKS = sized((100, 24), (2, 1))  # blocks of a layer, and of one at scale 2
IMPORT, IMPORT_RUNS, IMPORT_WARM_UP = 1.3, *sized((15, 1), (1, 0))  # times `import rasterio`
OFF_CENTRE = 0.53  # where among a zoom's tiles, column by column, the one lies that is asked for
SHARP = sized(("relief", "uint16"), ("relief",))
KINDS = sized(("opaque", "masked"), ("masked",))  # of large layers
READ = sized(NAMES, ())  # besides those
BELOW = sized(((0, ""), (2, ""), (99, ""), (1, "@2x")), ((2, ""), (1, "@2x")))  # zooms below the deepest, and scales
SIDE = sized(160, 8)  # tiles of a large COG: 40,960 pixels


@dataclass(frozen=True)
class Row:
    """A line of the table; without a budget it is for information."""

    target: str
    measured: str
    budget: str = ""
    met: bool = True

    def __str__(self) -> str:
        verdict = ("met" if self.met else "**missed**") if self.budget else ""
        return f"| {self.target} | {self.measured} | {self.budget} | {verdict} |"


@dataclass
class Bench:
    """What the measurements share; made when the first of them asks for it."""

    width: int
    demo: Path
    stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def server(self) -> Served:
        """The S3 server."""
        return self.stack.enter_context(served())

    @cached_property
    def made(self) -> layers.Made:
        """All layers, which lie in the server, too."""
        made = self.stack.enter_context(layers.made(NAMES, self.width))
        self.server.upload(made.data / "private")
        return made

    def folder(self) -> Path:
        """An empty one."""
        return Path(self.stack.enter_context(TemporaryDirectory(prefix="bench-")))

    @cached_property
    def alone(self) -> Executor:
        """Runs each call in a process of its own."""
        return self.stack.enter_context(bucket.alone())


def warm(bench: Bench) -> Iterator[Row]:
    """One tile after another by the handler of the redirect path."""
    for name in NAMES:
        layer, chosen = bench.made.layer(name), random.Random(7)  # noqa: S311 - a sample
        every = [_paths(layer, z) for z in range(layer.maxzoom + 1)]
        paths = [path for zoom in every for path in chosen.sample(zoom, min(A_ZOOM, len(zoom)))]
        first = chosen.sample(every[-1], WARM_UP)
        took = coldstart.answers(coldstart.OWN, bench.server.environment, [*first, *paths]).answers[WARM_UP:]
        cpu, wall = [each.cpu for each in took], [each.wall for each in took]
        said = f"median {median(cpu):.2f}, mean {mean(cpu):.2f} (wall {median(wall):.2f}, {mean(wall):.2f})"
        title = f"a warm tile on demand, {name}, {layer.format}, {len(took)} tiles: ms of CPU"
        yield Row(title, said, f"{WARM:g}", max(median(cpu), mean(cpu)) <= WARM)


def _paths(layer: Layer, z: int, scale: str = "") -> list[str]:
    """What asks for each tile of a zoom."""
    return [
        f"/{layer.id}/{z}/{x}/{y}{scale}.{layer.format}"
        for each in layer.ranges(z)
        for x in range(each.x0, each.x1)
        for y in range(each.y0, each.y1)
    ]


def _one(layer: Layer, z: int, scale: str = "") -> str:
    """One of them."""
    paths = _paths(layer, z, scale)
    return paths[int(len(paths) * OFF_CENTRE)]


def reads(bench: Bench) -> Iterator[Row]:
    """Requests of a process that has just begun, for one tile."""
    found = _asked(bench.server, [bench.made.layer(name) for name in READ])
    far = Stores(bench.server.store("tiles"), bench.server.store("sources"), "")
    big = [layers.large(far, f"large-{kind}", side=SIDE, opaque=kind == "opaque") for kind in KINDS]
    found |= _asked(bench.server, big)
    demo = open_store((bench.demo / "private").as_uri())
    if demo.has(index_key("relief")):
        with served() as other:
            other.upload(bench.demo / "private", sources_prefix("relief"))
            asked = _asked(other, [load_layer(demo, "relief")])
            found |= {f"{path} of the demo": requests for path, requests in asked.items()}
    for title, sharp in (("", False), (", at scale 2", True)):
        counts = {path: each["COG"] for path, each in found.items() if ("@2x" in path) == sharp}
        most = max(counts.values())
        spread = ", ".join(f"{count} for {times} tiles" for count, times in sorted(Counter(counts.values()).items()))
        worst = ", ".join(path for path, count in counts.items() if count == most)
        said = f"{most} at most ({spread}; most: {worst})"
        yield Row(f"range reads of COGs for a tile, cold{title}", said, f"{READS}", most <= READS)
    rest: Counter[str] = Counter()
    for each in found.values():
        rest.update(each)
    said = ", ".join(f"{times / len(found):g} {what}" for what, times in rest.items() if what != "COG")
    yield Row("other requests for it", said)


def _asked(server: Served, some: Sequence[Layer]) -> dict[str, Counter[str]]:
    """What tiles of different zooms and scales take, each in a new process: how many of which requests."""
    found = {}
    for layer in some:
        for below, scale in BELOW:
            path = _one(layer, max(0, layer.maxzoom - below), scale)
            server.asked()
            coldstart.answers(coldstart.OWN, server.environment, [path])
            found[path] = Counter(
                "COG" if where.endswith(".tif") and method == "GET" else f"{method} of {_kind(where)}"
                for method, where, _ in server.asked()
            )
    return found


def _kind(where: str) -> str:
    return "metadata" if where.endswith(".json") else "the tile" if where.startswith("/tiles/") else "the COG"


def put(bench: Bench) -> Iterator[Row]:
    """Objects into S3, by the product and by boto3, in turn."""
    took: dict[Callable[[Served], Took], list[Took]] = {_ours: [], _boto: []}
    alone = bench.alone
    for _ in range(PUT_RUNS):
        for way, found in took.items():
            found.append(alone.submit(way, bench.server).result())
    (cpu, wall), (peer, peer_wall) = (Took(*map(median, zip(*each, strict=True))) for each in took.values())
    said = f"{cpu:.3f} (wall {wall:.3f}); boto3 {peer:.2f} (wall {peer_wall:.2f}), {peer / cpu:.1f} times as much"
    yield Row(f"a PUT of {PUT_SIZE // 1000} KB: ms of CPU", said, f"{PUT:g}", cpu <= PUT)


def _timed(work: Callable[[], object]) -> Took:
    """Milliseconds an object."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(1000 * (time.perf_counter() - wall) / PUTS, 1000 * (time.process_time() - cpu) / PUTS)


def _ours(server: Served) -> Took:
    store, data = server.store("tiles"), os.urandom(PUT_SIZE)

    def work(count: int = PUTS) -> None:
        objects = ((f"a/{number}.png", data) for number in range(count))
        for _ in store.put_all(objects, content_type="image/png", cache_control=CACHE_CONTROL):
            pass

    work(WARM_UP)
    return _timed(work)


def _boto(server: Served) -> Took:
    os.environ |= server.environment
    client, data = boto3.client("s3"), os.urandom(PUT_SIZE)

    def work(count: int = PUTS) -> None:
        for number in range(count):
            client.put_object(
                Bucket="tiles",
                Key=f"a/{number}.png",
                Body=data,
                ContentType="image/png",
                CacheControl=CACHE_CONTROL,
            )

    work(WARM_UP)
    return _timed(work)


def plan(_: Bench) -> Iterator[Row]:
    """The world for SQS, in a process of its own."""
    words = "import fanout, verify; fanout.planning(); print(verify.held('VmHWM'))"
    told = _python(words)
    match = re.search(r"planning ([\d,]+) tiles: ([\d,]+) messages in ([\d.]+) s.*\n([\d.]+)$", told)
    assert match, told
    seconds, memory = float(match[3]), float(match[4])
    said = f"{seconds:.2f} s, {memory:.0f} MB, {match[2]} messages"
    met = seconds <= PLAN and memory <= PLAN_MEMORY
    yield Row(f"planning {match[1]} tiles for SQS", said, f"{PLAN:g} s, {PLAN_MEMORY:g} MB", met)


def _python(words: str) -> str:
    """What a new process prints that sees the benchmarks."""
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=Path(__file__).parent, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def memory(bench: Bench) -> Iterator[Row]:
    """What a worker function holds that fills blocks of every layer, and what ingests hold."""
    variants = [(name, TileVariant(1, bench.made.layer(name).format), BLOCKS) for name in NAMES]
    variants += [(name, TileVariant(2), SHARP_BLOCKS) for name in SHARP]
    cases = [(bench.made.layer(name), variant, blocks) for name, variant, blocks in variants]
    held = bench.alone.submit(working.peaks, bench.server.environment, cases).result()
    parts = ", ".join(
        f"{layer.id}{'@2x' * (variant.scale == 2)} {peak:.0f}"
        for (layer, variant, _), peak in zip(cases, held[1:], strict=True)
    )
    blocks = sum(count for _, _, count in cases)
    said = f"{held[-1]:.0f} at most (begun with {held[0]:.0f}; peak after each layer: {parts})"
    yield Row(f"a worker that fills {blocks} blocks: peak resident MB", said, f"{MEMORY:g}", held[-1] <= MEMORY)
    said = ", ".join(f"{name} {took.memory:.0f}" for name, took in bench.made.took.items())
    yield Row(f"an ingest on {os.cpu_count()} cores: peak proportional MB of all its processes", said)


IMPORTS = {  # what a new process runs, and then tells of
    "handler": "import tiler.http",
    "rasterio": "import rasterio",
    "rasterio alone": "sys.modules['boto3'] = None; import rasterio",  # it takes boto3 along where that is installed
}
IMPORTING = """
import sys, time
sys.path.insert(0, {root!r})
wall, cpu = time.perf_counter(), time.process_time()
{words}
print(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu))
"""


def imports(_: Bench) -> Iterator[Row]:
    """The handler's module beside rasterio, in turn, each in a new process."""
    found: dict[str, list[Took]] = {name: [] for name in IMPORTS}
    for number in range(IMPORT_WARM_UP + IMPORT_RUNS):
        for name, words in IMPORTS.items():
            told = _python(IMPORTING.format(root=str(ROOT), words=words))
            if number >= IMPORT_WARM_UP:  # the first brings the files into memory
                found[name].append(Took(*map(float, told.split())))
    took = {name: Took(*map(median, zip(*each, strict=True))) for name, each in found.items()}
    ours, plain, alone = took.values()
    said = f"{ours.wall / plain.wall:.2f} x: {ours.wall:.0f} ms (CPU {ours.cpu:.0f}), "
    said += f"rasterio with boto3, which it takes along, {plain.wall:.0f} ({plain.cpu:.0f})"
    yield Row(
        "import of the handler against `import rasterio`", said, f"{IMPORT:g} x", ours.wall / plain.wall <= IMPORT
    )
    said = f"{ours.wall / alone.wall:.2f} x: rasterio without boto3 {alone.wall:.0f} ms (CPU {alone.cpu:.0f})"
    yield Row("the same where rasterio finds no boto3", said)


def cold(bench: Bench) -> Iterator[Row]:
    """The Lambda's zip, to the first tile; see coldstart."""
    layer = bench.made.layer("relief")
    path = _one(layer, layer.maxzoom)
    for setting in coldstart.packaged(bench.folder()):
        run = coldstart.measured(setting, bench.server, path)
        parts = ", ".join(f"{name} {run.stages[name].wall:.0f}" for name in coldstart.ORDER)
        yield Row(
            f"cold start to the first tile, {setting.title}: ms",
            f"{run.total.wall:.0f} (CPU {run.total.cpu:.0f}): {parts}",
        )


BUDGETS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "warm": warm,
    "reads": reads,
    "put": put,
    "plan": plan,
    "memory": memory,
    "import": imports,
    "cold": cold,
}


def main() -> None:
    """Print the table, and put it into the documentation if asked; exit 1 if a budget is missed."""
    parser = parser_for(__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=BUDGETS, default=list(BUDGETS), metavar="NAME", help=" ".join(BUDGETS)
    )
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md, too")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="where scripts/demo made its layer")
    parser.add_argument("--width", type=int, default=layers.WIDTH, metavar="PIXELS", help="of the world's rasters")
    asked = arguments(parser)
    bench = Bench(asked.width, asked.data)
    rows: list[Row] = []
    with bench.stack:
        for name in asked.only:
            print(f"measuring: {name}", file=sys.stderr)
            rows += BUDGETS[name](bench)
    table = "\n".join(["| | measured | budget | |", "| --- | --- | --- | --- |", *map(str, rows)])
    print(table)
    if asked.docs:
        markers.fill(DOCS, "budgets", table)
    sys.exit(not TINY and not all(row.met for row in rows))


if __name__ == "__main__":
    main()
