"""The Serverless Framework in a folder of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.shared import shared_folder

# Stands for the script of the same name: takes the zip that it made here, or else a stub.
PACKAGE_LAMBDA = """#!/bin/sh
for arch in "$@"; do
    ln -sf {made}/lambda-$arch.zip dist/
    [ -e dist/lambda-$arch.zip ] || cp --remove-destination scripts/stub.zip dist/lambda-$arch.zip
    echo "built lambda-$arch.zip"
done
"""


def lay_out(folder: Path) -> Path:
    """A copy of what a deployment needs in `folder`, so that no test writes into the working tree."""
    installed = ROOT / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (ROOT / "package-lock.json").stat().st_mtime:
        subprocess.run(["npm", "ci"], cwd=ROOT, check=True, capture_output=True)
    for name in ("serverless.yml", "package.json"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    for name in ("dist", "scripts"):
        (folder / name).mkdir()
    script = folder / "scripts" / "package-lambda"
    script.write_text(PACKAGE_LAMBDA.format(made=shlex.quote(str(ROOT / "dist"))))
    script.chmod(0o755)
    with zipfile.ZipFile(folder / "scripts" / "stub.zip", "w") as stub:
        stub.writestr("README", "stands for the package that scripts/package-lambda builds")
    return folder


def shared_template(factory: pytest.TempPathFactory, *arguments: str) -> dict[str, Any]:
    """The template of a stage, made once in a test run, whichever of its processes needs it first."""

    def fill(folder: Path) -> None:
        service = folder / "service"
        service.mkdir()
        (folder / "template.json").write_text(json.dumps(packaged(lay_out(service), folder / "out", *arguments)))

    name = hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:12]
    found: dict[str, Any] = json.loads((shared_folder(factory, f"template-{name}", fill) / "template.json").read_text())
    return found


def packaged(folder: Path, out: Path, *arguments: str) -> dict[str, Any]:
    """The template that the framework makes in the folder `out`."""
    done = serverless(folder, "package", "--package", str(out), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    template: dict[str, Any] = json.loads((out / "cloudformation-template-update-stack.json").read_text())
    return template


def serverless(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the Serverless Framework in `folder`, with keys that open nothing."""
    return subprocess.run(
        [ROOT / "node_modules" / ".bin" / "serverless", *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "NPM_CONFIG_UPDATE_NOTIFIER": "false",  # asks the network
            "SLS_AWS_MONITORING_FREQUENCY": "200",  # ms between looks at a stack
            "SLS_SCHEMA_CACHE_BASE_DIR": str(ROOT / "node_modules" / ".cache"),  # 4 s to compile, named by its hash
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def node(script: str) -> Any:
    """What a script prints in the project's folder, as JSON."""
    done = subprocess.run(["node", "-e", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
