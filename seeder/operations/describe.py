"""Give a layer a title and a description; no pixel and no revision changes."""

from __future__ import annotations

from tiler.ingest.drafts import described
from tiler.layers.catalog import load_layer
from tiler.layers.publication import describe, index_version
from tiler.raster.options import Options, retold
from tiler.storage.store import Stores


def tell(layer: str, options: Options, stores: Stores) -> tuple[str, ...]:
    """Give a layer the title and description of `options`; returns a sentence for each that changed.

    Harmless to repeat.

    Raises:
        UnknownLayer: the layer does not exist.
        Superseded: the layer changed to another revision meanwhile.
    """
    planned_from = index_version(stores.sources, layer)
    current = load_layer(stores.sources, layer)
    if (told := described(current, options, current)) != current:
        describe(told, stores, planned_from=planned_from)
    return tuple(
        f"the {name} of layer {layer} is now {text!r}" if text else f"layer {layer} has no {name} now"
        for name, (_, text) in retold(options, current.asked).items()
    )
