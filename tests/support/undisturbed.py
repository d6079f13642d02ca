"""Compare a data folder with an undisturbed run by content: every key, byte for byte.

The project's own checks (receipts, listings, `verify`) are not used. The other run uses the public commands in an empty
folder. From a shell, with the arguments of the two commands:

    python -m tests.support.undisturbed data --ingest "relief.tif --layer relief" --seed "relief --zooms 0-10"
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

BAKED = ("parts", "shards")  # folders of what a layer was baked into


def run(data: Path, ingest: Sequence[str], seed: Sequence[str]) -> Path:
    """Ingest and seed into an empty folder; return it.

    Raises:
        CalledProcessError: a command failed.
    """
    for words in (["ingest", *ingest], ["seed", *seed]):
        command = [sys.executable, "-m", "seeder", *words, "--data", str(data)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return data


def contents(data: Path) -> dict[str, bytes]:
    """Every public file of a folder, every part and its facts, and the manifest, independent of the folder's path."""
    here = data.resolve().as_uri().encode()
    public, private = data / "tiles", data / "private"
    files = [path for path in public.rglob("*") if path.is_file()]
    files += sorted(path for folder in BAKED for path in private.glob(f"sources/*/{folder}/*"))
    return {str(path.relative_to(data)): path.read_bytes().replace(here, b"") for path in files}


def differences(data: Path, right: Path) -> Iterator[str]:
    """One line per missing, extra or different key, in order."""
    found, wanted = contents(data), contents(right)
    for key in sorted(found.keys() | wanted.keys()):
        if key not in found:
            yield f"missing: {key}"
        elif key not in wanted:
            yield f"too many: {key}"
        elif found[key] != wanted[key]:
            yield f"other bytes: {key}"


def main() -> int:
    """Run the command; return 0 if equal, otherwise 1 with a line per difference."""
    parser = argparse.ArgumentParser(description="Compare a data folder with an undisturbed run, byte for byte.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--ingest", required=True, help="the words behind `seeder ingest`")
    parser.add_argument("--seed", required=True, help="the words behind `seeder seed`")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        right = run(Path(folder) / "data", shlex.split(asked.ingest), shlex.split(asked.seed))
        said = list(differences(asked.data, right))
        number = len(contents(right))
    print("\n".join([*said, f"{number} files compared, {len(said)} differ"]))  # noqa: T201 - this is a command
    return int(bool(said) or not number)


if __name__ == "__main__":
    sys.exit(main())
