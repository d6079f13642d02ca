"""The result of a check, a tile that cannot exist, and the fields of an answer."""

from __future__ import annotations

from dataclasses import dataclass

from tiler.inputs import read_json

PROBE = "jobs/0/0/0.png"  # never a tile, because `jobs` is a reserved name


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The subject of a check, its finding, and whether it passed."""

    what: str
    seen: str
    well: bool = True


def json_fields(body: bytes) -> dict[str, object]:
    """The fields of a JSON object; empty for any other body."""
    try:
        document = read_json(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
