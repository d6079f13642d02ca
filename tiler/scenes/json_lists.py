"""Lists of scenes in JSON: STAC items, or GeoJSON features with a property `location`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from tiler.errors import BadSource
from tiler.inputs import read_json
from tiler.scenes import index_files, stac
from tiler.scenes.scene import Listed

SUFFIXES = (".json", ".geojson")
MISSING_PAGES = "it is one page of several: ask for all items with a higher `limit`"


class Rule(Protocol):
    """What a name in a list stands for: a list on this disk, or a remote one."""

    def listed(self, name: str, date: str = "", base: str = "") -> Listed:
        """The scene that `name` stands for.

        Raises:
            BadSource: the name is forbidden.
        """


def parsed(source: str, data: bytes) -> dict[str, Any]:
    """The object in a JSON text.

    Raises:
        BadSource: it is not one.
    """
    try:
        value = read_json(data)
    except ValueError as error:
        raise BadSource(source, f"it is not readable JSON ({error}): correct it, or download it again") from error
    if not isinstance(value, dict):
        raise BadSource(source, "it is no list of scenes: give STAC items, or GeoJSON with a property `location`")
    return value


def scenes(source: str, value: dict[str, Any], asset: str, rule: Rule) -> Iterator[Listed]:
    """The scenes of a list.

    Raises:
        BadSource: it is empty or another kind of JSON, an item has no such asset, or a name is forbidden.
    """
    features = _features(source, value)
    if any(map(stac.is_item, features)):
        for href in stac.hrefs(source, features, asset):
            yield rule.listed(*href)
    else:
        yield from indexed(source, features, index_files.LOCATION, rule)


def indexed(source: str, features: list[Any], field: str, rule: Rule) -> Iterator[Listed]:
    """The scenes that the property `field` of each feature names.

    Raises:
        BadSource: a feature lacks it, or a name is forbidden.
    """
    for row in index_files.from_features(source, features, field):
        yield rule.listed(*row)


def index_of(source: str, value: dict[str, Any], field: str, rule: Rule) -> Iterator[Listed]:
    """The scenes of a GeoJSON that a tile index refers to.

    Raises:
        BadSource: as `scenes`.
    """
    return indexed(source, _features(source, value), field, rule)


def next_page(source: str, value: dict[str, Any]) -> str:
    """The address of an answer's next page, as it is written; empty if there is none.

    Raises:
        BadSource: it cannot be read with a GET request.
    """
    features = value.get("features")
    if not isinstance(features, list) or not features or value.get("numberMatched") == len(features):
        return ""
    for link in value["links"] if isinstance(value.get("links"), list) else ():
        if isinstance(link, dict) and link.get("rel") == "next":
            href = link.get("href")
            if link.get("method", "GET") != "GET" or not isinstance(href, str):
                raise BadSource(source, MISSING_PAGES)
            return href
    return ""


def check_complete(source: str, value: dict[str, Any]) -> None:
    """Reject a saved page, whose scenes are not all.

    Raises:
        BadSource: it has a link to the next one.
    """
    if next_page(source, value):
        raise BadSource(source, f"{MISSING_PAGES}, or remove the link `next` if these are all")


def _features(source: str, value: dict[str, Any]) -> list[Any]:
    """The features of a GeoJSON collection, or the one that it is.

    Raises:
        BadSource: it is something else, or empty.
    """
    kind = value.get("type")
    if kind == "Feature":
        return [value]
    if kind in ("Collection", "Catalog"):
        raise BadSource(source, f"it is a STAC {kind} without items: give an item, or the items of its API")
    features = value.get("features") if kind == "FeatureCollection" else None
    if not isinstance(features, list):
        raise BadSource(source, "it is no list of scenes: give STAC items, or GeoJSON with a property `location`")
    if not features:
        raise BadSource(source, "the list is empty: search a larger area or time")
    return features
