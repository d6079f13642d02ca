"""The sources of `Workspace.ingest` and `Layer.refresh`, checked like those of the commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

from seeder.operations.checks import check_text, path_of, refusal
from seeder.operations.ingest_arguments import changes_of
from seeder.operations.next_source import NextSource
from seeder.operations.scenes import SceneChanges, Sources
from tiler.choices import OVERLAPS, Overlap
from tiler.ingest.staging import Staging

Source = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments of a call that name sources and say how to read them."""

    source: Source | Iterable[Source] | None = None
    overlap: Overlap | None = None
    asset: str = ""
    checksum: bool = False
    add: Source | Iterable[Source] = ()
    replace: Source | Iterable[Source] = ()
    drop: str | Iterable[str] = ()

    def sources(self) -> Sources:
        """The sources of a whole list.

        Raises:
            BadOption: an argument is invalid.
        """
        if self.overlap is not None and self.overlap not in OVERLAPS:
            raise refusal("overlap", self.overlap, f"choose one of {', '.join(OVERLAPS)}")
        check_text("asset", self.asset)
        if not isinstance(self.checksum, bool):
            raise refusal("checksum", self.checksum, "give True or False")
        names = () if self.source is None else _names("source", self.source)
        return Sources(names, self.overlap, self.asset, self.checksum)

    def changes(self) -> SceneChanges:
        """The changes to a list.

        Raises:
            BadOption: an argument is invalid.
        """
        names = (("add", self.add), ("replace", self.replace), ("drop", self.drop))
        return SceneChanges(*(_names(name, value) for name, value in names))

    def next_source(self, options: Mapping[str, Any], staging: Staging) -> NextSource:
        """The rasters of a layer's next revision.

        Raises:
            BadOption: an argument is invalid.
        """
        sources = self.sources()
        if self.source is not None and not sources.names:
            raise refusal("source", self.source, "give one source or more, or leave it out")
        return NextSource(sources, changes_of(options), staging, self.changes())


def _names(name: str, value: Source | Iterable[Source]) -> tuple[str, ...]:
    """An argument as paths: one, or several."""
    if isinstance(value, str | PathLike):
        return (path_of(name, value),)
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise refusal(name, value, "give a path, or a list of paths")
    return tuple(path_of(name, each) for each in value)
