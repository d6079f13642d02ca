"""Build the preview's pages before a wheel or an sdist; all other settings are in pyproject.toml.

In a clone, `scripts/preview` builds them. An sdist holds them, so building its wheel needs no Node. An editable
install does not build them. With `TILER_BUILD_PAGES=no`, only pages built earlier are included.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.errors import SetupError

ROOT = Path(__file__).parent
BUILDER = ROOT / "scripts" / "preview"  # not in an sdist
PAGE = ROOT / "seeder" / "serve" / "assets" / "layer.html"
CHOICE = "set TILER_BUILD_PAGES=no to build without pages"


def build_pages() -> None:
    """Build the pages, unless this is an sdist that holds them.

    Raises:
        SetupError: the pages can be neither built nor found.
    """
    if os.environ.get("TILER_BUILD_PAGES") == "no":
        return
    if BUILDER.exists():
        done = subprocess.run([BUILDER], stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - ours
        if done.returncode:
            raise SetupError(f"{done.stderr.strip()}, or {CHOICE}")
    elif not PAGE.exists():
        raise SetupError(f"the preview's pages are missing: build from a clone with Node 20 or newer, or {CHOICE}")


class BuildPy(build_py):
    """`build_py`, with the pages."""

    def run(self) -> None:
        """Build the pages, then collect the packages."""
        if not self.editable_mode:
            build_pages()
        super().run()


class Sdist(sdist):
    """`sdist`, with the pages."""

    def run(self) -> None:
        """Build the pages, then collect the sources."""
        build_pages()
        super().run()


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
