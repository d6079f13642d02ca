"""The modules of both packages and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT


def _named(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_named(path): path for top in ("tiler", "seeder") for path in sorted((ROOT / top).rglob("*.py"))}


@cache
def imports(module: str) -> set[str]:
    """Every module imported by `module`, anywhere in the file."""
    return _imported(ast.walk(ast.parse(MODULES[module].read_text())))


def imports_at_top(module: str) -> set[str]:
    """Every module imported together with `module`: neither for types alone nor within a function."""
    return _imported(ast.parse(MODULES[module].read_text()).body)


def _imported(nodes: Iterable[ast.AST]) -> set[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package_of(module: str) -> str:
    """The package of a module, or the module itself if it is not in a package."""
    top, *rest = module.split(".")
    return f"{top}.{rest[0]}" if rest else top
