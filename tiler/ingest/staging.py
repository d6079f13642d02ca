"""The scratch folder of an ingest, and a callback for its notes."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tiler.errors import BadOption

AFTER_REBOOT = Path("/var/tmp")  # noqa: S108 - folders in it are private; a restart does not empty it
MOUNTS = Path("/proc/mounts")  # of Linux
RAM_DISKS = {"tmpfs", "ramfs"}


@dataclass(frozen=True, slots=True)
class Staging:
    """The scratch folder of an ingest, and a callback.

    `scratch` is the user's folder, `temporary` that of TMPDIR; either is empty if not set. `note` takes a line for the
    user.
    """

    scratch: str = ""
    temporary: str = ""
    note: Callable[[str], object] = lambda _: None

    def parent(self, root: Path | None) -> Path:
        """The folder for scratch folders: the user's, else beside the data of a folder store with this `root`.

        For other stores it is that of TMPDIR, else `/var/tmp`, else the system's.

        Raises:
            BadOption: it cannot be made or written.
        """
        if root and not self.scratch:
            return root.parent / "scratch"
        if self.scratch or self.temporary:
            folder = Path(self.scratch or self.temporary).expanduser().absolute()
        else:
            folder = AFTER_REBOOT if os.access(AFTER_REBOOT, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
        with suppress(OSError, ValueError):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadOption(f"cannot write in the scratch folder {folder}: choose another with --scratch DIR")
        return folder

    def check_disk(self, folder: Path) -> None:
        """Note a scratch folder in memory."""
        with suppress(OSError):
            if kind_of(folder.resolve(), MOUNTS.read_text(errors="replace").splitlines()) in RAM_DISKS:
                self.note(f"the scratch folder {folder} is in memory: choose one on a disk with --scratch DIR")


def kind_of(folder: Path, mounts: Iterable[str]) -> str:
    """The file system of a folder, by the lines of `/proc/mounts`; the last of those that share a path counts."""
    kinds = {"": ""}
    for line in mounts:
        _, place, kind, *_ = [*line.split(), "", "", ""]
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place)
        if folder.is_relative_to(place or "?"):
            kinds[place] = kind
    return kinds[max(kinds, key=len)]
