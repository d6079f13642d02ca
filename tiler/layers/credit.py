"""Attributions, reduced to text and web links: map libraries show them as HTML."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

HIDDEN = ("script", "style", "template", "title")  # whose content is not text to be read


def plain_markup(text: str) -> str:
    """`text` with nothing but text and `<a href="http...">`; what has no tag stays as it is.

    Every "<" of the result is one that was written here, whatever the parser made of `text`.
    """
    if "<" not in text:
        return text
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return "".join(reader.said) + "</a>" * reader.linked


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self.linked = False
        self.hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in HIDDEN:
            self.hidden = self.hidden or tag
        elif tag == "a":
            self._unlink()
            address = (dict(attrs).get("href") or "").strip()
            if address.lower().startswith(("http://", "https://")) and not self.hidden:
                self.said.append(f'<a href="{escape(address)}">')
                self.linked = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self.hidden:
            self.hidden = ""
        elif tag == "a":
            self._unlink()

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.said.append(escape(data, quote=False))

    def _unlink(self) -> None:
        if self.linked:
            self.said.append("</a>")
        self.linked = False
