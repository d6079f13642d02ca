"""Tiles removed, renewed and refused on a real S3 server, with the functions at work meanwhile."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mercantile
import pytest
import urllib3

from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, ROOT, Deployed, deployed, log_lines, seed, tiles_in
from tests.support.rasters import Recipe, scene, write_raster
from tiler.keys import parse_tile_key

WAIT = 8  # seconds instead of 80: 5 that metadata is believed, and far longer than anything takes here
HASTY = f"""
import sys
from datetime import timedelta
from seeder.cache import fence
from seeder.cli.main import main
fence.fence = lambda _: timedelta(seconds={WAIT})
main()
"""


@pytest.fixture
def stack(s3: S3, sqs: Sqs, data: Path) -> Iterator[Deployed]:
    """A deployment of its own."""
    with deployed(s3, sqs, data) as made:
        yield made


@pytest.fixture(scope="module")
def later(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Another raster for `alps`, that ends further west, and the tiles that it makes."""
    folder = tmp_path_factory.mktemp("later")
    path = write_raster(folder / "alps.tif", Recipe(values=scene(seed=11)[..., :600], bounds=(5, 45, 7.6667, 48)))
    copy = Path(shutil.copytree(data, folder / "data"))
    words = ["ingest", str(path), "--layer", ALPS, "--data", str(copy)]
    subprocess.run([sys.executable, "-m", "seeder", *words], cwd=ROOT, check=True, capture_output=True)
    seed(copy, ALPS)
    return path, tiles_in(copy, ALPS)


def put(stack: Deployed, tiles: dict[str, bytes]) -> None:
    """Store tiles as if they had been made."""
    client = stack.s3.client()
    for key, data in tiles.items():
        client.put_object(Bucket=stack.tiles, Key=key, Body=data, ContentType="image/png")


def revision(stack: Deployed) -> str:
    """The layer's current revision."""
    index = stack.s3.client().get_object(Bucket=stack.sources, Key=f"sources/{ALPS}/index.json")
    return str(json.loads(index["Body"].read())["revision"])


def everything(stack: Deployed) -> set[str]:
    """All keys of the tile bucket."""
    pages = stack.s3.client().get_paginator("list_objects_v2").paginate(Bucket=stack.tiles)
    return {each["Key"] for page in pages for each in page.get("Contents", [])}


def test_exactly_the_tiles_that_touch_a_box_vanish(stack: Deployed, alps: dict[str, bytes]) -> None:
    sharp = {key.replace(".png", "@2x.webp"): b"sharp" for key in list(alps)[::2]}
    others = {key.replace(ALPS, name, 1): b"other" for name in ("alps2", "alps-2", "alp") for key in list(alps)[-9:]}
    put(stack, {**alps, **sharp, **others})
    before = everything(stack)
    box = (6.1, 45.5, 8.4, 47.4)
    done = stack.run("invalidate", ALPS, "--bbox", ",".join(map(str, box)), "--zooms", "4-9", "--json")
    meant = {
        key
        for key in {**alps, **sharp}
        if 4 <= (tile := parse_tile_key(key).tile).z <= 9 and tile in set(mercantile.tiles(*box, [tile.z]))
    }
    assert 30 < len(meant) < len({**alps, **sharp}) - 30
    assert before - everything(stack) == meant
    said = json.loads(done.stdout)
    assert (said["existed"], said["removed"], said["failed"]) == (len(meant), len(meant), 0)
    assert sorted(said["planned"] + said["listed"]) == [4, 5, 6, 7, 8, 9]


def test_tiles_that_may_not_be_deleted_are_told_and_the_rest_is_gone(stack: Deployed, alps: dict[str, bytes]) -> None:
    put(stack, alps)
    client = stack.s3.client()
    before = client.get_bucket_policy(Bucket=stack.tiles)["Policy"]
    kept = f"arn:aws:s3:::{stack.tiles}/{ALPS}/9/*"
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": kept}
    policy = json.loads(before)
    policy["Statement"].append(denied)
    client.put_bucket_policy(Bucket=stack.tiles, Policy=json.dumps(policy))
    deep = {key for key in alps if parse_tile_key(key).tile.z == 9}
    refused = stack.run("invalidate", ALPS, "--all", "--json", check=False)
    said = json.loads(refused.stdout)
    assert refused.returncode == 1
    assert (said["existed"], said["removed"], said["failed"]) == (len(alps), len(alps) - len(deep), len(deep))
    assert stack.stored(ALPS).keys() == deep
    told = {line.removeprefix("not removed: ") for line in refused.stderr.splitlines() if "not removed: " in line}
    assert told
    assert told <= deep
    client.put_bucket_policy(Bucket=stack.tiles, Policy=before)
    assert json.loads(stack.run("invalidate", ALPS, "--all", "--json").stdout)["removed"] == len(deep)
    assert stack.stored(ALPS) == {}


def test_no_old_tile_comes_back_and_none_is_missing_while_a_layer_is_refreshed(
    stack: Deployed, alps: dict[str, bytes], later: tuple[Path, dict[str, bytes]], http_client: urllib3.PoolManager
) -> None:
    path, fresh = later
    old = revision(stack)
    put(stack, alps)
    stack.run("seed", ALPS, "--force", "--queue", "sqs")  # messages of the old revision, which nobody has worked off
    stop, holes = threading.Event(), []
    covered = sorted(fresh.keys() & alps.keys())
    draw = random.Random(5)

    def ask() -> None:
        client = stack.s3.client()
        while not stop.is_set():
            key = draw.choice(covered)
            found = client.list_objects_v2(Bucket=stack.tiles, Prefix=key).get("Contents", [])
            holes.extend([key] if not found else [])
            http_client.request("GET", f"{stack.gateway.url}/{draw.choice(sorted(alps))}", redirect=False)
            time.sleep(0.02)  # or the server has time for nothing else

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    words = ["refresh", ALPS, str(path), "--queue", "sqs", "--yes"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", HASTY, *words], env=stack.env, cwd=ROOT, stderr=pipe, text=True
    ) as done:
        while revision(stack) == old:
            time.sleep(0.05)
        with stack.working(max_concurrency=2, batch_size=2) as mapping:
            said = done.communicate(timeout=120)[1]
            mapping.drained()
    stop.set()
    for thread in asking:
        thread.join()
    assert done.returncode == 0, said
    assert any(line.get("message") == "dropped" for line in log_lines(stack.worker))
    assert holes == []
    assert stack.stored(ALPS).items() == fresh.items()
    index = json.loads(stack.s3.client().get_object(Bucket=stack.tiles, Key=f"{ALPS}/tile.json")["Body"].read())
    assert index["tiles"][0].endswith(
        f"?v={json.loads(stack.run('layers', '--json').stdout.splitlines()[0])['revision']}"
    )
