"""Tables in the documentation, between a pair of HTML comments, as the benchmarks last printed them."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def fill(path: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- name -->` and `<!-- /name -->` of the file at `path`.

    Where there is no such file, or no such pair, that is said on stderr and nothing changes.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    old = path.read_text("utf-8") if path.is_file() else ""
    part = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new, found = part.subn(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", old)
    if not found:
        print(f"{path} has no {begin} ... {end}: left as it is", file=sys.stderr)
    elif new != old:
        path.write_text(new, "utf-8")
