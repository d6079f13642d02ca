"""Imports point one way, and what is dear to import stays where it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    f"{path.parent.name}.{path.stem}": path for folder in ("tiler", "seeder") for path in (ROOT / folder).glob("*.py")
}

# From the top: a module imports only what stands below it.
FLOORS = [
    {"seeder.__main__"},
    {"seeder.cli"},
    {"seeder.serve"},
    {"seeder.site", "seeder.publish"},
    {"seeder.refresh"},
    {
        *("seeder.seed", "seeder.verify", "seeder.job_verbs", "seeder.invalidate", "seeder.remove", "seeder.ingest"),
        *("seeder.count", "seeder.export"),
    },
    {"seeder.sweep"},
    {"seeder.perform", "seeder.renew"},
    {"seeder.fanout", "seeder.failures"},
    {"seeder.selectors", "seeder.archive"},
    {"seeder.asked", "seeder.pmtiles_file"},
    {"seeder.mbtiles"},
    {"seeder.check"},
    {"seeder.plan", "seeder.cdn", "seeder.purge", "seeder.feed", "seeder.coverage", "seeder.warm", "seeder.empties"},
    {"seeder.audit"},
    {"seeder.stale"},
    {
        "seeder.fence",
        "seeder.stored",
        "seeder.poll",
        "seeder.doctor",
        "seeder.estimate",
        "seeder.status",
    },
    {"seeder.queues", "seeder.worker"},
    {"seeder.console"},
    {"seeder.sqs", "seeder.work", "seeder.stack"},
    {"seeder.breaker"},
    {"seeder.ledger"},
    {"seeder.aws", "seeder.jobs", "seeder.runner"},
    {"seeder.selection", "seeder.marks", "seeder.prices", "seeder.order"},
    {"seeder.geojson", "seeder.traffic"},
    {"seeder.plane"},
    {"seeder.tilelist", "seeder.shapes"},
    {"seeder.tileset"},
    {"seeder.pieces"},
    {"seeder.curve"},
    {"seeder.pages", "seeder.wmts", "seeder.thumbnail", "seeder.answers"},
    {"tiler.ingest", "tiler.http"},
    {"tiler.bake"},
    {"tiler.room"},
    {"tiler.fill", "tiler.choose"},
    {"tiler.render"},
    {"tiler.survey"},
    {"tiler.styling"},
    {"tiler.raster", "tiler.halve", "tiler.beneath", "tiler.packed", "tiler.sample"},
    {"tiler.sparse", "tiler.classes"},
    {"tiler.datasets", "tiler.pixels", "tiler.units"},
    {"tiler.control", "tiler.amplitude", "tiler.doubts"},
    {"tiler.place"},
    {"tiler.catalog", "tiler.cog", "tiler.remote", "tiler.bodies", "tiler.laid", "tiler.parts"},
    {"tiler.encode", "tiler.axes", "tiler.terrain", "tiler.colormap"},
    {"tiler.history", "tiler.options"},
    {"tiler.style", "tiler.storage", "tiler.footprint", "tiler.processes"},
    {"tiler.overlap"},
    {"tiler.keys"},
    {
        "tiler.alive",
        "tiler.baked",
        "tiler.reading",
        "tiler.folder",
        "tiler.grid",
        "tiler.settings",
        "tiler.credit",
        "tiler.inputs",
        "tiler.leftover",
        "tiler.origin",
    },
    {"tiler.errors"},
    {"tiler.__init__", "seeder.__init__"},
]


def imports(module: str) -> set[str]:
    """Every module that `module` names in an import, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_module_has_a_floor() -> None:
    assert set(MODULES) == set().union(*FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    height = next(number for number, floor in enumerate(FLOORS) if module in floor)
    below: set[str] = set().union(*FLOORS[height + 1 :])
    assert imports(module) & set(MODULES) <= below


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        (
            "rasterio",
            {
                f"tiler.{room}"
                for room in (
                    "__init__",
                    *["raster", "datasets", "remote", "survey", "bake", "render", "room", "bodies"],
                    *[
                        "pixels",
                        "place",
                        "sample",
                        "sparse",
                        "styling",
                        "classes",
                        "units",
                        "amplitude",
                        "laid",
                        "parts",
                        "control",
                        "doubts",
                    ],
                )
            },
        ),
        ("obstore", {"tiler.storage"}),
        ("boto3", {"seeder.aws"}),
        ("aws_lambda_powertools", {"seeder.worker"}),
        ("tenacity", {"seeder.sqs", "seeder.poll", "seeder.purge"}),
        ("cmap", {"tiler.colormap"}),
        ("shapely", {"seeder.plane"}),
        ("pmtiles", {"seeder.pmtiles_file"}),
        ("PIL", {"tiler.encode", "tiler.halve"}),
        (
            "click",
            {
                f"seeder.{room}"
                for room in (
                    *("cli", "console", "selectors", "perform", "sweep", "count", "export"),
                    *("ingest", "seed", "verify", "invalidate", "refresh", "remove", "job_verbs", "serve", "publish"),
                )
            },
        ),
    ],
)
def test_a_dear_package_is_imported_only_at_home(package: str, homes: set[str]) -> None:
    users = {module for module in MODULES if any(name.split(".")[0] == package for name in imports(module))}
    assert users == homes


def test_no_command_imports_boto3_before_it_needs_it() -> None:
    """It takes a third of a second."""
    loaded = "import sys, seeder.cli; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_only_programs_touch_the_environment() -> None:
    """And the Lambdas: they hand `os.environ` to Settings; nothing else may read it."""
    readers = {module for module, path in MODULES.items() if re.search(r"os\.environ|getenv", path.read_text())}
    assert readers == {"seeder.console", "seeder.worker", "tiler.http"}


def test_no_module_passes_400_lines() -> None:
    assert {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 400} == {}
