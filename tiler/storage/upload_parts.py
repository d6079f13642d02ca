"""The parts of a large upload to S3, and the record of one that is under way.

S3 takes at most 10,000 parts of 5 MiB to 5 GiB; only the last may be smaller.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tiler.inputs import read_json

MIB = 1 << 20
LEAST_PART = 8 * MIB
LARGEST_PART = 5 << 30  # of S3
MOST_PARTS = 10_000  # of S3
USUAL_PARTS = 9000  # of a large file
RECORD = ".upload"  # suffix of the JSON file beside an uploaded file


@dataclass(frozen=True, slots=True)
class PartPlan:
    """A file of `size` bytes in parts of `part` bytes; the last may be smaller."""

    size: int
    part: int

    @classmethod
    def of(cls, size: int, least: int = LEAST_PART) -> PartPlan:
        """The plan for a file: parts of at least `least` bytes, about 9,000 of a large file.

        Raises:
            ValueError: the file is larger than 10,000 parts of 5 GiB.
        """
        if size > MOST_PARTS * LARGEST_PART:
            raise ValueError("S3 stores no object larger than 48.8 TiB")
        share = -(-size // USUAL_PARTS)
        return cls(size, least if share <= least else min(-(-share // MIB) * MIB, LARGEST_PART))

    @property
    def count(self) -> int:
        """The number of parts; an empty file has one."""
        return max(1, -(-self.size // self.part))

    def length(self, number: int) -> int:
        """The bytes of a part; numbers begin at 1."""
        return min(self.part, self.size - self.offset(number))

    def offset(self, number: int) -> int:
        """The first byte of a part."""
        return (number - 1) * self.part


@dataclass(frozen=True, slots=True)
class Record:
    """An upload under way, and the file that it sends."""

    url: str
    key: str
    upload: str  # S3's id
    token: str  # ours, in the object's metadata
    part: int
    size: int
    modified: int  # nanoseconds

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """The record in a file; None if there is none, or it was not written by this version."""
        try:
            return cls(**read_json(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Replace the file at `path`, at once or not at all."""
        write_json(path, asdict(self))


def write_json(path: Path, content: object) -> None:
    """Replace a JSON file, at once or not at all, even if the power fails."""
    staged = path.with_name(f"{path.name}.new")
    with staged.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def record_of(path: Path) -> Path:
    """The record beside an uploaded file."""
    return path.with_name(path.name + RECORD)
