"""Tables of Markdown, and their places in a page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


def dollars(amount: float) -> str:
    """Dollars, with two decimals below a hundred."""
    return f"${amount:,.2f}" if amount < 100 else f"${amount:,.0f}"


def table(head: str, rows: Iterable[list[str]]) -> Iterator[str]:
    """A Markdown table; all columns but the first are aligned right."""
    names = head.split(", ")
    yield f"| {' | '.join(names)} |"
    yield f"| --- {'| ---: ' * (len(names) - 1)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def written(page: str, place: str, text: str) -> str:
    """The page with `text` between the two comments of `place`.

    Raises:
        SystemExit: the page has no such place.
    """
    pattern = rf"(<!-- {place}: written by bench/\w+\.py -->\n).*?(<!-- end of {place} -->)"
    found, number = re.subn(pattern, lambda match: f"{match[1]}{text}\n{match[2]}", page, flags=re.DOTALL)
    if number != 1:
        raise SystemExit(f"the page has no place for {place}")
    return found


def publish(tables: Mapping[str, str], page: Path | None) -> None:
    """Print `tables`, by place; write them into `page`, if there is one.

    Raises:
        SystemExit: the page lacks a place.
    """
    for block in tables.values():
        print(block, end="\n\n")
    if page:
        text = page.read_text()
        for place, block in tables.items():
            text = written(text, place, block)
        page.write_text(text)
