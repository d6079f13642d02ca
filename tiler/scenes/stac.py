"""Items of a SpatioTemporal Asset Catalog: one raster of each, with its date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tiler.errors import BadSource, shortened
from tiler.scenes.folders import is_raster
from tiler.scenes.strangers import iso, printable

ROLES = {"data", "visual"}  # of assets to take by default
SMALLER = {"thumbnail", "overview", "metadata"}  # of rasters that are never taken by default
TYPES = (
    "image/",
    "application/x-netcdf",
    "application/netcdf",
    "application/x-hdf",
    "application/grib",
    "application/wmo",
)
SHOWN = 12  # assets that a message names


class Href(NamedTuple):
    """An asset: its address as the item has it, the item's date, and the address of the item or an empty string."""

    href: str
    date: str
    base: str


def is_item(feature: Any) -> bool:
    """Whether a GeoJSON feature is an item."""
    return isinstance(feature, dict) and isinstance(feature.get("assets"), dict)


def hrefs(source: str, items: list[Any], asset: str) -> Iterator[Href]:
    """The asset named `asset` of each item; by default the only one that can be meant.

    That is the only raster with the role `data` or `visual`, or else the only raster.

    Raises:
        BadSource: an item has no such asset, or several can be meant.
    """
    for item in items:
        if not is_item(item):
            raise BadSource(source, "only some of its features are STAC items: remove the others")
        chosen = _chosen(source, item, asset)
        href = chosen.get("href") if isinstance(chosen, dict) else None
        if not isinstance(href, str) or not href:
            raise BadSource(source, f"an asset of item {_name(item)} has no href: choose another one with --asset")
        yield Href(href, _date(item), _base(item))


def _chosen(source: str, item: dict[str, Any], asset: str) -> Any:
    assets = item["assets"]
    if asset:
        if asset in assets:
            return assets[asset]
        raise BadSource(source, f"item {_name(item)} has no asset {shortened(asset)!r}: choose {_names(assets)}")
    rasters = [name for name, each in assets.items() if _is_raster(name, each)]
    meant = [name for name in rasters if _roles(assets[name]) & ROLES]
    for names in (meant, rasters):
        if len(names) == 1:
            return assets[names[0]]
    if not assets:
        raise BadSource(source, f"item {_name(item)} has no assets: remove it from the list")
    several = "several rasters" if rasters else "no asset of a raster type"
    raise BadSource(source, f"item {_name(item)} has {several}: choose {_names(meant or rasters or assets)}")


def _is_raster(name: str, asset: Any) -> bool:
    if not isinstance(asset, dict) or name == "thumbnail" or (_roles(asset) & SMALLER and not _roles(asset) & ROLES):
        return False
    kind = asset.get("type")
    if isinstance(kind, str) and kind:
        return kind.lower().startswith(TYPES)
    return is_raster(str(asset.get("href", "")).partition("?")[0]) or bool(_roles(asset) & ROLES)


def _roles(asset: Any) -> set[str]:
    roles = asset.get("roles") if isinstance(asset, dict) else None
    return {role for role in roles if isinstance(role, str)} if isinstance(roles, list) else set()


def _names(assets: Any) -> str:
    names = [str(name) for name in assets]
    more = f" or {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    listed = " or ".join(filter(None, [", ".join(names[:SHOWN][:-1]), names[:SHOWN][-1]])) if names else "one"
    return f"{printable(listed)}{more} with --asset"


def _name(item: dict[str, Any]) -> str:
    return printable(str(item.get("id", "without id")))


def _date(item: dict[str, Any]) -> str:
    properties = item.get("properties")
    if not isinstance(properties, dict):
        return ""
    return iso(properties.get("datetime")) or iso(properties.get("start_datetime"))


def _base(item: dict[str, Any]) -> str:
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            return link["href"] if "://" in link["href"] else ""
    return ""
