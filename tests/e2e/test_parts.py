"""Parts in a real S3 server: an ingest that breaks keeps those it stored, and a cold tile needs few requests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import urllib3

from tests.e2e.proxy import Fault, Kind, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import BELT, deployed, key, log_lines
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, write_raster

LAYER = "strip"
COGS = 10  # of eight parts along the equator at zoom 8, and of the one part of both tiers above
COG = rf"/sources/{LAYER}/parts/[^/?]+\.tif"

Objects = dict[str, bytes]
Seeder = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def strip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Objects]:
    """A raster around the equator, and what its ingest leaves in a folder."""
    folder = tmp_path_factory.mktemp("strip")
    rows, columns = np.ogrid[0:128, 0:65536]
    pattern = ((columns >> 6 ^ rows >> 5) + (rows >> 3) & 0xFF).astype(np.uint8)[np.newaxis]
    path = write_raster(folder / f"{LAYER}.tif", Recipe(values=pattern, bounds=(-180, -0.35, 180, 0.35)))
    words = ["ingest", str(path), "--layer", LAYER, "--data", str(folder / "data")]
    subprocess.run([sys.executable, "-m", "seeder", *words], cwd=ROOT, check=True, capture_output=True)
    private = folder / "data" / "private"
    made = {
        str(each.relative_to(private)): each.read_bytes() for each in private.glob("sources/*/*/*") if each.is_file()
    }
    assert len([name for name in made if name.endswith(".tif")]) == COGS
    return path, made


@pytest.fixture
def bucket(s3: S3) -> str:
    """A bucket for sources and tiles."""
    return s3.private_bucket()


@pytest.fixture
def seeder(s3: S3, proxy: Proxy, bucket: str) -> Seeder:
    """Runs a module as `seeder`, with this bucket behind the proxy."""
    stores = {"TILER_SOURCES": f"s3://{bucket}/private", "TILER_TILES": f"s3://{bucket}/tiles"}
    env = {"PATH": os.environ["PATH"], **s3.env, "AWS_ENDPOINT_URL_S3": proxy.url, **stores}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, env=env, cwd=ROOT, check=False, capture_output=True, text=True, timeout=240)

    return run


def stored(s3: S3, bucket: str) -> Objects:
    """The parts, shards and revisions in a bucket, by their keys in a folder."""
    client, prefix = s3.client(), f"private/sources/{LAYER}/"
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    names = [each["Key"] for each in listed if each["Key"].count("/") == prefix.count("/") + 1]
    return {name.removeprefix("private/"): client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}


def whole(objects: Objects) -> set[str]:
    """The COGs whose facts are stored as well: those that the next ingest knows."""
    return {name for name in objects if name.endswith(".tif") and name.replace(".tif", ".json") in objects}


def cogs(objects: Objects) -> set[str]:
    return {name for name in objects if name.endswith(".tif")}


def finish(seeder: Seeder, proxy: Proxy, path: Path, *, puts: int) -> None:
    """Run the ingest to its end; it puts this many COGs."""
    proxy.clear()
    proxy.requests.clear()
    proxy.add(Fault("delay", "PUT", COG, seconds=0))  # which counts them
    done = seeder("seeder", "ingest", str(path), "--layer", LAYER)
    assert done.returncode == 0, done.stderr
    assert proxy.requests["PUT", "delay"] == puts


@pytest.mark.parametrize("at", [0, 5, 14, 2 * COGS])
def test_a_killed_ingest_is_finished_with_its_missing_parts(
    at: int, seeder: Seeder, proxy: Proxy, s3: S3, bucket: str, strip: tuple[Path, Objects]
) -> None:
    path, expected = strip
    words = ("ingest", str(path), "--layer", LAYER, "--jobs", "1")
    killed = seeder("tests.support.killed", str(at), *words)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = stored(s3, bucket)
    assert before.items() <= expected.items()
    assert len(cogs(before)) >= at // 2 - 8  # puts of several parts may be under way
    assert s3.client().list_objects_v2(Bucket=bucket, Prefix=f"private/sources/{LAYER}/index.json")["KeyCount"] == 0
    finish(seeder, proxy, path, puts=COGS - len(cogs(before)))
    assert stored(s3, bucket) == expected


@pytest.mark.parametrize("kind", ["denied", "drop", "cut", "lose"])
def test_an_ingest_whose_puts_fail_keeps_its_parts(
    kind: Kind, seeder: Seeder, proxy: Proxy, s3: S3, bucket: str, strip: tuple[Path, Objects]
) -> None:
    """No try to put one of the COGs succeeds, or its answer is lost each time."""
    path, expected = strip
    bad = sorted(name for name in cogs(expected))[3]
    proxy.add(Fault(kind, "PUT", re.escape(bad)))
    broken = seeder("seeder", "ingest", str(path), "--layer", LAYER)
    assert broken.returncode != 0
    assert "Traceback" not in broken.stderr
    before = stored(s3, bucket)
    assert before.items() <= expected.items()
    assert (bad in before) == (kind == "lose")
    assert bad not in whole(before)
    assert len(whole(before)) > 0
    assert s3.client().list_objects_v2(Bucket=bucket, Prefix=f"private/sources/{LAYER}/index.json")["KeyCount"] == 0
    finish(seeder, proxy, path, puts=COGS - len(cogs(before)))
    assert stored(s3, bucket) == expected


def test_the_same_ingest_again_puts_no_part(
    seeder: Seeder, proxy: Proxy, s3: S3, bucket: str, strip: tuple[Path, Objects]
) -> None:
    path, expected = strip
    finish(seeder, proxy, path, puts=COGS)
    finish(seeder, proxy, path, puts=0)
    assert stored(s3, bucket) == expected


def test_a_cold_tile_takes_three_requests_of_parts(
    s3: S3, sqs: Sqs, data: Path, proxy: Proxy, belt: Objects, http_client: urllib3.PoolManager
) -> None:
    """A shard of the manifest, a header, and the block; of each tier another. A small COG is read with its header."""
    with deployed(s3, sqs, data, endpoint=proxy.url) as stack:
        for z, x, y, requests in ((8, 3, 128, 3), (5, 3, 16, 3), (2, 1, 2, 2)):
            proxy.clear()
            proxy.requests.clear()
            proxy.add(Fault("delay", key=rf"/sources/{BELT}/(parts|shards)/", seconds=0))
            name = key(BELT, z, x, y)
            answer = http_client.request("GET", f"{stack.gateway.url}/{name}", redirect=False)
            assert answer.status < 400, log_lines(stack.http)
            asked = {method: number for (method, kind), number in proxy.requests.items() if kind == "delay"}
            assert asked == {"GET": requests}
            assert stack.stored(BELT)[name] == belt[name]
