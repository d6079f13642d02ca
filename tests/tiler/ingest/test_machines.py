"""Kernels and bakes give the same bytes on processors of different kinds."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numpy._core import _multiarray_umath as numpy_core

from tests.support.machine_digests import recipes
from tests.support.paths import ROOT

CORES = {"Prescott": "SSE3", "Haswell": "AVX2", "SkylakeX": "AVX512F"}  # of OpenBLAS, and their needs


def kinds() -> dict[str, dict[str, str]]:
    """The environments in which this processor works as others do, by their names."""
    dispatched = [each for each in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__.get(each)]
    wide = [each for each in dispatched if each.startswith(("AVX512", "X86_V4"))]
    cores = [core for core, need in CORES.items() if numpy_core.__cpu_features__.get(need)]
    environments = {core: {"OPENBLAS_CORETYPE": core} for core in cores}
    for core, features in (("Prescott", dispatched), ("Haswell", wide)):
        if core in environments and features:
            environments[core]["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
    return environments


def digests(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Of the kernels and bakes of a process in `environment`."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.support.machine_digests", str(folder)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=ROOT, check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the kinds are those of x86-64")
def test_pixels_do_not_depend_on_the_processor(tmp_path: Path) -> None:
    environments = kinds()
    with ThreadPoolExecutor(2) as pool:
        found = dict(
            zip(
                environments,
                pool.map(lambda kind: digests(environments[kind], tmp_path / kind), environments),
                strict=True,
            )
        )
    first, *others = found.values()
    assert set(recipes()) < set(first)
    for name, known in first.items():
        same = all(other[name] == known for other in others)
        assert same != name.startswith("control"), name
