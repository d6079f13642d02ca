"""Imports point one way, and what is dear to import stays where it is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from seeder.cli.main import main
from tests.support.imports import MODULES, imports, imports_at_top, package_of
from tests.support.paths import ROOT

# Each package, and those that it may import: a package's own modules, and of `tiler` what stands beside its packages,
# are always allowed.
BASE = {
    *("tiler.alive", "tiler.choices", "tiler.errors", "tiler.grid", "tiler.inputs", "tiler.keys", "tiler.settings"),
    *("tiler.processes", "tiler.timing", "tiler.undecodable", "tiler.without_boto3"),
}
TILER = {
    "tiler.storage": set[str](),
    "tiler.image": set[str](),
    "tiler.raster": {"tiler.storage", "tiler.image"},
    "tiler.layers": {"tiler.storage", "tiler.image", "tiler.raster"},
    "tiler.scenes": {"tiler.storage", "tiler.image", "tiler.raster", "tiler.layers"},
    "tiler.ingest": {"tiler.storage", "tiler.image", "tiler.raster", "tiler.layers", "tiler.scenes"},
    "tiler.http": {"tiler.storage", "tiler.layers"},
}
SEEDER = {
    "seeder.defaults": set[str](),
    "seeder.select": set[str](),
    "seeder.aws": set[str](),
    "seeder.archive": {"seeder.select"},
    "seeder.jobs": {"seeder.select", "seeder.aws"},
    "seeder.workers": {"seeder.select", "seeder.aws", "seeder.jobs"},
    "seeder.cache": {"seeder.select", "seeder.aws", "seeder.jobs", "seeder.workers"},
    "seeder.serve": {"seeder.select", "seeder.aws", "seeder.jobs", "seeder.workers", "seeder.cache"},
    "seeder.operations": {
        *("seeder.select", "seeder.aws", "seeder.jobs", "seeder.workers", "seeder.cache", "seeder.archive"),
    },
    "seeder.bakes": {
        *("seeder.select", "seeder.aws", "seeder.jobs", "seeder.workers", "seeder.cache", "seeder.archive"),
        "seeder.operations",
    },
    "seeder.api": {
        *("seeder.select", "seeder.aws", "seeder.jobs", "seeder.workers", "seeder.cache", "seeder.archive"),
        *("seeder.operations", "seeder.serve"),
    },
    "seeder.cli": {
        *("seeder.select", "seeder.aws", "seeder.jobs", "seeder.workers", "seeder.cache", "seeder.archive"),
        *("seeder.operations", "seeder.serve", "seeder.bakes"),
    },
}
ALLOWED = TILER | {package: below | {"seeder.defaults"} | TILER.keys() for package, below in SEEDER.items()}
ENTRANCES = {"tiler", "seeder", "seeder.__main__"}
# imported for the declarations of commands: options, choices, defaults
DECLARED = BASE - {"tiler.processes", "tiler.without_boto3"} | {
    "seeder",
    "tiler",
    "seeder.defaults",
    "seeder.operations.report",
}
EVERY_HELP = """
import sys
before = set(sys.modules)
from contextlib import redirect_stdout
from seeder.cli.main import main
with redirect_stdout(sys.stderr):
    for words in ((), *((name,) for name in main.homes)):
        main.main([*words, "--help"], "seeder", standalone_mode=False)
print(*sys.modules.keys() - before)
"""


def test_every_module_is_in_a_package() -> None:
    assert {package_of(module) for module in MODULES} <= ALLOWED.keys() | BASE | ENTRANCES


@pytest.mark.parametrize("module", sorted(MODULES.keys() - ENTRANCES))
def test_a_package_imports_only_what_the_table_allows(module: str) -> None:
    own = package_of(module)
    below = BASE if own in BASE else ALLOWED[own] | BASE | {own}
    up = {name for name in imports(module) & MODULES.keys() if package_of(name) not in below | {"tiler", "seeder"}}
    assert not up, f"{module} must not import {', '.join(sorted(up))}: {own} may import {', '.join(sorted(below))}"


def test_no_modules_import_each_other() -> None:
    order = TopologicalSorter({module: imports(module) & MODULES.keys() - {module} for module in MODULES})
    order.prepare()  # raises, naming the circle, if there is one
    assert order.is_active()


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        (
            "rasterio",
            {
                *("tiler.without_boto3", "tiler.storage.gdal_reads"),
                *("tiler.layers.render", "tiler.layers.part_pixels", "tiler.layers.raster_pixels"),
                *("tiler.layers.differing", "tiler.layers.class_shares"),
                *("tiler.raster", "tiler.scenes", "tiler.ingest"),
            },
        ),
        ("obstore", {f"tiler.storage.{name}" for name in ("store", "bucket", "faults", "access")}),
        ("boto3", {"tiler.storage.access"}),
        ("s3transfer", {"tiler.storage.upload"}),
        ("aws_lambda_powertools", {"seeder.workers.lambda_handler"}),
        ("tenacity", {"seeder.workers.sqs", "seeder.workers.daemon", "seeder.cache.purge", "seeder.jobs.receipts"}),
        ("cmap", {"tiler.image.colormap"}),
        ("shapely", {"seeder.select.geometry", "seeder.select.vector"}),
        ("pyogrio", {"seeder.select.vector"}),
        ("pyarrow", {"seeder.select.vector"}),
        ("pmtiles", {"seeder.archive.pmtiles"}),
        ("PIL", {"tiler.image.encode", "tiler.ingest.overviews"}),
        ("click", {"seeder.cli"}),
        ("tqdm", {"seeder.cli"}),
        ("starlette", {"seeder.serve"}),
    ],
)
def test_a_dear_package_is_imported_only_at_home(package: str, homes: set[str]) -> None:
    users = {module for module in MODULES if any(name.split(".")[0] == package for name in imports(module))}
    assert users
    assert {user for user in users if user not in homes and package_of(user) not in homes} == set()
    assert {home for home in homes if not any(home in (user, package_of(user)) for user in users)} == set()


@pytest.mark.parametrize(
    "package", ["seeder.archive", "seeder.jobs", "seeder.workers", "seeder.cache", "seeder.operations", "seeder.api"]
)
def test_what_commands_call_knows_no_terminal(package: str) -> None:
    """Neither by itself nor through other modules: programs without a command line call it, too."""
    reached = new = {module for module in MODULES if package_of(module) == package}
    assert reached
    while new := {name for module in new for name in imports(module) & MODULES.keys()} - reached:
        reached = reached | new
    users = {
        f"{module} imports {name}"
        for module in reached
        for name in imports(module)
        if name.split(".")[0] in {"click", "tqdm", "tabulate"} or package_of(name) == "seeder.cli"
    }
    assert users == set()


@pytest.mark.parametrize("module", sorted(module for module in MODULES if package_of(module) == "seeder.cli"))
def test_a_command_imports_what_it_runs_when_it_runs(module: str) -> None:
    """Help and completion wait for declarations only: types are imported for type checkers, the rest in functions."""
    ours = {name for name in imports_at_top(module) & MODULES.keys() if package_of(name) != "seeder.cli"}
    packages = {name.split(".")[0] for name in imports_at_top(module)}
    assert ours - DECLARED == set()
    assert packages - sys.stdlib_module_names - {"seeder", "tiler", "click"} == set()


def test_no_help_waits_for_what_its_command_runs() -> None:
    """Neither packages such as rasterio and boto3, nor the slower part of the standard library."""
    done = subprocess.run([sys.executable, "-c", EVERY_HELP], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.count("Usage: seeder ") == 1 + len(main.homes)
    loaded = set(done.stdout.split())
    assert {name for name in loaded & MODULES.keys() if package_of(name) != "seeder.cli"} <= DECLARED | {
        "seeder.operations"
    }
    assert {name.split(".")[0] for name in loaded} - sys.stdlib_module_names == {
        "seeder",
        "tiler",
        "click",
        "mercantile",
    }
    assert loaded & {"asyncio", "concurrent.futures", "email", "http", "importlib.metadata", "multiprocessing"} == set()


def test_only_programs_touch_the_environment() -> None:
    """And the Lambdas, and `seeder.open`: they hand `os.environ` to Settings; nothing else may read it."""
    readers = {module for module, path in MODULES.items() if re.search(r"os\.environ|getenv", path.read_text())}
    assert readers == {
        *("seeder.cli.common", "seeder.api.workspace", "seeder.workers.lambda_handler", "tiler.http"),
        "seeder.bakes.lambda_handler",
    }


def test_no_module_passes_400_lines() -> None:
    assert {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 400} == {}
