"""Every benchmark still runs: once each, tiny, in a process of its own."""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.support.effort import some
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, scene, write_raster
from tiler.ingest.ingest import ingest
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

BENCH, DOCS = ROOT / "bench", ROOT / "docs"
DATA = "DATA"  # stands for a folder with the layer relief
SECONDS = 300  # until a run is given up, on the slowest of machines
NUMBER = re.compile(r"\d")
FORKS = multiprocessing.get_context("forkserver")  # imports rasterio once, not once for each benchmark
FORKS.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Run:
    """A benchmark with arguments, and how many rows it prints at least."""

    bench: str
    rows: int
    arguments: tuple[str, ...] = ()
    long: bool = False  # starts many processes: run with LONG=yes only

    def __str__(self) -> str:
        return " ".join((self.bench, *self.arguments))


TOOLS = ("tile-seeder", "gdal", "rio-tiler")
RUNS = (
    Run("against.py", 2, ("--sources", "dem", "--tools", ",".join(TOOLS)), long=True),
    Run("budgets.py", 11, long=True),
    Run("coldstart.py", 10),
    Run("cost.py", 14),
    Run("delivery.py", 8, (DATA,)),
    Run("demo.py", 2),
    Run("estimate.py", 1, (DATA,)),
    Run("fanout.py", 2, (DATA,)),
    Run("finished.py", 3),
    Run("formats.py", 3),
    Run("growth.py", 5),
    Run("headers.py", 4),
    Run("invalidate.py", 4),
    Run("mosaic.py", 4),
    Run("scale.py", 5, ("--validate",), long=True),
    Run("scale_bake.py", 6, ("--validate",)),
    Run("stages.py", 16, (DATA, "relief")),
    Run("stages.py", 13, ("--ingest",)),
    Run("startup.py", 5),
    Run("verify.py", 6),
)
BEGUN = {
    "answers.py",
    *(f"peers/with_{name}.py" for name in ("gdal", "mapproxy", "qgis", "rio_tiler")),
}  # by others of them, with arguments of theirs
SOURCES = {path.relative_to(BENCH).as_posix(): path.read_text() for path in BENCH.rglob("*.py")}
SOURCES = {name: text for name, text in SOURCES.items() if not any(part.startswith(".") for part in name.split("/"))}


def test_every_benchmark_is_run() -> None:
    commands = {name for name, text in SOURCES.items() if 'if __name__ == "__main__"' in text}
    assert commands - BEGUN == {run.bench for run in RUNS}
    assert commands >= BEGUN


def test_every_other_module_serves_a_benchmark() -> None:
    left, used = [*{run.bench for run in RUNS}, *BEGUN], set[str]()
    while left:
        name = left.pop()
        if name not in used:
            used.add(name)
            left += imported(name)
    assert SOURCES.keys() - used == {"peers/__init__.py"}


def imported(name: str) -> list[str]:
    """The modules of the folder that one imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(SOURCES[name])):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return [file for each in names if (file := f"{each.replace('.', '/')}.py") in SOURCES]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a layer of the world."""
    folder = tmp_path_factory.mktemp("bench")
    path = write_raster(folder / "relief.tif", Recipe(values=scene(256, 512), bounds=(-180, -90, 180, 90)))
    stores = Stores.open(Settings.from_env({}, data=str(folder / "data")), create=True)
    ingest(str(path), "relief", Options(), stores, jobs=1, progress=lambda *_: None)
    return folder / "data"


@pytest.mark.parametrize("run", some(RUNS, *(run for run in RUNS if not run.long)), ids=str)
def test_a_benchmark_prints_its_rows(run: Run, data: Path, tmp_path: Path) -> None:
    before = documentation()
    arguments = [str(data) if each == DATA else each for each in run.arguments]
    done = forked(tmp_path, str(BENCH / run.bench), "--tiny", *arguments)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert len(found) >= run.rows, done.stdout
    for row in found:
        assert NUMBER.search(row), row
        assert not re.search(r"\b(nan|inf|failed|None)\b", row), row
    assert documentation() == before
    if run.bench == "against.py":
        for tool in TOOLS:
            named = [row for row in found if row.startswith(f"| {tool}")]
            skipped = re.search(rf"^{tool} is skipped: .+", done.stderr, re.MULTILINE)
            assert bool(named) != bool(skipped), tool
        assert any(row.startswith("| tile-seeder: ingest + seed |") for row in found)


@pytest.mark.parametrize("run", [run for run in RUNS if run.long], ids=str)
def test_a_long_benchmark_starts(run: Run, tmp_path: Path) -> None:
    done = forked(tmp_path, str(BENCH / run.bench), "--tiny", "--help")
    assert done.returncode == 0, done.stderr
    assert "--tiny" in done.stdout


def rows(text: str) -> list[str]:
    """The rows of all tables, each with as many cells as its head; where there is no table, all lines."""
    found, cells = list[str](), 0
    lines = [line for line in text.splitlines() if line]
    tables = [line for line in lines if line.startswith("|")]
    for head, line in zip(["", *tables], tables, strict=False):
        if re.fullmatch(r"[|:\- ]+", line):
            cells = line.count("|")
            assert head.count("|") == cells, head
            found.pop()
        else:
            found.append(line)
    return found if cells else lines


def documentation() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in DOCS.rglob("*") if path.is_file()}


def started(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=SECONDS, cwd=ROOT
    )


def forked(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same as `started`, in a process that begins with the imports of this module."""
    out, errors = folder / "stdout", folder / "stderr"
    process = FORKS.Process(target=run_script, args=(words, out, errors))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    return subprocess.CompletedProcess(words, process.exitcode or 0, out.read_text(), errors.read_text())


def run_script(words: tuple[str, ...], out: Path, errors: Path) -> None:
    """Run a script with its arguments in this process, its streams in two files."""
    for number, path in ((1, out), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [*words]
    sys.path.insert(0, str(BENCH))
    os.chdir(ROOT)
    runpy.run_path(words[0], run_name="__main__")


@pytest.mark.parametrize("name", ["relief", "edge", "ortho", "palette"])  # against.py was run with the rest
def test_a_source_of_the_peers_is_made(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    sources, quality, written = (importlib.import_module(f"peers.{each}") for each in ("sources", "quality", "written"))
    monkeypatch.setattr(sources, "TINY", True)
    monkeypatch.setattr(quality, "SAMPLE", 2)
    source = sources.make(name, tmp_path, small=True)
    references = {tile: quality.reference(source, tile) for tile in quality.sample(source)}
    for tile, pixels in references.items():
        path = tmp_path / "tiles" / f"{tile.z}" / f"{tile.x}" / f"{tile.y}.{source.format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, lossless=True, exact=True)  # PNG is anyway
    found = quality.judge(source, references, written.Folder(tmp_path / "tiles", source.format))
    assert found.like[0] == (1.0 if source.palette else quality.EXACT), "of the reference itself"
    assert found.sharp[0] == 1.0
    assert found.alpha == 0.0


def test_tiny_figures_never_reach_the_documentation() -> None:
    for name in {run.bench for run in RUNS}:
        assert "arguments(parser" in SOURCES[name], f"{name} reads its options without tiny.arguments"
        assert "parse_args(" not in SOURCES[name], name
    code = "import tiny; it = tiny.parser_for('it'); it.add_argument('--docs', action='store_true'); tiny.arguments(it)"
    done = subprocess.run(
        [sys.executable, "-c", code, "--tiny", "--docs"], capture_output=True, text=True, check=False, cwd=BENCH
    )
    assert done.returncode == 2
    assert "--tiny measures nothing" in done.stderr


RIO_TILER = {  # as much of it as the script uses
    "__init__.py": "",
    "errors.py": "class TileOutsideBounds(Exception): pass",
    "io.py": """
from rio_tiler.errors import TileOutsideBounds

class Image:
    said = b""
    def rescale(self, *, in_range): Image.said = str(in_range).encode()
    def render(self, *, img_format, **rest): return b"PNG" + self.said + str(sorted(rest)).encode()

class Reader:
    def __init__(self, path): self.colormap = {0: (1, 2, 3, 255)}
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def get_geographic_bounds(self, crs): return -10.0, 10.0, 10.0, 20.0
    def tile(self, x, y, z, *, tilesize, resampling_method, reproject_method):
        if (x, y, z) == (1, 0, 1): raise TileOutsideBounds
        return Image()
""",
}


def test_the_script_for_rio_tiler_makes_its_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in RIO_TILER.items():
        path = tmp_path / "modules" / "rio_tiler" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"), prepend=os.pathsep)
    script = str(BENCH / "peers" / "with_rio_tiler.py")
    done = started(script, "source.tif", str(tmp_path / "tiles"), "0-1", "cubic", "1", "png", "0,3000")
    assert done.returncode == 0, done.stderr
    tiles = sorted(path.relative_to(tmp_path / "tiles").as_posix() for path in tmp_path.rglob("*.png"))
    assert tiles == ["0/0/0.png", "1/0/0.png"]
    assert (tmp_path / "tiles" / "0" / "0" / "0.png").read_bytes() == b"PNG((0.0, 3000.0),)['colormap']"
