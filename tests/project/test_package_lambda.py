"""scripts/package_lambda.py: when it builds and what it says, and that slimming a library does it no harm.

What comes of it is tested in tests/e2e/test_package_lambda.py.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import rasterio
from elftools.elf.elffile import ELFFile

from tests.support.packaging import COMPILER, copy_of_the_project, package_lambda

DEPENDENCIES = package_lambda.dependencies


def headers(data: bytes) -> list[dict[str, Any]]:
    """The program headers of a library."""
    return [dict(segment.header) for segment in ELFFile(BytesIO(data)).iter_segments()]


@pytest.mark.skipif(sys.platform != "linux", reason="needs modules that are ELF files")
@pytest.mark.parametrize("name", sorted(path.name for path in Path(rasterio.__file__).parent.glob("*.so")))
def test_slimming_changes_nothing_that_is_loaded(name: str) -> None:
    data = (Path(rasterio.__file__).parent / name).read_bytes()
    slim = package_lambda.slim(data)
    before, after = headers(data), headers(slim)
    start = 64 + len(before) * 56  # behind the program headers, which say anew where in the file a segment is
    for old, new in zip(before, after, strict=True):
        assert {**old, "p_offset": 0} == {**new, "p_offset": 0}
        assert (new["p_offset"] - new["p_vaddr"]) % max(new["p_align"], 1) == 0 or new["p_type"] == "PT_GNU_STACK"
        skipped = max(0, start - old["p_offset"]) if old["p_type"] == "PT_LOAD" else 0
        size = old["p_filesz"]
        if old["p_type"] != "PT_PHDR":
            kept = slim[new["p_offset"] + skipped : new["p_offset"] + size]
            assert kept == data[old["p_offset"] + skipped : old["p_offset"] + size]
    assert len(slim) < len(data) / 2


def test_slimming_leaves_alone_what_it_does_not_know() -> None:
    assert package_lambda.slim(b"\xcf\xfa\xed\xfe of another system") == b"\xcf\xfa\xed\xfe of another system"


class Project:
    """A copy of the project, and the script at work on it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._patch, self._capsys = root, monkeypatch, capsys
        self.zip = root / "dist" / "lambda-arm64.zip"

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, what it said, and what it complained of."""
        self._patch.setattr(sys, "argv", ["package_lambda.py", *arguments])
        code = package_lambda.run()
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    """A copy of the project that has no dependencies and few modules, for speed."""
    root = copy_of_the_project(tmp_path / "project")
    for path in (*(root / "tiler").iterdir(), *(root / "seeder").iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
    monkeypatch.setattr(package_lambda, "ROOT", root)
    monkeypatch.setattr(package_lambda, "dependencies", lambda _arch: {})
    return Project(tmp_path / "project", monkeypatch, capsys)


def test_what_is_up_to_date_is_not_built_again(project: Project) -> None:
    assert project.run("arm64")[0] == 0
    before = project.zip.stat().st_mtime_ns
    assert project.run("arm64") == (0, "dist/lambda-arm64.zip is up to date\n", "")
    assert project.zip.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change",
    [
        "module",
        "version",
        pytest.param("interpreter", marks=pytest.mark.skipif(not COMPILER, reason="needs Python 3.13")),
        "torn zip",
        "force",
    ],
)
def test_a_change_builds_again(project: Project, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    project.run("arm64")
    before = project.zip.stat().st_mtime_ns
    if change == "module":
        (project.root / "seeder" / "more.py").write_text("MORE = 1\n")
    elif change == "version":
        for name in ("requirements.txt", "requirements-lambda.txt"):
            pinned = project.root / name
            pinned.write_text(re.sub(r"rasterio==[\d.]+", "rasterio==9.9.9", pinned.read_text()))
    elif change == "interpreter":
        monkeypatch.setattr(package_lambda, "find_compiler", lambda: COMPILER._replace(version="3.13.99"))
    elif change == "torn zip":
        project.zip.write_bytes(project.zip.read_bytes()[:-50])
    code, said, _ = project.run("arm64", *(["--force"] if change == "force" else []))
    assert code == 0
    assert " MiB unzipped, limit 250: " in said
    assert project.zip.stat().st_mtime_ns > before


def test_without_a_python_313_the_modules_are_not_compiled(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_lambda, "find_compiler", lambda: None)
    code, said, _ = project.run("arm64")
    assert code == 0
    assert "not compiled: python3.13 is missing" in said
    with ZipFile(project.zip) as opened:
        assert {posixpath.splitext(name)[1] for name in opened.namelist()} == {".py"}


def test_a_package_that_is_too_large_is_not_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_lambda, "LIMIT", 10_000)
    code, _, complaint = project.run("arm64")
    assert code == 1
    assert complaint.startswith("package-lambda: dist/lambda-arm64.zip is too large for Lambda: ")
    assert complaint.count("\n") == 1
    assert not project.zip.exists()


def test_a_failing_disk_leaves_no_half_zip(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("arm64")
    before = project.zip.read_bytes()

    def fail(_data: bytes, _level: int) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(package_lambda.deflate, "deflate_compress", fail)
    code, _, complaint = project.run("arm64", "-f")
    assert (code, complaint) == (1, "package-lambda: [Errno 28] No space left on device\n")
    assert list((project.root / "dist").iterdir()) == [project.zip]
    assert project.zip.read_bytes() == before


def test_a_missing_network_is_told_in_a_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_lambda, "dependencies", DEPENDENCIES)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    code, _, complaint = project.run("arm64")
    assert code == 1
    assert complaint.startswith("package-lambda: the package index is not reachable; pip cannot download ")
    assert complaint.count("\n") == 1
    assert not (project.root / "dist").exists()


def test_a_version_that_the_commands_do_not_have_is_an_error(project: Project) -> None:
    with (project.root / "requirements-lambda.txt").open("a") as names:
        names.write("leftpad==1.0\n")
    code, _, complaint = project.run("arm64")
    assert code == 1
    assert complaint == (
        "package-lambda: requirements-lambda.txt pins leftpad==1.0, but requirements.txt does not: run scripts/lock\n"
    )


@pytest.mark.parametrize("arguments", [["arm32"], ["arm64", "riscv"], ["--docker"]])
def test_a_wrong_argument_is_told_in_a_line(project: Project, arguments: list[str]) -> None:
    code, said, complaint = project.run(*arguments)
    assert (code, said) == (2, "")
    assert complaint.startswith("package-lambda: ")
    assert complaint.count("\n") == 1
