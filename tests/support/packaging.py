"""scripts/package_lambda.py as a module, and a copy of its inputs."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.scripts import script

package_lambda = script("package_lambda")
COMPILER = package_lambda.find_compiler()


def copy_of_the_project(folder: Path) -> Path:
    """A copy of the script's inputs in another folder."""
    for name in ("tiler", "seeder", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "requirements-lambda.txt"):
        shutil.copy(ROOT / name, folder)
    return folder
