"""Read a file of layers in TOML: a table for each layer, and the defaults of all."""

from __future__ import annotations

import difflib
import glob
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seeder.cache.query import TileQuery
from seeder.operations.checks import parsed
from seeder.operations.ingest import default_format
from seeder.operations.ingest_arguments import checked_values
from seeder.operations.scenes import Sources
from seeder.operations.selector_arguments import query_of, zooms_of
from tiler.choices import OVERLAPS
from tiler.errors import BadEntries, BadInput, BadOption, BadSource
from tiler.grid import MAX_ZOOM
from tiler.inputs import check_file, whole
from tiler.keys import check_layer
from tiler.layers.catalog import Layer
from tiler.raster.options import ACCESS, DRAWN, Options
from tiler.raster.styling import light_of
from tiler.scenes.fenced import Fence
from tiler.scenes.patterns import WILD
from tiler.scenes.source_files import FOREIGN

LARGEST = 1 << 22  # characters of a file
DEFAULTS, LAYERS = "defaults", "layers"
OPTIONS = tuple(name.replace("_", "-") for name in Options.__dataclass_fields__)
PLACES = (
    "bbox",
    "shapes",
    "geojson",
    "buffer",
    "around",
    "radius",
    "area",
    "exclude",
)  # selectors of the tiles to seed
FILES = ("shapes", "geojson", "exclude", "area")  # of them, those whose values may be files
SHAPES = (".geojson", ".json")  # suffixes of files that refer to no others
OWN = ("source", "overlap", "asset", "checksum", "seed", "queue", "no-alpha")
KEYS = (*OWN, *PLACES, *OPTIONS)
OPTION = re.compile(rf"(?<![\w-])--({'|'.join(sorted({*KEYS, 'zooms'} - {'trust-source'}))})(?![\w-])")  # in a message
OTHER_WORDS = {"zoom": "seed", "zooms": "seed", "areas": "area", "tiles": "seed", "sources": "source", "jobs": "queue"}
NUMBERS = ("bands", "nodata", "rescale", "scale", "offset", "bounds", "geotransform")  # also as text, as in commands
PLAIN = Options()
KEPT = ("max_zoom", "rescale")  # options that a refresh of scenes freezes


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """A layer as a file describes it: its sources, the options given, the tiles to seed, and the queue."""

    name: str
    sources: Sources
    values: Mapping[str, Any] = field(default_factory=dict)
    query: TileQuery | None = None
    queue: str = "local"

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zooms of the tiles to seed."""
        if self.query is None:
            return ()
        named = tuple(sorted({z for area in self.query.places.areas for z in area.zooms}))
        zooms = self.query.zooms or named
        return tuple(z for z in zooms if z in named) if named else zooms

    @property
    def anywhere(self) -> bool:
        """Whether all tiles of these zooms are to be seeded, wherever they are."""
        return self.query is None or replace(self.query, zooms=None) == TileQuery()

    def options(self, current: Layer | None) -> Options:
        """The options of its ingest: those of the file, else the defaults; the format of a new layer is chosen.

        A layer keeps its format, and one of scenes its highest zoom and its range from black to white, unless the file
        names them: a refresh freezes these.
        """
        kept: dict[str, Any] = {"format": default_format(current)}
        if current and current.scenes:
            kept |= {name: getattr(current.asked, name) for name in KEPT}
        return Options(**{**kept, **self.values})


@dataclass(frozen=True, slots=True)
class LayerFile:
    """The layers of a file, in its order; `fence` is around its folder if nothing may lead out."""

    path: Path
    entries: tuple[LayerEntry, ...]
    fence: Fence | None = None


def read_layers(path: str, *, fenced: bool) -> LayerFile:
    """Read a file of layers. Relative names in it are relative to its folder.

    If it is `fenced`, no file outside this folder is opened, and no layer may trust its sources.

    Raises:
        BadOption: the file cannot be read.
        BadEntries: it has unknown keys or invalid values; all are named.
    """
    file = Path(path).expanduser().absolute()
    try:
        check_file(file)
        with file.open(encoding="utf-8-sig") as text:
            document = tomllib.loads(whole(text, path, LARGEST))
    except (OSError, RecursionError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadOption(f"cannot read layers from {path}: {why}: write TOML, such as [layers.ortho]") from error
    reader = _Reader(file.parent, Fence.of(file.parent) if fenced else None)
    entries = tuple(reader.entries(document))
    if reader.faults:
        raise BadEntries(path, reader.faults)
    if not entries:
        raise BadOption(f"{path} has no layers: write a table for each, such as [layers.ortho], with a source")
    return LayerFile(file, entries, reader.fence)


@dataclass(slots=True)
class _Reader:
    """Reads the tables of a document, and collects all faults."""

    folder: Path
    fence: Fence | None
    faults: list[str] = field(default_factory=list)

    def entries(self, document: dict[str, Any]) -> Iterator[LayerEntry]:
        for key in document.keys() - {DEFAULTS, LAYERS}:
            self.fault(repr(key), "", f"unknown table{_nearest(key, (DEFAULTS, LAYERS), 'write [layers.NAME]')}")
        defaults, layers = document.get(DEFAULTS, {}), document.get(LAYERS, {})
        if not isinstance(defaults, dict) or not isinstance(layers, dict):
            self.faults.append("`defaults` and `layers` are tables: write [defaults] and [layers.NAME]")
            return
        defaults = self.known(DEFAULTS, defaults, [key for key in KEYS if key != "source"])
        for name, table in layers.items():
            where = f"layer {name}"
            if not isinstance(table, dict):
                self.fault(where, "", f"it is not a table: write [layers.{name}]")
                continue
            self.tried(where, "", lambda name=name: check_layer(name))
            if (entry := self.entry(name, where, defaults | self.known(where, table, KEYS))) is not None:
                yield entry

    def known(self, where: str, table: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
        """The known keys of a table, as options are written."""
        known = {}
        for key, value in table.items():
            name = key.replace("_", "-")
            if name in known:
                self.fault(where, repr(key), f"{name} is given twice: keep one of them")
            elif name in keys:
                known[name] = value
            else:
                self.fault(where, repr(key), f"unknown key{_nearest(key, keys, '`seeder ingest --help` lists them')}")
        return known

    def entry(self, name: str, where: str, table: dict[str, Any]) -> LayerEntry | None:
        before = len(self.faults)
        names = self.tried(where, "source", lambda: self.names(table.get("source")))
        overlap, asset, checksum = (
            table.get(key, default) for key, default in (("overlap", "last"), ("asset", ""), ("checksum", False))
        )
        if overlap not in OVERLAPS:
            self.wrong(where, "overlap", overlap, f"choose one of {', '.join(OVERLAPS)}{_nearest(overlap, OVERLAPS)}")
        if not isinstance(asset, str):
            self.wrong(where, "asset", asset, "write text in quotes")
        for key in ("checksum", "no-alpha"):
            if not isinstance(table.get(key, False), bool):
                self.wrong(where, key, table[key], "write true or false")
        values = self.values(where, table)
        query = self.query(where, table)
        queue = self.tried(where, "queue", lambda: _queue(table.get("queue", "local")))
        if len(self.faults) > before or names is None:
            return None
        return LayerEntry(name, Sources(names, overlap, asset, checksum), values, query, queue or "local")

    def names(self, value: Any) -> tuple[str, ...]:
        """The sources; those that are relative paths stand in the folder of the file."""
        if value is None:
            raise BadOption("it is missing: name a raster, a folder, a pattern or a list")
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list) or not given or not all(isinstance(each, str) and each for each in given):
            raise BadOption(f"{_brief(value)} names no raster: write a path in quotes, or a list of paths")
        if "-" in given:
            raise BadOption("standard input is no source of a file of layers: name a list, such as @list.txt")
        return tuple(map(self.placed, given))

    def placed(self, name: str) -> str:
        """A source with its full path; addresses and GDAL's other names stay."""
        sign, plain = ("@", name[1:]) if name.startswith("@") else ("", name)
        plain = os.path.expanduser(plain) if self.fence is None else plain  # noqa: PTH111 - it is no path yet
        if FOREIGN.search(plain) or plain.startswith(("/", "<", "file:")) or (":" in plain and not self.beside(plain)):
            return sign + plain
        wild = WILD.search(plain) and not self.beside(plain)
        folder = glob.escape(str(self.folder)) if wild else str(self.folder)
        return sign + os.path.normpath(os.path.join(folder, plain))  # noqa: PTH118 - a pattern is no path

    def beside(self, name: str) -> bool:
        """Whether a name is a file or folder beside the file."""
        return os.path.lexists(self.folder / name)

    def values(self, where: str, table: dict[str, Any]) -> dict[str, Any]:
        """The options of an ingest."""
        given = {key: table[key] for key in OPTIONS if key in table}
        if table.get("no-alpha"):
            given["alpha"] = 0
        values: dict[str, Any] = {}
        for key, value in given.items():

            def checked(key: str = key, value: Any = value) -> dict[str, Any]:
                if key == "colormap" and isinstance(value, str):
                    value = self.file(value)
                if isinstance(getattr(PLAIN, key.replace("-", "_")), bool) and not isinstance(value, bool):
                    raise BadOption(f"{_brief(value)} is invalid: write true or false")
                if (
                    key == "crs"
                    and self.fence
                    and isinstance(value, str)
                    and ("grid" in value.lower() or "+init" in value)
                ):
                    raise BadOption("a dry run opens no grid: write EPSG:CODE, or add --trust-source")
                return checked_values({key.replace("-", "_"): _numbers(key, value)})

            values |= self.tried(where, key, checked) or {}
        if self.fence:
            values |= {name: False for name in ACCESS if name in values}
        self.drawn(where, values)
        if values.get("min_zoom", 0) > values.get("max_zoom", MAX_ZOOM):
            self.wrong(where, "min-zoom", values["min_zoom"], f"it is above max-zoom = {values['max_zoom']}")
        return values

    def drawn(self, where: str, values: dict[str, Any]) -> None:
        """Check the options of light and contours: each alone, then together."""
        before = len(self.faults)
        plain = {name: value for name, value in values.items() if name not in DRAWN}
        each = [plain | {name: values[name]} for name in DRAWN if name in values]
        for some in each or [plain]:
            self.tried(where, "", lambda some=some: light_of(Options(**some)))
        if len(self.faults) == before:
            self.tried(where, "", lambda: light_of(Options(**values)))

    def query(self, where: str, table: dict[str, Any]) -> TileQuery | None:
        """The tiles to seed."""
        given = {key: table[key] for key in PLACES if key in table}
        zooms = None
        if "seed" in table:
            zooms = self.tried(where, "seed", lambda: parsed("seed", table["seed"], lambda: zooms_of(table["seed"])))
        if not given:
            return TileQuery(zooms) if zooms else None
        if zooms is None and "seed" not in table and "area" not in given:
            self.fault(where, next(iter(given)), 'it selects tiles to seed: add seed = "ZOOMS"')
            return None
        arguments = {
            key: self.tried(where, key, lambda value=value: self.place(value)) if key in FILES else value
            for key, value in given.items()
        }
        if any(value is None for value in arguments.values()):
            return None
        if zooms:
            arguments["zooms"] = zooms
        query: TileQuery | None = self.tried(where, next(iter(given)), lambda: query_of(arguments))
        return query

    def place(self, value: Any) -> Any:
        """A selector whose texts may be files, their paths placed."""
        if isinstance(value, list):
            return [self.place(each) for each in value]
        if isinstance(value, dict) and "type" not in value:  # areas by their zooms
            return {key: self.place(each) for key, each in value.items()}
        return self.file(value, always=True) if isinstance(value, str) and value != "world" else value

    def file(self, name: str, *, always: bool = False) -> str:
        """A file's name, placed beside the file of layers, if it exists there; unchanged otherwise.

        Raises:
            BadOption: it leads out of the folder, and nothing may.
        """
        path = self.folder / Path(name).expanduser()
        if self.fence and os.path.lexists(path) and not self.fence.holds(path):
            raise BadOption(f"{name} leads out of the folder of this file: copy it there, or add --trust-source")
        if self.fence and always and not (path.is_file() and path.suffix.lower() in SHAPES):
            raise BadOption(f"{name} is no GeoJSON in the folder of this file: copy one there, or add --trust-source")
        return str(path) if always or path.is_file() else name

    def tried(self, where: str, key: str, look: Any) -> Any:
        """The result of `look`; None, and a fault, if it raises an error."""
        try:
            return look()
        except BadInput as error:
            text = error.why if isinstance(error, BadSource) else str(error)
            text = text.removeprefix(f"{key.replace('-', '_')}=")
            self.fault(where, key, text)
            return None

    def fault(self, where: str, key: str, text: str) -> None:
        """Add a fault; without control characters, because strangers write names and values."""
        text = as_keys(text)
        self.faults.append(one_line(f"{where}: {key}: {text}" if key else f"{where}: {text}"))

    def wrong(self, where: str, key: str, value: Any, cure: str) -> None:
        self.fault(where, key, f"{_brief(value)} is invalid: {cure}")


def as_keys(text: str) -> str:
    """A message with options of commands named as keys: `max-zoom`, not `--max-zoom`; commands in backticks stay."""

    def key(match: re.Match[str]) -> str:
        return "seed" if match[1] == "zooms" else match[1]

    parts = re.split(r"(`[^`]* [^`]*`)", text)
    return "".join(part if part.startswith("`") else OPTION.sub(key, part) for part in parts)


def one_line(text: str) -> str:
    """A text without control characters, so that it is one line of a log."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _queue(value: Any) -> str:
    if not isinstance(value, str) or not (value in ("local", "sqs") or value.startswith(("https://", "http://"))):
        raise BadOption(f'{_brief(value)} is not a queue: write "local", "sqs" or a queue\'s URL')
    return value


def _numbers(key: str, value: Any) -> Any:
    """A value written as on a command line, such as "0,3000" or "none", as numbers; others unchanged."""
    if not isinstance(value, str) or key not in NUMBERS:
        return value
    if value.lower() == "none":
        return ()
    with suppress(ValueError):
        numbers = [float(part) for part in value.split(",")]
        return [int(each) for each in numbers] if key == "bands" else numbers if len(numbers) > 1 else numbers[0]
    return value


def _nearest(word: Any, known: Iterable[str], cure: str = "") -> str:
    """A suggestion for a wrong word, or a cure."""
    close = difflib.get_close_matches(str(word).replace("_", "-"), list(known), n=1)
    if word in OTHER_WORDS and OTHER_WORDS[word] in known:
        close = [OTHER_WORDS[word]]
    return f": did you mean {close[0]}?" if close else f": {cure}" if cure else ""


def _brief(value: Any) -> str:
    return repr(value)[:80]
