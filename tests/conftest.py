"""Rasters made to order, stores of every kind, a layer ready to seed."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import numpy as np
import pytest
import rasterio
from hypothesis import settings
from moto.server import ThreadedMotoServer
from rasterio.enums import ColorInterp
from rasterio.transform import from_bounds

from seeder.jobs.messages import Message
from seeder.serve import pages
from seeder.workers import daemon, lambda_handler
from seeder.workers.lambda_handler import attend
from seeder.workers.local_pool import LocalPool
from seeder.workers.process_block import Worker
from seeder.workers.sqs import SqsQueue
from tests.e2e import sqsserver
from tests.e2e.proxy import Proxy
from tests.support.effort import examples
from tests.support.function import Function, planned, png_tiles, started
from tests.support.site import Site, copied, memory, private
from tiler import timing
from tiler.image.style import Values
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer, load_layer
from tiler.raster import datasets
from tiler.raster.datasets import forget
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Store, Stores, open_store

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=examples(40))
settings.load_profile("steady")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us in the background has it ignored


@pytest.fixture(autouse=True)
def no_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that open nothing, and none of the user's settings."""
    for name in list(os.environ):
        if name.startswith(("TILER_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("rasterio.session.boto3", None)  # an unused session a raster takes a 50th of a second each


@dataclass(frozen=True)
class Recipe:
    """A raster to make: `values` is `(bands, height, width)`, `bounds` W,S,E,N in units of `crs`."""

    values: Values
    bounds: tuple[float, float, float, float] = (5.0, 45.0, 9.0, 48.0)
    crs: str = "EPSG:4326"
    nodata: float | None = None
    mask: Values | None = None  # (height, width) uint8: a mask inside the file
    alpha: bool = False  # the last band is alpha
    palette: dict[int, tuple[int, int, int, int]] | None = None
    options: tuple[tuple[str, Any], ...] = (("tiled", True), ("blockxsize", 256), ("blockysize", 256))
    overviews: tuple[int, ...] = ()


MakeRaster = Callable[..., Path]


def write_raster(path: Path, recipe: Recipe) -> Path:
    """Write the GeoTIFF that `recipe` describes to `path`."""
    bands, height, width = recipe.values.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=bands,
            dtype=recipe.values.dtype,
            crs=recipe.crs,
            transform=from_bounds(*recipe.bounds, width, height),
            nodata=recipe.nodata,
            **dict(recipe.options),
        ) as out,
    ):
        if recipe.palette:
            out.write_colormap(1, recipe.palette)
        if bands - recipe.alpha == 3:
            out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue] + [
                ColorInterp.alpha
            ] * recipe.alpha
        elif recipe.alpha:
            out.colorinterp = [*out.colorinterp[:-1], ColorInterp.alpha]
        out.write(recipe.values)
        if recipe.mask is not None:
            out.write_mask(recipe.mask)
        if recipe.overviews:
            out.build_overviews(list(recipe.overviews))
    return path


@pytest.fixture
def make_raster(tmp_path: Path) -> MakeRaster:
    """Writes a GeoTIFF from a Recipe, or from its fields; returns its path."""

    def make(recipe: Recipe | None = None, name: str = "source.tif", **fields: Any) -> Path:
        return write_raster(tmp_path / name, recipe or Recipe(**fields))

    return make


def scene(height: int = 700, width: int = 900, bands: int = 3, *, seed: int = 7) -> Values:
    """A picture with slopes, edges and fine grain, `(bands, height, width)` uint8, never 0."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).normal(0, 4, (bands, height, width))
    waves = [
        128 + 60 * np.sin(columns / (23 + 9 * band)) + 45 * np.cos(rows / (31 - 5 * band)) + 15 * (rows // 64 % 2)
        for band in range(bands)
    ]
    return np.clip(np.array(waves) + noise, 1, 255).astype(np.uint8)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Local stores that are empty."""
    root = tmp_path / "data"
    return Stores(
        open_store((root / "tiles").as_uri(), create=True),
        open_store((root / "private").as_uri(), create=True),
        "http://tiles.test",
    )


MakeLayer = Callable[..., Layer]


def silent(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def make_layer(stores: Stores) -> MakeLayer:
    """Ingests a raster in this process; keywords are the ingest's options."""

    def make(path: Path, name: str = "layer", **options: Any) -> Layer:
        return ingest(str(path), name, Options(**options), stores, jobs=1, progress=silent).layer

    return make


@pytest.fixture(scope="session")
def alps_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer `alps`, zooms 0 to 9, all of whose tiles hold data; to be copied."""
    folder = tmp_path_factory.mktemp("alps")
    path = write_raster(folder / "alps.tif", Recipe(values=scene()))
    stores = Stores(
        open_store((folder / "data" / "tiles").as_uri(), create=True),
        open_store((folder / "data" / "private").as_uri(), create=True),
        "http://tiles.test",
    )
    ingest(str(path), "alps", Options(), stores, jobs=1, progress=silent)
    return folder / "data"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server of this test run that speaks for S3, SQS and the rest of AWS."""
    sqsserver.mend()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request would hide what matters
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store URL in a new bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    bucket = f"tiles-{uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture
def proxy(s3_server: str) -> Iterator[Proxy]:
    """A proxy before the S3 server, which counts requests and fails when told to."""
    with Proxy(s3_server) as proxy:
        yield proxy


@pytest.fixture
def collected() -> Iterator[None]:
    """Closes the datasets that failed in this thread: rasterio tells loudly of those that another one cleans away."""
    gc.disable()
    yield
    forget()
    gc.collect()
    gc.enable()


@pytest.fixture
def site(alps_data: Path) -> Site:
    """A redirect path in memory with the layer `alps`, of which no tile is stored."""
    return Site.on(memory(), copied(private(alps_data), memory()))


@pytest.fixture
def alps(alps_data: Path) -> Layer:
    """The layer of `site`."""
    return load_layer(private(alps_data), "alps")


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store((tmp_path / "store").as_uri(), create=True)
    if request.param == "memory":
        return open_store(f"memory://{uuid4().hex}")
    return open_store(f"{request.getfixturevalue('s3_url')}/some/prefix")


@pytest.fixture
def cloud(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same server, for every client of this test and of the processes that it starts."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    return s3_server


MakeQueue = Callable[..., SqsQueue]


@pytest.fixture
def make_queue(cloud: str) -> MakeQueue:
    """Makes an empty queue; keywords are its visibility timeout, and after how many receives a message is dead."""
    assert cloud

    def make(*, visibility: int = 30, receives: int = 5) -> SqsQueue:
        client, name = boto3.client("sqs"), f"blocks-{uuid4().hex[:12]}"
        dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        attributes = {"VisibilityTimeout": str(visibility), "RedrivePolicy": redrive}
        return SqsQueue.open(client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"], "")

    return make


def taken(queue: SqsQueue) -> list[Message]:
    """The messages that a worker could get now, taken off the queue."""
    found = []
    while deliveries := queue.receive(10, wait=0):
        for delivery in deliveries:
            queue.delete(delivery)
            found.append(Message.decode(delivery.body))
    return found


def emptied(queue: SqsQueue) -> None:
    """Wait until the queue is empty."""
    end = time.monotonic() + 300
    while queue.depth():
        assert time.monotonic() < end, "nobody works the queue off"
        time.sleep(0.02)


@contextmanager
def working(queue: SqsQueue, settings: Settings) -> Iterator[None]:
    """A worker on the queue, in a thread, until the end of the block.

    GDAL must close a raster of a bucket in the thread that opened it, so none is kept open from one to the other.
    """
    stop = threading.Event()
    station = Worker.open(settings, queue.send)

    def work() -> None:
        while not stop.wait(0.02):
            for delivery in queue.receive(10, wait=0):
                daemon._tell(queue, delivery, attend(station, delivery.body, delivery.receives))
        datasets.forget()

    datasets.forget()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
        assert thread.is_alive(), "the worker died"
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def alps_copy(alps_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the layer `alps`, where every command of this test finds it."""
    data = Path(shutil.copytree(alps_data, tmp_path / "data"))
    monkeypatch.setenv("TILER_DATA", str(data))
    return data


def upload(folder: Path, bucket: str) -> None:
    """Put all files below a folder into a bucket."""
    client = boto3.client("s3")
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), bucket, str(path.relative_to(folder)))


@pytest.fixture
def function(
    make_queue: MakeQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Function]:
    """The worker function, in a process that was just started, and a job of zooms 5 to 9."""
    queue = make_queue(visibility=60)
    monkeypatch.setenv("TILER_QUEUE", queue.url)
    monkeypatch.setattr(timing, "WORKER_RETRY_SECONDS", 0.3)
    monkeypatch.setattr(lambda_handler, "_slowest", 0.0)
    with started(queue, alps_copy, capsys) as made:
        yield made


@pytest.fixture(scope="session")
def truth(alps_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tiles of that job as a local seeding makes them."""
    data = Path(shutil.copytree(alps_data, tmp_path_factory.mktemp("truth") / "data"))
    LocalPool(Settings.from_env({}, data=str(data)), 1, lambda _: None).send(planned(data).messages((8,)))
    return png_tiles(data)


MakeStack = Callable[..., str]


@pytest.fixture
def make_stack(cloud: str) -> MakeStack:
    """Makes a stack with buckets and queues as the project's has, and returns its name; keywords are more outputs."""
    assert cloud
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 5}
    resources: dict[str, Any] = {
        "TileBucket": {"Type": "AWS::S3::Bucket"},
        "SourceBucket": {"Type": "AWS::S3::Bucket"},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"RedrivePolicy": redrive}},
        "DeadLetterQueue": {"Type": "AWS::SQS::Queue"},
    }
    named = {"TileBucket": "TileBucket", "SourceBucket": "SourceBucket", "QueueUrl": "Queue"}

    def make(**outputs: str) -> str:
        name = f"seeder-{uuid4().hex[:8]}"
        told: dict[str, Any] = {output: {"Value": {"Ref": resource}} for output, resource in named.items()}
        told |= {output: {"Value": value} for output, value in outputs.items()}
        template = json.dumps({"Resources": resources, "Outputs": told})
        boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=template)
        return name

    return make


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages as a build would leave them."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in (pages.LAYER, pages.LAYERS):
        (folder / name).write_text(f"<!doctype html><title>{name}</title>{pages.CONFIG}")
    for name in ("preview.js", "layers.js"):
        (folder / name).write_text("export {}")
    monkeypatch.setattr(pages, "ASSETS", folder)
    return folder
