"""One damaged raster through the commands, in a process of its own: what came of it, and what is wrong with that."""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seeder.cli.main import main
from seeder.cli.messages import exit_code
from tests.fuzz.rasters import make
from tiler.layers.catalog import list_layers, load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

MEMORY = 4 << 30  # bytes of addresses
SECONDS = 40  # of the CPU
ZOOMS = 3  # from the lowest
SIZE = 256  # pixels a side of a tile


@dataclass(frozen=True)
class Case:
    """The raster that comes of a number."""

    seed: int
    number: int

    def rng(self) -> np.random.Generator:
        """All that is left to chance."""
        return np.random.default_rng([self.seed, self.number])


def run(case: Case, folder: Path) -> None:
    """Write into `report.json` of the folder what came of the case; for a process that was forked for it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setsid()  # so that its workers end with it
    (folder / "source").mkdir()
    rng = case.rng()
    kind, source = make(folder / "source", rng)
    _report(folder, kind, "made")
    virtual = ["--virtual"] if rng.random() < 0.2 else []
    commands = Commands(folder, lambda step, code: _report(folder, kind, step, code))
    wrong = list(commands.check(source, virtual))
    (folder / "report.json").write_text(json.dumps({"kind": kind, "codes": commands.codes, "wrong": wrong}))


def _report(folder: Path, kind: str, step: str, code: int | None = None) -> None:
    (folder / "report.json").write_text(json.dumps({"kind": kind, "codes": {}, "wrong": [], "at": f"{step} {code}"}))


class Commands:
    """The commands on a folder, and the codes with which they ended."""

    def __init__(self, folder: Path, told: Callable[[str, int], None]) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.codes: dict[str, int] = {}
        self.told = told

    def check(self, source: Path, words: list[str]) -> Iterator[str]:
        """What is wrong with the answers."""
        yield from self._call("ingest", [str(source), "--layer", "hurt", "--jobs", "1", *words])
        stores = Stores.open(Settings.from_env({}, data=str(self.data)), create=True)
        known = list(list_layers(stores.sources))
        if known != (["hurt"] if self.codes["ingest"] == 0 else []):
            yield f"ingest: exit code {self.codes['ingest']}, but the catalogue has {known}"
        if self.codes["ingest"] == 0:
            layer = load_layer(stores.sources, "hurt")
            low = layer.minzoom
            zooms = ["--zooms", f"{low}-{min(low + ZOOMS - 1, layer.maxzoom)}"]
            yield from self._call("seed", ["hurt", "--jobs", "1", "--yes", *zooms])
            if self.codes["seed"] == 0:
                yield from self._call("verify", ["hurt", *zooms])
                if self.codes["verify"]:
                    yield f"seed: exit code 0, but verify has {self.codes['verify']}"
        yield from self._undecoded()

    def _call(self, verb: str, words: list[str]) -> Iterator[str]:
        """Run a command; what is wrong with how it ended."""
        for number, name in ((1, "out"), (2, "err")):
            with (self.folder / f"{verb}.{name}").open("wb") as file:
                os.dup2(file.fileno(), number)
        sys.argv = ["seeder", verb, *words, "--data", str(self.data)]
        code = self.codes[verb] = exit_code(main, "seeder")
        sys.stdout.flush()
        sys.stderr.flush()
        self.told(verb, code)
        said = (self.folder / f"{verb}.err").read_text(errors="replace").replace("\r", "\n").splitlines()
        errors = [line for line in said if line.startswith("error: ")]  # GDAL says "Error: "
        if code not in (0, 1, 2):
            yield f"{verb}: exit code {code}"
        if any("Traceback" in line for line in said):
            yield f"{verb}: a traceback"
        if len(errors) > 1 or (verb == "ingest" and len(errors) != bool(code)):
            yield f"{verb}: exit code {code} with {len(errors)} lines of error"
        if any(len(line) > 1000 for line in errors):
            yield f"{verb}: an error of {max(map(len, errors))} characters"

    def _undecoded(self) -> Iterator[str]:
        """Stored tiles that are no pictures, as Pillow decodes them."""
        for path in sorted(self.data.glob("tiles/hurt/*/*/*.*")):
            try:
                with Image.open(io.BytesIO(path.read_bytes())) as image:
                    image.load()
                    if image.size != (SIZE, SIZE):
                        yield f"{path.name}: {image.size} pixels"
            except (OSError, SyntaxError, ValueError) as error:
                yield f"{path.relative_to(self.data)}: {error}"
