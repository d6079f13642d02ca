"""Jobs that bake a layer of a few small scenes, to be compared with the local bake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, settings
from hypothesis import strategies as st

from seeder.jobs.bake_ledger import BakeJob, load_end
from tests.support.baked import bytes_of_parts
from tests.support.effort import examples
from tests.support.layers import local_stores, silent
from tests.support.parts import pyramid_of
from tiler.ingest.ingest import ingest
from tiler.keys import index_key
from tiler.layers.catalog import dump, load_layer
from tiler.layers.pyramid import missing_objects
from tiler.raster.options import Options
from tiler.scenes.scene_list import SceneList
from tiler.settings import Settings
from tiler.storage.store import Stores

NOWHERE = Settings(tiles="memory://none", sources="memory://none")
PLACES = [(0, 0, 40), (262100, -20000, 40), (-262140, -20000, 40)]  # the last two are neighbours past the antimeridian
OTHERS = [(20000, 20000, 40)]
SEEDS, STEPS = st.integers(0, 10_000), st.integers(0, 30)


def few(number: int) -> settings:
    """So many examples, of which a failing one is not made smaller: each bakes a layer."""
    return settings(max_examples=examples(number), phases=[Phase.generate])


class Expected:
    """Scenes, and the layer that this machine bakes of them."""

    def __init__(self, scenes: SceneList, folder: Path) -> None:
        self.scenes, self.stores = scenes, local_stores(folder)
        layer = ingest(scenes, "layer", Options(), self.stores, jobs=1, progress=silent).layer
        self.index, self.parts = dump(layer), bytes_of_parts(layer, self.stores)

    def check(self, stores: Stores) -> None:
        """Check that the layer is published whole, with these bytes."""
        layer = load_layer(stores.sources, "layer")
        assert dump(layer) == self.index
        assert bytes_of_parts(layer, stores) == self.parts
        assert not missing_objects("layer", stores.sources, pyramid_of(layer))


@contextmanager
def stores() -> Iterator[Stores]:
    """Empty stores."""
    with TemporaryDirectory() as folder:
        yield local_stores(Path(folder))


def end_of(job: BakeJob, there: Stores) -> str:
    """The state in which a job ended; empty before."""
    end = load_end(there.sources, job.id)
    return end.state if end else ""


def published(there: Stores) -> bool:
    """Whether the layer is published."""
    return there.sources.has(index_key("layer"))


def at(step: int, action: Callable[[], object]) -> Callable[[int], object]:
    """An event before delivery number `step`."""
    return lambda number: action() if number == step else None
