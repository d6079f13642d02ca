"""The name of a layer from that of a file, in any script."""

from __future__ import annotations

import unicodedata

from tiler.keys import layer_from

GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})  # else a, o, u


def layer_from_file(stem: str) -> str:
    """The layer id nearest to a file's stem, transliterated: `Lübeck (2)` is `luebeck-2`.

    Raises:
        BadName: no valid character is left.
    """
    if stem.isascii():
        return layer_from(stem)
    from anyascii import anyascii  # noqa: PLC0415 - few names need it

    # macOS decomposes letters with accents
    return layer_from(anyascii(unicodedata.normalize("NFC", stem).translate(GERMAN)))
