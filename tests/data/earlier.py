"""Makes earlier.tar.gz: a data folder of the version before the rooms, with a job that is half done.

Run it at commit c7ae09d, from the root of the repository: `python tests/data/earlier.py FOLDER`. It imports modules
by the names that they had then. What it writes is read by tests/whole/test_earlier.py; a tar keeps the times of files,
on which the ledger rests.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_bounds


def scene(path: Path) -> None:
    """Colours that differ from pixel to pixel, and a hole."""
    rows, columns = np.mgrid[:96, :128]
    bands = [(rows * 2 + columns) % 256, (rows + columns * 2) % 256, (rows * columns // 7) % 256]
    values = np.array(bands, np.uint8) | 1
    values[:, 20:50, 30:70] = 0
    place = from_bounds(6.0, 45.0, 9.0, 47.0, 128, 96)
    with rasterio.open(
        path, "w", driver="GTiff", width=128, height=96, count=3, dtype="uint8", crs=4326, transform=place, nodata=0
    ) as out:
        out.write(values)


def main(folder: Path) -> None:
    """Write the archive into `folder`."""
    from seeder.plan import prepare  # noqa: PLC0415 - of that commit
    from seeder.selection import Selection  # noqa: PLC0415
    from seeder.work import Worker  # noqa: PLC0415
    from tiler.catalog import load_layer  # noqa: PLC0415
    from tiler.options import Options  # noqa: PLC0415
    from tiler.render import Look  # noqa: PLC0415

    from tiler.ingest import ingest  # noqa: PLC0415
    from tiler.settings import Settings  # noqa: PLC0415
    from tiler.storage import Stores  # noqa: PLC0415

    truth = {}
    for name in ("data", "whole"):
        settings = Settings.from_env({}, data=str(folder / name))
        stores = Stores.open(settings, create=True)
        scene(folder / "scene.tif")
        ingest("scene.tif", "scene", Options(max_zoom=9), stores, jobs=1, progress=lambda *_: None)
        layer = load_layer(stores.sources, "scene")
        plan = prepare(layer, Selection(tuple(range(10))), Look(), force=False, stores=stores)
        messages = list(plan.messages((8,)))
        worker = Worker.open(settings)
        done = len(messages) if name == "whole" else len(messages) // 2
        for message in messages[:done]:
            worker.work(message)
        if name == "data":
            truth = {
                "job": plan.job.id,
                "revision": layer.revision,
                "left": [message.encode() for message in messages[done:]],
            }
    tiles = sorted((folder / "whole" / "tiles" / "scene").glob("*/*/*.png"))
    truth["tiles"] = {
        str(path.relative_to(folder / "whole" / "tiles")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tiles
    }
    receipts = sorted((folder / "whole" / "private" / "jobs").glob("*/done/*"))
    keep = ("written", "empty", "skipped", "failed", "bytes")
    truth["receipts"] = {path.name: {k: json.loads(path.read_text())[k] for k in keep} for path in receipts}
    (cog,) = (folder / "whole" / "private" / "sources" / "scene").glob("*/*.tif")
    truth["cog"] = hashlib.sha256(cog.read_bytes()).hexdigest()
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    with tarfile.open(folder / "earlier.tar.gz", "w:gz") as out:
        for name in ("data", "truth.json", "scene.tif"):
            out.add(folder / name, arcname=name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
