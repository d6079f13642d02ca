"""Commands run in this process, and their output."""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

from click.testing import CliRunner, Result
from mercantile import Tile

from seeder.cli import main as cli

Tiles = AbstractSet[Tile]


def seeder(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.main, [*map(str, words)], input=stdin)


def said(result: Result) -> dict[str, Any]:
    """The one line of JSON."""
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def complaint(result: Result) -> str:
    """The single line of the error."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = [line for line in result.stderr.splitlines() if line.lower().startswith("error: ")]
    assert isinstance(result.exception, SystemExit)
    return line


def listed(*words: object, stdin: str | None = None) -> Tiles:
    """The tiles printed by `list`, each once."""
    result = seeder("list", *words, stdin=stdin)
    assert result.exit_code == 0, result.output
    rows = [line.split("/") for line in result.stdout.splitlines()]
    found = {Tile(x=int(x), y=int(y), z=int(z)) for z, x, y in rows}
    assert len(found) == len(rows)
    return found


def geojson(*geometries: object) -> str:
    features = [{"type": "Feature", "properties": {}, "geometry": each} for each in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features})


def together(parts: Iterable[Iterable[Tile]]) -> Tiles:
    return {tile for part in parts for tile in part}
