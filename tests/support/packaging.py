"""scripts/package_lambda.py as a module, and a copy of what it needs."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

from tests.support.paths import ROOT


def script() -> ModuleType:
    """scripts/package_lambda.py as a module."""
    spec = importlib.util.spec_from_file_location("package_lambda", ROOT / "scripts" / "package_lambda.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


package_lambda = script()
COMPILER = package_lambda.find_compiler()


def copy_of_the_project(folder: Path) -> Path:
    """What the script needs, elsewhere."""
    for name in ("tiler", "seeder", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "requirements-lambda.txt"):
        shutil.copy(ROOT / name, folder)
    return folder
