"""Patterns of paths, as a shell has them: `*` and `?` within a name, `[...]`, and `**` for any folders.

The same rules hold for files and for objects in S3. Wildcards match no leading dot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

WILD = re.compile(r"[*?[]")
ANY_FOLDERS = "**"


@dataclass(frozen=True)
class Pattern:
    """A path with wildcards: a root without any, and the parts below it; the root is empty or ends with a slash."""

    root: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """The pattern of a text, which has a wildcard or names one path."""
        parts = text.split("/")
        first = next((at for at, part in enumerate(parts) if WILD.search(part)), len(parts) - 1)
        below = [part for part in parts[first:] if part]
        if below and below[-1] == ANY_FOLDERS:
            below.append("*")
        return cls("".join(f"{part}/" for part in parts[:first]), tuple(below))

    @property
    def has_suffix(self) -> bool:
        """Whether the pattern names a suffix, as in `*.dat`."""
        return bool(PurePosixPath(self.parts[-1]).suffix) if self.parts else False

    def matches(self, below: str) -> bool:
        """Whether a path relative to the root matches."""
        return self._whole.fullmatch(below) is not None

    def enters(self, depth: int, folder: str) -> bool:
        """Whether paths in `folder` may match, whose name is part number `depth` below the root."""
        before = self.parts[: depth + 1]
        if ANY_FOLDERS in before:
            return not folder.startswith(".") or any(part.startswith(".") for part in self.parts)
        return depth < len(self.parts) - 1 and re.compile(_part(before[-1]), re.DOTALL).fullmatch(folder) is not None

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        folders = (r"(?:(?!\.)[^/]+/)*" if part == ANY_FOLDERS else f"{_part(part)}/" for part in self.parts[:-1])
        return re.compile("".join(folders) + "".join(map(_part, self.parts[-1:])), re.DOTALL)


def _part(part: str) -> str:
    """The regular expression of one name in a pattern."""
    made, at = "" if part.startswith(".") else r"(?!\.)", 0
    while at < len(part):
        sign, at = part[at], at + 1
        if sign == "*":
            made += "" if made.endswith("[^/]*") else "[^/]*"  # several in a row would take exponential time
        elif sign == "?":
            made += "[^/]"
        elif sign == "[" and (end := part.find("]", at + 1 + part.startswith("!", at))) > 0:
            made += _one_of(part[at:end])
            at = end + 1
        else:
            made += re.escape(sign)
    return made


def _one_of(signs: str) -> str:
    """The regular expression of the characters in brackets, or of all others after `!`; of nothing if no range is."""
    kept = re.sub(r"([\\\[\]^&~|])", r"\\\1", signs.removeprefix("!")).replace("--", r"\-\-")
    made = f"(?!/)[{'^' if signs.startswith('!') else ''}{kept}]"
    try:
        re.compile(made)
    except re.error:
        return "(?!)"
    return made
