"""The result of a check, a check whose errors are results, a tile that cannot exist, and the fields of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import urllib3

from tiler.errors import BadCloud, TilerError
from tiler.inputs import read_json

PROBE = "jobs/0/0/0.png"  # never a tile, because `jobs` is a reserved name


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The subject of a check, its finding, and whether it passed."""

    what: str
    seen: str
    well: bool = True


def guarded(what: str, check: Callable[[], Iterator[CheckResult]]) -> Iterator[CheckResult]:
    """Run a check; report an error as a failed check, or with a hint if the policy does not allow the check."""
    try:
        yield from check()
    except BadCloud as error:
        hint = "not checked; deploy/policies/reader.json allows it: " if error.denied else ""
        yield CheckResult(what, f"{hint}{error}", well=error.denied)
    except (TilerError, urllib3.exceptions.HTTPError) as error:
        yield CheckResult(what, str(error), well=False)


def json_fields(body: bytes) -> dict[str, object]:
    """The fields of a JSON object; empty for any other body."""
    try:
        document = read_json(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
