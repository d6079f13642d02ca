"""Damage to the COGs of a layer's parts in a data folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Restore = Callable[[], None]


def cogs(data: Path, layer: str = "alps") -> list[Path]:
    """The COGs of a layer's parts, in all revisions."""
    found = sorted(data.glob(f"private/sources/{layer}/parts/*.tif"))
    assert found, f"layer {layer} has no parts"
    return found


def damage(data: Path, change: Callable[[bytes], bytes], layer: str = "alps") -> Restore:
    """Change the bytes of every COG; returns a function that restores them."""
    good = {cog: cog.read_bytes() for cog in cogs(data, layer)}
    for cog, content in good.items():
        cog.write_bytes(change(content))

    def restore() -> None:
        for cog, content in good.items():
            cog.write_bytes(content)

    return restore


def cut(content: bytes) -> bytes:
    """The first 1000 bytes."""
    return content[:1000]


def halved(content: bytes) -> bytes:
    """As long as before, but the second half is zeros."""
    return content[: len(content) // 2].ljust(len(content), b"\0")
