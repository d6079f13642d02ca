"""The requests of a bake of scenes in S3: each directory and each block is read once, with the user's access."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import boto3
import numpy as np
import pytest
import rasterio.shutil
from rasterio import Env

from tests.support.credentials import Profiles
from tests.support.parts import parts_of
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.recorded_s3 import METHOD, TARGET, RecordedS3, keys, recorded
from tests.support.scenes import silent
from tests.support.site import memory
from tiler.ingest import ingest as ingesting
from tiler.ingest.ingest import ingest
from tiler.layers.pyramid import Place
from tiler.raster import datasets, s3_reads
from tiler.raster.datasets import OpenOptions, forget, opened
from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.scenes.scene_list import SceneList
from tiler.storage.store import Stores

PAGE = 1 << 14  # bytes; GDAL reads single blocks in whole pages
SIDE = 700  # pixels of a scene


@pytest.fixture(scope="module")
def server() -> Iterator[RecordedS3]:
    with recorded() as server:
        yield server


def cog(path: Path, recipe: Recipe) -> Path:
    plain = write_raster(path.with_suffix(".plain.tif"), recipe)
    rasterio.shutil.copy(plain, path, driver="COG", compress="deflate", blocksize=128)
    plain.unlink()
    return path


def hole() -> Any:
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    mask[:200, :200] = 0
    return mask


def bounds(west: float, south: float, *, step: float = 0.001) -> tuple[float, float, float, float]:
    return west, south, west + SIDE * step, south + SIDE * step


def striped(name: str, west: float, south: float, **more: Any) -> Callable[[Path], Path]:
    options = (("compress", "deflate"), ("blockysize", 16), ("interleave", "pixel"))
    return lambda folder: write_raster(
        folder / name, Recipe(scene(SIDE, SIDE), bounds=bounds(west, south), options=options, **more)
    )


def tiled(name: str, west: float, south: float, *, step: float = 0.001, **more: Any) -> Callable[[Path], Path]:
    return lambda folder: cog(folder / name, Recipe(scene(SIDE, SIDE), bounds=bounds(west, south, step=step), **more))


SCENES = [  # four parts meet at 0, 0
    tiled("coarse.tif", -0.9, -0.4, step=0.002),
    tiled("across.tif", -0.3, -0.35),
    tiled("masked.tif", 0.1, 0.05, mask=hole()),
    striped("strips.tif", -0.6, -0.5),
    tiled("shifted.tif", -0.2503, 0.2004),
]


@dataclass
class Requests:
    """Requests by object: the ranges of GETs, first and last byte, and the numbers of others."""

    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    heads: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lists: list[str] = field(default_factory=list)  # prefixes

    @classmethod
    def of(cls, seen: list[dict[str, str]]) -> Requests:
        """Sorted requests of a server."""
        requests = cls()
        for each in seen:
            target = urlsplit(each[TARGET])
            name = target.path.rpartition("/")[2]
            query = parse_qs(target.query)
            if "prefix" in query:
                requests.lists.append(query["prefix"][0])
            elif each[METHOD] == "HEAD":
                requests.heads[name] += 1
            else:
                match = re.fullmatch(r"bytes=(\d+)-(\d+)", each["range"])
                assert match, each
                requests.ranges[name].append((int(match[1]), int(match[2])))
        return requests

    def again(self, name: str) -> int:
        """Bytes of an object that were read more than once."""
        seen, again = 0, 0
        for first, last in sorted(self.ranges[name]):
            again += max(0, min(last, seen - 1) - first + 1)
            seen = max(seen, last + 1)
        return again


@dataclass
class Flight:
    """A folder in S3, and the same on disk."""

    server: RecordedS3
    bucket: str
    client: Any
    folder: Path

    def put(self, path: Path) -> str:
        """Put a file into the folder in S3; return its address there."""
        self.client.put_object(Bucket=self.bucket, Key=f"flight/{path.name}", Body=path.read_bytes())
        return f"s3://{self.bucket}/flight/{path.name}"


@pytest.fixture
def flight(server: RecordedS3, profiles: Profiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flight:
    monkeypatch.setitem(datasets.NETWORK, "GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setattr(s3_reads, "TRIES", 1)
    owner = {"aws_access_key_id": "owner", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.Session().client("s3", endpoint_url=server.direct, **owner)
    name = f"maps-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    profiles.issue_keys(settings=f"endpoint_url = {server.url}", minutes=60, key="MAPS")
    server.home("")
    folder = tmp_path / "flight"
    folder.mkdir()
    forget()
    return Flight(server, name, client, folder)


def baked(addresses: list[str], options: Options = Options()) -> tuple[dict[Place, str], Any]:  # noqa: B008
    """The names of the parts of scenes, and the result of their ingest."""
    scenes = read_scenes([Listed(each, each) for each in addresses], options, jobs=1, progress=silent)
    stores = Stores(memory(), memory(), "")
    done = ingest(SceneList(scenes), "relief", options, stores, jobs=1, progress=lambda *_: None)
    parts = parts_of(done.layer, stores)
    return {place: part.name.partition("-")[2] for place, part in parts.items()}, done


def test_a_bake_reads_each_directory_and_each_block_once(flight: Flight, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [make(flight.folder) for make in SCENES]
    addresses = [flight.put(file) for file in files]
    flight.server.seen()
    phases: dict[str, Requests] = {}
    run = ingesting.bake_layer

    def counted(*args: Any, **options: Any) -> Any:
        phases["before"] = Requests.of(flight.server.seen())
        forget()  # as a worker that has only the plan
        try:
            return run(*args, **options)
        finally:
            phases["bake"] = Requests.of(flight.server.seen())

    with monkeypatch.context() as patch:
        patch.setattr(ingesting, "bake_layer", counted)
        parts, done = baked(addresses)
    assert parts == baked([str(file) for file in files])[0]
    assert done.baked == 4
    before, requests = phases["before"], phases["bake"]
    assert set(before.ranges) | set(before.heads) == {file.name for file in files}
    for file in files:
        name, size = file.name, file.stat().st_size
        prefix = f"flight/{file.stem}."
        first = name == files[0].name  # is sampled by the survey
        assert (before.heads[name], before.lists.count(prefix)) == (1, 1 + first)
        assert [start for start, _ in before.ranges[name]] == [0] * (1 + first)
        ranges = requests.ranges[name]
        assert requests.lists.count(prefix) == 1
        assert 1 <= requests.heads[name] <= done.baked  # a part compares the versions of its scenes when it is done
        assert [start for start, _ in ranges].count(0) == 1
        assert sum(last - start + 1 for start, last in ranges) <= size + PAGE * len(ranges)
        assert requests.again(name) <= 3 * PAGE
        assert len(ranges) <= 16  # of 36 blocks or 44 strips
    assert set(requests.ranges) == {file.name for file in files}
    assert len(requests.lists) == len(files)


def test_a_neighbour_of_another_name_is_no_sidecar_and_a_sidecar_is_read(flight: Flight) -> None:
    with Env(GDAL_TIFF_INTERNAL_MASK=False):
        file = write_raster(flight.folder / "a.tif", Recipe(scene(90, 80)))
        other = write_raster(flight.folder / "a2.tif", Recipe(scene(90, 80)))
        with rasterio.open(file, "r+") as out:
            out.write_mask(np.tri(90, 80, dtype=np.uint8) * 255)
    assert Path(f"{file}.msk").exists()
    address, beside = flight.put(file), flight.put(other)
    options = {"requester_pays": False, "anonymous": False}
    assert s3_reads.is_alone(address, **options)
    assert s3_reads.is_alone(beside, **options)
    flight.put(Path(f"{file}.msk"))
    forget()
    assert not s3_reads.is_alone(address, **options)
    assert s3_reads.is_alone(beside, **options)
    assert np.array_equal(opened(address).read_masks(1), opened(str(file)).read_masks(1))


def test_a_bake_pays_signs_and_finds_the_region(flight: Flight) -> None:
    file = SCENES[1](flight.folder)
    address = flight.put(file)
    flight.server.home("eu-west-3")
    flight.server.seen()
    parts, _ = baked([address], Options(requester_pays=True))
    seen = flight.server.seen()
    assert keys(seen) == {"MAPS"}
    assert {each.get("x-amz-request-payer") for each in seen} == {"requester"}
    strayed = [each for each in seen if "/eu-west-3/s3/" not in each["authorization"]]
    assert len(strayed) <= 4  # of boto3 and GDAL, until they know the bucket's region
    assert parts == baked([str(file)])[0]


def test_only_a_disk_has_descriptions_of_other_files(flight: Flight) -> None:
    """A scene that a VRT replaces after its header was read."""
    file = SCENES[1](flight.folder)
    address = flight.put(file)
    vrt = flight.folder / "all.vrt"
    rasterio.shutil.copy(file, vrt, driver="VRT")
    flight.client.put_object(Bucket=flight.bucket, Key=f"flight/{file.name}", Body=vrt.read_bytes())
    with pytest.raises(Exception, match="not recognized"):
        opened(address, open_options=OpenOptions())
