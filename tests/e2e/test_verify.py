"""On a real S3 server `verify` finds just what was removed, spoilt and added, and `seed --tiles` mends it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, ROOT, Deployed, deployed

PNG = "image/png"


@pytest.fixture
def stack(s3: S3, sqs: Sqs, data: Path, alps: dict[str, bytes]) -> Iterator[Deployed]:
    """A deployment whose layer `alps` is warm."""
    with deployed(s3, sqs, data) as made:
        put(made, alps)
        yield made


def put(stack: Deployed, objects: dict[str, bytes], kind: str = PNG) -> None:
    client = stack.s3.client()
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda item: client.put_object(Bucket=stack.tiles, Key=item[0], Body=item[1], ContentType=kind),
                objects.items(),
            )
        )


def found(stack: Deployed, *words: str) -> dict[str, str]:
    """What an audit of the layer tells, by key; each once."""
    result = stack.run("verify", ALPS, "--json", *words, check=False)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    told = {line["key"]: line["problem"] for line in lines}
    assert len(told) == len(lines)
    assert result.returncode == bool(told), result.stderr
    return told


def test_an_audit_finds_just_what_was_changed_and_a_list_mends_it(stack: Deployed, alps: dict[str, bytes]) -> None:
    assert found(stack, "--deep", "--sample", "all") == {}
    deep = [key for key in sorted(alps) if key.startswith(f"{ALPS}/9/")]
    removed, emptied, cut, swapped, typed = deep[:3], deep[3], deep[4], deep[5], deep[6]
    added = [f"{ALPS}/9/100/100.png", f"{ALPS}/8/0/0.png", f"{ALPS}/11/1/1.png", f"{ALPS}/9/readme.txt"]
    for key in removed:
        stack.s3.client().delete_object(Bucket=stack.tiles, Key=key)
    put(stack, {emptied: b"", cut: alps[cut][:99], swapped: alps[deep[-1]], **dict.fromkeys(added, b"stale")})
    put(stack, {typed: alps[typed]}, "binary/octet-stream")
    put(stack, {f"{ALPS}-2/9/100/100.png": b"another layer's", f"{ALPS}/9/264/182@2x.webp": b"another look"})
    listed = {**dict.fromkeys(removed, "missing"), emptied: "no bytes", **dict.fromkeys(added, "unexpected")}
    assert found(stack) == listed
    looked = {**listed, cut: "damaged", swapped: "differs", typed: "wrong type"}
    assert found(stack, "--deep", "--sample", "all") == looked
    assert found(stack, "--zooms", "0-7") == {}
    seeder = f"{sys.executable} -m seeder"
    pipe = f"{seeder} verify {ALPS} --deep --sample all | {seeder} seed {ALPS} --tiles - --force --queue local --json"
    mended = subprocess.run(["sh", "-c", pipe], env=stack.env, cwd=ROOT, check=True, capture_output=True, timeout=240)
    assert json.loads(mended.stdout)["written"] == len(looked) - len(added)
    assert found(stack, "--deep", "--sample", "all") == dict.fromkeys(added, "unexpected")
    stored = stack.stored(ALPS)
    assert {key: stored[key] for key in alps} == alps
