"""Files and lists for tests of sources: small rasters, STAC items, indexes, and refused expansions."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.rasters import Recipe, write_raster
from tiler.errors import BadSource
from tiler.scenes.expand import expand


def raster(path: Path) -> Path:
    """A small raster at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_raster(path, Recipe(values=np.full((1, 4, 4), 7, np.uint8), options=()))


def touched(folder: Path, *names: str) -> list[str]:
    """Files with these names; their paths."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [str(folder / name) for name in names]


def paths(*sources: str | Path, **options: Any) -> list[str]:
    """The paths of the scenes of `sources`."""
    return [each.path for each in expand([str(each) for each in sources], **options)]


def refusal(*sources: str | Path, **options: Any) -> str:
    """The message of a refused expansion: one line with a cure."""
    with pytest.raises(BadSource) as caught:
        expand([str(each) for each in sources], **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.count(": ") >= 2, message
    return message.partition(": ")[2]


def item(name: str = "one", date: str | None = "2026-05-01T10:00:00Z", self: str = "", **assets: Any) -> dict[str, Any]:
    """A STAC item; an asset is an address, or its description."""
    described = {key: {"href": each} if isinstance(each, str) else each for key, each in assets.items()}
    links = [{"rel": "self", "href": self}] if self else []
    times = {"datetime": date}
    return {"type": "Feature", "stac_version": "1.0.0", "id": name, "properties": times, "links": links} | {
        "assets": described
    }


def collection(*features: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A collection of features."""
    return {"type": "FeatureCollection", "features": list(features)} | more


def saved(file: Path, value: Any) -> Path:
    """`value` as JSON in `file`."""
    file.write_text(json.dumps(value))
    return file


def geopackage(file: Path, rows: list[dict[str, Any]], kind: str = "features") -> Path:
    """A GeoPackage with one table of `rows`; the table of contents is all that readers of indexes need."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT)")
        database.execute("INSERT INTO gpkg_contents VALUES ('my index', ?)", (kind,))
        fields = ", ".join(f'"{name}"' for name in rows[0])
        database.execute(f'CREATE TABLE "my index" (fid INTEGER PRIMARY KEY, geom BLOB, {fields})')
        for row in rows:
            marks = ", ".join("?" for _ in row)
            database.execute(f'INSERT INTO "my index" ({fields}) VALUES ({marks})', tuple(row.values()))
        database.commit()
    return file
