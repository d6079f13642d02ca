"""A deployment that bakes layers from scenes in S3: the bake queue, the bake function, and `seeder worker`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.lambdas import Lambda
from tests.e2e.mapping import SqsMapping
from tests.e2e.s3 import S3
from tests.e2e.sqs import Queue, Sqs
from tests.e2e.world import Deployed, deployed
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, write_raster

PIXEL = 2 * 20037508.342789244 / 256 / 2**11  # Mercator metres at zoom 11
PART = 64 * 256  # pixels along the side of a part
SIZE = 200  # pixels along the side of a scene
PLACES = {"a": (-100, -100), "b": (PART - 100, -300), "c": (3 * PART, 5 * PART)}  # columns and rows of their corners
LOCAL = "local"  # the layer of the local bake
HANDLER = "seeder.bakes.lambda_handler.handler"
HASTY = "tests.e2e.hasty.handler"  # the same with short waits

Objects = dict[str, bytes]


def paint(folder: Path, name: str, seed: int = 0) -> Path:
    """A scene of random pixels at its place."""
    return _painted(folder / f"{name}.tif", PLACES[name], [ord(name), seed])


def _painted(path: Path, place: tuple[int, int], seed: list[int]) -> Path:
    column, row = place
    values = np.random.default_rng(seed).integers(1, 255, (3, SIZE, SIZE), np.uint8)
    west, north = column * PIXEL, -row * PIXEL
    box = (west, north - SIZE * PIXEL, west + SIZE * PIXEL, north)
    return write_raster(path, Recipe(values, crs="EPSG:3857", bounds=box))


def mosaic(folder: Path) -> list[Path]:
    """A VRT, and its two members side by side where scene c is."""
    column, row = PLACES["c"]
    members = [_painted(folder / f"{at}.tif", (column + at * SIZE, row), [at]) for at in (0, 1)]
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">{"".join(_source(at, band) for at in (0, 1))}</VRTRasterBand>'
        for band in (1, 2, 3)
    )
    path = folder / "all.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{2 * SIZE}" rasterYSize="{SIZE}"><SRS>EPSG:3857</SRS>'
        f"<GeoTransform>{column * PIXEL}, {PIXEL}, 0, {-row * PIXEL}, 0, {-PIXEL}</GeoTransform>{bands}</VRTDataset>"
    )
    return [path, *members]


def _source(at: int, band: int) -> str:
    size = f'xSize="{SIZE}" ySize="{SIZE}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{at}.tif</SourceFilename><SourceBand>{band}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{at * SIZE}" yOff="0" {size}/></SimpleSource>'
    )


@dataclass(frozen=True)
class Bakery:
    """A deployment with a bake queue `bakes`, the function `bake`, and a bucket of scenes."""

    stack: Deployed
    bakes: Queue
    bake: Lambda
    bucket: str
    function_env: Mapping[str, str]  # of the bake function

    def source(self, name: str = "") -> str:
        """The address of all scenes, or of one."""
        return f"s3://{self.bucket}/scenes/{name}"

    def put(self, path: Path, folder: str = "scenes") -> None:
        """Store a scene under its name."""
        self.stack.s3.client().upload_file(str(path), self.bucket, f"{folder}/{path.name}")

    def tear(self, key: str) -> bytes:
        """Cut the second half of a scene off; returns what it was."""
        client = self.stack.s3.client()
        whole: bytes = client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        client.put_object(Bucket=self.bucket, Key=key, Body=whole[: len(whole) // 2])
        return whole

    def ingest(self, layer: str, *words: str, **env: str) -> dict[str, Any]:
        """Send the bake of a layer from sources among `words`, by a command that ends; returns what it printed."""
        words = (*words, "--layer", layer, "--queue", "sqs", "--json", "--format", "png")
        return _last(self.stack.run("ingest", *words, **env))

    def refresh(self, layer: str, *words: str, **env: str) -> dict[str, Any]:
        """The same by `seeder refresh`."""
        return _last(self.stack.run("refresh", layer, *words, "--queue", "sqs", "--yes", "--json", **env))

    def status(self, job: str) -> dict[str, Any]:
        """The progress of a job, of either kind."""
        done = self.stack.run("status", job, "--json", check=False)
        assert done.stdout, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def ended(self, job: str, within: float = 120.0) -> str:
        """Wait for the end of a bake job that its workers record; returns its state."""
        client, end = self.stack.s3.client(), time.monotonic() + within
        record = {"Bucket": self.stack.sources, "Prefix": f"jobs/bakes/{job}/end.json"}
        while not client.list_objects_v2(**record)["KeyCount"]:
            assert time.monotonic() < end, (self.status(job), self.bake.logs()[-3000:])
            time.sleep(0.1)
        found = client.get_object(Bucket=self.stack.sources, Key=record["Prefix"])["Body"].read()
        return str(json.loads(found)["state"])

    def receipts(self, job: str) -> int:
        """The number of receipts of parts."""
        return len(self.keys(f"jobs/bakes/{job}/done/"))

    def keys(self, prefix: str) -> list[str]:
        """The keys of the private bucket below a prefix."""
        pages = (
            self.stack.s3.client().get_paginator("list_objects_v2").paginate(Bucket=self.stack.sources, Prefix=prefix)
        )
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def objects(self, layer: str) -> Objects:
        """All that is stored of a layer, without the times of its publications, by the rest of their keys."""
        client, prefix = self.stack.s3.client(), f"sources/{layer}/"
        return {
            key.removeprefix(prefix): client.get_object(Bucket=self.stack.sources, Key=key)["Body"].read()
            for key in self.keys(prefix)
            if not key.endswith("history.json")
        }

    def revision(self, layer: str) -> str:
        """The published revision, empty if there is none."""
        found = self.objects(layer).get("index.json")
        return str(json.loads(found)["revision"]) if found else ""

    @contextmanager
    def with_function(self, handler: str, *, concurrency: int = 3, **env: str) -> Iterator[Bakery]:
        """The same deployment with another bake function."""
        with Lambda(handler, {**self.function_env, **env}, timeout=900, memory=3538, concurrency=concurrency) as bake:
            yield replace(self, bake=bake)

    @contextmanager
    def functions(self, **options: Any) -> Iterator[SqsMapping]:
        """The bake queue feeds the bake function, one message an event, until the end of the block."""
        options = {"batch_size": 1, "max_concurrency": 2, **options}
        with SqsMapping(self.stack.sqs.client(), self.bakes.url, self.bake, **options) as mapping:
            yield mapping

    @contextmanager
    def worker(self, jobs: int = 1, **env: str) -> Iterator[subprocess.Popen[str]]:
        """`seeder worker` at the bake queue, stopped at the end of the block unless it was killed."""
        command = [sys.executable, "-m", "seeder", "worker", "--jobs", str(jobs)]
        environ = {**self.stack.env, "TILER_QUEUE": "", **env}
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=environ, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.communicate(timeout=30)


def _last(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@contextmanager
def bakery(
    s3: S3,
    sqs: Sqs,
    folder: Path,
    *,
    endpoint: str = "",
    handler: str = HANDLER,
    visibility: int = 30,
) -> Iterator[Bakery]:
    """A deployment without layers, with the scenes of `PLACES`; `endpoint` is what its functions take for S3."""
    bakes, bucket = sqs.queue(visibility=visibility), s3.private_bucket()
    with deployed(s3, sqs, folder / "none", endpoint=endpoint) as tiling:
        own = {"TILER_BAKE_QUEUE": bakes.url}
        stack = replace(tiling, env={**tiling.env, **own})
        env = {**stack.function_env, "TILER_URL": stack.env["TILER_URL"], "TILER_QUEUE": stack.queue.url, **own}
        with Lambda(handler, env, timeout=900, memory=3538, concurrency=3) as bake:
            made = Bakery(stack, bakes, bake, bucket, env)
            (folder / "scenes").mkdir()
            for name in PLACES:
                made.put(paint(folder / "scenes", name))
            yield made


def baked_here(made: Bakery, folder: Path, *sources: str) -> Callable[[str], Objects]:
    """Bake a layer on this machine; returns a function of a layer's name that gives the same objects of that layer."""
    words = ["ingest", *sources, "--layer", LOCAL, "--data", str(folder), "--format", "png"]
    env = {name: value for name, value in made.stack.env.items() if not name.startswith("TILER_")}
    subprocess.run([sys.executable, "-m", "seeder", *words], env=env, cwd=ROOT, check=True, capture_output=True)
    root = folder / "private" / "sources" / LOCAL
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    files.pop("history.json", None)

    def named(data: bytes, layer: str) -> bytes:
        for text in ('"id": "{}"', "sources/{}/"):
            data = data.replace(text.format(LOCAL).encode(), text.format(layer).encode())
        return data

    return lambda layer: {
        name: named(data, layer) if name.endswith("index.json") else data for name, data in files.items()
    }
