"""A test of pure code starts at once: nothing that it does not need is imported for it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

DEAR = ("moto", "boto3", "botocore", "rasterio", "click", "PIL", "obstore", "shapely", "starlette")  # to import
PURE = (
    *("seeder.select.tileset", "seeder.select.order", "seeder.select.burn", "tiler.keys", "tiler.grid"),
    *("tests.conftest", "tests.fixtures.layers", "tests.fixtures.aws"),
    *("tests.seeder.select.test_tileset", "tests.tiler.test_keys", "tests.tiler.test_grid"),
)


def module_of(path: Path) -> str:
    """The name of the module in a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def modules_named_in(path: Path) -> set[str]:
    """Every module, or name in a module, that a file imports, wherever the import stands."""
    package = path.relative_to(ROOT).parent.parts
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *(node.module or "").split("."))).strip(".")
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def test_no_test_file_is_imported() -> None:
    """What tests share stands in tests/support, fixtures in tests/fixtures."""
    paths = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    tests = {module_of(path) for path in paths if path.name.startswith("test_") or path.name == "conftest.py"}
    assert len(tests) > 100
    assert {module_of(path): found for path in paths if (found := modules_named_in(path) & tests)} == {}


def test_an_import_is_found_in_whatever_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "tests" / "a").mkdir(parents=True)
    path = tmp_path / "tests" / "a" / "test_one.py"
    for text in (
        "import tests.a.test_two",
        "from tests.a import test_two",
        "from tests.a.test_two import helper",
        "from . import test_two",
        "from .test_two import helper",
        "def inside():\n    from ..a.test_two import helper",
    ):
        path.write_text(text)
        assert "tests.a.test_two" in modules_named_in(path), text


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The packages that are there once what a test of pure code needs was imported."""
    code = f"import sys, {', '.join(PURE)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("package", DEAR)
def test_a_test_of_pure_code_does_not_wait_for(package: str, imported: set[str]) -> None:
    assert {"tests", "seeder", "tiler", "hypothesis"} <= imported
    assert package not in imported


def test_pytests_settings_name_no_class_that_it_would_import() -> None:
    """For a filter of warnings by a class of a package, pytest imports the package for every test."""
    text = (ROOT / "pyproject.toml").read_text()
    filters = text[text.index("filterwarnings = [") :].split("\n]")[0]
    categories = [line.split('"')[1].split(":")[2:3] for line in filters.splitlines() if line.strip().startswith('"')]
    assert [category for category in categories if any("." in part for part in category)] == []
