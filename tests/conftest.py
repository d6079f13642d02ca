"""What every test needs, cheap to import: no user settings, steady examples. Fixtures stand in tests/fixtures."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.support.effort import examples

pytest_plugins = ["tests.fixtures.layers", "tests.fixtures.aws", "tests.fixtures.bakes", "tests.fixtures.bakery"]

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=examples(40))
settings.load_profile("steady")

gc.set_threshold(10_000)  # moto and botocore make many objects: looking for cycles took a sixth of their tests
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us in the background has it ignored


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Make one process of a run compile each file, while the others wait for its bytecode."""
    if not isinstance(collector, pytest.Module) or "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with collector.path.open("rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        return (yield)


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
    if access := sys.modules.get("tiler.storage.access"):
        access.session.cache_clear()
    if "botocore.session" in sys.modules:
        from tests.support import quick_botocore  # noqa: PLC0415 - a test of pure code does not wait for it

        quick_botocore.quicken()
        quick_botocore.forget()
    if session := sys.modules.get("rasterio.session"):
        monkeypatch.setattr(session, "boto3", None)  # an unused session a raster takes a 50th of a second each
