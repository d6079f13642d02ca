"""A wheel and an sdist hold the preview's pages, or their build stops with a cure; the wheel declares its imports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.imports import MODULES, imports
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
OPTIONAL = {canonicalize_name(Requirement(each).name) for extra in EXTRAS for each in extra}
DECLARED = {canonicalize_name(each.name): each for each in map(Requirement, PROJECT["dependencies"])}
PAGES = "seeder/serve/assets/layer.html"
NO_NODE = "exit 1"
NODE = f'[ "$1" = -e ] || {{ mkdir -p ../seeder/serve/assets && echo built >../{PAGES}; }}'  # it runs in preview/
FILES = ["setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "scripts/preview"]
PACKAGES = ["seeder/__init__.py", "seeder/serve/__init__.py"]
SOURCES = ["preview/package-lock.json", "preview/build.mjs", "preview/src/layer.js"]
NEEDS_NODE = "error: install Node 20 or newer to build the preview, or set TILER_BUILD_PAGES=no to build without pages"
Build = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a clone as building needs."""
    folder = tmp_path / "clone"
    for name in (*FILES, *PACKAGES, *SOURCES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for name in (*PACKAGES, *SOURCES):
        (folder / name).touch()
    return folder


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Runs a command of setup.py in a folder, with a Node that does what a line of shell says."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    (tools / "npm").write_text("#!/bin/sh\nmkdir -p node_modules\n")

    def run(folder: Path, command: str, node: str) -> subprocess.CompletedProcess[str]:
        (tools / "node").write_text(f"#!/bin/sh\n{node}\n")
        for tool in tools.iterdir():
            tool.chmod(0o755)
        words = (sys.executable, "setup.py", "--quiet", command, "--dist-dir", str(folder / "dist"))
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)

    return run


def unpacked(clone: Path) -> Path:
    """The sdist of a clone, unpacked."""
    (archive,) = (clone / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as members:
        members.extractall(clone.parent, filter="data")
    return clone.parent / archive.name.removesuffix(".tar.gz")


def members(folder: Path) -> list[str]:
    """What the wheel of a folder holds."""
    (wheel,) = (folder / "dist").glob("*.whl")
    return ZipFile(wheel).namelist()


def test_a_build_without_node_stops_and_names_the_cure(clone: Path, build: Build) -> None:
    done = build(clone, "bdist_wheel", NO_NODE)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [NEEDS_NODE]
    assert not (clone / "dist").exists()


def test_an_sdist_holds_the_pages_and_gives_its_wheel_without_node(clone: Path, build: Build) -> None:
    assert build(clone, "sdist", NODE).returncode == 0
    source = unpacked(clone)
    assert build(source, "bdist_wheel", NO_NODE).returncode == 0
    assert PAGES in members(source)


def test_a_build_without_pages_must_be_asked_for_at_every_step(
    clone: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILER_BUILD_PAGES", "no")
    assert build(clone, "sdist", NO_NODE).returncode == 0
    source = unpacked(clone)
    assert not (source / PAGES).exists()
    monkeypatch.delenv("TILER_BUILD_PAGES")
    done = build(source, "bdist_wheel", NODE)
    assert done.returncode == 1
    assert re.fullmatch(r"error: the preview's pages are missing: .*TILER_BUILD_PAGES=no .*\n", done.stderr)


def test_an_editable_install_needs_no_node(clone: Path, build: Build) -> None:
    assert build(clone, "editable_wheel", NO_NODE).returncode == 0
    assert members(clone)


def test_every_import_is_declared_and_every_requirement_imported() -> None:
    names = {name.split(".")[0] for module in MODULES for name in imports(module)}
    outside = names - sys.stdlib_module_names - {"seeder", "tiler", "botocore"}  # boto3 brings the last along
    assert {canonicalize_name({"PIL": "pillow"}.get(name, name)) for name in outside} == {*DECLARED, *OPTIONAL}


@pytest.mark.parametrize("name", DECLARED)
def test_the_locked_version_is_one_that_the_wheel_allows(name: str) -> None:
    pins = re.findall(rf"(?mi)^{re.escape(name)}==(\S+)", (ROOT / "requirements.txt").read_text())
    assert pins
    assert str(DECLARED[name].specifier).startswith(">="), "the oldest version that works"
    assert [pin for pin in pins if not DECLARED[name].specifier.contains(pin)] == []
