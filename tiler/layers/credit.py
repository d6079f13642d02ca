"""Reduce attributions to text and web links, because map libraries insert them as HTML."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

HIDDEN = ("script", "style", "template", "title")  # elements without visible text


def plain_markup(text: str) -> str:
    """Reduce `text` to text and `<a href="http...">`; text without any tag is unchanged.

    Every "<" in the result is written by this function, whatever the parser makes of `text`.
    """
    if "<" not in text:
        return text
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return "".join(reader.parts) + "</a>" * reader.linked


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.linked = False
        self.hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in HIDDEN:
            self.hidden = self.hidden or tag
        elif tag == "a":
            self._unlink()
            address = (dict(attrs).get("href") or "").strip()
            if address.lower().startswith(("http://", "https://")) and not self.hidden:
                self.parts.append(f'<a href="{escape(address)}">')
                self.linked = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self.hidden:
            self.hidden = ""
        elif tag == "a":
            self._unlink()

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(escape(data, quote=False))

    def _unlink(self) -> None:
        if self.linked:
            self.parts.append("</a>")
        self.linked = False
