"""Named colormaps, and colour-relief files in gdaldem's format.

A line of such a file is `VALUE R G B [A]` or `VALUE NAME [A]`, with fields separated by blanks, tabs, commas or colons.
VALUE is a number, a percentage of the range, or `nv`, which is ignored: nodata stays transparent. Lines that start with
# or / are comments, except the COLOR_MODEL line of a GMT palette, whose lines have two stops. The rest of a line after
a colour with alpha is a label, as QGIS writes it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tiler.errors import BadOption, shortened
from tiler.image.style import Range, Rgba, Stop

LARGEST = 1 << 20  # most bytes of a colour-relief file
LABEL = 120  # most characters of a label
STOPS = 4096  # most stops, because index.json holds them
NAMED: dict[str, tuple[int, int, int]] = {  # as in gdaldem and GRASS
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "aqua": (0, 191, 191),
    "grey": (191, 191, 191),
    "gray": (191, 191, 191),
    "orange": (255, 127, 0),
    "brown": (191, 127, 63),
    "purple": (127, 0, 255),
    "violet": (127, 0, 255),
    "indigo": (0, 127, 255),
}
BETWEEN = re.compile(r"[ ,\t:]+")
HOW = "write VALUE RED GREEN BLUE [ALPHA] or VALUE NAME"


class Entry(NamedTuple):
    """A stop: a value, or a share of the range (0 to 1), its colour, and its label, which may be empty."""

    at: float
    share: bool
    colour: Rgba
    label: str = ""


def checked(value: str) -> str:
    """Check a value of `--colormap`: a name is returned unchanged, a file as normalized lines.

    A known name takes precedence over a file of that name; `./viridis` is the file.

    Raises:
        BadOption: it is neither, or a line of the file is invalid.
    """
    path = Path(value)
    try:
        if not path.is_file() or (path.name == value and not path.suffix and _known(value)):
            colours_of(value)
            return value
        if path.stat().st_size > LARGEST:
            raise BadOption(f"--colormap {value}: the file is too large for a colormap, over {LARGEST >> 20} MB")
        lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    except (OSError, ValueError) as error:
        raise BadOption(f"--colormap {shortened(value)}: {getattr(error, 'strerror', None) or error}") from error
    entries = list(_entries(lines, value))
    if not 2 <= len(entries) <= STOPS:
        raise BadOption(
            f"--colormap {value}: a colormap needs 2 to {STOPS} stops, not {len(entries)}: {HOW} on each line"
        )
    return "".join(f"{_spelled(entry)} {entry.label}".rstrip() + "\n" for entry in entries)


def unlabelled(text: str) -> str:
    """A checked colormap without its labels."""
    if not is_file(text):
        return text
    return "".join(f"{' '.join(line.split(' ')[:5])}\n" for line in text.splitlines())


def is_file(text: str) -> bool:
    """Whether a checked colormap came from a file."""
    return text.endswith("\n")


def is_relative(text: str) -> bool:
    """Whether a checked colormap has percentages, which need a range."""
    return is_file(text) and any(entry.share for entry in _entries(text.splitlines(), "the colormap"))


def stops_of(text: str, span: Range = (0.0, 1.0)) -> tuple[Stop, ...]:
    """The stops of a checked file, ascending; percentages refer to `span`."""
    low, high = span
    entries = _entries(text.splitlines(), "the colormap")
    stops = [(low + entry.at * (high - low) if entry.share else entry.at, *entry.colour) for entry in entries]
    return tuple(sorted(stops, key=lambda stop: stop[0]))


def labels_of(text: str) -> tuple[str, ...]:
    """The labels of the stops of a checked colormap, in the order of `stops_of`; none if that depends on a range."""
    entries = list(_entries(text.splitlines(), "the colormap")) if is_file(text) else []
    if len({entry.share for entry in entries}) > 1 or not any(entry.label for entry in entries):
        return ()
    return tuple(entry.label for entry in sorted(entries, key=lambda entry: entry.at))


def text_of(stops: tuple[Stop, ...]) -> str:
    """The checked file with some stops."""
    return "".join(f"{_spelled(Entry(value, share=False, colour=(r, g, b, a)))}\n" for value, r, g, b, a in stops)


def colours_of(name: str) -> tuple[Rgba, ...]:
    """The 256 colours of a named colormap.

    Raises:
        BadOption: no colormap has that name.
    """
    from cmap import Catalog, Colormap  # noqa: PLC0415 - takes a tenth of a second, and is not installed in Lambdas

    if not _known(name):
        close = difflib.get_close_matches(name, Catalog().short_keys(), n=3)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise BadOption(f"--colormap {shortened(name)}: not a matplotlib name{hint}, nor a file")
    base = name.removesuffix("_r")
    reverse = base != name and not _listed(name)
    table = Colormap(Catalog().resolve(base if reverse else name))([step / 255 for step in range(256)], bytes=True)
    colours = tuple((int(red), int(green), int(blue), int(alpha)) for red, green, blue, alpha in table.tolist())
    return colours[::-1] if reverse else colours


def _known(name: str) -> bool:
    return _listed(name) or (name.endswith("_r") and _listed(name.removesuffix("_r")))


def _listed(name: str) -> bool:
    from cmap import Catalog  # noqa: PLC0415 - as above

    try:
        Catalog().resolve(name)
    except KeyError:
        return False
    return True


def _spelled(entry: Entry) -> str:
    """The normalized line of a stop, without its label."""
    at = f"{entry.at * 100!r}%" if entry.share else repr(entry.at)
    return f"{at} {' '.join(map(str, entry.colour))}"


def _entries(lines: Sequence[str], where: str) -> Iterator[Entry]:
    palette = False  # of GMT
    for number, line in enumerate(lines, 1):
        fields = [field for field in BETWEEN.split(line) if field]
        if not fields or fields[0][0] in "#/":
            if "COLOR_MODEL" in line:
                palette = True
                if "RGB" not in line:
                    raise BadOption(f"--colormap {where}, line {number}: only COLOR_MODEL = RGB is supported")
            continue
        try:
            yield from _palette_line(fields) if palette else _labelled(line, fields)
        except ValueError as error:
            raise BadOption(f"--colormap {where}, line {number}: {error}") from None


def _palette_line(fields: list[str]) -> Iterator[Entry]:
    """The two stops of a line; shorter lines are for nodata and values beyond the ends."""
    if len(fields) >= 8:
        yield from _line(fields[:4])
        yield from _line(fields[4:8])
    elif fields[0].upper() not in ("B", "F", "N"):
        raise ValueError("write VALUE RED GREEN BLUE twice, as in GMT")


def _labelled(line: str, fields: list[str]) -> Iterator[Entry]:
    """The stop of a line with its label; one that only repeats the value is none."""
    rest = BETWEEN.split(line.strip(), 5)[5:] if fields[1:] and fields[1][0].isdigit() else []
    label = " ".join("".join(rest).split())[:LABEL]
    for entry in _line(fields):
        yield entry._replace(label=label if label.isprintable() and label != fields[0] else "")


def _line(fields: list[str]) -> Iterator[Entry]:
    if fields[0].upper() == "INTERPOLATION":  # QGIS writes it
        if [field.upper() for field in fields[1:]] != ["INTERPOLATED"]:
            raise ValueError("only linear interpolation is supported: choose it in QGIS and export again")
        return
    if fields[0].lower() == "nv":
        return
    at, share = _position(fields[0])
    yield Entry(at, share, _colour(fields[1:]))


def _position(text: str) -> tuple[float, bool]:
    share = text.endswith("%")
    try:
        at = float(text.removesuffix("%"))
    except ValueError:
        raise ValueError(f"{text!r} is not a value: write a number, a percentage or nv") from None
    if not math.isfinite(at):
        raise ValueError(f"{text!r} is not a value: write a number, a percentage or nv")
    if share and not 0 <= at <= 100:
        raise ValueError(f"{text} is not a valid percentage: write 0% to 100%")
    return (at / 100, True) if share else (at, False)


def _colour(fields: list[str]) -> Rgba:
    if fields and not fields[0][0].isdigit() and fields[0][0] not in "+-.":
        if fields[0].lower() not in NAMED:
            raise ValueError(f"unknown colour {fields[0]!r}: write three numbers or one of {', '.join(NAMED)}")
        red, green, blue = NAMED[fields[0].lower()]
        return red, green, blue, _level(fields[1]) if len(fields) > 1 else 255
    if len(fields) < 3:
        raise ValueError(f"the colour is missing: {HOW}")
    red, green, blue = map(_level, fields[:3])
    return red, green, blue, _level(fields[3]) if len(fields) > 3 else 255


def _level(text: str) -> int:
    try:
        level = int(float(text))
    except (ValueError, OverflowError):
        level = -1
    if not 0 <= level <= 255:
        raise ValueError(f"{text!r} is not a colour level: write 0 to 255")
    return level
