"""The servers that the suite runs against, each started once when the first test asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.e2e import s3 as s3_module
from tests.e2e import sqs as sqs_module
from tests.e2e.proxy import Proxy
from tests.e2e.world import ALPS, BELT, make_layers, seed, tiles_in
from tests.support.shared import shared_folder


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_module.S3]:
    """A real S3 server, with websites."""
    with s3_module.running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def proxy(s3: s3_module.S3) -> Iterator[Proxy]:
    """What stands between the functions and S3."""
    with Proxy(s3.endpoint, seed=3) as made:
        yield made


@pytest.fixture(scope="session")
def sqs() -> Iterator[sqs_module.Sqs]:
    """An SQS server."""
    with sqs_module.running() as server:
        yield server


@pytest.fixture(scope="session")
def http_client() -> Iterator[urllib3.PoolManager]:
    """A client that neither retries nor follows redirects."""
    with urllib3.PoolManager(retries=False, maxsize=16) as pool:
        yield pool


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layers of `world`, no tile made. Copy it to write into it."""
    return shared_folder(tmp_path_factory, "layers", make_layers) / "data"


@pytest.fixture(scope="session")
def alps(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tiles of the layer `alps` as a local seeding makes them."""
    return seeded_copy(tmp_path_factory, data, ALPS)


@pytest.fixture(scope="session")
def belt(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tiles of the layer `belt` as a local seeding makes them."""
    return seeded_copy(tmp_path_factory, data, BELT)


def seeded_copy(factory: pytest.TempPathFactory, data: Path, layer: str) -> dict[str, bytes]:
    """The tiles of a layer, by key, made in a copy of the data folder."""

    def fill(folder: Path) -> None:
        for name in (f"tiles/{layer}", f"private/sources/{layer}"):
            shutil.copytree(data / name, folder / name)
        seed(folder, layer)

    return tiles_in(shared_folder(factory, f"seeded-{layer}", fill), layer)
