"""The product as it is deployed: buckets, both functions, the API before one, the queue before the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mercantile import Tile

from tests.e2e.gateway import Gateway
from tests.e2e.lambdas import Lambda
from tests.e2e.mapping import SqsMapping
from tests.e2e.s3 import S3, WEBSITE
from tests.e2e.sqs import Queue, Sqs
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, scene, write_raster
from tiler.keys import TileName, tile_key

BELT = "belt"  # a layer of zooms 0 to 8, along the whole equator, four tiles high at zoom 8: 66 blocks, none empty
ALPS = "alps"  # a layer of zooms 0 to 9


@dataclass(frozen=True)
class Deployed:
    """One deployment. `env` is what a user's shell has; `sources` and `tiles` name its buckets."""

    s3: S3
    sqs: Sqs
    queue: Queue
    tiles: str
    sources: str
    env: Mapping[str, str]
    function_env: Mapping[str, str]  # what the functions share, without the address of the tiles
    http: Lambda
    worker: Lambda
    gateway: Gateway

    def run(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """A command of the project, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "seeder", *words],
            env={**self.env, **env},
            cwd=ROOT,
            check=check,
            capture_output=True,
            text=True,
            timeout=240,
        )

    @contextmanager
    def working(self, **options: Any) -> Iterator[SqsMapping]:
        """The queue feeds the worker function until the end of the block."""
        with SqsMapping(self.sqs.client(), self.queue.url, self.worker, **options) as mapping:
            yield mapping

    def stored(self, layer: str) -> dict[str, bytes]:
        """The tiles in the bucket, by key."""
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.tiles, Prefix=f"{layer}/")
        keys = [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith(".png")]
        with ThreadPoolExecutor(8) as threads:
            bodies = threads.map(lambda key: client.get_object(Bucket=self.tiles, Key=key)["Body"].read(), keys)
            return dict(zip(keys, bodies, strict=True))

    def damage(self, layer: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
        """Change the bytes of the COGs of all parts of a layer; returns what they were, by key."""
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.sources, Prefix=f"sources/{layer}/parts/")
        keys = [each["Key"] for page in pages for each in page["Contents"] if each["Key"].endswith(".tif")]
        good = {key: client.get_object(Bucket=self.sources, Key=key)["Body"].read() for key in keys}
        for key, content in good.items():
            client.put_object(Bucket=self.sources, Key=key, Body=change(content))
        return good

    def ledger(self, kind: str) -> list[str]:
        """The keys of the receipts of that kind, of all jobs."""
        pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=self.sources, Prefix="jobs/")
        return [each["Key"] for page in pages for each in page.get("Contents", []) if f"/{kind}/" in each["Key"]]


@contextmanager
def deployed(s3: S3, sqs: Sqs, data: Path, *, endpoint: str = "", url: str = "", **queue: int) -> Iterator[Deployed]:
    """A deployment as a website, whose layers are those of a local `data` folder.

    `endpoint` is what the functions take for S3, `url` what they and the commands take for the website's address.
    """
    blocks = sqs.queue(**queue)
    sources = s3.private_bucket()
    keys = {**s3.env, "AWS_ENDPOINT_URL_SQS": sqs.endpoint, "AWS_ENDPOINT_URL_STS": sqs.endpoint}
    late = LateFunction()
    with Gateway(late) as gateway:
        tiles = s3.website_bucket(gateway.host)
        stores = {"TILER_SOURCES": f"s3://{sources}", "TILER_TILES": f"s3://{tiles}"}
        address = {"TILER_URL": url or f"http://{tiles}.{WEBSITE}:{s3.website_port}"}
        shared = {**keys, "AWS_ENDPOINT_URL_S3": endpoint or s3.endpoint, **stores}
        http_env = {**shared, **address, "TILER_DIRECT": f"{s3.endpoint}/{tiles}"}
        worker_env = {**shared, **address, "TILER_QUEUE": blocks.url}
        with (
            Lambda("tiler.http.handler", http_env, timeout=29, concurrency=2) as http,
            Lambda("seeder.workers.lambda_handler.handler", worker_env, timeout=60, concurrency=3) as worker,
        ):
            late.function = http
            env = {"PATH": os.environ["PATH"], **keys, **stores, **address, "TILER_QUEUE": blocks.url}
            _upload(s3, data, tiles, sources)
            yield Deployed(s3, sqs, blocks, tiles, sources, env, shared, http, worker, gateway)


class LateFunction:
    """A function that is made after its address, because it depends on what has the address."""

    def __init__(self) -> None:
        self.function: Lambda | None = None

    def invoke(self, event: dict[str, Any]) -> Any:
        """The function's answer."""
        assert self.function is not None
        return self.function.invoke(event)


def _upload(s3: S3, data: Path, tiles: str, sources: str) -> None:
    """What `seeder ingest` left in a folder, as it would have left it in the buckets."""
    client = s3.client()
    for folder, bucket in ((data / "tiles", tiles), (data / "private", sources)):
        for path in folder.rglob("*"):
            if path.is_file() and folder / "jobs" not in path.parents:
                client.upload_file(str(path), bucket, str(path.relative_to(folder)))


def make_layers(folder: Path) -> Path:
    """A data folder with both layers."""
    rows, columns = np.ogrid[0:1010, 0:65536]
    pattern = ((columns >> 6 ^ rows >> 5) + (rows >> 3) & 0xFF).astype(np.uint8)[np.newaxis]
    belt = write_raster(folder / "belt.tif", Recipe(values=pattern, bounds=(-180, -5.6, 180, -0.05)))
    alps = write_raster(folder / "alps.tif", Recipe(values=scene()))
    data = folder / "data"
    for source, layer in ((belt, BELT), (alps, ALPS)):
        words = ["ingest", str(source), "--layer", layer, "--data", str(data), "--format", "png"]
        subprocess.run([sys.executable, "-m", "seeder", *words], cwd=ROOT, check=True, capture_output=True)
    return data


def seed(data: Path, layer: str) -> None:
    """Seed all tiles of a layer in a data folder."""
    words = ["seed", layer, "--data", str(data)]
    subprocess.run([sys.executable, "-m", "seeder", *words], cwd=ROOT, check=True, capture_output=True)


def tiles_in(data: Path, layer: str) -> dict[str, bytes]:
    """The PNG tiles of a layer in a data folder, by key."""
    tiles = data / "tiles"
    return {str(path.relative_to(tiles)): path.read_bytes() for path in (tiles / layer).glob("*/*/*.png")}


def key(layer: str, z: int, x: int, y: int) -> str:
    """The key of a PNG tile."""
    return tile_key(TileName(layer, Tile(x=x, y=y, z=z), 1, "png"))


def log_lines(function: Lambda) -> list[dict[str, Any]]:
    """What a function logged as JSON."""
    return [json.loads(line) for line in function.logs().splitlines() if line.startswith("{")]
