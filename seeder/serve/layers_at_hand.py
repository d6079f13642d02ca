"""Layers by the names in requests."""

from __future__ import annotations

from starlette.requests import Request

from tiler.errors import UnknownLayer
from tiler.http import Service
from tiler.layers import catalog
from tiler.layers.catalog import Layer


def layer_of(service: Service, request: Request) -> Layer:
    """The layer that the path of a request names.

    Raises:
        UnknownLayer: there is none of that name.
    """
    name = request.path_params["layer"]
    layer = service.layers.get(name)
    if layer is None:
        raise UnknownLayer(name, catalog.list_layers(service.stores.sources))
    return layer


def all_layers(service: Service) -> list[Layer]:
    """All layers."""
    layers = (service.layers.get(name) for name in catalog.list_layers(service.stores.sources))
    return [layer for layer in layers if layer]
