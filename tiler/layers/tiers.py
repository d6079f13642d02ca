"""Parts of one tier above those of another: each reads those within it, and the ring around them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tiler.layers.pyramid import SERVED, Place, across

ALONG = 1 << SERVED  # parts along the side of a part of the next tier


def children_of(place: Place, zoom: int) -> Iterator[Place]:
    """The places that a part of the next tier reads: those within it, and the ring around them; `zoom` is theirs."""
    around = across(zoom)
    for row in range(place.row * ALONG - 1, (place.row + 1) * ALONG + 1):
        columns = range(place.column * ALONG - 1, (place.column + 1) * ALONG + 1)
        for column in dict.fromkeys(each % around for each in columns):
            yield Place(place.tier - 1, column, row)


def planned_children(tiers: Sequence[Collection[Place]], place: Place, base: int) -> list[Place]:
    """The planned parts that a part reads, none for the base; `tiers` has the planned ones, cut from zoom `base` on."""
    if place.tier == 0:
        return []
    below = place.tier - 1
    return [each for each in children_of(place, base - SERVED * below) if each in tiers[below]]


def parent_of(place: Place) -> Place:
    """The part of the next tier that a part lies in."""
    return Place(place.tier + 1, place.column // ALONG, place.row // ALONG)


def parents_of(place: Place, zoom: int) -> Iterator[Place]:
    """The parts of the next tier that read a part, the one that it lies in first; `zoom` is that of its own tier."""
    own = parent_of(place)
    around = across(zoom - SERVED)
    for row in (own.row, own.row - 1, own.row + 1):
        for column in dict.fromkeys((own.column + step) % around for step in (0, -1, 1)):
            parent = Place(own.tier, column, row)
            if parent == own or place in children_of(parent, zoom):
                yield parent
